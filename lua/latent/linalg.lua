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
local options = require "latent.base.options"
local PARTS = {"systems", "factors", "norms"}

local M = {}
for _, part in ipairs(PARTS) do
  for name, f in pairs(require("latent.linalg." .. part)) do M[name] = f end
end

local T, square = matrices.T, matrices.square
local system, run = matrices.system, matrices.run

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

-- ---- least squares ----

local EPSILON = {float32 = 2.0 ^ -23, float64 = 2.0 ^ -52}

-- The singular values below this count as 0.
local function threshold(S, a, rtol)
  rtol = rtol or math.max(a:size(-2), a:size(-1)) * EPSILON[a.dtype]
  return S:slice(-1, 1, math.min(1, S:size(-1))) * rtol
end

local function pinv_value(a, rtol)
  local U, S, Vh = M.svd(a)
  local inverse = lt.where(S:gt(threshold(S, a, rtol)), 1 / S, 0)
  return T(Vh):matmul(inverse:unsqueeze(-1) * T(U))
end

local pinv_op = lt.op{
  name = "linalg.pinv",
  forward = function(ctx, a, rtol)
    local y = pinv_value(a, rtol:numel() > 0 and rtol:item() or nil)
    ctx:save(a, y)
    return y
  end,
  -- of constant rank: -Y^T G Y^T + (I - a Y) G^T Y Y^T + Y^T Y G^T (I - Y a)
  backward = function(ctx, dy)
    local a, y = ctx:saved()
    local Yt, Gt = T(y), T(dy)
    local function outside(x, p) return x - p:matmul(x) end
    local da = outside(Gt, a:matmul(y)):matmul(y):matmul(Yt) - Yt:matmul(dy):matmul(Yt)
    local right = T(outside(dy, T(y:matmul(a)))) -- G^T (I - Y a)
    return da + Yt:matmul(y):matmul(right), nil
  end,
}

local RTOL = {{"rtol", "not negative", nil,
  "singular values below this share of the largest count as 0; max(m, n) times the type's precision unless given"}}
local read_pinv = options.declare("linalg.pinv", RTOL)

--- The pseudo-inverse (Moore and Penrose), by singular values.
-- @tparam Tensor a [..., m, n]
-- @tparam ?table opts
-- @treturn Tensor [..., n, m]
function M.pinv(a, opts)
  local o = read_pinv(opts)
  matrices.matrices("pinv", a)
  if a:numel() == 0 then return T(a) end
  return pinv_op(a, o.rtol and lt.tensor({o.rtol}, {dtype = a.dtype}) or lt.zeros(0, {dtype = a.dtype}))
end

local read_rank = options.declare("linalg.matrix_rank", RTOL)

--- How many singular values are not 0.
-- @tparam Tensor a [..., m, n]
-- @tparam ?table opts
-- @treturn Tensor [...], i64
function M.matrix_rank(a, opts)
  local o = read_rank(opts)
  matrices.matrices("matrix_rank", a)
  local S = M.svdvals(a:detach())
  return S:gt(threshold(S, a, o.rtol)):long():sum(-1)
end

local read_lstsq = options.declare("linalg.lstsq", RTOL)

--- The x with the least |a x - b|, of several the shortest.
-- @tparam Tensor a [..., m, n]
-- @tparam Tensor b [..., m, k], or [..., m]
-- @tparam ?table opts
-- @treturn Tensor x [..., n, k], or [..., n]
-- @treturn Tensor the sums of squares that are left, [..., k]
-- @treturn Tensor the rank of a, [...], i64
-- @treturn Tensor the singular values of a, [..., min(m, n)]
function M.lstsq(a, b, opts)
  local o = read_lstsq(opts)
  matrices.matrices("lstsq", a)
  local left, right, vectors = system("lstsq", a, b)
  local x = M.pinv(left, o):matmul(right)
  local residual = (left:matmul(x) - right):square():sum(-2)
  if vectors then x, residual = x:squeeze(-1), residual:squeeze(-1) end
  return x, residual, M.matrix_rank(a, o), M.svdvals(a:detach())
end

return M
