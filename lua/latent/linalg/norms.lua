--- Norms of vectors and matrices.
-- @module latent.linalg.norms
local axes = require "latent.base.axes"
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

-- The axes as the last one.
local function flat(x, axis, name)
  if axis == nil then return x:reshape(-1) end
  local dims, along, order, sizes = x:dim(), {}, {}, {}
  for _, d in ipairs(axes.whole_numbers(name, "axis", axis)) do along[axes.axis(name, d, dims)] = true end
  for d = 1, dims do
    if not along[d] then order[#order + 1], sizes[#sizes + 1] = d, x:size(d) end
  end
  local n = 1
  for d = 1, dims do
    if along[d] then
      order[#order + 1] = d
      n = n * x:size(d)
    end
  end
  sizes[#sizes + 1] = n
  return x:permute(order):reshape(sizes)
end

local function kept_shape(x, axis, name)
  local shape = x.shape
  for d in ipairs(shape) do if axis == nil then shape[d] = 1 end end
  for _, d in ipairs(axis ~= nil and axes.whole_numbers(name, "axis", axis) or {}) do
    shape[axes.axis(name, d, #shape)] = 1
  end
  return shape
end

--- The norm of vectors: (sum |x|^p)^(1/p).
-- @tparam Tensor x
-- @tparam ?table opts
-- @treturn Tensor x's shape without the axes
function M.vector_norm(x, opts)
  core.check_tensor(x, "linalg.vector_norm: x")
  local o = read_vector_norm(opts)
  local rows = flat(x, o.axis, "linalg.vector_norm")
  local y
  if o.ord == math.huge or o.ord == -math.huge then
    y = o.ord > 0 and rows:abs():max(-1) or rows:abs():min(-1)
  else
    -- distances to 0 have the care that powers need there
    local zero = lt.zeros(1, rows:size(-1), {dtype = rows.dtype})
    local points = rows:reshape(-1, rows:size(-1))
    y = (o.ord >= 0 and lt.cdist(points, zero, o.ord) or rows:abs():pow(o.ord):sum(-1):pow(1 / o.ord))
      :reshape{table.unpack(rows.shape, 1, rows:dim() - 1)}
  end
  return o.keepdim and y:reshape(kept_shape(x, o.axis, "linalg.vector_norm")) or y
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
  return ord > 0 and lines:max(-1) or lines:min(-1)
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
