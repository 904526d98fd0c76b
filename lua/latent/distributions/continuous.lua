--- Distributions of real numbers.
-- @module latent.distributions.continuous
local core = require "latent.core"
local distribution = require "latent.distributions.distribution"
local lt = require "latent"

local parameters, check_positive = distribution.parameters, distribution.check_positive
local rand, randn = distribution.rand, distribution.randn

local M = {}

local LOG_2PI = math.log(2 * math.pi)

-- What is moved by loc and stretched by scale.
local function location_scale(name, class, loc, scale)
  local shape
  loc, scale, shape = parameters(name, {"loc", "scale"}, loc, scale)
  check_positive(name, "scale", scale)
  return distribution.new(name, class, {loc = loc, scale = scale, batch_shape = shape})
end

-- ---- normal ----

local Normal = {reparameterized = true}

function Normal.draw(self, shape, generator) return self.loc + self.scale * randn(shape, generator, self.loc) end
function Normal.log_prob(self, x)
  return ((x - self.loc) / self.scale):square() * -0.5 - self.scale:log() - LOG_2PI / 2
end
function Normal.entropy(self) return self.scale:log() + (1 + LOG_2PI) / 2 end
function Normal.mean(self) return self.loc end
function Normal.variance(self) return self.scale:square() end

--- The normal distribution of each number by itself; `Independent(Normal(loc, scale), 1)` is that of vectors with a
-- diagonal covariance.
-- @tparam Tensor|number loc the mean
-- @tparam Tensor|number scale the standard deviation
-- @treturn Distribution
function M.Normal(loc, scale)
  local made = location_scale("Normal", Normal, loc, scale)
  return made
end

-- ---- Laplace ----

local Laplace = {reparameterized = true}

function Laplace.draw(self, shape, generator)
  -- Never exactly -1/2, whose logarithm would be infinite.
  local u = rand(shape, generator, self.loc) - (0.5 - 2.0 ^ -25)
  return self.loc - self.scale * u:sign() * (u:abs() * -2):log1p()
end
function Laplace.log_prob(self, x)
  return -((x - self.loc):abs() / self.scale) - (self.scale * 2):log()
end
function Laplace.entropy(self) return (self.scale * 2):log() + 1 end
function Laplace.mean(self) return self.loc end
function Laplace.variance(self) return self.scale:square() * 2 end

--- The Laplace distribution: e^(-|x - loc| / scale) / (2 scale).
-- @tparam Tensor|number loc the mean
-- @tparam Tensor|number scale
-- @treturn Distribution
function M.Laplace(loc, scale)
  local made = location_scale("Laplace", Laplace, loc, scale)
  return made
end

-- ---- uniform ----

local Uniform = {reparameterized = true}

function Uniform.draw(self, shape, generator)
  return self.low + (self.high - self.low) * rand(shape, generator, self.low)
end
function Uniform.log_prob(self, x)
  local density = -(self.high - self.low):log()
  return lt.where(x:ge(self.low), lt.where(x:lt(self.high), density, -math.huge), -math.huge)
end
function Uniform.entropy(self) return (self.high - self.low):log() end
function Uniform.mean(self) return (self.low + self.high) / 2 end
function Uniform.variance(self) return (self.high - self.low):square() / 12 end

--- The uniform distribution on [low, high).
-- @tparam Tensor|number low
-- @tparam Tensor|number high
-- @treturn Distribution
function M.Uniform(low, high)
  local shape
  low, high, shape = parameters("Uniform", {"low", "high"}, low, high)
  local least = core.statistics((high - low):detach())
  if high:numel() > 0 and (least <= 0 or least ~= least) then
    core.raise "Uniform: high: expected numbers above low"
  end
  return distribution.new("Uniform", Uniform, {low = low, high = high, batch_shape = shape})
end

return M
