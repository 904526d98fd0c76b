--- Kullback-Leibler divergences in closed form, by the kinds of both distributions.
-- @module latent.distributions.kl
local distribution = require "latent.distributions.distribution"
local lt = require "latent"
local multivariate = require "latent.distributions.multivariate"

local M = {}

local closed = {}

function closed.Normal_Normal(p, q)
  local ratio = (p.scale / q.scale):square()
  return (ratio + ((p.loc - q.loc) / q.scale):square() - 1 - ratio:log()) / 2
end

function closed.Laplace_Laplace(p, q)
  local distance = (p.loc - q.loc):abs()
  return (q.scale / p.scale):log() + distance / q.scale + p.scale / q.scale * (-distance / p.scale):exp() - 1
end

function closed.Laplace_Normal(p, q)
  local ratio = (p.scale / q.scale):square()
  -- log(q.scale sqrt(2 pi)) - log(2 p.scale) - 1 + E (x - q.loc)^2 / (2 q.scale^2)
  return ratio + ((p.loc - q.loc) / q.scale):square() / 2 - ratio:log() / 2 - (1 - math.log(math.pi / 2) / 2)
end

function closed.Uniform_Uniform(p, q)
  local value = ((q.high - q.low) / (p.high - p.low)):log()
  return lt.where(q.low:le(p.low), lt.where(p.high:le(q.high), value, math.huge), math.huge)
end

function closed.Uniform_Normal(p, q)
  local width, centre = p.high - p.low, (p.high + p.low) / 2 - q.loc
  return (q.scale * (2 * math.pi) ^ 0.5 / width):log()
    + (width:square() / 12 + centre:square()) / q.scale:square() / 2
end

function closed.Bernoulli_Bernoulli(p, q)
  local function part(a, b) return lt.where(a:eq(0), 0, a * (a / b):log()) end
  return part(p.probs, q.probs) + part(1 - p.probs, 1 - q.probs)
end

function closed.Categorical_Categorical(p, q)
  local weights = p.logits:exp()
  return lt.where(weights:eq(0), 0, weights * (p.logits - q.logits)):sum(-1)
end

closed.MultivariateNormal_MultivariateNormal = multivariate.divergence

function closed.Independent_Independent(p, q)
  if p.axes ~= q.axes then return nil, "kl_divergence: no closed form for events of different axes" end
  local value, message = M.divergence(p.base, q.base)
  if not value then return nil, message end
  for _ = 1, p.axes do value = value:sum(-1) end
  return value
end

--- See `distributions.kl_divergence`.
-- @local
function M.divergence(p, q)
  local f = closed[p.kind .. "_" .. q.kind]
  if not f then return nil, ("kl_divergence: no closed form for %s and %s"):format(p.kind, q.kind) end
  distribution.check_types("kl_divergence", "p", p, "q", q)
  return f(p, q)
end

return M
