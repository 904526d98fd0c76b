--- Norms of vectors and matrices.
-- @module latent.linalg.norms
local core = require "latent.core"
local factors = require "latent.linalg.factors"
local lt = require "latent"
local matrices = require "latent.linalg.matrices"
local options = require "latent.base.options"
local systems = require "latent.linalg.systems"

local M = {}

local square, batch_of, identity = matrices.square, matrices.batch_of, matrices.identity

local read_vector_norm = options.declare("linalg.vector_norm", {
  {"ord", "number", 2, "p of the norm, also math.huge, -math.huge and 0 (how many are not 0)"},
  {"axis", "any", nil, "an axis or a list of axes; all unless given"},
  {"keepdim", "boolean", false, "leave the axes with size 1"}})

--- The norm of vectors: (sum |x|^p)^(1/p).
-- @tparam Tensor x
-- @tparam ?table opts
-- @treturn Tensor x's shape without the axes
function M.vector_norm(x, opts)
  core.check_tensor(x, "linalg.vector_norm: x")
  local o = read_vector_norm(opts)
  return lt.norm(x, o.axis, o.keepdim, o.ord)
end

local ORDERS = {fro = true, nuc = true, [1] = true, [-1] = true, [2] = true, [-2] = true, [math.huge] = true,
  [-math.huge] = true}
local ORDER = options.kind('number|"fro"|"nuc"', '"fro", "nuc", 1, -1, 2, -2, math.huge or -math.huge',
  function(value) return ORDERS[value] and value or nil end)
local read_matrix_norm = options.declare("linalg.matrix_norm", {
  {"ord", ORDER, "fro", "the root of the sum of squares, the sum of singular values, the largest (smallest) sum of " ..
    "a column (1), singular value (2) or sum of a row (math.huge)"}})

--- The norm of matrices.
-- @tparam Tensor a [..., m, n]
-- @tparam ?table opts
-- @treturn Tensor [...]
function M.matrix_norm(a, opts)
  matrices.matrices("matrix_norm", a)
  local ord = read_matrix_norm(opts).ord
  if ord == "fro" then return M.vector_norm(a, {axis = {-2, -1}}) end
  if ord == "nuc" then return factors.svdvals(a):sum(-1) end
  local lines = math.abs(ord) == 2 and factors.svdvals(a) or a:abs():sum(math.abs(ord) == 1 and -2 or -1)
  return ord > 0 and lines:amax(-1) or lines:amin(-1) -- equals share the gradient
end

local read_cond = options.declare("linalg.cond", {{"p", ORDER, 2, "the norm"}})

--- The condition number: the norm of a times that of its inverse; with p = 2 the largest singular value by the
-- smallest.
-- @tparam Tensor a [..., m, n], square unless p is 2 or -2
-- @tparam ?table opts
-- @treturn Tensor [...]
function M.cond(a, opts)
  local p = read_cond(opts).p
  local _, n = matrices.matrices("cond", a)
  if p == 2 or p == -2 then
    local S = factors.svdvals(a)
    local ratio = S:slice(-1, 1, 1) / S:slice(-1, -1, -1)
    return (p == 2 and ratio or 1 / ratio):squeeze(-1)
  end
  square("cond", a)
  return M.matrix_norm(a, {ord = p}) * M.matrix_norm(systems.solve(a, identity(batch_of(a), n, a)), {ord = p})
end

return M
