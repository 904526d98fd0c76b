--- Comparing tensors in specs. Where Busted runs, `assert.tensors_equal(a, b)` and `assert.tensors_close(a, b, opts)`
-- say at which element two tensors differ.
-- @module latent.testing
local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local M = {}

-- Where two tensors of one shape differ most, in words.
local function difference(a, b)
  local first, second, at, far = a:detach():reshape(-1), b:detach():reshape(-1), 1, -1
  for i = 1, a:numel() do
    local x, y = first:get(i), second:get(i)
    local v = x == y and 0 or math.abs(x - y) -- of one infinity too
    if v ~= v or v > far then at, far = i, v ~= v and math.huge or v end
  end
  local x, y = first:get(at), second:get(at)
  local index, rest = {}, at - 1
  local shape = a.shape
  for k = #shape, 1, -1 do
    table.insert(index, 1, rest % shape[k] + 1)
    rest = rest // shape[k]
  end
  return ("element [%s] is %.9g, expected %.9g"):format(table.concat(index, ", "), x, y)
end

local function compare(a, b, near)
  for i = 1, 2 do
    local name, x = i == 1 and "actual" or "expected", select(i, a, b)
    if not core.is_tensor(x) then return false, ("%s: expected a tensor, got %s"):format(name, options.describe(x)) end
  end
  if shapes.typed(a) ~= shapes.typed(b) then
    return false, ("got %s, expected %s"):format(shapes.typed(a), shapes.typed(b))
  end
  if near(a, b) then return true end
  return false, difference(a, b)
end

--- Raises, and says where, unless two tensors have one shape, one type and elements that are close.
-- @tparam Tensor actual
-- @tparam Tensor expected
-- @tparam ?table opts as `lt.allclose` takes them; rtol = 0 and atol = 0: the same elements
function M.assert_close(actual, expected, opts)
  local ok, text = compare(actual, expected, function(a, b) return lt.allclose(a, b, opts) end)
  if not ok then core.raise("assert_close: " .. text) end
end

local function register(luassert, name, near)
  luassert:register("assertion", name, function(state, arguments)
    local ok, text = compare(arguments[1], arguments[2], function(a, b) return near(a, b, arguments[3]) end)
    state.failure_message = text or "the tensors are equal"
    return ok
  end)
end

local found, luassert = pcall(require, "luassert")
if found then
  register(luassert, "tensors_equal", lt.equal)
  register(luassert, "tensors_close", lt.allclose)
end

return M
