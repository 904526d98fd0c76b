-- Random numbers: known answers of Philox, moments, seeds and states, independence of the threads.
require "spec.support.close"
require "spec.support.misuse"
local lt = require "latent"

local function uniforms(words)
  local list = {}
  for i, w in ipairs(words) do list[i] = (w >> 8) * 2.0 ^ -24 end
  return list
end

-- Mean, standard deviation, skewness and kurtosis.
local function moments(t)
  local m = t:mean():item()
  local c = t - m
  local s = c:square():mean():item() ^ 0.5
  return m, s, c:pow(3):mean():item() / s ^ 3, c:pow(4):mean():item() / s ^ 4
end

describe("random numbers", function()
  before_each(function() lt.manual_seed(1) end)

  it("are Philox 4x32-10: known answers for counter and key 0", function()
    lt.manual_seed(0)
    assert.close(lt.rand(4), uniforms {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, 0)
    -- The published vector whose counter fits one word: counter 1 of key 0 follows at once.
    lt.manual_seed(0)
    local five = lt.rand(5)
    local second = lt.generator(0)
    second:set_state {0, 1}
    assert.equal(five[5], lt.rand(1, {generator = second})[1])
  end)

  it("have the moments of their distributions", function()
    local n = 200000
    local m, s, skew, kurtosis = moments(lt.randn(n))
    assert(math.abs(m) < 0.01 and math.abs(s - 1) < 0.01 and math.abs(skew) < 0.02 and math.abs(kurtosis - 3) < 0.05,
      ("randn: %g %g %g %g"):format(m, s, skew, kurtosis))
    m, s, skew, kurtosis = moments(lt.rand(n))
    assert(math.abs(m - 0.5) < 0.005 and math.abs(s - 12 ^ -0.5) < 0.005 and math.abs(skew) < 0.02
      and math.abs(kurtosis - 1.8) < 0.02, ("rand: %g %g %g %g"):format(m, s, skew, kurtosis))
    local u = lt.rand(n)
    assert(u:min():item() >= 0 and u:max():item() < 1)
    local x = lt.randn(n):reshape(n // 2, 2)
    local pairs_product = (x:slice(2, 1, 1) * x:slice(2, 2, 2)):mean():item()
    assert(math.abs(pairs_product) < 0.02, "neighbours are correlated")
    local b = lt.bernoulli(lt.full({n}, 0.3))
    assert(math.abs(b:mean():item() - 0.3) < 0.01)
    assert.close(b * b, b)
  end)

  it("drop with the probability asked for, and keep the mean", function()
    local x = lt.param(lt.ones(100000))
    local y = x:dropout(0.25)
    assert(math.abs(y:mean():item() - 1) < 0.02)
    assert(math.abs(y:eq(0):mean():item() - 0.25) < 0.01)
    y:sum():backward()
    assert.close(x.grad, y) -- the same mask
  end)

  it("follow the seed", function()
    local a = lt.randn(100)
    lt.manual_seed(1)
    assert.close(lt.randn(100), a, 0)
    lt.manual_seed(2)
    assert.has_error(function() assert.close(lt.randn(100), a, 0.1) end)
    lt.manual_seed(-5)
    a = lt.rand(3)
    lt.manual_seed(-5)
    assert.close(lt.rand(3), a, 0)
  end)

  it("leave no second normal behind when they are seeded", function()
    lt.manual_seed(3)
    local a = lt.randn(3)
    lt.manual_seed(3)
    lt.randn(1)
    lt.manual_seed(3)
    assert.close(lt.randn(3), a, 0)
  end)

  it("go on from a saved state", function()
    lt.randn(7)
    local state = lt.rng_state()
    local a, p = lt.randn(9), lt.randperm(10)
    lt.set_rng_state(state)
    assert.close(lt.randn(9), a, 0)
    assert.close(lt.randperm(10), p, 0)
    local g = lt.generator(7)
    lt.rand(5, {generator = g})
    state = g:state()
    a = lt.rand(5, {generator = g})
    g:set_state(state)
    assert.close(lt.rand(5, {generator = g}), a, 0)
  end)

  it("of a generator do not touch the default ones", function()
    local a = lt.rand(3)
    lt.manual_seed(1)
    local g = lt.generator(5)
    lt.randn(10, {generator = g})
    lt.randperm(10, {generator = g})
    assert.close(lt.rand(3), a, 0)
  end)

  it("do not depend on the number of threads", function()
    local before = lt.threads()
    local results = {}
    for _, threads in ipairs {1, 2, 5} do
      lt.set_threads(threads)
      lt.manual_seed(9)
      results[#results + 1] = lt.randn(100001):bytes() .. lt.rand(50003):bytes() .. lt.ones(70001):dropout():bytes()
    end
    lt.set_threads(before)
    assert(results[1] == results[2] and results[1] == results[3])
  end)

  it("make permutations", function()
    for _, n in ipairs {0, 1, 2, 1000} do
      local seen = {}
      for _, v in ipairs(lt.randperm(n):table()) do
        assert(v >= 1 and v <= n and not seen[v])
        seen[v] = true
      end
      assert.equal(n, #seen)
    end
    local p, same = lt.randperm(1000), 0
    for i, v in ipairs(p:table()) do
      if i == v then same = same + 1 end
    end
    assert(same < 10)
    local first = {}
    for _ = 1, 3000 do
      local v = lt.randperm(3)[1]
      first[v] = (first[v] or 0) + 1
    end
    for v = 1, 3 do assert(math.abs(first[v] - 1000) < 120, "permutations are not uniform") end
  end)

  it("draw whole numbers, both ends included", function()
    local x = lt.randint(-2, 3, {200, 30})
    assert.equal("i64", x.dtype)
    assert.same({200, 30}, x.shape)
    local seen = {}
    for _, row in ipairs(x:table()) do
      for _, v in ipairs(row) do seen[v] = (seen[v] or 0) + 1 end
    end
    for v = -2, 3 do assert(math.abs(seen[v] - 1000) < 150, v) end
    assert.same({}, lt.randint(1, 2).shape)
    assert.same({0, 3}, lt.randint(1, 2, {0, 3}).shape)
    assert.equal(7, lt.randint(7, 7):item())
    local far = lt.randint(0, 1 << 40, 1000, {generator = lt.generator(1)})
    assert.equal(far:bytes(), lt.randint(0, 1 << 40, 1000, {generator = lt.generator(1)}):bytes())
    assert.is_true(far:max():item() > 1 << 39)
  end)

  it("draw places by their weights", function()
    local weights = lt.tensor{{1, 0, 3, 4}, {5, 5, 0, 0}}
    local counts = {{0, 0, 0, 0}, {0, 0, 0, 0}}
    for row, places in ipairs(lt.multinomial(weights, 8000, {replacement = true}):table()) do
      for _, place in ipairs(places) do counts[row][place] = counts[row][place] + 1 end
    end
    for row, wanted in ipairs{{1000, 0, 3000, 4000}, {4000, 4000, 0, 0}} do
      for place, n in ipairs(wanted) do
        local count = counts[row][place]
        assert(math.abs(count - n) < 200 and (n > 0 or count == 0))
      end
    end
    -- Without replacement the first of two is as with it, the second by what is left.
    local firsts, both = 0, 0
    for _ = 1, 3000 do
      local places = lt.multinomial({1, 2, 1}, 2):table()
      assert(places[1] ~= places[2])
      firsts = firsts + (places[1] == 2 and 1 or 0)
      both = both + ((places[1] == 2 or places[2] == 2) and 1 or 0)
    end
    assert(math.abs(firsts / 3000 - 0.5) < 0.03 and math.abs(both / 3000 - (0.5 + 0.5 * 2 / 3)) < 0.03)
    local a = lt.multinomial(lt.ones(50), 50, {generator = lt.generator(3)})
    assert.equal(a:bytes(), lt.multinomial(lt.ones(50), 50, {generator = lt.generator(3)}):bytes())
    assert.same({2, 0}, lt.multinomial(weights, 0).shape)
  end)

  it("fill tensors in place, and follow a generator", function()
    local x = lt.zeros(20000)
    assert.equal(x, x:normal_(3, 2, {generator = lt.generator(4)}))
    assert.close(x:mean():item(), 3, 0.03)
    assert.close(x:std():item(), 2, 0.03)
    assert.equal(x:bytes(), lt.zeros(20000):normal_(3, 2, {generator = lt.generator(4)}):bytes())
    x:uniform_(-1, 3)
    assert.is_true(x:min():item() >= -1 and x:max():item() < 3)
    assert.close(x:mean():item(), 1, 0.05)
    lt.manual_seed(6)
    local plain = lt.zeros(5):normal_()
    lt.manual_seed(6)
    assert.close(lt.randn(5), plain, 0)
    local p = lt.full({1000}, 0.3)
    local g = {generator = lt.generator(9)}
    local b = lt.bernoulli(p, g)
    assert.not_equal(b:bytes(), lt.bernoulli(p, g):bytes())
    assert.equal(b:bytes(), p:bernoulli{generator = lt.generator(9)}:bytes())
    lt.set_rng_state{9, 0}
    assert.equal(b:bytes(), lt.bernoulli(p):bytes())
  end)

  it("are refused with bad arguments", function()
    assert.misuse(function() lt.randint(3, 1) end, "randint: last: expected at least 3, got 1")
    assert.misuse(function() lt.randint(1.5, 2) end, "randint: first: expected a whole number, got 1.5")
    assert.misuse(function() lt.randint(1, 2, {-1}) end, "randint: shape%[1%]: expected a whole number of at least 0")
    assert.misuse(function() lt.multinomial({1, 0}, 2) end,
      "multinomial: n: expected at most 1, the places with a weight")
    assert.misuse(function() lt.multinomial({1, -1}, 1) end,
      "multinomial: probs: expected finite numbers of at least 0")
    assert.misuse(function() lt.multinomial(lt.ones(1, 1, 1), 1) end, "multinomial: probs: expected %[places%] or")
    assert.misuse(function() lt.zeros(2):normal_(0, -1) end, "normal_: std: expected at least 0, got %-1")
    assert.misuse(function() lt.zeros(2):uniform_(2, 1) end, "uniform_: high: expected at least 2, got 1")
    assert.misuse(function() lt.bernoulli(lt.full({1}, 2), {generator = lt.generator(1)}) end,
      "bernoulli: p: expected probabilities in %[0, 1%], got 2")
    assert.misuse(function() lt.manual_seed(1.5) end, "manual_seed: seed: expected a whole number, got 1.5")
    assert.misuse(function() lt.generator() end, "generator: seed: expected a whole number, got nil")
    assert.misuse(function() lt.randperm(-1) end, "randperm: n: expected 0")
    assert.misuse(function() lt.randn(2, {generator = 3}) end, "randn: generator: expected one made by lt.generator")
    assert.misuse(function() lt.rand(2, {gen = 3}) end, "rand: unknown option")
    assert.misuse(function() lt.randn(-2) end, "randn: shape: expected sizes of at least 0, got %-2")
    assert.misuse(function() lt.set_rng_state(3) end, "set_rng_state: expected {seed, block}")
    assert.misuse(function() lt.generator(1):set_state {1} end, "set_state: state: expected a whole number, got nil")
  end)
end)
