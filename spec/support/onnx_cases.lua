--- For specs: models that ONNX files are made of, a list of {name =, make = function that makes the model, inputs =
-- shapes or tensors}. Every layer that latent.onnx can write is in one of them.
local lt, nn = require "latent", require "latent.nn"

local M = {}

local IMAGE, ROWS, STEPS = {2, 6, 5, 4}, {3, 4}, {2, 5, 4}

local function case(name, make, ...) M[#M + 1] = {name = name, make = make, inputs = {...}} end

for _, kind in ipairs{"ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Tanh", "Sigmoid", "Softplus", "PReLU", "Softmax",
  "LogSoftmax", "SELU", "Mish", "Softsign", "LogSigmoid", "Hardtanh", "Identity", "Dropout", "Dropout2d", "Flatten",
  "GlobalAvgPool", "GlobalMaxPool"} do
  case(kind, function() return nn[kind]() end, IMAGE)
end
case("GELU tanh", function() return nn.GELU{approximate = "tanh"} end, ROWS)
case("Softplus beta", function() return nn.Softplus{beta = 2, threshold = 0.5} end, ROWS)
case("PReLU channels", function() return nn.PReLU(4) end, IMAGE)
case("Softmax axis", function() return nn.Softmax(2) end, IMAGE)
case("Linear", function() return nn.Linear(4, 3) end, ROWS)
case("Linear of images", function() return nn.Linear(4, 3, {bias = false}) end, IMAGE)
case("Reshape", function() return nn.Sequential{nn.Reshape(2, 2, 1), nn.Reshape(4), nn.Reshape(-1, 2)} end, ROWS)
case("Embedding", function() return nn.Embedding(7, 3) end, lt.tensor{{1, 2, 7}, {3, 3, 1}})
case("Embedding first", function() return nn.Embedding(7, 3, {first = 0, padding = 0}) end,
  lt.tensor({0, 6, 2}, {dtype = "i64"}))
case("Residual", function() return nn.Residual(nn.Sequential{nn.Conv2d(4, 4, 3, {padding = 1}), nn.ReLU()}) end, IMAGE)

case("Conv2d", function()
  return nn.Conv2d(4, 6, {3, 2}, {stride = {2, 1}, padding = {1, 0}, dilation = {1, 2}})
end, IMAGE)
case("Conv2d groups", function() return nn.Conv2d(4, 6, 3, {groups = 2, bias = false}) end, IMAGE)
case("Conv2d same", function() return nn.Conv2d(4, 2, {4, 3}, {padding = "same"}) end, IMAGE)
case("ConvTranspose2d", function()
  return nn.ConvTranspose2d(4, 6, {3, 2}, {stride = {2, 3}, padding = {1, 0}, output_padding = {1, 2}})
end, IMAGE)
case("ConvTranspose2d groups", function() return nn.ConvTranspose2d(4, 6, 2, {groups = 2, dilation = 2}) end, IMAGE)
case("Conv1d", function() return nn.Conv1d(4, 3, 3, {stride = 2, padding = 1, dilation = 2}) end, {2, 9, 4})
case("ConvTranspose1d", function()
  return nn.ConvTranspose1d(4, 3, 3, {stride = 2, padding = 1, output_padding = 1})
end, STEPS)

case("MaxPool2d", function() return nn.MaxPool2d({3, 2}, {stride = 2, padding = 1, dilation = {1, 2}}) end, IMAGE)
case("MaxPool2d ceil", function() return nn.MaxPool2d(2, {ceil_mode = true}) end, IMAGE)
case("AvgPool2d", function() return nn.AvgPool2d({3, 2}, {stride = {2, 1}, padding = 1}) end, IMAGE)
case("AvgPool2d inside", function() return nn.AvgPool2d(3, {padding = 1, count_include_pad = false}) end, IMAGE)
case("AvgPool2d ceil", function() return nn.AvgPool2d(2, {ceil_mode = true, count_include_pad = false}) end, IMAGE)
case("MaxPool1d", function() return nn.MaxPool1d(3, {stride = 2, padding = 1}) end, STEPS)
case("AvgPool1d", function() return nn.AvgPool1d(2) end, STEPS)
case("Upsample", function() return nn.Upsample{2, 3} end, IMAGE)
case("Upsample nearest", function() return nn.Upsample(1.5) end, IMAGE)
case("Upsample exact", function() return nn.Upsample(1.5, {mode = "nearest-exact"}) end, IMAGE)
case("Upsample bilinear", function() return nn.Upsample({1.5, 2}, {mode = "bilinear"}) end, IMAGE)
case("Upsample corners", function() return nn.Upsample(2, {mode = "bilinear", align_corners = true}) end, IMAGE)
case("Upsample bicubic", function() return nn.Upsample(2, {mode = "bicubic"}) end, IMAGE)

local VOLUME = {2, 4, 5, 6, 3}
case("Conv3d", function()
  return nn.Conv3d(3, 4, {3, 2, 1}, {stride = {1, 2, 1}, padding = {1, 0, 2}, dilation = {2, 1, 1}})
end, VOLUME)
case("Conv3d same, in groups", function() return nn.Conv3d(3, 6, 2, {padding = "same", groups = 3}) end, VOLUME)
case("ConvTranspose3d", function()
  return nn.ConvTranspose3d(3, 2, {2, 3, 2}, {stride = {2, 1, 3}, padding = {0, 1, 1}, output_padding = {1, 0, 2}})
end, VOLUME)
case("MaxPool3d", function() return nn.MaxPool3d({2, 3, 2}, {stride = {2, 1, 2}, padding = {0, 1, 1}}) end, VOLUME)
case("AvgPool3d", function() return nn.AvgPool3d(2, {padding = 1}) end, VOLUME)
case("a network of volumes", function()
  return nn.Sequential{nn.Conv3d(3, 4, 3, {padding = 1}), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(),
    nn.Linear(48, 2)}
end, VOLUME)
for _, kind in ipairs{"AdaptiveAvgPool", "AdaptiveMaxPool"} do
  case(kind .. "1d", function() return nn[kind .. "1d"](3) end, {2, 9, 4})
  case(kind .. "2d", function() return nn.Sequential{nn[kind .. "2d"]{2, 1}, nn.Flatten(), nn.Linear(8, 2)} end, IMAGE)
  case(kind .. "3d", function() return nn[kind .. "3d"]{2, 5, 3} end, VOLUME)
end
case("PixelShuffle", function() return nn.PixelShuffle(2) end, {2, 3, 5, 8})
case("PixelUnshuffle", function() return nn.Sequential{nn.Conv2d(3, 2, 1), nn.PixelUnshuffle(2)} end, {2, 4, 6, 3})
case("ZeroPad2d", function() return nn.ZeroPad2d{1, 2, 0, 3} end, IMAGE)
case("ReflectionPad2d", function() return nn.ReflectionPad2d{1, 2, 3, 0} end, IMAGE)
case("ReplicationPad2d", function() return nn.Sequential{nn.Conv2d(4, 2, 1), nn.ReplicationPad2d(2)} end, IMAGE)
case("Hardtanh of two values", function() return nn.Hardtanh(-0.25, 0.5) end, ROWS)

case("BatchNorm2d", function() return nn.BatchNorm2d(4) end, IMAGE)
case("BatchNorm2d plain", function() return nn.BatchNorm2d(4, {affine = false}) end, IMAGE)
case("BatchNorm1d", function() return nn.BatchNorm1d(4) end, ROWS)
case("BatchNorm1d of steps", function() return nn.BatchNorm1d(4) end, STEPS)
case("LayerNorm", function() return nn.LayerNorm(4) end, IMAGE)
case("LayerNorm axes", function() return nn.LayerNorm({5, 4}, {bias = false}) end, IMAGE)
case("RMSNorm", function() return nn.RMSNorm(4) end, STEPS)
case("GroupNorm", function() return nn.GroupNorm(2, 4) end, IMAGE)
case("GroupNorm plain", function() return nn.GroupNorm(1, 4, {affine = false}) end, STEPS)
case("InstanceNorm1d", function() return nn.InstanceNorm1d(4, {affine = true}) end, STEPS)
case("InstanceNorm2d", function() return nn.InstanceNorm2d(4) end, IMAGE)

for _, kind in ipairs{"RNN", "LSTM", "GRU"} do
  case(kind, function() return nn[kind](4, 3) end, STEPS)
  case(kind .. " both ways", function() return nn[kind](4, 3, {bidirectional = true, layers = 2}) end, STEPS)
  case(kind .. " plain", function() return nn[kind](4, 3, {bias = false}) end, STEPS)
end
case("RNN relu", function() return nn.RNN(4, 3, {nonlinearity = "relu", bidirectional = true}) end, STEPS)

for _, kind in ipairs{"RNNCell", "GRUCell"} do
  case(kind, function() return nn[kind](4, 3) end, ROWS)
  case(kind .. " plain", function() return nn[kind](4, 3, {bias = false}) end, ROWS)
end
case("RNNCell relu", function() return nn.RNNCell(4, 3, {nonlinearity = "relu"}) end, ROWS)
case("LSTMCell", function()
  return nn.Module{cell = nn.LSTMCell(4, 3), forward = function(self, x)
    local state = self.cell(x)
    return state[1] + state[2]
  end}
end, ROWS)
case("Conv1d in groups, of the same length", function()
  return nn.Conv1d(4, 6, 4, {padding = "same", groups = 2, dilation = 2})
end, STEPS)
case("ConvTranspose1d in groups", function() return nn.ConvTranspose1d(4, 6, 3, {groups = 2, stride = 2}) end, STEPS)
case("BatchNorm1d without bias", function() return nn.BatchNorm1d(4, {bias = false, momentum = false}) end, ROWS)

case("MultiheadAttention", function() return nn.MultiheadAttention(4, 2) end, STEPS)
case("attention to another", function() return nn.MultiheadAttention(4, 2, {bias = false}) end, STEPS, {2, 3, 4})
case("causal attention", function()
  return nn.Module{inner = nn.MultiheadAttention(4, 2), forward = function(self, x)
    return (self.inner(x, {is_causal = true, attn_mask = lt.ones(5, 5):tril(-3):byte()}))
  end}
end, STEPS)
case("TransformerEncoderLayer", function() return nn.TransformerEncoderLayer(4, 2, {dim_feedforward = 8}) end, STEPS)
case("TransformerEncoder", function()
  return nn.Sequential{nn.SinusoidalPositions(4), nn.TransformerEncoder(4, 2, 2, {dim_feedforward = 8,
    norm_first = true, norm = true, activation = "gelu"})}
end, STEPS)

case("a network", function()
  return nn.Sequential{nn.Conv2d(4, 8, 3, {padding = 1}), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
    nn.Residual(nn.Sequential{nn.Conv2d(8, 8, 1), nn.SiLU()}), nn.Flatten(), nn.Linear(48, 12), lt.tanh,
    nn.Reshape(2, 2, 3), nn.ConvTranspose2d(3, 2, 2, {stride = 2}), nn.Sigmoid()}
end, IMAGE)
case("a variational autoencoder", function()
  return nn.Module{encoder = nn.Sequential{nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)}, decoder = nn.Linear(2, 4),
    forward = function(self, x)
      local h = self.encoder(x)
      local mu, log_var = h:slice(2, 1, 2), h:slice(2, 3, 4)
      return self.decoder(mu + 0.5 * lt.exp(log_var / 2)), mu, -log_var
    end}
end, ROWS)
case("a model of two inputs", function()
  return nn.Module{inner = nn.Linear(6, 3), forward = function(self, x, c)
    local y = self.inner(lt.cat({x, c}, 2))
    return (y - y:mean(2, true)):square():sum(2):sqrt() + 1, y:reshape(3, 1, 3):transpose(2, 3):permute(1, 3, 2)
  end}
end, ROWS, {3, 2})
case("a model that merges its batch", function()
  return nn.Module{inner = nn.Linear(4, 3), forward = function(self, x)
    local y = self.inner(x:reshape(-1, 4))
    return y:reshape(-1, 5, 3), (x:flatten(2) + 1):flatten()
  end}
end, STEPS)
case("a model of ops", function()
  return nn.Module{w = lt.param(lt.randn(4, 2)), forward = function(self, x)
    local y = x:matmul(self.w):flatten(2)
    local z = lt.cat({y:softmax(2), y:log_softmax(2), y:relu():sigmoid(), y:gelu(), y:silu(), y:abs():log()}, 2)
    return lt.maximum(z, 0) / (x:mean() ^ 2 + 1), y:unsqueeze(2):squeeze(2):sum(1)
  end}
end, {2, 3, 4})
case("numbers in lists", function()
  return nn.Module{forward = function(_, x)
    return lt.add(x, {1, 2, 3, 4}), lt.sub({{1, 2, 3, 4}}, x), x * {2, 0, 1, 0.5}, lt.matmul(x, {{1}, {2}, {3}, {4}})
  end}
end, {3, 4})
local relu, tanh = lt.relu, lt.tanh
local function helper(x) return relu(x) + tanh(x) end
case("functions taken out of latent", function() return nn.Sequential{nn.Linear(4, 3), helper, relu} end, ROWS)
case("arguments by name beside lists", function()
  return nn.Module{forward = function(_, x)
    return x:sum{1, 2, keepdim = true}, x:permute{axes = {2, 1, 3}}, x:transpose{a = 3, b = 1}:unsqueeze{axis = 1},
      x:unsqueeze(1):squeeze{axis = 1}
  end}
end, {2, 3, 4})

return M
