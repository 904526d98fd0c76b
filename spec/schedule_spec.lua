local schedule = require "latent.schedule"
require "spec.support.close"
require "spec.support.misuse"

describe("schedule", function()
  it("is part of optim", function() assert.equal(schedule, require("latent.optim").schedule) end)

  it("constant stays", function()
    local f = schedule.constant(3)
    assert.equal(3, f(1))
    assert.equal(3, f(1000))
  end)

  it("step falls after every so many steps", function()
    local f = schedule.step(8, {every = 10, factor = 0.5})
    assert.same({8, 8, 4, 4, 2}, {f(1), f(10), f(11), f(20), f(21)})
    assert.close(schedule.step(1, {every = 1})(3), 0.01)
  end)

  it("cosine falls from the value to the floor, which comes after the last step", function()
    local f = schedule.cosine(2, {steps = 10, floor = 1})
    assert.equal(2, f(1))
    assert.close(f(6), 1.5)
    assert.close(f(10), 1 + 0.5 * (1 + math.cos(0.9 * math.pi)))
    assert.is_true(f(10) > 1)
    assert.close(f(11), 1)
    assert.close(f(500), 1)
    assert.close(schedule.cosine(2, {steps = 4})(3), 1)
    for step = 1, 10 do assert.is_true(f(step) > f(step + 1)) end
  end)

  it("warmup grows evenly to the schedule inside", function()
    local f = schedule.warmup(2, {steps = 4})
    assert.same({0.5, 1.0, 1.5, 2.0, 2.0}, {f(1), f(2), f(3), f(4), f(5)})
    local cosine = schedule.cosine(1, {steps = 8})
    local g = schedule.warmup(cosine, {steps = 2})
    assert.close(g(1), 0.5)
    assert.close(g(7), cosine(7))
  end)

  it("linear goes evenly to the last value, and stays", function()
    local f = schedule.linear(1, {steps = 4, last = 3})
    assert.same({1.0, 1.5, 2.5, 3, 3}, {f(1), f(2), f(4), f(5), f(9)})
    assert.equal(0, schedule.linear(1, {steps = 2})(3))
  end)

  it("counts in epochs too, once it is known how long one is", function()
    for name, pair in pairs {
      cosine = {schedule.cosine(2, {epochs = 3, floor = 1}), schedule.cosine(2, {steps = 12, floor = 1})},
      linear = {schedule.linear(1, {epochs = 2.5, last = 3}), schedule.linear(1, {steps = 10, last = 3})},
      warmup = {schedule.warmup(5, {epochs = 0.5}), schedule.warmup(5, {steps = 2})},
      cyclical = {schedule.cyclical(1, {epochs = 5, cycles = 2}), schedule.cyclical(1, {steps = 20, cycles = 2})},
      step = {schedule.step(1, {epochs = 2}), schedule.step(1, {every = 8})},
      ["within another"] = {schedule.warmup(schedule.cosine(1, {epochs = 3}), {steps = 5}),
        schedule.warmup(schedule.cosine(1, {steps = 12}), {steps = 5})},
    } do
      local f = schedule.bind(pair[1], 4)
      for step = 1, 25 do assert.equal(pair[2](step), f(step), name) end
    end
    assert.equal(7, schedule.bind(7, 4))
    assert.equal(0.5, schedule.bind(schedule.warmup(0.5, {epochs = 0}), 4)(1))
    assert.misuse(function() schedule.cosine(1, {epochs = 3})(1) end, "schedule: this one counts in epochs")
    assert.misuse(function() schedule.cosine(1, {epochs = 3, steps = 2}) end,
      "schedule.cosine: give steps or epochs, not both")
    assert.misuse(function() schedule.cosine(1, {epochs = 0}) end,
      "schedule.cosine: epochs: expected a number above 0")
  end)

  describe("follows PyTorch's", function()
    local values = assert(require("latent.safetensors").load "spec/fixtures/layers.safetensors")
    local function compare(name, f)
      local got = {}
      for step = 1, 30 do got[step] = f(step) end
      assert.close(got, values["schedule/" .. name], 1e-6)
    end

    it("one cycle", function()
      compare("one_cycle", schedule.one_cycle(0.5, {steps = 30}))
      compare("one_cycle_linear", schedule.one_cycle(0.5, {steps = 30, shape = "linear", rise = 0.4, start = 10,
        last = 50}))
      assert.close(schedule.one_cycle(0.5, {steps = 30})(1000), 0.5 / 25 / 1e4)
    end)

    it("exponential, multistep and sequence", function()
      compare("exponential", schedule.exponential(1, {factor = 0.9}))
      compare("multistep", schedule.multistep(1, {steps = {4, 8, 21}, factor = 0.5}))
      compare("sequence", schedule.sequence{{0.1, steps = 5}, schedule.exponential(1, {factor = 0.9})})
    end)

    it("plateau, also from a state", function()
      local plateau, got = schedule.plateau(1, {factor = 0.5, patience = 2, cooldown = 1, floor = 0.1}), {}
      for i, metric in ipairs(values["schedule/metrics"]:table()) do
        got[i] = plateau.value
        local other = schedule.plateau(7, {factor = 0.5, patience = 2, cooldown = 1, floor = 0.1})
        other:set_state(plateau:state())
        assert.equal(plateau:observe(metric), other:observe(metric))
        plateau = i % 2 == 0 and other or plateau
      end
      assert.close(got, values["schedule/plateau"], 1e-6)
      local up = schedule.plateau(1, {patience = 0, goal = "max"})
      assert.same({1, 1, 0.1}, {up:observe(1), up:observe(2), up:observe(1.5)})
    end)
  end)

  it("counts in epochs what PyTorch counts by calls", function()
    local function same(in_epochs, in_steps)
      local f = schedule.bind(in_epochs, 4)
      for step = 1, 25 do assert.close(f(step), in_steps(step), 1e-12) end
    end
    same(schedule.multistep(1, {epochs = {0.5, 2}}), schedule.multistep(1, {steps = {3, 9}}))
    same(schedule.exponential(1, {factor = 0.5, epochs = 2}), schedule.exponential(1, {factor = 0.5 ^ (1 / 8)}))
    same(schedule.one_cycle(1, {epochs = 5}), schedule.one_cycle(1, {steps = 20}))
    same(schedule.sequence{{2, epochs = 1.5}, schedule.cosine(1, {epochs = 2})},
      schedule.sequence{{2, steps = 6}, schedule.cosine(1, {steps = 8})})
    same(schedule.product{2, schedule.cosine(1, {epochs = 2}), schedule.step(1, {every = 5})},
      schedule.product{schedule.cosine(2, {steps = 8}), schedule.step(1, {every = 5})})
    assert.equal(0.25, schedule.exponential(1, {factor = 0.5, floor = 0.25})(9))
  end)

  local refused = {
    {"schedule.linear: steps: expected a whole number of at least 1, got nil", schedule.linear, 1},
    {'schedule.linear: last: expected a number, got "x"', schedule.linear, 1, {steps = 2, last = "x"}},
    {'schedule.constant: value: expected a number, got "1"', schedule.constant, "1"},
    {"schedule.step: every: expected a whole number of at least 1, got nil", schedule.step, 1},
    {"schedule.step: every: expected a whole number of at least 1, got 0", schedule.step, 1, {every = 0}},
    {"schedule.cosine: steps: expected a whole number of at least 1, got 1.5", schedule.cosine, 1, {steps = 1.5}},
    {'schedule.cosine: unknown option "setps" %(did you mean "steps"%?%)', schedule.cosine, 1, {setps = 1}},
    {"schedule.cyclical: cycles: expected at most 3, the steps, got 4", schedule.cyclical, 1, {steps = 3}},
    {"schedule.warmup: schedule: expected a schedule or a number, got nil", schedule.warmup},
    {"schedule.warmup: expected an options table, got 5", schedule.warmup, 1, 5},
    {"schedule.exponential: factor: expected a number above 0, got nil", schedule.exponential, 1},
    {"schedule.multistep: give steps or epochs, one of the two", schedule.multistep, 1},
    {"schedule.multistep: steps: expected growing numbers, got 3 after 5", schedule.multistep, 1, {steps = {5, 3}}},
    {"schedule.multistep: steps: expected a list of numbers, got an empty table", schedule.multistep, 1, {steps = {}}},
    {"schedule.one_cycle: steps: expected a whole number of at least 1, got nil", schedule.one_cycle, 1},
    {"schedule.sequence: expected a list of parts.*, got 3", schedule.sequence, 3},
    {"schedule.sequence: part 1: steps: expected a whole number of at least 1", schedule.sequence, {{1}, 2}},
    {"schedule.sequence: part 1: schedule: expected a schedule or a number", schedule.sequence, {{"x", steps = 1}, 2}},
    {"schedule.product: factor 2: schedule: expected a schedule or a number", schedule.product, {1, "x"}},
    {"schedule.plateau: factor: expected a number from 0 to 1, got 2", schedule.plateau, 1, {factor = 2}},
  }
  it("refuses what is no step", function()
    local inner = {steps = 8}
    for name, f in pairs {constant = schedule.constant(1), step = schedule.step(1, {every = 2}),
      cosine = schedule.cosine(1, inner), warmup = schedule.warmup(1, inner), linear = schedule.linear(1, inner),
      cyclical = schedule.cyclical(1, inner)} do
      for _, odd in ipairs {0, -3, 0 / 0, "2"} do
        assert.misuse(function() f(odd) end, "schedule." .. name .. ": step: expected a number of at least 1, got ")
      end
      assert.misuse(function() f() end, "schedule." .. name .. ": step: expected a number of at least 1, got nil")
    end
  end)

  for _, case in ipairs(refused) do
    it("refuses: " .. case[1], function()
      local ok, message = pcall(case[2], case[3], case[4])
      assert.is_false(ok)
      assert.matches(case[1], message)
    end)
  end
end)
