--- What the functions of images with one to three axes share that are written in Lua: their checks.
-- @module latent.base.ops.spatial
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local M = {}

local AXES = {"time", "height, width", "depth, height, width"}

--- A list of n whole numbers, from one for all axes or a list.
-- @tparam table core
-- @tparam string name of the function
-- @tparam string option
-- @param value
-- @tparam int n axes
-- @tparam string wanted a word of `options.expect`
-- @treturn {number,...}
function M.sizes(core, name, option, value, n, wanted)
  local list = {}
  if type(value) ~= "table" then
    value = options.expect(name, option, value, wanted)
    for d = 1, n do list[d] = value end
    return list
  end
  core.check_list(value, name .. ": " .. option)
  if #value ~= n then
    core.raise(("%s: %s: expected a number or {%s}, got a table of %d"):format(name, option, AXES[n], #value))
  end
  for d = 1, n do list[d] = options.expect(name, option, value[d], wanted) end
  return list
end

-- A tensor with n axes of an image and two others, and its shape.
local function with_axes(core, name, x, n, form)
  x = core.tensor_like(x, name)
  local shape = x.shape
  if #shape ~= n + 2 then
    core.raise(("%s: expected %s, got %s"):format(name, form:format(AXES[n]), shapes.text(shape)))
  end
  return x, shape
end

--- Images of n axes and their shape; raises for what is none.
-- @tparam table core
-- @tparam string name of the function
-- @param x
-- @tparam int n axes
-- @treturn Tensor
-- @treturn {int,...}
function M.images(core, name, x, n) return with_axes(core, name .. ": x", x, n, "[batch, %s, channels]") end

--- The weight of a convolution over n axes, likewise.
-- @tparam table core
-- @tparam string name of the function
-- @param weight
-- @tparam int n axes
-- @treturn Tensor
-- @treturn {int,...}
function M.weight(core, name, weight, n) return with_axes(core, name .. ": weight", weight, n, "[%s, in, out]") end

return M
