-- The rules by which gradients are recorded, against the core's backward and, for their own gradients, against central
-- differences of it; in double precision.
local lt = require "spec.support.lt64"
local values = require "spec.support.values"

local M = {}

local STEP, TOLERANCE = 1e-6, 1e-6

local function wanting(inputs)
  local list = {}
  for _, x in ipairs(inputs) do
    if x.requires_grad then list[#list + 1] = x end
  end
  return list
end

local function compare(what, i, got, want)
  local a, b = got:reshape(-1):table(), want:reshape(-1):table()
  assert(#a == #b, ("%s, input %d: expected %d elements, got %d"):format(what, i, #b, #a))
  local scale = 1e-3
  for k = 1, #b do scale = math.max(scale, math.abs(b[k]), math.abs(a[k])) end
  for k = 1, #b do
    local agrees = math.abs(a[k] - b[k]) <= TOLERANCE * scale -- NaN does not
    if not agrees then
      error(("%s, input %d, element %d: the rule says %.10g, expected %.10g"):format(what, i, k, a[k], b[k]), 0)
    end
  end
end

-- The gradients of f's output times dy by the core, zeros where there is none.
local function plain(f, inputs, xs, dy)
  local y = f(lt, table.unpack(inputs))
  return lt.grad(y, xs, {grad_outputs = dy, materialize_grads = true})
end

-- sum of the first derivatives, each times a direction
local function slope(f, inputs, xs, dy, directions)
  local total = 0
  for i, g in ipairs(plain(f, inputs, xs, dy)) do total = total + (g * directions[i]):sum():item() end
  return total
end

--- Raises unless the rules agree with the core and their gradients with differences.
-- @param f f(lt, ...) -> tensor
-- @param inputs tensors of the double precision twin; those made by lt.param are checked
-- @treturn boolean whether there was a gradient of the gradient to check: none where it is 0 everywhere
function M.check(f, inputs)
  local xs = wanting(inputs)
  local y = f(lt, table.unpack(inputs))
  local dy = lt.param(values.tensor(lt, y.shape, 11))
  local first = lt.grad(y, xs, {grad_outputs = dy, create_graph = true, materialize_grads = true})
  for i, want in ipairs(plain(f, inputs, xs, dy)) do compare("first", i, first[i], want) end

  local directions, total = {}, 0
  for i, x in ipairs(xs) do
    directions[i] = values.tensor(lt, x.shape, 20 + i)
    total = total + (first[i] * directions[i]):sum()
  end
  if not total.requires_grad then return false end
  local checked = {dy, table.unpack(xs)}
  local second = lt.grad(total, checked, {materialize_grads = true})
  for i, x in ipairs(checked) do
    local flat, numeric = x:detach():reshape(-1), {}
    for k = 1, flat:numel() do
      local v = flat:get(k)
      flat:set(k, v + STEP)
      local above = slope(f, inputs, xs, dy, directions)
      flat:set(k, v - STEP)
      local below = slope(f, inputs, xs, dy, directions)
      flat:set(k, v)
      numeric[k] = (above - below) / (2 * STEP)
    end
    compare(i == 1 and "second, by the gradient" or "second", i - 1, second[i], lt.tensor(numeric))
  end
  return true
end

return M
