-- Inverse problems, on decoders whose answers are known in closed form.
local lt = require "latent"
local map = require "latent.map"
require "spec.support.close"

-- A linear decoder g(z) = z W of two latent dimensions, whose posterior is Gaussian with the precision
-- H = W W' / noise^2 + w I and the mean (y W') / noise^2 H^-1.
local W = lt.tensor{{1, 0.5, -1, 2, 0.3}, {0.2, -1.5, 0.4, 1, 0.9}}
local NOISE, N = 0.4, 6

local function decode(z) return z:matmul(W) end

local function measured(noise)
  local generator = lt.generator(4)
  return lt.randn({N, 2}, {generator = generator}):matmul(W)
    + lt.randn({N, 5}, {generator = generator}) * (noise or NOISE)
end

local function inverse(m)
  local a, b, c, d = m:get(1, 1), m:get(1, 2), m:get(2, 1), m:get(2, 2)
  return lt.tensor{{d, -b}, {-c, a}} / (a * d - b * c)
end

local function closed_form(y, noise, weight)
  local covariance = inverse(W:matmul(W:transpose()) / noise ^ 2 + lt.eye(2) * (weight or 1))
  local variances = {covariance:get(1, 1), covariance:get(2, 2)}
  return y:matmul(W:transpose()):matmul(covariance) / noise ^ 2, variances, covariance
end

local function problem(opts)
  local all = {decode = decode, measured = measured(), latent = 2, noise = NOISE}
  for name, value in pairs(opts or {}) do all[name] = value end
  return map.problem(all)
end

local function refused(pattern, f)
  local ok, message = pcall(f)
  assert.is_false(ok)
  assert.matches("map_spec.lua:%d+: " .. pattern, message)
end

