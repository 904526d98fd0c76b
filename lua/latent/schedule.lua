--- Schedules: functions from a step (or epoch, counted from 1) to a value, for learning rates and for
-- the VAE's beta alike. They know no state: the same step always has the same value.
--
-- What takes `steps` takes `epochs` in their place, which need not be whole. Such a schedule is made complete by
-- `latent.train`, which knows how many steps an epoch has (or by `schedule.bind`).
-- @usage local lr = schedule.warmup(schedule.cosine(1e-3, {steps = 9380}), {steps = 100})
-- for step = 1, 9380 do opt.lr = lr(step) ... end
-- @module latent.schedule
local core = require "latent.core"
local foreign = require "latent.base.foreign"
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

local exponential_options = options.declare("schedule.exponential", {
  {"factor", "positive", nil, "what it is multiplied by", required = true},
  {"epochs", "positive", nil, "how many have the factor once (default: every step has it)"},
  {"floor", "finite", 0, "below which it does not fall"}})

--- Multiplied by a factor at each step, or in so many epochs.
-- @tparam number value the value at step 1
-- @tparam table opts
-- @treturn function
function M.exponential(value, opts)
  check_value("schedule.exponential", value)
  opts = exponential_options(opts)
  local factor, floor = opts.factor, opts.floor
  return lasting("schedule.exponential", {steps = opts.epochs == nil and 1 or nil, epochs = opts.epochs}, nil,
    function(steps)
      return function(step) return math.max(floor, value * factor ^ ((step - 1) / steps)) end
    end)
end

local multistep_options = options.declare("schedule.multistep", {
  {"steps", "list", nil, "each the first with the next value; or"},
  {"epochs", "list", nil, "numbers of epochs, which need not be whole"}, {"factor", "finite", 0.1}})

-- A growing list of numbers above a bound.
local function growing(name, option, list, wanted)
  local before = 0
  for i, item in ipairs(list) do
    options.expect(name, ("%s[%d]"):format(option, i), item, wanted)
    if item <= before then
      core.raise(("%s: %s: expected growing numbers, got %g after %g"):format(name, option, item, before))
    end
    before = item
  end
  if #list == 0 then core.raise(("%s: %s: expected a list of numbers, got an empty table"):format(name, option)) end
end

