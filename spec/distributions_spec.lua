-- Distributions beside PyTorch's (spec/support/distributions.py): log-probabilities and their gradients, entropies,
-- moments, divergences; and their draws beside their own moments.
local lt = require "latent"
local distributions = require "latent.distributions"
local safetensors = require "latent.safetensors"
require "spec.support.close"
require "spec.support.misuse"

local D = distributions
local values = assert(safetensors.load "spec/fixtures/distributions.safetensors")
local function at(name) return (assert(values[name], name)) end

local CASES = {
  normal = {{"loc", "scale"}, function(p) return D.Normal(p.loc, p.scale) end},
  laplace = {{"loc", "scale"}, function(p) return D.Laplace(p.loc, p.scale) end},
  uniform = {{"low", "high"}, function(p) return D.Uniform(p.low, p.high) end},
  bernoulli_logits = {{"logits"}, function(p) return D.Bernoulli{logits = p.logits} end},
  bernoulli_probs = {{"probs"}, function(p) return D.Bernoulli{probs = p.probs} end},
  categorical_logits = {{"logits"}, function(p) return D.Categorical{logits = p.logits} end},
  categorical_probs = {{"probs"}, function(p) return D.Categorical{probs = p.probs} end},
  relaxed = {{"logits"}, function(p) return D.RelaxedOneHotCategorical(0.7, {logits = p.logits}) end},
  independent = {{"loc", "scale"}, function(p) return D.Independent(D.Normal(p.loc, p.scale)) end},
  mixture = {{"logits", "loc", "scale"}, function(p)
    return D.MixtureSameFamily(D.Categorical{logits = p.logits}, D.Normal(p.loc, p.scale))
  end},
  mixture_vectors = {{"logits", "loc", "scale"}, function(p)
    return D.MixtureSameFamily(D.Categorical{logits = p.logits}, D.Independent(D.Laplace(p.loc, p.scale), 1))
  end},
  multivariate_tril = {{"loc", "tril"}, function(p)
    return D.MultivariateNormal(p.loc, {scale_tril = lt.tril(p.tril)})
  end},
  multivariate_covariance = {{"loc", "covariance"}, function(p)
    return D.MultivariateNormal(p.loc, {covariance_matrix = (p.covariance + p.covariance:transpose()) / 2})
  end},
}

local function parameters_of(name)
  local p = {}
  for _, key in ipairs(CASES[name][1]) do p[key] = lt.param(at(name .. "/" .. key):clone()) end
  return p
end

describe("a distribution agrees with PyTorch's:", function()
  for name, case in pairs(CASES) do
    it(name, function()
      local p = parameters_of(name)
      local d = case[2](p)
      local log_prob = d:log_prob(at(name .. "/x"))
      assert.same(at(name .. "/log_prob").shape, log_prob.shape)
      assert.close(log_prob, at(name .. "/log_prob"))
      log_prob:sum():backward()
      for key, x in pairs(p) do assert.close(x.grad, at(name .. "/d_" .. key), 2e-5) end
      for _, what in ipairs{"entropy", "mean", "variance"} do
        local want = values[name .. "/" .. what]
        local countless = name:find "^categorical" and what ~= "entropy" -- labels have none, PyTorch's NaN
        if want and not countless then assert.close(d[what](d), want) end
      end
    end)
  end

  local loc, scale, logits, wide = at "kl/loc", at "kl/scale", at "kl/logits", at "kl/wide"
  local normal, other = D.Normal(loc, scale), D.Normal(0.5, 2)
  local laplace, uniform = D.Laplace(loc, scale), D.Uniform(loc - 1, loc + 1)
  for name, pair in pairs{
    normal = {normal, other}, laplace = {laplace, D.Laplace(0.5, 2)}, laplace_normal = {laplace, other},
    uniform = {uniform, D.Uniform(-2, 2.5)}, uniform_normal = {uniform, other},
    bernoulli = {D.Bernoulli{logits = logits}, D.Bernoulli{probs = 0.3}},
    categorical = {D.Categorical{logits = wide}, D.Categorical{logits = lt.zeros(4)}},
    independent = {D.Independent(normal), D.Independent(D.Normal(lt.zeros(3), 1))},
    multivariate = {D.MultivariateNormal(loc, {scale_tril = lt.eye(3) * scale + lt.tril(lt.full({3, 3}, 0.1), -1)}),
      D.MultivariateNormal(lt.zeros(3), {covariance_matrix = at "kl/covariance"})},
  } do
    it("divergence, " .. name, function()
      assert.close(D.kl_divergence(pair[1], pair[2]), at("kl_" .. name .. "/kl"), 2e-5)
      assert.close(D.kl_divergence(pair[1], pair[1]):abs():max():item(), 0, 1e-5)
    end)
  end

  it("or says that a divergence has no closed form", function()
    local value, message = D.kl_divergence(normal, laplace)
    assert.is_nil(value)
    assert.equal("kl_divergence: no closed form for Normal and Laplace", message)
    assert.is_nil((D.kl_divergence(D.Independent(normal), D.Independent(laplace))))
  end)
end)

