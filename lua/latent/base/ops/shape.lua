--- Ops that are made of other ops. Each entry has what a row of the C table has: name, inputs, doc,
-- params; `f` is the function.
-- @module latent.base.ops.shape
local arguments = require "latent.base.arguments"
local axes = require "latent.base.axes"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core
-- @treturn {table,...} the list
return function(core)
  local ops, raise, check = core.ops, core.raise, core.check_tensor
  local axis_of, whole_numbers = axes.axis, axes.whole_numbers

  local TRANSPOSE = {{name = "a", kind = "axis", default = 1}, {name = "b", kind = "axis", default = 2}}
  local function transpose(x, ...)
    local dims, a, b = check(x, "transpose"):dim(), arguments.few("transpose", TRANSPOSE, ...)
    if dims < 2 and select("#", ...) == 0 then
      raise("transpose: expected a tensor with at least 2 axes, got " .. options.describe(x))
    end
    local order = {}
    for d = 1, dims do order[d] = d end
    a, b = axis_of("transpose", a, dims, "a"), axis_of("transpose", b, dims, "b")
    order[a], order[b] = order[b], order[a]
    return ops.permute(x, order)
  end

  local UNSQUEEZE = {{name = "axis", kind = "axis", required = true}}
  local function unsqueeze(x, ...)
    local shape = check(x, "unsqueeze").shape
    local axis = arguments.few("unsqueeze", UNSQUEEZE, ...)
    table.insert(shape, axis_of("unsqueeze", axis, #shape + 1), 1)
    return ops.reshape(x, shape)
  end

  local SQUEEZE = {{name = "axis", kind = "axes"}}
  local function squeeze(x, ...)
    local shape, chosen = check(x, "squeeze").shape, {}
    local axis = arguments.few("squeeze", SQUEEZE, ...)
    for _, a in ipairs(type(axis) == "table" and whole_numbers("squeeze", "axis", axis) or {axis}) do
      a = axis_of("squeeze", a, #shape)
      if chosen[a] then raise(("squeeze: axis: %d is given twice"):format(a)) end
      chosen[a] = true
    end
    for d = #shape, 1, -1 do
      if shape[d] == 1 and (axis == nil or chosen[d]) then table.remove(shape, d) end
    end
    return ops.reshape(x, shape)
  end

  local FLATTEN = {{name = "first", kind = "axis", default = 1}, {name = "last", kind = "axis", default = -1}}
  local function flatten(x, ...)
    local shape, first, last = check(x, "flatten").shape, arguments.few("flatten", FLATTEN, ...)
    local dims = math.max(#shape, 1)
    first, last = axis_of("flatten", first, dims, "first"), axis_of("flatten", last, dims, "last")
    if first > last then raise(("flatten: last: expected at least %d, as the first, got %d"):format(first, last)) end
    local kept, n = {}, 1
    for d, size in ipairs(shape) do
      if d < first then kept[d] = size elseif d <= last then n = n * size end
    end
    kept[first] = n
    table.move(shape, last + 1, #shape, first + 1, kept)
    return ops.reshape(x, kept)
  end

  local function one_hot(labels, classes, ...)
    if classes ~= nil then return ops.one_hot(labels, classes, ...) end
    labels = core.tensor_like(labels, "one_hot: labels")
    if labels:numel() == 0 then raise "one_hot: classes: expected a number, as there are no labels to count from" end
    local most = math.tointeger(ops.max(labels:float()):item()) -- nil: the row says which label is none
    return ops.one_hot(labels, math.max(most or 0, 0) + 1)
  end

  local STACK = {{name = "axis", kind = "axis", default = 1}}
  local function stack(list, ...)
    local got = options.describe(list)
    if got ~= "a table" or #list == 0 then
      raise("stack: expected a list of tensors, such as {x, y}, got " .. (got == "a table" and "an empty table" or got))
    end
    core.check_list(list, "stack")
    local axis = arguments.few("stack", STACK, ...)
    local raised, want = {}, nil
    for i = 1, #list do
      local x = check(list[i], "stack: item " .. i)
      local have = shapes.typed(x)
      want = want or have
      if have ~= want then raise(("stack: item %d: expected %s, as the first, got %s"):format(i, want, have)) end
      raised[i] = unsqueeze(x, axis_of("stack", axis, x:dim() + 1))
    end
    return ops.cat(raised, axis)
  end

  local BROADCAST_TO = {{name = "shape", kind = "shape", required = true}}
  local function broadcast_to(x, ...)
    local have, shape = check(x, "broadcast_to").shape, ...
    if type(shape) == "number" then
      shape = {...}
    elseif type(shape) == "table" and next(shape) ~= nil then -- a scalar's shape is no options
      shape = arguments.read("broadcast_to", BROADCAST_TO, ...).shape
    end
    if shape == nil then raise "broadcast_to: expected a shape" end
    local target = core.zeros(shape, {dtype = x.dtype})
    local want = target.shape
    local lead = #want - #have
    local fits = lead >= 0
    for d, size in ipairs(have) do fits = fits and (size == 1 or size == want[lead + d]) end
    if not fits then
      raise(("broadcast_to: %s does not fit into %s"):format(shapes.text(have), shapes.text(want)))
    end
    local y = ops.add(x, target)
    return x.dtype == "u8" and y:byte() or y -- a sum of bytes is i64
  end

  local function clone(x, ...)
    check(x, "clone")
    if select("#", ...) > 0 then arguments.read("clone", {}, ...) end
    if x.requires_grad and core.is_recording() then return ops.add(x, 0) end
    return core.tensor(x)
  end

  local function op(name, params, f, doc)
    return {name = name, inputs = {"x"}, params = params, f = f, differentiable = true, doc = doc}
  end
  return {
    op("transpose", TRANSPOSE, transpose, "A copy with two axes exchanged (1 and 2 unless said)."),
    op("unsqueeze", UNSQUEEZE, unsqueeze, "A view with a new axis of size 1 at the given place."),
    op("squeeze", SQUEEZE, squeeze,
      "A view without the given axis, or those of a list, where the size is 1; without all axes of size 1."),
    op("flatten", FLATTEN, flatten,
      "A view with all axes from the first given (1 unless said) to the last (-1 unless said) made one."),
    {name = "one_hot", extends = true, f = one_hot,
      more = "Without classes, as many as the largest label asks for."},
    {name = "stack", inputs = {"xs*"}, params = STACK, f = stack, differentiable = true,
      doc = "A list of tensors of one shape, joined along a new axis."},
    op("broadcast_to", BROADCAST_TO, broadcast_to, "x repeated along axes of size 1 until it has the given shape."),
    op("clone", {}, clone, "A copy with storage of its own."),
  }
end
