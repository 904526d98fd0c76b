--- What a decoder's output says about an image: log p(x | z), and the reconstruction term made of it.
-- A likelihood is a module, so that a scale that is learned is trained with the model it is part of.
-- @module latent.vae.likelihood
local core = require "latent.core"
local distributions = require "latent.distributions"
local lt = require "latent"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise, expect = core.raise, options.expect

local M = {}

local LOG_FLOOR = -6 -- below this a learned log sigma bends: a pixel that fits exactly would drive it to -inf

-- Summed over everything but the batch: [n, ...] -> [n].
local function per_image(x) return x:reshape(x:size(1), -1):sum(2) end

local function check_target(name, output, x)
  if not core.is_tensor(output) then
    raise(("%s: the decoder's output: expected a tensor, got %s"):format(name, options.describe(output)))
  end
  local got, want = shapes.text(output), shapes.text(x)
  if got ~= want then
    raise(("%s: the decoder's output: expected %s, as the images have, got %s"):format(name, want, got))
  end
end

-- ---- mean squared error ----

--- The mean squared error: no likelihood, since it has no scale.
-- @type Squared
-- @tfield string unit of its loss
local Squared = module.class("Squared", {unit = "mean squared error a pixel"})

function Squared.init() end

--- The reconstruction term: the squared error, mean over all pixels.
-- @tparam Tensor output of the decoder [n, ...]
-- @tparam Tensor x the images [n, ...]
-- @treturn Tensor one element, recorded
function Squared.loss(_, output, x)
  check_target("squared", output, x)
  return lt.mse_loss(output, x)
end

--- Raises: a squared error is no likelihood.
function Squared.log_prob()
  raise("squared: a squared error without a scale is no density; "
    .. "give a likelihood, such as vae.gaussian{sigma = vae.sigma_of_beta(beta, pixels)}")
end

--- The picture: the output itself.
-- @tparam Tensor output of the decoder [n, ...]
-- @treturn Tensor [n, ...]
function Squared.mean(_, output) return output end

--- The mean squared error over all pixels, as in the answer sheet: beta sets the scale.
-- @treturn Squared
function M.squared() return Squared() end

-- ---- Gaussian ----

--- A Gaussian about the decoder's output. It is a module: a shared scale is its parameter.
-- @type Gaussian
-- @tfield string unit of its loss
local Gaussian = module.class("Gaussian", {order = {"log_sigma"}, unit = "nats an image"})

local SIGMA = options.kind("number|string", 'a number above 0, "shared" or "pixel"', function(value)
  local known = value == "shared" or value == "pixel" or type(value) == "number" and value > 0 and value < math.huge
  return known and value or nil
end)
local gaussian_options = options.declare("vae.gaussian", {{"sigma", SIGMA, "shared", "the scale"},
  {"initial", "positive", nil, "where the shared one begins (default: 1)"}})

function Gaussian:init(opts)
  opts = gaussian_options(opts)
  local sigma = opts.sigma
  if sigma == "shared" then
    local initial = math.log(opts.initial or 1)
    if initial <= LOG_FLOOR then
      raise(("vae.gaussian: initial: expected more than %.3g, got %g"):format(math.exp(LOG_FLOOR), opts.initial))
    end
    self.log_sigma = lt.param(lt.full({1}, LOG_FLOOR + math.log(math.exp(initial - LOG_FLOOR) - 1)))
  elseif opts.initial ~= nil then
    raise('vae.gaussian: initial: only sigma = "shared" has one')
  end
  self.scale = sigma
end

function Gaussian:text()
  local scale = self.log_sigma and core.plainly(string.format, "shared, %.4g now", self:sigma())
    or core.plainly(tostring, self.scale)
  return ("Gaussian(sigma = %s)"):format(scale)
end

-- log sigma = floor + softplus(raw - floor): the raw number itself wherever it is well above the floor.
local function bent(raw) return (raw - LOG_FLOOR):softplus() + LOG_FLOOR end

