--- Losses as modules: each calls the function of lt with the options that it was made with.
-- @module latent.nn.losses
local core = require "latent.core"
local lt = require "latent"
local module = require "latent.nn.module"
local options = require "latent.base.options"

local M = {}

-- What comes out is no value that a layer reads.
local function torch_layout() return {is = "unknown"} end

local REDUCTION = {"reduction", options.one_of{"mean", "sum", "none"}, "mean", "of the terms"}
local WEIGHT = {"weight", "tensor", nil, "of each class, [classes]"}
local IGNORE = {"ignore_index", "integer", nil, "the label that counts for nothing"}

-- A class for a function of so many tensors.
local function criterion(kind, name, tensors, rows)
  local class = module.class(kind, {torch_layout = torch_layout})
  local read = options.declare("nn." .. kind, rows)
  function class:init(opts) self._options = read(opts) end
  function class:forward(...)
    local count = select("#", ...)
    if count ~= tensors then core.raise(("%s: expected %d tensors, got %d"):format(kind, tensors, count)) end
    local given = {...}
    given[tensors + 1] = self._options
    return lt[name](table.unpack(given, 1, tensors + 1))
  end
  function class.text() return kind end
  return class
end

--- The mean squared error, lt.mse_loss.
-- @function MSELoss
-- @tparam ?table opts
-- @treturn Module called with input and target
M.MSELoss = criterion("MSELoss", "mse_loss", 2, {REDUCTION})

--- Minus the logarithm of a normal density whose mean and logarithm of the variance are given, lt.gaussian_nll.
-- @function GaussianNLLLoss
-- @tparam ?table opts
-- @treturn Module called with mean, logarithm of the variance and target, in this order; PyTorch's has the
-- target second and the variance itself third
M.GaussianNLLLoss = criterion("GaussianNLLLoss", "gaussian_nll", 3, {REDUCTION,
  {"constant", "boolean", false, "adds log(2 pi) / 2 to each term"}})

--- The mean distance, lt.l1_loss.
-- @function L1Loss
-- @tparam ?table opts
-- @treturn Module called with input and target
M.L1Loss = criterion("L1Loss", "l1_loss", 2, {REDUCTION})

--- The distance, rounded at 0: lt.smooth_l1_loss.
-- @function SmoothL1Loss
-- @tparam ?table opts
-- @treturn Module called with input and target
M.SmoothL1Loss = criterion("SmoothL1Loss", "smooth_l1_loss", 2, {REDUCTION,
  {"beta", "not negative", 1, "the distance below which it is quadratic"}})

--- The square of small distances, linear beyond: lt.huber_loss.
-- @function HuberLoss
-- @tparam ?table opts
-- @treturn Module called with input and target
M.HuberLoss = criterion("HuberLoss", "huber_loss", 2, {REDUCTION,
  {"delta", "positive", 1, "the distance below which it is quadratic"}})

--- The cross-entropy of logits and class labels (values from 0), lt.cross_entropy.
-- @function CrossEntropyLoss
-- @tparam ?table opts
-- @treturn Module called with logits and labels
M.CrossEntropyLoss = criterion("CrossEntropyLoss", "cross_entropy", 2, {REDUCTION, WEIGHT, IGNORE,
  {"label_smoothing", "share", 0, "the share that all classes get alike"}})

--- The same of log-probabilities, lt.nll_loss.
-- @function NLLLoss
-- @tparam ?table opts
-- @treturn Module called with log-probabilities and labels
M.NLLLoss = criterion("NLLLoss", "nll_loss", 2, {REDUCTION, WEIGHT, IGNORE})

--- The Kullback-Leibler divergence of probabilities from log-probabilities, lt.kl_div.
-- @function KLDivLoss
-- @tparam ?table opts
-- @treturn Module called with log-probabilities and probabilities
M.KLDivLoss = criterion("KLDivLoss", "kl_div", 2, {
  {"reduction", options.one_of{"mean", "batchmean", "sum", "none"}, "mean", "of the terms"},
  {"log_target", "boolean", false, "the target is log-probabilities too"}})

--- The cross-entropy of probabilities of two classes, lt.binary_cross_entropy.
-- @function BCELoss
-- @tparam ?table opts
-- @treturn Module called with probabilities and targets
M.BCELoss = criterion("BCELoss", "binary_cross_entropy", 2, {REDUCTION,
  {"weight", "tensor", nil, "of the terms, which it broadcasts to"}})

--- The cross-entropy of log-odds of two classes, lt.bce_with_logits.
-- @function BCEWithLogitsLoss
-- @tparam ?table opts
-- @treturn Module called with log-odds and targets
M.BCEWithLogitsLoss = criterion("BCEWithLogitsLoss", "bce_with_logits", 2, {REDUCTION,
  {"weight", "tensor", nil, "of the terms, which it broadcasts to"},
  {"pos_weight", "tensor", nil, "of the target's part of the terms"}})

--- The cosine of the angle between two tensors' rows, lt.cosine_similarity.
-- @function CosineSimilarity
-- @tparam ?table opts
-- @treturn Module called with a and b
M.CosineSimilarity = criterion("CosineSimilarity", "cosine_similarity", 2, {
  {"axis", "integer", -1, "along which it is taken"}, {"eps", "positive", 1e-8, "the least length"}})

--- A loss of the angle between rows that belong together (1) or do not (-1), lt.cosine_embedding_loss.
-- @function CosineEmbeddingLoss
-- @tparam ?table opts
-- @treturn Module called with a, b and targets
M.CosineEmbeddingLoss = criterion("CosineEmbeddingLoss", "cosine_embedding_loss", 3, {REDUCTION,
  {"margin", "finite", 0, "the cosine from which on it costs not to belong together"}})

--- A loss of rows that should lie nearer to one than to another, lt.triplet_margin_loss.
-- @function TripletMarginLoss
-- @tparam ?table opts
-- @treturn Module called with anchor, positive and negative
M.TripletMarginLoss = criterion("TripletMarginLoss", "triplet_margin_loss", 3, {REDUCTION,
  {"margin", "finite", 1, "how much nearer"}, {"p", "positive", 2, "the norm's order"},
  {"eps", "not negative", 1e-6, "added to the differences"},
  {"swap", "boolean", false, "takes the smaller of the negative's two distances"}})

--- A loss of distances that should be small (1) or beyond a margin (-1), lt.hinge_embedding_loss.
-- @function HingeEmbeddingLoss
-- @tparam ?table opts
-- @treturn Module called with input and targets
M.HingeEmbeddingLoss = criterion("HingeEmbeddingLoss", "hinge_embedding_loss", 2, {REDUCTION,
  {"margin", "finite", 1, "beyond which it costs nothing"}})

--- A loss of two numbers of which the first (1) or the second (-1) should be greater, lt.margin_ranking_loss.
-- @function MarginRankingLoss
-- @tparam ?table opts
-- @treturn Module called with a, b and targets
M.MarginRankingLoss = criterion("MarginRankingLoss", "margin_ranking_loss", 3, {REDUCTION,
  {"margin", "finite", 0, "by how much"}})

return M
