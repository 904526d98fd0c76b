--- Pseudo-inverses, ranks and least squares, by singular values of which the smallest count as 0.
-- @module latent.linalg.least_squares
local core = require "latent.core"
local factors = require "latent.linalg.factors"
local lt = require "latent"
local matrices = require "latent.linalg.matrices"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local M = {}

local T = matrices.T

-- ---- which singular values count ----

local EPSILON = {float32 = 2.0 ^ -23, float64 = 2.0 ^ -52}

local TOLERANCE = options.kind("number|Tensor", "a number of at least 0, or a tensor of such, one a matrix",
  function(value)
    if core.is_tensor(value) or type(value) == "number" and value >= 0 and value < math.huge then return value end
  end)

-- A tolerance as a tensor that broadcasts to the batch, of a's type; nil where none was given.
local function of_batch(name, option, value, a)
  if value == nil then return nil end
  if type(value) == "number" then return lt.full({}, value, {dtype = a.dtype}) end
  local batch = matrices.batch_of(a)
  local fits = shapes.broadcast(value.shape, batch)
  if not fits or shapes.text(fits) ~= shapes.text(batch) then
    core.raise(("linalg.%s: %s: expected a number, or a tensor that broadcasts to the batch %s, got %s"):format(name,
      option, shapes.text(batch), shapes.text(value)))
  end
  local least, _, greatest, nans = core.statistics(value)
  if value:numel() > 0 and not (nans == 0 and least >= 0 and greatest < math.huge) then
    core.raise(core.plainly(string.format, "linalg.%s: %s: expected finite numbers of at least 0, got %g", name, option,
      nans > 0 and 0 / 0 or least < 0 and least or greatest))
  end
  return core.tensor(value:detach(), {dtype = a.dtype})
end

-- The absolute and the relative tolerance of each matrix. Where the absolute one is above 0 and alone, the other is 0.
local function tolerances(name, a, o)
  local default = math.max(a:size(-2), a:size(-1)) * EPSILON[a.dtype]
  local atol, rtol = of_batch(name, "atol", o.atol, a), of_batch(name, "rtol", o.rtol, a)
  local zero = lt.zeros({}, {dtype = a.dtype})
  if not rtol then rtol = lt.where((atol or zero):gt(0), zero, default) end
  return atol or zero, rtol
end

local function counted(S, atol, rtol)
  if S:numel() == 0 then return S:gt(0) end
  return S:gt(lt.maximum(atol:unsqueeze(-1), S:max(-1, true) * rtol:unsqueeze(-1)))
end

-- ---- pseudo-inverses ----

-- Of symmetric matrices, by their eigenvalues.
local function symmetric_value(a, atol, rtol)
  local w, V = factors.eigh(a)
  return V:matmul(lt.where(counted(w:abs(), atol, rtol), 1 / w, 0):unsqueeze(-1) * T(V))
end

local function general_value(a, atol, rtol)
  local U, S, Vh = factors.svd(a)
  return T(Vh):matmul(lt.where(counted(S, atol, rtol), 1 / S, 0):unsqueeze(-1) * T(U))
end

local function pinv_op(value)
  return lt.op{
    name = "linalg.pinv",
    forward = function(ctx, a, atol, rtol)
      local y = value(a, atol, rtol)
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
      return da + Yt:matmul(y):matmul(right), nil, nil
    end,
  }
end
local PINV = {[true] = pinv_op(symmetric_value), [false] = pinv_op(general_value)}

local ATOL = {"atol", TOLERANCE, nil, "singular values up to this count as 0"}
local RTOL_TEXT = "singular values up to this share of the largest count as 0; "
  .. "max(m, n) times the type's precision unless given"
local TOLERANCES = {ATOL, {"rtol", TOLERANCE, nil, RTOL_TEXT .. ", or 0 beside an atol above 0"},
  {"hermitian", "boolean", false, "a is symmetric, of which the lower half is read, and taken by its eigenvalues"}}
local read_pinv = options.declare("linalg.pinv", TOLERANCES)

-- Rows and columns, or rows twice where a has to be square.
local function check(name, a, hermitian)
  if hermitian then matrices.square(name, a) else matrices.matrices(name, a) end
end

--- The pseudo-inverse (Moore and Penrose), by singular values. Its gradient takes those that count as 0 for zeros.
-- @tparam Tensor a [..., m, n]
-- @tparam ?table opts
-- @treturn Tensor [..., n, m]
function M.pinv(a, opts)
  local o = read_pinv(opts)
  check("pinv", a, o.hermitian)
  local atol, rtol = tolerances("pinv", a, o)
  if a:numel() == 0 then return T(a) end
  return (PINV[o.hermitian](a, atol, rtol)) -- no tail call: errors are to speak of linalg.pinv
end

local read_rank = options.declare("linalg.matrix_rank", TOLERANCES)

--- How many singular values are not 0.
-- @tparam Tensor a [..., m, n]
-- @tparam ?table opts
-- @treturn Tensor [...], i64
function M.matrix_rank(a, opts)
  local o = read_rank(opts)
  check("matrix_rank", a, o.hermitian)
  local atol, rtol = tolerances("matrix_rank", a, o)
  local S = o.hermitian and factors.eigvalsh(a:detach()):abs() or factors.svdvals(a:detach())
  return counted(S, atol, rtol):long():sum(-1)
end

-- ---- least squares ----

local read_lstsq = options.declare("linalg.lstsq", {{"rtol", "not negative", nil, RTOL_TEXT}})

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
  local left, right, vectors = matrices.system("lstsq", a, b)
  local x = M.pinv(left, o):matmul(right)
  local residual = (left:matmul(x) - right):square():sum(-2)
  if vectors then x, residual = x:squeeze(-1), residual:squeeze(-1) end
  return x, residual, M.matrix_rank(a, o), factors.svdvals(a:detach())
end

return M
