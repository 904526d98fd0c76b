--- Optimisers: one fused pass over each parameter, as PyTorch defines the rules.
-- An optimiser's `lr` may be set at any time; `schedule` makes functions that say how. In place of a list of parameters
-- every optimiser takes a list of groups `{params = list, lr = ..., weight_decay = ..., ...}`, each with options of its
-- own.
-- @module latent.optim
require "latent" -- tensors get their methods, and errors the user's line
local core = require "latent.core"
local gradients = require "latent.optim.gradients"
local foreign = require "latent.base.foreign"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local average = require "latent.optim.average"
local schedule = require "latent.schedule"

local raise, unpack = core.raise, table.unpack

local M = {}

--- The module latent.schedule: functions that say how a learning rate goes.
M.schedule = schedule

--- Minimises each row of a tensor by itself, by L-BFGS with a line search for the strong Wolfe conditions. The rows
-- are independent problems, each with its own history, step lengths and reason to stop; the function is evaluated for
-- all that ask for it in one batch.
--
-- Why a row stopped: "gradient" (its largest element is at most gradient_tolerance * max(1, |value|)), "change" (a
-- step made the value fall by at most change_tolerance times the value, however small that is), "line search" (no step
-- downhill found, not even along the gradient), "enough" (f said so), "iterations", "evaluations", or "not finite"
-- (value or gradient at the start). A tolerance of 0 is met by a gradient of 0 alone: with change_tolerance = 0 a row
-- also leaves a flat saddle, whose first steps downhill are lost in the rounding of the value.
-- @function lbfgs
-- @tparam function f of (x, rows): x [k, ...] holds the problems whose numbers the list `rows` names; it
-- returns their values [k], recorded on the tape, each depending on its own row alone; and, if wanted, a
-- tensor [k] that is not 0 where the row is good enough to stop
-- @tparam Tensor start [n, ...], float32
-- @tparam ?table opts
-- @treturn table x [n, ...]; values [n]; and lists, one entry a row: reasons, iterations, evaluations; `stopped`,
-- the number of rows for each reason; `searches`, how the line searches ended ("wolfe", "narrow",
-- "evaluations", "ascent") and how often; `trace`, the mean over the rows of the best value after 1, 2, ...
-- evaluations
-- @raise if an option, the start or what f returns is not as said
-- @usage
-- local result = optim.lbfgs(function(x) return (x - 3):square():sum(2) end, lt.zeros(5, 2))
-- print(result.x, result.reasons[1])
M.lbfgs = require("latent.optim.lbfgs").minimize

--- An optimiser.
-- @type Optimizer
-- @tfield number lr the learning rate; may be set at any time. A group that was given another keeps the ratio to it.
local Optimizer = {}
Optimizer.__index = setmetatable(Optimizer, foreign.asked("optimiser", "an optimiser"))
Optimizer.__name = "optimiser" -- in messages

local function check_parameters(name, parameters, seen)
  local got = options.describe(parameters)
  if got == "a table" and rawlen(parameters) == 0 then
    got = next(parameters) == nil and "an empty table" or "a table with names"
  end
  -- A Sequential has a [1] too, and is no list.
  if got ~= "a table" then
    raise(("%s: expected a list of parameters, such as model:parameters(), got %s"):format(name, got))
  end
  seen = seen or {count = 0}
  for _, p in ipairs(core.check_list(parameters, name)) do
    seen.count = seen.count + 1
    local i = seen.count
    local place = ("%s: parameter %d"):format(name, i)
    core.check_tensor(p, place)
    if not p.is_leaf or not core.fits(p, 0, 8) then
      raise(("%s: expected a tensor made by lt.param, got %s"):format(place,
        p.is_leaf and p.dtype or "the result of an op"))
    elseif seen[p] then
      raise(("%s: is parameter %d again"):format(place, seen[p]))
    end
    seen[p] = i
  end
end

local function at_least_zero(name, option, value) return options.expect(name, option, value, "not negative") end

local BELOW_ONE = {type = "number", words = function() return "a number in [0, 1)" end, check = function(where, value)
  local name, option = where:match "^(.*): (.*)$"
  if at_least_zero(name, option, value) >= 1 then
    raise(("%s: expected a number in [0, 1), got %g"):format(where, value))
  end
  return value
end}
-- The core's kinds of numbers as kinds of options.
local KINDS = {["least zero"] = "not negative", ["below one"] = BELOW_ONE, flag = "boolean"}

-- The kind of several numbers that are one option, a list.
local function list_kind(names)
  local words = "{" .. table.concat(names, ", ") .. "}"
  return {type = "{number,number}", words = function() return words end, check = function(where, value)
    if type(value) ~= "table" or core.is_tensor(value) or #value ~= #names then
      raise(("%s: expected %s, got %s"):format(where, words, options.describe(value)))
    end
    core.check_list(value, where)
    for i = 1, #names do BELOW_ONE.check(where, value[i]) end
    return value
  end}
end

