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

local function check_value(name, value) return options.expect(name, "value", value, "finite") end

-- How long a schedule lasts: one of the two, which `lasting` checks.
local STEPS = {"steps", "any", nil, "how many; or"}
local EPOCHS = {"epochs", "any", nil, "how many, which need not be whole"}

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
  check_value("schedule.constant", value)
  return of_steps("schedule.constant", function() return value end)
end

local step_options = options.declare("schedule.step", {{"every", "any", nil, "so many steps; or"}, EPOCHS,
  {"factor", "finite", 0.1}})

--- Multiplied by a factor after every so many steps.
-- @tparam number value
-- @tparam table opts
-- @treturn function
function M.step(value, opts)
  check_value("schedule.step", value)
  opts = step_options(opts)
  if opts.epochs == nil then options.expect("schedule.step", "every", opts.every, "count") end
  local factor = opts.factor
  return lasting("schedule.step", {steps = opts.every, epochs = opts.epochs}, nil, function(every)
    return function(step) return value * factor ^ ((step - 1) // every) end
  end)
end

local cosine_options = options.declare("schedule.cosine", {STEPS, EPOCHS,
  {"floor", "finite", 0, "where it leads"}})

--- Half a cosine from the value at step 1 to the floor, which the step after the last would have
-- (Loshchilov and Hutter, 2017): the last step still does something.
-- @tparam number value
-- @tparam table opts
-- @treturn function
function M.cosine(value, opts)
  check_value("schedule.cosine", value)
  opts = cosine_options(opts)
  local floor = opts.floor
  return lasting("schedule.cosine", opts, nil, function(steps)
    return function(step)
      local done = math.min(1, (step - 1) / steps)
      return floor + (value - floor) * 0.5 * (1 + math.cos(math.pi * done))
    end
  end)
end

local warmup_options = options.declare("schedule.warmup", {STEPS, EPOCHS})

--- Another schedule, multiplied by a factor that grows evenly to 1 over the first steps.
-- @tparam number|function inner a schedule, or a number for a constant one
-- @tparam table opts with 0 steps or epochs it is the other schedule itself
-- @treturn function
function M.warmup(inner, opts)
  inner = as_schedule("schedule.warmup", inner)
  opts = warmup_options(opts)
  if opts.steps == 0 and opts.epochs == nil or opts.epochs == 0 and opts.steps == nil then return inner end
  return lasting("schedule.warmup", opts, inner, function(steps, f)
    return function(step) return f(step) * math.min(1, step / steps) end
  end)
end

local linear_options = options.declare("schedule.linear", {STEPS, EPOCHS, {"last", "finite", 0, "the last value"}})

--- Linearly from one value to another, and then that.
-- @tparam number first the value at step 1
-- @tparam table opts the step after the last of them is the first with the last value
-- @treturn function
function M.linear(first, opts)
  check_value("schedule.linear", first)
  opts = linear_options(opts)
  local last = opts.last
  return lasting("schedule.linear", opts, nil, function(steps)
    return function(step)
      if step > steps then return last end
      return first + (last - first) * ((step - 1) / steps)
    end
  end)
end

local RAMP = options.kind("number", "a number above 0 and at most 1", function(value)
  return type(value) == "number" and value > 0 and value <= 1 and value or nil
end)
local cyclical_options = options.declare("schedule.cyclical", {STEPS, EPOCHS,
  {"cycles", "count", 4, "in all steps together"}, {"ramp", RAMP, 0.5, "the part of a cycle that grows"}})

--- Another schedule, multiplied by a factor that grows from 0 to 1 and stays there, again and again: the
-- cyclical annealing of a VAE's beta (Fu et al., 2019). After the last cycle the factor is 1.
-- @tparam number|function inner a schedule, or a number for a constant one
-- @tparam table opts
-- @treturn function
function M.cyclical(inner, opts)
  inner = as_schedule("schedule.cyclical", inner)
  opts = cyclical_options(opts)
  local cycles, ramp = opts.cycles, opts.ramp
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
