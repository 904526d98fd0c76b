--- The command `latent`.
-- @module latent.tools.command
local guard = require "latent.tools.guard"

local M = {}

local USAGE = [[
usage: latent                       the prompt
       latent [options] script.lua [arguments]
       latent doctor                looks whether everything is there that the library needs
       latent run script.lua ...    the same as latent script.lua ...
       latent runs [script]         what the experiments in runs/ (or --out FOLDER) were given and have found
       latent compare RUN RUN ...   options, numbers and curves of runs side by side
       latent sweep script.lua --beta 1e-3,0.01 --seed 1..3 [--jobs 2] [--random 10]
                                    runs an experiment with many settings; what is done is not done again
       latent kernel install        makes Jupyter's notebooks run Lua with it; latent kernel --help tells more
       latent report [FOLDER]       one page of the newest run of each script, FOLDER/report.html
       latent explorer [WEIGHTS...] a page to explore trained models in, runs/explorer.html

  -e CODE         runs a piece of Lua as the prompt does: with its names, and printing what it gives
  -i              the prompt after the script or the code, with their locals
  -v, --version   versions
  -h, --help      this text
  -               a script from standard input, as where that is no terminal; it has the prompt's names
Scripts are plain Lua that finds the library: local lt = require "latent".
At the prompt lt, nn, optim, data, plot and the other modules are there already, and help.]]

-- Before any code of the user's runs.
local stderr = io.stderr
local write_to, traceback_of = stderr.write, debug.traceback

local function fail(message)
  write_to(stderr, "latent: ", message, "\n")
  return 1
end

-- What calls the script is of no interest.
local function trimmed(traceback)
  return (traceback:gsub("\n%s+%[C%]: in function 'xpcall'.*$", "")
    :gsub("\n[^\n]*latent/repl/chunk[^\n]*", ""))
end

-- What a session does in the message handler: it looks at the locals of scripts.
local keep_locals = function() end

local function traceback(value)
  keep_locals()
  local message = guard.error_text(value)
  if type(value) ~= "string" and not guard.has_text(value) then return message end
  local text = traceback_of(message, 2)
  local ok, short = guard.own(trimmed, text)
  return ok and short or text
end

-- Runs a chunk as lua5.4 does: message and traceback on standard error. Returns the exit status and, packed, what
-- the chunk gives.
local function run(f, message, ...)
  if not f then return fail(message) end
  local results = table.pack(xpcall(f, traceback, ...))
  if not results[1] then return fail(guard.error_text(results[2])) end
  return 0, {n = results.n - 1, table.unpack(results, 2, results.n)}
end

