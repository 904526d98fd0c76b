--- Schedules: functions from a step (or epoch, counted from 1) to a value, for learning rates and for
-- the VAE's beta alike. They know no state: the same step always has the same value.
--
-- What takes `steps` takes `epochs` in their place, which need not be whole. Such a schedule is made complete by
-- `latent.train`, which knows how many steps an epoch has (or by `schedule.bind`).
-- @usage local lr = schedule.warmup(schedule.cosine(1e-3, {steps = 9380}), {steps = 100})
-- for step = 1, 9380 do opt.lr = lr(step) ... end
-- @module latent.schedule
local core = require "latent.core"
local options = require "latent.base.options"

local M = {}

-- A schedule in epochs: `make` gives the function once the steps of an epoch are known.
local InEpochs = {}
InEpochs.__index = InEpochs
InEpochs.__name = "latent.schedule.InEpochs"
function InEpochs.__call()
  core.raise "schedule: this one counts in epochs: give it to train.run, or ask schedule.bind(s, steps_per_epoch)"
end

local function is_schedule(value) return type(value) == "function" or getmetatable(value) == InEpochs end

--- The function of the step that a schedule stands for.
-- @tparam function|number|table given a schedule, in steps or in epochs
-- @tparam int steps_per_epoch
-- @treturn function the schedule in steps; anything that is none is returned as it is
function M.bind(given, steps_per_epoch)
  if getmetatable(given) ~= InEpochs then return given end
  return given.make(options.expect("schedule.bind", "steps_per_epoch", steps_per_epoch, "count"))
end

-- A function of the step that refuses what is none.
local function of_steps(name, f)
  return function(step) return f(options.expect(name, "step", step, "step")) end
end

-- Makes a schedule whose length is given in steps or in epochs, and which may be made of another one.
local function lasting(name, opts, inner, make)
  local steps, epochs = opts.steps, opts.epochs
  if steps ~= nil and epochs ~= nil then core.raise(name .. ": give steps or epochs, not both") end
  if epochs == nil then
    steps = options.expect(name, "steps", steps, "count")
  else
    options.expect(name, "epochs", epochs, "positive")
  end
  if epochs == nil and getmetatable(inner) ~= InEpochs then return of_steps(name, make(steps, inner)) end
  return setmetatable({make = function(per_epoch)
    return of_steps(name, make(steps or math.max(1, math.floor(epochs * per_epoch + 0.5)), M.bind(inner, per_epoch)))
  end}, InEpochs)
end

local function check(name, value, opts, allowed)
  options.expect(name, "value", value, "finite")
  return options.check(name, opts, allowed)
end

-- A schedule, or a number for a constant one.
local function as_schedule(name, inner)
  if type(inner) == "number" then return M.constant(inner) end
  if not is_schedule(inner) then
    core.raise(("%s: schedule: expected a schedule or a number, got %s"):format(name, options.describe(inner)))
  end
  return inner
end

--- Always the same value.
-- @tparam number value
-- @treturn function
function M.constant(value)
  check("schedule.constant", value, nil, {})
  return of_steps("schedule.constant", function() return value end)
end

--- Multiplied by a factor after every so many steps.
-- @tparam number value
-- @tparam table opts every = steps, or epochs; factor = 0.1
-- @treturn function
function M.step(value, opts)
  opts = check("schedule.step", value, opts, {"every", "epochs", "factor"})
  if opts.epochs == nil then options.expect("schedule.step", "every", opts.every, "count") end
  local factor = options.expect("schedule.step", "factor", opts.factor or 0.1, "finite")
  return lasting("schedule.step", {steps = opts.every, epochs = opts.epochs}, nil, function(every)
    return function(step) return value * factor ^ ((step - 1) // every) end
  end)
end

--- Half a cosine from the value at step 1 to the floor, which the step after the last would have
-- (Loshchilov and Hutter, 2017): the last step still does something.
-- @tparam number value
-- @tparam table opts steps or epochs, floor = 0
-- @treturn function
function M.cosine(value, opts)
  opts = check("schedule.cosine", value, opts, {"steps", "epochs", "floor"})
  local floor = options.expect("schedule.cosine", "floor", opts.floor or 0, "finite")
  return lasting("schedule.cosine", opts, nil, function(steps)
    return function(step)
      local done = math.min(1, (step - 1) / steps)
      return floor + (value - floor) * 0.5 * (1 + math.cos(math.pi * done))
    end
  end)
end

--- Another schedule, multiplied by a factor that grows evenly to 1 over the first steps.
-- @tparam number|function inner a schedule, or a number for a constant one
-- @tparam table opts steps or epochs; with 0 it is the other schedule itself
-- @treturn function
function M.warmup(inner, opts)
  inner = as_schedule("schedule.warmup", inner)
  opts = options.check("schedule.warmup", opts, {"steps", "epochs"})
  if opts.steps == 0 and opts.epochs == nil or opts.epochs == 0 and opts.steps == nil then return inner end
  return lasting("schedule.warmup", opts, inner, function(steps, f)
    return function(step) return f(step) * math.min(1, step / steps) end
  end)
end

--- Linearly from one value to another, and then that.
-- @tparam number first the value at step 1
-- @tparam table opts steps (the step after them is the first with the last value) or epochs, last = 0
-- @treturn function
function M.linear(first, opts)
  opts = check("schedule.linear", first, opts, {"steps", "epochs", "last"})
  local last = options.expect("schedule.linear", "last", opts.last or 0, "finite")
  return lasting("schedule.linear", opts, nil, function(steps)
    return function(step)
      if step > steps then return last end
      return first + (last - first) * ((step - 1) / steps)
    end
  end)
end

--- Another schedule, multiplied by a factor that grows from 0 to 1 and stays there, again and again: the
-- cyclical annealing of a VAE's beta (Fu et al., 2019). After the last cycle the factor is 1.
-- @tparam number|function inner a schedule, or a number for a constant one
-- @tparam table opts steps or epochs of all cycles together, cycles = 4, ramp = 0.5: the part of a cycle that grows
-- @treturn function
function M.cyclical(inner, opts)
  inner = as_schedule("schedule.cyclical", inner)
  opts = options.check("schedule.cyclical", opts, {"steps", "epochs", "cycles", "ramp"})
  local cycles = options.expect("schedule.cyclical", "cycles", opts.cycles or 4, "count")
  local ramp = opts.ramp or 0.5
  if type(ramp) ~= "number" or not (ramp > 0 and ramp <= 1) then
    core.raise("schedule.cyclical: ramp: expected a number above 0 and at most 1, got " .. options.describe(ramp))
  end
  if math.type(opts.steps) and cycles > opts.steps then
    core.raise(("schedule.cyclical: cycles: expected at most %d, the steps, got %d"):format(opts.steps, cycles))
  end
  return lasting("schedule.cyclical", opts, inner, function(steps, f)
    local length = steps / cycles
    return function(step)
      if step > steps then return f(step) end
      return f(step) * math.min(1, ((step - 1) % length + 1) / (ramp * length))
    end
  end)
end

return M
