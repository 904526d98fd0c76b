-- L-BFGS and its line search: known minima, the conditions themselves, and why it stopped.
local lt = require "latent"
local lt64 = require "spec.support.lt64"
local optim = require "latent.optim"
local wolfe = require "latent.optim.wolfe"
require "spec.support.close"

-- A function of one number and its derivative, as what a line search asks; counts what it was asked.
local function along(f, slope)
  local asked = {}
  return function(step)
    asked[#asked + 1] = step
    return {step = step, value = f(step), slope = slope(step), mark = "mine"}
  end, asked
end

-- The test functions of Moré and Thuente (1994), 4.1 to 4.3, which are hard in three ways.
local BETA41, BETA42, BETA43 = 2, 0.004, 0.01
local FUNCTIONS = {
  {"a long valley", function(a) return -a / (a * a + BETA41) end,
    function(a) return (a * a - BETA41) / (a * a + BETA41) ^ 2 end},
  {"an early cliff", function(a) return (a + BETA42) ^ 5 - 2 * (a + BETA42) ^ 4 end,
    function(a) return 5 * (a + BETA42) ^ 4 - 8 * (a + BETA42) ^ 3 end},
  {"a wall", function(a) return math.exp(a / BETA43) - 2 * a end,
    function(a) return math.exp(a / BETA43) / BETA43 - 2 end, falls = false},
}

describe("the line search", function()
  for _, case in ipairs(FUNCTIONS) do
    local name, f, slope = table.unpack(case)
    for _, first in ipairs{1e-3, 0.1, 10, 1000} do
      it(("satisfies both conditions: %s from %g"):format(name, first), function()
        local evaluate, asked = along(f, slope)
        local start = {value = f(0), slope = slope(0)}
        local point, why = wolfe.search(evaluate, start, first, {decrease = 1e-3, curvature = 0.1, evaluations = 50})
        if case.falls == false then
          assert.equal("ascent", why) -- the wall stands at the start
          assert.equal(0, #asked)
          return
        end
        assert.equal("wolfe", why)
        assert.equal("mine", point.mark)
        assert.equal(asked[#asked], point.step)
        assert.is_true(point.value <= start.value + 1e-3 * point.step * start.slope)
        assert.is_true(math.abs(point.slope) <= 0.1 * -start.slope)
      end)
    end
  end

  it("steps back from values that are not finite", function()
    for _, bad in ipairs{1 / 0, 0 / 0} do
      local evaluate = along(function(a) return a > 1 and bad or (a - 0.5) ^ 2 end,
        function(a) return a > 1 and bad or 2 * (a - 0.5) end)
      local point, why = wolfe.search(evaluate, {value = 0.25, slope = -1}, 64)
      assert.equal("wolfe", why)
      assert.is_true(point.step <= 1 and point.value < 0.25)
    end
  end)

  it("says when nothing was found, and returns the start", function()
    local up = along(function(a) return 1 + a end, function() return 1 end) -- contradicts the slope given
    local point, why = wolfe.search(up, {value = 1, slope = -1}, 1, {evaluations = 7})
    assert.equal("evaluations", why)
    assert.equal(0, point.step)
    point, why = wolfe.search(up, {value = 1, slope = -1}, 1, {evaluations = 200})
    assert.equal("narrow", why)
    assert.equal(0, point.step)
    local down, asked = along(function(a) return -a end, function() return -1 end) -- no minimum at all
    point, why = wolfe.search(down, {value = 0, slope = -1}, 1, {evaluations = 6})
    assert.equal("evaluations", why)
    assert.equal(6, #asked)
    assert.equal(4 ^ 5, point.step)
  end)

  it("goes by slopes where the values differ by rounding alone", function()
    local noisy = along(function(a) return 1000 + (a == 0 and 0 or 1e-5) end, function(a) return 1e-6 * (a - 1) end)
    local point, why = wolfe.search(noisy, {value = 1000, slope = -1e-6}, 0.9)
    assert.equal("wolfe", why)
    assert.equal(0.9, point.step)
    local _, strict = wolfe.search(noisy, {value = 1000, slope = -1e-6}, 0.9, {rounding = 0})
    assert.not_equal("wolfe", strict)
  end)
end)

local function rosenbrock(x)
  local a, b = x:slice(2, 1, 1), x:slice(2, 2, 2)
  return ((1 - a):square() + (b - a:square()):square() * 100):sum(2)
end

-- Quadratics with curvatures from 1 to 1000, another minimum for each row.
local function quadratics(n, d)
  local generator = lt.generator(3)
  local curvature = lt.rand({n, d}, {generator = generator}) * 999 + 1
  local minimum = lt.randn({n, d}, {generator = generator})
  return function(x, rows)
    local at = lt.tensor(rows)
    return (curvature:gather_rows(at) * (x - minimum:gather_rows(at)):square()):sum(2)
  end, minimum
end

describe("optim.lbfgs", function()
  it("finds Rosenbrock's valley's end from several places at once", function()
    local result = optim.lbfgs(rosenbrock, lt.tensor{{-1.2, 1}, {2, -3}, {0, 0}, {1, 1}, {5, 5}})
    assert.close(result.x, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, 1e-4)
    assert.is_true(result.values:max():item() < 1e-9)
    assert.equal("gradient", result.reasons[4]) -- there from the start
    assert.equal(1, result.evaluations[4])
    assert.equal(0, result.iterations[4])
    for _, evaluations in ipairs(result.evaluations) do assert.is_true(evaluations <= 60) end
  end)

  it("treats each row as if it were alone, to the bit", function()
    local start = lt.tensor{{-1.2, 1}, {2, -3}, {0, 0}}
    local together = optim.lbfgs(rosenbrock, start)
    for i = 1, 3 do
      local alone = optim.lbfgs(rosenbrock, start:slice(1, i, i))
      assert.equal(alone.x:bytes(), together.x:slice(1, i, i):bytes())
      assert.equal(alone.evaluations[1], together.evaluations[i])
      assert.equal(alone.reasons[1], together.reasons[i])
    end
  end)

  it("hands over which rows it asks for", function()
    local f, minimum = quadratics(40, 6)
    local result = optim.lbfgs(f, lt.zeros(40, 6))
    assert.close(result.x, minimum, 1e-3)
    local total = 0
    for _, count in pairs(result.stopped) do total = total + count end
    assert.equal(40, total)
    assert.is_true(result.searches.wolfe > 40)
  end)

  it("takes rows of any shape, and leaves the start and its type alone", function()
    local start = lt.param(lt.zeros(2, 3, 2))
    local result = optim.lbfgs(function(x) return (x - 2):square():reshape(#x, -1):sum(2) end, start)
    assert.same({2, 3, 2}, result.x.shape)
    assert.close(result.x, lt.full({2, 3, 2}, 2))
    assert.close(start, lt.zeros(2, 3, 2))
    assert.is_nil(start.grad)
    assert.is_false(result.x.requires_grad)
  end)

  it("needs few evaluations: fewer than a quadratic has dimensions, times two", function()
    local f = quadratics(1, 40)
    local result = optim.lbfgs(f, lt.zeros(1, 40), {memory = 40})
    assert.is_true(result.evaluations[1] <= 80, tostring(result.evaluations[1]))
  end)

  it("stops where the function says that it is enough", function()
    local result = optim.lbfgs(function(x)
      local value = x:square():sum(2)
      return value, value:detach():le(0.5)
    end, lt.tensor{{3}, {0.1}, {40}})
    assert.same({"enough", "enough", "enough"}, result.reasons)
    assert.equal(1, result.evaluations[2])
    assert.is_true(result.values:max():item() <= 0.5)
    assert.close(result.x:get(2, 1), 0.1)
  end)

  it("says why it stopped", function()
    local f = quadratics(3, 5)
    local function reasons(opts) return optim.lbfgs(f, lt.zeros(3, 5), opts) end
    assert.equal(3, reasons({iterations = 2}).stopped.iterations)
    local few = reasons({evaluations = 3})
    assert.equal(3, few.stopped.evaluations)
    assert.is_true(math.max(table.unpack(few.evaluations)) < 3 + 20)
    assert.equal(3, reasons({gradient_tolerance = 1e6}).stopped.gradient)
    assert.equal(3, reasons({change_tolerance = 1e6}).stopped.change)
    local exact = reasons({change_tolerance = 0, gradient_tolerance = 0}).stopped
    assert.is_nil(exact.change)
    assert.is_true((exact.gradient or 0) + (exact["line search"] or 0) + (exact.iterations or 0) == 3)
    local bad = optim.lbfgs(function(x) return (x / x:detach()):sum(2) end, lt.tensor{{0}, {1}})
    assert.equal("not finite", bad.reasons[1])
    local wrong = optim.lbfgs(function(x) -- its gradient points the wrong way
      return (-x + x:detach() * 2):sum(2)
    end, lt.zeros(1, 1))
    assert.equal("line search", wrong.reasons[1])
    assert.is_truthy(wrong.searches.narrow or wrong.searches.evaluations)
  end)

  it("keeps a trace: the mean best value after each evaluation", function()
    local f = quadratics(7, 4)
    local result = optim.lbfgs(f, lt.zeros(7, 4))
    assert.equal(math.max(table.unpack(result.evaluations)), #result.trace)
    assert.close(result.trace[1], f(lt.zeros(7, 4), {1, 2, 3, 4, 5, 6, 7}):mean():item())
    for i = 2, #result.trace do assert.is_true(result.trace[i] <= result.trace[i - 1] + 1e-6) end
    assert.is_true(math.abs(result.trace[#result.trace] - result.values:mean():item()) < 1e-5)
  end)

  local function refused(pattern, ...)
    local arguments = {...}
    local ok, message = pcall(function() optim.lbfgs(table.unpack(arguments)) end)
    assert.is_false(ok)
    assert.matches("lbfgs_spec.lua:%d+: optim.lbfgs: " .. pattern, message)
  end

  it("refuses what makes no sense", function()
    local f, x = function(z) return z:square():sum(2) end, lt.zeros(2, 2)
    refused("f: expected a function, got 3", 3, x)
    refused("start: expected a tensor, got nil", f)
    refused("start: expected float32 %[n, ...%], got float32 %[3%]", f, lt.zeros(3))
    refused('unknown option "memmory" %(did you mean "memory"', f, x, {memmory = 3})
    refused("memory: expected a whole number of at least 1, got 0", f, x, {memory = 0})
    refused("change_tolerance: expected a number of at least 0, got %-1", f, x, {change_tolerance = -1})
    refused("gradient_tolerance: expected a number of at least 0, got ", f, x, {gradient_tolerance = 0 / 0})
    refused("decrease, curvature: expected 0 < decrease < curvature < 1, got 0.9 and 0.1", f, x,
      {decrease = 0.9, curvature = 0.1})
    refused("f: expected 2 values, one a row, got 3", function() return 3 end, x)
    refused("f: expected 2 values, one a row, got a tensor %[2, 2%]", function(z) return z:square() end, x)
  end)

  it("hands on an error of the function as it is", function()
    assert.error_matches(function() optim.lbfgs(function() error "mine" end, lt.zeros(1, 1)) end, "mine")
  end)
end)

-- J. Moré, B. Garbow and K. Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981), with the
-- starts and minima given there; all have value 0 at the minimum. `a`, `b`, ... are the columns.
local angle = {} -- theta(a, b) of the helical valley, in turns: 0 along a > 0
for _, library in ipairs{lt, lt64} do
  angle[library] = library.op{
    name = "helical_angle",
    forward = function(ctx, a, b)
      ctx:save(a, b)
      local turns = {}
      for i, value in ipairs(a:reshape(-1):table()) do
        turns[i] = math.atan(b:reshape(-1):get(i) / value) / (2 * math.pi) + (value < 0 and 0.5 or 0)
      end
      return library.tensor(turns):reshape(a.shape)
    end,
    backward = function(ctx, dy)
      local a, b = ctx:saved()
      local scale = dy / ((a:square() + b:square()) * (2 * math.pi))
      return -b * scale, a * scale
    end,
  }
end

local CLASSICS = {
  {"Rosenbrock", {-1.2, 1}, {1, 1}, function(_, a, b)
    return (b - a:square()):square() * 100 + (1 - a):square()
  end},
  -- its Hessian at the minimum is singular: the value is far closer to 0 than the place
  {"Powell singular", {3, -1, 0, 1}, {0, 0, 0, 0}, near = 0.01, function(_, a, b, c, d)
    return (a + b * 10):square() + (c - d):square() * 5 + (b - c * 2):square():square()
      + (a - d):square():square() * 10
  end},
  {"Beale", {1, 1}, {3, 0.5}, function(_, a, b)
    return (1.5 - a * (1 - b)):square() + (2.25 - a * (1 - b:square())):square()
      + (2.625 - a * (1 - b:square() * b)):square()
  end},
  -- on the way lies a saddle of value 7.877, so flat that float32 does not see the value fall
  {"Wood", {-3, -1, -3, -1}, {1, 1, 1, 1}, opts = {change_tolerance = 0}, function(_, a, b, c, d)
    return (b - a:square()):square() * 100 + (1 - a):square() + (d - c:square()):square() * 90 + (1 - c):square()
      + ((b - 1):square() + (d - 1):square()) * 10.1 + (b - 1) * (d - 1) * 19.8
  end},
  {"the helical valley", {-1, 0, 0}, {1, 0, 0}, function(library, a, b, c)
    local r = (a:square() + b:square()):sqrt()
    return ((c - angle[library](a, b) * 10):square() + (r - 1):square()) * 100 + c:square()
  end},
}

describe("optim.lbfgs finds the minimum of", function()
  for name, library in pairs{float32 = lt, float64 = lt64} do
    for _, case in ipairs(CLASSICS) do
      local title, start, minimum, f = table.unpack(case)
      it(title .. " in " .. name, function()
        local result = optim.lbfgs(function(x)
          local columns = {}
          for i = 1, #start do columns[i] = x:slice(2, i, i) end
          return f(library, table.unpack(columns)):sum(2)
        end, library.tensor{start}, case.opts)
        assert.is_true(result.values:item() < 5e-10, tostring(result.values:item()))
        assert.close(result.x[1] + 1, library.tensor(minimum) + 1, case.near or 1e-4) -- + 1: one minimum is at 0
        assert.is_truthy(({gradient = true, ["line search"] = true})[result.reasons[1]], result.reasons[1])
        assert.is_true(result.evaluations[1] <= 250, tostring(result.evaluations[1]))
      end)
    end
  end

  it("a function that is small everywhere, if no tolerance asks for more than its gradient", function()
    local tiny = optim.lbfgs(function(x) return rosenbrock(x) * 1e-8 end, lt.tensor{{-1.2, 1}},
      {gradient_tolerance = 1e-15})
    assert.close(tiny.x, {{1, 1}}, 1e-3)
  end)
end)