describe("draws", function()
  local function moments(d, n)
    local x = d:sample(n, {generator = lt.generator(5)})
    return x:mean(1), x:var(1), x
  end

  it("have the distribution's moments, and its shape", function()
    local batch = D.Categorical{probs = {0.2, 0.3, 0.5}}
    for _, d in ipairs{D.Normal(lt.tensor{-1, 2}, lt.tensor{0.5, 2}), D.Laplace(lt.tensor{-1, 2}, 0.5),
      D.Uniform(lt.tensor{-1, 2}, 3), D.Bernoulli{probs = {0.2, 0.9}}, D.Independent(D.Normal(lt.zeros(2), 2)),
      D.MixtureSameFamily(batch, D.Independent(D.Normal(lt.tensor{{0, 4}, {1, -4}, {3, 0}}, 0.5)))} do
      local mean, var, x = moments(d, 40000)
      assert.same({40000, 2}, x.shape)
      assert.close(mean, d:mean(), 0.05)
      assert.close(var, d:variance(), 0.05)
    end
    local covariance = lt.tensor{{2, 1}, {1, 3}}
    local x = D.MultivariateNormal(lt.tensor{1, -1}, {covariance_matrix = covariance}):sample(40000,
      {generator = lt.generator(6)})
    local centred = x - lt.tensor{1, -1}
    assert.close(centred:transpose():matmul(centred) / 40000, covariance, 0.05)
    assert.same({2, 3, 4}, D.Normal(lt.zeros(4), 1):sample{2, 3}.shape)
    assert.same({4}, D.Normal(lt.zeros(4), 1):sample().shape)
    assert.same({5, 2, 3}, D.RelaxedOneHotCategorical(1, {logits = lt.zeros(2, 3)}):sample(5).shape)
    assert.same({2, 3}, D.Categorical{logits = lt.zeros(3, 7)}:sample(2).shape)
  end)

  it("of labels come as often as they should, those without a probability never", function()
    local x = D.Categorical{probs = {1, 0, 3}}:sample(20000, {generator = lt.generator(2)})
    assert.close(x:eq(0):float():mean():item(), 0.25, 0.03)
    assert.equal(0, x:eq(1):float():sum():item())
    assert.equal(2, x:max():item())
  end)

  it("are the same after the same seed, and for any number of threads", function()
    local before, bits = lt.threads(), {}
    for i, threads in ipairs{1, 2, 5} do
      lt.set_threads(threads)
      lt.manual_seed(3)
      bits[i] = D.Laplace(0, 1):sample(70001):bytes() .. D.Categorical{logits = lt.zeros(9)}:sample(20000):bytes()
    end
    lt.set_threads(before)
    assert.is_true(bits[1] == bits[2] and bits[1] == bits[3])
  end)

  it("carry gradients where they can, and none from sample", function()
    for name in pairs{normal = 1, laplace = 1, uniform = 1, relaxed = 1, independent = 1} do
      local p = parameters_of(name)
      local d = CASES[name][2](p)
      d:rsample(3):square():sum():backward()
      for _, x in pairs(p) do assert.is_true(x.grad:abs():max():item() > 0) end
      assert.is_false(d:sample(3).requires_grad)
    end
    local loc = lt.param(lt.zeros(1))
    D.Normal(loc, 1):rsample(4):sum():backward()
    assert.close(loc.grad, {4})
    assert.misuse(function() D.Bernoulli{probs = 0.5}:rsample() end, "rsample: draws of Bernoulli have no gradient")
    assert.misuse(function() D.Independent(D.Bernoulli{probs = {0.5}}):rsample() end, "rsample: draws of Independent")
  end)

  it("of Gumbel-softmax are near to corners where the temperature is low", function()
    local x = D.RelaxedOneHotCategorical(0.05, {probs = {0.2, 0.8}}):sample(5000, {generator = lt.generator(4)})
    assert.close(x:sum(2), lt.ones(5000))
    assert.is_true(x:max(2):mean():item() > 0.95)
    assert.close(x:mean(1), {0.2, 0.8}, 0.05)
  end)
end)

