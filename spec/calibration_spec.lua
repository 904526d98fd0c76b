-- map.sample draws from the posterior, by simulation-based calibration; and the check sees a sampler that does not.
local calibration = require "spec.support.calibration"
local lt = require "latent"
require "spec.support.close"

local BINS = 20

local function test(decoder, more)
  local o = {simulations = 500, draws = 99, thin = 3, warmup = 150, seed = 3, method = "hmc"}
  for name, value in pairs(more or {}) do o[name] = value end
  local result = calibration.ranks(decoder, o)
  return calibration.test(result, BINS), result
end

local function text(verdict)
  return ("chi-squared %.1f, p %.2g, least p of one %.2g"):format(verdict.value, verdict.p, verdict.worst)
end

describe("chi-squared", function()
  it("has the upper tail that tables give", function() -- SciPy 1.17: scipy.stats.chi2.sf
    for _, case in ipairs{{0.5, 1, 0.47950012218695}, {10, 3, 0.018566135463043}, {18.3, 10, 0.050109061411462},
      {60, 76, 0.91098700768226}, {150, 95, 0.00027674289879875}} do
      assert.close(calibration.chi_squared_above(case[1], case[2]), case[3], 1e-8)
    end
    assert.equal(1, calibration.chi_squared_above(0, 5))
  end)

  it("of ranks: uniform ones pass, and a few too many at the ends do not", function()
    local generator, ranks = lt.generator(1), {}
    for q = 1, 3 do ranks[q] = (lt.rand({3000}, {generator = generator}) * 100):floor():table() end
    local verdict = calibration.test({ranks = ranks, draws = 99}, BINS)
    assert.is_true(verdict.uniform, text(verdict))
    assert.equal(3 * 19, verdict.total_degrees)
    for i = 1, 3000, 20 do ranks[2][i] = i % 40 == 1 and 0 or 99 end -- 5 % of one quantity's ranks
    verdict = calibration.test({ranks = ranks, draws = 99}, BINS)
    assert.is_false(verdict.uniform, text(verdict))
  end)
end)

describe("the calibration of map.sample #slow", function()
  for decoder in pairs(calibration.decoders) do
    it("is right: " .. decoder, function()
      local verdict, result = test(decoder)
      assert.is_true(result.ess > 70, tostring(result.ess))
      assert.is_true(verdict.uniform, text(verdict))
    end)

    it("sees a wrong noise: " .. decoder, function()
      for _, factor in ipairs{0.8, 1.25} do
        local verdict = test(decoder, {noise = factor})
        assert.is_false(verdict.uniform, text(verdict))
      end
    end)

    it("sees that no step is refused: " .. decoder, function()
      local rand = lt.rand
      finally(function() lt.rand = rand end)
      lt.rand = function(shape) return lt.zeros(shape) end -- below every probability of acceptance
      local verdict = test(decoder, {target = 0.6})
      assert.is_false(verdict.uniform, text(verdict))
    end)
  end

  it("sees draws that depend on each other", function()
    local verdict, result = test("linear", {method = "mala", thin = 1, warmup = 400})
    assert.is_true(result.ess < 30, tostring(result.ess))
    assert.is_false(verdict.uniform, text(verdict))
  end)
end)
