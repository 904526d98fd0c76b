--- How each layer of the library is written in ONNX: functions (graph, layer, x, y), where x is the symbol that goes in
-- and y what our own layer made of the example; they return the symbol that comes out. Sequences and attention are in
-- latent.onnx.sequences.
-- @module latent.onnx.layers
local core = require "latent.core"
local lt = require "latent"

local raise = core.raise

local M = {}

-- ---- activations ----

-- A node of one input whose attributes depend on the layer.
local function activation(op, attributes)
  return function(g, layer, x, y)
    return g:elementwise(function(name) return g:node(op, {name}, attributes and attributes(layer)) end, x, y)
  end
end

M.ReLU, M.Tanh, M.Sigmoid = activation "Relu", activation "Tanh", activation "Sigmoid"
M.LeakyReLU = activation("LeakyRelu", function(layer) return {alpha = {float = layer.slope}} end)
M.ELU = activation("Elu", function(layer) return {alpha = {float = layer.alpha}} end)

function M.SiLU(g, _, x, y)
  return g:elementwise(function(name) return g:node("Mul", {name, g:node("Sigmoid", {name})}) end, x, y)
end

-- x (1 + erf(x / sqrt 2)) / 2, or with tanh(sqrt(2 / pi) (x + 0.044715 x^3)) in the place of erf
function M.GELU(g, layer, x, y)
  local dtype = x.x.dtype
  local function times(name, factor) return g:node("Mul", {name, g:number(factor, dtype)}) end
  return g:elementwise(function(name)
    local inner
    if layer.approximate == "tanh" then
      local cube = g:node("Mul", {g:node("Mul", {name, name}), name})
      inner = g:node("Tanh", {times(g:node("Add", {name, times(cube, 0.044715)}), math.sqrt(2 / math.pi))})
    else
      inner = g:node("Erf", {times(name, math.sqrt(0.5))})
    end
    return times(g:node("Mul", {name, g:node("Add", {inner, g:number(1, dtype)})}), 0.5)
  end, x, y)
end

function M.Softplus(g, layer, x, y)
  local dtype = x.x.dtype
  return g:elementwise(function(name)
    local scaled = layer.beta == 1 and name or g:node("Mul", {name, g:number(layer.beta, dtype)})
    local soft = g:node("Softplus", {scaled})
    if layer.beta ~= 1 then soft = g:node("Div", {soft, g:number(layer.beta, dtype)}) end
    if layer.threshold == math.huge then return soft end
    return g:node("Where", {g:node("Greater", {scaled, g:number(layer.threshold, dtype)}), name, soft})
  end, x, y)
end

M.Softsign, M.SELU = activation "Softsign", activation("Selu", function()
  return {alpha = {float = 1.6732632423543772}, gamma = {float = 1.0507009873554805}}
end)

function M.Mish(g, _, x, y)
  return g:elementwise(function(name)
    return g:node("Mul", {name, g:node("Tanh", {g:node("Softplus", {name})})})
  end, x, y)
end

function M.LogSigmoid(g, _, x, y)
  return g:elementwise(function(name) return g:node("Neg", {g:node("Softplus", {g:node("Neg", {name})})}) end, x, y)
end

function M.Hardtanh(g, layer, x, y)
  local least, greatest = g:number(layer.least, x.x.dtype), g:number(layer.greatest, x.x.dtype)
  return g:elementwise(function(name) return g:node("Clip", {name, least, greatest}) end, x, y)
end

-- The slopes stand along our last axis.
function M.PReLU(g, layer, x, y)
  return g:symbol(y, {last = g:node("PRelu", {g:channels_last(x), g:constant(layer.weight, "weight")})})
end

local function along_axis(op)
  return function(g, layer, x, y)
    local axis = layer.axis > 0 and layer.axis - 1 or layer.axis
    return g:symbol(y, {last = g:node(op, {g:channels_last(x)}, {axis = axis})})
  end
