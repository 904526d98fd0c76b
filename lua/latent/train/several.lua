--- Several models and several optimisers in one run: models become the parts of one, whose names stand before those of
-- their weights, and optimisers are read, saved and compared together, though each is stepped by itself.
-- @module latent.train.several
local core = require "latent.core"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local sorted_keys = require "latent.base.sorted_keys"

local raise = core.raise

local M = {}

--- The kind of a model, see latent.base.options.
M.MODEL = {type = "Module", words = function() return "a module" end, check = function(where, value)
  if not module.is_module(value) then
    local list = type(value) == "table" and core.is_tensor(rawget(value, 1))
    raise(("%s: expected a model, got %s"):format(where,
      list and "a list of tensors; parameters are the optimiser's" or options.describe(value)))
  end
  return value
end}

-- Names by which a user may call something: they become parts of the names of weights and of numbers in the log.
local function check_names(where, given, what)
  if getmetatable(given) ~= nil then
    raise(("%s: expected a table of %s by name, got %s"):format(where, what, options.describe(given)))
  elseif next(given) == nil then raise(("%s: expected %s by name, got an empty table"):format(where, what)) end
  for name in pairs(given) do
    if type(name) ~= "string" or not name:find "^%a[%w_]*$" then
      raise(("%s: expected names such as generator, of letters, digits and _, got %s"):format(where,
        options.describe(name)))
    elseif rawget(module.Module, name) ~= nil or name == "forward" then
      raise(("%s: %s is a word of modules; choose another name"):format(where, name))
    end
  end
end

--- One model whose parts are several.
-- @tparam string where the option, for messages
-- @tparam {[string]=Module} models
-- @treturn Module
function M.model(where, models)
  check_names(where, models, "models")
  local all = {}
  for name, model in pairs(models) do all[name] = M.MODEL.check(where .. "." .. name, model) end
  function all.forward() raise "train: several models are called each for itself" end
  return module.new(all)
end

--- Several optimisers, with what a run needs of one.
local Optimizers = {}
Optimizers.__index = Optimizers

--- Puts optimisers together.
-- @tparam string where the option, for messages
-- @tparam {[string]=Optimizer} given
-- @tparam table kind what each has to be
-- @treturn table with the methods of an optimiser but for `step`; `named` has them by name, `names` their names
function M.optimizers(where, given, kind)
  check_names(where, given, "optimisers")
  for name, optimizer in pairs(given) do kind.check(where .. "." .. name, optimizer) end
  local named = {}
  for name, optimizer in pairs(given) do named[name] = optimizer end
  return setmetatable({named = named, names = sorted_keys(named)}, Optimizers)
end

--- The parameters of all, each once.
function Optimizers:parameters()
  local list, seen = {}, {}
  for _, name in ipairs(self.names) do
    for _, p in ipairs(self.named[name]:parameters()) do
      if not seen[p] then list[#list + 1], seen[p] = p, true end
    end
  end
  return list
end

--- How they were made, each behind its name.
function Optimizers:settings()
  local settings = {}
  for _, name in ipairs(self.names) do
    for key, value in pairs(self.named[name]:settings()) do settings[name .. " " .. key] = value end
  end
  return settings
end

--- Their states: counts of steps and learning rates by name, arrays under names such as "critic.mean.1".
function Optimizers:state()
  local state = {steps = {}, lr = {}, arrays = {}}
  for _, name in ipairs(self.names) do
    local own = self.named[name]:state()
    state.steps[name], state.lr[name] = own.steps, own.lr
    for key, x in pairs(own.arrays) do state.arrays[name .. "." .. key] = x end
  end
  return state
end

--- Takes up what `state` gave.
function Optimizers:load_state(state)
  for _, name in ipairs(self.names) do
    local prefix, arrays = name .. ".", {}
    for key, x in pairs(state.arrays) do
      if key:sub(1, #prefix) == prefix then arrays[key:sub(#prefix + 1)] = x end
    end
    self.named[name]:load_state{steps = state.steps[name], lr = state.lr[name], arrays = arrays}
  end
end

--- The optimiser of a name; raises where there is none.
-- @tparam string name
-- @treturn Optimizer
function Optimizers:find(name)
  local found = type(name) == "string" and self.named[name]
  if not found then
    raise(("train: step: expected the name of an optimiser first (%s), got %s"):format(
      table.concat(self.names, ", "), options.describe(name)))
  end
  return found
end

--- What options of `run` say is done with a batch.
-- @tparam string name of the caller
-- @tparam table opts
-- @treturn function (batch, now, run)
function M.body(name, opts)
  if opts.step ~= nil or opts.optimizers ~= nil then
    return options.expect(name, "step", opts.step, "function")
  end
  local loss = options.expect(name, "loss", opts.loss, "function")
  return function(batch, now, run) run:step(loss(batch, now)) end
end

return M
