--- How shapes read in messages, and which fit together.
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

--- The shape that two shapes broadcast to.
-- @tparam {int,...} a
-- @tparam {int,...} b
-- @treturn ?{int,...} nil where they do not
function M.broadcast(a, b)
  local shape, dims = {}, math.max(#a, #b)
  for d = 1, dims do
    local m, n = a[d - dims + #a] or 1, b[d - dims + #b] or 1
    if m ~= n and m ~= 1 and n ~= 1 then return nil end
    shape[d] = m == 1 and n or m
  end
  return shape
end

return M
