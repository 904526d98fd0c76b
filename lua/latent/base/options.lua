--- Options tables: names are checked, and a misspelt one is answered with the nearest.
-- @module latent.base.options
local core = require "latent.core"
local shapes = require "latent.base.shapes"

local M = {}

--- The word of a list that is most like the one given.
-- @function nearest
-- @tparam string word
-- @tparam {string,...} list
-- @treturn ?string nil where none is near
M.nearest = core.nearest

local LONG = 60 -- bytes of a string that a message shows

--- How any value reads in a message: `nil`, `"text"`, `3.5`, `a table`, `a tensor [2, 3]`, `a closed tensor`, what its
-- metatable's `__name` says (`a module`), or `nn.ReLU; write nn.ReLU(...)` of a class.
-- @param value
-- @treturn string
function M.describe(value)
  if core.is_tensor(value) then
    local open, shape = pcall(function() return value.shape end)
    return open and "a tensor " .. shapes.text(shape) or "a closed tensor"
  end
  local kind = type(value)
  if kind == "string" then return ("%q"):format(#value > LONG and value:sub(1, LONG) .. "..." or value) end
  if kind == "number" or kind == "boolean" or kind == "nil" then return tostring(value) end
  local class = kind == "table" and rawget(value, "__index") == value and rawget(value, "kind")
  if class then return ("nn.%s; write nn.%s(...)"):format(class, class) end
  local meta = debug.getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  name = type(name) == "string" and name or kind
  return (name:find "^[AEIOUaeiou]" and "an " or "a ") .. name
end

local MOST_SHOWN = 80

--- A name out of a file as it stands in a message: its first 80 bytes, without control characters.
-- @tparam string name
-- @treturn string
function M.shown(name)
  local text = #name > MOST_SHOWN and name:sub(1, MOST_SHOWN) .. "..." or name
  return (text:gsub("[\0-\31\127]", "?"))
end

-- The metatable of what a reader returns beside its tensors.
local BESIDE = {__name = "latent.beside"}

--- Marks a table that a reader returns beside its tensors, so that it is not taken for options:
-- `model:load_state(assert(safetensors.load(path)))` hands both results on.
-- @tparam table t a table of the caller's own
-- @treturn table t itself
function M.beside(t) return setmetatable(t, BESIDE) end

--- Whether a value was marked so.
-- @param value
-- @treturn boolean
function M.is_beside(value) return type(value) == "table" and getmetatable(value) == BESIDE end

--- Raises "name: unknown option ..." at the user's line unless every key is allowed.
-- @tparam string name of the function, for the message
-- @tparam ?table options
-- @tparam {string,...} allowed
-- @treturn table the options, an empty table for nil
function M.check(name, options, allowed)
  if options == nil then return {} end
  if type(options) ~= "table" or core.is_tensor(options) then
    core.raise(("%s: expected an options table, got %s"):format(name, M.describe(options)))
  end
  for key in pairs(options) do
    local known = false
    for _, word in ipairs(allowed) do known = known or key == word end
    if not known then
      local near = type(key) == "string" and M.nearest(key, allowed)
      core.raise(('%s: unknown option "%s"%s; options: %s'):format(name,
        (type(key) == "string" or type(key) == "number") and key or M.describe(key),
        near and (' (did you mean "%s"?)'):format(near) or "",
        #allowed > 0 and table.concat(allowed, ", ") or "none"))
    end
  end
  return options
end

-- What `expect` asks for beyond Lua's own types: the words of its message, and the least value.
local WHOLE = {
  integer = {"a whole number", math.mininteger},
  size = {"a whole number of at least 0", 0},
  count = {"a whole number of at least 1", 1},
}

-- The same for ranges of numbers: words, least and most.
local RANGE = {
  positive = {"above 0", 2.0 ^ -1074, (2 - 2.0 ^ -52) * 2.0 ^ 1023},
  ["not negative"] = {"of at least 0", 0, (2 - 2.0 ^ -52) * 2.0 ^ 1023},
  share = {"from 0 to 1", 0, 1},
  step = {"of at least 1", 1, math.huge},
}

--- Raises "name: option: expected ..., got ..." unless a value has the wanted type.
-- @tparam string name of the function
-- @tparam string option
-- @param value
-- @tparam string wanted a Lua type, "integer", "size" (integer of at least 0), "count" (of at least 1),
-- "positive" (finite number above 0), "not negative" (finite number of at least 0), "finite" (number, neither
-- infinite nor NaN), "share" (number from 0 to 1) or "step" (number of at least 1)
-- @return the value; of "integer", "size" and "count" as an integer
function M.expect(name, option, value, wanted)
  local whole, words = WHOLE[wanted], "a " .. wanted
  local ok = type(value) == wanted
  if whole then
    words = whole[1]
    local integer = type(value) == "number" and math.tointeger(value)
    ok = integer and integer >= whole[2]
    value = ok and integer or value
  elseif RANGE[wanted] then
    local range = RANGE[wanted]
    words = (value == math.huge and "a finite number " or "a number ") .. range[1]
    ok = type(value) == "number" and value >= range[2] and value <= range[3]
  elseif wanted == "finite" then
    words = type(value) == "number" and "a finite number" or "a number"
    ok = type(value) == "number" and value - value == 0
  end
  if not ok then
    core.raise(("%s: %s: expected %s, got %s"):format(name, option, words, M.describe(value)))
  end
  return value
end

return M
