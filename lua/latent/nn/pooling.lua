--- Layers that make maps and sequences smaller or larger, without parameters.
-- @module latent.nn.pooling
local core = require "latent.core"
local input = require "latent.nn.input"
local lt = require "latent"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local parts = require "latent.nn.parts"

local ops, class = core.ops, module.class

local M = {}

local POOL = {{"stride", parts.COUNTS, nil, "default: the kernel's size"}, {"padding", parts.SIZES, 0}}

local CEIL_MODE = {"ceil_mode", "boolean", false, "whether incomplete windows at the end count"}

local function init_pool(self, name, kernel, opts, n)
  self.kernel = parts.many(name, "kernel", kernel, "count", n or 2)
  self.stride, self.padding, self.ceil_mode = opts.stride or self.kernel, opts.padding, opts.ceil_mode
end

local function pool_text(self, kind)
  local stride = table.concat(self.stride, " ") ~= table.concat(self.kernel, " ")
  return ("%s(%s%s%s%s)"):format(kind, parts.pair_text(self.kernel),
    stride and ", stride " .. parts.pair_text(self.stride) or "",
    parts.extras(self, {{"padding", 0}, self.dilation and {"dilation", 1} or nil}), self.ceil_mode and ", ceil" or "")
end

local max_options = options.declare("nn.MaxPool2d", {POOL[1], POOL[2], {"dilation", parts.COUNTS, 1}, CEIL_MODE})

