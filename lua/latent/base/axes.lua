--- Axes as functions of Lua read them: from 1, or from the end.
-- @module latent.base.axes
local core = require "latent.core"
local options = require "latent.base.options"

local M = {}

--- An axis as a number from 1 to dims.
-- @tparam string name of the function, for the message
-- @tparam int axis also negative, from the end
-- @tparam int dims how many there are
-- @tparam ?string option its name (default "axis")
-- @treturn int
function M.axis(name, axis, dims, option)
  if math.type(axis) ~= "integer" or axis == 0 or axis < -dims or axis > dims then
    local expected = dims > 0 and ("expected 1..%d or -%d..-1"):format(dims, dims) or "a scalar has none"
    core.raise(("%s: %s: %s, got %s"):format(name, option or "axis", expected, options.describe(axis)))
  end
  return axis > 0 and axis or dims + 1 + axis
end

--- A list of whole numbers, given as one number or a table.
-- @tparam string name of the function
-- @tparam string option
-- @tparam int|{int,...} value
-- @treturn {int,...}
function M.whole_numbers(name, option, value)
  local list = {}
  core.check_list(value, name .. ": " .. option)
  for i, n in ipairs(type(value) == "table" and value or {value}) do
    list[i] = options.expect(name, option, n, "integer")
  end
  if #list == 0 then
    core.raise(("%s: %s: expected whole numbers, got %s"):format(name, option, options.describe(value)))
  end
  return list
end

--- Two whole numbers, given as one that stands for both or as a table {height, width}.
-- @tparam string name of the function
-- @tparam string option
-- @tparam int|{int,int} value
-- @tparam int least that each must be
-- @treturn int height
-- @treturn int width
function M.pair(name, option, value, least)
  local list = M.whole_numbers(name, option, value)
  local height, width = list[1], list[2] or list[1]
  if #list > 2 or height < least or width < least then
    core.raise(("%s: %s: expected one or two whole numbers of at least %d, got {%s}"):format(name, option, least,
      table.concat(list, ", ")))
  end
  return height, width
end

return M
