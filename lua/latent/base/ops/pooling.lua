--- Pools along one axis and along three, made of max_pool2d and avg_pool2d, the places of the maxima, and the way back
-- from these.
-- @module latent.base.ops.pooling
local arguments, options = require "latent.base.arguments", require "latent.base.options"
local shapes = require "latent.base.shapes"
local spatial = require "latent.base.ops.spatial"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops = core.ops

  local KERNEL, STRIDE = {name = "kernel", kind = "sizes", required = true}, {name = "stride", kind = "sizes"}
  local PADDING, CEIL_MODE = {name = "padding", kind = "sizes", default = 0}, {name = "ceil_mode", kind = "bool"}
  local INDICES = {name = "return_indices", kind = "bool"}
  local MAX_WITH_PLACES = {KERNEL, STRIDE, PADDING, {name = "dilation", kind = "sizes", default = 1}, CEIL_MODE,
    INDICES}
  local AVG = {KERNEL, STRIDE, PADDING, CEIL_MODE, {name = "count_include_pad", kind = "bool", default = 1},
    {name = "divisor_override", kind = "int", default = 0}}

  local function max_pool2d(x, ...)
    local last = select("#", ...) > 0 and select(-1, ...)
    local named = type(last) == "table" and (last[1] == nil or next(select(2, options.separate(last))) ~= nil)
    if not named and select("#", ...) < 6 then return ops.max_pool2d(x, ...) end
    local o = arguments.read("max_pool2d", MAX_WITH_PLACES, ...)
    x = core.tensor_like(x, "max_pool2d: x")
    local y = ops.max_pool2d(x, o.kernel, o.stride, o.padding, o.dilation, o.ceil_mode)
    if not o.return_indices then return y end
    return y, ops.max_pool2d_places(x, o.kernel, o.stride, o.padding, o.dilation, o.ceil_mode)
  end

  local function settle(name, o, n)
    o.kernel = spatial.sizes(core, name, "kernel", o.kernel, n, "count")
    o.stride = o.stride and spatial.sizes(core, name, "stride", o.stride, n, "count") or o.kernel
    o.padding = spatial.sizes(core, name, "padding", o.padding, n, "size")
    if o.dilation then o.dilation = spatial.sizes(core, name, "dilation", o.dilation, n, "count") end
    return o
  end

  ---- one axis: images of one row ----

  local function rows(pool, x, o)
    local shape = x.shape
    local y = pool(ops.reshape(x, {shape[1], 1, shape[2], shape[3]}), {1, o.kernel[1]}, {1, o.stride[1]},
      {0, o.padding[1]})
    local size = y.shape
    return ops.reshape(y, {size[1], size[3], size[4]})
  end

  local function max_pool1d(x, ...)
    x = spatial.images(core, "max_pool1d", x, 1)
    local o = settle("max_pool1d", arguments.read("max_pool1d", MAX_WITH_PLACES, ...), 1)
    local function pool_by(op)
      return rows(function(image, kernel, stride, padding)
        return op(image, kernel, stride, padding, {1, o.dilation[1]}, o.ceil_mode)
      end, x, o)
    end
    local y = pool_by(ops.max_pool2d)
    if not o.return_indices then return y end
    return y, pool_by(ops.max_pool2d_places)
  end

  local function avg_pool1d(x, ...)
    x = spatial.images(core, "avg_pool1d", x, 1)
    local o = settle("avg_pool1d", arguments.read("avg_pool1d", AVG, ...), 1)
    local y = rows(function(image, kernel, stride, padding)
      return ops.avg_pool2d(image, kernel, stride, padding, o.ceil_mode, o.count_include_pad, o.divisor_override)
    end, x, o) -- no tail call: errors are to speak of avg_pool1d
    return y
  end

  ---- three axes: height and width of each frame, then the depth ----

  local function deep(x, o, across, along)
    local n = x.shape
    local y = across(ops.reshape(x, {n[1] * n[2], n[3], n[4], n[5]}), {o.kernel[2], o.kernel[3]},
      {o.stride[2], o.stride[3]}, {o.padding[2], o.padding[3]})
    local size = y.shape
    local z = along(ops.reshape(y, {n[1], n[2], size[2] * size[3], n[5]}), {o.kernel[1], 1}, {o.stride[1], 1},
      {o.padding[1], 0})
    return ops.reshape(z, {n[1], z.shape[2], size[2], size[3], n[5]})
  end

  -- Where in its volume each maximum stands: the frame that has it, and the place in that frame. 0, as of max_pool2d,
  -- where a window of wide dilation holds nothing.
  local function places3d(x, o, flat, deepest)
    local n, frames = x.shape, nil
    local function across(image, ...)
      local y = flat(ops.max_pool2d)(image, ...)
      local size = y.shape
      frames = ops.reshape(flat(ops.max_pool2d_places)(image, ...), {n[1], n[2], size[2] * size[3], n[5]})
      return y
    end
    local function along(image, ...)
      local plane = image.shape[3]
      local place = deepest(ops.max_pool2d_places)(image, ...)
      local frame = ops.div(ops.maximum(ops.sub(place, 1), 0), plane, "floor")
      local within = ops.gather(frames, ops.add(frame, 1), 2)
      local none = ops.maximum(ops.eq(place, 0), ops.eq(within, 0))
      return ops.where(none, 0, ops.add(ops.mul(frame, n[3] * n[4]), within))
    end
    return deep(x, o, across, along)
  end

  local function max_pool3d(x, ...)
    x = spatial.images(core, "max_pool3d", x, 3)
    local o = settle("max_pool3d", arguments.read("max_pool3d", MAX_WITH_PLACES, ...), 3)
    local function pooling(dilation)
      return function(op)
        return function(image, kernel, stride, padding)
          return op(image, kernel, stride, padding, dilation, o.ceil_mode)
        end
      end
    end
    local flat, deepest = pooling{o.dilation[2], o.dilation[3]}, pooling{o.dilation[1], 1}
    local y = deep(x, o, flat(ops.max_pool2d), deepest(ops.max_pool2d))
    if not o.return_indices then return y end
    return y, places3d(x:detach(), o, flat, deepest)
  end

  local function avg_pool3d(x, ...)
    x = spatial.images(core, "avg_pool3d", x, 3)
    local o = settle("avg_pool3d", arguments.read("avg_pool3d", AVG, ...), 3)
    local function pool(divisor)
      return function(image, kernel, stride, padding)
        return ops.avg_pool2d(image, kernel, stride, padding, o.ceil_mode, o.count_include_pad, divisor)
      end
    end
    local given = o.divisor_override ~= 0
    return (deep(x, o, pool(given and 1 or 0), pool(o.divisor_override)))
  end

  ---- the way back: maxima at their places, zeros elsewhere ----

  local UNPOOL = {KERNEL, STRIDE, PADDING, {name = "output_size", kind = "sizes"}}

  -- The sizes of what was pooled: several have the same pool, of which the smallest without output_size.
  local function unpooled_sizes(name, shape, o, n)
    local sizes = {}
    local given = o.output_size and spatial.sizes(core, name, "output_size", o.output_size, n, "count")
    for d = 1, n do
      local least = (shape[d + 1] - 1) * o.stride[d] - 2 * o.padding[d] + o.kernel[d]
      sizes[d] = given and given[d] or least
      if math.abs(sizes[d] - least) >= o.stride[d] then
        core.raise(("%s: output_size: expected %d, give or take less than the stride of %d, got %d"):format(name, least,
          o.stride[d], sizes[d]))
      end
    end
    return sizes
  end

  -- As scatter would refuse them, which calls them otherwise.
  local function check_places(name, indices, count)
    if indices:numel() == 0 then return end
    local least, most, _, nans = core.statistics(indices)
    local whole = not indices.dtype:find "^float" or ops.ne(indices, ops.floor(indices)):sum():item() == 0
    if whole and nans == 0 and least >= 1 and most <= count then return end
    for i, place in ipairs(indices:detach():reshape(-1):table()) do
      if not (place >= 1 and place <= count and place % 1 == 0) then
        core.raise(("%s: indices: expected whole numbers 1..%d, got %.9g at position %d"):format(name, count, place, i))
      end
    end
  end

  local function unpool(name, n)
    return function(x, indices, ...)
      local shape
      x, shape = spatial.images(core, name, x, n)
      indices = core.tensor_like(indices, name .. ": indices")
      if shapes.text(indices) ~= shapes.text(shape) then
        core.raise(("%s: indices: expected the shape of x %s, got %s"):format(name, shapes.text(shape),
          shapes.text(indices)))
      end
      local o = settle(name, arguments.read(name, UNPOOL, ...), n)
      local sizes, places = unpooled_sizes(name, shape, o, n), 1
      for _, size in ipairs(sizes) do places = places * math.max(size, 0) end
      check_places(name, indices, places)
      local channels = shape[n + 2]
      local flat = {shape[1], x:numel() // math.max(shape[1] * channels, 1), channels}
      local y = core.zeros({shape[1], places, channels}, {dtype = x.dtype})
      y = ops.scatter(y, ops.reshape(indices, flat), ops.reshape(x, flat), 2, false)
      table.insert(sizes, 1, shape[1])
      sizes[n + 2] = channels
      return (ops.reshape(y, sizes))
    end
  end

  local function composite(name, f, params, doc)
    return {name = name, inputs = {"x"}, params = params, f = f, differentiable = true, doc = doc}
  end

  local function unpooling(name, n, doc)
    return {name = name, inputs = {"x", "indices"}, params = UNPOOL, f = unpool(name, n), differentiable = true,
      doc = doc}
  end

  return {
    {name = "max_pool2d", extends = true, f = max_pool2d, params = {INDICES},
      more = "return_indices = true gives a second result: where in its plane each maximum stands, row by row, \z
        counted from 1."},
    composite("max_pool1d", max_pool1d, MAX_WITH_PLACES, "max_pool2d along the one axis of [batch, time, channels]."),
    composite("avg_pool1d", avg_pool1d, AVG, "avg_pool2d along the one axis of [batch, time, channels]."),
    composite("max_pool3d", max_pool3d, MAX_WITH_PLACES, "The maximum of each window of [batch, depth, height, width, \z
      channels], with the arguments of max_pool2d; the places are counted through the volume."),
    composite("avg_pool3d", avg_pool3d, AVG, "The mean of each window of [batch, depth, height, width, channels], \z
      with the arguments of avg_pool2d."),
    unpooling("max_unpool1d", 1, "The way back from max_pool1d, as max_unpool2d."),
    unpooling("max_unpool2d", 2, "The way back from max_pool2d: images with the maxima at their places, the \z
      indices of return_indices, and zeros elsewhere. kernel, stride and padding are the pool's; output_size tells \z
      the size of what was pooled, where that is not the smallest possible. Of windows that overlap the last writes."),
    unpooling("max_unpool3d", 3, "The way back from max_pool3d, as max_unpool2d."),
  }
end
