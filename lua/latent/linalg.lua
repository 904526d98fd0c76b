--- Linear algebra by LAPACK: systems, factorisations and norms of matrices [..., rows, columns].
-- What stands before the last two axes is a batch, and each of its matrices is treated by itself. Gradients go through
-- all functions that have them. A matrix that is singular, or not positive definite, is an error that says which of the
-- batch it is.
-- @usage
-- local x = linalg.solve(a, b)                  -- a x = b
-- local U, S, Vh = linalg.svd(points - points:mean(1))
-- local L = linalg.cholesky(K + 1e-4 * lt.eye(n))
-- @module latent.linalg
local lt = require "latent"
local matrices = require "latent.linalg.matrices"
local PARTS = {"systems", "factors", "norms", "least_squares"}

local M = {}
for _, part in ipairs(PARTS) do
  for name, f in pairs(require("latent.linalg." .. part)) do M[name] = f end
end

local T, square = matrices.T, matrices.square
local run = matrices.run

-- ---- determinants ----

-- The factors whose product is the determinant: pivots, and the sign of their exchanges.
local function pivots(a) return run("det", nil, a, nil, {routine = "pivots"}) end

-- d det / d a, also where det is 0: det U det Vh U diag(product of the other singular values) Vh
local function cofactors(a)
  local n = a:size(-1)
  local U, S, Vh = M.svd(a)
  local others = lt.where(lt.eye(n):eq(1), 1, S:unsqueeze(-2)):prod(-1)
  local sign = (pivots(U):prod(-1) * pivots(Vh):prod(-1)):sign()
  return (U * others:unsqueeze(-2)):matmul(Vh) * sign:unsqueeze(-1):unsqueeze(-1)
end

local det_op = lt.op{
  name = "linalg.det",
  forward = function(ctx, a)
    ctx:save(a)
    return pivots(a):prod(-1)
  end,
  backward = function(ctx, dy) return cofactors((ctx:saved())) * dy:unsqueeze(-1):unsqueeze(-1) end,
}

--- The determinant.
-- @tparam Tensor a [..., n, n]
-- @treturn Tensor [...]
function M.det(a)
  square("det", a)
  return det_op(a)
end

local logdet_op = lt.op{
  name = "linalg.slogdet",
  forward = function(ctx, a, factors)
    ctx:save(a)
    return factors:abs():log():sum(-1)
  end,
  backward = function(ctx, dy)
    return T(M.inv((ctx:saved()))) * dy:unsqueeze(-1):unsqueeze(-1), nil
  end,
}

--- Sign and logarithm of the determinant, where the determinant itself would overflow.
-- @tparam Tensor a [..., n, n]
-- @treturn Tensor the sign, [...]: 1, -1, or 0 of a singular matrix
-- @treturn Tensor log |det a|, [...]: -inf of a singular matrix
function M.slogdet(a)
  square("slogdet", a)
  local factors = pivots(a:detach())
  return factors:sign():prod(-1), logdet_op(a, factors)
end

return M
