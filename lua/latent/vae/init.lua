--- Variational autoencoders of any encoder and decoder.
--
-- A VAE is here whatever has `encode(x)`, giving means and log-variances [n, latent], and `decode(z)`; `vae.new`
-- makes one of two networks. What an output says about an image is a likelihood: `vae.gaussian`, `vae.bernoulli`,
-- or `vae.squared`, the mean squared error of the answer sheet.
--
--    local model = vae.new{encoder = encoder, decoder = decoder, likelihood = vae.gaussian()}
--    local elbo = vae.elbo(model, x, {beta = 1})
--    elbo.total:backward()
--    print(vae.report(model, test, {train = train}))
--
-- Scaling: with a likelihood that has a scale every term is in nats an image (a sum over pixels and latent
-- dimensions, mean over the batch), and the total is the negative ELBO where beta is 1. `vae.squared` averages over
-- the pixels instead, and beta alone sets the weight of the KL divergence, which stays in nats;
-- `vae.beta_of_sigma` converts.
-- @module latent.vae
local core = require "latent.core"
local distributions = require "latent.distributions"
local likelihood = require "latent.vae.likelihood"
local lt = require "latent"
local measure = require "latent.vae.measure"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise, expect, declare = core.raise, options.expect, options.declare

local M = {
  gaussian = likelihood.gaussian, bernoulli = likelihood.bernoulli, squared = likelihood.squared,
  distribution = likelihood.distribution,
  beta_of_sigma = likelihood.beta_of_sigma, sigma_of_beta = likelihood.sigma_of_beta,
  active_units = measure.active_units, collapse = measure.collapse, knn_accuracy = measure.knn_accuracy,
  within_prior = measure.within_prior, prior_radius = measure.prior_radius,
}

local squared = likelihood.squared()

-- The likelihood of a call: the option's, else the model's own, else the squared error.
local function likelihood_of(name, model, given)
  local found = given or model.likelihood or squared
  if not likelihood.is_likelihood(found) then
    raise(("%s: likelihood: expected vae.gaussian(), vae.bernoulli() or vae.squared(), got %s"):format(name,
      options.describe(found)))
  end
  return found
end

-- Options that several functions have; no default of a likelihood is known before the model is.
local LIKELIHOOD = {"likelihood", "any", nil, "default: the model's own, else vae.squared()"}
local PRIOR = {"prior", "any", nil, "of the codes: a distribution of vectors [latent], or function(model) that makes "
  .. "one of parameters of the model (default: the model's own, else N(0, 1))"}
local GENERATOR = {"generator", "any", nil, "where the draws come from, one made by lt.generator"}
local SAMPLES = {"samples", "count", 50, "draws of a code for each image"}
local BATCH = {"batch", "count", 250, "images at a time"}

-- The prior of a call: nil for N(0, 1).
local function prior_of(name, model, given)
  local prior = given
  if prior == nil then prior = model.prior end
  if type(prior) == "function" then prior = prior(model) end
  if prior ~= nil and not distributions.is_distribution(prior) then
    raise(("%s: prior: expected a distribution or a function that makes one, got %s"):format(name,
      options.describe(prior)))
  end
  return prior
end

-- log p(z) of codes [n, latent]; a prior of single numbers is summed over them.
local function log_prior(name, prior, z)
  local value = prior:log_prob(z)
  if value:dim() == 2 then value = value:sum(2) end
  if value:dim() ~= 1 then
    raise(("%s: prior: expected a distribution of vectors of %d numbers, got %s"):format(name, z:size(2),
      tostring(prior)))
  end
  return value
end

-- The divergence of the posterior from a prior, mean over the batch: in closed form, or else by the one draw.
local function kl_from(name, prior, mu, log_var, z)
  local posterior = distributions.Normal(mu, (log_var / 2):exp())
  local closed = distributions.kl_divergence(posterior, prior)
    or distributions.kl_divergence(distributions.Independent(posterior), prior)
  if closed then return (closed:dim() == 2 and closed:sum(2) or closed):mean() end
  return (posterior:log_prob(z):sum(2) - log_prior(name, prior, z)):mean()
