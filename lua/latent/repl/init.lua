--- The prompt: reads, computes, prints. Ctrl-C ends a computation and leaves everything as it was; an error
-- ends the line and not the session.
-- @module latent.repl
local chunk = require "latent.repl.chunk"
local complete = require "latent.repl.complete"
local core = require "latent.core"
local help = require "latent.help"
local history = require "latent.repl.history"
local line = require "latent.repl.line"
local printer = require "latent.repl.print"

local M = {}

local PROMPT, MORE = "> ", ">> "
local NAME = "prompt" -- of the chunks, in messages
local FRAMES = 8 -- of a traceback

--- What a session finds under these names.
M.preloaded = {lt = "latent", nn = "latent.nn", optim = "latent.optim", data = "latent.data", plot = "latent.plot"}

local function write(...) io.stdout:write(...) end

local function pack_values(...) return {n = select("#", ...), ...} end

-- ---- errors ----

-- The library's folder, as file names in messages begin with it.
local home = debug.getinfo(1, "S").short_src:gsub("repl/init%.lua$", "")

-- The frames between the error and the prompt. Those of the prompt itself and of C say nothing; nor do the
-- library's, where the message is about a line of the user.
local function frames(traceback, internal)
  local list = {}
  for frame in traceback:gmatch "\n%s+([^\n]+)" do
    if frame:find "interruptible" then break end
    local own = frame:sub(1, #home) == home
    if not frame:find "^%[C%]" and not frame:find "^%(%.%.%.tail calls" and not frame:find "in main chunk"
      and not (own and not internal) and not frame:find("latent/repl/", 1, true) then
      list[#list + 1] = frame
    end
  end
  return list
end

-- The message handler: an error that is no string keeps its value, and both get their traceback.
local function caught(value)
  local internal = type(value) == "string" and value:sub(1, #home) == home
  return {value = value, frames = frames(debug.traceback("", 2), internal)}
end

-- Of a misspelt function of a module Lua says only that it is nil.
local function with_suggestion(text)
  local name = text:match "attempt to call a nil value %(field '([%w_]+)'%)$"
  local message = name and select(2, help.text(name))
  return text .. (message and message:match " %(did you mean .*$" or "")
end

local function report(problem)
  local value = problem.value
  local text = type(value) == "string" and with_suggestion(value) or "error: " .. printer.text(value, help.name_of)
  write(text, "\n")
  for i, frame in ipairs(problem.frames) do
    if i > FRAMES then
      write("    ... ", tostring(#problem.frames - FRAMES), " more\n")
      break
    end
    write("    ", frame, "\n")
  end
end

-- ---- computing and printing ----

-- Whether a signal came that ends the program.
local leaving = false

-- Runs f where Ctrl-C interrupts it. Returns its values packed, or nil.
local function guarded(f)
  local outcome = pack_values(core.interruptible(f, caught))
  local signal = core.pending()
  core.clear_signal()
  leaving = leaving or (signal or "INT") ~= "INT"
  if outcome[1] then
    return {n = outcome.n - 1, table.unpack(outcome, 2, outcome.n)}
  elseif signal then
    write(core.isatty(0) and "\n" or "", "interrupted\n") -- the terminal has shown ^C
  else
    report(outcome[2])
  end
end

-- Nothing is said of the nil where a message would have been.
local function show(values)
  while values.n > 1 and values[values.n] == nil do values.n = values.n - 1 end
  for i = 1, values.n do write(printer.text(values[i], help.name_of), "\n") end
  io.stdout:flush()
end

-- ---- the session ----

local Session = {}
Session.__index = Session

--- Computes one input and prints its values; the first is kept in `_`.
-- @tparam string source
-- @treturn boolean true where it wants more lines
function Session:enter(source)
  local f, message, more = chunk.compile(source, NAME, self.environment, self.declare)
  if not f and more then return true end
  if not f then
    write(message, "\n")
    return false
  end
  local values = guarded(f)
  if values and values.n > 0 then
    if values[1] ~= nil then rawset(self.environment, "_", values[1]) end
    if not more then guarded(function() show(values) end) end -- a semicolon at the end keeps quiet
  end
  io.stdout:flush()
  return false
end

local function add_help(environment)
  local function say(text) write(text, "\n") end
  rawset(environment, "help", function(...)
    local what = ...
    if select("#", ...) == 0 then return say(M.greeting) end
    local text, message = help.text(what)
    say(text or message)
  end)
  rawset(environment, "apropos", function(word)
    local found = help.apropos(word)
    for _, entry in ipairs(found) do write(("%-28s %s\n"):format(entry.name, entry.summary)) end
    if #found == 0 then say(('nothing about "%s"'):format(word)) end
  end)
end

M.greeting = [[
Expressions print their value, and _ holds the last one. Tab completes names, methods, options and files.
  help "conv2d"    help(nn.Linear)    help(plot)     what a function, layer or module does
  apropos "pool"                                     searches names and texts
  plot.show(figure)                                  draws in the terminal, or opens a window
Here are lt, nn, optim, data and plot. Ctrl-C interrupts, Ctrl-D leaves.]]

--- Makes the globals that the prompt has.
function M.preload()
  for name, module in pairs(M.preloaded) do rawset(_G, name, require(module)) end
end

--- A session without a terminal: the environment and `enter`.
-- @treturn Session fields `environment`, `declare`
function M.session()
  local environment, declare = chunk.environment(_G)
  M.preload()
  add_help(environment)
  return setmetatable({environment = environment, declare = declare}, Session)
end

-- Reads an input of one or more lines: the text, nil at the end, false where Ctrl-C cleared it.
local function read_input(session, read)
  local text = read(PROMPT)
  while text and session:enter(text) do
    local more = read(MORE)
    if not more then
      if more == nil then write "\n" end
      return more == false and false or text
    end
    text = text .. "\n" .. more
  end
  return text
end

-- Coroutines are resumed by functions that an interruption reaches; those of the stock library have a
-- hook of their own, which it does not.
local function watch_coroutines()
  rawset(coroutine, "resume", core.resume)
  rawset(coroutine, "wrap", core.wrap)
end

--- Runs the prompt until the end of the input.
function M.run()
  local session = M.session()
  local read, remember, editor = line.reader(complete.new(session.environment))
  local path = history.path()
  for _, text in ipairs(editor and history.load(path) or {}) do remember(text) end
  watch_coroutines()
  core.trap("INT", "TERM", "HUP")
  if core.isatty(0) then write(require("latent")._VERSION, ", ", _VERSION, '. help() tells more, Ctrl-D leaves.\n') end
  local previous
  while true do
    local text = read_input(session, read)
    if text == nil or leaving or (core.pending() or "INT") ~= "INT" then break end
    core.clear_signal()
    if text and text:find "%S" and text ~= previous then
      remember(text)
      if editor then history.append(path, text) end
      previous = text
    end
  end
  if core.isatty(0) then write "\n" end
  core.clear_signal()
  core.untrap()
end

return M
