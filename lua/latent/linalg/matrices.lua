--- What all of linear algebra shares: batches of matrices, and how LAPACK's answers are read.
-- @module latent.linalg.matrices
local core = require "latent.core"
local lt = require "latent"
local shapes = require "latent.base.shapes"

local M = {}

--- The last two axes exchanged.
-- @tparam Tensor x
-- @treturn Tensor
function M.T(x) return x:transpose(-2, -1) end

-- ---- shapes ----

--- Rows and columns of matrices of a floating type; raises for what is none.
-- @tparam string name of the function
-- @tparam Tensor x
-- @tparam ?string arg its name (default "a")
-- @treturn int
-- @treturn int
function M.matrices(name, x, arg)
  core.check_tensor(x, ("linalg.%s: %s"):format(name, arg or "a"))
  if x:dim() < 2 or x.dtype == "u8" or x.dtype == "i64" then
    core.raise(("linalg.%s: %s: expected matrices [..., m, n] of a floating type, got %s"):format(name, arg or "a",
      shapes.typed(x)))
  end
  return x:size(-2), x:size(-1)
end

--- The rows of square matrices; raises for others.
-- @tparam string name of the function
-- @tparam Tensor x
-- @treturn int
function M.square(name, x, arg)
  local m, n = M.matrices(name, x, arg)
  if m ~= n then
    core.raise(("linalg.%s: %s: expected square matrices [..., n, n], got %s"):format(name, arg or "a", shapes.text(x)))
  end
  return n
end

--- The sizes before the last two axes.
-- @tparam Tensor x
-- @treturn {int,...}
function M.batch_of(x) return {table.unpack(x.shape, 1, x:dim() - 2)} end

--- A batch and the sizes behind it as one shape.
-- @tparam {int,...} batch
-- @tparam int ... the sizes
-- @treturn {int,...}
function M.shaped(batch, ...)
  local shape, sizes = {table.unpack(batch)}, {...}
  table.move(sizes, 1, #sizes, #shape + 1, shape)
  return shape
end

local function expanded(x, batch)
  local shape = M.shaped(batch, x:size(-2), x:size(-1))
  return shapes.text(shape) == shapes.text(x) and x or x:broadcast_to(shape)
end

--- Left and right side with one batch, and whether the right side was of vectors.
-- @tparam string name of the function
-- @tparam Tensor a
-- @tparam Tensor b
-- @treturn Tensor [..., m, n]
-- @treturn Tensor [..., m, k]
-- @treturn boolean
function M.system(name, a, b)
  core.check_tensor(b, ("linalg.%s: b"):format(name))
  local m = a:size(-2)
  local vectors = b:dim() == 1 or b:dim() == a:dim() - 1 and shapes.text(b) == shapes.text(M.shaped(M.batch_of(a), m))
  local right = vectors and b:unsqueeze(-1) or b
  local batch = right:dim() >= 2 and right:size(-2) == m and shapes.broadcast(M.batch_of(a), M.batch_of(right))
  if not batch then
    core.raise(("linalg.%s: b: expected [..., %d, k] or [..., %d], for a %s, got %s"):format(name, m, m, shapes.text(a),
      shapes.text(b)))
  end
  return expanded(a, batch), expanded(right, batch), vectors
end

--- Identity matrices.
-- @tparam {int,...} batch
-- @tparam int n
-- @tparam Tensor like whose type they get
-- @treturn Tensor [..., n, n]
function M.identity(batch, n, like)
  return lt.eye(n, {dtype = like.dtype}):broadcast_to(M.shaped(batch, n, n))
end

-- ---- LAPACK's answers ----

-- Raises with the place of the first matrix for which LAPACK's info is not 0.
local function check_info(name, info, problem)
  local failed = info:ne(0):nonzero()
  if failed:size(1) == 0 then return end
  local place = #failed.shape > 1 and failed:size(2) > 0 and failed[1]:table() or {}
  core.raise(("linalg.%s: a: %s %s"):format(name,
    #place == 0 and "the matrix" or ("matrix %s of the batch"):format(table.concat(place, ", ")), problem))
end

--- The rows that a routine gives for each matrix, without info.
-- @tparam string name of the function
-- @tparam ?string problem what it means where LAPACK fails; nil where it cannot
-- @tparam Tensor a
-- @tparam ?Tensor b
-- @tparam table opts those of the core's row
-- @treturn Tensor [..., length]
function M.run(name, problem, a, b, opts)
  local y = core.ops.lapack(a, b, opts)
  local length = y:size(-1) - 1
  if problem then check_info(name, y:slice(-1, -1, -1):squeeze(-1), problem) end
  return y:slice(-1, 1, length)
end

--- Parts of rows, each of a shape.
-- @tparam Tensor y [..., length]
-- @tparam {int,...} ... the shapes
-- @treturn Tensor as many as there are shapes
function M.parts(y, ...)
  local batch, list, first = {table.unpack(y.shape, 1, y:dim() - 1)}, {}, 1
  for i, sizes in ipairs{...} do
    local n = 1
    for _, size in ipairs(sizes) do n = n * size end
    list[i] = y:slice(-1, first, first + n - 1):reshape(M.shaped(batch, table.unpack(sizes)))
    first = first + n
  end
  return table.unpack(list)
end

--- x / y, where 0 / 0 is 0: what no gradient came for gets none.
-- @tparam Tensor x
-- @tparam Tensor y
-- @treturn Tensor
function M.quotient(x, y)
  local none = x:eq(0)
  return lt.where(none, 0, x / lt.where(none, 1, y))
end

return M
