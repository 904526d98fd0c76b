--- Layers with parameters or options. Images are [batch, height, width, channels].
-- Weights start as in PyTorch: uniform in +-1 / sqrt(fan in).
-- @module latent.nn.layers
local core = require "latent.core"
local input = require "latent.nn.input"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local ops, raise, class = core.ops, core.raise, module.class

local M = {}

-- Uniform in +-bound, from the default generator.
local function uniform(bound, ...)
  return core.param(ops.mul(ops.sub(core.rand(...), 0.5), 2 * bound))
end

-- {height, width} from a number or a pair of what `options.expect` calls "size" or "count".
local function pair(name, option, value, wanted)
  if type(value) ~= "table" then
    value = options.expect(name, option, value, wanted)
    return {value, value}
  end
  if #value ~= 2 then raise(("%s: %s: expected a number or {height, width}"):format(name, option)) end
  return {options.expect(name, option, value[1], wanted), options.expect(name, option, value[2], wanted)}
end

-- The same as kinds of options.
local function pair_kind(wanted, words)
  return {type = "int|{int,int}", words = function() return words end, check = function(where, value)
    local name, option = where:match "^(.*): (.*)$"
    return pair(name, option, value, wanted)
  end}
end
local SIZES = pair_kind("size", "a number of at least 0 or {height, width}")
local COUNTS = pair_kind("count", "a number of at least 1 or {height, width}")

local BIAS = {"bias", "boolean", true, "whether the layer has one"}
local STRIDE, PADDING, DILATION = {"stride", COUNTS, 1}, {"padding", SIZES, 0}, {"dilation", COUNTS, 1}

local function pair_text(p) return p[1] == p[2] and ("%d"):format(p[1]) or ("{%d, %d}"):format(p[1], p[2]) end

-- ", stride 2" and the like, for options that are not at their default.
local function extras(self, defaults)
  local text = ""
  for _, default in ipairs(defaults) do
    local p = self[default[1]]
    if p[1] ~= default[2] or p[2] ~= default[2] then text = text .. (", %s %s"):format(default[1], pair_text(p)) end
  end
  return text
end

local linear_options = options.declare("nn.Linear", {BIAS})

--- A linear layer: y = x weight + bias, weight [inputs, outputs]. Initially both are uniform within
-- 1 / sqrt(inputs), as in PyTorch.
-- @function Linear
-- @tparam int inputs
-- @tparam int outputs
-- @tparam ?table opts
-- @treturn Module
M.Linear = class("Linear", {order = {"weight", "bias"},
  torch_arrays = {weight = {axes = {2, 1}, reads = 1, writes = 2}, bias = {writes = 1}}})

function M.Linear:torch_layout(value, flow)
  -- Of a map it reads the channels of each pixel, which PyTorch's layer does behind a permutation, back again perhaps.
  if value.is == "map" then return {is = "unknown"} end
  flow:read(self, value, self.inputs)
  return flow:write(self, self.outputs)
end

function M.Linear:init(inputs, outputs, opts)
  opts = linear_options(opts)
  self.inputs = options.expect("nn.Linear", "inputs", inputs, "count")
  self.outputs = options.expect("nn.Linear", "outputs", outputs, "count")
  local bound = 1 / math.sqrt(self.inputs)
  self.weight = uniform(bound, self.inputs, self.outputs)
  if opts.bias then self.bias = uniform(bound, self.outputs) end
end

function M.Linear:forward(x)
  return ops.linear(input.check(self, x, input.ROWS, self.inputs), self.weight, self.bias)
end

function M.Linear:text() return ("Linear(%d -> %d)"):format(self.inputs, self.outputs) end

-- What comes of a convolution, however its input came about.
local function conv_layout(self, value, flow)
  flow:picture(value, self.inputs)
  return flow:picture({is = "map"}, self.outputs)
end

local function init_conv(self, name, inputs, outputs, kernel, opts)
  self.inputs = options.expect(name, "inputs", inputs, "count")
  self.outputs = options.expect(name, "outputs", outputs, "count")
  self.kernel = pair(name, "kernel", kernel, "count")
  self.stride, self.padding, self.dilation = opts.stride, opts.padding, opts.dilation
