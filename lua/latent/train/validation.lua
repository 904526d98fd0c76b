--- What a run measures at the end of an epoch. It leaves no trace: modes and the default generator are as before.
-- @module latent.train.validation
local core = require "latent.core"
local options = require "latent.base.options"
local share = require "latent.data.share"

local M = {}

-- The means over a set of the loss and of what else the run's loss function returns, as val_<name>.
local function over_set(run)
  local set, size, sums = run.validate, run.validation_batch, {}
  local results = share.results((#set + size - 1) // size, function(i)
    local index = core.arange((i - 1) * size + 1, math.min(i * size, #set))
    local x, y = set:batch(index)
    local loss, values = run.loss({x = x, y = y, index = index}, run.now)
    local found = {loss = loss}
    for name, value in pairs(values or {}) do found[name] = value end
    for name, value in pairs(found) do
      if core.is_tensor(value) then found[name] = value:item() end
    end
    return found
  end)
  for i, found in ipairs(results) do
    local n = math.min(i * size, #set) - (i - 1) * size
    for name, value in pairs(found) do sums[name] = (sums[name] or 0) + value * n end
  end
  local means = {}
  for name, sum in pairs(sums) do means["val_" .. name] = sum / #set end
  return means
end

local function numbers(result)
  if type(result) ~= "table" or core.is_tensor(result) then
    core.raise("train: validate: expected it to return a table of numbers, got " .. options.describe(result))
  end
  local out = {}
  for name, value in pairs(result) do
    if core.is_tensor(value) then value = value:item() end
    out[options.expect("train: validate", "name", name, "string")] =
      options.expect("train: validate", name, value, "number")
  end
  return out
end

--- Measures, in evaluation mode and without recording.
-- @tparam Run run
-- @treturn table name -> number; empty where the run validates nothing
function M.measure(run)
  local validate = run.validate
  if not validate then return {} end
  local modes, generator = {}, core.rng_state()
  for _, entry in ipairs(run.model:modules()) do modes[entry[2]] = entry[2].training end
  run.model:eval()
  local function measure()
    return core.no_grad(function()
      if type(validate) == "function" then return numbers(validate(run.now)) end
      return over_set(run)
    end)
  end
  local ok, result
  if run.parts then ok, result = pcall(share.with, run.parts:sharing(), measure)
  else ok, result = pcall(measure) end
  for module, training in pairs(modes) do module.training = training end
  core.set_rng_state(generator)
  if not ok then error(result, 0) end
  return result
end

return M