end

local function check_model(name, model, methods)
  for _, method in ipairs(methods) do
    if type(model) ~= "table" or type(model[method]) ~= "function" then
      raise(("%s: model: expected a VAE with a method %s, got %s"):format(name, method, options.describe(model)))
    end
  end
end

local function check_codes(name, mu, log_var)
  for _, x in ipairs{mu or false, log_var or false} do
    if not core.is_tensor(x) or x:dim() ~= 2 then
      raise(("%s: encode: expected means and log-variances [n, latent], got %s"):format(name,
        options.describe(x or nil)))
    end
  end
end

-- Means and log-variances of images, checked.
local function encoded(name, model, x)
  core.check_tensor(x, name .. ": x")
  local mu, log_var = model:encode(x)
  check_codes(name, mu, log_var)
  return mu, log_var
end

local sample_options = declare("vae.sample", {GENERATOR})

--- A draw of z = mu + exp(log_var / 2) eps with eps ~ N(0, 1): gradients go through it.
-- @tparam Tensor mu [n, latent]
-- @tparam Tensor log_var [n, latent]
-- @tparam ?table opts
-- @treturn Tensor z [n, latent]
-- @treturn Tensor eps [n, latent]
function M.sample(mu, log_var, opts)
  opts = sample_options(opts)
  core.check_tensor(mu, "vae.sample: mu")
  core.check_tensor(log_var, "vae.sample: log_var")
  local eps = lt.randn(mu, {generator = opts.generator})
  return mu + (log_var / 2):exp() * eps, eps
end

local MODULE = options.kind("Module", "a module", function(value) return module.is_module(value) and value or nil end)
local new_options = declare("vae.new", {
  {"encoder", MODULE, nil, "gives means and log-variances, or one tensor [n, 2 latent], means first", required = true},
  {"decoder", MODULE, nil, "from codes [n, latent] to what the likelihood wants", required = true},
  {"likelihood", "any", nil, "default: vae.squared()"},
  {"prior", "any", nil, "of the codes: a distribution of vectors [latent], or function(model) that makes one (default: "
    .. "N(0, 1))"},
  {"parts", "table", {}, "further fields of the model by name: the parameters of such a prior"},
})

--- A VAE of two networks.
-- @tparam table parts
-- @treturn Module with encode, decode, sample, and forward(x), which gives output, means, log-variances
-- @raise unless encoder and decoder are modules
function M.new(parts)
  parts = new_options(options.expect("vae.new", "parts", parts, "table"))
  if type(parts.prior) ~= "function" then prior_of("vae.new", parts) end
  local model = {}
  for name, part in pairs(parts.parts) do model[name] = part end
  local own = {
    kind = "VAE", encoder = parts.encoder, decoder = parts.decoder,
    likelihood = likelihood_of("vae.new", parts), prior = parts.prior,
    encode = function(self, x)
      local mu, log_var = self.encoder(x)
      if log_var then return mu, log_var end
      if not core.is_tensor(mu) or mu:dim() ~= 2 or mu:size(2) % 2 ~= 0 then
        raise("vae: encode: expected means and log-variances, or one tensor [n, 2 latent], got "
          .. (core.is_tensor(mu) and shapes.text(mu) or options.describe(mu)))
      end
      local latent = mu:size(2) // 2
      return mu:slice(2, 1, latent), mu:slice(2, latent + 1, 2 * latent)
    end,
    sample = function(_, mu, log_var) return (M.sample(mu, log_var)) end,
    decode = function(self, z) return self.decoder(z) end,
    forward = function(self, x)
      local mu, log_var = self:encode(x)
      return self:decode(self:sample(mu, log_var)), mu, log_var
    end,
  }
  for name, part in pairs(own) do
    if model[name] ~= nil then raise(("vae.new: parts: %s is a field of every VAE"):format(name)) end
    model[name] = part
  end
  return module.new(model)
