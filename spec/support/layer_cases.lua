--- Of each class of nn: what makes a small one, and what it is called with. The walks over all layers take them from
-- here, and spec/layers_spec.lua says which class has none.
local lt, nn = require "latent", require "latent.nn"
local values = require "spec.support.values"

local M = {}

local ROWS, MAPS, SEQUENCE, VOLUME = {4, 6}, {2, 4, 4, 3}, {2, 5, 6}, {2, 3, 4, 4, 2}

local function rows() return values.tensor(lt, ROWS, 5) end
local function probabilities() return rows():sigmoid() end
local function labels() return lt.tensor{0, 2, 5, 3} end
local function signs() return lt.tensor{1, -1, 1, -1} end

--- By class: make() -> layer; shape of its first argument, or input() where random values will not do; and more() ->
-- the arguments after it.
M.cases = {
  AdaptiveAvgPool1d = {make = function() return nn.AdaptiveAvgPool1d(3) end, shape = SEQUENCE},
  AdaptiveAvgPool2d = {make = function() return nn.AdaptiveAvgPool2d({3, 2}) end, shape = MAPS},
  AdaptiveAvgPool3d = {make = function() return nn.AdaptiveAvgPool3d(2) end, shape = VOLUME},
  AdaptiveMaxPool1d = {make = function() return nn.AdaptiveMaxPool1d(3) end, shape = SEQUENCE},
  AdaptiveMaxPool2d = {make = function() return nn.AdaptiveMaxPool2d({3, 2}) end, shape = MAPS},
  AdaptiveMaxPool3d = {make = function() return nn.AdaptiveMaxPool3d(2) end, shape = VOLUME},
  AvgPool1d = {make = function() return nn.AvgPool1d(2) end, shape = SEQUENCE},
  AvgPool2d = {make = function() return nn.AvgPool2d(2) end, shape = MAPS},
  AvgPool3d = {make = function() return nn.AvgPool3d(2) end, shape = VOLUME},
  BCELoss = {make = function() return nn.BCELoss() end, input = probabilities, more = probabilities},
  BCEWithLogitsLoss = {make = function() return nn.BCEWithLogitsLoss() end, shape = ROWS, more = probabilities},
  BatchNorm1d = {make = function() return nn.BatchNorm1d(6) end, shape = ROWS},
  BatchNorm2d = {make = function() return nn.BatchNorm2d(3) end, shape = MAPS},
  BatchNorm3d = {make = function() return nn.BatchNorm3d(2) end, shape = VOLUME},
  Conv1d = {make = function() return nn.Conv1d(6, 4, 3, {padding = 1}) end, shape = SEQUENCE},
  Conv2d = {make = function() return nn.Conv2d(3, 5, 3, {padding = 1}) end, shape = MAPS},
  Conv3d = {make = function() return nn.Conv3d(2, 3, 2, {padding = "same", groups = 1}) end, shape = VOLUME},
  ConvTranspose1d = {make = function() return nn.ConvTranspose1d(6, 4, 2, {stride = 2}) end, shape = SEQUENCE},
  ConvTranspose2d = {make = function() return nn.ConvTranspose2d(3, 5, 2, {stride = 2}) end, shape = MAPS},
  ConvTranspose3d = {make = function() return nn.ConvTranspose3d(2, 4, 2, {stride = 2, groups = 2}) end,
    shape = VOLUME},
  CosineEmbeddingLoss = {make = function() return nn.CosineEmbeddingLoss() end, shape = ROWS,
    more = function() return rows(), signs() end},
  CosineSimilarity = {make = function() return nn.CosineSimilarity() end, shape = ROWS, more = rows},
  CrossEntropyLoss = {make = function() return nn.CrossEntropyLoss() end, shape = ROWS,
    more = labels},
  Dropout = {make = function() return nn.Dropout(0.3) end, shape = ROWS},
  Dropout2d = {make = function() return nn.Dropout2d(0.3) end, shape = MAPS},
  ELU = {make = function() return nn.ELU() end, shape = ROWS},
  Embedding = {make = function() return nn.Embedding(7, 3) end, input = function()
    return lt.tensor{{1, 7}, {3, 3}}
  end},
  Flatten = {make = function() return nn.Flatten() end, shape = MAPS},
  GELU = {make = function() return nn.GELU() end, shape = ROWS},
  GRU = {make = function() return nn.GRU(6, 4, {bidirectional = true}) end, shape = SEQUENCE},
  GRUCell = {make = function() return nn.GRUCell(6, 4) end, shape = ROWS},
  GaussianNLLLoss = {make = function() return nn.GaussianNLLLoss() end, shape = ROWS, more = function()
    return values.tensor(lt, ROWS, 6), rows()
  end},
  GlobalAvgPool = {make = function() return nn.GlobalAvgPool() end, shape = MAPS},
  GlobalMaxPool = {make = function() return nn.GlobalMaxPool() end, shape = MAPS},
  GroupNorm = {make = function() return nn.GroupNorm(2, 6) end, shape = ROWS},
  Hardtanh = {make = function() return nn.Hardtanh(-0.5, 0.5) end, shape = ROWS},
  HingeEmbeddingLoss = {make = function() return nn.HingeEmbeddingLoss() end, input = function()
    return values.tensor(lt, {4}, 5)
  end, more = signs},
  HuberLoss = {make = function() return nn.HuberLoss() end, shape = ROWS, more = rows},
  Identity = {make = function() return nn.Identity() end, shape = ROWS},
  InstanceNorm1d = {make = function() return nn.InstanceNorm1d(6) end, shape = SEQUENCE},
  InstanceNorm2d = {make = function() return nn.InstanceNorm2d(3) end, shape = MAPS},
  KLDivLoss = {make = function() return nn.KLDivLoss() end, shape = ROWS, more = probabilities},
  L1Loss = {make = function() return nn.L1Loss() end, shape = ROWS, more = rows},
  LSTM = {make = function() return nn.LSTM(6, 4, {layers = 2}) end, shape = SEQUENCE},
  LSTMCell = {make = function()
    return nn.Sequential{nn.LSTMCell(6, 4), function(state) return lt.cat(state, 2) end}
  end, shape = ROWS},
  LayerNorm = {make = function() return nn.LayerNorm(6) end, shape = ROWS},
  LeakyReLU = {make = function() return nn.LeakyReLU() end, shape = ROWS},
  Linear = {make = function() return nn.Linear(6, 5) end, shape = ROWS},
  LogSigmoid = {make = function() return nn.LogSigmoid() end, shape = ROWS},
  LogSoftmax = {make = function() return nn.LogSoftmax() end, shape = ROWS},
  MSELoss = {make = function() return nn.MSELoss() end, shape = ROWS, more = rows},
  MarginRankingLoss = {make = function() return nn.MarginRankingLoss() end, input = function()
    return values.tensor(lt, {4}, 5)
  end, more = function() return values.tensor(lt, {4}, 6), signs() end},
  MaxPool1d = {make = function() return nn.MaxPool1d(2) end, shape = SEQUENCE},
  MaxPool2d = {make = function() return nn.MaxPool2d(2) end, shape = MAPS},
  MaxPool3d = {make = function() return nn.MaxPool3d(2) end, shape = VOLUME},
  Mish = {make = function() return nn.Mish() end, shape = ROWS},
  Module = {make = function()
    return nn.Module{weight = lt.param(lt.ones(6)), forward = function(self, x) return x * self.weight end}
  end, shape = ROWS},
  MultiheadAttention = {make = function() return nn.MultiheadAttention(6, 2) end, shape = SEQUENCE},
  NLLLoss = {make = function() return nn.NLLLoss() end, shape = ROWS, more = labels},
  PReLU = {make = function() return nn.PReLU(6) end, shape = ROWS},
  PixelShuffle = {make = function() return nn.PixelShuffle(2) end, shape = {2, 2, 3, 8}},
  PixelUnshuffle = {make = function() return nn.PixelUnshuffle(2) end, shape = MAPS},
  RMSNorm = {make = function() return nn.RMSNorm(6) end, shape = ROWS},
  RNN = {make = function() return nn.RNN(6, 4) end, shape = SEQUENCE},
  RNNCell = {make = function() return nn.RNNCell(6, 4) end, shape = ROWS},
  ReLU = {make = function() return nn.ReLU() end, shape = ROWS},
  ReflectionPad2d = {make = function() return nn.ReflectionPad2d(1) end, shape = MAPS},
  ReplicationPad2d = {make = function() return nn.ReplicationPad2d{1, 0, 2, 1} end, shape = MAPS},
  Reshape = {make = function() return nn.Reshape(2, 3) end, shape = ROWS},
  Residual = {make = function() return nn.Residual(nn.Linear(6, 6)) end, shape = ROWS},
  SELU = {make = function() return nn.SELU() end, shape = ROWS},
  -- A fused block, which falls back only where its arguments are refused, and the plain layers around it.
  Sequential = {make = function()
    return nn.Sequential{nn.Upsample(2), nn.Conv2d(2, 3, 3, {padding = 1}), nn.ReLU(), nn.MaxPool2d(2),
      nn.ConvTranspose2d(3, 2, 3), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(72, 2)}
  end, shape = {2, 4, 4, 2}},
  SiLU = {make = function() return nn.SiLU() end, shape = ROWS},
  Sigmoid = {make = function() return nn.Sigmoid() end, shape = ROWS},
  SinusoidalPositions = {make = function() return nn.SinusoidalPositions(6) end, shape = SEQUENCE},
  SmoothL1Loss = {make = function() return nn.SmoothL1Loss() end, shape = ROWS, more = rows},
  Softmax = {make = function() return nn.Softmax() end, shape = ROWS},
  Softsign = {make = function() return nn.Softsign() end, shape = ROWS},
  Softplus = {make = function() return nn.Softplus() end, shape = ROWS},
  Tanh = {make = function() return nn.Tanh() end, shape = ROWS},
  TransformerEncoder = {make = function()
    return nn.TransformerEncoder(6, 2, 2, {dim_feedforward = 8})
  end, shape = SEQUENCE},
  TransformerEncoderLayer = {make = function()
    return nn.TransformerEncoderLayer(6, 2, {dim_feedforward = 8})
  end, shape = SEQUENCE},
  TripletMarginLoss = {make = function() return nn.TripletMarginLoss() end, shape = ROWS, more = function()
    return rows(), values.tensor(lt, ROWS, 7)
  end},
  Upsample = {make = function() return nn.Upsample(2) end, shape = MAPS},
  ZeroPad2d = {make = function() return nn.ZeroPad2d(1) end, shape = MAPS},
}

--- The classes of nn, by name, in an order that is always the same, and "Module" for one of the user's own.
function M.classes()
  local names = {"Module"}
  for name, class in pairs(nn) do
    if type(class) == "table" and rawget(class, "kind") then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- A layer of the class, and the list of its arguments. The first one asks for its gradient where it can.
function M.made(name)
  local case = assert(M.cases[name], "no case for nn." .. name)
  local layer = case.make()
  local first = case.input and case.input() or values.tensor(lt, case.shape, 3)
  if name ~= "Embedding" then first = lt.param(first) end
  if not case.more then return layer, {first, n = 1} end
  return layer, table.pack(first, case.more())
end

return M