end

-- Weight [kernel height, kernel width, inputs, outputs]; the bound is 1 / sqrt(fan in).
local function init_weights(self, fan, opts)
  local bound = 1 / math.sqrt(fan * self.kernel[1] * self.kernel[2])
  self.weight = uniform(bound, self.kernel[1], self.kernel[2], self.inputs, self.outputs)
  if opts.bias then self.bias = uniform(bound, self.outputs) end
end

local function conv_text(self, kind, more)
  return ("%s(%d -> %d, %s%s)"):format(kind, self.inputs, self.outputs,
    self.kernel[1] .. "x" .. self.kernel[2],
    extras(self, {{"stride", 1}, {"padding", 0}, {"dilation", 1}, table.unpack(more or {})}))
end

local conv_options = options.declare("nn.Conv2d", {STRIDE, PADDING, DILATION, BIAS})

--- Two-dimensional convolution, weight [kernel height, kernel width, inputs, outputs]. Initially weight and bias are
-- uniform within 1 / sqrt(inputs * kernel height * kernel width), as in PyTorch.
-- @function Conv2d
-- @tparam int inputs channels
-- @tparam int outputs channels
-- @tparam int|{int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.Conv2d = class("Conv2d", {order = {"weight", "bias"}, torch_layout = conv_layout,
  torch_arrays = {weight = {axes = {3, 4, 2, 1}}}})

function M.Conv2d:init(inputs, outputs, kernel, opts)
  opts = conv_options(opts)
  init_conv(self, "nn.Conv2d", inputs, outputs, kernel, opts)
  init_weights(self, self.inputs, opts)
end

function M.Conv2d:forward(x)
  return ops.conv2d(input.check(self, x, input.MAPS, self.inputs), self.weight, self.bias,
    self.stride, self.padding, self.dilation)
end

function M.Conv2d:text() return conv_text(self, "Conv2d") end

local transpose_options = options.declare("nn.ConvTranspose2d", {STRIDE, PADDING,
  {"output_padding", SIZES, 0, "rows and columns more at the end"}, DILATION, BIAS})

--- Transposed convolution: the adjoint of Conv2d, weight [kernel height, kernel width, inputs, outputs]. Initially
-- weight and bias are uniform within 1 / sqrt(outputs * kernel height * kernel width), as in PyTorch.
-- @function ConvTranspose2d
-- @tparam int inputs channels
-- @tparam int outputs channels
-- @tparam int|{int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.ConvTranspose2d = class("ConvTranspose2d", {order = {"weight", "bias"}, torch_layout = conv_layout,
  torch_arrays = {weight = {axes = {3, 4, 1, 2}}}})

function M.ConvTranspose2d:init(inputs, outputs, kernel, opts)
  opts = transpose_options(opts)
  init_conv(self, "nn.ConvTranspose2d", inputs, outputs, kernel, opts)
  self.output_padding = opts.output_padding
  init_weights(self, self.outputs, opts)
end

function M.ConvTranspose2d:forward(x)
  return ops.conv_transpose2d(input.check(self, x, input.MAPS, self.inputs), self.weight, self.bias,
    self.stride, self.padding, self.output_padding, self.dilation)
end

function M.ConvTranspose2d:text() return conv_text(self, "ConvTranspose2d", {{"output_padding", 0}}) end

local POOL = {{"stride", COUNTS, nil, "default: the kernel's size"}, PADDING}

local function init_pool(self, name, kernel, opts)
  self.kernel = pair(name, "kernel", kernel, "count")
  self.stride, self.padding = opts.stride or self.kernel, opts.padding
end

local function pool_text(self, kind)
  local stride = self.stride[1] ~= self.kernel[1] or self.stride[2] ~= self.kernel[2]
  return ("%s(%s%s%s)"):format(kind, pair_text(self.kernel),
    stride and ", stride " .. pair_text(self.stride) or "", extras(self, {{"padding", 0}}))
end

local max_options = options.declare("nn.MaxPool2d", POOL)

--- The largest value of each window.
-- @function MaxPool2d
-- @tparam int|{int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.MaxPool2d = class("MaxPool2d", {torch_layout = "keeps"})
function M.MaxPool2d:init(kernel, opts) init_pool(self, "nn.MaxPool2d", kernel, max_options(opts)) end
function M.MaxPool2d:forward(x)
  return ops.max_pool2d(input.check(self, x, input.IMAGES), self.kernel, self.stride, self.padding)
end
function M.MaxPool2d:text() return pool_text(self, "MaxPool2d") end

local avg_options = options.declare("nn.AvgPool2d", POOL)

--- The mean of each window.
-- @function AvgPool2d
-- @tparam int|{int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.AvgPool2d = class("AvgPool2d", {torch_layout = "keeps"})
function M.AvgPool2d:init(kernel, opts) init_pool(self, "nn.AvgPool2d", kernel, avg_options(opts)) end
function M.AvgPool2d:forward(x)
  return ops.avg_pool2d(input.check(self, x, input.IMAGES), self.kernel, self.stride, self.padding)
end
function M.AvgPool2d:text() return pool_text(self, "AvgPool2d") end

local upsample_options = options.declare("nn.Upsample", {})

--- Nearest-neighbour upsampling by whole factors.
-- @function Upsample
-- @tparam int|{int,int} scale height and width, or one number for both
-- @tparam ?table opts there are none so far
-- @treturn Module
M.Upsample = class("Upsample", {torch_layout = "keeps"})
function M.Upsample:init(scale, opts)
  upsample_options(opts)
  self.scale = pair("nn.Upsample", "scale", scale, "count")
end
function M.Upsample:forward(x)
  return ops.upsample_nearest(input.check(self, x, input.IMAGES), self.scale)
end
function M.Upsample:text() return ("Upsample(%s)"):format(pair_text(self.scale)) end

local batch_norm_options = options.declare("nn.BatchNorm2d", {{"eps", "positive", 1e-5, "added to the variance"},
  {"momentum", "share", 0.1, "share of the new in the running statistics"}})

--- Batch normalisation over all axes but the last (Ioffe and Szegedy, 2015). In training the batch's
-- statistics, and running ones are updated; in evaluation the running ones.
-- @function BatchNorm2d
-- @tparam int channels
-- @tparam ?table opts
-- @treturn Module
M.BatchNorm2d = class("BatchNorm2d", {order = {"weight", "bias"},
  buffers = {running_mean = true, running_var = true}})

function M.BatchNorm2d:torch_layout(value, flow) return flow:picture(value, self.channels) end

function M.BatchNorm2d:init(channels, opts)
  opts = batch_norm_options(opts)
  self.channels = options.expect("nn.BatchNorm2d", "channels", channels, "count")
  self.eps, self.momentum = opts.eps, opts.momentum
  self.weight, self.bias = core.param(core.ones(self.channels)), core.param(core.zeros(self.channels))
  self.running_mean, self.running_var = core.zeros(self.channels), core.ones(self.channels)
end

-- running = (1 - momentum) * running + momentum * new
local function update_running(running, new, momentum)
  core.no_grad(function() ops.add_(ops.mul_(running, 1 - momentum), ops.mul(new, momentum)) end)
end

function M.BatchNorm2d:forward(x)
  input.check(self, x, input.MAPS, self.channels)
  if not self.training then
    local scale = ops.div(self.weight, ops.sqrt(ops.add(self.running_var, self.eps)))
    return ops.add(ops.mul(ops.sub(x, self.running_mean), scale), self.bias)
  end
  local n = x:numel() // self.channels
  if n < 2 then
    raise(("%s: training needs more than one value per channel, got %s"):format(self:text(), shapes.text(x)))
  end
  local y, mean, var = ops.batch_norm_train(x, self.weight, self.bias, self.eps)
  update_running(self.running_mean, mean, self.momentum)
  update_running(self.running_var, ops.mul(var, n / (n - 1)), self.momentum)
  return y
end

function M.BatchNorm2d:text() return ("BatchNorm2d(%d)"):format(self.channels) end

local layer_norm_options = options.declare("nn.LayerNorm", {{"eps", "positive", 1e-5, "added to the variance"}})

--- Layer normalisation over the last axis (Ba, Kiros and Hinton, 2016).
-- @function LayerNorm
-- @tparam int features
-- @tparam ?table opts
-- @treturn Module
M.LayerNorm = class("LayerNorm", {order = {"weight", "bias"},
  torch_arrays = {weight = {reads = 1, writes = 1}, bias = {reads = 1, writes = 1}}})

-- Its arrays have the order of the row that it reads, which may have been a map, or else may become one.
function M.LayerNorm:torch_layout(value, flow)
  if value.is == "map" then return value end -- the channels of each pixel
  flow:read(self, value, self.features)
  return value.is == "rows" and flow:write(self, self.features, value) or value
end

function M.LayerNorm:init(features, opts)
  opts = layer_norm_options(opts)
  self.features = options.expect("nn.LayerNorm", "features", features, "count")
  self.eps = opts.eps
  self.weight, self.bias = core.param(core.ones(self.features)), core.param(core.zeros(self.features))
end

function M.LayerNorm:forward(x)
  return ops.layer_norm(input.check(self, x, input.ROWS, self.features), self.weight, self.bias, self.eps)
end

function M.LayerNorm:text() return ("LayerNorm(%d)"):format(self.features) end

--- Dropout: in training each element is zero with probability p and the others are scaled up.
-- @function Dropout
-- @tparam ?number p 0.5 unless said
-- @treturn Module
M.Dropout = class("Dropout", {torch_layout = "keeps"})
function M.Dropout:init(p)
  self.p = p == nil and 0.5 or p
  if type(self.p) ~= "number" or not (self.p >= 0 and self.p < 1) then
    raise("nn.Dropout: p: expected a number in [0, 1), got " .. options.describe(self.p))
  end
end
function M.Dropout:forward(x)
  return ops.dropout(input.check(self, x, input.ANY), self.p, self.training)
end
function M.Dropout:text() return core.plainly(string.format, "Dropout(%g)", self.p) end

-- The number of elements of one item of a batch.
local function item_size(shape)
  local size = 1
  for d = 2, #shape do size = size * shape[d] end
  return size
end

local flatten_options = options.declare("nn.Flatten", {})

--- All axes but the first made one: [batch, ...] to [batch, *]; the order is (height, width, channel).
-- @function Flatten
-- @tparam ?table opts there are none so far
-- @treturn Module
M.Flatten = class("Flatten", {})
function M.Flatten.torch_layout(_, value, flow) return flow:flatten(value) end
function M.Flatten.init(_, opts) flatten_options(opts) end
function M.Flatten:forward(x)
  local shape = input.check(self, x, input.BATCH).shape
  return ops.reshape(x, {shape[1], item_size(shape)})
end
function M.Flatten.text() return "Flatten" end

--- Each item of the batch in another shape: Reshape(2, 2, 16) makes [batch, 64] to [batch, 2, 2, 16].
-- @function Reshape
-- @tparam int ... the item's sizes; one may be -1 and is inferred
-- @treturn Module
M.Reshape = class("Reshape", {})
function M.Reshape:torch_layout(value, flow) return flow:reshape(value, self.sizes) end
function M.Reshape:init(first, ...)
  self.sizes, self._known, self._open = {}, 1, nil
  for i, size in ipairs(type(first) == "table" and first or {first, ...}) do
    if size == -1 and not self._open then
      self._open = i
    else
      size = options.expect("nn.Reshape", "size " .. i, size, "size")
      self._known = self._known * size
    end
    self.sizes[i] = size
  end
  if #self.sizes == 0 then raise("nn.Reshape: expected the sizes of an item, such as nn.Reshape(8, 8, 16)") end
end
function M.Reshape:forward(x)
  local shape = input.check(self, x, input.BATCH).shape
  local given, known, sizes = item_size(shape), self._known, {shape[1], table.unpack(self.sizes)}
  if given ~= known and not (self._open and known > 0 and given % known == 0) then
    raise(("%s: expected items of %s%d elements, got %s"):format(self:text(),
      self._open and "a multiple of " or "", known, shapes.text(shape)))
  end
  if self._open then sizes[1 + self._open] = given // math.max(known, 1) end
  return ops.reshape(x, sizes)
end
function M.Reshape:text() return ("Reshape(%s)"):format(table.concat(self.sizes, ", ")) end

return M
