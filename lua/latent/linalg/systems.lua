--- Systems of linear equations.
-- @module latent.linalg.systems
local lt = require "latent"
local matrices = require "latent.linalg.matrices"
local options = require "latent.base.options"

local M = {}

local T, square, batch_of = matrices.T, matrices.square, matrices.batch_of
local system, identity, run = matrices.system, matrices.identity, matrices.run

local SINGULAR = "is singular"

local solve_op = lt.op{
  name = "linalg.solve",
  forward = function(ctx, a, b)
    local x = run("solve", SINGULAR, a, b, {routine = "solve"}):reshape(b.shape)
    ctx:save(a, x)
    return x
  end,
  backward = function(ctx, dy)
    local a, x = ctx:saved()
    local db = M.solve(T(a), dy)
    return -db:matmul(T(x)), db
  end,
}

--- Solves a x = b.
-- @tparam Tensor a [..., n, n]
-- @tparam Tensor b [..., n, k], or [..., n]; the batches broadcast
-- @treturn Tensor x, of b's shape
-- @raise where a matrix is singular
function M.solve(a, b)
  square("solve", a)
  local left, right, vectors = system("solve", a, b)
  local x = solve_op(left, right)
  return vectors and x:squeeze(-1) or x
end

local read_triangular = options.declare("linalg.solve_triangular", {
  {"upper", "boolean", nil, "whether a is 0 below its diagonal, or above it", required = true},
  {"left", "boolean", true, "solve a x = b, or else x a = b"},
  {"unitriangular", "boolean", false, "take the diagonal of a as ones"},
})

local TRIANGULAR = {}

-- The solution of the transposed system. LAPACK has a way without a transposed matrix, of which nothing is recorded.
local function solve_transposed(a, dy, upper, unit)
  if lt.is_recording() then return TRIANGULAR[not upper][unit](T(a), dy) end
  return run("solve_triangular", SINGULAR, a, dy, {routine = "triangular", upper = upper, unit = unit,
    transposed = true}):reshape(dy.shape)
end

local function triangular_op(upper, unit)
  return lt.op{
    name = "linalg.solve_triangular",
    forward = function(ctx, a, b)
      local x = run("solve_triangular", SINGULAR, a, b, {routine = "triangular", upper = upper, unit = unit})
      x = x:reshape(b.shape)
      ctx:save(a, x)
      return x
    end,
    backward = function(ctx, dy)
      local a, x = ctx:saved()
      local db = solve_transposed(a, dy, upper, unit)
      local da, off = -db:matmul(T(x)), unit and 1 or 0
      return upper and da:triu(off) or da:tril(-off), db
    end,
  }
end
for _, upper in ipairs{true, false} do
  TRIANGULAR[upper] = {[true] = triangular_op(upper, true), [false] = triangular_op(upper, false)}
end

--- Solves a x = b (or x a = b) where a is a triangle; its other half is not read.
-- @tparam Tensor a [..., n, n]
-- @tparam Tensor b [..., n, k] (or [..., k, n]); the batches broadcast
-- @tparam table opts
-- @treturn Tensor x, of b's shape
-- @raise where a diagonal has a zero
function M.solve_triangular(a, b, opts)
  square("solve_triangular", a)
  local o = read_triangular(opts)
  if not o.left then
    matrices.matrices("solve_triangular", b, "b")
    return T(M.solve_triangular(T(a), T(b), {upper = not o.upper, unitriangular = o.unitriangular}))
  end
  local left, right, vectors = system("solve_triangular", a, b)
  local x = TRIANGULAR[o.upper][o.unitriangular](left, right)
  return vectors and x:squeeze(-1) or x
end

--- The inverse of square matrices.
-- @tparam Tensor a [..., n, n]
-- @treturn Tensor [..., n, n]
-- @raise where a matrix is singular
function M.inv(a)
  local n = square("inv", a)
  local x = M.solve(a, identity(batch_of(a), n, a)) -- no tail call: errors are to speak of linalg.inv
  return x
end

return M
