-- Sampling: a Gaussian posterior that is known in closed form, and diagnostics on chains whose values are.
local lt = require "latent"
local map = require "latent.map"
require "spec.support.close"

local W = lt.tensor{{1, 0.5, -1, 2, 0.3}, {0.2, -1.5, 0.4, 1, 0.9}}
local NOISE, N = 0.4, 3

local function decode(z) return z:matmul(W) end

local function problem(noise)
  local generator = lt.generator(4)
  local y = lt.randn({N, 2}, {generator = generator}):matmul(W) + lt.randn({N, 5}, {generator = generator}) * NOISE
  return map.problem{decode = decode, measured = y, latent = 2, noise = noise or NOISE}, y
end

-- Mean [N, 2] and covariance {{a, b}, {b, c}} of the codes, standard deviations [5] of the pictures.
local function closed_form(y, noise)
  local h = (W:matmul(W:transpose()) / noise ^ 2 + lt.eye(2)):table()
  local determinant = h[1][1] * h[2][2] - h[1][2] * h[2][1]
  local covariance = lt.tensor{{h[2][2], -h[1][2]}, {-h[2][1], h[1][1]}} / determinant
  local std = (W:transpose():matmul(covariance) * W:transpose()):sum(2):sqrt()
  return y:matmul(W:transpose()):matmul(covariance) / noise ^ 2, covariance, std
end

