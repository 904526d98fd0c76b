--- The prompt: reads, computes, prints. Ctrl-C ends a computation and leaves everything as it was; an error
-- ends the line and not the session.
-- @module latent.repl
local chunk = require "latent.repl.chunk"
local prefix_of = require("latent.help.comments").prefix_of
local complete = require "latent.repl.complete"
local core = require "latent.core"
local guard = require "latent.tools.guard"
local help = require "latent.help"
local history = require "latent.repl.history"
local kept = require "latent.repl.kept"
local line = require "latent.repl.line"
local new_scope = require("latent.repl.scope").new
local printer = require "latent.repl.print"
local problems = require "latent.repl.problem"

local M = {}

local PROMPT, MORE = "> ", ">> "
local FOUND = 30 -- lines of apropos

--- What a session finds under these names, those of the reference; each is loaded when an input first mentions it.
M.provided = {}
for _, module in ipairs(require("latent.help.index").modules) do M.provided[prefix_of(module)] = module end

-- Taken now: a line at the prompt may overwrite any field of any module.
local own, user, text_of, error_text = guard.own, guard.user, printer.text, guard.error_text
local help_text, find_about, name_of = help.text, help.apropos, help.name_of
local compile, compile_script, append, write, flush = chunk.compile, chunk.compile_script, history.append, line.write,
  line.flush
local load_kept, caught, lines_of = kept.load, problems.caught, problems.lines
local execute, clock, processor_time, run_file = os.execute, core.clock, os.clock, dofile
local stdout, stderr = io.stdout, io.stderr
local interruptible, pending, clear_signal, isatty = core.interruptible, core.pending, core.clear_signal, core.isatty

local function pack_values(...) return {n = select("#", ...), ...} end

-- ---- computing and printing ----

-- Whether a signal came that ends the program.
local leaving = false

-- Runs f, which runs code of the user, where Ctrl-C interrupts it. Returns its values packed; or nil and the problem
-- (of latent.repl.problem), nil where it was interrupted.
local function guarded(f)
  local outcome = pack_values(select(2, user(interruptible, f, caught)))
  local signal = pending()
  clear_signal()
  leaving = leaving or (signal or "INT") ~= "INT"
  if outcome[1] == true then return {n = outcome.n - 1, table.unpack(outcome, 2, outcome.n)} end
  return nil, not signal and outcome[2] or nil
end

-- A value that can draw itself does so where somebody looks. Returns false where it cannot.
local function is_drawn(value)
  local meta = isatty(1) and debug.getmetatable(value)
  local draw = type(meta) == "table" and rawget(meta, "__display")
  if not draw then return false end
  flush()
  local ok, drawn, message = user(draw, value)
  if not (ok and drawn) then
    write(text_of(value, name_of), " (", error_text(ok and message or drawn), ")\n")
  end
  return true
end

-- Nothing is said of the nil where a message would have been, nor of the file that io.write gives.
local function worth_showing(values)
  while values.n > 1 and values[values.n] == nil do values.n = values.n - 1 end
  if values.n == 1 and (rawequal(values[1], stdout) or rawequal(values[1], stderr)) then values.n = 0 end
  return values
end

-- What a session is seen by, where it is the prompt.
local terminal = {name = "prompt"}

function terminal.show(values)
  for i = 1, values.n do
    if not is_drawn(values[i]) then write(text_of(values[i], name_of), "\n") end
  end
  flush()
end

function terminal.report(problem)
  if not problem then
    write(isatty(0) and "\n" or "", "interrupted\n") -- the terminal has shown ^C
  else
    write(table.concat(lines_of(problem), "\n"), "\n")
  end
end

-- ---- the session ----

local Session = {}
Session.__index = Session

-- ---- what is no Lua ----

local function shell(command)
  flush()
  local ok, how, code = execute(command)
  if not ok then write(how == "signal" and "signal " or "exit status ", tostring(code), "\n") end
end

-- `exit` or `quit`, also as a call, where no variable has that name.
local function is_farewell(source, scope)
  local word = source:match "^%s*(%a+)[%s();]*$"
  return (word == "exit" or word == "quit") and scope.value(word) == nil
end

local function duration(seconds)
  if seconds >= 1 then return ("%.3g s"):format(seconds) end
  return seconds >= 1e-3 and ("%.3g ms"):format(seconds * 1e3) or ("%.3g us"):format(seconds * 1e6)
end

