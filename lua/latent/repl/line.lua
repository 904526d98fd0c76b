--- Reads lines: with latent.readline where it was built and the input is a terminal, else plainly.
-- @module latent.repl.line
local core = require "latent.core"

local M = {}

-- With readline: `complete(text up to the cursor) -> words, their first position` is turned into what its
-- words stand for, which may begin elsewhere.
local function adapted(complete)
  return function(text, word)
    local words, first = complete(text)
    local start = #text - #word + 1
    local list = {}
    for i, candidate in ipairs(words) do
      list[i] = (text:sub(1, first - 1) .. candidate):sub(start)
    end
    return list
  end
end

local function plain(prompt)
  io.stdout:write(prompt)
  io.stdout:flush()
  local text = io.read "L"
  if core.pending() then
    io.stdout:write "\n"
    return false
  end
  return text and (text:gsub("\n$", ""))
end

--- A reader of lines.
-- @tparam function complete as latent.repl.complete makes it
-- @treturn function read(prompt): the line, nil at the end of the input, false where a signal came
-- @treturn function remember(text): adds to the lines that the arrow keys bring back
-- @treturn ?string the name of the editing library in use
function M.reader(complete)
  local found, readline = pcall(require, "latent.readline")
  if not found or not core.isatty(0) or not core.isatty(1) or os.getenv "TERM" == "dumb" then
    return plain, function() end
  end
  local adapt = adapted(complete)
  local function pending() return core.pending() ~= nil end
  local function read(prompt)
    local text = readline.read(prompt, adapt, pending)
    if pending() then return false end -- it came with the line's end
    return text
  end
  return read, readline.add_history, readline.version
end

return M