describe("a distribution of float64", function()
  it("draws, and tells what it has, in its own type", function()
    local function wide(x) return lt.tensor(x, {dtype = "float64"}) end
    for name, d in pairs{normal = D.Normal(wide{0, 1}, 2), laplace = D.Laplace(1, wide{1, 2}),
      uniform = D.Uniform(wide{0, 1}, 3), bernoulli = D.Bernoulli{probs = wide{0.3, 0.6}},
      categorical = D.Categorical{logits = wide{1, 2}}, relaxed = D.RelaxedOneHotCategorical(1, {logits = wide{0, 1}}),
      independent = D.Independent(D.Normal(wide{0, 1}, 1)),
      mixture = D.MixtureSameFamily(D.Categorical{probs = wide{1, 2}}, D.Normal(wide{0, 1}, 1)),
      multivariate = D.MultivariateNormal({0, 1}, {covariance_matrix = wide{{2, 1}, {1, 2}}}),
      triangle = D.MultivariateNormal({0, 1}, {scale_tril = wide{{2, 0}, {1, 2}}})} do
      local x = d:sample(3)
      assert.equal(name == "categorical" and "i64" or "float64", x.dtype, name)
      assert.equal("float64", d:log_prob(x).dtype, name)
      assert.equal("float64", d:log_prob(x:table()).dtype, name)
    end
  end)
end)

