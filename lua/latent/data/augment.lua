--- Augmentation: a function that changes the images of a batch at random, for `data.map`.
-- @module latent.data.augment
local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"

local raise = core.raise

local M = {}

local function check_images(x)
  if not core.is_tensor(x) or x:dim() ~= 4 then
    raise("data.augment: x: expected images [b, height, width, channels], got " .. options.describe(x))
  end
end

-- Half of the images, drawn by lot, the other way round.
local function flip(x, generator)
  local turned = lt.rand(x:size(1), 1, 1, 1, {generator = generator}):lt(0.5)
  return lt.where(turned:broadcast_to(x.shape), x:flip(3), x)
end

-- A frame of the value `fill` around all images.
local function framed(x, width, fill)
  local b, h, w, c = table.unpack(x.shape)
  local side = lt.full({b, h, width, c}, fill)
  local wide = lt.cat({side, x, side}, 3)
  local top = lt.full({b, width, w + 2 * width, c}, fill)
  return lt.cat({top, wide, top}, 2)
end

-- Each image moved by up to `most` pixels in both directions.
local function shift(x, most, fill, generator)
  local b, h, w = table.unpack(x.shape)
  local frame = framed(x, most, fill)
  local places = lt.rand(b, 2, {generator = generator}):table()
  local out = {}
  for i, place in ipairs(places) do
    local down = math.min(place[1] * (2 * most + 1) // 1, 2 * most)
    local right = math.min(place[2] * (2 * most + 1) // 1, 2 * most)
    out[i] = frame[i]:slice(1, down + 1, down + h):slice(2, right + 1, right + w)
  end
  return lt.stack(out, 1)
end

local read_options = options.declare("data.augment", {
  {"flip", "boolean", false, "half of the images the other way round, left and right"},
  {"shift", "size", 0, "pixels by which an image moves at most, in both directions"},
  {"fill", "finite", -1, "what comes in at the edge"},
  {"noise", "not negative", 0, "standard deviation of Gaussian noise"},
  {"brightness", "not negative", 0, "what is added to an image, at most"},
  {"contrast", "share", 0, "an image's values are multiplied by 1 - contrast to 1 + contrast"},
})

--- See latent.data.augment.
function M.new(opts)
  local o = read_options(opts)
  return function(x, y, generator)
    check_images(x)
    return lt.no_grad(function()
      local function each(spread) -- a number for each image, from -spread to spread
        return (lt.rand(x:size(1), 1, 1, 1, {generator = generator}) * 2 - 1) * spread
      end
      if o.flip then x = flip(x, generator) end
      if o.shift > 0 then x = shift(x, o.shift, o.fill, generator) end
      if o.contrast > 0 then x = x * (each(o.contrast) + 1) end
      if o.brightness > 0 then x = x + each(o.brightness) end
      if o.noise > 0 then x = x + lt.randn(x, {generator = generator}) * o.noise end
      return x, y
    end)
  end
end

return M