--- Multiplied by a factor at each of some steps, or after some epochs.
-- @usage schedule.multistep(0.1, {epochs = {30, 60, 80}})
-- @tparam number value
-- @tparam table opts
-- @treturn function
function M.multistep(value, opts)
  local name = "schedule.multistep"
  check_value(name, value)
  opts = multistep_options(opts)
  if (opts.steps == nil) == (opts.epochs == nil) then core.raise(name .. ": give steps or epochs, one of the two") end
  growing(name, opts.steps and "steps" or "epochs", opts.steps or opts.epochs, opts.steps and "count" or "positive")
  local factor, given = opts.factor, table.move(opts.steps or opts.epochs, 1, #(opts.steps or opts.epochs), 1, {})
  local function make(firsts)
    return function(step)
      local passed = 0
      for _, first in ipairs(firsts) do passed = passed + (step >= first and 1 or 0) end
      return value * factor ^ passed
    end
  end
  if opts.steps then return of_steps(name, make(given)) end
  return setmetatable({make = function(per_epoch)
    local firsts = {}
    for i, epochs in ipairs(given) do firsts[i] = math.floor(epochs * per_epoch + 0.5) + 1 end
    return of_steps(name, make(firsts))
  end}, InEpochs)
end

local one_cycle_options = options.declare("schedule.one_cycle", {STEPS, EPOCHS,
  {"rise", "share", 0.3, "the part of the steps in which it grows"},
  {"start", "positive", 25, "so many times less than the value is where it begins"},
  {"last", "positive", 1e4, "and so many times less than that where it ends"},
  {"shape", options.one_of{"cosine", "linear"}, "cosine", "of both parts"}})

--- From a small value up to the given one and down to almost nothing (Smith and Topin, 2018).
-- @tparam number value the largest
-- @tparam table opts
-- @treturn function
function M.one_cycle(value, opts)
  check_value("schedule.one_cycle", value)
  opts = one_cycle_options(opts)
  local first = value / opts.start
  local last = first / opts.last
  local function between(a, b, done)
    if opts.shape == "linear" then return a + (b - a) * done end
    return b + (a - b) / 2 * (1 + math.cos(math.pi * done))
  end
  return lasting("schedule.one_cycle", opts, nil, function(steps)
    local top = opts.rise * steps - 1 -- counted from 0, as the last step
    return function(step)
      local at = math.min(step, steps) - 1
      if at <= top then return between(first, value, top > 0 and at / top or 1) end
      return between(value, last, (at - top) / (steps - 1 - top))
    end
  end)
end

--- One schedule after the other: each begins at its own step 1 when the one before has had its steps.
-- @usage schedule.sequence{{schedule.linear(0, {steps = 100, last = 1e-3}), steps = 100}, schedule.cosine(1e-3,
--   {steps = 900})}
-- @tparam {table|function,...} parts {schedule or number, steps =} or {schedule or number, epochs =}; the last may be
-- the schedule alone
-- @treturn function
function M.sequence(parts)
  local name = "schedule.sequence"
  if type(parts) ~= "table" or is_schedule(parts) or #parts == 0 then
    core.raise(name .. ": expected a list of parts, such as {{schedule, steps = 100}, schedule}, got "
      .. options.describe(parts))
  end
  local list, in_epochs = {}, false
  for i, part in ipairs(core.check_list(parts, name)) do
    local place = ("%s: part %d"):format(name, i)
    local alone = type(part) ~= "table" or is_schedule(part)
    if not alone then
      local first, named = options.separate(part)
      core.check_list(first, place)
      options.check(place, named, {"steps", "epochs"})
    end
    local inner = as_schedule(place, alone and part or part[1])
    local steps, epochs = not alone and part.steps or nil, not alone and part.epochs or nil
    if i < #parts then
      if epochs ~= nil then
        options.expect(place, "epochs", epochs, "positive")
      else
        steps = options.expect(place, "steps", steps, "count")
      end
    end
    list[i] = {inner = inner, steps = steps, epochs = epochs}
    in_epochs = in_epochs or epochs ~= nil or getmetatable(inner) == InEpochs
  end
  local function make(per_epoch)
    local bound = {}
    for i, part in ipairs(list) do
      bound[i] = {f = M.bind(part.inner, per_epoch),
        steps = part.epochs and math.max(1, math.floor(part.epochs * per_epoch + 0.5)) or part.steps}
    end
    return of_steps(name, function(step)
      for i = 1, #bound - 1 do
        if step <= bound[i].steps then return bound[i].f(step) end
        step = step - bound[i].steps
      end
      return bound[#bound].f(step)
    end)
  end
  return in_epochs and setmetatable({make = make}, InEpochs) or make(1)
end

--- The product of several schedules: each step has the value of the first, times those of the others.
-- @tparam {function|number,...} factors
-- @treturn function
function M.product(factors)
  local name = "schedule.product"
  if type(factors) ~= "table" or is_schedule(factors) or #factors == 0 then
    core.raise(name .. ": expected a list of schedules, got " .. options.describe(factors))
  end
  local list, in_epochs = {}, false
  for i, factor in ipairs(core.check_list(factors, name)) do
    list[i] = as_schedule(("%s: factor %d"):format(name, i), factor)
    in_epochs = in_epochs or getmetatable(list[i]) == InEpochs
  end
  local function make(per_epoch)
    local bound = {}
    for i, f in ipairs(list) do bound[i] = M.bind(f, per_epoch) end
    return of_steps(name, function(step)
      local product = 1
      for _, f in ipairs(bound) do product = product * f(step) end
      return product
    end)
  end
  return in_epochs and setmetatable({make = make}, InEpochs) or make(1)
end

--- A value that falls when a number no longer improves. It is no function of the step: it is told the number, and
-- belongs into `states` of `train.run`.
-- @type Plateau
-- @tfield number value the value now
local Plateau = {}
Plateau.__index = Plateau
Plateau.__name = "plateau schedule" -- in messages

local plateau_options = options.declare("schedule.plateau", {{"factor", "share", 0.1},
  {"patience", "size", 10, "so many times without a gain leave it as it is"},
  {"threshold", "not negative", 1e-4, "a gain is more than this part of the best so far"},
  {"cooldown", "size", 0, "so many times after a fall are not counted"}, {"floor", "not negative", 0},
  {"goal", options.one_of{"min", "max"}, "min", "what is good of the number"}})

--- A value that is multiplied by a factor when a number that it is told, once an epoch perhaps, no longer improves.
-- @usage
-- local plateau = schedule.plateau(1e-3, {patience = 3})
-- train.run{..., states = {plateau = plateau}, callbacks = {
--   on_epoch = function(entry, run) run.optimizer.lr = plateau:observe(entry.val_loss) end}}
-- @tparam number value
-- @tparam ?table opts
-- @treturn Plateau
function M.plateau(value, opts)
  check_value("schedule.plateau", value)
  return setmetatable({value = value, _options = plateau_options(opts), _bad = 0, _cooldown = 0}, Plateau)
end

--- Tells it the number.
-- @tparam number number
-- @treturn number the value from now on
function Plateau:observe(number)
  number = options.expect("observe", "number", number, "number")
  local o, sign = self._options, self._options.goal == "max" and -1 or 1
  local best = self._best
  if not best or sign * number < sign * best - o.threshold * math.abs(best) then
    self._best, self._bad = number, 0
  else
    self._bad = self._bad + 1
  end
  if self._cooldown > 0 then self._cooldown, self._bad = self._cooldown - 1, 0 end
  if self._bad > o.patience then
    self.value = math.max(o.floor, self.value * o.factor)
    self._cooldown, self._bad = o.cooldown, 0
  end
  return self.value
end

--- What a resumed run needs.
-- @treturn table plain values
function Plateau:state()
  return {value = self.value, best = self._best, bad = self._bad, cooldown = self._cooldown}
end

local state_options = options.reader("set_state", {{"value", "finite", required = true}, {"best", "number"},
  {"bad", "size", required = true}, {"cooldown", "size", required = true}})

--- Takes up what `state` gave.
-- @tparam table state
function Plateau:set_state(state)
  state = state_options(state)
  self.value, self._best, self._bad, self._cooldown = state.value, state.best, state.bad, state.cooldown
end

core.methods_of(Plateau, "plateau")

return setmetatable(M, foreign.asked("schedule", "schedule"))