describe("map.problem", function()
  it("has the energy of its definition, and the sheet's form of it", function()
    local y, z = measured(), lt.tensor{{1, -1}, {0, 0}, {2, 0.5}, {0.1, 0.2}, {-1, 1}, {3, 3}}
    local square = (y - decode(z)):square()
    local energy, residual = problem():energy(z)
    assert.close(energy, square:sum(2) / (2 * NOISE ^ 2) + z:square():sum(2) / 2)
    assert.close(residual, square:mean(2))
    local sheet = problem{beta = 0.07}
    assert.close(sheet:loss((sheet:energy(z))), square:mean(2) + z:square():mean(2) * 0.07)
  end)

  it("takes rows that belong to any images", function()
    local p = problem()
    local z = lt.tensor{{1, -1}, {0, 0.5}}
    local energy = p:energy(z, {3, 3})
    local twice = p:energy(lt.cat({z, z, z}, 1))
    assert.equal(energy:get(1), p:energy(z:gather_rows{1}, lt.tensor{3}):get(1))
    assert.close(energy:get(2), (measured():gather_rows{3} - decode(z:gather_rows{2})):square():sum():item()
      / (2 * NOISE ^ 2) + 0.125)
    assert.equal(6, #twice)
    assert.equal(2 + 6 + 1, p.evaluations)
    refused("map.problem: expected codes of 6 images, got 2; give rows", function() p:energy(z) end)
    refused("map.problem: rows: expected 2 numbers of images, one a code, got 1", function() p:residual(z, {1}) end)
    refused("map.problem: z: expected codes, float32 %[%*, 2%], got float32 %[2, 3%]",
      function() p:pictures(lt.ones(2, 3)) end)
    refused("map.problem: z: expected a tensor, got nil", function() p:energy() end)
    refused("map.problem: energy: expected a tensor, got 3", function() p:loss(3) end)
  end)

  it("converts beta and noise into each other", function()
    assert.close(map.calibrated_beta(0.5, 1024, 16), 0.00390625, 1e-12)
    assert.close(map.implied_noise(0.00390625, 1024, 16), 0.5, 1e-12)
    assert.close(map.implied_noise(0.01, 1024, 16), 0.8, 1e-12)
    local calibrated = problem{beta = map.calibrated_beta(NOISE, 5, 2)}
    assert.close(calibrated.weight, lt.ones(N))
    local z = lt.randn({N, 2}, {generator = lt.generator(1)})
    assert.close(calibrated:energy(z), (problem():energy(z)))
    assert.close(problem{prior = 0.3}.weight, lt.full({N}, 0.3))
    assert.close(problem{beta = 0}.weight, lt.zeros(N))
  end)

  it("takes a noise level for each image", function()
    local noise = lt.tensor{0.1, 0.2, 0.3, 0.4, 0.5, 0.6}
    local p, z = problem{noise = noise, beta = 0.1}, lt.ones(N, 2)
    assert.close(p:loss((p:energy(z))), (measured() - decode(z)):square():mean(2) + 0.1)
  end)

  it("refuses what does not fit", function()
    refused("map.problem: decode: expected a function, got nil", function() map.problem{} end)
    refused("map.problem: decode: expected a function, got a tensor", function() map.problem{decode = lt.ones(2)} end)
    refused("map.problem: measured: expected a tensor, got 3", function() problem{measured = 3} end)
    refused("map.problem: measured: expected float32 %[n, ...%], got float32 %[3%]",
      function() problem{measured = lt.ones(3)} end)
    refused("map.problem: latent: expected a whole number of at least 1, got 0", function() problem{latent = 0} end)
    refused("map.problem: noise: expected a number above 0, got 0", function() problem{noise = 0} end)
    refused("map.problem: noise: expected a number above 0, or 6 of them", function() problem{noise = lt.ones(5)} end)
    refused("map.problem: beta: expected a number of at least 0, got %-1", function() problem{beta = -1} end)
    refused("map.problem: beta, prior: expected one of the two, got both", function() problem{beta = 1, prior = 1} end)
    refused("map.problem: operator: expected a function, got 3", function() problem{operator = 3} end)
    refused('map.problem: unknown option "nois" %(did you mean "noise"', function() problem{nois = 1} end)
    refused("map.problem: the operator returns %[6, 4%] for a measurement of %[6, 5%]", function()
      problem{operator = function(x) return x:slice(2, 1, 4) end}:energy(lt.ones(N, 2))
    end)
    refused("map.problem: noise: the images seem to have none", function()
      map.problem{decode = decode, measured = lt.ones(1, 4, 4, 1), latent = 2}
    end)
    refused("map.calibrated_beta: pixels: expected a whole number", function() map.calibrated_beta(1, 0.5, 2) end)
    refused("map.implied_noise: beta: expected a number above 0", function() map.implied_noise(0, 5, 2) end)
  end)
end)

describe("map.solve", function()
  local y = measured()

  for name, opts in pairs{["L-BFGS"] = {}, Adam = {method = "adam", lr = 0.05, steps = 1500},
      ["L-BFGS with restarts"] = {restarts = 3}} do
    it("finds the mode of a linear decoder by " .. name, function()
      lt.manual_seed(2)
      local p = problem()
      local result = map.solve(p, opts)
      local mean = closed_form(y, NOISE)
      assert.close(result.codes, mean, 2e-4)
      assert.close(result.energy, (p:energy(mean)), 1e-5)
      assert.close(result.pictures, decode(mean), 2e-4)
      assert.close(result.loss, p:loss(result.energy))
      assert.close(result.residual, (y - decode(mean)):square():mean(2), 1e-3)
      assert.close(result.trace[#result.trace], result.energy:mean():item(), 1e-4)
    end)
  end

  it("weighs the prior as beta says", function()
    local beta = 0.3
    local weight = beta * 5 / (NOISE ^ 2 * 2)
    assert.close(map.solve(problem{beta = beta}).codes, closed_form(y, NOISE, weight), 2e-4)
  end)

  it("counts decoder evaluations and reasons", function()
    local result = map.solve(problem(), {restarts = 3})
    local p = problem()
    local again = map.solve(p, {method = "adam", steps = 7, restarts = 2})
    assert.equal(14, again.evaluations)
    assert.same({iterations = 2 * N}, again.reasons)
    local total = 0
    for _, count in pairs(result.reasons) do total = total + count end
    assert.equal(3 * N, total)
    assert.is_true(result.evaluations >= 3 * 3 and result.evaluations < 3 * 30)
  end)

  -- Two equally good answers, and a start in the valley of the worse one: (z^2 - 1)^2 + a tilt.
  local function two_valleys(z) return z:square() - 1 + z * 0.3 end

  it("keeps the best of several starts, image by image", function()
    local p = map.problem{decode = two_valleys, measured = lt.zeros(3, 1), latent = 1, noise = 0.1, prior = 0.5}
    local start = lt.tensor{{1}, {-1}, {1}, {-1}, {1}, {-1}}
    local alone, other = map.solve(p, {start = start:slice(1, 1, 3)}), map.solve(p, {start = start:slice(1, 4, 6)})
    local both = map.solve(p, {start = start, restarts = 2})
    assert.close(both.energy, alone.energy:minimum(other.energy))
    for i = 1, 3 do
      assert.equal(alone.energy:get(i) <= other.energy:get(i) and 1 or 2, both.restart[i])
    end
    assert.is_true(both.spread:min():item() > 0)
    assert.close(alone.spread, lt.zeros(3))
    assert.is_true(math.abs(alone.energy:get(1) - alone.energy:get(2)) > 1e-3) -- the valleys do differ
  end)

  it("stops at the noise level: the discrepancy principle", function()
    local p = problem()
    for _, opts in ipairs{{}, {method = "adam", lr = 0.1, steps = 400}} do
      opts.start, opts.discrepancy = lt.full({N, 2}, 4), 3
      local result = map.solve(p, opts)
      assert.same({discrepancy = N}, result.reasons)
      assert.is_true(result.residual:max():item() <= (3 * NOISE) ^ 2)
      assert.is_true(result.energy:min():item() > map.solve(p).energy:min():item())
    end
    local impossible = map.solve(p, {discrepancy = 1e-3, method = "adam", steps = 3})
    assert.same({iterations = N}, impossible.reasons)
  end)

  it("gives the same for the same generator", function()
    local function once() return map.solve(problem(), {restarts = 2, generator = lt.generator(8)}).codes:bytes() end
    assert.equal(once(), once())
  end)

  it("refuses what makes no sense", function()
    local p = problem()
    refused("map.solve: problem: expected one made by map.problem, got nil", function() map.solve() end)
    refused('map.solve: method: expected "lbfgs" or "adam", got "sgd"', function() map.solve(p, {method = "sgd"}) end)
    refused('map.solve: unknown option "lr"', function() map.solve(p, {lr = 1}) end)
    refused('map.solve: unknown option "memory"', function() map.solve(p, {method = "adam", memory = 1}) end)
    refused("map.solve: restarts: expected a whole number of at least 1, got 0",
      function() map.solve(p, {restarts = 0}) end)
    refused('map.solve: start: expected "prior" or codes, got "encoder"',
      function() map.solve(p, {start = "encoder"}) end)
    refused("map.solve: start: expected float32 %[6, 2%], got float32 %[5, 2%]",
      function() map.solve(p, {start = lt.ones(5, 2)}) end)
    refused("map.solve: discrepancy: expected a number above 0, got 0", function() map.solve(p, {discrepancy = 0}) end)
    refused("map.solve: lr: expected a number above 0", function() map.solve(p, {method = "adam", lr = 0}) end)
    refused("map.solve: expected an options table, got 3", function() map.solve(p, 3) end)
    refused("map.solve: memory: expected a whole number", function() map.solve(p, {memory = 0.5}) end)
  end)
end)

describe("an operator", function()
  local x = lt.randn({2, 6, 6, 1}, {generator = lt.generator(2)})

  it("leaves everything, some pixels, or means of squares", function()
    assert.equal(x, map.identity()(x))
    local half = lt.cat({lt.ones(6, 3, 1), lt.zeros(6, 3, 1)}, 2)
    assert.close(map.mask(half)(x), x * half:unsqueeze(1))
    local small = map.downsample(2)(x)
    assert.same({2, 3, 3, 1}, small.shape)
    assert.close(small:get(2, 1, 3, 1), x:slice(1, 2, 2):slice(2, 1, 2):slice(3, 5, 6):mean():item())
  end)

  it("blurs, with the background around: constants stay, a point becomes a Gaussian", function()
    local blur = map.blur(0.8)
    assert.close(blur(lt.full({1, 5, 5, 1}, -1)), lt.full({1, 5, 5, 1}, -1))
    local point = lt.full({1, 9, 9, 1}, -1)
    point:set(1, 5, 5, 1, 0)
    local seen = blur(point) + 1
    assert.close(seen:sum(), 1, 1e-5)
    assert.close(seen:get(1, 5, 6, 1) / seen:get(1, 5, 5, 1), math.exp(-1 / (2 * 0.64)), 1e-5)
    assert.close(seen:get(1, 6, 6, 1), seen:get(1, 4, 4, 1), 1e-6)
    assert.close(map.blur(2, {background = 3})(lt.full({1, 4, 4, 1}, 3)), lt.full({1, 4, 4, 1}, 3))
  end)

  it("blurs each channel by itself", function()
    local colour = lt.randn({2, 5, 4, 3}, {generator = lt.generator(3)})
    local blur = map.blur(1)
    local all = blur(colour)
    for c = 1, 3 do assert.close(all:slice(4, c, c), blur(colour:slice(4, c, c))) end
  end)

  -- Pictures of 2 x 2 pixels from a linear decoder, so that operators can be compared with least squares.
  local V = lt.tensor{{1, 2, -1, 0.5}, {0.5, -1, 1, 2}}
  local function square(z) return z:matmul(V):reshape(#z, 2, 2, 1) end

  it("gives with a mask what the seen pixels alone give, whatever the others hold", function()
    local y = lt.tensor{{1, 0 / 0, 0.5, -1}, {2, -9, 1, 1e3}}:reshape(2, 2, 2, 1)
    local shared = map.mask(lt.tensor{1, 0, 1, 1}:reshape(2, 2, 1))
    local each = map.mask(lt.tensor{{1, 0, 1, 1}, {1, 0, 1, 0}}:reshape(2, 2, 2, 1))
    local function solve(operator, weights)
      local p = map.problem{decode = square, measured = y, latent = 2, noise = 0.3, operator = operator}
      assert.close(p.pixels, weights:sum(2))
      return map.solve(p).codes
    end
    for i, weights in ipairs{lt.tensor{{1, 0, 1, 1}, {1, 0, 1, 1}}, lt.tensor{{1, 0, 1, 1}, {1, 0, 1, 0}}} do
      local codes = solve(i == 1 and shared or each, weights)
      for k = 1, 2 do -- normal equations of image k
        local seen = V * weights:slice(1, k, k)
        local covariance = inverse(seen:matmul(V:transpose()) / 0.09 + lt.eye(2))
        local shown = k == 1 and lt.tensor{{1, 0, 0.5, -1}} or lt.tensor{{2, -9, 1, 1e3}}
        local want = shown:matmul(seen:transpose()):matmul(covariance) / 0.09
        assert.close(codes:slice(1, k, k), want, 1e-3)
      end
    end
  end)

  it("counts the values of every channel that a mask of one channel shows", function()
    local y = lt.ones(2, 2, 2, 3)
    local p = map.problem{decode = function(z) return z:reshape(-1, 2, 2, 3) end, measured = y, latent = 12, noise = 1,
      operator = map.mask(lt.tensor{1, 0, 1, 1}:reshape(2, 2, 1))}
    assert.close(p.pixels, {9, 9})
    assert.close(p:residual(lt.zeros(2, 12)), {1, 1})
  end)

  it("is any function of the tape, told which images it sees", function()
    local gain = lt.tensor{1, 2, 3}
    local z = lt.tensor{{1, 0.5}, {-1, 1}, {0.3, 2}}
    local asked = {}
    local function operator(pictures, rows)
      asked[#asked + 1] = #pictures
      return pictures * (rows and gain:gather_rows(rows) or gain):reshape(-1, 1, 1, 1)
    end
    local p = map.problem{decode = square, measured = square(z) * gain:reshape(3, 1, 1, 1), latent = 2, noise = 1e-2,
      operator = operator}
    assert.close(map.solve(p, {start = lt.zeros(3, 2)}).codes, z, 1e-3)
    assert.is_true(#asked > 1)
  end)

  it("refuses what makes no sense", function()
    refused("map.mask: mask: expected %[height, width, channels%] or %[n, ...%] of it, got %[2%]",
      function() map.mask(lt.ones(2)) end)
    refused("map.mask: mask: hides every pixel of an image", function() map.mask(lt.zeros(2, 2, 1)) end)
    refused("map.blur: sigma: expected a number above 0, got 0", function() map.blur(0) end)
    refused('map.blur: unknown option "backgruond"', function() map.blur(1, {backgruond = 0}) end)
    refused("map.downsample: factor: expected a whole number of at least 1", function() map.downsample(0.5) end)
    refused("map.problem: what decode returns: expected a tensor, got 3", function()
      problem{decode = function() return 3 end}:energy(lt.ones(N, 2))
    end)
    refused("map.problem: what the operator returns: expected a tensor, got nil", function()
      problem{operator = function() end}:energy(lt.ones(N, 2))
    end)
    refused("map.problem: operator: has masks for 3 images, but 2 were measured", function()
      map.problem{decode = square, measured = lt.ones(2, 2, 2, 1), latent = 2, noise = 1,
        operator = map.mask(lt.ones(3, 2, 2, 1))}
    end)
  end)
end)

describe("map.estimate_noise", function()
  it("finds the level of white noise, over pictures with edges too", function()
    local generator = lt.generator(5)
    local noise = lt.randn({4, 32, 32, 1}, {generator = generator})
    local level = lt.tensor{0.1, 0.25, 0.5, 2}:reshape(4, 1, 1, 1)
    local picture = lt.full({4, 32, 32, 1}, -1)
    for i = 1, 4 do
      for row = 10, 20 do
        for column = 8, 24 do picture:set(i, row, column, 1, 1) end
      end
    end
    local estimate = map.estimate_noise(picture + noise * level)
    assert.close(estimate / level:reshape(4), lt.ones(4), 0.1)
    assert.close(map.problem{decode = decode, measured = picture + noise * level, latent = 2}.noise, estimate)
  end)

  it("looks at the pixels that were measured only", function()
    local y = lt.randn({1, 32, 32, 1}, {generator = lt.generator(6)}) * 0.3
    local mask = lt.cat({lt.ones(32, 16, 1), lt.zeros(32, 16, 1)}, 2)
    local p = map.problem{decode = decode, measured = y * mask, latent = 2, operator = map.mask(mask)}
    assert.close(p.noise, {0.3}, 0.15)
    assert.is_true(map.estimate_noise(y * mask):item() < 0.2) -- what hidden zeros would make of it
    local hidden = lt.where(mask:unsqueeze(1), y, 0 / 0)
    assert.close(map.estimate_noise(hidden, mask:unsqueeze(1)), p.noise)
    assert.close(map.problem{decode = decode, measured = hidden, latent = 2, operator = map.mask(mask)}.noise, p.noise)
  end)

  it("is the median of Haar's finest diagonal, worked out by hand", function()
    local y = lt.tensor{{1, 2, 0}, {0, 4, 1}, {3, 1, 1}}:reshape(1, 3, 3, 1)
    -- |1 - 2 - 0 + 4|, |2 - 0 - 4 + 1|, |0 - 4 - 3 + 1|, |4 - 1 - 1 + 1|, halved: 1.5 0.5 3 1.5
    assert.close(map.estimate_noise(y), {1.5 / 0.67448975}, 1e-6)
    refused("map.estimate_noise: images: expected float32 %[n, height, width, channels%]",
      function() map.estimate_noise(lt.ones(3, 3)) end)
    refused("map.estimate_noise: mask: expected a tensor, got 3", function() map.estimate_noise(y, 3) end)
    refused("map.estimate_noise: mask: expected %[1, 3, 3, 1%], or 1 for images or channels, got %[1, 3, 2, 1%]",
      function() map.estimate_noise(y, lt.ones(1, 3, 2, 1)) end)
  end)
end)

describe("a problem of float64", function()
  it("is solved and sampled in its own type", function()
    local W64 = W:double()
    local p = problem{measured = measured():double(), decode = function(z) return z:matmul(W64) end}
    for _, method in ipairs{"lbfgs", "adam"} do
      local result = map.solve(p, {method = method, restarts = 2, discrepancy = 1})
      for _, name in ipairs{"codes", "energy", "loss", "residual", "pictures", "spread"} do
        assert.equal("float64", result[name].dtype, name)
      end
    end
    local mean = closed_form(measured(), NOISE)
    assert.close(map.solve(p).codes:float(), mean, 1e-4)
    local draws = map.sample(p, {chains = 2, warmup = 20, draws = 8, generator = lt.generator(1)})
    for _, x in ipairs{draws.codes, draws.mean, draws.accept, draws:diagnose().rhat} do
      assert.equal("float64", x.dtype)
    end
    local pictures = lt.rand({2, 6, 6, 1}, {dtype = "float64"})
    assert.equal("float64", map.estimate_noise(pictures).dtype)
    assert.equal("float64", map.blur(1)(pictures).dtype)
    local flat = lt.ones({2, 36}, {dtype = "float64"})
    local masked = map.problem{decode = function(z) return z:matmul(flat):reshape(-1, 6, 6, 1) end, measured = pictures,
      latent = 2, operator = map.mask(pictures[1]:gt(0.5)), noise = 1}
    assert.equal("float64", map.solve(masked, {iterations = 3}).energy.dtype)
    refused("map.solve: start: expected float64 %[6, 2%], got float32 %[6, 2%]",
      function() map.solve(p, {start = lt.zeros(6, 2)}) end)
  end)
end)
