--- Reductions over several axes, where the core's rows take one; extrema whose equals share their gradient; softmax in
-- another type.
-- @module latent.base.ops.reductions
local arguments = require "latent.base.arguments"
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

  -- Raises where one of the axes has nothing to choose from: of x as it was given, not of what is left of it.
  local function refuse_empty(row, x, axes)
    local shape = x.shape
    for i = #axes, 1, -1 do
      if shape[axes[i]] == 0 then ops[row](x, axes[i]) end
    end
  end

  -- Axis by axis, the last first, so that the first of equals stays the first in the order of the elements.
  local function over_several(name, x, list, keepdim)
    x = like(x, name .. ": x")
    local axes, gone = sorted_axes(name, x, list)
    refuse_empty(name, x, axes)
    local y, kept = x, {}
    for _, axis in ipairs(axes) do y = ops[name](y, axis, true) end
    if keepdim then return y end
    for d, size in ipairs(x.shape) do
      if not gone[d] then kept[#kept + 1] = size end
    end
    return ops.reshape(y, kept)
  end

  local AXES = {{name = "axis", kind = "axes"}, {name = "keepdim", kind = "bool", default = 0}}

  local function reduction(name, doc)
    local function f(x, axis, keepdim, ...)
      if type(axis) ~= "table" then return ops[name](x, axis, keepdim, ...) end
      local o = arguments.read(name, AXES, axis, keepdim, ...)
      if type(o.axis) == "table" and next(o.axis) ~= nil then
        return over_several(name, x, core.check_list(o.axis, name .. ": axis"), o.keepdim)
      end
      return ops[name](x, axis, keepdim, ...)
    end
    return {name = name, extends = true, f = f, doc = doc}
  end

  ---- extrema whose equals share the gradient ----

  -- The extrema y of x, which keep their axes; where nothing wants a gradient, y does.
  local share_evenly = core.op{
    name = "extrema",
    forward = function(ctx, x, y)
      ctx:save(x, y)
      return y
    end,
    backward = function(ctx, dy)
      local x, y = ctx:saved()
      local axes = {}
      for d, size in ipairs(y.shape) do axes[#axes + 1] = size == 1 and d or nil end
      local equal = ops.where(ops.eq(x, y), core.ones(1, {dtype = x.dtype}), 0)
      return ops.mul(equal, ops.div(dy, ops.sum(equal, axes, true))), nil
    end,
  }

  local function extrema(name, row, doc)
    local function f(x, ...)
      x = like(x, name .. ": x")
      local o, shape = arguments.read(name, AXES, ...), x.shape
      core.check_list(o.axis, name .. ": axis")
      local list = type(o.axis) == "table" and table.move(o.axis, 1, #o.axis, 1, {}) or {o.axis}
      for d = 1, #list == 0 and #shape or 0 do list[d] = d end
      local axes, gone = sorted_axes(row, x, list)
      if #axes == 0 then return (ops[row](x)) end
      refuse_empty(row, x, axes)
      local y = x:detach()
      for _, axis in ipairs(axes) do y = ops[row](y, axis, true) end
      if x.requires_grad and core.is_recording() then y = share_evenly(x, y) end
      if o.keepdim then return y end
      local kept = {}
      for d, size in ipairs(shape) do
        if not gone[d] then kept[#kept + 1] = size end
      end
      return (ops.reshape(y, kept))
    end
    return {name = name, inputs = {"x"}, params = AXES, f = f, differentiable = true, doc = doc}
  end

  ---- softmax in another type ----

  local DTYPE = {name = "dtype", kind = "dtype"}
  local SOFTMAX = {{name = "axis", kind = "axis", required = true}, DTYPE}

  local function softmax(name)
    local function f(x, axis, ...)
      if select("#", ...) == 0 and type(axis) ~= "table" then return ops[name](x, axis) end
      local o = arguments.read(name, SOFTMAX, axis, ...)
      x = like(x, name .. ": x")
      if o.dtype and o.dtype ~= x.dtype then x = o.dtype == "float64" and x:double() or x:float() end
      return (ops[name](x, o.axis))
    end
    return {name = name, extends = true, f = f, params = {DTYPE},
      more = "dtype (\"float32\" or \"float64\"): x becomes of that type before, and the result is of it."}
  end

  return {
    softmax "softmax", softmax "log_softmax",
    extrema("amax", "max", "The largest element, over all, along an axis or a list of axes; equals share the \z
      gradient evenly, where max gives it to the first."),
    extrema("amin", "min", "The smallest element, over all, along an axis or a list of axes; equals share the \z
      gradient evenly, where min gives it to the first."),
    reduction("max", "The largest element, over all, along an axis or a list of axes; the first of equals takes the \z
      gradient."),
    reduction("min", "The smallest element, over all, along an axis or a list of axes; the first of equals takes the \z
      gradient."),
    reduction("logsumexp", "log(sum(e^x)) over all elements, along an axis or a list of axes, without overflow."),
  }
end
