-- assert.misuse(f, pattern, ...): f(...) raises a message that begins with "file:line: ", the place being in the
-- file of f (the user's line, not the library's), and goes on with the pattern.
local assert = require "luassert"

local function misuse(state, arguments)
  local f, pattern = arguments[1], arguments[2]
  local ok, message = pcall(f, table.unpack(arguments, 3, arguments.n))
  if ok then
    state.failure_message = "nothing was raised; expected " .. pattern
    return false
  end
  local info = debug.getinfo(f, "S")
  local file, line, rest = tostring(message):match "^([^:\n]+):(%d+): (.*)$"
  line = tonumber(line)
  local here = file == info.short_src and line >= info.linedefined and line <= info.lastlinedefined
  if not here then
    state.failure_message = ("raised elsewhere than in %s:%d: %s"):format(info.short_src, info.linedefined,
      tostring(message))
    return false
  end
  state.failure_message = ("the message does not fit:\n  %s\n  %s"):format(rest, pattern)
  return rest:find("^" .. pattern) ~= nil
end

assert:register("assertion", "misuse", misuse)
