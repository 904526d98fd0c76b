-- Gradients against central differences, in double precision.
local lt = require "spec.support.lt64"
local values = require "spec.support.values"

local M = {}

local STEP, TOLERANCE = 1e-6, 1e-6

-- The sum of f's output weighted with dy.
local function objective(f, inputs, dy)
  return lt.no_grad(function() return (f(lt, table.unpack(inputs)) * dy):sum():item() end)
end

local function numeric_gradient(f, inputs, i, dy)
  local flat = inputs[i]:detach():reshape(-1)
  local gradient = {}
  for k = 1, flat:numel() do
    local v = flat:get(k)
    flat:set(k, v + STEP)
    local above = objective(f, inputs, dy)
    flat:set(k, v - STEP)
    local below = objective(f, inputs, dy)
    flat:set(k, v)
    gradient[k] = (above - below) / (2 * STEP)
  end
  return gradient
end

local function compare(analytic, numeric, i)
  local scale = 0
  for k, n in ipairs(numeric) do scale = math.max(scale, math.abs(n), math.abs(analytic[k])) end
  for k, n in ipairs(numeric) do
    local agrees = math.abs(analytic[k] - n) <= TOLERANCE * math.max(scale, 1e-3) -- NaN does not
    if not agrees then
      error(("gradient of input %d, element %d: backward says %.10g, differences say %.10g"):format(i, k,
        analytic[k], n), 0)
    end
  end
end

--- Raises unless backward through f agrees with central differences for every input.
-- @param f f(lt, ...) -> tensor
-- @param inputs tensors of the double precision twin; those made by lt.param are checked
function M.check(f, inputs)
  local y = f(lt, table.unpack(inputs))
  local dy = values.tensor(lt, y.shape, 11)
  local wanted = y.requires_grad
  assert(wanted, "the output wants no gradient")
  y:backward(dy)
  for i, x in ipairs(inputs) do
    if x.requires_grad then
      local numeric = numeric_gradient(f, inputs, i, dy)
      assert(x.grad or #numeric == 0, ("input %d got no gradient"):format(i))
      compare(x.grad and x.grad:reshape(-1):table() or {}, numeric, i)
    end
  end
end

return M
