--- Layers that move the pixels of images [batch, height, width, channels]: channels that become pixels, and margins.
-- @module latent.nn.pixels
local core = require "latent.core"
local input = require "latent.nn.input"
local lt = require "latent"
local module = require "latent.nn.module"
local options = require "latent.base.options"

local class = module.class

local M = {}

-- ---- channels as pixels, and back ----

-- `channels(c, r)`: how many a map of c channels has behind the layer of the factor r.
local function shuffle(kind, op, channels)
  local new = class(kind, {})
  function new:init(factor) self.factor = options.expect("nn." .. kind, "factor", factor, "count") end
  function new:forward(x) return lt[op](input.check(self, x, input.IMAGES), self.factor) end
  function new:text() return ("%s(%d)"):format(kind, self.factor) end
  function new:torch_layout(value)
    if not value.channels then return value end
    return {is = value.is, channels = channels(value.channels, self.factor)}
  end
  M[kind] = new
end

--- Images [batch, height, width, channels r^2] to [batch, height r, width r, channels], lt.pixel_shuffle: makes them
-- larger behind a convolution (Shi et al., 2016).
-- @function PixelShuffle
-- @tparam int factor r
-- @treturn Module
shuffle("PixelShuffle", "pixel_shuffle", function(c, r) return c // (r * r) end)

--- The way back from PixelShuffle, lt.pixel_unshuffle.
-- @function PixelUnshuffle
-- @tparam int factor
-- @treturn Module
shuffle("PixelUnshuffle", "pixel_unshuffle", function(c, r) return c * r * r end)

-- ---- margins ----

local SIDES = {"left", "right", "top", "bottom"}

local function margin(kind, mode)
  local new, name = class(kind, {torch_layout = "keeps", mode = mode}), "nn." .. kind
  function new:init(padding)
    local list = padding
    if type(padding) == "table" then core.check_list(list, name .. ": padding")
    else list = {padding, padding, padding, padding} end
    if #list ~= 4 then core.raise(name .. ": padding: expected a number or {left, right, top, bottom}") end
    self.padding = {}
    for i, side in ipairs(SIDES) do self.padding[i] = options.expect(name, "padding: " .. side, list[i], "integer") end
  end
  function new:forward(x)
    input.check(self, x, input.IMAGES)
    return lt.pad(x, {0, 0, table.unpack(self.padding)}, self.mode)
  end
  function new:text()
    local p = self.padding
    local all = p[1] == p[2] and p[1] == p[3] and p[1] == p[4]
    return ("%s(%s)"):format(kind, all and p[1] or "{" .. table.concat(p, ", ") .. "}")
  end
  M[kind] = new
end

--- Images with margins of zeros; a negative margin cuts.
-- @function ZeroPad2d
-- @tparam int|{int,int,int,int} padding one number, or {left, right, top, bottom}
-- @treturn Module
margin("ZeroPad2d", "constant")

--- Images with margins that mirror them, without their outermost pixels.
-- @function ReflectionPad2d
-- @tparam int|{int,int,int,int} padding one number, or {left, right, top, bottom}
-- @treturn Module
margin("ReflectionPad2d", "reflect")

--- Images with margins that repeat their outermost pixels.
-- @function ReplicationPad2d
-- @tparam int|{int,int,int,int} padding one number, or {left, right, top, bottom}
-- @treturn Module
margin("ReplicationPad2d", "replicate")

return M