-- The core's rows by name: numbers and arrays of each optimiser, and what reads its options.
local rows = {}
for _, row in ipairs(core.optimizers()) do
  local declared, lists = {}, {}
  for _, number in ipairs(row.numbers) do
    local list = lists[number.option]
    if list then
      table.insert(list.names, number.name)
      table.insert(list.fallback, number.fallback)
      list.row[2], list.row[3] = list_kind(list.names), list.fallback
    elseif number.kind ~= "fixed" then
      local fallback = number.fallback
      if number.kind == "flag" then fallback = fallback ~= 0 end
      list = {names = {number.name}, fallback = {number.fallback}, row = {number.option, KINDS[number.kind], fallback}}
      lists[number.option], declared[#declared + 1] = list, list.row
    end
  end
  row.lists, row.read, rows[row.name] = lists, options.declare("optim." .. row.name, declared), row
end

-- The numbers of a row from the options of a call.
local function read_numbers(name, row, opts)
  opts = row.read(opts)
  local values = {}
  for _, number in ipairs(row.numbers) do
    if number.kind == "fixed" then
      values[number.name] = number.fallback ~= 0
    else
      values[number.name] = opts[number.option]
    end
  end
  for option, list in pairs(row.lists) do
    for i, part in ipairs(#list.names > 1 and list.names or {}) do values[part] = opts[option][i] end
  end
  local trouble = core.optimizer_check(row.name, values)
  if trouble then raise(name .. ": " .. trouble) end
  return values
end

local function is_group(value)
  return type(value) == "table" and not core.is_tensor(value) and getmetatable(value) == nil and value.params ~= nil
end

-- What was given as a list of groups, each with its own options before those of all.
local function groups_of(parameters, opts)
  if type(parameters) ~= "table" or core.is_tensor(parameters) or not is_group(parameters[1]) then
    return {{params = parameters, opts = opts}}
  end
  local groups = {}
  for i, given in ipairs(core.check_list(parameters, "optim")) do
    if not is_group(given) then
      raise(("optim: group %d: expected {params = list, ...}, got %s"):format(i, options.describe(given)))
    end
    local own = {}
    for key, value in pairs(type(opts) == "table" and opts or {}) do own[key] = value end
    for key, value in pairs(given) do
      if key ~= "params" then own[key] = value end
    end
    groups[i] = {params = given.params, opts = own}
  end
  return groups
end

-- How many times the optimiser's learning rate a group has.
local function scale_of(name, own, all)
  if own == all then return 1 end
  if all == 0 then raise(name .. ": lr: expected above 0 where a group has another one, got 0") end
  return own / all
end

-- An optimiser by the name of its row.
local function new(row_name, parameters, opts)
  local row, name = rows[row_name], "optim." .. row_name
  local lr = read_numbers(name, row, opts).lr
  local self = setmetatable({name = name, lr = lr, steps = 0, _row = row, _parameters = {}, _groups = {}}, Optimizer)
  local seen = {count = 0}
  for i, given in ipairs(groups_of(parameters, opts)) do
    local hyper = read_numbers(name, row, given.opts)
    check_parameters(name, given.params, seen)
    local group = {parameters = table.move(given.params, 1, #given.params, 1, {}), hyper = hyper, state = {},
      scale = scale_of(name, hyper.lr, lr)}
    for k, array in ipairs(row.arrays) do
      local needed = row.needs[array]
      local list = (not needed or hyper[needed] == true or type(hyper[needed]) == "number" and hyper[needed] ~= 0)
        and {} or nil
      for j, p in ipairs(list and group.parameters or {}) do list[j] = core.zeros(p) end
      group.state[k] = list
    end
    self._groups[i] = group
    table.move(group.parameters, 1, #group.parameters, #self._parameters + 1, self._parameters)
  end
  return self
end

--- Zeroes the gradients of all parameters, in place.
function Optimizer:zero_grad() core.zero_grads(self._parameters) end

--- One step on all parameters that have a gradient.
function Optimizer:step()
  local lr, groups, row = self.lr, self._groups, self._row
  -- The words of a message are only put together where there is one.
  if not (type(lr) == "number" and lr >= 0 and lr < math.huge) then at_least_zero(self.name, "lr", lr) end
  self.steps = self.steps + 1
  for i = 1, #groups do
    local group = groups[i]
    group.hyper.lr = lr * group.scale
    core.optimizer_step(row.name, group.hyper, self.steps, group.parameters, unpack(group.state, 1, #row.arrays))
  end
end

--- The learning rate of each group now.
-- @treturn {number,...}
function Optimizer:rates()
  local rates = {}
  for i, group in ipairs(self._groups) do rates[i] = self.lr * group.scale end
  return rates
end

--- How it was made: its name, its settings except `lr`, and the number of its parameters. A state fits an
-- optimiser with equal settings.
-- @treturn table plain values; those of further groups under names such as "group 2 weight_decay"
function Optimizer:settings()
  local settings = {name = self.name, parameters = #self._parameters}
  for i, group in ipairs(self._groups) do
    local prefix = i > 1 and ("group %d "):format(i) or ""
    if i > 1 then settings[prefix .. "parameters"] = #group.parameters end
    if group.scale ~= 1 then settings[prefix .. "scale"] = group.scale end
    for key, value in pairs(group.hyper) do
      if key ~= "lr" then settings[prefix .. key] = value end
    end
  end
  return settings
end

--- The parameters that it steps.
-- @treturn {Tensor,...} a copy of the list
function Optimizer:parameters() return table.move(self._parameters, 1, #self._parameters, 1, {}) end

--- What a resumed run needs: step count, learning rate, and the arrays by name ("mean.3"); these are
-- the optimiser's own, and change with its next step.
-- @treturn table {steps =, lr =, arrays = {[string]=Tensor}}
function Optimizer:state()
  local arrays, before = {}, 0
  for _, group in ipairs(self._groups) do
    for k, name in ipairs(self._row.arrays) do
      for i, x in ipairs(group.state[k] or {}) do arrays[name .. "." .. before + i] = x end
    end
    before = before + #group.parameters
  end
  return {steps = self.steps, lr = self.lr, arrays = arrays}
end

--- Takes up a state that `state()` gave. All arrays must be there, and no others.
-- @tparam table state
function Optimizer:load_state(state)
  local name = self.name .. ": load_state"
  options.expect(name, "state", state, "table")
  options.check(name, state, {"steps", "lr", "arrays"})
  options.expect(name, "steps", state.steps, "size")
  at_least_zero(name, "lr", state.lr)
  options.expect(name, "arrays", state.arrays, "table")
  local own = self:state().arrays
  for key, x in pairs(own) do
    local given = state.arrays[key]
    if not core.is_tensor(given) then raise(("%s: %s is missing"):format(name, key)) end
    local wanted = shapes.typed(x)
    local got = shapes.typed(given)
    if wanted ~= got then raise(("%s: %s: expected %s, got %s"):format(name, key, wanted, got)) end
  end
  for key in pairs(state.arrays) do
    if not own[key] then raise(("%s: unexpected %s"):format(name, tostring(key))) end
  end
  for key, x in pairs(own) do x:copy_(state.arrays[key]) end
  self.steps, self.lr = math.tointeger(state.steps), state.lr
end

--- Stochastic gradient descent, with momentum and Nesterov's variant.
-- @tparam {Tensor,...}|{table,...} parameters a list, or a list of groups {params = list, lr = ..., ...}
-- @tparam ?table opts
-- @treturn Optimizer
function M.SGD(parameters, opts) return new("SGD", parameters, opts) end

--- Adam (Kingma and Ba, 2015). With `amsgrad` the largest second moment so far stands in the denominator (Reddi, Kale
-- and Kumar, 2018).
-- @tparam {Tensor,...}|{table,...} parameters a list, or a list of groups {params = list, lr = ..., ...}
-- @tparam ?table opts
-- @treturn Optimizer
function M.Adam(parameters, opts) return new("Adam", parameters, opts) end

--- AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
-- @tparam {Tensor,...}|{table,...} parameters a list, or a list of groups {params = list, lr = ..., ...}
-- @tparam ?table opts
-- @treturn Optimizer
function M.AdamW(parameters, opts) return new("AdamW", parameters, opts) end

--- RMSprop (Tieleman and Hinton, 2012). With `centered` the variance of the gradient stands in the denominator, not
-- its mean square (Graves, 2013).
-- @tparam {Tensor,...}|{table,...} parameters a list, or a list of groups {params = list, lr = ..., ...}
-- @tparam ?table opts
-- @treturn Optimizer
function M.RMSprop(parameters, opts) return new("RMSprop", parameters, opts) end

--- Adagrad (Duchi, Hazan and Singer, 2011).
-- @tparam {Tensor,...}|{table,...} parameters a list, or a list of groups {params = list, lr = ..., ...}
-- @tparam ?table opts
-- @treturn Optimizer
function M.Adagrad(parameters, opts) return new("Adagrad", parameters, opts) end

--- Scales all gradients down together where their common norm exceeds a limit.
-- @tparam {Tensor,...} parameters
-- @tparam number max_norm
-- @treturn number the norm before
function M.clip_grad_norm(parameters, max_norm)
  check_parameters("optim.clip_grad_norm", parameters)
  gradients.complete(parameters)
  return core.clip_grad_norm(parameters, max_norm)
end

--- The running mean of weights: exponential (EMA) or over all updates (SWA).
-- @function average
-- @tparam {Tensor,...} parameters such as model:parameters()
-- @tparam ?table opts
-- @treturn Average
-- @usage
-- local ema = optim.average(model:parameters(), {decay = 0.999})
-- -- after each step: ema:update(); to measure: ema:with(function() ... end)
function M.average(parameters, opts)
  check_parameters("optim.average", parameters)
  return average.new(parameters, opts)
end

core.methods_of(Optimizer, "opt")

return setmetatable(M, foreign.asked("optim", "optim"))