end
M.Softmax, M.LogSoftmax = along_axis "Softmax", along_axis "LogSoftmax"

-- ---- what moves or passes ----

local function pass(_, _, x) return x end
M.Identity, M.Dropout, M.Dropout2d = pass, pass, pass -- in evaluation

function M.Flatten(g, _, x, y) return g:symbol(y, {last = g:node("Flatten", {g:channels_last(x)}, {axis = 1})}) end

-- 0: the batch's size as it comes.
function M.Reshape(g, layer, x, y)
  return g:symbol(y, {last = g:node("Reshape", {g:channels_last(x), g:shape{0, table.unpack(layer.sizes)}})})
end

function M.Residual(g, layer, x, y) return g:binary("Add", x, layer.inner(x), y) end

function M.Sequential(_, layer, x)
  for i = 1, #layer do x = layer[i](x) end
  return x
end

-- ---- linear ----

function M.Linear(g, layer, x, y)
  local name = g:node("MatMul", {g:channels_last(x), g:constant(layer.weight, "weight")})
  if layer.bias then name = g:node("Add", {name, g:constant(layer.bias, "bias")}) end
  return g:symbol(y, {last = name})
end

-- The rows that numbers mean, counted from 0.
function M.Embedding(g, layer, x, y)
  local name = g:channels_last(x)
  if x.x.dtype ~= "i64" then name = g:node("Cast", {name}, {to = 7}) end
  if layer.first ~= 0 then name = g:node("Sub", {name, g:number(layer.first, "i64")}) end
  return g:symbol(y, {last = g:node("Gather", {g:constant(layer.weight, "weight"), name}, {axis = 0})})
end

-- ---- convolutions and pools ----

-- A number or a list as a list of n.
local function many(value, n)
  if type(value) == "table" then return value end
  local list = {}
  for d = 1, n do list[d] = value end
  return list
end

-- Paddings before and behind each axis.
local function pads_of(layer, n)
  local before, behind = {}, {}
  for d = 1, n do
    if layer.padding == "same" then
      local total = many(layer.dilation, n)[d] * (many(layer.kernel, n)[d] - 1)
      before[d], behind[d] = total // 2, total - total // 2
    else
      before[d] = many(layer.padding, n)[d]
      behind[d] = before[d]
    end
  end
  return table.move(behind, 1, n, n + 1, before)
end

-- Weights [..., inputs, outputs] with the last two in front: {outputs, inputs} where `swap`, else {inputs, outputs}.
local function kernel_of(g, weight, swap)
  local n = weight:dim() - 2
  local axes = swap and {n + 2, n + 1} or {n + 1, n + 2}
  for d = 1, n do axes[2 + d] = d end
  return g:constant(weight:detach():permute(axes), "weight")
end

local function convolution(op)
  return function(g, layer, x, y)
    local n = layer.weight:dim() - 2
    local inputs = {g:channels_first(x), kernel_of(g, layer.weight, op == "Conv")}
    if layer.bias then inputs[3] = g:constant(layer.bias, "bias") end
    return g:symbol(y, {first = g:node(op, inputs, {
      kernel_shape = many(layer.kernel, n), strides = many(layer.stride, n), pads = pads_of(layer, n),
      dilations = many(layer.dilation, n), group = layer.groups or 1,
      output_padding = op == "ConvTranspose" and many(layer.output_padding, n) or nil,
    })})
  end
end
for _, axes in ipairs{"1d", "2d", "3d"} do
  M["Conv" .. axes], M["ConvTranspose" .. axes] = convolution "Conv", convolution "ConvTranspose"
end

