--- Convolutions that are made of conv2d and its transpose: with the padding that keeps sizes, along one axis and along
-- three.
-- @module latent.base.ops.convolutions
local arguments = require "latent.base.arguments"
local shapes = require "latent.base.shapes"
local spatial = require "latent.base.ops.spatial"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise = core.ops, core.raise

  local STRIDE = {name = "stride", kind = "sizes", default = 1}
  local PADDING = {name = "padding", kind = "padding", default = 0}
  local OUTPUT_PADDING = {name = "output_padding", kind = "sizes", default = 0}
  local DILATION = {name = "dilation", kind = "sizes", default = 1}
  local GROUPS = {name = "groups", kind = "int", default = 1}
  local FORWARD = {STRIDE, PADDING, DILATION, GROUPS}
  local TRANSPOSED = {STRIDE, PADDING, OUTPUT_PADDING, DILATION, GROUPS}

  -- The arguments behind x and the weight: a bias or none, then options.
  local function read(name, params, bias, ...)
    if type(bias) == "table" and bias[1] == nil then -- options in its place
      return nil, arguments.read(name, params, bias)
    end
    return bias ~= nil and core.tensor_like(bias, name .. ": bias") or nil, arguments.read(name, params, ...)
  end

  -- Its sizes along n axes. The padding "same" is all that a window of stride 1 needs, shared by both sides; what is
  -- odd of it stands at the end, which `odd` tells.
  local function settle(name, o, n, kernel)
    o.stride = spatial.sizes(core, name, "stride", o.stride, n, "count")
    o.dilation = spatial.sizes(core, name, "dilation", o.dilation, n, "count")
    if o.output_padding then
      o.output_padding = spatial.sizes(core, name, "output_padding", o.output_padding, n, "size")
    end
    if o.padding == "valid" then o.padding = 0 end
    if o.padding ~= "same" then
      if type(o.padding) == "string" then
        raise(('%s: padding: expected whole numbers, "same" or "valid", got %q'):format(name, o.padding))
      end
      o.padding = spatial.sizes(core, name, "padding", o.padding, n, "size")
      return o
    end
    o.padding, o.odd = {}, {}
    for d = 1, n do
      if o.stride[d] ~= 1 then
        raise(('%s: padding: "same" goes with a stride of 1, got %d'):format(name, o.stride[d]))
      end
      local total = o.dilation[d] * (kernel[d] - 1)
      o.padding[d], o.odd[d] = (total + 1) // 2, total % 2
    end
    return o
  end

  -- Padding that is odd was given to the beginning too: the first window of that axis goes.
  local function without_odd(y, odd)
    for d, one in ipairs(odd or {}) do
      if one == 1 then y = ops.slice(y, d + 1, 2, -1) end
    end
    return y
  end

  -- f of each group's channels, joined; `axis` is that of the weight which the groups share among them.
  local function grouped(name, f, x, weight, bias, groups, axis)
    if groups == 1 then return f(x, weight, bias) end
    local inputs, outputs = x.shape[x:dim()], weight.shape[axis]
    if groups < 1 or inputs % groups ~= 0 or outputs % groups ~= 0 then
      raise(("%s: groups: expected a divisor of %d channels and of %d of the weight, got %d"):format(name, inputs,
        outputs, groups))
    end
    local parts, last = {}, x:dim()
    for g = 1, groups do
      local function part(t, along)
        local n = t.shape[along] // groups
        return ops.slice(t, along, (g - 1) * n + 1, g * n)
      end
      parts[g] = f(part(x, last), part(weight, axis), bias and part(bias, 1))
    end
    return ops.cat(parts, last)
  end

  local function has_word(o) return type(o) == "table" and type(o.padding) == "string" end

  local function conv2d(x, weight, bias, stride, padding, ...)
    if type(padding) ~= "string" and not has_word(stride) and not has_word(bias) then
      return ops.conv2d(x, weight, bias, stride, padding, ...)
    end
    local o, kernel
    bias, o = read("conv2d", FORWARD, bias, stride, padding, ...)
    weight, kernel = spatial.weight(core, "conv2d", weight, 2)
    settle("conv2d", o, 2, kernel)
    local y = ops.conv2d(spatial.images(core, "conv2d", x, 2), weight, bias, o.stride, o.padding, o.dilation, o.groups)
    return without_odd(y, o.odd)
  end

  ---- one axis: images of one row ----

  local function in_rows(t, axis)
    local shape = t.shape
    table.insert(shape, axis, 1)
    return ops.reshape(t, shape)
  end

  local function out_of_rows(y)
    local shape = y.shape
    table.remove(shape, 2)
    return ops.reshape(y, shape)
  end

  local function conv1d(x, weight, bias, ...)
    local o, kernel
    x = spatial.images(core, "conv1d", x, 1)
    bias, o = read("conv1d", FORWARD, bias, ...)
    weight, kernel = spatial.weight(core, "conv1d", weight, 1)
    settle("conv1d", o, 1, kernel)
    local y = ops.conv2d(in_rows(x, 2), in_rows(weight, 1), bias, {1, o.stride[1]}, {0, o.padding[1]},
      {1, o.dilation[1]}, o.groups)
    return without_odd(out_of_rows(y), o.odd)
  end

  local function conv_transpose1d(x, weight, bias, ...)
    local o
    x = spatial.images(core, "conv_transpose1d", x, 1)
    bias, o = read("conv_transpose1d", TRANSPOSED, bias, ...)
    weight = spatial.weight(core, "conv_transpose1d", weight, 1)
    settle("conv_transpose1d", o, 1)
    return out_of_rows(ops.conv_transpose2d(in_rows(x, 2), in_rows(weight, 1), bias, {1, o.stride[1]},
      {0, o.padding[1]}, {0, o.output_padding[1]}, {1, o.dilation[1]}, o.groups))
  end

  ---- three axes: the depth is taken apart into frames, which are images ----

  -- For `count` depths of each item, the frame that `from(depth)` names, from 0; an empty one where it names none.
  local function frames(x, depths, count, from)
    local shape, index = x.shape, {}
    local empty = shape[1] + 1
    for item = 0, shape[1] // math.max(depths, 1) - 1 do
      for depth = 0, count - 1 do
        local d = from(depth)
        index[#index + 1] = d and d >= 0 and d < depths and item * depths + d + 1 or empty
      end
    end
    local nothing = core.zeros({1, shape[2], shape[3], shape[4]}, {dtype = x.dtype})
    return ops.gather_rows(ops.cat{x, nothing}, index)
  end

  local function rest(list) return {list[2], list[3]} end

  -- Frames that a window reads stand side by side in the channels: one convolution of images does the rest.
  local function deep(x, weight, bias, o)
    local n, k = x.shape, weight.shape
    local count = (n[2] + 2 * o.padding[1] - o.dilation[1] * (k[1] - 1) - 1) // o.stride[1] + 1
    if count < 1 then
      raise(("conv3d: weight: a kernel of depth %d does not fit an input of depth %d"):format(k[1], n[2]))
    end
    local images, parts = ops.reshape(x, {n[1] * n[2], n[3], n[4], n[5]}), {}
    for u = 0, k[1] - 1 do
      parts[u + 1] = frames(images, n[2], count, function(depth)
        return depth * o.stride[1] - o.padding[1] + u * o.dilation[1]
      end)
    end
    local flat = ops.reshape(ops.permute(weight, {2, 3, 1, 4, 5}), {k[2], k[3], k[1] * k[4], k[5]})
    local y = ops.conv2d(ops.cat(parts, 4), flat, bias, rest(o.stride), rest(o.padding), rest(o.dilation))
    local size = y.shape
    return ops.reshape(y, {n[1], count, size[2], size[3], size[4]})
  end

  local function check_channels(name, x, weight, groups, per_group)
    local channels, inputs = x.shape[x:dim()], weight.shape[weight:dim() - 1] * (per_group and groups or 1)
    if channels ~= inputs then
      raise(("%s: weight: expected one for %d channels, got %s"):format(name, channels, shapes.text(weight)))
    end
  end

  local function conv3d(x, weight, bias, ...)
    local o, kernel
    x = spatial.images(core, "conv3d", x, 3)
    bias, o = read("conv3d", FORWARD, bias, ...)
    weight, kernel = spatial.weight(core, "conv3d", weight, 3)
    check_channels("conv3d", x, weight, o.groups, true)
    settle("conv3d", o, 3, kernel)
    return without_odd(grouped("conv3d", function(part, w, b) return deep(part, w, b, o) end,
      x, weight, bias, o.groups, 5), o.odd)
  end

  -- Each frame gives, in its channels, what every depth of the kernel makes of it; those of a new frame are added up.
  local function deep_transposed(x, weight, o)
    local n, k = x.shape, weight.shape
    local count = (n[2] - 1) * o.stride[1] - 2 * o.padding[1] + o.dilation[1] * (k[1] - 1) + o.output_padding[1] + 1
    if count < 1 then raise "conv_transpose3d: padding: leaves an output of depth 0" end
    local flat = ops.reshape(ops.permute(weight, {2, 3, 4, 1, 5}), {k[2], k[3], k[4], k[1] * k[5]})
    local z = ops.conv_transpose2d(ops.reshape(x, {n[1] * n[2], n[3], n[4], n[5]}), flat, nil, rest(o.stride),
      rest(o.padding), rest(o.output_padding), rest(o.dilation))
    local y
    for u = 0, k[1] - 1 do
      local part = frames(ops.slice(z, 4, u * k[5] + 1, (u + 1) * k[5]), n[2], count, function(depth)
        local from = depth + o.padding[1] - u * o.dilation[1]
        return from % o.stride[1] == 0 and from // o.stride[1]
      end)
      y = y and ops.add(y, part) or part
    end
    local size = y.shape
    return ops.reshape(y, {n[1], count, size[2], size[3], size[4]})
  end

  local function conv_transpose3d(x, weight, bias, ...)
    local o
    x = spatial.images(core, "conv_transpose3d", x, 3)
    bias, o = read("conv_transpose3d", TRANSPOSED, bias, ...)
    weight = spatial.weight(core, "conv_transpose3d", weight, 3)
    check_channels("conv_transpose3d", x, weight, o.groups)
    settle("conv_transpose3d", o, 3)
    if o.output_padding[1] >= math.max(o.stride[1], o.dilation[1]) then
      raise(("conv_transpose3d: output_padding: expected less than the stride or the dilation, got %d"):format(
        o.output_padding[1]))
    end
    local y = grouped("conv_transpose3d", function(part, w) return deep_transposed(part, w, o) end,
      x, weight, nil, o.groups, 4)
    if not bias then return y end
    local channels = y.shape[5]
    if bias:dim() ~= 1 or bias.shape[1] ~= channels then
      raise(("conv_transpose3d: bias: expected [%d], got %s"):format(channels, shapes.text(bias)))
    end
    return ops.add(y, bias)
  end

  local INPUTS = {"x", "weight", "bias?"}
  local function composite(name, f, params, doc)
    return {name = name, inputs = INPUTS, params = params, f = f, differentiable = true, doc = doc}
  end

  return {
    {name = "conv2d", extends = true, f = conv2d, params = {},
      more = "The padding may also be \"same\" (with stride 1: the size stays) or \"valid\" (none)."},
    composite("conv1d", conv1d, FORWARD, "Convolution of [batch, time, in] with weights [time, in / groups, out], as \z
      conv2d of images with one row, and as fast; padding and groups as there."),
    composite("conv_transpose1d", conv_transpose1d, TRANSPOSED,
      "The adjoint of conv1d: weights [time, in, out / groups]."),
    composite("conv3d", conv3d, FORWARD, "Convolution of [batch, depth, height, width, in] with weights [depth, \z
      height, width, in / groups, out]: one conv2d, the frames of a window side by side in its channels; padding and \z
      groups as there."),
    composite("conv_transpose3d", conv_transpose3d, TRANSPOSED,
      "The adjoint of conv3d: weights [depth, height, width, in, out / groups]."),
  }
end
