--- Images of another size: interpolate, axis by axis; and channels that become pixels.
-- @module latent.base.ops.resampling
local arguments = require "latent.base.arguments"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local spatial = require "latent.base.ops.spatial"

-- The modes, for how many axes each is (0: any), and what each does along one.
local MODES = {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"}
local AXES = {linear = 1, bilinear = 2, trilinear = 3, bicubic = 2}
local ALONG = {linear = "linear", bilinear = "linear", trilinear = "linear", bicubic = "cubic"}

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise = core.ops, core.raise

  local PARAMS = {{name = "size", kind = "sizes"}, {name = "scale_factor", kind = "scales"},
    {name = "mode", kind = "choice", choices = MODES, default = 0}, {name = "align_corners", kind = "bool"},
    {name = "antialias", kind = "bool"}}

  local function check(o, x, n)
    if n < 1 or n > 3 then
      raise("interpolate: x: expected [batch, one to three axes, channels], got " .. shapes.text(x))
    end
    local axes = AXES[o.mode]
    if axes and axes ~= n then
      raise(('interpolate: mode: "%s" is for %d spatial %s, got %s'):format(o.mode, axes,
        axes == 1 and "axis" or "axes", shapes.text(x)))
    end
    if (o.align_corners or o.antialias) and not axes then
      raise(('interpolate: %s: goes with the linear and cubic modes, not with "%s"'):format(
        o.align_corners and "align_corners" or "antialias", o.mode))
    end
    if o.antialias and n ~= 2 then raise "interpolate: antialias: goes with bilinear and bicubic" end
    if (o.size == nil) == (o.scale_factor == nil) then
      raise("interpolate: expected size or scale_factor, got " .. (o.size == nil and "neither" or "both"))
    end
  end

  -- The new sizes, and how many old elements a new one has, 0 where the sizes say it.
  local function sizes_of(o, shape, n)
    local steps = {}
    if o.size then
      for d = 1, n do steps[d] = 0 end
      return spatial.sizes(core, "interpolate", "size", o.size, n, "count"), steps
    end
    local factors, sizes = spatial.sizes(core, "interpolate", "scale_factor", o.scale_factor, n, "positive"), {}
    for d = 1, n do
      sizes[d], steps[d] = math.floor(shape[d + 1] * factors[d]), 1 / factors[d]
      if sizes[d] < 1 then
        raise(("interpolate: scale_factor: %s leaves nothing of %d elements"):format(options.describe(factors[d]),
          shape[d + 1]))
      end
    end
    return sizes, steps
  end

  local function whole_factors(shape, sizes, n)
    if n ~= 2 then return nil end
    local height, width = sizes[1] / shape[2], sizes[2] / shape[3]
    height, width = math.tointeger(height), math.tointeger(width)
    return height and width and {height, width}
  end

  local function interpolate(x, ...)
    x = core.tensor_like(x, "interpolate: x")
    local o, shape = arguments.read("interpolate", PARAMS, ...), x.shape
    local n = #shape - 2
    check(o, x, n)
    local sizes, steps = sizes_of(o, shape, n)
    local factors = o.mode == "nearest" and whole_factors(shape, sizes, n)
    if factors then return ops.upsample_nearest(x, factors) end
    for d = 1, n do
      x = ops.resample(x, d + 1, sizes[d], ALONG[o.mode] or o.mode, o.align_corners, o.antialias, steps[d])
    end
    return x
  end

  ---- channels as pixels, and back ----

  local FACTOR = {{name = "factor", kind = "int", required = true}}

  -- The factor, at least 1, and the shape.
  local function factor_of(name, x, ...)
    local _, shape = spatial.images(core, name, x, 2)
    return options.expect(name, "factor", arguments.read(name, FACTOR, ...).factor, "count"), shape
  end

  local function pixel_shuffle(x, ...)
    local r, s = factor_of("pixel_shuffle", x, ...)
    if s[4] % (r * r) ~= 0 then
      raise(("pixel_shuffle: x: expected a multiple of %d channels, for the factor %d, got %s"):format(r * r, r,
        shapes.text(x)))
    end
    local c = s[4] // (r * r)
    local y = ops.permute(ops.reshape(x, {s[1], s[2], s[3], c, r, r}), {1, 2, 5, 3, 6, 4})
    return (ops.reshape(y, {s[1], s[2] * r, s[3] * r, c}))
  end

  local function pixel_unshuffle(x, ...)
    local r, s = factor_of("pixel_unshuffle", x, ...)
    if s[2] % r ~= 0 or s[3] % r ~= 0 then
      raise(("pixel_unshuffle: x: expected a height and a width that are multiples of %d, got %s"):format(r,
        shapes.text(x)))
    end
    local height, width = s[2] // r, s[3] // r
    local y = ops.permute(ops.reshape(x, {s[1], height, r, width, r, s[4]}), {1, 2, 4, 6, 3, 5})
    return (ops.reshape(y, {s[1], height, width, s[4] * r * r}))
  end

  local function shuffle(name, f, doc)
    return {name = name, inputs = {"x"}, params = FACTOR, f = f, differentiable = true, doc = doc}
  end

  return {
    shuffle("pixel_shuffle", pixel_shuffle, "Images [batch, height, width, channels r^2] as [batch, height r, \z
      width r, channels], r being the factor: of a channel's r^2 the first r become the first row of a pixel's square \z
      (Shi et al., 2016)."),
    shuffle("pixel_unshuffle", pixel_unshuffle, "The way back from pixel_shuffle: each r x r square of pixels becomes \z
      the channels of one."),
    {name = "interpolate", inputs = {"x"}, params = PARAMS, f = interpolate, differentiable = true,
      doc = "Images [batch, one to three axes, channels] at another size (one number or a list), or scaled by a \z
        factor. Modes: nearest, nearest-exact (by the centres of pixels), linear for one axis, bilinear and bicubic \z
        for two, trilinear for three, and area, the mean of what a new pixel covers. align_corners = true: the corner \z
        pixels stay in place. antialias = true: shrinking bilinear and bicubic average over all that a new pixel \z
        covers."},
  }
end