-- By hand, as lua5.4 reads its own: what follows the script is the script's, "-e" may be glued to its Lua, and all of
-- it works where no rock is installed; argparse looks for options behind the script too.
-- The arguments' options, up to the script: {code = {...}, prompt = true, script = path, rest = index}.
local function parse(arguments)
  local o, i = {code = {}}, 1
  while arguments[i] do
    local word = arguments[i]
    if word == "-e" or (word:find "^%-e" and #word > 2) then
      local code = #word > 2 and word:sub(3) or arguments[i + 1]
      if not code then return nil, "-e: expected a piece of Lua" end
      o.code[#o.code + 1] = code
      i = i + (#word > 2 and 1 or 2)
    elseif word == "-i" then
      o.prompt, i = true, i + 1
    elseif word == "-v" or word == "--version" then
      o.version, i = true, i + 1
    elseif word == "-h" or word == "--help" then
      o.help, i = true, i + 1
    elseif word:sub(1, 1) == "-" and word ~= "-" and word ~= "--" then
      return nil, ("unknown option %s (latent --help)"):format(word)
    else
      o.script = word == "--" and i + 1 or i
      break
    end
  end
  return o
end

-- The global `arg` as lua5.4 makes it: the script at 0, what stood before it at negative places.
local function set_arg(arguments, script)
  local shifted = {}
  for i = -10, #arguments do
    if arguments[i] then shifted[i - script] = arguments[i] end
  end
  rawset(_G, "arg", shifted)
  return table.unpack(shifted)
end

local function new_session()
  keep_locals = require("latent.repl.kept").at_error
  return require("latent.repl").session()
end

-- Runs a chunk, and has a session show what it gives.
local function run_shown(session, f, message, silent, ...)
  local status, values = run(f, message, ...)
  if status == 0 then session:keep(values) end
  if status == 0 and not silent then session:show(values) end
  return status
end

local BRACKETS = {["("] = 1, ["{"] = 1, ["["] = 1, [")"] = -1, ["}"] = -1, ["]"] = -1}

-- Whether a script makes a variable of this name: declares it, assigns to it, or defines it as a function.
local function makes_variable(source, name)
  local tokens, depth = {}, 0
  for _, token in ipairs(require("latent.repl.lexer").tokens(source)) do
    if token.kind ~= "comment" then tokens[#tokens + 1] = token end
  end
  for i, token in ipairs(tokens) do
    local before, behind = tokens[i - 1] and tokens[i - 1].text, tokens[i + 1] and tokens[i + 1].text
    if token.kind == "operator" then depth = depth + (BRACKETS[token.text] or 0) end
    if token.kind == "name" and token.text == name and depth == 0 and before ~= "." and before ~= ":"
      and (before == "local" or before == "function" or before == "," or behind == "=" or behind == ",") then
      return true
    end
  end
  return false
end

-- A script from standard input up to a line that says exit or quit, as the prompt takes it: not within a string, a
-- comment or a block that is still open there, nor where the script has a variable of that name.
local function before_farewell(text, session)
  if text:sub(1, 1) == "\27" then return text end
  local at = 1
  for line, following in text:gmatch "([^\n]*)\n?()" do
    if session:is_farewell(line) then
      local before = text:sub(1, at - 1)
      local _, _, is_open = session:compile_script(before, "stdin")
      if not is_open and not makes_variable(before, line:match "%a+") then return before end
    end
    at = following
  end
  return text
end

local function run_script(arguments, index, session)
  local path = arguments[index]
  if path == "-" then
    session = session or new_session()
    local f, message = session:compile_script(before_farewell(io.read "a", session), "stdin")
    return run_shown(session, f, message, false, set_arg(arguments, index))
  end
  local f, message
  if session then f, message = session:load(path) else f, message = loadfile(path) end
  return (run(f, message, set_arg(arguments, index)))
end

local function version_text()
  local lt = require "latent"
  local info = lt.info()
  return ("%s, %s, kernels %s, %d thread%s"):format(lt._VERSION, _VERSION, info.isa, info.threads,
    info.threads == 1 and "" or "s")
end

-- The words that are no script (a file of such a name is `latent ./doctor`).
local WORDS = {doctor = "latent.tools.doctor", kernel = "latent.tools.kernel",
  runs = "latent.experiment.command", compare = "latent.experiment.command",
  sweep = "latent.experiment.command", report = "latent.experiment.command", explorer = "latent.explorer.command"}
local HELPS_ITSELF = {kernel = true, explorer = true}

-- What the usage says of a word: its lines, and those that go on with it.
local function usage_of(word)
  local lines, on = {}, false
  for line in USAGE:gmatch "[^\n]+" do
    if line:find "^%s+latent " then on = line:match "^%s+latent (%a+)" == word
    elseif not line:find "^%s" or line:find "^  %-" then on = false end
    if on then lines[#lines + 1] = #lines == 0 and line:gsub("^%s+", "usage: ") or line end
  end
  return table.concat(lines, "\n")
end

-- What is wrong with a first argument that looks like a word of the command and is neither one nor a file.
local function unknown_word(word)
  if word == "-" or word == "run" or word == "" or word:find "[./]" then return nil end
  local file = io.open(word, "rb")
  if file then
    file:close()
    return nil
  end
  local words = {"run"}
  for known in pairs(WORDS) do words[#words + 1] = known end
  table.sort(words)
  local near = require("latent.core").nearest(word, words)
  return ("%s: neither a command nor a file%s (latent --help)"):format(word,
    near and (', did you mean "%s"?'):format(near) or "")
end

local function wants_help(argument) return argument == "--help" or argument == "-h" end

local INTERRUPTED = 130 -- what a shell has for a program that Ctrl-C ended

-- What the library raised at the line of its user, which here is the command: its message is for the person who typed
-- it, and a traceback says nothing more.
local function plain(value)
  local message = guard.error_text(value)
  local own = message:match "bin/latent:%d+: (.*)$"
  return own and {message = own} or message:find "interrupted!?$" and {status = INTERRUPTED, message = "interrupted"}
    or {message = traceback(value)}
end

local function run_word(arguments, index)
  local word = arguments[index]
  if wants_help(arguments[index + 1]) and not HELPS_ITSELF[word] then
    print(usage_of(word))
    return 0
  end
  local module = require(WORDS[word])
  local words = table.move(arguments, index + 1, #arguments, 1, {})
  local ok, status = xpcall(module[word] or module.main, plain, words)
  if ok then return status end
  fail(("%s: %s"):format(word, status.message))
  return status.status or 1
end

--- Runs the command.
-- @tparam {string,...} arguments as in the global `arg`
-- @treturn int the exit status
function M.main(arguments)
  local o, message = parse(arguments)
  if not o then return fail(message) end
  if o.help then
    print(USAGE)
    return 0
  elseif o.version then
    print(version_text())
    return 0
  elseif o.script and WORDS[arguments[o.script]] then
    return run_word(arguments, o.script)
  elseif o.script and arguments[o.script - 1] ~= "--" and unknown_word(arguments[o.script]) then
    return fail(unknown_word(arguments[o.script]))
  elseif o.script and arguments[o.script] == "run" and wants_help(arguments[o.script + 1]) then
    print(usage_of "run")
    return 0
  elseif o.script and arguments[o.script] == "run" then
    o.script = o.script + 1
    if not arguments[o.script] then return fail "run: expected a script, such as latent run script.lua" end
  end
  if arguments[o.script] == "" then return fail "expected a script, got an empty name" end
  local status, session = 0, (#o.code > 0 or o.prompt) and new_session() or nil
  for _, code in ipairs(o.code) do
    if session:is_farewell(code) then
      session:finish()
      return 0
    end
    local f, why, silent = session:compile(code, "(command line)")
    status = run_shown(session, f, why, silent)
    if status ~= 0 then break end
  end
  if status == 0 and o.script and arguments[o.script] then
    status = run_script(arguments, o.script, o.prompt and session)
  end
  local bare = #o.code == 0 and not o.script
  if bare and not o.prompt and not require("latent.core").isatty(0) then return run_script({[0] = "-"}, 0) end
  if o.prompt or bare then
    require("latent.repl").run(session)
  elseif session then
    session:finish()
  end
  return status
end

return M
