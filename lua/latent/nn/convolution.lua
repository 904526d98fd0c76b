--- Convolutions. Images are [batch, height, width, channels], volumes [batch, depth, height, width, channels],
-- sequences [batch, time, channels]; weights begin with the kernel's axes and end in [inputs, outputs]. They start as
-- in PyTorch: uniform in +-1 / sqrt(fan in).
-- @module latent.nn.convolution
local core = require "latent.core"
local input = require "latent.nn.input"
local lt = require "latent"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local parts = require "latent.nn.parts"

local ops, class = core.ops, module.class

local M = {}

local STRIDE, PADDING, DILATION = {"stride", parts.COUNTS, 1}, {"padding", parts.SIZES, 0},
  {"dilation", parts.COUNTS, 1}
local PADDING_OR_SAME = {"padding", parts.PADDING, 0, '"same" keeps the size, with a stride of 1'}

-- What comes of a convolution, however its input came about.
local function conv_layout(self, value, flow)
  flow:picture(value, self.inputs)
  return flow:picture({is = "map"}, self.outputs)
end

local function init_conv(self, name, inputs, outputs, kernel, opts, n)
  self.inputs = options.expect(name, "inputs", inputs, "count")
  self.outputs = options.expect(name, "outputs", outputs, "count")
  self.kernel = parts.many(name, "kernel", kernel, "count", n or 2)
  self.stride, self.padding, self.dilation, self.groups = opts.stride, opts.padding, opts.dilation, opts.groups
  parts.check_groups(name, self)
end

-- "same" as numbers, where both sides get alike; elsewhere it stays the word, and takes longer.
local function settle_same(self, name)
  if self.padding ~= "same" then return end
  local halves = {}
  for d = 1, #self.kernel do
    if self.stride[d] ~= 1 then
      core.raise(('%s: padding: "same" goes with a stride of 1, got %d'):format(name, self.stride[d]))
    end
    local total = self.dilation[d] * (self.kernel[d] - 1)
    if total % 2 == 1 then return end
    halves[d] = total // 2
  end
  self.padding = halves
end