describe("distributions", function()
  it("say what they are", function()
    assert.equal("Normal(batch [3], event [])", tostring(D.Normal(lt.zeros(3), 1)))
    assert.equal("Independent(batch [], event [3])", tostring(D.Independent(D.Normal(lt.zeros(3), 1))))
    assert.is_true(D.is_distribution(D.Uniform(0, 1)))
    assert.is_false(D.is_distribution{})
    assert.close(D.Uniform(0, 2):log_prob{-1, 0, 1.9, 2}, {-math.huge, -math.log(2), -math.log(2), -math.huge})
    assert.close(D.Bernoulli{probs = {0, 1}}:entropy(), {0, 0})
    assert.close(D.Normal(0, 1):log_prob(lt.full({1}, 1, "u8")), {-0.5 - math.log(2 * math.pi) / 2})
  end)

  it("refuse what makes none", function()
    local wide = lt.ones(3, {dtype = "float64"})
    for pattern, f in pairs{
      ["Normal: scale: expected numbers above 0, got %-1"] = function() D.Normal(0, -1) end,
      ["Normal: scale is missing"] = function() D.Normal(0) end,
      ["Laplace: scale: expected numbers above 0, got nan"] = function() D.Laplace(0, 0 / 0) end,
      ["Normal: scale: %[4%] does not fit to what comes before"] = function() D.Normal(lt.zeros(3), lt.ones(4)) end,
      ["Uniform: high: expected numbers above low"] = function() D.Uniform(1, 1) end,
      ["Bernoulli: give probs or logits, one of the two"] = function() D.Bernoulli{} end,
      ["Bernoulli: probs: expected numbers in %[0, 1%], got 1.5"] = function() D.Bernoulli{probs = 1.5} end,
      ["Categorical: probs: expected numbers of at least 0, got %-1"] = function() D.Categorical{probs = {1, -1}} end,
      ["Categorical: probs: expected a number above 0 in each row"] = function() D.Categorical{probs = {0, 0}} end,
      ["Categorical: logits: expected %[..., classes%], got %[%]"] = function() D.Categorical{logits = 1} end,
      ['Categorical: unknown option "prob" %(did you mean "probs"'] = function() D.Categorical{prob = {1}} end,
      ["RelaxedOneHotCategorical: temperature: expected a number above 0"] = function()
        D.RelaxedOneHotCategorical(0, {logits = {1}}) end,
      ["MultivariateNormal: give covariance_matrix or scale_tril"] = function()
        D.MultivariateNormal(lt.zeros(2), {}) end,
      ["MultivariateNormal: expected loc %[..., n%] and scale_tril %[..., n, n%], got %[2%] and %[3, 3%]"] = function()
        D.MultivariateNormal(lt.zeros(2), {scale_tril = lt.eye(3)}) end,
      ["MultivariateNormal: scale_tril: expected numbers above 0, got 0"] = function()
        D.MultivariateNormal(lt.zeros(2), {scale_tril = lt.zeros(2, 2)}) end,
      ["Independent: axes: expected at most 1, those of the batch %[3%], got 2"] = function()
        D.Independent(D.Normal(lt.zeros(3), 1), 2) end,
      ["MixtureSameFamily: mixture: expected a Categorical, got Normal"] = function()
        D.MixtureSameFamily(D.Normal(0, 1), D.Normal(0, 1)) end,
      ["MixtureSameFamily: components: expected the batch %[..., 3%], got %[2%]"] = function()
        D.MixtureSameFamily(D.Categorical{logits = lt.zeros(3)}, D.Normal(lt.zeros(2), 1)) end,
      ["log_prob: x: %[4%] does not fit to %[3%] distributions"] = function()
        D.Normal(lt.zeros(3), 1):log_prob(lt.zeros(4)) end,
      ["log_prob: x: expected %[..., 3%], got %[2%]"] = function()
        D.Independent(D.Normal(lt.zeros(3), 1)):log_prob(lt.zeros(2)) end,
      ["mean: Categorical has none"] = function() D.Categorical{logits = {1, 2}}:mean() end,
      ["sample: shape: expected a whole number of at least 0, got 1.5"] = function() D.Normal(0, 1):sample(1.5) end,
      ['sample: unknown option "seed"'] = function() D.Normal(0, 1):sample(1, {seed = 1}) end,
      ["Normal: loc is float64 and scale float32; make them one type, with scale:double%(%) or loc:float%(%)"] =
        function() D.Normal(wide, lt.ones(3)) end,
      ["Laplace: loc is float32 and scale float64"] = function() D.Laplace(lt.ones(3), wide) end,
      ["Uniform: low is float64 and high float32"] = function() D.Uniform(wide, lt.ones(3)) end,
      ["MultivariateNormal: loc is float64 and scale_tril float32"] = function()
        D.MultivariateNormal(wide, {scale_tril = lt.eye(3)}) end,
      ["MultivariateNormal: loc is float64 and covariance_matrix float32"] = function()
        D.MultivariateNormal(wide, {covariance_matrix = lt.eye(3)}) end,
      ["MixtureSameFamily: mixture is float64 and components float32; make them of parameters of one type"] = function()
        D.MixtureSameFamily(D.Categorical{logits = wide}, D.Normal(lt.zeros(3), 1)) end,
      ["log_prob: x is float32 and a parameter float64; make them one type, with x:double%(%) or a distribution of " ..
        "float32 parameters"] = function() D.Normal(wide, 1):log_prob(lt.zeros(3)) end,
      ["log_prob: x is float64 and a parameter float32; make them one type, with x:float%(%) or a distribution of " ..
        "float64 parameters"] = function()
        D.Independent(D.Normal(lt.zeros(3), 1)):log_prob(wide) end,
      ["kl_divergence: p is float64 and q float32; make them of parameters of one type"] = function()
        D.kl_divergence(D.Normal(wide, 1), D.Normal(0, 1)) end,
      ["kl_divergence: q: expected a distribution, got nil"] = function() D.kl_divergence(D.Normal(0, 1)) end,
    } do
      assert.misuse(f, pattern)
    end
  end)
end)
