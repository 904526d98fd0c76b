--- What a run measures at the end of an epoch. It leaves no trace: modes and the default generator are as before.
-- @module latent.train.validation
local core = require "latent.core"
local options = require "latent.base.options"

local M = {}

-- Consecutive batches of a set, in its order.
local function batches(set, size)
  local first = 1 - size
  return function()
    first = first + size
    if first > #set then return nil end
    local last = math.min(first + size - 1, #set)
    local index = core.arange(first, last)
    local x, y = set:batch(index)
    return {x = x, y = y, index = index}, last - first + 1
  end
end

-- The means over a set of the loss and of what else the run's loss function returns, as val_<name>.
local function over_set(run)
  local sums, count = {}, 0
  local function add(name, value, n)
    if core.is_tensor(value) then value = value:item() end
    sums["val_" .. name] = (sums["val_" .. name] or 0) + value * n
  end
  for batch, n in batches(run.validate, run.validation_batch) do
    local loss, values = run.loss(batch, run.now)
    add("loss", loss, n)
    for name, value in pairs(values or {}) do add(name, value, n) end
    count = count + n
  end
  for name, sum in pairs(sums) do sums[name] = sum / count end
  return sums
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
  local ok, result = pcall(core.no_grad, function()
    if type(validate) == "function" then return numbers(validate(run.now)) end
    return over_set(run)
  end)
  for module, training in pairs(modes) do module.training = training end
  core.set_rng_state(generator)
  if not ok then error(result, 0) end
  return result
end

return M
