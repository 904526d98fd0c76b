-- The float32 library against its double precision twin: values and gradients of every case of
-- spec/support/op_cases.lua. Run as a program it checks all cases with whatever instruction set
-- LATENT_ISA asks for, prints what differs, and ends with the number of cases.
local lt = require "latent"
local close = require "spec.support.close"
local lt64 = require "spec.support.lt64"
local op_cases = require "spec.support.op_cases"
local values = require "spec.support.values"

local M = {TOLERANCE = 1e-5}

-- The output and the gradients of a case in one library.
local function evaluate(library, case)
  local inputs = op_cases.inputs(library, case)
  local y = case.f(library, table.unpack(inputs))
  y:backward(values.tensor(library, y.shape, 11))
  local results = {{"output", y:detach()}}
  for i, x in ipairs(inputs) do
    if x.grad then results[#results + 1] = {"gradient of input " .. i, x.grad} end
  end
  return results
end

--- Compares a case. @return true, or false and what differs
function M.compare(case)
  local got, want = evaluate(lt, case), evaluate(lt64, case)
  if #got ~= #want then return false, op_cases.label(case) .. ": another number of gradients" end
  for i, result in ipairs(want) do
    local same_shape = table.concat(got[i][2].shape, ",") == table.concat(result[2].shape, ",")
    local difference, text = close.difference(got[i][2], result[2])
    local agrees = same_shape and difference <= M.TOLERANCE
    if not agrees then
      return false, ("%s: %s: %s"):format(op_cases.label(case), result[1], same_shape and text or "another shape")
    end
  end
  return true
end

--- All cases of an op. @return how many, and a list of messages
function M.compare_op(name)
  local failures = {}
  for _, case in ipairs(op_cases.cases[name]) do
    local ok, same, message = pcall(M.compare, case)
    if not ok or not same then
      failures[#failures + 1] = ok and message or op_cases.label(case) .. ": " .. tostring(same)
    end
  end
  return #op_cases.cases[name], failures
end

if arg and arg[0] and arg[0]:find "precision%.lua$" then
  local count, failed = 0, 0
  for name in pairs(op_cases.cases) do
    local n, failures = M.compare_op(name)
    count, failed = count + n, failed + #failures
    for _, message in ipairs(failures) do print(message) end
  end
  print(("%s: %d cases, %d failed"):format(lt.info().isa, count, failed))
  os.exit(failed == 0, true)
end

return M
