--- Probability distributions: draws, log-probabilities, entropies, divergences. Parameters are tensors or numbers and
-- broadcast; gradients go through all of them.
--
--    local d = distributions.Normal(lt.zeros(3), 2)
--    local x = d:rsample(5)                     -- [5, 3]
--    print(d:log_prob(x), d:entropy(), distributions.kl_divergence(d, distributions.Normal(0, 1)))
-- @module latent.distributions
local continuous = require "latent.distributions.continuous"
local core = require "latent.core"
local discrete = require "latent.distributions.discrete"
local distribution = require "latent.distributions.distribution"
local kl = require "latent.distributions.kl"
local made = require "latent.distributions.made"
local multivariate = require "latent.distributions.multivariate"
local options = require "latent.base.options"

local M = {
  Normal = continuous.Normal, Laplace = continuous.Laplace, Uniform = continuous.Uniform,
  MultivariateNormal = multivariate.MultivariateNormal,
  Bernoulli = discrete.Bernoulli, Categorical = discrete.Categorical,
  RelaxedOneHotCategorical = discrete.RelaxedOneHotCategorical,
  Independent = made.Independent, MixtureSameFamily = made.MixtureSameFamily,
}

--- Whether a value is a distribution.
-- @param value
-- @treturn boolean
function M.is_distribution(value) return distribution.is_distribution(value) end

--- The Kullback-Leibler divergence of q from p, in nats, where it has a closed form: two of one kind, and a uniform or
-- a Laplace distribution against a normal one.
-- @tparam Distribution p
-- @tparam Distribution q
-- @treturn Tensor [batch_shape...]; or nil and a message where there is no closed form
function M.kl_divergence(p, q)
  for name, d in pairs{p = p or false, q = q or false} do
    if not distribution.is_distribution(d) then
      core.raise(("kl_divergence: %s: expected a distribution, got %s"):format(name, options.describe(d or nil)))
    end
  end
  return kl.divergence(p, q)
end

return M
