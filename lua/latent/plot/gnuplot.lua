--- Runs gnuplot: one process a figure, its script through a pipe, its output checked before it is kept.
-- Nothing is left behind on failure. Failures of the outside world are returned as `nil, message`.
-- @module latent.plot.gnuplot

local core = require "latent.core"
local files = require "latent.base.files"
local output = require "latent.base.files.output"

local M = {}

local MOST_MESSAGE = 300 -- characters quoted from gnuplot

-- What gnuplot gets of the environment when it draws a file: where programs, libraries and fonts are. All else
-- (GNUTERM, GNUPLOT_LIB, GDFONTPATH, the locale, the time zone ...) would change the picture or break it.
local KEPT = {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "FONTCONFIG_SYSROOT",
  "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS"}
-- A window needs what only the desktop knows: there, what gnuplot itself would read is taken away.
local REMOVED = {"GNUTERM", "GNUPLOT_LIB", "GNUPLOT_FONTPATH", "GNUPLOT_DEFAULT_GDFONT", "GNUPLOT_PS_DIR",
  "GDFONTPATH",
  "GDFONTNAME", "GNUHELP", "FIT_LOG", "FIT_SCRIPT", "PAGER", "LD_PRELOAD"}

local MOST_SECONDS = 120 -- of processor time: figures take one, and one that never ends is stopped
local OUT_OF_TIME = 24 -- the signal (SIGXCPU) that stops it

--- The shell's words before gnuplot's name. A preloaded sanitizer, too, is left out: it would report gnuplot's leaks.
local function environment(window)
  if window then
    return ("unset %s; exec "):format(table.concat(REMOVED, " "))
  end
  local words = {("{ ulimit -c 0; ulimit -t %d; } 2>/dev/null; exec env -i"):format(MOST_SECONDS)}
  for i, name in ipairs(KEPT) do
    words[i + 1] = ('${%s+"%s=$%s"}'):format(name, name, name)
  end
  return table.concat(words, " ") .. " "
end

--- The gnuplot to run: LATENT_GNUPLOT, or the one on the PATH.
-- @treturn string
function M.executable()
  local named = os.getenv "LATENT_GNUPLOT"
  return named and named ~= "" and named or "gnuplot"
end

--- Whether the installed gnuplot can draw with a terminal, as "qt".
-- @tparam string terminal
-- @treturn boolean
function M.has_terminal(terminal)
  local command = environment() .. files.quote(M.executable()) .. " -d -e 'set terminal' 2>&1 </dev/null"
  local pipe = files.has_program(M.executable()) and io.popen(command)
  if not pipe then
    return false
  end
  local listing = pipe:read "a"
  pipe:close()
  return listing:find("\n%s+" .. terminal .. "%s") ~= nil
end

--- The first error in what gnuplot wrote to its error stream.
local function first_error(path)
  local file = io.open(path, "rb")
  local text = file and file:read(20000) or ""
  if file then
    file:close()
  end
  local message = text:match "line %d+: (%f[^%s].-)\n" or text:match "%S[^\n]*"
  for found in text:gmatch "line %d+: ([^\n]+)" do
    if not found:find "^warning" then
      message = found
      break
    end
  end
  return message and message:sub(1, MOST_MESSAGE)
end

local function read_ends(path, count)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local first = file:read(count) or ""
  local size = file:seek "end"
  file:seek("set", math.max(0, size - count))
  local last = file:read(count) or ""
  file:close()
  return first, last, size
end

local COMPLETE = {
  png = function(first, last)
    return first:sub(1, 8) == "\137PNG\r\n\26\n" and last:find("IEND", 1, true)
  end,
  svg = function(first, last)
    return first:find("<svg", 1, true) and last:find("</svg>", 1, true)
  end,
  pdf = function(first, last)
    return first:sub(1, 4) == "%PDF" and last:find("%%EOF", 1, true)
  end,
  sixel = function(first, last)
    return first:find("\27P", 1, true) and last:find("\27\\", 1, true)
  end,
  text = function(first)
    return first:find "%S"
  end,
}

local function check_output(path, format)
  local first, last, size = read_ends(path, 400)
  if not first or size == 0 then
    return nil, "gnuplot wrote nothing"
  elseif not COMPLETE[format](first, last) then
    return nil, ("gnuplot wrote an incomplete %s file"):format(format)
  end
  return true
end

--- The picture's bytes go where they are wanted: a file beside it, or a device.
local function copy(from, file)
  local bytes, message = files.read_all(from)
  if not bytes then
    return nil, message
  end
  return core.ignore_sigpipe(file.write, file, bytes)
end

local function write_file(path, bytes)
  local file, message = io.open(path, "wb")
  if not file then
    return nil, message
  end
  local ok, why = file:write(bytes)
  local closed, why_closed = file:close()
  if not ok or not closed then
    return nil, ("%s: %s"):format(path, why or why_closed)
  end
  return true
