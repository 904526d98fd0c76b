--- What an exercise said, as `make report` wants it: its sentences, tables and figures, and how and where it ran.
-- The record lies in runs/record/ and is written anew with every item, so that a script needs no last line for it.
local lt, files, json = require "latent", require "latent.files", require "latent.json"
local core, gnuplot = require "latent.core", require "latent.plot.gnuplot"

local M = {}

local record, path_of -- of this process, if it is an exercise
local start = lt.clock()

-- One line of a file that matches, "" where there is none.
local function line_of(path, pattern)
  local file = io.open(path, "rb") -- what lies in /proc has no size, which files.read_all wants
  local text = file and file:read "a" or ""
  if file then file:close() end
  return text:match(pattern) or ""
end

local function said_by(command) return (files.capture(command .. " 2>/dev/null") or ""):match "[^\n]*" end

local function machine()
  local cpu = line_of("/proc/cpuinfo", "model name%s*:%s*([^\n]+)")
  local system = line_of("/etc/os-release", 'PRETTY_NAME="?([^"\n]+)')
  return {cpu = cpu ~= "" and cpu or said_by "uname -m", cores = said_by "getconf _NPROCESSORS_ONLN",
    system = ("%s (%s)"):format(system ~= "" and system or "unknown", said_by "uname -srm")}
end

local function versions()
  local lowest = -1
  while arg[lowest - 1] do lowest = lowest - 1 end
  local lua = (files.capture(files.quote(arg[lowest]) .. " -v 2>&1") or ""):match "^Lua [%d.]+"
  return {latent = lt._VERSION, lua = lua or _VERSION, blas = core.blas(),
    gnuplot = said_by(files.quote(gnuplot.executable()) .. " --version")}
end

--- The number of an exercise, from the name of its script; nil for other scripts.
function M.number(script) return math.tointeger(tonumber((script or ""):match "^(%d%d)_")) end

--- The name of a record below runs/.
function M.name(number) return ("record/ex%d.json"):format(number) end

--- Begins the record of the script that runs, if that is an exercise.
-- @tparam table o its settings
-- @tparam function path of a name: where that lies in runs/
function M.begin(o, path)
  local script = arg and (arg[0] or ""):match "([^/]*)%.lua$"
  local number = M.number(script)
  if not number then return end
  local settings = {}
  for name, value in pairs(o) do
    if type(value) ~= "table" then settings[name] = value end
  end
  path_of = path
  record = {script = script, started = os.time(), settings = settings, threads = lt.threads(), isa = lt.info().isa,
    items = json.array(), weights = json.array()}
end

--- Adds something that was said: {kind = "text", ...}, and writes the record.
-- @treturn boolean whether it could be written; or a message
function M.add(item)
  if not record then return true end
  if not record.machine then record.machine, record.versions = machine(), versions() end
  record.items[#record.items + 1] = item
  record.seconds = lt.clock() - start
  return files.write_atomic(path_of(M.name(M.number(record.script))), json.encode(record, {indent = 1, nan = "null"}))
end

--- Notes weights that were trained or read.
-- @tparam table made name; trained, whether here; recipe, seed, epochs, data if they are known
function M.weights(made)
  if record then record.weights[#record.weights + 1] = made end
end

return M
