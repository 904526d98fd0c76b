--- The prompt: reads, computes, prints. Ctrl-C ends a computation and leaves everything as it was; an error
-- ends the line and not the session.
-- @module latent.repl
local chunk = require "latent.repl.chunk"
local complete = require "latent.repl.complete"
local core = require "latent.core"
local guard = require "latent.tools.guard"
local help = require "latent.help"
local history = require "latent.repl.history"
local line = require "latent.repl.line"
local new_scope = require("latent.repl.scope").new
local printer = require "latent.repl.print"

local M = {}

local PROMPT, MORE = "> ", ">> "
local NAME = "prompt" -- of the chunks, in messages
local FRAMES = 8 -- of a traceback
local FOUND = 30 -- lines of apropos

--- What a session finds under these names.
M.preloaded = {lt = "latent", nn = "latent.nn", optim = "latent.optim", data = "latent.data", plot = "latent.plot"}

-- Taken now: a line at the prompt may overwrite any field of any module.
local own, user, text_of, error_text = guard.own, guard.user, printer.text, guard.error_text
local help_text, find_about, name_of = help.text, help.apropos, help.name_of
local compile, append, write, flush = chunk.compile, history.append, line.write, line.flush
local interruptible, pending, clear_signal, isatty = core.interruptible, core.pending, core.clear_signal, core.isatty

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
    local library = frame:sub(1, #home) == home
    if not frame:find "^%[C%]" and not frame:find "^%(%.%.%.tail calls" and not frame:find "in main chunk"
      and not (library and not internal) and not frame:find("latent/repl/", 1, true) then
      list[#list + 1] = frame
    end
  end
  return list
end

local function located(value, traceback)
  local internal = type(value) == "string" and value:sub(1, #home) == home
  return {value = value, frames = frames(traceback, internal)}
end

-- The message handler: an error that is no string keeps its value, and both get their traceback.
local function caught(value)
  local ok, problem = own(located, value, debug.traceback("", 2))
  return ok and problem or {value = value, frames = {}}
end

local FIELDS = {dtype = true, grad = true, requires_grad = true, is_leaf = true}

-- Of a misspelt function of a module Lua says only that it is nil, of a tensor's field that it cannot be called.
local function with_suggestion(text)
  local field = text:match "attempt to call a %a+ value %(method '([%w_]+)'%)$"
  if FIELDS[field] then return ("%s (a field: write x.%s)"):format(text, field) end
  local name = text:match "attempt to call a nil value %(field '([%w_]+)'%)$"
  local message = name and select(2, help_text(name))
  return text .. (message and message:match " %(did you mean .*$" or "")
end

local function report(problem)
  -- Without memory, or at the end of the stack, no handler is called.
  if type(problem) ~= "table" or not problem.frames then problem = {value = problem, frames = {}} end
  local value = problem.value
  if type(value) == "string" then
    local ok, text = pcall(with_suggestion, value)
    write(ok and text or value, "\n")
  else
    write("error: ", text_of(value, name_of), "\n")
  end
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

-- Runs f, which runs code of the user, where Ctrl-C interrupts it. Returns its values packed, or nil.
local function guarded(f)
  local outcome = pack_values(select(2, user(interruptible, f, caught)))
  local signal = pending()
  clear_signal()
  leaving = leaving or (signal or "INT") ~= "INT"
  if outcome[1] == true then
    return {n = outcome.n - 1, table.unpack(outcome, 2, outcome.n)}
  elseif signal then
    write(isatty(0) and "\n" or "", "interrupted\n") -- the terminal has shown ^C
  else
    report(outcome[2])
  end
end

-- Nothing is said of the nil where a message would have been.
local function show(values)
  while values.n > 1 and values[values.n] == nil do values.n = values.n - 1 end
  for i = 1, values.n do write(text_of(values[i], name_of), "\n") end
  flush()
end

-- ---- the session ----

local Session = {}
Session.__index = Session

local function enter(session, source)
  local scope = session.scope
  local f, message, more = compile(source, NAME, scope)
  if not f and more then return true end
  if not f then
    write(message, "\n")
    return false
  end
  local values = guarded(f)
  if values and values.n > 0 then
    if values[1] ~= nil then rawset(scope.environment, "_", values[1]) end
    if not more then guarded(function() show(values) end) end -- a semicolon at the end keeps quiet
  end
  flush()
  return false
end

--- Computes one input and prints its values; the first is kept in `_`.
-- @tparam string source
-- @treturn boolean true where it wants more lines
function Session:enter(source)
  local ok, more = own(enter, self, source)
  if not ok then write("the prompt itself failed: ", error_text(more), "\n") end
  return ok and more
end

--- Closes the `<close>` variables, the latest first.
function Session:finish()
  own(function()
    local open = self.scope.closing()
    while #open > 0 do
      local value = table.remove(open)
      guarded(function() debug.getmetatable(value).__close(value, nil) end)
    end
    flush()
  end)
end

-- A function of the prompt's own, as a line calls it.
local function offered(f)
  return function(...)
    local ok, message = own(f, ...)
    if not ok then error(message, 0) end
  end
end

local function add_help(environment)
  local function say(text) write(text, "\n") end
  rawset(environment, "help", offered(function(...)
    local what = ...
    if select("#", ...) == 0 then return say(M.greeting) end
    local text, message = help_text(what)
    say(text or message)
  end))
  rawset(environment, "apropos", offered(function(word)
    local found = find_about(word)
    for i = 1, math.min(#found, FOUND) do write(("%-28s %s\n"):format(found[i].name, found[i].summary)) end
    if #found > FOUND then write("... ", tostring(#found - FOUND), " more\n") end
    if #found == 0 then say(('nothing about "%s"'):format(word)) end
  end))
end

M.greeting = [[
Expressions print their value, and _ holds the last one. Tab completes names, methods, options and files.
  help "conv2d"    help(nn.Linear)    help(plot)     what a function, layer or module does
  apropos "pool"                                     searches names and texts
  plot.show(figure)                                  draws in the terminal, or opens a window
A local stays for the lines that follow. One that is <const> keeps its value until it is declared again, and so does
one that is <close>, which is closed when the session ends.
Here are lt, nn, optim, data and plot. Ctrl-C interrupts, Ctrl-D leaves.]]

--- Makes the globals that the prompt has.
function M.preload()
  for name, module in pairs(M.preloaded) do rawset(_G, name, require(module)) end
end

--- A session without a terminal: `enter` lines, then `finish`.
-- @treturn Session field `scope` (of latent.repl.scope)
function M.session()
  local scope = new_scope(_G)
  M.preload()
  add_help(scope.environment)
  return setmetatable({scope = scope}, Session)
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
-- hook of their own, which it does not. The library's own code may have a table of its own.
local function watch_coroutines()
  for _, library in ipairs{coroutine, _G.coroutine} do
    if type(library) == "table" then
      rawset(library, "resume", core.resume)
      rawset(library, "wrap", core.wrap)
    end
  end
end

local function read_all(session, read, remember, path)
  local previous
  while true do
    local text = read_input(session, read)
    if text == nil or leaving or (pending() or "INT") ~= "INT" then break end
    clear_signal()
    if text and text:find "%S" and text ~= previous then
      remember(text)
      pcall(append, path, text)
      previous = text
    end
  end
end

local function run()
  local session = M.session()
  local read, remember, editor = line.reader(complete.new(session.scope))
  local path = editor and history.path()
  for _, text in ipairs(history.load(path)) do remember(text) end
  watch_coroutines()
  debug.sethook() -- a script before it may have left one
  core.trap("INT", "TERM", "HUP")
  if isatty(0) then write(require("latent")._VERSION, ", ", _VERSION, '. help() tells more, Ctrl-D leaves.\n') end
  read_all(session, read, remember, path)
  if isatty(0) then write "\n" end
  session:finish()
  clear_signal()
  core.untrap()
end

--- Runs the prompt until the end of the input.
function M.run()
  local ok, message = own(run)
  if not ok then error(message, 0) end
end

return M
