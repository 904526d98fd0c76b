-- latent.vae against closed forms: a linear-Gaussian model, whose evidence and posterior are known.
local lt, nn, optim, vae = require "latent", require "latent.nn", require "latent.optim", require "latent.vae"
local data = require "latent.data"
local schedule = require "latent.schedule"
require "spec.support.close"

local LOG_2PI = math.log(2 * math.pi)

local function refuses(message, f, ...)
  local ok, got = pcall(f, ...)
  assert.is_false(ok)
  assert.is_truthy(tostring(got):find(message, 1, true), tostring(got))
end

-- x = W z + b + sigma eps with orthogonal columns of W, of squared lengths 4 and 1, so that posterior and evidence
-- factor. `widen` adds to the encoder's log-variance: 0 is the exact posterior.
local W = lt.tensor{{1.6, 1.2, 0, 0}, {0, 0, 0.6, 0.8}} -- [latent, pixels]
local B, SIGMA = lt.tensor{0.5, -1, 0, 2}, 0.5
local LENGTHS = lt.tensor{4, 1}

local function linear_gaussian(widen)
  local variance = SIGMA ^ 2 / (LENGTHS + SIGMA ^ 2)
  return {
    encode = function(_, x)
      local mu = (x - B):matmul(W:transpose()) / (LENGTHS + SIGMA ^ 2)
      return mu, lt.zeros(mu.shape) + variance:log() + widen
    end,
    decode = function(_, z) return z:matmul(W) + B end,
  }
end

-- log N(x; b, W'W + sigma^2 1), [n]: along the columns of W the variance is their squared length + sigma^2, along
-- the other two directions sigma^2.
local function log_evidence(x)
  local centred = x - B
  local along = (centred:matmul(W:transpose())):square() / LENGTHS -- [n, 2]
  local rest = centred:square():sum(2) - along:sum(2)
  local variance = LENGTHS + SIGMA ^ 2
  return -0.5 * ((along / variance):sum(2) + rest / SIGMA ^ 2 + variance:log():sum()
    + 2 * math.log(SIGMA ^ 2) + 4 * LOG_2PI)
end

local function some_images(n)
  lt.manual_seed(5)
  return lt.randn(n, 2):matmul(W) + B + lt.randn(n, 4) * SIGMA
end

local function small_vae(likelihood, outputs)
  lt.manual_seed(3)
  return vae.new{encoder = nn.Sequential{nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)},
    decoder = nn.Sequential{nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, outputs or 4)}, likelihood = likelihood}
end