end

--- Sends the script. The pipe is closed inside, as closing it is what writes the last part; `exec` keeps the
-- exit status gnuplot's.
local function run(script, errors, window)
  local command = ("%s%s -d - >/dev/null 2>%s"):format(
    environment(window), files.quote(M.executable()), files.quote(errors))
  local pipe, message = io.popen(command, "w")
  if not pipe then
    return nil, "cannot start gnuplot: " .. tostring(message)
  end
  local ok, how, code = core.ignore_sigpipe(function()
    pipe:write(script)
    return pipe:close()
  end)
  if ok then
    return true
  end
  local why = "stopped before it had read its script" -- closing the pipe failed: no status
  if how == "signal" and code == OUT_OF_TIME then
    why = ("was stopped after %d seconds"):format(MOST_SECONDS)
  elseif how == "exit" or how == "signal" then
    why = ("ended with %s %d"):format(how == "exit" and "status" or how, code)
  end
  return nil, ("%s %s: %s"):format(M.executable(), why, first_error(errors) or "no message")
end

local function not_installed(executable)
  if (os.getenv "LATENT_GNUPLOT" or "") ~= "" then
    return ("%s: not found or not executable (LATENT_GNUPLOT names it)"):format(executable)
  end
  return "gnuplot is not installed: apt-get install gnuplot-nox (or set LATENT_GNUPLOT to its path)"
end

--- Files that are written whole beside the figure: a script that can be run by hand in its folder, and its data.
local function write_kept(path, build, add)
  local stem, base = path:gsub("%.%w+$", ""), path:match "[^/]*$"
  local name = base:gsub("%.%w+$", "")
  local script, data = build(base, name .. ".dat")
  local file = name .. ".gp"
  local shown = file:find "^[%w_][%w_.-]*$" and file or files.quote("./" .. file)
  local header = ("# Draws %s. Run it in its folder: gnuplot -d %s\n"):format(
    (base:gsub("%c", " ")), (shown:gsub("%c", " ")))
  for _, one in ipairs{{stem .. ".dat", data}, {stem .. ".gp", header .. script}} do
    local out, message = add(one[1])
    local ok
    if out then
      ok, message = out.file:write(one[2])
    end
    if not ok then
      return nil, message
    end
  end
  return true
end

--- Draws into a file, which takes its place after those that are kept beside it: all of them, or none.
local function draw_with(outputs, path, format, build, keep)
  local function add(name)
    local out, message = output.open(name)
    outputs[#outputs + 1] = out
    return out, message
  end
  local out, message = add(path)
  if not out then
    return nil, message
  end
  local names = {}
  for i = 1, 3 do
    names[i], message = out:scratch()
    if not names[i] then
      return nil, message
    end
  end
  local picture, data_path, errors = table.unpack(names)
  local script, data = build(picture, data_path)
  local ok
  ok, message = write_file(data_path, data)
  if ok then
    ok, message = run(script, errors)
  end
  if not ok then
    return nil, message
  end
  ok, message = check_output(picture, format)
  if not ok then
    return nil, ("%s: %s"):format(message, first_error(errors) or "no message")
  end
  if keep then
    ok, message = write_kept(path, build, add)
  end
  if ok then
    ok, message = copy(picture, out.file)
  end
  for i = #outputs, 1, -1 do
    if ok then
      ok, message = outputs[i]:commit()
    end
  end
  return ok, message
end

--- Draws a figure into a file, which appears whole or not at all. Folders that are missing are made.
-- @tparam string path the file to make
-- @tparam string format "png", "svg", "pdf", "sixel" or "text"
-- @tparam function build called with (output, data): names of the files that the script shall write and
--   read; returns the script and the data
-- @tparam boolean keep leave script and data beside the file, as path.gp and path.dat
-- @treturn ?string path; or nil and a message
function M.draw(path, format, build, keep)
  if not files.has_program(M.executable()) then
    return nil, not_installed(M.executable())
  end
  local outputs = {}
  local done, ok, message = pcall(draw_with, outputs, path, format, build, keep)
  for _, out in ipairs(outputs) do
    out:discard()
  end
  if not done then
    error(ok, 0)
  end
  return ok and path, message
end

--- Opens a window that stays when the program ends.
-- @tparam function build as for `draw`; the file of data is removed once gnuplot has read it
-- @treturn ?boolean true, or nil and a message
function M.window(build)
  if not files.has_program(M.executable()) then
    return nil, not_installed(M.executable())
  end
  local data_path, errors = os.tmpname(), os.tmpname()
  local script, data = build(nil, data_path)
  local ok, message = write_file(data_path, data)
  if ok then
    ok, message = run(script, errors, true)
  end
  os.remove(data_path)
  os.remove(errors)
  return ok, message
end

return M