local function pool(op)
  return function(g, layer, x, y)
    local n = x.x:dim() - 2
    if layer.divisor_override then
      raise(("onnx.save: %s: %s: ONNX has no divisor_override"):format(g:place(), tostring(layer)))
    end
    local attributes = {kernel_shape = many(layer.kernel, n), strides = many(layer.stride, n), pads = pads_of(layer, n),
      ceil_mode = layer.ceil_mode and 1 or 0}
    if op == "AveragePool" then
      attributes.count_include_pad = layer.count_include_pad == false and 0 or 1
    else
      attributes.dilations = many(layer.dilation or 1, n)
    end
    return g:symbol(y, {first = g:node(op, {g:channels_first(x)}, attributes)})
  end
end
for _, axes in ipairs{"1d", "2d", "3d"} do
  M["MaxPool" .. axes], M["AvgPool" .. axes] = pool "MaxPool", pool "AveragePool"
end

-- ONNX has windows of one size, one behind the other.
local function adaptive_pool(op)
  return function(g, layer, x, y)
    local kernel = {}
    for d, size in ipairs(layer.size) do
      local n = x.x:size(d + 1)
      if n % size ~= 0 then
        raise(("onnx.save: %s: %s: ONNX has no windows of different sizes, as %d of %d elements are"):format(g:place(),
          tostring(layer), size, n))
      end
      kernel[d] = n // size
    end
    return g:symbol(y, {first = g:node(op, {g:channels_first(x)}, {kernel_shape = kernel, strides = kernel})})
  end
end
for _, axes in ipairs{"1d", "2d", "3d"} do
  M["AdaptiveMaxPool" .. axes], M["AdaptiveAvgPool" .. axes] = adaptive_pool "MaxPool", adaptive_pool "AveragePool"
end

local function global_pool(op)
  return function(g, _, x, y)
    local name = g:node(op, {g:channels_first(x)})
    return g:symbol(y, {last = g:node("Flatten", {name}, {axis = 1})})
  end
end
M.GlobalAvgPool, M.GlobalMaxPool = global_pool "GlobalAveragePool", global_pool "GlobalMaxPool"

-- ---- pixels ----

function M.PixelShuffle(g, layer, x, y)
  return g:symbol(y, {first = g:node("DepthToSpace", {g:channels_first(x)}, {blocksize = layer.factor,
    mode = "CRD"})})
end

-- SpaceToDepth knows another order of the channels.
function M.PixelUnshuffle(g, layer, x, y)
  local r, s = layer.factor, y.shape
  local name = g:node("Reshape", {g:channels_last(x), g:shape{0, s[2], r, s[3], r, -1}})
  name = g:node("Transpose", {name}, {perm = {0, 1, 3, 5, 2, 4}})
  return g:symbol(y, {last = g:node("Reshape", {name, g:shape{0, s[2], s[3], s[4]}})})
end

local MARGINS = {constant = "constant", reflect = "reflect", replicate = "edge"}

local function pad(g, layer, x, y)
  local left, right, top, bottom = table.unpack(layer.padding)
  return g:symbol(y, {first = g:node("Pad", {g:channels_first(x), g:shape{0, 0, top, left, 0, 0, bottom, right}},
    {mode = MARGINS[layer.mode]})})
end
M.ZeroPad2d, M.ReflectionPad2d, M.ReplicationPad2d = pad, pad, pad