-- Means and log-variances of all pixels.
local function split(self, output, x)
  if self.scale ~= "pixel" then
    check_target("gaussian", output, x)
    if self.log_sigma then return output, (bent(self.log_sigma) * 2):broadcast_to(x.shape) end
    return output, lt.full(x.shape, 2 * math.log(self.scale), {dtype = x.dtype})
  end
  local shape = x.shape
  local channels = shape[#shape]
  shape[#shape] = 2 * channels
  if not core.is_tensor(output) or shapes.text(output) ~= shapes.text(shape) then
    raise(("gaussian: the decoder's output: expected %s, a mean and a log sigma a value, got %s"):format(
      shapes.text(shape), core.is_tensor(output) and shapes.text(output)
      or options.describe(output)))
  end
  return output:slice(-1, 1, channels), bent(output:slice(-1, channels + 1, 2 * channels)) * 2
end

--- log N(x; mean, sigma^2), summed over the pixels.
-- @tparam Tensor output of the decoder [n, ...]
-- @tparam Tensor x the images [n, ...]
-- @treturn Tensor nats [n], recorded
function Gaussian:log_prob(output, x)
  local mean, log_var = split(self, output, x)
  return -per_image(lt.gaussian_nll(mean, log_var, x, {constant = true, reduction = "none"}))
end

--- The reconstruction term: -log p(x | z), mean over the images.
-- @tparam Tensor output of the decoder [n, ...]
-- @tparam Tensor x the images [n, ...]
-- @treturn Tensor nats, one element, recorded
function Gaussian:loss(output, x)
  local mean, log_var = split(self, output, x)
  return lt.gaussian_nll(mean, log_var, x, {constant = true}) * (x:numel() / x:size(1))
end

--- The picture: the means.
-- @tparam Tensor output of the decoder [n, ...]
-- @treturn Tensor [n, ...]
function Gaussian:mean(output)
  return self.scale == "pixel" and output:slice(-1, 1, output:size(-1) // 2) or output
end

--- The scale: one number where all pixels share it, nil where each has its own.
-- @treturn ?number
function Gaussian:sigma()
  if self.scale == "pixel" then return nil end
  return self.log_sigma and math.exp(lt.no_grad(function() return bent(self.log_sigma):item() end)) or self.scale
end

--- A Gaussian about the decoder's output.
-- With sigma = "shared" one scale for all pixels is learned with the weights (Rybkin, Daniilidis and Levine,
-- 2021: "sigma-VAE"); with a number it is fixed; with "pixel" the decoder has twice as many channels, means
-- first, then log sigmas.
-- @tparam ?table opts
-- @treturn Gaussian
function M.gaussian(opts) return Gaussian(opts) end

-- ---- Bernoulli ----

--- Black or white pixels.
-- @type Bernoulli
-- @tfield string unit of its loss
local Bernoulli = module.class("Bernoulli", {unit = "nats an image"})

local RANGE = options.kind("{number,number}", "{black, white}, such as {-1, 1}", function(range)
  local low, high = type(range) == "table" and range[1], type(range) == "table" and range[2]
  if type(low) ~= "number" or type(high) ~= "number" then return nil end
  return high - low > 0 and high - low < math.huge and range or nil
end)
local bernoulli_options = options.declare("vae.bernoulli", {{"range", RANGE, {0, 1}, "black and white in the images"}})

function Bernoulli:init(opts)
  local range = bernoulli_options(opts).range
  self._low, self._width = range[1], range[2] - range[1]
end

-- The cross-entropy, with images as probabilities. The op finds a pixel out of range as it goes; what that
-- means is said in the images' own numbers.
local function cross_entropy(self, output, x, opts)
  check_target("bernoulli", output, x)
  local ok, result = pcall(lt.bce_with_logits, output, (x - self._low) / self._width, opts)
  if ok then return result end
  if not tostring(result):find("target: expected probabilities", 1, true) then error(result, 0) end
  local least, _, greatest, nans = core.statistics(x)
  local odd = nans > 0 and 0 / 0 or least < self._low and least or greatest
  raise(("vae.bernoulli: images: expected pixels from %g (black) to %g (white), got %g%s"):format(self._low,
    self._low + self._width, odd, nans > 0 and "" or odd < 0
      and "; images of data.loader, from -1 to 1, want vae.bernoulli{range = {-1, 1}}"
      or "; range = {black, white} tells what they are"))
end

--- log p(x | z) with the output as log-odds, summed over the pixels. For grey pixels, which are neither
-- 0 nor 1, it is the negative cross-entropy.
-- @tparam Tensor output of the decoder [n, ...]
-- @tparam Tensor x the images [n, ...]
-- @treturn Tensor nats [n], recorded
function Bernoulli:log_prob(output, x)
  return -per_image(cross_entropy(self, output, x, {reduction = "none"}))
end

--- The reconstruction term: -log p(x | z), mean over the images.
-- @tparam Tensor output of the decoder [n, ...]
-- @tparam Tensor x the images [n, ...]
-- @treturn Tensor nats, one element, recorded
function Bernoulli:loss(output, x)
  return cross_entropy(self, output, x) * (x:numel() / x:size(1))
end

--- The picture: the probabilities, in the images' range.
-- @tparam Tensor output of the decoder [n, ...]
-- @treturn Tensor [n, ...]
function Bernoulli:mean(output) return output:sigmoid() * self._width + self._low end

--- Black or white pixels whose log-odds are the decoder's output. The images of `data.loader` go from -1 to 1:
-- `vae.bernoulli{range = {-1, 1}}`. Pixels outside the range are refused, since every likelihood of theirs would be
-- wrong.
-- @usage local model = vae.new{encoder = encoder, decoder = decoder, likelihood = vae.bernoulli{range = {-1, 1}}}
-- @tparam ?table opts
-- @treturn Bernoulli
function M.bernoulli(opts) return Bernoulli(opts) end

-- ---- any distribution ----

--- What any distribution says of an image, made of the decoder's output.
-- @type Likelihood
-- @tfield string unit of its loss
local Likelihood = module.class("Likelihood", {unit = "nats an image"})

function Likelihood:init(make)
  self._make = expect("vae.distribution", "make", make, "function")
end

-- The distribution of an output.
local function made(self, output)
  local d = self._make(output)
  if not distributions.is_distribution(d) then
    raise(("vae.distribution: make: expected a distribution of its output, got %s"):format(options.describe(d)))
  end
  return d
end

--- log p(x | z), summed over the pixels.
-- @tparam Tensor output of the decoder [n, ...]
-- @tparam Tensor x the images [n, ...]
-- @treturn Tensor nats [n], recorded
function Likelihood:log_prob(output, x)
  local each = made(self, output):log_prob(x)
  if each:dim() < 1 or each:size(1) ~= x:size(1) then
    raise(("vae.distribution: make: expected a distribution a image, got log-probabilities %s of images %s"):format(
      shapes.text(each), shapes.text(x)))
  end
  return per_image(each)
end

--- The reconstruction term: -log p(x | z), mean over the images.
-- @tparam Tensor output of the decoder [n, ...]
-- @tparam Tensor x the images [n, ...]
-- @treturn Tensor nats, one element, recorded
function Likelihood:loss(output, x) return -self:log_prob(output, x):mean() end

--- The picture: the distribution's mean.
-- @tparam Tensor output of the decoder [n, ...]
-- @treturn Tensor [n, ...]
function Likelihood:mean(output) return made(self, output):mean() end

--- A likelihood of any distribution: `make(output)` gives that of the images, from the decoder's output.
-- @usage vae.distribution(function(output) return distributions.Laplace(output, 0.1) end)
-- @tparam function make
-- @treturn Likelihood
function M.distribution(make) return Likelihood(make) end

--- The beta of "mean squared error a pixel + beta KL" that weighs as a Gaussian likelihood of this sigma
-- does: multiplying the negative ELBO by 2 sigma^2 / pixels leaves beta = 2 sigma^2 / pixels.
-- @tparam number sigma
-- @tparam int pixels of an image
-- @treturn number
function M.beta_of_sigma(sigma, pixels)
  expect("vae.beta_of_sigma", "sigma", sigma, "positive")
  return 2 * sigma ^ 2 / expect("vae.beta_of_sigma", "pixels", pixels, "count")
end

--- The sigma that a beta stands for: sqrt(beta pixels / 2), the inverse of beta_of_sigma.
-- @tparam number beta
-- @tparam int pixels of an image
-- @treturn number
function M.sigma_of_beta(beta, pixels)
  expect("vae.sigma_of_beta", "beta", beta, "positive")
  return (beta * expect("vae.sigma_of_beta", "pixels", pixels, "count") / 2) ^ 0.5
end

--- Whether a value is a likelihood.
-- @treturn boolean
function M.is_likelihood(value)
  return module.is_module(value) and type(value.log_prob) == "function" and type(value.loss) == "function"
end

for _, class in ipairs{Squared, Gaussian, Bernoulli, Likelihood} do core.methods_of(class, "likelihood") end

return M
