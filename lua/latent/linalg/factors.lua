--- Factorisations of matrices.
-- @module latent.linalg.factors
local core = require "latent.core"
local lt = require "latent"
local matrices = require "latent.linalg.matrices"
local options = require "latent.base.options"
local systems = require "latent.linalg.systems"

local M = {}

local T, square, run, parts, quotient = matrices.T, matrices.square, matrices.run, matrices.parts, matrices.quotient

local cholesky_op = lt.op{
  name = "linalg.cholesky",
  forward = function(ctx, a)
    local L = run("cholesky", "is not positive definite", a, nil, {routine = "cholesky"}):reshape(a.shape)
    ctx:save(L)
    return L
  end,
  backward = function(ctx, dy) -- L^-T phi(L^T dL) L^-1, symmetric; phi is the lower half, half the diagonal
    local L = ctx:saved()
    local phi = T(L):matmul(dy)
    phi = (phi:tril() + phi:tril(-1)) / 2
    local upper = T(L)
    local da = systems.solve_triangular(upper, T(systems.solve_triangular(upper, phi, {upper = true})), {upper = true})
    return (da + T(da)) / 2
  end,
}

local read_upper = options.declare("linalg.cholesky", {{"upper", "boolean", false, "give L^T instead"}})

--- The lower triangle L with a = L L^T of symmetric positive definite matrices, of which the lower half is read.
-- @tparam Tensor a [..., n, n]
-- @tparam ?table opts
-- @treturn Tensor L, [..., n, n]
-- @raise where a matrix is not positive definite
function M.cholesky(a, opts)
  local o = read_upper(opts)
  square("cholesky", a)
  local L = cholesky_op(a)
  return o.upper and T(L) or L
end

-- Q's and R's sizes of [m, n].
local function qr_sizes(m, n, whole)
  local k = whole and m or math.min(m, n)
  return {m, k}, {k, n}
end

-- The lower half, mirrored.
local function mirrored(x) return x:tril() + T(x:tril(-1)) end

-- of a [m, n] with m >= n: (dQ + Q mirrored(R dR^T - dQ^T Q)) R^-T
local function qr_gradient(Q, R, dQ, dR)
  local middle = mirrored(R:matmul(T(dR)) - T(dQ):matmul(Q))
  return T(systems.solve_triangular(R, T(dQ + Q:matmul(middle)), {upper = true}))
end

local function qr_op(whole)
  return lt.op{
    name = "linalg.qr",
    forward = function(ctx, a)
      local y = run("qr", nil, a, nil, {routine = "qr", whole = whole})
      ctx:save(y, a:size(-2), a:size(-1))
      return y
    end,
    backward = function(ctx, dy)
      local y, m, n = ctx:saved()
      m, n = m // 1 | 0, n // 1 | 0
      if whole and m > n then core.raise 'linalg.qr: the gradient needs mode = "reduced"' end
      local Q, R = parts(y, qr_sizes(m, n, whole))
      local dQ, dR = parts(dy, qr_sizes(m, n, whole))
      if m >= n then return qr_gradient(Q, R, dQ, dR) end
      local U, dU = R:slice(-1, 1, m), dR:slice(-1, 1, m)
      local V, dV = R:slice(-1, m + 1, n), dR:slice(-1, m + 1, n)
      local Y = Q:matmul(V) -- the columns of a behind the square part
      return lt.cat({qr_gradient(Q, U, dQ + Y:matmul(T(dV)), dU), Q:matmul(dV)}, -1)
    end,
  }
end
local QR = {reduced = qr_op(false), complete = qr_op(true)}

local read_qr = options.declare("linalg.qr", {{"mode", options.one_of{"reduced", "complete"}, "reduced",
  "Q [m, min(m, n)] and R [min(m, n), n], or Q [m, m] and R [m, n]"}})

--- Orthogonal columns Q and an upper triangle R with a = Q R.
-- @tparam Tensor a [..., m, n]
-- @tparam ?table opts
-- @treturn Tensor Q
-- @treturn Tensor R
function M.qr(a, opts)
  local o = read_qr(opts)
  local m, n = matrices.matrices("qr", a)
  return parts(QR[o.mode](a), qr_sizes(m, n, o.mode == "complete"))
end

local FINITE = "has an element that is not finite, or LAPACK did not converge"