describe("a prior of one's own", function()
  local distributions = require "latent.distributions"
  local x = some_images(6)

  it("that is N(0, 1) changes nothing but rounding: in closed form, and by draws", function()
    local plain, model = small_vae(vae.gaussian{sigma = 0.5}), small_vae(vae.gaussian{sigma = 0.5})
    local closed = distributions.Independent(distributions.Normal(lt.zeros(2), 1))
    local drawn = distributions.MixtureSameFamily(distributions.Categorical{logits = {0}},
      distributions.Independent(distributions.Normal(lt.zeros(1, 2), 1)))
    for prior, tolerance in pairs{[closed] = 1e-5, [drawn] = 0.1, [distributions.Normal(0, 1)] = 1e-5} do
      lt.manual_seed(9)
      local want = vae.elbo(plain, x)
      lt.manual_seed(9)
      local got = vae.elbo(model, x, {prior = prior})
      assert.close(got.reconstruction, want.reconstruction, 0)
      if tolerance < 0.1 then assert.close(got.kl, want.kl, tolerance) end
      assert.is_nil(got.kl_per_dimension)
      lt.manual_seed(4)
      local bound = vae.importance_bound(plain, x, {samples = 20})
      lt.manual_seed(4)
      assert.close(vae.importance_bound(model, x, {samples = 20, prior = prior}), bound, 1e-5)
    end
    local sum = 0
    for _ = 1, 400 do sum = sum + vae.elbo(model, x, {prior = drawn}).kl:item() end
    assert.close(sum / 400, vae.elbo(plain, x).kl:item(), 0.1)
  end)

  it("is the model's, learned with it, and where samples come from", function()
    lt.manual_seed(2)
    local model = vae.new{encoder = nn.Linear(4, 4), decoder = nn.Linear(2, 4), likelihood = vae.gaussian{sigma = 1},
      parts = {means = lt.param(lt.randn(3, 2))},
      prior = function(self)
        return distributions.MixtureSameFamily(distributions.Categorical{logits = lt.zeros(3)},
          distributions.Independent(distributions.Normal(self.means, 0.1)))
      end}
    assert.equal(3 * 2 + 20 + 12, model:count())
    vae.elbo(model, x).total:backward()
    assert.is_true(model.means.grad:abs():max():item() > 0)
    local _, z = vae.prior_samples(model, 50)
    assert.same({50, 2}, z.shape)
    local nearest = lt.knn(model.means:detach(), z)
    assert.equal(50, #nearest)
    assert.is_number((vae.nll(model, x, {samples = 3})))
    local report = vae.report(model, x, {samples = 3})
    assert.is_nil(report.within_prior)
    assert.close(report.rate, vae.elbo(model, x).kl:item(), 0.5)
    assert.matches("rate", tostring(report))
  end)

  it("is refused where it is none", function()
    local model = small_vae()
    refuses("vae.elbo: prior: expected a distribution or a function that makes one, got 3", vae.elbo, model, x,
      {prior = 3})
    refuses("vae.elbo: free_bits: there are none with a prior of one's own", vae.elbo, model, x,
      {prior = distributions.Normal(0, 1), free_bits = 1})
    refuses("vae.prior_samples: temperature: a prior of one's own has none", vae.prior_samples, model, 2,
      {prior = distributions.Normal(lt.zeros(2), 1), temperature = 2})
    refuses("vae.new: parts: decode is a field of every VAE", vae.new, {encoder = nn.Linear(4, 4),
      decoder = nn.Linear(2, 4), parts = {decode = nn.Linear(1, 1)}})
  end)
end)

describe("vae.distribution", function()
  local distributions = require "latent.distributions"

  it("is the likelihood of any distribution", function()
    local x, output = some_images(6), lt.param(lt.randn(6, 4))
    local rule = vae.distribution(function(y) return distributions.Normal(y, 0.5) end)
    local gaussian = vae.gaussian{sigma = 0.5}
    assert.close(rule:log_prob(output, x), gaussian:log_prob(output, x))
    assert.close(rule:loss(output, x), gaussian:loss(output, x))
    assert.close(rule:mean(output), output, 0)
    assert.equal("nats an image", rule.unit)
    local model = small_vae(vae.distribution(function(y) return distributions.Laplace(y, 1) end))
    vae.elbo(model, x).total:backward()
    refuses("vae.distribution: make: expected a distribution of its output, got 3", rule.log_prob,
      vae.distribution(function() return 3 end), output, x)
    refuses("vae.distribution: make: expected a function, got nil", vae.distribution)
  end)
end)

describe("vae.elbo", function()
  local x = some_images(6)

  it("is MSE + beta KL with the squared error, to the bit", function()
    local model = small_vae()
    lt.manual_seed(9)
    local elbo = vae.elbo(model, x, {beta = 0.01})
    lt.manual_seed(9)
    local r, mu, log_var = model(x)
    local mse, kl = lt.mse_loss(r, x), lt.gaussian_kl(mu, log_var)
    assert.equal((mse + 0.01 * kl):item(), elbo.total:item())
    assert.equal(mse:item(), elbo.reconstruction:item())
    assert.equal(kl:item(), elbo.kl:item())
    assert.equal("mean squared error a pixel", elbo.unit)
    assert.same({6, 4}, elbo.output.shape)
    assert.same({6, 2}, elbo.z.shape)
  end)

  it("splits the KL divergence into dimensions: means of its closed form", function()
    local mu, log_var = lt.tensor{{1, 0}, {3, 0}}, lt.tensor{{0, math.log(2)}, {0, 0}}
    local model = {encode = function() return mu, log_var end, decode = function(_, z) return z end}
    local elbo = vae.elbo(model, lt.zeros(2, 2))
    assert.close(elbo.kl_per_dimension, {(0.5 + 4.5) / 2, 0.5 * (2 - 1 - math.log(2)) / 2})
    assert.close(elbo.kl:item(), elbo.kl_per_dimension:sum():item())
  end)

  it("counts nats an image with a Gaussian, and beta_of_sigma converts", function()
    local model, sigma = small_vae(), 0.7
    lt.manual_seed(9)
    local nats = vae.elbo(model, x, {likelihood = vae.gaussian{sigma = sigma}})
    lt.manual_seed(9)
    local squared = vae.elbo(model, x, {beta = vae.beta_of_sigma(sigma, 4)})
    local constant = 4 * (math.log(sigma) + LOG_2PI / 2)
    assert.equal("nats an image", nats.unit)
    assert.close(nats.reconstruction:item(), 4 * squared.reconstruction:item() / (2 * sigma ^ 2) + constant)
    assert.close((nats.total:item() - constant) * 2 * sigma ^ 2 / 4, squared.total:item())
    assert.close(vae.sigma_of_beta(vae.beta_of_sigma(sigma, 4), 4), sigma)
    assert.close(vae.beta_of_sigma(0.5, 1024), 2 * 0.25 / 1024)
  end)

  it("learns a shared sigma: the root of the mean squared error", function()
    local likelihood = vae.gaussian{initial = 1}
    assert.close(likelihood:sigma(), 1)
    local mean = lt.zeros(6, 4)
    local opt = optim.Adam(likelihood:parameters(), {lr = 0.05})
    for _ = 1, 400 do
      opt:zero_grad()
      likelihood:loss(mean, x):backward()
      opt:step()
    end
    assert.close(likelihood:sigma(), lt.mse_loss(mean, x):item() ^ 0.5, 1e-3)
    assert.matches("Gaussian%(sigma = shared, %d", tostring(likelihood))
  end)

  it("trains the shared sigma as a part of the model, and keeps it above its floor", function()
    local likelihood = vae.gaussian()
    local model = small_vae(likelihood)
    assert.is_not_nil(model:state()["likelihood.log_sigma"])
    vae.elbo(model, x).total:backward()
    assert.is_true(likelihood.log_sigma.grad:item() ~= 0)
    lt.no_grad(function() likelihood.log_sigma:sub_(1000) end)
    assert.close(likelihood:sigma(), math.exp(-6))
    assert.is_true(vae.elbo(model, x).total:item() < math.huge)
  end)

  it("has a sigma a pixel where the decoder gives one", function()
    local likelihood = vae.gaussian{sigma = "pixel"}
    local output = lt.tensor{{1, 2, math.log(0.5), math.log(2)}}
    local got = likelihood:log_prob(output, lt.tensor{{1.5, 0}})
    -- the bend adds log(1 + e^-(log sigma + 6)) to log sigma: 0.005 and 0.001 here
    local function bent(s) return -6 + math.log(1 + math.exp(s + 6)) end
    local function one(difference, s) return -0.5 * (difference / math.exp(s)) ^ 2 - s - LOG_2PI / 2 end
    assert.close(got, {one(0.5, bent(math.log(0.5))) + one(2, bent(math.log(2)))})
    assert.close(likelihood:loss(output, lt.tensor{{1.5, 0}}):item(), -got:item())
    assert.close(likelihood:mean(output), {{1, 2}})
    assert.is_nil(likelihood:sigma())
    local model = small_vae(likelihood, 8)
    assert.same({6, 8}, vae.elbo(model, x).output.shape)
    refuses("the decoder's output: expected [6, 8], a mean and a log sigma a value, got [6, 4]",
      vae.elbo, small_vae(likelihood), x)
  end)

  it("is a cross-entropy from logits with a Bernoulli", function()
    local likelihood = vae.bernoulli{range = {-1, 1}}
    local logits, pixels = lt.tensor{{2, -1}}, lt.tensor{{1, -1}} -- white, black
    local expected = -math.log(1 + math.exp(-2)) - math.log(1 + math.exp(-1))
    assert.close(likelihood:log_prob(logits, pixels), {expected})
    assert.close(likelihood:loss(logits, pixels):item(), -expected)
    assert.close(likelihood:mean(lt.tensor{{0, 100, -100}}), {{0, 1, -1}})
    assert.close(vae.bernoulli():log_prob(logits, lt.tensor{{1, 0}}), {expected})
  end)

  it("refuses a Bernoulli for pixels out of its range, and says what the loader's want", function()
    local set = require("latent.data").mnist{split = "train", mini = true}:take(20)
    local function flat(batch) return batch:reshape(#batch, -1) end
    local function model_of(likelihood)
      return {likelihood = likelihood, encode = function(_, images)
        return flat(images):slice(2, 1, 2), lt.zeros(#images, 2)
      end, decode = function(_, z) return z:matmul(lt.ones(2, 1024)):reshape(#z, 32, 32, 1) end}
    end
    local images = (set:batch(lt.arange(20)))
    local wrong = ": images: expected pixels from 0 (black) to 1 (white), got -1; "
      .. "images of data.loader, from -1 to 1, want vae.bernoulli{range = {-1, 1}}"
    refuses("vae.elbo" .. wrong, vae.elbo, model_of(vae.bernoulli()), images)
    refuses("vae.report" .. wrong, vae.report, model_of(vae.bernoulli()), set)
    refuses("vae.nll" .. wrong, vae.nll, model_of(vae.bernoulli()), set, {samples = 1})
    local right = model_of(vae.bernoulli{range = {-1, 1}})
    assert.is_true(vae.elbo(right, images).total:item() > 0)
    assert.is_true(vae.report(right, set, {samples = 1}).nll > 0)
    refuses("expected pixels from -1 (black) to 1 (white), got 255; range = {black, white} tells", vae.elbo, right,
      (images + 1) * 127.5)
    refuses("expected pixels from -1 (black) to 1 (white), got ", vae.elbo, right, images * (0 / 0))
    local logits = lt.zeros(1, 3)
    vae.bernoulli{range = {0, 255}}:loss(logits, lt.tensor{{0, 17, 255}}) -- rounding passes
    vae.bernoulli{range = {-0.1, 0.3}}:loss(logits, lt.tensor{{-0.1, 0.1, 0.3}})
    refuses("bernoulli: the decoder's output: expected [2, 3]", function()
      vae.bernoulli():loss(logits, lt.zeros(2, 3))
    end)
  end)

  it("of no images is no number", function()
    for _, likelihood in ipairs{vae.squared(), vae.gaussian(), vae.bernoulli()} do
      local elbo = vae.elbo(small_vae(likelihood), lt.zeros(0, 4))
      for _, part in ipairs{"total", "reconstruction", "kl"} do
        local value = elbo[part]:item()
        assert(value ~= value, part)
      end
    end
  end)

  it("charges at least the free bits, and no gradient flows below them", function()
    local mu, log_var = lt.param(lt.tensor{{2, 0.1}}), lt.zeros(1, 2)
    local model = {encode = function() return mu, log_var end, decode = function(_, z) return z:detach() end}
    local elbo = vae.elbo(model, lt.zeros(1, 2), {free_bits = 0.5})
    assert.close(elbo.total:item() - elbo.reconstruction:item(), 2 + 0.5)
    assert.close(elbo.kl:item(), 2 + 0.005)
    elbo.total:backward()
    assert.close(mu.grad, {{2, 0}})
  end)

  it("draws the same codes from the same generator", function()
    local model = small_vae()
    local function draw() return vae.elbo(model, x, {generator = lt.generator(4)}).z end
    assert.close(draw(), draw(), 0)
  end)

  it("trains: the ELBO of a linear-Gaussian model comes near its evidence", function()
    lt.manual_seed(1)
    local model = vae.new{encoder = nn.Linear(4, 4), decoder = nn.Linear(2, 4), likelihood = vae.gaussian()}
    local images = some_images(512)
    local opt = optim.Adam(model:parameters(), {lr = 0.02})
    for _ = 1, 600 do
      opt:zero_grad()
      vae.elbo(model, images).total:backward()
      opt:step()
    end
    local evidence = log_evidence(images):mean():item()
    local elbo = 0
    for _ = 1, 20 do elbo = elbo - vae.elbo(model, images).total:item() / 20 end
    assert.is_true(math.abs(elbo - evidence) < 0.1, ("%g, evidence %g"):format(elbo, evidence))
    assert.is_true(math.abs(model.likelihood:sigma() - SIGMA) < 0.05)
  end)
end)

describe("the importance-weighted bound", function()
  local x = some_images(200)

  it("is the evidence itself with the exact posterior, from one sample on", function()
    local likelihood = vae.gaussian{sigma = SIGMA}
    for _, samples in ipairs{1, 3} do
      local bound = vae.importance_bound(linear_gaussian(0), x, {samples = samples, likelihood = likelihood})
      assert.close(bound, log_evidence(x), 1e-5)
    end
  end)

  it("rises towards the evidence with a posterior that is too wide", function()
    local likelihood, before = vae.gaussian{sigma = SIGMA}, -math.huge
    lt.manual_seed(2)
    local evidence = log_evidence(x):mean():item()
    for _, samples in ipairs{1, 5, 50} do
      local bound = vae.importance_bound(linear_gaussian(1), x, {samples = samples, likelihood = likelihood})
        :mean():item()
      assert.is_true(bound > before)
      before = bound
    end
    assert.is_true(math.abs(before - evidence) < 0.03, ("%g, evidence %g"):format(before, evidence))
    -- one sample is the ELBO, whose gap is KL(q || posterior) = (e - 1 - 1) / 2 a dimension
    local elbo = -vae.elbo(linear_gaussian(1), x, {likelihood = likelihood}).total:item()
    assert.is_true(math.abs(elbo - (evidence - (math.exp(1) - 2))) < 0.3)
  end)

  it("gives an NLL that is positive here, the same in any batches", function()
    local opts = {likelihood = vae.gaussian{sigma = SIGMA}, samples = 2}
    local nll = vae.nll(linear_gaussian(0), x, opts)
    assert.is_true(nll > 0)
    assert.close(nll, -log_evidence(x):mean():item())
    opts.batch, opts.images = 7, 50
    assert.close(vae.nll(linear_gaussian(0), x, opts), -log_evidence(x:slice(1, 1, 50)):mean():item())
  end)

  it("gives the NLL's standard error over the images", function()
    local opts = {likelihood = vae.gaussian{sigma = SIGMA}, samples = 2}
    local _, deviation = vae.nll(linear_gaussian(0), x, opts) -- with the exact posterior nothing else varies
    assert.close(deviation, log_evidence(x):std():item() / 200 ^ 0.5, 1e-4)
    opts.images = 1
    assert.equal(0, (select(2, vae.nll(linear_gaussian(0), x, opts))))
  end)

  it("has gradients", function()
    local model = small_vae(vae.gaussian{sigma = 1})
    vae.importance_bound(model, x, {samples = 4}):mean():backward()
    for _, p in ipairs(model:parameters()) do assert.is_true(p.grad:abs():max():item() > 0) end
  end)

  it("wants a likelihood with a scale", function()
    refuses("a squared error without a scale is no density", vae.importance_bound, small_vae(), x)
    refuses("a squared error without a scale is no density", vae.nll, small_vae(), x)
  end)
end)

describe("measures of codes", function()
  it("active units are those whose means vary", function()
    local mu = lt.tensor{{0, 0.08, 5}, {2, -0.08, 5}}
    local active, variance = vae.active_units(mu)
    assert.equal(1, active)
    assert.close(variance, {1, 0.0064, 0})
    assert.equal(2, (vae.active_units(mu, {threshold = 0.005})))
  end)

  it("warn of a collapsed posterior, and only then", function()
    local text, empty = vae.collapse(lt.tensor{1.5, 0.001, 0})
    assert.same({2, 3}, empty)
    assert.matches("2 of 3 latent dimensions %(dimensions 2, 3%) carry less than 0.01 nats", text)
    assert.matches("%(dimension 1%)", (vae.collapse(lt.tensor{0, 1})))
    assert.matches("2 of 2 latent dimensions %(all%)", (vae.collapse(lt.zeros(2))))
    text, empty = vae.collapse(lt.tensor{1, 0.02})
    assert.is_nil(text)
    assert.same({}, empty)
  end)

  -- quantiles of the chi-squared distribution from tables: degrees of freedom, share, value
  for _, case in ipairs{{1, 0.95, 3.841459}, {2, 0.95, 5.991465}, {3, 0.99, 11.3449}, {16, 0.95, 26.2962},
    {16, 0.05, 7.9616}, {200, 0.95, 233.9943}, {100000, 0.95, 100736.736}} do
    it(("the prior's ball in %d dimensions holds %g"):format(case[1], case[2]), function()
      assert.close(vae.prior_radius(case[1], case[2]) ^ 2, case[3], 1e-5)
    end)
  end

  it("the share within the prior is that of a normal, of wide codes less, of narrow ones more", function()
    lt.manual_seed(1)
    local z = lt.randn(20000, 3)
    assert.is_true(math.abs(vae.within_prior(z) - 95) < 0.6)
    assert.is_true(math.abs(vae.within_prior(z, {share = 0.5}) - 50) < 1.5)
    assert.is_true(vae.within_prior(z * 2) < 65)
    assert.equal(100, vae.within_prior(z * 0.1))
  end)

  it("k-NN takes the majority, and of equal numbers the nearer class", function()
    local codes, labels = lt.tensor{{0}, {1}, {2}, {10}}, lt.tensor{7, 3, 3, 7}
    local function answer(at, k)
      local _, answers = vae.knn_accuracy(codes, labels, lt.tensor{{at}}, lt.tensor{3}, {k = k})
      return answers:item()
    end
    assert.equal(7, answer(0.1, 1))
    assert.equal(7, answer(0.1, 2)) -- one each: 0 is nearer than 1
    assert.equal(3, answer(0.1, 3))
    assert.equal(3, answer(0.9, 4)) -- two each: 1 and 2 against 0 and 10
    local _, far = vae.knn_accuracy(lt.tensor{{0}, {0.1}, {1}, {2}, {3}}, lt.tensor{7, 7, 3, 3, 3}, lt.tensor{{0}},
      lt.tensor{3}, {k = 5})
    assert.equal(3, far:item()) -- three far ones outvote two near ones
    local accuracy = vae.knn_accuracy(codes, labels, lt.tensor{{0}, {1}, {9}, {0}}, lt.tensor{7, 3, 7, 1})
    assert.equal(75, accuracy)
  end)
end)

describe("codes to decode", function()
  it("lie on the line between two, ends included", function()
    local a, b = lt.tensor{{0, 0}, {1, 1}}, lt.tensor{{3, 6}, {1, 1}}
    assert.close(vae.interpolate(a, b, {steps = 4}),
      {{0, 0}, {1, 2}, {2, 4}, {3, 6}, {1, 1}, {1, 1}, {1, 1}, {1, 1}})
    assert.close(vae.interpolate(lt.zeros(1, 2), lt.ones(1, 2), {steps = 1}), {{0.5, 0.5}})
  end)

  it("or on the arc, which keeps their length", function()
    local got = vae.interpolate(lt.tensor{{2, 0}}, lt.tensor{{0, 2}}, {steps = 3, spherical = true})
    assert.close(got, {{2, 0}, {math.sqrt(2), math.sqrt(2)}, {0, 2}})
    local same = lt.tensor{{1, 2}}
    assert.close(vae.interpolate(same, same, {steps = 2, spherical = true}), {{1, 2}, {1, 2}})
  end)

  it("differ in one dimension at a time", function()
    assert.close(vae.traversals(lt.tensor{5, 6}, {range = {-1, 1}, steps = 3}),
      {{-1, 6}, {0, 6}, {1, 6}, {5, -1}, {5, 0}, {5, 1}})
    assert.close(vae.traversals(lt.tensor{{5, 6}}, {dimensions = {2}, steps = 1}), {{5, 0}})
  end)

  it("come from the prior, as the generator says", function()
    local model = small_vae()
    local images, z = vae.prior_samples(model, 5, {latent = 2, generator = lt.generator(1)})
    assert.same({5, 4}, images.shape)
    assert.close(images, model:decode(z))
    local _, cold = vae.prior_samples(model, 5, {latent = 2, temperature = 0.5, generator = lt.generator(1)})
    assert.close(cold, z * 0.5)
    assert.is_false(images.requires_grad)
  end)
end)

describe("vae.report", function()
  local flat = nn.Module{forward = function(_, x) return x:reshape(x:size(1), -1):slice(2, 500, 503) end}

  it("measures a model over a set in one call", function()
    local train = assert(data.mnist{mini = true, split = "train"}):take(120)
    local test = assert(data.mnist{mini = true, split = "test"}):take(60)
    lt.manual_seed(1)
    local model = vae.new{encoder = nn.Sequential{flat, nn.Linear(4, 4)},
      decoder = nn.Sequential{nn.Linear(2, 1024), nn.Reshape(32, 32, 1)}}
    local r = vae.report(model, test, {train = train, samples = 2, nll_images = 20, batch = 25})
    local x = test:batch(lt.arange(60))
    local mu, log_var = model:encode(x)
    assert.equal(60, r.images)
    assert.close(r.mse, lt.mse_loss(model:decode(mu), x):item())
    assert.close(r.rate, lt.gaussian_kl(mu, log_var):item())
    assert.close(r.kl_per_dimension:sum():item(), r.rate)
    assert.close(r.elbo, -(r.reconstruction + r.rate))
    assert.close(r.sigma, r.sampled_mse ^ 0.5)
    assert.is_true(r.sampled_mse > r.mse)
    assert.close(r.reconstruction, 512 * (math.log(2 * math.pi * r.sigma ^ 2) + 1))
    assert.close(r.spread, mu:std(1):mean():item())
    assert.equal(2, r.latent)
    assert.is_true(r.knn_accuracy > 0 and r.knn_accuracy <= 100)
    assert.is_true(r.nll > 0 and r.nll < -r.elbo + 30)
    assert.is_true(r.within_prior >= 0 and r.within_prior <= 100)
    assert.is_true(r.nll_error > 0 and r.nll_error < r.nll)
    assert.matches("ELBO %(lower bound of %-NLL%), nats +%-%d", tostring(r))
    assert.matches("NLL estimate, nats an image +%d+[%d.]+\nits standard error over images +%d", tostring(r))
    assert.matches("k%-NN accuracy, %% +%d", tostring(r))
  end)

  it("says of a single image that it has no spread", function()
    local r = vae.report(linear_gaussian(0), lt.ones(1, 4), {likelihood = vae.gaussian{sigma = 1}, samples = 2})
    assert.equal(0, r.spread)
    assert.equal(0, r.total_spread)
  end)

  it("takes a likelihood with a scale as it is, and tensors of images; warns of a collapse", function()
    local x = some_images(30)
    local likelihood = vae.gaussian{sigma = SIGMA}
    local r = vae.report(linear_gaussian(0), x, {likelihood = likelihood, samples = 1, batch = 7})
    assert.close(r.nll, -log_evidence(x):mean():item())
    assert.equal(SIGMA, r.sigma)
    assert.equal(2, r.active_units)
    assert.is_nil(r.warning)
    local empty = {encode = function(_, y) return lt.zeros(#y, 2), lt.zeros(#y, 2) end,
      decode = function(_, z) return lt.zeros(#z, 4) + B end}
    r = vae.report(empty, x, {likelihood = likelihood, samples = 1})
    assert.equal(0, r.rate)
    assert.equal(0, r.active_units)
    assert.matches("posterior collapse", tostring(r))
  end)
end)

describe("a cyclical schedule", function()
  it("grows and holds, again and again", function()
    local f = schedule.cyclical(2, {steps = 8, cycles = 2, ramp = 0.5})
    local got = {}
    for step = 1, 9 do got[step] = f(step) end
    assert.same({1.0, 2.0, 2.0, 2.0, 1.0, 2.0, 2.0, 2.0, 2.0}, got)
    local inner = schedule.cyclical(schedule.constant(4), {steps = 4, cycles = 1, ramp = 1})
    assert.same({1.0, 2.0, 3.0, 4.0}, {inner(1), inner(2), inner(3), inner(4)})
  end)

  it("refuses what makes no sense", function()
    refuses("schedule.cyclical: ramp: expected a number above 0 and at most 1, got 2", schedule.cyclical, 1,
      {steps = 4, ramp = 2})
    refuses("schedule.cyclical: steps: expected a whole number of at least 1, got nil", schedule.cyclical, 1)
  end)
end)

describe("latent.vae refuses", function()
  local x = some_images(3)
  local plain = small_vae()
  local flat_codes = {encode = function() return lt.zeros(3) end, decode = function(_, z) return z end}
  for _, case in ipairs{
    {"vae.new: encoder: expected a module, got nil", vae.new, {decoder = nn.Linear(2, 4)}},
    {'vae.new: unknown option "encode" (did you mean "encoder"?)', vae.new, {encode = 1}},
    {"vae.new: likelihood: expected vae.gaussian(), vae.bernoulli() or vae.squared(), got 3", vae.new,
      {encoder = nn.Linear(4, 4), decoder = nn.Linear(2, 4), likelihood = 3}},
    {"vae.elbo: model: expected a VAE with a method encode, got a table", vae.elbo, {}, x},
    {"vae.elbo: model: expected a VAE with a method encode, got nil", vae.elbo, nil, x},
    {"vae.elbo: x: expected a tensor", vae.elbo, plain, 5},
    {"vae.elbo: encode: expected means and log-variances [n, latent], got a tensor [3]", vae.elbo, flat_codes, x},
    {'vae.elbo: beta: expected a number of at least 0, got "1"', vae.elbo, plain, x, {beta = "1"}},
    {"vae.elbo: beta: expected a number of at least 0, got -1", vae.elbo, plain, x, {beta = -1}},
    {"vae.elbo: free_bits: expected a finite number of at least 0, got inf", vae.elbo, plain, x,
      {free_bits = math.huge}},
    {"vae.elbo: free_bits: expected a number of at least 0, got -0.5", vae.elbo, plain, x, {free_bits = -0.5}},
    {"vae.prior_samples: temperature: expected a number of at least 0, got -1", vae.prior_samples, plain, 3,
      {latent = 2, temperature = -1}},
    {"vae.active_units: threshold: expected a number of at least 0, got -1", vae.active_units, lt.zeros(3, 2),
      {threshold = -1}},
    {'vae.gaussian: sigma: expected a number above 0, "shared" or "pixel", got inf', vae.gaussian,
      {sigma = math.huge}},
    {"vae.gaussian: initial: expected a finite number above 0, got inf", vae.gaussian, {initial = math.huge}},
    {"vae.bernoulli: range: expected {black, white}", vae.bernoulli, {range = {0, 0 / 0}}},
    {"vae.bernoulli: range: expected {black, white}", vae.bernoulli, {range = {0, math.huge}}},
    {'vae.elbo: unknown option "freebits" (did you mean "free_bits"?)', vae.elbo, plain, x, {freebits = 1}},
    {"squared: the decoder's output: expected [3, 4], as the images have, got [3, 5]", vae.elbo,
      small_vae(nil, 5), x},
    {"vae.importance_bound: samples: expected a whole number of at least 1, got 0", vae.importance_bound, plain, x,
      {samples = 0}},
    {"vae.nll: expected images [n, ...] or a data set, got 3", vae.nll, plain, 3},
    {'vae.gaussian: sigma: expected a number above 0, "shared" or "pixel", got 0', vae.gaussian, {sigma = 0}},
    {'vae.gaussian: initial: only sigma = "shared" has one', vae.gaussian, {sigma = 1, initial = 1}},
    {"vae.gaussian: initial: expected more than 0.00248, got 0.001", vae.gaussian, {initial = 0.001}},
    {"vae.bernoulli: range: expected {black, white}", vae.bernoulli, {range = {1, -1}}},
    {"vae.beta_of_sigma: sigma: expected a number above 0, got 0", vae.beta_of_sigma, 0, 4},
    {"vae.sigma_of_beta: pixels: expected a whole number of at least 1, got 0", vae.sigma_of_beta, 1, 0},
    {"vae.interpolate: expected codes of one shape, got [1, 2] and [2, 2]", vae.interpolate, lt.zeros(1, 2),
      lt.zeros(2, 2)},
    {"vae.traversals: z: expected one code, [latent] or [1, latent], got [2, 2]", vae.traversals, lt.zeros(2, 2)},
    {"vae.traversals: dimensions: expected 1 to 2, got 3", vae.traversals, lt.zeros(2), {dimensions = {3}}},
    {"vae.prior_samples: latent: expected a whole number of at least 1, got nil", vae.prior_samples, plain, 3},
    {"vae.active_units: mu: expected codes [n, latent], got a tensor [3]", vae.active_units, lt.zeros(3)},
    {"vae.knn_accuracy: labels: expected [3], got [2]", vae.knn_accuracy, lt.zeros(3, 2), lt.zeros(2),
      lt.zeros(1, 2), lt.zeros(1)},
    {"vae.within_prior: z: expected codes [n, latent], got 1", vae.within_prior, 1},
    {"vae.prior_radius: share: expected a number between 0 and 1, got 1", vae.prior_radius, 2, 1},
    {"vae.report: train: needs data sets with labels", vae.report, linear_gaussian(0), x,
      {train = x, likelihood = vae.gaussian{sigma = 1}, samples = 1}},
  } do
    it(case[1], function() refuses(case[1], case[2], table.unpack(case, 3, 6)) end)
  end

  it("at the user's line", function()
    local ok, message = pcall(function() vae.elbo(plain, x, {betas = 1}) end)
    assert.is_false(ok)
    assert.matches("^%S*vae_spec.lua:%d+: ", message)
  end)
end)