--- The largest value of each window.
-- @function MaxPool2d
-- @tparam int|{int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.MaxPool2d = class("MaxPool2d", {torch_layout = "keeps"})
function M.MaxPool2d:init(kernel, opts)
  opts = max_options(opts)
  init_pool(self, "nn.MaxPool2d", kernel, opts)
  self.dilation = opts.dilation
end
function M.MaxPool2d:forward(x)
  return ops.max_pool2d(input.check(self, x, input.IMAGES), self.kernel, self.stride, self.padding, self.dilation,
    self.ceil_mode)
end
function M.MaxPool2d:text() return pool_text(self, "MaxPool2d") end

local COUNT_PAD = {"count_include_pad", "boolean", true, "whether the zeros of the padding count"}
local DIVISOR = {"divisor_override", "integer", nil, "what the sums are divided by instead"}
local avg_options = options.declare("nn.AvgPool2d", {POOL[1], POOL[2], CEIL_MODE, COUNT_PAD, DIVISOR})

--- The mean of each window.
-- @function AvgPool2d
-- @tparam int|{int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.AvgPool2d = class("AvgPool2d", {torch_layout = "keeps"})
function M.AvgPool2d:init(kernel, opts)
  opts = avg_options(opts)
  init_pool(self, "nn.AvgPool2d", kernel, opts)
  self.count_include_pad, self.divisor_override = opts.count_include_pad, opts.divisor_override
end
function M.AvgPool2d:forward(x)
  return ops.avg_pool2d(input.check(self, x, input.IMAGES), self.kernel, self.stride, self.padding, self.ceil_mode,
    self.count_include_pad, self.divisor_override)
end
function M.AvgPool2d:text() return pool_text(self, "AvgPool2d") end

local DEEP = {{"stride", parts.COUNTS3, nil, "default: the kernel's size"}, {"padding", parts.SIZES3, 0}}
local deep_max_options = options.declare("nn.MaxPool3d", {DEEP[1], DEEP[2], {"dilation", parts.COUNTS3, 1}, CEIL_MODE})

--- The largest value of each window of [batch, depth, height, width, channels].
-- @function MaxPool3d
-- @tparam int|{int,int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.MaxPool3d = class("MaxPool3d", {torch_layout = "keeps"})
function M.MaxPool3d:init(kernel, opts)
  opts = deep_max_options(opts)
  init_pool(self, "nn.MaxPool3d", kernel, opts, 3)
  self.dilation = opts.dilation
end
function M.MaxPool3d:forward(x)
  return lt.max_pool3d(input.check(self, x, input.FRAMES), self.kernel, self.stride, self.padding, self.dilation,
    self.ceil_mode)
end
function M.MaxPool3d:text() return pool_text(self, "MaxPool3d") end

local deep_avg_options = options.declare("nn.AvgPool3d", {DEEP[1], DEEP[2], CEIL_MODE, COUNT_PAD, DIVISOR})

--- The mean of each window of [batch, depth, height, width, channels].
-- @function AvgPool3d
-- @tparam int|{int,int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.AvgPool3d = class("AvgPool3d", {torch_layout = "keeps"})
function M.AvgPool3d:init(kernel, opts)
  opts = deep_avg_options(opts)
  init_pool(self, "nn.AvgPool3d", kernel, opts, 3)
  self.count_include_pad, self.divisor_override = opts.count_include_pad, opts.divisor_override
end
function M.AvgPool3d:forward(x)
  return lt.avg_pool3d(input.check(self, x, input.FRAMES), self.kernel, self.stride, self.padding, self.ceil_mode,
    self.count_include_pad, self.divisor_override)
end
function M.AvgPool3d:text() return pool_text(self, "AvgPool3d") end

local upsample_options = options.declare("nn.Upsample", {
  {"mode", options.one_of{"nearest", "nearest-exact", "bilinear", "bicubic", "area"}, "nearest"},
  {"align_corners", "boolean", false, "whether the corner pixels stay in place: of bilinear and bicubic"}})

--- Images made larger, or smaller, as interpolate does it; by whole factors the nearest pixel is the fastest.
-- @function Upsample
-- @tparam number|{number,number} scale height and width, or one number for both
-- @tparam ?table opts
-- @treturn Module
M.Upsample = class("Upsample", {torch_layout = "keeps"})
function M.Upsample:init(scale, opts)
  opts = upsample_options(opts)
  self.mode, self.align_corners = opts.mode, opts.align_corners
  self.scale = parts.pair("nn.Upsample", "scale", scale, "positive")
  self.whole = self.mode == "nearest" and math.tointeger(self.scale[1]) ~= nil and math.tointeger(self.scale[2]) ~= nil
end
function M.Upsample:forward(x)
  input.check(self, x, input.IMAGES)
  if self.whole then return ops.upsample_nearest(x, self.scale) end
  return lt.interpolate(x, {scale_factor = self.scale, mode = self.mode, align_corners = self.align_corners})
end
function M.Upsample:text()
  local height, width = self.scale[1], self.scale[2]
  local scale = core.plainly(string.format, height == width and "%g" or "{%g, %g}", height, width)
  return ("Upsample(%s%s)"):format(scale, self.mode ~= "nearest" and ", " .. self.mode or "")
end

-- ---- along one axis: images of height 1 ----

local LINE = {{"stride", "count", nil, "default: the kernel's size"}, {"padding", "size", 0}}

local function init_line(self, name, kernel, opts)
  self.kernel = options.expect(name, "kernel", kernel, "count")
  self.stride, self.padding = opts.stride or self.kernel, opts.padding
end

-- A pool of images on [batch, time, channels].
local function pool_line(self, op, x)
  local shape = input.check(self, x, input.SEQUENCES).shape
  local y = op(ops.reshape(x, {shape[1], 1, shape[2], shape[3]}), {1, self.kernel}, {1, self.stride}, {0, self.padding})
  return ops.reshape(y, {shape[1], y.shape[3], shape[3]})
end

local function line_text(self, kind)
  return ("%s(%d%s)"):format(kind, self.kernel, parts.extras(self, {{"stride", self.kernel}, {"padding", 0}}))
end

local max_line_options = options.declare("nn.MaxPool1d", LINE)

--- The largest value of each window of [batch, time, channels].
-- @function MaxPool1d
-- @tparam int kernel
-- @tparam ?table opts
-- @treturn Module
M.MaxPool1d = class("MaxPool1d", {torch_layout = "keeps"})
function M.MaxPool1d:init(kernel, opts) init_line(self, "nn.MaxPool1d", kernel, max_line_options(opts)) end
function M.MaxPool1d:forward(x) return pool_line(self, ops.max_pool2d, x) end
function M.MaxPool1d:text() return line_text(self, "MaxPool1d") end

local avg_line_options = options.declare("nn.AvgPool1d", LINE)

--- The mean of each window of [batch, time, channels].
-- @function AvgPool1d
-- @tparam int kernel
-- @tparam ?table opts
-- @treturn Module
M.AvgPool1d = class("AvgPool1d", {torch_layout = "keeps"})
function M.AvgPool1d:init(kernel, opts) init_line(self, "nn.AvgPool1d", kernel, avg_line_options(opts)) end
function M.AvgPool1d:forward(x) return pool_line(self, ops.avg_pool2d, x) end
function M.AvgPool1d:text() return line_text(self, "AvgPool1d") end

-- ---- into so many windows ----

-- A layer for an adaptive pool of n axes.
local function adaptive(kind, op, n, pattern)
  local new, name = class(kind, {torch_layout = "keeps"}), "nn." .. kind
  function new:init(size)
    self.size = n == 1 and {options.expect(name, "size", size, "count")} or parts.many(name, "size", size, "count", n)
  end
  function new:forward(x) return (lt[op](input.check(self, x, pattern), self.size)) end
  function new:text() return ("%s(%s)"):format(kind, parts.pair_text(self.size)) end
  M[kind] = new
end

--- The means of [batch, time, channels] in so many windows.
-- @function AdaptiveAvgPool1d
-- @tparam int size how many
-- @treturn Module
adaptive("AdaptiveAvgPool1d", "adaptive_avg_pool1d", 1, input.SEQUENCES)
--- The means of images in so many windows, whatever their size: nn.AdaptiveAvgPool2d(7).
-- @function AdaptiveAvgPool2d
-- @tparam int|{int,int} size of what comes out
-- @treturn Module
adaptive("AdaptiveAvgPool2d", "adaptive_avg_pool2d", 2, input.IMAGES)
--- The means of volumes in so many windows, whatever their size.
-- @function AdaptiveAvgPool3d
-- @tparam int|{int,int,int} size of what comes out
-- @treturn Module
adaptive("AdaptiveAvgPool3d", "adaptive_avg_pool3d", 3, input.FRAMES)
--- The largest values of [batch, time, channels] in so many windows.
-- @function AdaptiveMaxPool1d
-- @tparam int size how many
-- @treturn Module
adaptive("AdaptiveMaxPool1d", "adaptive_max_pool1d", 1, input.SEQUENCES)
--- The largest values of images in so many windows, whatever their size.
-- @function AdaptiveMaxPool2d
-- @tparam int|{int,int} size of what comes out
-- @treturn Module
adaptive("AdaptiveMaxPool2d", "adaptive_max_pool2d", 2, input.IMAGES)
--- The largest values of volumes in so many windows, whatever their size.
-- @function AdaptiveMaxPool3d
-- @tparam int|{int,int,int} size of what comes out
-- @treturn Module
adaptive("AdaptiveMaxPool3d", "adaptive_max_pool3d", 3, input.FRAMES)

-- ---- over all places ----

-- [batch, ..., channels] as [batch, places, channels].
local function places(self, x)
  local shape = input.check(self, x, input.PLACES).shape
  local n = 1
  for d = 2, #shape - 1 do n = n * shape[d] end
  return ops.reshape(x, {shape[1], n, shape[#shape]})
end

-- One number a channel: rows in the same order here and there.
local function to_rows() return {is = "rows", writers = {}} end

local global_avg_options = options.declare("nn.GlobalAvgPool", {})

--- The mean of each channel over all places: [batch, ..., channels] to [batch, channels].
-- @function GlobalAvgPool
-- @tparam ?table opts there are none so far
-- @treturn Module
M.GlobalAvgPool = class("GlobalAvgPool", {torch_layout = to_rows})
function M.GlobalAvgPool.init(_, opts) global_avg_options(opts) end
function M.GlobalAvgPool:forward(x) return ops.mean(places(self, x), 2) end
function M.GlobalAvgPool.text() return "GlobalAvgPool" end

local global_max_options = options.declare("nn.GlobalMaxPool", {})

--- The largest value of each channel over all places: [batch, ..., channels] to [batch, channels].
-- @function GlobalMaxPool
-- @tparam ?table opts there are none so far
-- @treturn Module
M.GlobalMaxPool = class("GlobalMaxPool", {torch_layout = to_rows})
function M.GlobalMaxPool.init(_, opts) global_max_options(opts) end
function M.GlobalMaxPool:forward(x) return ops.max(places(self, x), 2) end
function M.GlobalMaxPool.text() return "GlobalMaxPool" end

return M
