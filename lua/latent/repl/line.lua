--- Reads lines: with latent.readline where it was built and the input is a terminal, else plainly.
-- @module latent.repl.line
local core = require "latent.core"
local own = require("latent.tools.guard").own

local M = {}

local isatty, signal_pending = core.isatty, core.pending
-- Standard input and output themselves, whatever io.input reads from.
local stdin, stdout = io.stdin, io.stdout
local read_from, write_to, flush = stdin.read, stdout.write, stdout.flush

local function write(...) write_to(stdout, ...) end
local function show_all() flush(stdout) end

--- Writes texts to standard output.
-- @function write
-- @tparam string ... texts
M.write = write

--- Brings what was written to the terminal.
-- @function flush
M.flush = show_all

-- With readline: `complete(text up to the cursor) -> words, their first position` is turned into what its
-- words stand for, which may begin elsewhere.
local function adapted(complete)
  return function(text, word)
    local ok, words, first = own(complete, text)
    if not ok then return {} end
    local start = #text - #word + 1
    local list = {}
    for i, candidate in ipairs(words) do
      list[i] = (text:sub(1, first - 1) .. candidate):sub(start)
    end
    return list
  end
end

local function plain(prompt)
  write(prompt)
  show_all()
  local text = read_from(stdin, "L")
  if signal_pending() then
    write "\n"
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
  if not found or not isatty(0) or not isatty(1) or os.getenv "TERM" == "dumb" then
    return plain, function() end
  end
  local adapt = adapted(complete)
  local read_line, add = readline.read, readline.add_history
  local function pending() return signal_pending() ~= nil end
  local function read(prompt)
    local text = read_line(prompt, adapt, pending)
    if pending() then return false end -- it came with the line's end
    return text
  end
  return read, add, readline.version
end

return M