end

-- KL divergence from the prior of every latent number of every image: [n, latent], nats.
local function kl_each(mu, log_var)
  return lt.gaussian_kl(mu:unsqueeze(3), log_var:unsqueeze(3), {reduction = "none"})
end

local elbo_options = declare("vae.elbo", {
  {"beta", "not negative", 1, "the weight of the KL divergence"}, LIKELIHOOD,
  {"free_bits", "not negative", 0, "a latent dimension whose KL divergence, mean over the batch, lies below so many "
    .. "nats costs that much all the same, so that nothing is won by emptying it (Kingma et al., 2016)"},
  PRIOR, GENERATOR,
})

--- The training loss of a batch, split into its terms.
-- @tparam Module model with encode and decode
-- @tparam Tensor x [n, ...]
-- @tparam ?table opts
-- @treturn table total = reconstruction + beta kl (with free bits the raised kl), reconstruction, kl: tensors of one
-- element with gradients; kl_per_dimension [latent], detached, nats (not with a prior of one's own); unit: that of
-- reconstruction and total; output, mu, log_var, z
function M.elbo(model, x, opts)
  local name = "vae.elbo"
  opts = elbo_options(opts)
  check_model(name, model, {"encode", "decode"})
  local beta, free = opts.beta, opts.free_bits
  local rule = likelihood_of(name, model, opts.likelihood)
  local mu, log_var = encoded(name, model, x)
  local prior = prior_of(name, model, opts.prior)
  if prior and free > 0 then raise(name .. ": free_bits: there are none with a prior of one's own") end
  local z = M.sample(mu, log_var, {generator = opts.generator})
  local output = model:decode(z)
  local reconstruction = rule:loss(output, x)
  local kl = prior and kl_from(name, prior, mu, log_var, z) or lt.gaussian_kl(mu, log_var)
  local charged = free > 0 and kl_each(mu, log_var):mean(1):clamp(free, math.huge):sum() or kl
  return {
    total = reconstruction + beta * charged, reconstruction = reconstruction, kl = kl, beta = beta, unit = rule.unit,
    kl_per_dimension = not prior and lt.no_grad(function() return kl_each(mu, log_var):mean(1) end) or nil,
    output = output, mu = mu, log_var = log_var, z = z,
  }
end

local bound_options = declare("vae.importance_bound", {SAMPLES, LIKELIHOOD, PRIOR, GENERATOR})

--- The importance-weighted bound on log p(x) (Burda, Grosse and Salakhutdinov, 2016): the log of the mean of k
-- weights p(x | z) p(z) / q(z | x). With one sample it is the ELBO, with more it rises towards log p(x).
-- @tparam Module model with encode and decode
-- @tparam Tensor x [n, ...]
-- @tparam ?table opts the likelihood must have a scale
-- @treturn Tensor [n], nats, with gradients unless inside no_grad
function M.importance_bound(model, x, opts)
  local name = "vae.importance_bound"
  opts = bound_options(opts)
  check_model(name, model, {"encode", "decode"})
  local samples = opts.samples
  local rule = likelihood_of(name, model, opts.likelihood)
  local mu, log_var = encoded(name, model, x)
  local prior, log_weights = prior_of(name, model, opts.prior), {}
  for i = 1, samples do
    local z, eps = M.sample(mu, log_var, {generator = opts.generator})
    -- log p(z) - log q(z | x): both have log(2 pi) / 2 a dimension, which cancels
    local log_ratio
    if prior then
      log_ratio = (eps:square() + log_var + math.log(2 * math.pi)):sum(2) / 2 + log_prior(name, prior, z)
    else
      log_ratio = (eps:square() + log_var - z:square()):sum(2) / 2
    end
    log_weights[i] = rule:log_prob(model:decode(z), x) + log_ratio
  end
  return lt.stack(log_weights, 1):logsumexp(1) - math.log(samples) -- [samples, n] -> [n]
end

local nll_options = declare("vae.nll", {SAMPLES, LIKELIHOOD,
  {"images", "count", nil, "only so many, from the first on (default: all)"}, BATCH, PRIOR, GENERATOR})

--- An estimate of -log p(x), mean over images: the negative importance-weighted bound, computed in batches and
-- without recording. It is too high on average, less so with more samples. Of a density it may be negative.
-- @tparam Module model with encode and decode
-- @tparam Tensor|Set x [n, ...], or a data set
-- @tparam ?table opts
-- @treturn number nats an image
-- @treturn number standard error of that mean: how far other images as many would change it (0 for a single image); it
-- knows nothing of what more samples would take off
function M.nll(model, x, opts)
  opts = nll_options(opts)
  check_model("vae.nll", model, {"encode", "decode"})
  local nats = {} -- of each image
  for batch in measure.batches("vae.nll", x, opts) do
    local bound = lt.no_grad(function()
      return M.importance_bound(model, batch, {samples = opts.samples, likelihood = opts.likelihood,
        prior = opts.prior, generator = opts.generator})
    end)
    for _, value in ipairs(bound:table()) do nats[#nats + 1] = -value end
  end
  local sum, squares = 0, 0
  for _, value in ipairs(nats) do sum = sum + value end
  local mean = sum / #nats
  for _, value in ipairs(nats) do squares = squares + (value - mean) ^ 2 end
  return mean, #nats > 1 and (squares / (#nats - 1) / #nats) ^ 0.5 or 0
end

local prior_options = declare("vae.prior_samples", {
  {"latent", "count", nil, "how many numbers a code has, which a prior of one's own knows"}, PRIOR,
  {"temperature", "not negative", 1, "standard deviation of the codes"}, LIKELIHOOD, GENERATOR,
})

--- Images of codes drawn from the prior, N(0, 1) unless the model or the call has another.
-- @tparam Module model with decode
-- @tparam int n
-- @tparam table opts
-- @treturn Tensor images [n, ...]: the likelihood's means
-- @treturn Tensor codes [n, latent]
function M.prior_samples(model, n, opts)
  local name = "vae.prior_samples"
  opts = prior_options(opts)
  check_model(name, model, {"decode"})
  local rule = likelihood_of(name, model, opts.likelihood)
  return lt.no_grad(function()
    expect(name, "n", n, "count")
    local prior = prior_of(name, model, opts.prior)
    if prior and opts.temperature ~= 1 then raise(name .. ": temperature: a prior of one's own has none") end
    local z = prior and prior:sample(n, {generator = opts.generator})
      or lt.randn({n, expect(name, "latent", opts.latent, "count")}, {generator = opts.generator}) * opts.temperature
    return rule:mean(model:decode(z)), z
  end)
end

local interpolate_options = declare("vae.interpolate", {
  {"steps", "count", 8, "codes a pair"},
  {"spherical", "boolean", false, "along the arc, which keeps the length that codes of a prior of many dimensions "
    .. "have, instead of the straight line"},
})

--- Codes on the way from one code to another, ends included.
-- @tparam Tensor a [n, latent]
-- @tparam Tensor b [n, latent]
-- @tparam ?table opts
-- @treturn Tensor [n * steps, latent], those of the first pair first
function M.interpolate(a, b, opts)
  local name = "vae.interpolate"
  opts = interpolate_options(opts)
  check_codes(name, a, b)
  if a:size(1) ~= b:size(1) or a:size(2) ~= b:size(2) then
    raise(("%s: expected codes of one shape, got %s and %s"):format(name, shapes.text(a), shapes.text(b)))
  end
  if a:numel() == 0 then
    raise(("%s: expected at least one code, got %s"):format(name, shapes.text(a)))
  end
  local steps = opts.steps
  local angles = opts.spherical and lt.no_grad(function()
    return ((a * b):sum(2) / (a:norm(2) * b:norm(2))):table()
  end)
  local codes = {}
  for i = 1, a:size(1) do
    local angle = angles and math.acos(math.max(-1, math.min(1, angles[i]))) or 0
    for step = 1, steps do
      local t = steps > 1 and (step - 1) / (steps - 1) or 0.5
      -- the straight line is the arc of angle 0 (and near pi the arc is not defined)
      local arc = math.sin(angle) > 1e-4
      local from = arc and math.sin((1 - t) * angle) / math.sin(angle) or 1 - t
      local to = arc and math.sin(t * angle) / math.sin(angle) or t
      codes[#codes + 1] = a:slice(1, i, i) * from + b:slice(1, i, i) * to
    end
  end
  return lt.cat(codes, 1)
end

local traversal_options = declare("vae.traversals", {
  {"dimensions", "list", nil, "(default: all)"}, {"range", "list", {-3, 3}, "least and greatest value"},
  {"steps", "count", 7, "codes a dimension"},
})

--- Codes that differ from a given one in one dimension at a time.
-- @tparam Tensor z [latent] or [1, latent]
-- @tparam ?table opts
-- @treturn Tensor [#dimensions * steps, latent], those of the first dimension first
function M.traversals(z, opts)
  local name = "vae.traversals"
  opts = traversal_options(opts)
  core.check_tensor(z, name .. ": z")
  if z:dim() > 2 or (z:dim() == 2 and z:size(1) ~= 1) then
    raise(("%s: z: expected one code, [latent] or [1, latent], got %s"):format(name, shapes.text(z)))
  end
  local latent, steps, range = z:numel(), opts.steps, opts.range
  local low, high = expect(name, "range[1]", range[1], "finite"), expect(name, "range[2]", range[2], "finite")
  local dimensions = opts.dimensions or lt.arange(latent):table()
  local base, rows = z:reshape(-1):table(), {}
  for _, d in ipairs(dimensions) do
    if not math.tointeger(d) or d < 1 or d > latent then
      raise(("%s: dimensions: expected 1 to %d, got %s"):format(name, latent, options.describe(d)))
    end
    for step = 1, steps do
      local row = table.move(base, 1, latent, 1, {})
      row[math.tointeger(d)] = steps > 1 and low + (high - low) * (step - 1) / (steps - 1) or (low + high) / 2
      rows[#rows + 1] = row
    end
  end
  return lt.tensor(rows)
end

local Report = {}
Report.__index = Report

-- Fields of a report in the order of its table: what they are, and how their numbers are written.
local ROWS = {
  {"images", "images", "%d"}, {"mse", "MSE of the means' pictures", "%.4f"},
  {"sampled_mse", "MSE of sampled codes' pictures", "%.4f"},
  {"reconstruction", "reconstruction, nats an image", "%.2f"}, {"rate", "rate (KL), nats an image", "%.3f"},
  {"elbo", "ELBO (lower bound of -NLL), nats", "%.2f"}, {"nll", "NLL estimate, nats an image", "%.2f"},
  {"nll_error", "its standard error over images", "%.2f"},
  {"sigma", "sigma of the likelihood", "%.4f"}, {"active_units", "active units", "%d"},
  {"latent", "of latent dimensions", "%d"}, {"spread", "spread of the means", "%.3f"},
  {"total_spread", "spread of the codes", "%.3f"}, {"within_prior", "codes within the prior's 95 %, %", "%.1f"},
  {"knn_accuracy", "k-NN accuracy, %", "%.1f"},
}

local function text_of(self)
  local lines = {}
  for _, row in ipairs(ROWS) do
    local value = self[row[1]]
    if value then lines[#lines + 1] = ("%-34s " .. row[3]):format(row[2], value) end
  end
  return table.concat(lines, "\n") .. (self.warning and "\n" .. self.warning or "")
end

function Report:__tostring() return core.plainly(text_of, self) end

local report_options = declare("vae.report", {
  {"train", "any", nil, "the set in which neighbours are looked up, for the k-NN accuracy"},
  {"k", "count", 1, "neighbours that vote"},
  {"likelihood", "any", nil, "default: the model's; where that is vae.squared(), a Gaussian whose variance is the MSE "
    .. "of the sampled codes' pictures, which fits best"},
  {"samples", "count", 50, "of the NLL"}, {"nll_images", "count", 1000, "from which the NLL is estimated"}, BATCH,
  GENERATOR,
})

--- Measures a VAE over a data set in one call; printed, the result is a table.
-- @tparam Module model with encode and decode
-- @tparam Set|Tensor set the images to measure with, usually those of the test set
-- @tparam ?table opts
-- @treturn table images; mse: of the pictures of the means; sampled_mse: of those of sampled codes, the distortion
-- that belongs to the rate; reconstruction: -log p(x | z) of sampled codes; rate: the KL divergence;
-- kl_per_dimension [latent], from N(0, 1); elbo = -(reconstruction + rate), a lower bound of log p(x); nll, an
-- estimate of -log p(x) and so of the other sign; nll_error: its standard error over the images it was measured with;
-- all these in nats an image; sigma, where all pixels share one; active_units, of `latent`; spread: standard deviation
-- of the means, mean over the dimensions; total_spread: the same of sampled codes; within_prior: share of the sampled
-- codes within the ball that holds 95 % of the prior N(0, 1), %, where that is the prior; knn_accuracy, %, with
-- `train`; warning: text, where the posterior has collapsed
function M.report(model, set, opts)
  local name = "vae.report"
  opts = report_options(opts)
  check_model(name, model, {"encode", "decode"})
  local rule = likelihood_of(name, model, opts.likelihood)
  local function encode(m, x) return encoded(name, m, x) end
  local pass = measure.pass(name, model, set, opts, rule, encode)
  local reconstruction = -pass.log_prob
  if rule.unit == squared.unit then
    local variance = math.max(pass.sampled_mse, 1e-12)
    rule = likelihood.gaussian{sigma = variance ^ 0.5}
    reconstruction = pass.pixels / 2 * (math.log(2 * math.pi * variance) + 1)
  end
  local kl_per_dimension = lt.no_grad(function() return kl_each(pass.mu, pass.log_var):mean(1) end)
  local prior = prior_of(name, model)
  local rate = prior and lt.no_grad(function() return kl_from(name, prior, pass.mu, pass.log_var, pass.z) end):item()
    or kl_per_dimension:sum():item()
  local r = setmetatable({
    images = pass.images, mse = pass.mse, sampled_mse = pass.sampled_mse, reconstruction = reconstruction,
    rate = rate, elbo = -(reconstruction + rate), kl_per_dimension = kl_per_dimension,
    sigma = rule.sigma and rule:sigma(), active_units = (measure.active_units(pass.mu)), latent = pass.mu:size(2),
    -- one image has no spread
    spread = pass.images > 1 and pass.mu:std(1):mean():item() or 0,
    total_spread = pass.images > 1 and pass.z:std(1):mean():item() or 0,
    -- Both know N(0, 1) alone.
    within_prior = not prior and measure.within_prior(pass.z) or nil,
    warning = not prior and measure.collapse(kl_per_dimension) or nil,
  }, Report)
  r.nll, r.nll_error = M.nll(model, set, {samples = opts.samples, likelihood = rule, batch = opts.batch,
    images = opts.nll_images, generator = opts.generator})
  if opts.train then
    local codes, labels = measure.means(name, model, opts.train, opts, encode)
    if not labels or not pass.labels then raise(name .. ": train: needs data sets with labels") end
    r.knn_accuracy = measure.knn_accuracy(codes, labels, pass.mu, pass.labels, {k = opts.k})
  end
  return r
end

return M