-- The Lua behind `%time`, which keeps its columns; or nil and what is wrong with the command.
local function timed(source)
  local head, word, rest = source:match "^(%s*%%(%a*))(.*)$"
  if word ~= "time" then return nil, ("%%%s: there is %%time code, and no other such command\n"):format(word) end
  if not rest:find "%S" then return nil, "%time: expected Lua code behind it\n" end
  return (" "):rep(#head) .. rest
end

local function keep(scope, values)
  if values.n > 0 and values[1] ~= nil then rawset(scope.environment, "_", values[1]) end
end

-- Computes Lua; true where it wants more lines.
local function compute(session, source, is_timed)
  local scope, face = session.scope, session.face
  local f, message, more = compile(source, face.name, scope)
  if not f and more then return true end
  if not f then
    face.report(problems.of(message))
    return false
  end
  local wall, processor = clock(), processor_time()
  local values, problem = guarded(f)
  wall, processor = clock() - wall, processor_time() - processor
  if values and values.n > 0 then
    keep(scope, values)
    if not more then -- a semicolon at the end keeps quiet
      values, problem = guarded(function() face.show(worth_showing(values)) end)
    end
  end
  if not values then face.report(problem) end
  if is_timed then write("wall ", duration(wall), ", processor ", duration(processor), "\n") end
  flush()
  return false
end

local function enter(session, source)
  local command = source:match "^%s*!(.*)$"
  if command then
    shell(command)
  elseif is_farewell(source, session.scope) then
    leaving = true
  elseif source:find "^%s*%%" then
    local code, message = timed(source)
    if code then return compute(session, code, true) end
    write(message)
  else
    return compute(session, source)
  end
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

--- Compiles a piece of code as the prompt does.
-- @tparam string source
-- @tparam string name of the chunk
-- @treturn ?function whose values `show` prints
-- @treturn ?string message
-- @treturn ?boolean whether a semicolon at its end asks for silence
function Session:compile(source, name) return compile(source, name, self.scope) end

--- Compiles a script from a pipe, which has what the prompt has.
-- @tparam string source
-- @tparam string name of the chunk
-- @treturn ?function whose values `show` prints
-- @treturn ?string message
-- @treturn ?boolean with a message, whether more lines could complete the source
function Session:compile_script(source, name) return compile_script(source, name, self.scope) end

--- Loads a script whose locals the session keeps.
-- @tparam string path
-- @treturn ?function
-- @treturn ?string message
function Session:load(path) return load_kept(path, self.scope) end

--- Prints values as the prompt does.
-- @tparam table values with their number `n`
function Session:show(values) own(self.face.show, worth_showing(values)) end

--- Keeps the first of some values as `_`, as the prompt does.
-- @tparam table values with their number `n`
function Session:keep(values) keep(self.scope, values) end

--- Whether a piece of code asks it to end, `exit` or `quit`.
-- @tparam string source
-- @treturn boolean
function Session:is_farewell(source) return is_farewell(source, self.scope) end

--- Whether it was asked to end: by `exit`, or by a signal.
function Session.is_leaving() return leaving or (pending() or "INT") ~= "INT" end

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

--- Makes Ctrl-C interrupt, from now on, what the session computes.
function Session.begin()
  watch_coroutines()
  debug.sethook() -- a script before it may have left one
  core.trap("INT", "TERM", "HUP")
end

--- Closes the `<close>` variables, the latest first.
function Session:finish()
  own(function()
    clear_signal() -- the one that ends the session
    local open = self.scope.closing()
    while #open > 0 do
      local value = table.remove(open)
      local done, problem = guarded(function() debug.getmetatable(value).__close(value, nil) end)
      if not done then self.face.report(problem) end
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

-- Scripts keep their locals here; `dofile()` itself reads standard input.
local function add_dofile(scope)
  rawset(scope.environment, "dofile", function(path)
    if type(path) ~= "string" then return run_file(path) end
    local f, message = load_kept(path, scope)
    if not f then error(message, 0) end
    return f()
  end)
end

M.greeting = [[
Expressions print their value, and _ holds the last one. Tab completes names, methods, options and files.
  help "conv2d"    help(nn.Linear)    help(plot)     what a function, layer or module does
  apropos "pool"                                     searches names and texts
  plot.lines{...}                                    draws in the terminal, or opens a window
  dofile "script.lua"                                runs a script and keeps its locals
  %time f()    !ls    exit                           how long it takes; the shell; leaves, as Ctrl-D does
A local stays for the lines that follow. One that is <const> keeps its value until it is declared again, and so does
one that is <close>, which is closed when the session ends. A semicolon at the end keeps a value from being printed.
Here are lt, nn, optim, data, plot and the other modules (help "lt" names them). Ctrl-C interrupts; a third
one ends latent where Lua itself cannot be interrupted.]]

--- A session without a terminal: `enter` lines, then `finish`.
-- @tparam ?table face what it is seen by (default: the terminal's): `name` of its chunks in messages, functions
-- `show(values)`, which runs where Ctrl-C interrupts, and `report(problem)` of latent.repl.problem, nil for an
-- interruption
-- @treturn Session field `scope` (of latent.repl.scope)
function M.session(face)
  local scope = new_scope(_G, M.provided)
  add_help(scope.environment)
  add_dofile(scope)
  return setmetatable({scope = scope, face = face or terminal}, Session)
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

local function read_all(session, read, remember, path)
  local previous
  while true do
    local text = read_input(session, read)
    if text == nil or session.is_leaving() then break end
    clear_signal()
    if text and text:find "%S" and text ~= previous then
      remember(text)
      pcall(append, path, text)
      previous = text
    end
  end
end

local function run(session)
  local read, remember, editor = line.reader(complete.new(session.scope))
  local path = editor and history.path()
  for _, text in ipairs(history.load(path)) do remember(text) end
  session.begin()
  if isatty(0) then write(require("latent")._VERSION, ", ", _VERSION, '. help() tells more, Ctrl-D leaves.\n') end
  read_all(session, read, remember, path)
  if isatty(0) then write "\n" end
  session:finish()
  clear_signal()
  core.untrap()
end

--- Runs the prompt until the end of the input.
-- @tparam ?Session session
function M.run(session)
  local ok, message = own(run, session or M.session())
  if not ok then error(message, 0) end
end

return M
