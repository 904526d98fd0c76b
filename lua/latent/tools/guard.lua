--- What stands between a user's code and that of the command: whatever a script or a line at the prompt does to the
-- methods of strings, the command's own texts are made with Lua's; whatever a value does when it is asked for its
-- text, there is one.
--
-- All strings of a program have one metatable. The command's own code runs with a copy of it that was taken
-- before any user's code ran, the user's with what the user made of it.
-- @module latent.tools.guard
local getmetatable_of, set_metatable_of = debug.getmetatable, debug.setmetatable
local format, pack, unpack, pcall, rawget, tostring, type = string.format, table.pack, table.unpack, pcall,
  rawget, tostring, type

local M = {}

local function copy(t)
  local same = {}
  for key, value in next, t do same[key] = value end
  return same
end

local theirs = getmetatable_of ""
local ours = copy(theirs)
ours.__index = copy(string)

-- A user's code may put another metatable in the place of its own.
local function look()
  local now = getmetatable_of ""
  if now ~= ours then theirs = now end
  return now
end

local function with_ours(f, ...)
  local before = look()
  set_metatable_of("", ours)
  local results = pack(pcall(f, ...))
  set_metatable_of("", before)
  return unpack(results, 1, results.n)
end

local function with_theirs(f, ...)
  local before = look()
  set_metatable_of("", theirs)
  local results = pack(pcall(f, ...))
  look() -- Ctrl-C may have ended a function of ours inside of theirs
  set_metatable_of("", before == ours and ours or theirs)
  return unpack(results, 1, results.n)
end

--- Calls a function of the command's own, as pcall does.
-- @tparam function f
-- @param ... its arguments
-- @treturn boolean whether it did not raise
-- @return its results, or the error
-- @function own
M.own = with_ours

--- Calls a function of the user, as pcall does.
-- @tparam function f
-- @param ... its arguments
-- @treturn boolean whether it did not raise
-- @return its results, or the error
-- @function user
M.user = with_theirs

-- What Lua itself asks for is the metatable, not what `__metatable` gives in its place.
local function has_text(value)
  local meta = getmetatable_of(value)
  return type(meta) == "table" and rawget(meta, "__tostring") ~= nil
end

--- Whether a value brings a text of its own.
-- @function has_text
-- @param value
-- @treturn boolean
M.has_text = has_text

local function text_of(value)
  local ok, text = with_theirs(tostring, value)
  if ok then return text end
  return format("a %s whose __tostring raises: %s", type(value),
    type(text) == "string" and text or "a " .. type(text))
end

--- What tostring gives, also where it raises.
-- @function text
-- @param value
-- @treturn string
M.text = text_of

--- The text of an error value, as lua5.4 tells it.
-- @param value
-- @treturn string
function M.error_text(value)
  if type(value) == "string" then return value end
  return has_text(value) and text_of(value) or format("(error object is a %s value)", type(value))
end

return M