local function svd_sizes(m, n, whole)
  local k = math.min(m, n)
  return {m, whole and m or k}, {k}, {whole and n or k, n}
end

-- U (skew(U^T dU) / E S + S skew(V^T dV) / E + diag dS) Vh, E_ij = S_j^2 - S_i^2, and what leaves the spaces of U and V
local function svd_gradient(y, dy, m, n)
  local U, S, Vh = parts(y, svd_sizes(m, n))
  local dU, dS, dVh = parts(dy, svd_sizes(m, n))
  local row, column = S:unsqueeze(-2), S:unsqueeze(-1)
  local E = row * row - column * column
  local function skew(x) return quotient(x - T(x), E) end
  local UdU, dVV = T(U):matmul(dU), Vh:matmul(T(dVh))
  local middle = skew(UdU) * row + skew(dVV) * column + dS:diag_embed()
  local da = U:matmul(middle):matmul(Vh)
  local k = math.min(m, n)
  if m > k then da = da + quotient(dU - U:matmul(UdU), row):matmul(Vh) end
  if n > k then da = da + U:matmul(quotient(dVh - T(dVV):matmul(Vh), column)) end
  return da
end

local function svd_op(whole)
  return lt.op{
    name = "linalg.svd",
    forward = function(ctx, a)
      local y = run("svd", FINITE, a, nil, {routine = "svd", whole = whole})
      ctx:save(y, a:size(-2), a:size(-1))
      return y
    end,
    backward = function(ctx, dy)
      local y, m, n = ctx:saved()
      if whole then core.raise "linalg.svd: the gradient needs full_matrices = false" end
      return svd_gradient(y, dy, m // 1 | 0, n // 1 | 0)
    end,
  }
end
local SVD = {[true] = svd_op(true), [false] = svd_op(false)}

local read_svd = options.declare("linalg.svd", {{"full_matrices", "boolean", false,
  "make U and Vh square, without gradient"}})

--- The singular value decomposition a = U diag(S) Vh, the singular values from the largest on. The signs of the columns
-- of U, with the rows of Vh, are free, and the gradient of them is defined up to that; it is that of PyTorch.
-- @tparam Tensor a [..., m, n]
-- @tparam ?table opts
-- @treturn Tensor U [..., m, k], k the smaller of m and n
-- @treturn Tensor S [..., k]
-- @treturn Tensor Vh [..., k, n]
function M.svd(a, opts)
  local o = read_svd(opts)
  local m, n = matrices.matrices("svd", a)
  return parts(SVD[o.full_matrices](a), svd_sizes(m, n, o.full_matrices))
end

--- The singular values, from the largest on.
-- @tparam Tensor a [..., m, n]
-- @treturn Tensor [..., min(m, n)]
function M.svdvals(a)
  matrices.matrices("svdvals", a)
  return (select(2, M.svd(a)))
end

local eigh_op = lt.op{
  name = "linalg.eigh",
  forward = function(ctx, a)
    local y = run("eigh", FINITE, a, nil, {routine = "eigh"})
    ctx:save(y, a:size(-1))
    return y
  end,
  backward = function(ctx, dy) -- V (diag dw + V^T dV / E) V^T, symmetric; E_ij = w_j - w_i
    local y, n = ctx:saved()
    n = n // 1 | 0
    local V, w = parts(y, {n, n}, {n})
    local dV, dw = parts(dy, {n, n}, {n})
    local VdV = T(V):matmul(dV)
    local middle = quotient((VdV - T(VdV)) / 2, w:unsqueeze(-2) - w:unsqueeze(-1)) + dw:diag_embed()
    return V:matmul(middle):matmul(T(V))
  end,
}

--- Eigenvalues and eigenvectors of symmetric matrices, of which the lower half is read: a = V diag(w) V^T.
-- @tparam Tensor a [..., n, n]
-- @treturn Tensor w [..., n], ascending
-- @treturn Tensor V [..., n, n], an eigenvector a column
function M.eigh(a)
  local n = square("eigh", a)
  local V, w = parts(eigh_op(a), {n, n}, {n})
  return w, V
end

--- The eigenvalues of symmetric matrices, ascending.
-- @tparam Tensor a [..., n, n]
-- @treturn Tensor [..., n]
function M.eigvalsh(a)
  square("eigvalsh", a)
  return (M.eigh(a))
end

return M
