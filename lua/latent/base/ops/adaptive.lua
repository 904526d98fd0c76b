--- Pools whose windows follow from the size of the result: of n elements along an axis the i-th of m windows has those
-- from floor((i - 1) n / m) + 1 to ceil(i n / m), as PyTorch's adaptive pools do.
-- @module latent.base.ops.adaptive
local arguments = require "latent.base.arguments"
local spatial = require "latent.base.ops.spatial"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops = core.ops

  local SIZE = {name = "output_size", kind = "sizes", required = true}
  local MAX = {SIZE, {name = "return_indices", kind = "bool", default = 0}}

  -- Where m windows of n elements begin; how many elements the longest has; and all elements of all of them, where a
  -- shorter one repeats its last. Without these where the windows follow one another.
  local function windows(n, m)
    local i = core.arange(0, m - 1, {dtype = "i64"})
    local first = ops.add(ops.div(ops.mul(i, n), m, "floor"), 1)
    if n % m == 0 then return first, n // m end
    local last = ops.mul(ops.div(ops.mul(ops.add(i, 1), -n), m, "floor"), -1)
    local width = ops.max(ops.sub(last, first)):item() + 1
    local ahead = core.arange(0, width - 1, {dtype = "i64"})
    local index = ops.minimum(ops.add(ops.reshape(first, {m, 1}), ahead), ops.reshape(last, {m, 1}))
    return first, width, ops.reshape(index, {-1})
  end

  -- An axis as two: the windows, and what is in each.
  local function split(x, axis, m, width, index)
    if index then x = ops.gather_rows(x, index, axis) end
    local shape = x.shape
    shape[axis] = m
    table.insert(shape, axis + 1, width)
    return ops.reshape(x, shape)
  end

  -- The place of each maximum along an axis, and through the axes behind it, of which `inner` tells those so far.
  local function places_along(parted, axis, first, inner, behind)
    local shape = {}
    for d = 1, parted:dim() - 1 do shape[d] = d == axis and first:numel() or 1 end
    local place = ops.sub(ops.add(ops.argmax(parted, axis + 1), ops.reshape(first, shape)), 1)
    if not inner then return place end
    return ops.add(ops.mul(ops.sub(place, 1), behind), ops.gather(inner, place, axis))
  end

  -- Of no elements: an axis of them has no maximum, and other axes may be as long as any.
  local function pool_nothing(x, sizes, shape)
    for d, size in ipairs(sizes) do
      if shape[d + 1] == 0 then ops.max(x, d + 1) end
      shape[d + 1] = size
    end
    local y = ops.reshape(x, shape)
    return y, y:detach():long()
  end

  -- The last axis first, so that the first of equals, row by row, is found.
  local function pool_max(x, sizes, shape, with_places)
    if x:numel() == 0 then return pool_nothing(x, sizes, shape) end
    local places, behind = nil, 1
    for d = #sizes, 1, -1 do
      local axis, m = d + 1, sizes[d]
      local first, width, index = windows(shape[axis], m)
      local parted = split(x, axis, m, width, index)
      if with_places then places = places_along(parted:detach(), axis, first, places, behind) end
      x, behind = ops.max(parted, axis + 1), behind * shape[axis]
    end
    return x, places
  end

  local function max_pool(name, n)
    return function(x, ...)
      local shape
      x, shape = spatial.images(core, name, x, n)
      local o = arguments.read(name, MAX, ...)
      local sizes = spatial.sizes(core, name, "output_size", o.output_size, n, "count")
      local y, places = pool_max(x, sizes, shape, o.return_indices)
      if not o.return_indices then return y end
      return y, places
    end
  end

  local function avg_pool(name, n)
    return function(x, ...)
      x = spatial.images(core, name, x, n)
      local sizes = arguments.read(name, {SIZE}, ...).output_size
      for d, size in ipairs(spatial.sizes(core, name, "output_size", sizes, n, "count")) do
        x = ops.resample(x, d + 1, size, "area", false, false, 0)
      end
      return x
    end
  end

  local AXES = {"time", "height, width", "depth, height, width"}
  local list = {}
  for n, axes in ipairs(AXES) do
    local function add(name, params, f, doc)
      list[#list + 1] = {name = name, inputs = {"x"}, params = params, f = f, differentiable = true, doc = doc}
    end
    local avg, max = ("adaptive_avg_pool%dd"):format(n), ("adaptive_max_pool%dd"):format(n)
    add(avg, {SIZE}, avg_pool(avg, n), ("The means of [batch, %s, channels] in as many windows as output_size says: a \z
      number, or one for each axis. 1 gives the mean of all places."):format(axes))
    add(max, MAX, max_pool(max, n), ("The maxima of [batch, %s, channels] in as many windows as output_size says, as \z
      %s; return_indices as in max_pool%dd."):format(axes, avg, n))
  end
  return list
end
