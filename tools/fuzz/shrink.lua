-- Makes a failing input small: takes away what the failure does not need. `fails(text)` tells whether it still does.
local json = require "latent.json"
local programs = require "tools.fuzz.programs"

local M = {}

--- A file: ever smaller pieces of it go, then what can become a zero byte does.
-- @tparam string bytes
-- @tparam function fails
-- @tparam int tries how often `fails` may be asked
function M.bytes(bytes, fails, tries)
  local function try(candidate)
    tries = tries - 1
    if tries >= 0 and #candidate > 0 and fails(candidate) then
      bytes = candidate
      return true
    end
  end
  local size = #bytes // 2
  while size >= 1 and tries > 0 do
    local at = 1
    while at <= #bytes and tries > 0 do
      if not try(bytes:sub(1, at - 1) .. bytes:sub(at + size)) then at = at + size end
    end
    size = size // 2
  end
  for at = 1, #bytes do
    if tries > 0 and bytes:byte(at) ~= 0 then try(bytes:sub(1, at - 1) .. "\0" .. bytes:sub(at + 1)) end
  end
  return bytes
end

-- A copy of a program without step number `k`; nil where a later step uses its result.
local function without(program, k)
  local gone, copy = #program.inputs + k, programs.parse(programs.text(program))
  for _, step in ipairs(copy.steps) do
    for i = 1, step.count do
      if step.inputs[i] == gone then return nil end
      if step.inputs[i] > gone then step.inputs[i] = step.inputs[i] - 1 end
    end
  end
  table.remove(copy.steps, k)
  return #copy.steps > 0 and copy or nil
end

--- A program: steps that nothing uses go, the last ones first; of a call, the last arguments.
function M.program(text, fails)
  local program = assert(programs.parse(text))
  local k = program.wild and 0 or #program.steps
  while k > 0 do
    local smaller = without(program, k)
    if smaller and fails(programs.text(smaller)) then
      program, k = smaller, #smaller.steps
    else
      k = k - 1
    end
  end
  while program.wild and #program.wild > 1 do
    local call = json.array(table.move(program.wild, 1, #program.wild - 1, 1, {}))
    if not fails(programs.text{wild = call}) then break end
    program = {wild = call}
  end
  return programs.text(program)
end

return M
