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
