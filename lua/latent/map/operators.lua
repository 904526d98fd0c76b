--- What a measurement does to a picture: operators A for y = A(x) + noise. Any function of (x, rows) made of
-- tape ops will do; the objects below are such functions, and know a little more.
-- @module latent.map.operators
local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

local Operator = {}
Operator.__index = Operator
Operator.__call = function(self, x, rows) return self.apply(x, rows) end

local function new(fields) return setmetatable(fields, Operator) end

--- See latent.map.identity.
function M.identity()
  return new{name = "identity", apply = function(x) return x end}
end

--- See latent.map.mask.
function M.mask(mask)
  core.check_tensor(mask, "map.mask: mask")
  local dims = mask:dim()
  if dims ~= 3 and dims ~= 4 then
    raise(("map.mask: mask: expected [height, width, channels] or [n, ...] of it, got %s"):format(shapes.text(mask)))
  end
  if dims == 3 then mask = mask:unsqueeze(1) end
  mask = mask:ne(0)
  local seen, n = mask:reshape(#mask, -1):sum(2), #mask
  if seen:min():item() == 0 then raise("map.mask: mask: hides every pixel of an image") end
  local function of(rows) return n > 1 and rows and mask:gather_rows(rows) or mask end
  return new{name = "mask", images = n, of = of, apply = function(x, rows) return x * of(rows) end}
end

-- A normalised Gaussian, cut off at three standard deviations: [size, size, 1, 1].
local function gaussian(sigma)
  local reach = math.max(1, math.ceil(3 * sigma))
  local x = lt.arange(-reach, reach)
  local line = (x:square() / (-2 * sigma * sigma)):exp()
  line = line / line:sum()
  local size = 2 * reach + 1
  return (line:reshape(size, 1) * line:reshape(1, size)):reshape(size, size, 1, 1), reach
end

local blur_options = options.declare("map.blur", {{"background", "finite", -1, "the value outside the picture"}})

--- See latent.map.blur.
function M.blur(sigma, opts)
  options.expect("map.blur", "sigma", sigma, "positive")
  local background = blur_options(opts).background
  local kernel, reach = gaussian(sigma)
  local kernels = {[kernel.dtype] = kernel}
  local function blur(x)
    kernels[x.dtype] = kernels[x.dtype] or lt.tensor(kernel, {dtype = x.dtype})
    return lt.conv2d(x - background, kernels[x.dtype], nil, {padding = reach}) + background
  end
  return new{name = "blur", apply = function(x)
    local n, h, w, c = table.unpack(x.shape)
    if c == 1 then return blur(x) end
    local planes = blur(x:permute{1, 4, 2, 3}:reshape(n * c, h, w, 1))
    return planes:reshape(n, c, h, w):permute{1, 3, 4, 2}
  end}
end

--- See latent.map.downsample.
function M.downsample(factor)
  factor = options.expect("map.downsample", "factor", factor, "count")
  return new{name = "downsample", apply = function(x) return lt.avg_pool2d(x, factor) end}
end

--- Is this one of the objects above, rather than a function of the user's?
-- @param value
-- @treturn boolean
function M.is_operator(value) return getmetatable(value) == Operator end

return M
