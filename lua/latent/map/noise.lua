--- The noise level of images, from the images themselves.
-- @module latent.map.noise
local lt = require "latent"
local core = require "latent.core"
local shapes = require "latent.base.shapes"

local M = {}

local HALVINGS = 30 -- of the interval that holds a median
local NORMAL_QUARTILE = 0.67448975 -- the median of |N(0, 1)|

-- Differences across the diagonals of all 2 x 2 squares, (a - b - c + d) / 2: [n, height - 1, width - 1, channels].
-- White noise keeps its standard deviation; planes, and edges along rows or columns, vanish.
local function diagonal(x)
  local _, h, w = table.unpack(x.shape)
  local function corner(down, right) return x:slice(2, 1 + down, h - 1 + down):slice(3, 1 + right, w - 1 + right) end
  return (corner(0, 0) - corner(0, 1) - corner(1, 0) + corner(1, 1)) / 2
end

-- The same corners, all of which have to be seen.
local function all_seen(mask)
  local _, h, w = table.unpack(mask.shape)
  local function corner(down, right) return mask:slice(2, 1 + down, h - 1 + down):slice(3, 1 + right, w - 1 + right) end
  return corner(0, 0) * corner(0, 1) * corner(1, 0) * corner(1, 1)
end

-- The median of each row [n, k] of values of at least 0, each with a weight of 0 or 1: [n].
local function medians(values, weights)
  local low, high = lt.zeros({#values, 1}, {dtype = values.dtype}), values:max(2, true)
  local half = weights:sum(2, true) / 2
  for _ = 1, HALVINGS do
    local middle = (low + high) / 2
    local enough = (values:le(middle) * weights):sum(2, true):ge(half)
    low, high = lt.where(enough, low, middle), lt.where(enough, middle, high)
  end
  return ((low + high) / 2):reshape(-1)
end

--- See latent.map.estimate_noise.
function M.estimate(images, mask)
  core.check_tensor(images, "map.estimate_noise: images")
  if not images.dtype:find "^float" or images:dim() ~= 4 or images:size(2) < 2 or images:size(3) < 2 then
    core.raise(("map.estimate_noise: images: expected float32 [n, height, width, channels] of at least 2 x 2 pixels, "
      .. "got %s"):format(shapes.typed(images)))
  end
  if mask ~= nil then
    local fits = core.check_tensor(mask, "map.estimate_noise: mask"):dim() == 4
    for axis = 1, 4 do
      local size = fits and mask:size(axis)
      fits = fits and (size == images:size(axis) or size == 1 and (axis == 1 or axis == 4))
    end
    if not fits then
      core.raise(("map.estimate_noise: mask: expected %s, or 1 for images or channels, got %s"):format(
        shapes.text(images), shapes.text(mask)))
    end
  end
  return lt.no_grad(function()
    if mask then
      mask = lt.broadcast_to(mask:ne(0), images.shape)
      images = lt.where(mask, images, 0) -- what is hidden may be NaN
    end
    local x = diagonal(images):abs()
    local weights = mask and all_seen(mask) or lt.ones(x.shape, {dtype = x.dtype})
    return medians(x:reshape(#x, -1), weights:reshape(#x, -1)) / NORMAL_QUARTILE
  end)
end

return M