-- How the modes of interpolate are called there.
local MODES = {
  nearest = {mode = "nearest", nearest_mode = "floor", coordinate_transformation_mode = "asymmetric"},
  ["nearest-exact"] = {mode = "nearest", nearest_mode = "round_prefer_ceil",
    coordinate_transformation_mode = "half_pixel"},
  bilinear = {mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel"},
  bicubic = {mode = "cubic", coordinate_transformation_mode = "pytorch_half_pixel", cubic_coeff_a = {float = -0.75}},
}

function M.Upsample(g, layer, x, y)
  local known = MODES[layer.mode]
  if not known then
    raise(("onnx.save: %s: %s: the mode %s is none of ONNX's"):format(g:place(), tostring(layer), layer.mode))
  end
  local attributes = {}
  for name, value in pairs(known) do attributes[name] = value end
  if layer.align_corners then attributes.coordinate_transformation_mode = "align_corners" end
  local scales = g:constant(lt.tensor{1, 1, layer.scale[1], layer.scale[2]}, "scales")
  return g:symbol(y, {first = g:node("Resize", {g:channels_first(x), "", scales}, attributes)})
end

-- ---- norms ----

local function ones(layer, like, n) return layer.weight or lt.ones(n or layer.channels, {dtype = like.dtype}) end
local function zeros(layer, like, n) return layer.bias or lt.zeros(n or layer.channels, {dtype = like.dtype}) end

local function batch_norm(g, layer, x, y)
  if not layer.running_mean then
    raise(("onnx.save: %s: %s: without running statistics it depends on the batch"):format(g:place(), tostring(layer)))
  end
  return g:symbol(y, {first = g:node("BatchNormalization", {g:channels_first(x),
    g:constant(ones(layer, y), "weight"), g:constant(zeros(layer, y), "bias"),
    g:constant(layer.running_mean, "running_mean"), g:constant(layer.running_var, "running_var")},
    {epsilon = {float = layer.eps}})})
end
M.BatchNorm2d, M.BatchNorm3d = batch_norm, batch_norm
function M.BatchNorm1d(g, layer, x, y)
  local symbol = batch_norm(g, layer, x, y)
  if y:dim() == 2 then symbol.last = symbol.first end
  return symbol
end

function M.LayerNorm(g, layer, x, y)
  return g:symbol(y, {last = g:node("LayerNormalization", {g:channels_last(x),
    g:constant(ones(layer, y, layer.shape), "weight"), g:constant(zeros(layer, y, layer.shape), "bias")},
    {axis = -#layer.shape, epsilon = {float = layer.eps}})})
end

-- The mean along our last axis, which stays with the size 1.
local function mean_of(g, name)
  if g.opset < 18 then return g:node("ReduceMean", {name}, {axes = {-1}, keepdims = 1}) end
  return g:node("ReduceMean", {name, g:shape{-1}}, {keepdims = 1})
end

function M.RMSNorm(g, layer, x, y)
  local name = g:channels_last(x)
  local mean = mean_of(g, g:node("Mul", {name, name}))
  local root = g:node("Sqrt", {g:node("Add", {mean, g:number(layer.eps, y.dtype)})})
  name = g:node("Div", {name, root})
  if layer.weight then name = g:node("Mul", {name, g:constant(layer.weight, "weight")}) end
  return g:symbol(y, {last = name})
end

-- [channels] as [channels, 1, ...], behind the batch.
local function beside(g, x, dims, name)
  local shape = {x:numel()}
  for d = 2, dims - 1 do shape[d] = 1 end
  return g:constant(x:detach():reshape(shape), name)
end

function M.GroupNorm(g, layer, x, y)
  local dims, shape = y:dim(), {0, layer.channels}
  for d = 2, dims - 1 do shape[d + 1] = y:size(d) end
  local name = g:node("Reshape", {g:channels_first(x), g:shape{0, layer.groups, -1}})
  name = g:node("InstanceNormalization", {name, g:constant(ones({}, y, layer.groups)),
    g:constant(zeros({}, y, layer.groups))},
    {epsilon = {float = layer.eps}})
  name = g:node("Reshape", {name, g:shape(shape)})
  if layer.weight then
    name = g:node("Mul", {name, beside(g, layer.weight, dims, "weight")})
    name = g:node("Add", {name, beside(g, layer.bias, dims, "bias")})
  end
  return g:symbol(y, {first = name})
end

local function instance_norm(g, layer, x, y)
  return g:symbol(y, {first = g:node("InstanceNormalization", {g:channels_first(x),
    g:constant(ones(layer, y), "weight"), g:constant(zeros(layer, y), "bias")}, {epsilon = {float = layer.eps}})})
end
M.InstanceNorm1d, M.InstanceNorm2d = instance_norm, instance_norm

return M
