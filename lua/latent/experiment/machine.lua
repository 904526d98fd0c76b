--- Where a run ran: processor, system, versions, and the state of the source tree.
-- @module latent.experiment.machine
local lt = require "latent"
local core = require "latent.core"
local files = require "latent.base.files"
local gnuplot = require "latent.plot.gnuplot"

local M = {}

-- One line of a file that matches, "" where there is none.
local function line_of(path, pattern)
  local file = io.open(path, "rb") -- what lies in /proc has no size, which files.read_all wants
  local text = file and file:read "a" or ""
  if file then file:close() end
  return text:match(pattern) or ""
end

local function said_by(command) return (files.capture(command .. " 2>/dev/null") or ""):match "[^\n]*" end

--- The words that start the interpreter which runs this script: its own options may stand before the script's name.
-- @treturn string the interpreter
function M.interpreter()
  local words, lowest = _G.arg, -1 -- the script's: the library may have globals of its own
  while words and words[lowest - 1] do lowest = lowest - 1 end
  return words and words[lowest] or "lua5.4"
end

--- The processor and the system.
-- @treturn table cpu, cores, system: texts
function M.describe()
  local cpu = line_of("/proc/cpuinfo", "model name%s*:%s*([^\n]+)")
  local system = line_of("/etc/os-release", 'PRETTY_NAME="?([^"\n]+)')
  return {cpu = cpu ~= "" and cpu or said_by "uname -m", cores = said_by "getconf _NPROCESSORS_ONLN",
    system = ("%s (%s)"):format(system ~= "" and system or "unknown", said_by "uname -srm")}
end

--- The versions of what takes part.
-- @treturn table latent, lua, blas, gnuplot: texts
function M.versions()
  local lua = (files.capture(files.quote(M.interpreter()) .. " -v 2>&1") or ""):match "^Lua [%d.]+"
  return {latent = lt._VERSION, lua = lua or _VERSION, blas = core.blas(),
    gnuplot = said_by(files.quote(gnuplot.executable()) .. " --version")}
end

--- The commit that a folder's git checkout is at.
-- @tparam string folder
-- @treturn ?table commit, and `changed`: whether files differ from it; nil where there is no git or no checkout
function M.git(folder)
  local git = "git -C " .. files.quote(folder)
  local commit = said_by(git .. " rev-parse HEAD")
  if not commit:find "^%x+$" then return nil end
  return {commit = commit, changed = said_by(git .. " status --porcelain --untracked-files=no") ~= ""}
end

return M
