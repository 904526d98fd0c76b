--- Distributions made of others.
-- @module latent.distributions.made
local core = require "latent.core"
local distribution = require "latent.distributions.distribution"
local lt = require "latent"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise, joined = core.raise, distribution.joined

local M = {}

local function check(name, option, value)
  if not distribution.is_distribution(value) then
    raise(("%s: %s: expected a distribution, got %s"):format(name, option, options.describe(value)))
  end
end

-- ---- independent axes as one event ----

local Independent = {}

local function sum_last(x, count)
  for _ = 1, count do x = x:sum(-1) end
  return x
end

function Independent.draw(self, shape, generator) return self.base._rules.draw(self.base, shape, generator) end
function Independent.log_prob(self, x) return sum_last(self.base:log_prob(x), self.axes) end
function Independent.entropy(self) return sum_last(self.base:entropy(), self.axes) end
function Independent.mean(self) return self.base:mean() end
function Independent.variance(self) return self.base:variance() end

--- The last axes of a distribution's batch as one event: log-probabilities and entropies are summed over them.
-- `Independent(Normal(loc, scale), 1)` is a normal distribution of vectors with a diagonal covariance.
-- @tparam Distribution base
-- @tparam ?int axes how many: 1 unless said
-- @treturn Distribution with the fields base and axes
function M.Independent(base, axes)
  check("Independent", "base", base)
  axes = options.expect("Independent", "axes", axes == nil and 1 or axes, "size")
  local batch = base.batch_shape
  if axes > #batch then
    raise(("Independent: axes: expected at most %d, those of the batch %s, got %d"):format(#batch, shapes.text(batch),
      axes))
  end
  local kept = #batch - axes
  return distribution.new("Independent", Independent, {base = base, axes = axes,
    reparameterized = base._rules.reparameterized or base.reparameterized,
    batch_shape = table.move(batch, 1, kept, 1, {}),
    event_shape = joined(table.move(batch, kept + 1, #batch, 1, {}), base.event_shape)})
end

-- ---- mixtures ----

local Mixture = {}

-- A tensor [..., components, event...] weighted and summed over the components.
local function weighted(self, x)
  local weights = self.mixture.logits:exp()
  for _ = 1, #self.event_shape do weights = weights:unsqueeze(-1) end
  return (x * weights):sum(-1 - #self.event_shape)
end

-- A value with an axis for the components in front of its event.
local function beside(self, x)
  local shape = x.shape
  table.insert(shape, #shape - #self.event_shape + 1, 1)
  return x:reshape(shape)
end

function Mixture.draw(self, shape, generator)
  local lead = table.move(shape, 1, #shape - #self.event_shape, 1, {})
  local labels = self.mixture._rules.draw(self.mixture, lead, generator)
  local count = self.mixture.classes
  local all = self.components._rules.draw(self.components, joined(lead, {count}, self.event_shape), generator)
  local hot = lt.one_hot(labels:reshape(-1), count):reshape(joined(lead, {count}))
  for _ = 1, #self.event_shape do hot = hot:unsqueeze(-1) end
  return lt.where(hot:eq(0), 0, all):sum(-1 - #self.event_shape)
end
function Mixture.log_prob(self, x)
  return (self.components:log_prob(beside(self, x)) + self.mixture.logits):logsumexp(-1)
end
function Mixture.mean(self) return weighted(self, self.components:mean()) end
function Mixture.variance(self)
  local means = self.components:mean()
  local apart = means - beside(self, weighted(self, means))
  return weighted(self, self.components:variance() + apart:square())
end

--- A mixture of components of one kind.
-- @usage distributions.MixtureSameFamily(distributions.Categorical{logits = lt.zeros(3)},
--   distributions.Independent(distributions.Normal(lt.randn(3, 2), 1), 1))
-- @tparam Distribution mixture a Categorical, the components' probabilities
-- @tparam Distribution components the last axis of its batch counts them
-- @treturn Distribution with the fields mixture and components
function M.MixtureSameFamily(mixture, components)
  local name = "MixtureSameFamily"
  check(name, "mixture", mixture)
  check(name, "components", components)
  if mixture.kind ~= "Categorical" then
    raise(("%s: mixture: expected a Categorical, got %s"):format(name, mixture.kind))
  end
  distribution.check_types(name, "mixture", mixture, "components", components)
  local batch = components.batch_shape
  local kept = table.move(batch, 1, #batch - 1, 1, {})
  local shape = shapes.broadcast(kept, mixture.batch_shape)
  if #batch == 0 or batch[#batch] ~= mixture.classes or not shape or shapes.text(shape) ~= shapes.text(kept) then
    raise(("%s: components: expected the batch [..., %d], got %s"):format(name, mixture.classes, shapes.text(batch)))
  end
  return distribution.new(name, Mixture, {mixture = mixture, components = components, batch_shape = kept,
    event_shape = joined(components.event_shape)})
end

return M
