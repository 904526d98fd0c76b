--- How shapes read in messages.
-- @module latent.base.shapes
local M = {}

--- A shape as text.
-- @param x a tensor, or a list of sizes
-- @treturn string "[2, 3]"
function M.text(x)
  return "[" .. table.concat(type(x) == "table" and x or x.shape, ", ") .. "]"
end

--- A tensor's kind of number and its shape.
-- @tparam Tensor x
-- @treturn string "float32 [2, 3]"
function M.typed(x) return x.dtype .. " " .. M.text(x) end

--- The shape of so many axes of size 1.
-- @tparam int dims
-- @treturn {int,...}
function M.ones(dims)
  local shape = {}
  for d = 1, dims do shape[d] = 1 end
  return shape
end

return M