local function covariance_of(codes) -- of draws [k, 2]
  local centred = codes - codes:mean(1)
  return centred:transpose():matmul(centred) / (#codes - 1)
end

describe("map.sample", function()
  for name, opts in pairs{hmc = {draws = 400, warmup = 200, steps = 6}, mala = {draws = 1500, warmup = 300}} do
    it("draws from the posterior of a linear decoder: " .. name, function()
      local p, y = problem()
      opts.method, opts.generator = name, lt.generator(11)
      local posterior = map.sample(p, opts)
      local mean, covariance, std = closed_form(y, NOISE)
      assert.same({opts.draws, 4, N, 2}, posterior.codes.shape)
      local text = "^posterior: %d draws of each of 4 chains, %d images, latent 2, acceptance 0"
      assert.matches(text:format(opts.draws, N), tostring(posterior))
      local sigma = covariance:get(1, 1) ^ 0.5
      for i = 1, N do
        local codes = posterior.codes:reshape(-1, N, 2):slice(2, i, i):reshape(-1, 2)
        assert.is_true((codes:mean(1) - mean[i]):abs():max():item() < 0.15 * sigma)
        assert.close(covariance_of(codes), covariance, 0.15)
        assert.close(posterior.std[i], std, 0.1)
      end
      assert.close(posterior.mean, decode(posterior.codes:reshape(-1, N, 2):mean(1)), 1e-4)
      local diagnosis = posterior:diagnose()
      assert.is_true(diagnosis.rhat:max():item() < 1.05, tostring(diagnosis.rhat))
      assert.is_true(diagnosis.ess:min():item() > 150, tostring(diagnosis.ess))
      local target = name == "hmc" and 0.8 or 0.574
      assert.is_true(math.abs(posterior.accept:mean():item() - target) < 0.04, tostring(posterior.accept))
    end)
  end

  it("finds steps for posteriors of very different widths", function()
    for _, noise in ipairs{0.01, 0.1, 5} do
      local p, y = problem(noise)
      local posterior = map.sample(p, {generator = lt.generator(2), draws = 200, warmup = 200, steps = 8,
        start = map.solve(p).codes})
      local _, covariance = closed_form(y, noise)
      local spread = posterior.codes:reshape(-1, N, 2):slice(2, 1, 1):reshape(-1, 2):std(1)
      assert.close(spread, {covariance:get(1, 1) ^ 0.5, covariance:get(2, 2) ^ 0.5}, 0.3)
      assert.is_true(posterior.accept:min():item() > 0.5)
    end
  end)

  -- Gaussian posteriors with precisions from 1 to `condition`.
  for _, case in ipairs{{"hmc", 0.8, 2, 1}, {"hmc", 0.8, 20, 1}, {"hmc", 0.9, 10, 100}, {"hmc", 0.8, 20, 1e4},
    {"mala", 0.574, 2, 100}, {"mala", 0.574, 20, 1e4}} do
    local method, target, latent, condition = table.unpack(case)
    it(("meets the wanted acceptance: %s, %g, %d dimensions, condition %g"):format(method, target, latent, condition),
      function()
        local width = (lt.linspace(0, math.log(condition), latent):exp() - 1):sqrt()
        local p = map.problem{decode = function(z) return z * width end, measured = lt.zeros(4, latent),
          latent = latent, noise = 1}
        for _, adapt_scale in ipairs{true, false} do
          local s = map.sample(p, {method = method, target = target, warmup = 200, draws = 60,
            steps = method == "hmc" and 6 or nil, adapt_scale = adapt_scale, pictures = false,
            generator = lt.generator(9)})
          assert.is_true(math.abs(s.accept:mean():item() - target) < 0.04, tostring(s.accept:mean()))
        end
      end)
  end

  it("gives the same for the same generator, another for another", function()
    local p = problem()
    local function once(seed)
      return map.sample(p, {draws = 5, warmup = 5, generator = lt.generator(seed)}).codes:bytes()
    end
    assert.equal(once(3), once(3))
    assert.not_equal(once(3), once(4))
  end)

  it("starts where it is told, and counts what it decodes", function()
    local p = problem()
    local start = lt.full({N, 2}, 0.5)
    local posterior = map.sample(p, {start = start, warmup = 0, draws = 1, chains = 2, step = 1e-6, pictures = false,
      method = "mala"})
    assert.close(posterior.codes:reshape(2, N, 2), lt.full({2, N, 2}, 0.5), 1e-3)
    assert.equal(2 * (1 + 1), posterior.evaluations)
    assert.is_nil(posterior.mean)
    assert.close(posterior.step, lt.full({2, N}, 1e-6))
    local apart = lt.cat({start, start * -1}, 1)
    posterior = map.sample(p, {start = apart, warmup = 0, draws = 1, chains = 2, step = 1e-6})
    assert.close(posterior.codes:reshape(6, 2), apart, 1e-3)
  end)

  it("rejects where the energy is not finite, and stays sound", function()
    local wall = map.problem{decode = function(z) return lt.where(z:gt(0), z:log(), lt.zeros(z.shape) / 0) end,
      measured = lt.zeros(2, 1), latent = 1, noise = 0.5}
    local posterior = map.sample(wall, {start = lt.ones(2, 1), warmup = 50, draws = 50, generator = lt.generator(1)})
    assert.is_true(posterior.codes:min():item() > 0)
    assert.is_true(posterior.codes:std():item() > 0.1)
    assert.is_true(posterior.mean:sub(posterior.mean):eq(0):min():item() == 1)
  end)

  it("diagnoses the images that it is asked about", function()
    local posterior = map.sample(problem(), {draws = 20, warmup = 20, generator = lt.generator(1)})
    local all, some = posterior:diagnose(), posterior:diagnose{3, 1}
    assert.same({N, 2}, all.rhat.shape)
    assert.close(some.rhat, lt.stack{all.rhat[3], all.rhat[1]}, 0)
    assert.close(some.ess, lt.stack{all.ess[3], all.ess[1]}, 0)
    assert.close(some.ess_tail, lt.stack{all.ess_tail[3], all.ess_tail[1]}, 0)
  end)

  it("refuses what makes no sense", function()
    local p = problem()
    local function refused(pattern, q, opts)
      local ok, message = pcall(function() map.sample(q, opts) end)
      assert.is_false(ok)
      assert.matches("map_sample_spec.lua:%d+: map.sample: " .. pattern, message)
    end
    refused("problem: expected one made by map.problem, got 3", 3)
    refused('method: expected "hmc" or "mala", got "nuts"', p, {method = "nuts"})
    refused("steps: expected 1 with mala", p, {method = "mala", steps = 3})
    refused("chains: expected a whole number of at least 1, got 0", p, {chains = 0})
    refused("draws: expected a whole number of at least 1, got 0", p, {draws = 0})
    refused("target: expected a number in %(0, 1%), got 1", p, {target = 1})
    refused("step: expected a number above 0, got %-1", p, {step = -1})
    refused("start: expected float32 %[3, 2%], or one such block a chain, got float32 %[4, 2%]", p,
      {start = lt.ones(4, 2)})
    refused('unknown option "warmpu"', p, {warmpu = 3})
    refused("adapt_scale: expected a boolean, got 3", p, {adapt_scale = 3})
  end)
end)

-- Chains whose numbers are whole, so that float32 and any other program hold the same: one after the other from a
-- linear congruential generator, each value `tenths` / 10 of the one before and something new; the last chain is
-- spread and shifted.
local function chains_of(n, chains, seed, tenths, shift, spread, levels)
  local x, rows = seed, {}
  for i = 1, n do rows[i] = {} end
  for c = 1, chains do
    local v = 0
    for i = 1, n do
      x = (1103515245 * x + 12345) & 0x7fffffff
      v = v * tenths // 10 + x // 65536 % 2001 - 1000
      local value = c == chains and v * (spread or 1) + (shift or 0) or v
      rows[i][c] = levels and value % levels or value
    end
  end
  return lt.tensor(rows)
end

-- What ArviZ 0.23.4 says of such chains: rhat, ess(method="bulk"), ess(method="tail").
local ARVIZ = {
  {"four draws", {4, 4, 1, 0}, 0.979947784, 19.2659197, 19.2659197},
  {"an odd number", {5, 2, 2, 3}, 1.55886106, 7.2247199, 8},
  {"slow chains", {100, 4, 3, 8}, 1.01937445, 77.6127745, 111.223856},
  {"draws that take turns", {101, 3, 4, -6}, 0.994158384, 743.136376, 238.177013},
  {"a chain apart", {60, 4, 5, 4, 900}, 1.31931797, 11.344885, 40.2606578},
  {"a wider chain", {60, 4, 6, 4, 0, 5}, 1.25960454, 106.817931, 24.4645452},
  {"seven values", {100, 2, 7, 5, 0, 1, 7}, 0.996897706, 253.349836, 200},
  {"one chain", {200, 1, 8, 6}, nil, 32.4406035, 116.578143}, -- no R-hat there; Stan has one
  {"long chains", {1000, 4, 9, 9}, 1.0136814, 275.285764, 488.283876},
}

describe("diagnostics", function()
  for _, case in ipairs(ARVIZ) do
    local title, how, rhat, bulk, tail = table.unpack(case, 1, 5)
    it("are ArviZ's: " .. title, function()
      local draws = chains_of(table.unpack(how, 1, 7))
      if rhat then assert.close(map.rhat(draws):item(), rhat, 1e-6) end
      assert.close(map.ess(draws):item(), bulk, 1e-6)
      assert.close(map.ess(draws, {method = "tail"}):item(), tail, 1e-6)
    end)
  end

  local generator = lt.generator(7)
  local independent = lt.randn({500, 4}, {generator = generator})

  it("call independent draws what they are", function()
    assert.is_true(math.abs(map.rhat(independent):item() - 1) < 0.01)
    assert.is_true(math.abs(map.ess(independent):item() / 2000 - 1) < 0.15)
  end)

  it("see chains that disagree, in place or in spread", function()
    local apart = independent + lt.tensor{{0, 0, 0, 2}}
    assert.is_true(map.rhat(apart):item() > 1.2)
    assert.is_true(map.ess(apart):item() < 30)
    assert.is_true(map.rhat(independent * lt.tensor{{1, 1, 1, 5}}):item() > 1.1)
    local trend = lt.linspace(0, 3, 500):reshape(500, 1) + independent -- halves of one chain disagree
    assert.is_true(map.rhat(trend):item() > 1.2)
  end)

  it("know the correlation time of an autoregressive chain", function()
    local phi, chains, noise = 0.6, {}, lt.randn({4000, 4}, {generator = generator}):table()
    local now = {0, 0, 0, 0}
    for t, row in ipairs(noise) do
      chains[t] = {}
      for c = 1, 4 do
        now[c] = phi * now[c] + (1 - phi * phi) ^ 0.5 * row[c]
        chains[t][c] = now[c]
      end
    end
    local want = 16000 * (1 - phi) / (1 + phi)
    assert.is_true(math.abs(map.ess(lt.tensor(chains)):item() / want - 1) < 0.1)
  end)

  it("do not change when the values are bent, but not reordered", function()
    assert.close(map.ess(independent:exp()), map.ess(independent), 1e-6)
  end)

  it("take columns of any shape", function()
    local two = lt.stack({independent, independent * 3 + 1}, 3):reshape(500, 4, 2, 1)
    local rhat = map.rhat(two)
    assert.same({2, 1}, rhat.shape)
    assert.close(rhat:get(1, 1), map.rhat(independent):item(), 1e-6)
  end)

  it("say what cannot be said", function()
    assert.equal(1, map.rhat(lt.ones(10, 2)):item())
    assert.is_true(map.ess(lt.ones(10, 2)):item() ~= map.ess(lt.ones(10, 2)):item())
    local tail = map.ess(lt.ones(10, 2), {method = "tail"}):item()
    assert.is_true(tail ~= tail)
    local still = lt.broadcast_to(lt.tensor{{1, 2}}, 10, 2)
    assert.equal(math.huge, map.rhat(still):item())
    local hole = lt.tensor(independent)
    hole:set(3, 1, 0 / 0)
    assert.is_true(map.rhat(hole):item() ~= map.rhat(hole):item())
    local _, message = pcall(function() map.rhat(lt.ones(3, 2)) end)
    assert.matches("map_sample_spec.lua:%d+: map.rhat: draws: expected float32 %[draws, chains, ...%] with at least 4 "
      .. "draws, got float32 %[3, 2%]", message)
    _, message = pcall(function() map.ess(lt.ones(8)) end)
    assert.matches("map.ess: draws: expected .* got float32 %[8%]", message)
    _, message = pcall(function() map.ess(lt.ones(8, 1), {method = "mean"}) end)
    assert.matches('map_sample_spec.lua:%d+: map.ess: method: expected "bulk" or "tail", got "mean"', message)
  end)
end)
