--- Reductions over several axes, where the core's rows take one.
-- @module latent.base.ops.reductions
local options = require "latent.base.options"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, like = core.ops, core.tensor_like

  -- The axes of a list counted from 1, the last first; raises what the row would raise.
  local function sorted_axes(name, x, list)
    local dims, axes, seen = x:dim(), {}, {}
    for i, axis in ipairs(list) do
      axis = options.expect(name, "axis", axis, "integer")
      if axis == 0 or axis < -dims or axis > dims then ops[name](x, axis) end
      axes[i] = axis > 0 and axis or dims + 1 + axis
      if seen[axes[i]] then core.raise(("%s: axis: %d is given twice"):format(name, axes[i])) end
      seen[axes[i]] = true
    end
    table.sort(axes, function(a, b) return a > b end)
    return axes, seen
  end

  -- Axis by axis, the last first, so that the first of equals stays the first in the order of the elements.
  local function over_several(name, x, list, keepdim)
    x = like(x, name .. ": x")
    local axes, gone = sorted_axes(name, x, list)
    if keepdim ~= nil then options.expect(name, "keepdim", keepdim, "boolean") end
    local y, kept = x, {}
    for _, axis in ipairs(axes) do y = ops[name](y, axis, true) end
    if keepdim then return y end
    for d, size in ipairs(x.shape) do
      if not gone[d] then kept[#kept + 1] = size end
    end
    return ops.reshape(y, kept)
  end

  local function reduction(name, doc)
    local function f(x, axis, keepdim, ...)
      if type(axis) == "table" and not core.is_tensor(axis) then
        if #axis > 0 then
          if type(keepdim) == "table" then keepdim = options.check(name, keepdim, {"keepdim"}).keepdim end
          return over_several(name, x, axis, keepdim)
        end
        if type(axis.axis) == "table" and #axis.axis > 0 then
          options.check(name, axis, {"axis", "keepdim"})
          return over_several(name, x, axis.axis, axis.keepdim)
        end
      end
      return ops[name](x, axis, keepdim, ...)
    end
    return {name = name, extends = true, f = f, doc = doc}
  end

  return {
    reduction("max", "The largest element, over all, along an axis or a list of axes; the first of equals takes the \z
      gradient."),
    reduction("min", "The smallest element, over all, along an axis or a list of axes; the first of equals takes the \z
      gradient."),
    reduction("logsumexp", "log(sum(e^x)) over all elements, along an axis or a list of axes, without overflow."),
  }
end
