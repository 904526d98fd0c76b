--- Scripts whose locals the prompt keeps: `latent -i script.lua`, and `dofile` at the prompt. A script runs as ever,
-- and what its outermost locals hold at its end, or where an error ends it, goes into the session's scope. Its
-- functions go on with their own.
-- @module latent.repl.kept
local files = require "latent.base.files"

local M = {}

local OWN = "_kept" -- the variable whose closing tells that a script ends
local getinfo, getlocal, setupvalue = debug.getinfo, debug.getlocal, debug.setupvalue

-- A call costs as many steps as its level is deep: of a stack that overflowed only its two ends are looked at.
local AN_END = 200

local running = {} -- scopes by the scripts' main functions

-- Keeps the locals of the function at a level of the stack, as the caller counts.
local function keep(level, scope)
  local i = 1
  while true do
    local name, value = getlocal(level + 1, i)
    if not name then return end
    if value ~= nil and name ~= OWN and name:sub(1, 1) ~= "(" then scope.keep(name, value) end
    i = i + 1
  end
end

-- How many levels the caller's stack has.
local function depth()
  local low, high = 1, 2
  while getinfo(high + 1, "l") do low, high = high, 2 * high end
  while low + 1 < high do
    local middle = (low + high) // 2
    if getinfo(middle + 1, "l") then low = middle else high = middle end
  end
  return low
end

-- Keeps the locals of the scripts that run: of one, or of all.
local function keep_running(only)
  if not next(running) then return end
  local last, level = depth(), 2
  while level <= last do
    if level == AN_END then level = math.max(level, last - AN_END) end
    local info = getinfo(level, "f")
    local scope = info and running[info.func]
    if scope and (not only or info.func == only) then keep(level, scope) end
    level = level + 1
  end
end

--- Keeps the locals of the scripts that run now: for a message handler, which sees them as the error found them.
function M.at_error() keep_running() end

-- The script with a variable before its own that is closed when it ends: what runs then still sees its locals. The
-- first thing that the script does is to get that variable, and the globals, from what is its _ENV until then.
local function watched(source, name, scope)
  local main
  local guard = setmetatable({}, {__close = function()
    keep_running(main)
    running[main] = nil
  end})
  main = load(("local %s <close> = _ENV() "):format(OWN) .. source, name, "t", function()
    setupvalue(main, 1, _G)
    running[main] = scope
    return guard
  end)
  return main
end

--- Loads a script as `loadfile` does.
-- @tparam string path
-- @tparam table scope of latent.repl.scope
-- @treturn ?function
-- @treturn ?string message
function M.load(path, scope)
  local plain, message = loadfile(path)
  if not plain then return nil, message end
  local source = files.read_all(path)
  if not source or source:sub(1, 1) == "\27" then return plain end
  source = source:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "")
  return watched(source, "@" .. path, scope) or plain -- one local more may be too many
end

return M
