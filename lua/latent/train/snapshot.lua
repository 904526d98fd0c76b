--- What a run consists of besides its own counters, gathered into tensors and plain values and put back: weights,
-- buffers, gradients, modes, the optimiser, the loader's place, generators. And whether two runs have the same
-- settings, since only then one can go on where the other stopped.
-- @module latent.train.snapshot
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local M = {}

local function add(into, prefix, values)
  for key, value in pairs(values) do
    local kind = type(value)
    if kind == "number" or kind == "string" or kind == "boolean" then into[prefix .. key] = value end
  end
end

--- Everything that must be the same for a run to be resumed, as a flat table of scalars.
-- @tparam table run with model, optimizer, rates, loader, options
-- @treturn {[string]=number|string|boolean}
function M.settings(run)
  local out = {seed = core.rng_state()[1]}
  for name, x in pairs(run.model:state()) do out["model " .. name] = shapes.typed(x) end
  add(out, "optimizer ", run.optimizer:settings())
  -- A learning rate may come from a schedule, which is compared by its values.
  for _, rate in ipairs(run.rates) do
    if not run.schedules[rate.name] then out["optimizer " .. rate.name] = rate.optimizer.lr end
  end
  local place = run.loader:state()
  place.epoch, place.position = nil, nil
  add(out, "loader ", place)
  out["loader batches"] = #run.loader
  add(out, "", {clip = run.clip, watch = run.watch, goal = run.goal, patience = run.patience,
    min_delta = run.min_delta, best = run.keeps_best, accumulate = run.accumulate > 1 and run.accumulate or nil,
    parts = run.parts_count, order = run.parts_count and run.order ~= "tree" and run.order or nil,
    batch_norm = run.joint and "all" or nil})
  add(out, "settings ", run.settings)
  for name in pairs(run.states) do out["states " .. name] = true end
  for name in pairs(run.schedules) do out["schedule " .. name] = true end
  return out
end

--- How a setting reads in a message.
-- @param value nil where it is not set
-- @treturn string
function M.said(value) return value == nil and "none" or options.describe(value) end

--- Where two tables of settings differ, in words.
-- @tparam table saved
-- @tparam table own
-- @treturn ?string nil where they do not
function M.difference(saved, own)
  local lines, keys = {}, {}
  for key in pairs(saved) do keys[key] = true end
  for key in pairs(own) do keys[key] = true end
  for key in pairs(keys) do
    -- A flag that a checkpoint from before it lacks is off.
    if (saved[key] or false) ~= (own[key] or false) then
      lines[#lines + 1] = ("%s: %s in the checkpoint, %s here"):format(key, M.said(saved[key]), M.said(own[key]))
    end
  end
  table.sort(lines)
  if #lines > 5 then
    lines[6] = ("and %d more"):format(#lines - 5)
    lines = table.move(lines, 1, 6, 1, {})
  end
  return lines[1] and table.concat(lines, "; ")
end

--- Values of the schedules at some steps, which tell whether a resumed run has the same ones.
-- @tparam {[string]=function} schedules
-- @tparam int steps how many the run makes in all
-- @treturn table name -> list of {step, value}
function M.probes(schedules, steps)
  local out = {}
  for name, f in pairs(schedules) do
    out[name] = {}
    for i = 0, 4 do
      local step = 1 + i * (steps - 1) // 4
      out[name][i + 1] = {step, options.expect("train.run", "schedules." .. name, f(step), "number")}
    end
  end
  return out
end

--- Where schedules differ from probes, in words.
-- @tparam table probes
-- @tparam {[string]=function} schedules
-- @treturn ?string
function M.schedule_difference(probes, schedules)
  for name, list in pairs(probes) do
    for _, probe in ipairs(list) do
      local own = schedules[name](probe[1])
      if own ~= probe[2] then
        return ("schedule %s: %.9g in step %d in the checkpoint, %.9g here"):format(name, probe[2], probe[1], own)
      end
    end
  end
end

local function put(into, prefix, tensors)
  for name, x in pairs(tensors) do into[prefix .. name] = x end
end

local function take(from, prefix)
  local out = {}
  for name, x in pairs(from) do
    if name:sub(1, #prefix) == prefix then out[name:sub(#prefix + 1)] = x end
  end
  return out
end

--- All that a run consists of now. The tensors are the run's own, not copies.
-- @tparam table run
-- @return name -> tensor
-- @return plain values
function M.gather(run)
  local tensors, optimizer = {}, run.optimizer:state()
  put(tensors, "model.", run.model:state())
  put(tensors, "optimizer.", optimizer.arrays)
  -- Whether a parameter has a gradient decides whether the optimiser moves it; and gradients may be added up
  -- over several steps.
  for _, entry in ipairs(run.model:named_parameters()) do tensors["grad." .. entry[1]] = entry[2].grad end
  put(tensors, "best.", run.best_state or {})
  local values = {optimizer = {steps = optimizer.steps, lr = optimizer.lr}, modes = run.model:modes(),
    loader = run.loader:state(), rng = core.rng_state(), states = {}}
  for name, object in pairs(run.states) do
    local state = object:state()
    if type(state) == "table" and type(state.arrays) == "table" then
      put(tensors, "states." .. name .. ".", state.arrays)
      local plain = {}
      for key, value in pairs(state) do plain[key] = value end
      plain.arrays = nil
      state = plain
    end
    values.states[name] = state
  end
  return tensors, values
end

--- Puts back what `gather` gave.
-- @tparam table run
-- @tparam {[string]=Tensor} tensors
-- @tparam table values
function M.apply(run, tensors, values)
  run.model:set_modes(values.modes)
  run.model:load_state(take(tensors, "model."))
  run.optimizer:load_state{steps = values.optimizer.steps, lr = values.optimizer.lr,
    arrays = take(tensors, "optimizer.")}
  for _, entry in ipairs(run.model:named_parameters()) do
    local gradient = tensors["grad." .. entry[1]]
    -- A copy: the optimiser's next zero_grad would change the tensor in place.
    entry[2].grad = gradient and gradient:clone()
  end
  run.loader:set_state(values.loader)
  for name, object in pairs(run.states) do
    local state, arrays = values.states[name], take(tensors, "states." .. name .. ".")
    if next(arrays) then state.arrays = arrays end
    object:set_state(state)
  end
  local best = take(tensors, "best.")
  run.best_state = next(best) and best
  core.set_rng_state(values.rng)
end

return M
