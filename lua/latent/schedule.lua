--- Schedules: functions from a step (or epoch, counted from 1) to a value, for learning rates and for
-- the VAE's beta alike. They know no state: the same step always has the same value.
-- @usage local lr = schedule.warmup(schedule.cosine(1e-3, {steps = 9380}), {steps = 100})
-- for step = 1, 9380 do opt.lr = lr(step) ... end
-- @module latent.schedule
local core = require "latent.core"
local options = require "latent.options"

local M = {}

local function check(name, value, opts, allowed)
  options.expect(name, "value", value, "finite")
  return options.check(name, opts, allowed)
end

-- A schedule, from how its value is made.
local function schedule(name, f)
  return function(step)
    return f(options.expect(name, "step", step, "step"))
  end
end

--- Always the same value.
-- @tparam number value
-- @treturn function
function M.constant(value)
  check("schedule.constant", value, nil, {})
  return schedule("schedule.constant", function() return value end)
end

--- Multiplied by a factor after every so many steps.
-- @tparam number value
-- @tparam table opts every = steps, factor = 0.1
-- @treturn function
function M.step(value, opts)
  opts = check("schedule.step", value, opts, {"every", "factor"})
  local every = options.expect("schedule.step", "every", opts.every, "count")
  local factor = options.expect("schedule.step", "factor", opts.factor or 0.1, "finite")
  return schedule("schedule.step", function(step) return value * factor ^ ((step - 1) // every) end)
end

--- Half a cosine from the value at step 1 to the floor, which the step after the last would have
-- (Loshchilov and Hutter, 2017): the last step still does something.
-- @tparam number value
-- @tparam table opts steps, floor = 0
-- @treturn function
function M.cosine(value, opts)
  opts = check("schedule.cosine", value, opts, {"steps", "floor"})
  local steps = options.expect("schedule.cosine", "steps", opts.steps, "count")
  local floor = options.expect("schedule.cosine", "floor", opts.floor or 0, "finite")
  return schedule("schedule.cosine", function(step)
    local done = math.min(1, (step - 1) / steps)
    return floor + (value - floor) * 0.5 * (1 + math.cos(math.pi * done))
  end)
end

--- Another schedule, multiplied by a factor that grows evenly to 1 over the first steps.
-- @tparam number|function inner a schedule, or a number for a constant one
-- @tparam table opts steps
-- @treturn function
function M.warmup(inner, opts)
  if type(inner) == "number" then inner = M.constant(inner) end
  options.expect("schedule.warmup", "schedule", inner, "function")
  opts = options.check("schedule.warmup", opts, {"steps"})
  local steps = options.expect("schedule.warmup", "steps", opts.steps, "count")
  return schedule("schedule.warmup", function(step) return inner(step) * math.min(1, step / steps) end)
end

--- Linearly from one value to another, and then that.
-- @tparam number first the value at step 1
-- @tparam table opts steps (the step after them is the first with the last value), last = 0
-- @treturn function
function M.linear(first, opts)
  opts = check("schedule.linear", first, opts, {"steps", "last"})
  local steps = options.expect("schedule.linear", "steps", opts.steps, "count")
  local last = options.expect("schedule.linear", "last", opts.last or 0, "finite")
  return schedule("schedule.linear", function(step)
    if step > steps then return last end
    return first + (last - first) * ((step - 1) / steps)
  end)
end

--- Another schedule, multiplied by a factor that grows from 0 to 1 and stays there, again and again: the
-- cyclical annealing of a VAE's beta (Fu et al., 2019). After the last cycle the factor is 1.
-- @tparam number|function inner a schedule, or a number for a constant one
-- @tparam table opts steps of all cycles together, cycles = 4, ramp = 0.5: the part of a cycle that grows
-- @treturn function
function M.cyclical(inner, opts)
  if type(inner) == "number" then inner = M.constant(inner) end
  options.expect("schedule.cyclical", "schedule", inner, "function")
  opts = options.check("schedule.cyclical", opts, {"steps", "cycles", "ramp"})
  local steps = options.expect("schedule.cyclical", "steps", opts.steps, "count")
  local cycles = options.expect("schedule.cyclical", "cycles", opts.cycles or 4, "count")
  local ramp = opts.ramp or 0.5
  if type(ramp) ~= "number" or not (ramp > 0 and ramp <= 1) then
    core.raise("schedule.cyclical: ramp: expected a number above 0 and at most 1, got " .. options.describe(ramp))
  end
  if cycles > steps then
    core.raise(("schedule.cyclical: cycles: expected at most %d, the steps, got %d"):format(steps, cycles))
  end
  local length = steps / cycles
  return schedule("schedule.cyclical", function(step)
    if step > steps then return inner(step) end
    return inner(step) * math.min(1, ((step - 1) % length + 1) / (ramp * length))
  end)
end

return M