-- Weight [kernel..., inputs, outputs], in groups less of one of them; the bound is 1 / sqrt(fan in).
local function init_weights(self, inputs, outputs, fan, opts)
  for _, size in ipairs(self.kernel) do fan = fan * size end
  local bound, shape = 1 / math.sqrt(fan), {table.unpack(self.kernel)}
  table.move({inputs, outputs}, 1, 2, #shape + 1, shape)
  self.weight = parts.uniform(bound, shape)
  if opts.bias then self.bias = parts.uniform(bound, self.outputs) end
end

local function conv_text(self, kind, more)
  return ("%s(%d -> %d, %s%s)"):format(kind, self.inputs, self.outputs,
    table.concat(self.kernel, "x"),
    parts.extras(self, {{"stride", 1}, {"padding", 0}, {"dilation", 1}, {"groups", 1}, table.unpack(more or {})}))
end

local conv_options = options.declare("nn.Conv2d", {STRIDE, PADDING_OR_SAME, DILATION, parts.GROUPS, parts.BIAS,
  parts.DTYPE})

--- Two-dimensional convolution, weight [kernel height, kernel width, inputs / groups, outputs]. Initially weight and
-- bias are uniform within 1 / sqrt(inputs / groups * kernel height * kernel width), as in PyTorch.
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
  settle_same(self, "nn.Conv2d")
  local inputs_of_group = self.inputs // self.groups
  init_weights(self, inputs_of_group, self.outputs, inputs_of_group, opts)
end

function M.Conv2d:forward(x)
  local conv2d = self.padding ~= "same" and ops.conv2d or lt.conv2d
  return conv2d(input.check(self, x, input.MAPS, self.inputs), self.weight, self.bias,
    self.stride, self.padding, self.dilation, self.groups)
end

function M.Conv2d:text() return conv_text(self, "Conv2d") end

local transpose_options = options.declare("nn.ConvTranspose2d", {STRIDE, PADDING,
  {"output_padding", parts.SIZES, 0, "rows and columns more at the end"}, DILATION, parts.GROUPS, parts.BIAS,
  parts.DTYPE})

--- Transposed convolution: the adjoint of Conv2d, weight [kernel height, kernel width, inputs, outputs / groups].
-- Initially weight and bias are uniform within 1 / sqrt(outputs / groups * kernel height * kernel width), as in
-- PyTorch.
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
  local outputs_of_group = self.outputs // self.groups
  init_weights(self, self.inputs, outputs_of_group, outputs_of_group, opts)
end

function M.ConvTranspose2d:forward(x)
  return ops.conv_transpose2d(input.check(self, x, input.MAPS, self.inputs), self.weight, self.bias,
    self.stride, self.padding, self.output_padding, self.dilation, self.groups)
end

function M.ConvTranspose2d:text() return conv_text(self, "ConvTranspose2d", {{"output_padding", 0}}) end

-- ---- along three axes ----

local DEEP = {{"stride", parts.COUNTS3, 1}, {"padding", parts.SIZES3, 0}, {"dilation", parts.COUNTS3, 1}}
local deep_options = options.declare("nn.Conv3d", {DEEP[1],
  {"padding", parts.PADDING3, 0, '"same" keeps the size, with a stride of 1'}, DEEP[3], parts.GROUPS, parts.BIAS,
  parts.DTYPE})

--- Convolution of volumes, [batch, depth, height, width, inputs] to [batch, depth, height, width, outputs], weight
-- [kernel depth, kernel height, kernel width, inputs / groups, outputs]. Initially weight and bias are uniform within
-- 1 / sqrt(inputs / groups * the kernel's elements), as in PyTorch.
-- @function Conv3d
-- @tparam int inputs channels
-- @tparam int outputs channels
-- @tparam int|{int,int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.Conv3d = class("Conv3d", {order = {"weight", "bias"}, torch_layout = conv_layout,
  torch_arrays = {weight = {axes = {3, 4, 5, 2, 1}}}})

function M.Conv3d:init(inputs, outputs, kernel, opts)
  opts = deep_options(opts)
  init_conv(self, "nn.Conv3d", inputs, outputs, kernel, opts, 3)
  settle_same(self, "nn.Conv3d")
  local inputs_of_group = self.inputs // self.groups
  init_weights(self, inputs_of_group, self.outputs, inputs_of_group, opts)
end

function M.Conv3d:forward(x)
  return lt.conv3d(input.check(self, x, input.VOLUMES, self.inputs), self.weight, self.bias, self.stride, self.padding,
    self.dilation, self.groups)
end

function M.Conv3d:text() return conv_text(self, "Conv3d") end

local deep_transpose_options = options.declare("nn.ConvTranspose3d", {DEEP[1], DEEP[2],
  {"output_padding", parts.SIZES3, 0, "frames, rows and columns more at the end"}, DEEP[3], parts.GROUPS, parts.BIAS,
  parts.DTYPE})

--- Transposed convolution of volumes: the adjoint of Conv3d, weight [kernel depth, kernel height, kernel width, inputs,
-- outputs / groups]. Initially weight and bias are uniform within 1 / sqrt(outputs / groups * the kernel's elements),
-- as in PyTorch.
-- @function ConvTranspose3d
-- @tparam int inputs channels
-- @tparam int outputs channels
-- @tparam int|{int,int,int} kernel
-- @tparam ?table opts
-- @treturn Module
M.ConvTranspose3d = class("ConvTranspose3d", {order = {"weight", "bias"}, torch_layout = conv_layout,
  torch_arrays = {weight = {axes = {3, 4, 5, 1, 2}}}})

function M.ConvTranspose3d:init(inputs, outputs, kernel, opts)
  opts = deep_transpose_options(opts)
  init_conv(self, "nn.ConvTranspose3d", inputs, outputs, kernel, opts, 3)
  self.output_padding = opts.output_padding
  local outputs_of_group = self.outputs // self.groups
  init_weights(self, self.inputs, outputs_of_group, outputs_of_group, opts)
end

function M.ConvTranspose3d:forward(x)
  return lt.conv_transpose3d(input.check(self, x, input.VOLUMES, self.inputs), self.weight, self.bias, self.stride,
    self.padding, self.output_padding, self.dilation, self.groups)
end

function M.ConvTranspose3d:text() return conv_text(self, "ConvTranspose3d", {{"output_padding", 0}}) end

-- ---- along one axis: images of height 1 ----

-- [batch, time, channels] as [batch, 1, time, channels], and back.
local function widen(x)
  local shape = x.shape
  return ops.reshape(x, {shape[1], 1, shape[2], shape[3]})
end
local function narrow(x)
  local shape = x.shape
  return ops.reshape(x, {shape[1], shape[3], shape[4]})
end

local function kernel_of(self)
  local shape = self.weight.shape
  return ops.reshape(self.weight, {1, shape[1], shape[2], shape[3]})
end

local LINE = {{"stride", "count", 1}, {"padding", "size", 0}, {"dilation", "count", 1}}
local LINE_PADDING = {"padding", options.kind("int|string", 'a whole number of at least 0 or "same"', function(value)
  local size = type(value) == "number" and math.tointeger(value)
  return value == "same" and value or size and size >= 0 and size or nil
end), 0, '"same" keeps the length, with a stride of 1'}

local function init_line(self, name, inputs, outputs, kernel, opts)
  self.inputs = options.expect(name, "inputs", inputs, "count")
  self.outputs = options.expect(name, "outputs", outputs, "count")
  self.kernel = options.expect(name, "kernel", kernel, "count")
  self.stride, self.padding, self.dilation, self.groups = opts.stride, opts.padding, opts.dilation, opts.groups
  parts.check_groups(name, self)
end

-- Weight [kernel, inputs, outputs], in groups less of one of them; the bound is 1 / sqrt(fan in).
local function init_line_weights(self, inputs, outputs, fan, opts)
  local bound = 1 / math.sqrt(fan * self.kernel)
  self.weight = parts.uniform(bound, self.kernel, inputs, outputs)
  if opts.bias then self.bias = parts.uniform(bound, self.outputs) end
end

local function line_text(self, kind, more)
  return ("%s(%d -> %d, %d%s)"):format(kind, self.inputs, self.outputs, self.kernel,
    parts.extras(self, {{"stride", 1}, {"padding", 0}, {"dilation", 1}, {"groups", 1}, more}))
end

local line_options = options.declare("nn.Conv1d", {LINE[1], LINE_PADDING, LINE[3], parts.GROUPS, parts.BIAS,
  parts.DTYPE})

--- Convolution along time, [batch, time, inputs] to [batch, time, outputs], weight [kernel, inputs / groups, outputs].
-- Initially weight and bias are uniform within 1 / sqrt(inputs / groups * kernel), as in PyTorch.
-- @function Conv1d
-- @tparam int inputs channels
-- @tparam int outputs channels
-- @tparam int kernel
-- @tparam ?table opts
-- @treturn Module
M.Conv1d = class("Conv1d", {order = {"weight", "bias"}, torch_layout = conv_layout,
  torch_arrays = {weight = {axes = {3, 2, 1}}}})

function M.Conv1d:init(inputs, outputs, kernel, opts)
  opts = line_options(opts)
  init_line(self, "nn.Conv1d", inputs, outputs, kernel, opts)
  if self.padding == "same" and self.stride ~= 1 then
    core.raise(('nn.Conv1d: padding: "same" goes with a stride of 1, got %d'):format(self.stride))
  end
  init_line_weights(self, self.inputs // self.groups, self.outputs, self.inputs // self.groups, opts)
end

function M.Conv1d:forward(x)
  input.check(self, x, input.STEPS, self.inputs)
  if self.padding == "same" then
    return lt.conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
  end
  x = widen(x)
  return narrow(ops.conv2d(x, kernel_of(self), self.bias, {1, self.stride}, {0, self.padding}, {1, self.dilation},
    self.groups))
end

function M.Conv1d:text() return line_text(self, "Conv1d") end

local line_transpose_options = options.declare("nn.ConvTranspose1d", {LINE[1], LINE[2],
  {"output_padding", "size", 0, "steps more at the end"}, LINE[3], parts.GROUPS, parts.BIAS,
  parts.DTYPE})

--- Transposed convolution along time: the adjoint of Conv1d, weight [kernel, inputs, outputs / groups]. Initially
-- weight and bias are uniform within 1 / sqrt(outputs / groups * kernel), as in PyTorch.
-- @function ConvTranspose1d
-- @tparam int inputs channels
-- @tparam int outputs channels
-- @tparam int kernel
-- @tparam ?table opts
-- @treturn Module
M.ConvTranspose1d = class("ConvTranspose1d", {order = {"weight", "bias"}, torch_layout = conv_layout,
  torch_arrays = {weight = {axes = {3, 1, 2}}}})

function M.ConvTranspose1d:init(inputs, outputs, kernel, opts)
  opts = line_transpose_options(opts)
  init_line(self, "nn.ConvTranspose1d", inputs, outputs, kernel, opts)
  self.output_padding = opts.output_padding
  init_line_weights(self, self.inputs, self.outputs // self.groups, self.outputs // self.groups, opts)
end

function M.ConvTranspose1d:forward(x)
  input.check(self, x, input.STEPS, self.inputs)
  x = widen(x)
  return narrow(ops.conv_transpose2d(x, kernel_of(self), self.bias, {1, self.stride}, {0, self.padding},
    {0, self.output_padding}, {1, self.dilation}, self.groups))
end

function M.ConvTranspose1d:text() return line_text(self, "ConvTranspose1d", {"output_padding", 0}) end

return M
