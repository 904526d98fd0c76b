--- Distributions of labels and truth values, and what is drawn in their place where gradients are wanted.
-- @module latent.distributions.discrete
local core = require "latent.core"
local distribution = require "latent.distributions.distribution"
local lt = require "latent"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local parameters, raise = distribution.parameters, core.raise

local M = {}

local ROWS = {{"probs", "any", nil, "probabilities, a tensor, a list or a number; or"},
  {"logits", "any", nil, "their logarithms, up to a constant (of two classes: log-odds)"}}

-- Which of the two was given, as a tensor of at least so many axes.
local function read(name, opts, axes)
  if (opts.probs == nil) == (opts.logits == nil) then raise(name .. ": give probs or logits, one of the two") end
  local key = opts.probs ~= nil and "probs" or "logits"
  local x, shape = parameters(name, {key}, opts[key])
  if #shape < axes or axes > 0 and shape[#shape] < 1 then
    raise(("%s: %s: expected [..., classes], got %s"):format(name, key, shapes.text(x)))
  end
  if key == "probs" then
    local least, _, greatest, nans = core.statistics(x)
    if x:numel() > 0 and (nans > 0 or least < 0 or axes == 0 and greatest > 1) then
      raise(("%s: probs: expected numbers %s, got %s"):format(name, axes == 0 and "in [0, 1]" or "of at least 0",
        nans > 0 and "nan" or core.plainly(string.format, "%g", least < 0 and least or greatest)))
    end
  end
  return key, x, shape
end

-- ---- Bernoulli ----

local Bernoulli = {}

-- A tensor repeated so that it has the shape of another one that broadcasts with it.
local function fitted(x, other)
  local shape = shapes.broadcast(x.shape, other.shape)
  return shapes.text(x) == shapes.text(shape) and x or lt.broadcast_to(x, shape)
end

function Bernoulli.draw(self, shape, generator)
  return distribution.floating(distribution.rand(shape, generator, self.probs):lt(self.probs), self.probs)
end
function Bernoulli.log_prob(self, x)
  x = distribution.floating(x, self.logits)
  return -lt.bce_with_logits(fitted(self.logits, x), fitted(x, self.logits), "none")
end
-- p log(1 / p) + (1 - p) log(1 / (1 - p)), of which log-odds at an end make 0.
function Bernoulli.entropy(self)
  local p = self.probs
  return -(lt.xlogy(p, p) + lt.xlogy(1 - p, 1 - p))
end
function Bernoulli.mean(self) return self.probs end
function Bernoulli.variance(self) return self.probs * (1 - self.probs) end

local bernoulli_options = options.declare("distributions.Bernoulli", ROWS)

--- 1 with a probability, else 0. Numbers between are taken as probabilities of 1 by `log_prob`.
-- @tparam table opts
-- @treturn Distribution with the fields probs and logits
function M.Bernoulli(opts)
  opts = bernoulli_options(opts, "Bernoulli")
  local key, x, shape = read("Bernoulli", opts, 0)
  local probs, logits
  if key == "probs" then
    probs, logits = x, x:log() - (1 - x):log()
  else
    probs, logits = x:sigmoid(), x
  end
  return distribution.new("Bernoulli", Bernoulli, {probs = probs, logits = logits, batch_shape = shape})
end

-- ---- categorical ----

local Categorical = {labels = true} -- its draws have a type of their own

-- -log(-log u) of uniform numbers: logits plus these are greatest with the logits' probabilities.
local function gumbel(shape, generator, like)
  local u = distribution.rand(shape, generator, like)
  return -(-(u + 2.0 ^ -25):log()):log()
end

function Categorical.draw(self, shape, generator)
  local wide = distribution.joined(shape, {self.classes})
  return (self.logits + gumbel(wide, generator, self.logits)):argmax(-1) - 1
end

-- Where a class has the probability 0 its logarithm is not asked for.
local function picked(weights, logits) return lt.where(weights:eq(0), 0, weights * logits):sum(-1) end

function Categorical.log_prob(self, labels)
  local batch = shapes.broadcast(labels.shape, self.batch_shape)
  if shapes.text(labels) ~= shapes.text(batch) then
    labels = lt.broadcast_to(labels.dtype:find "^float" and labels or labels:float(), batch)
  end
  local wide = distribution.joined(batch, {self.classes})
  return lt.where(lt.one_hot(labels:reshape(-1), self.classes):reshape(wide):eq(0), 0, self.logits):sum(-1)
end
function Categorical.entropy(self) return -picked(self.logits:exp(), self.logits) end

local categorical_options = options.declare("distributions.Categorical", ROWS)

-- Logarithms of probabilities that sum to 1 along the last axis.
local function log_probabilities(name, opts)
  local key, x, shape = read(name, opts, 1)
  if key == "logits" then return x:log_softmax(-1), shape end
  local sums = x:sum(-1, true)
  local least = core.statistics(sums:detach())
  if x:numel() > 0 and least <= 0 then raise(name .. ": probs: expected a number above 0 in each row") end
  return (x / sums):log(), shape
end

--- One of several classes: a label from 0 to classes - 1, as those of lt.cross_entropy.
-- @tparam table opts of tensors [..., classes]
-- @treturn Distribution with the fields logits (log-probabilities) and classes
function M.Categorical(opts)
  local logits, shape = log_probabilities("Categorical", categorical_options(opts, "Categorical"))
  local classes = table.remove(shape)
  return distribution.new("Categorical", Categorical, {logits = logits, classes = classes, batch_shape = shape})
end

-- ---- Gumbel-softmax ----

local Relaxed = {reparameterized = true}

function Relaxed.draw(self, shape, generator)
  return ((self.logits + gumbel(shape, generator, self.logits)) / self.temperature):softmax(-1)
end
function Relaxed.log_prob(self, x)
  local log_x, k = x:log(), self.event_shape[1]
  local score = self.logits - log_x * self.temperature
  local constant = 0
  for i = 2, k - 1 do constant = constant + math.log(i) end
  return (score - score:logsumexp(-1, true)):sum(-1) - log_x:sum(-1) + constant
    + (k - 1) * math.log(self.temperature)
end

local relaxed_options = options.declare("distributions.RelaxedOneHotCategorical", ROWS)

--- Gumbel-softmax (Jang, Gu and Poole, 2017; Maddison, Mnih and Teh, 2017): vectors of positive numbers with the sum 1,
-- near to those with a single 1 where the temperature is low; gradients go through the draws.
-- @tparam number temperature above 0
-- @tparam table opts of tensors [..., classes]
-- @treturn Distribution with the fields logits (log-probabilities) and temperature
function M.RelaxedOneHotCategorical(temperature, opts)
  local name = "RelaxedOneHotCategorical"
  temperature = options.expect(name, "temperature", temperature, "positive")
  local logits, shape = log_probabilities(name, relaxed_options(opts, name))
  local classes = table.remove(shape)
  return distribution.new(name, Relaxed, {logits = logits, temperature = temperature, batch_shape = shape,
    event_shape = {classes}})
end

return M
