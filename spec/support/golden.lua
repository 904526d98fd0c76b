-- Runs a folder of golden values (golden.json and golden.safetensors) through the public API. A case
-- agrees where max|a - b| <= tolerance * max|b| for each of its arrays.
local lt = require "latent"
local shapes = require "latent.base.shapes"
local json = require "latent.json"
local safetensors = require "latent.safetensors"
local golden_ops = require "spec.support.golden_ops"

local M = {}

M.TOLERANCE = 1e-5 -- of arrays and of the losses of five steps
M.TOLERANCE_WEIGHTS = 1e-4 -- of weights after five steps: Adam magnifies noise in small gradients
M.TOLERANCE_MAP = 1e-3

--- max|a - b| / max|b| of two tensors or lists of numbers; infinite where they do not match in shape or
-- where one is NaN alone.
function M.error(got, want)
  if lt.is_tensor(got) then
    if shapes.text(got) ~= shapes.text(want) then return math.huge end
    got, want = got:float():reshape(-1):table(), want:float():reshape(-1):table()
  end
  if #got ~= #want then return math.huge end
  local worst, scale = 0, 0
  for i, b in ipairs(want) do
    local a = got[i]
    local both_nan = a ~= a and b ~= b
    if a ~= b and not both_nan then
      local difference = math.abs(a - b)
      if difference ~= difference then return math.huge end
      worst = math.max(worst, difference)
    end
    if b == b and math.abs(b) < math.huge then scale = math.max(scale, math.abs(b)) end
  end
  return scale > 0 and worst / scale or worst
end

--- What a case found: the worst error beside its tolerance, and whether all of its arrays agree.
local Result = {}
Result.__index = Result

function M.result() return setmetatable({passed = true, error = 0, arrays = 0}, Result) end

function Result:compare(what, got, want, tolerance)
  local e = M.error(got, want)
  self.arrays = self.arrays + 1
  if e > self.error then self.error = e end
  local agrees = e <= tolerance
  if not agrees then
    self.passed = false
    self.message = ("%s differs by %.3g (allowed %.0e)"):format(what, e, tolerance)
  end
end

--- Reads a folder.
-- @return {cases =, optim =, models =, map =, tensors =}, or nil and a message
function M.load(dir)
  local file, message = io.open(dir .. "/golden.json", "rb")
  if not file then return nil, message end
  local text = file:read "a"
  file:close()
  local folder
  folder, message = json.decode(text)
  if not folder then return nil, ("%s/golden.json: %s"):format(dir, message) end
  folder.tensors, message = safetensors.load(dir .. "/golden.safetensors")
  if not folder.tensors then return nil, message end
  return folder
end

--- A tensor of the folder; raises where it has none of this name.
function M.tensor(folder, name)
  return folder.tensors[name] or error(('golden.safetensors has no "%s"'):format(name), 0)
end

-- An op: forward, and the gradients that the case lists.
local function run_op(folder, case)
  local op = golden_ops.ops[case.op]
  if not op then error("unknown op " .. case.op, 0) end
  local layout, x = op.layout or {}, {}
  for name, key in pairs(case.inputs or {}) do
    if type(key) == "string" then
      local t = golden_ops.to_ours(M.tensor(folder, key), layout[name])
      x[name] = case.grads and case.grads[name] and lt.param(t) or t
    else
      x[name] = key
    end
  end
  local result = M.result()
  local y = op.run(x, case.attrs or {}, folder.tensors)
  result:compare("output", golden_ops.to_torch(y:detach(), layout.y), M.tensor(folder, case.output),
    M.TOLERANCE)
  if type(case.grad_output) == "string" and next(case.grads or {}) then
    y:backward(golden_ops.to_ours(M.tensor(folder, case.grad_output), layout.y))
    for name, key in pairs(case.grads) do
      local grad = x[name].grad or lt.zeros(x[name])
      result:compare("gradient of " .. name, golden_ops.to_torch(grad, layout[name]),
        M.tensor(folder, key), M.TOLERANCE)
    end
  end
  return result
end

--- Every case of a folder: a list of {name =, run = function() -> result}.
function M.cases(folder)
  local list = {}
  local function add(name, run) list[#list + 1] = {name = name, run = run} end
  for _, case in ipairs(folder.cases or {}) do
    add(case.id or case.op, function() return run_op(folder, case) end)
  end
  local training = require "spec.support.golden_training"
  for _, run in ipairs((folder.optim or {}).runs or {}) do
    add("optim/" .. run.name, function() return training.optim(folder, run) end)
  end
  for _, run in ipairs((folder.models or {}).runs or {}) do
    add("models/" .. run.name, function() return training.model(folder, run) end)
  end
  if folder.map then add("map", function() return training.map(folder) end) end
  return list
end

--- Runs a case; an error is a failure, too.
-- @return result
function M.run(case)
  local ok, result = pcall(case.run)
  if ok then return result end
  return {passed = false, error = math.huge, message = tostring(result)}
end

return M
