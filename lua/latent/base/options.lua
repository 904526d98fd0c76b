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

--- A list, and what stands beside its items by name: {1, 2, keepdim = true} as {1, 2} and {keepdim = true}. Where that
-- is no such thing, `core.check_list` refuses the names.
-- @param value
-- @return the list, or the value where it is no table or has no names
-- @treturn table the names
function M.separate(value)
  if type(value) ~= "table" or #value == 0 then return value, {} end
  local list, names = {}, {}
  for key, item in pairs(value) do
    if type(key) == "string" and not (key == "n" and item == #value) then names[key] = item else list[key] = item end
  end
  return next(names) and list or value, names
end

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

-- ---- kinds: what an option takes ----
-- A kind is a table {type, words, check}: the type that editors are told, the words of messages and help, and a
-- function (where, value) that returns the value, perhaps in another form, or raises "where: expected ..., got ...".

--- Makes a kind.
-- @tparam string type_name as comments write types: "number", "{int,...}"
-- @tparam string|function words "a whole number"; or what gives them for a value (nil: in general)
-- @tparam function fit the value as the function wants it; nil where it is of another kind
-- @treturn table
function M.kind(type_name, words, fit)
  local function said(value) return type(words) == "string" and words or words(value) end
  return {type = type_name, words = said, check = function(where, value)
    local fitted = fit(value)
    if fitted == nil then
      core.raise(("%s: expected %s, got %s"):format(where, said(value), M.describe(value)))
    end
    return fitted
  end}
end

--- The kind of one of several words.
-- @tparam {string,...} choices
-- @treturn table with the words as `choices`, which completion offers
function M.one_of(choices)
  local quoted, known = {}, {}
  for i, word in ipairs(choices) do quoted[i], known[word] = ('"%s"'):format(word), word end
  local words = (#quoted > 1 and table.concat(quoted, ", ", 1, #quoted - 1) .. " or " or "") .. quoted[#quoted]
  local kind = M.kind(table.concat(quoted, "|"), words, function(value) return known[value] end)
  kind.choices = choices
  return kind
end

local FINITE = (2 - 2.0 ^ -52) * 2.0 ^ 1023

local function whole(words, least)
  return M.kind("int", words, function(value)
    local integer = type(value) == "number" and math.tointeger(value)
    return integer and integer >= least and integer or nil
  end)
end

local function range(words, least, most)
  return M.kind("number", function(value)
    return (value == math.huge and "a finite number " or "a number ") .. words
  end, function(value) return type(value) == "number" and value >= least and value <= most and value or nil end)
end

local KINDS = {
  any = M.kind("any", "", function(value) return value end),
  integer = whole("a whole number", math.mininteger),
  size = whole("a whole number of at least 0", 0),
  count = whole("a whole number of at least 1", 1),
  positive = range("above 0", 2.0 ^ -1074, FINITE),
  ["not negative"] = range("of at least 0", 0, FINITE),
  ["at least 0"] = M.kind("number", "a number of at least 0", function(value)
    return type(value) == "number" and value >= 0 and value or nil
  end),
  share = range("from 0 to 1", 0, 1),
  step = range("of at least 1", 1, math.huge),
  finite = M.kind("number", function(value) return type(value) == "number" and "a finite number" or "a number" end,
    function(value) return type(value) == "number" and value - value == 0 and value or nil end),
}
KINDS.tensor = {type = "Tensor", words = function() return "a tensor" end,
  check = function(where, value) return core.check_tensor(value, where) end}
for _, name in ipairs{"boolean", "function", "number", "string", "table"} do
  KINDS[name] = M.kind(name, "a " .. name, function(value) if type(value) == name then return value end end)
end
KINDS.boolean.choices = {true, false}
KINDS.list = {type = "table", words = function() return "a list" end, check = function(where, value)
  if type(value) ~= "table" then core.raise(("%s: expected a list, got %s"):format(where, M.describe(value))) end
  return core.check_list(value, where)
end}

--- Raises "name: option: expected ..., got ..." unless a value has the wanted type.
-- @tparam string name of the function
-- @tparam string option
-- @param value
-- @tparam string|table wanted a Lua type, "integer", "size" (integer of at least 0), "count" (of at least 1),
-- "positive" (finite number above 0), "not negative" (finite number of at least 0), "finite" (number, neither
-- infinite nor NaN), "at least 0" (number, perhaps infinite), "share" (number from 0 to 1), "step" (number of at
-- least 1), "list" (a table without names), "tensor"; or a kind
-- @return the value; of "integer", "size" and "count" as an integer
function M.expect(name, option, value, wanted)
  return (KINDS[wanted] or wanted).check(name .. ": " .. option, value)
end

-- ---- declarations ----

--- The declared options of functions, by the documented name of the function: lists of {name, kind, default, text,
-- required}.
M.declared = {}

local function complete(rows)
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = {name = row[1], kind = KINDS[row[2]] or row[2], default = row[3], text = row[4] or "",
      required = row.required}
  end
  return list
end

-- A default that is a table is the call's own.
local function fresh(default)
  if type(default) ~= "table" then return default end
  local copy = {}
  for key, value in pairs(default) do copy[key] = value end
  return copy
end

--- What reads options that are not those of a function: of a series, say; see `declare`.
-- @treturn function (options, name in place of the declared one)
function M.reader(name, rows)
  local names, list = {}, complete(rows)
  for i, row in ipairs(list) do names[i] = row.name end
  return function(options, called)
    called = called or name
    options = M.check(called, options, names)
    local values = {}
    for _, row in ipairs(list) do
      local value = options[row.name]
      if value == nil then value = fresh(row.default) end
      if value ~= nil or row.required then value = M.expect(called, row.name, value, row.kind) end
      values[row.name] = value
    end
    return values
  end
end

--- Declares the options that a function takes: names, checks, messages, help and annotations come from here.
-- @tparam string name of the function
-- @tparam {table,...} rows one an option: {name, kind, default, text for the help}, with `required = true` where it
-- must be given; the kind is a word that `expect` knows ("any" takes everything) or a kind, through which the default
-- goes too
-- @tparam ?string documented the function's name in the reference, where messages have another
-- @treturn function checks the options of a call and returns a new table of them, defaults filled in
function M.declare(name, rows, documented)
  M.declared[documented or name] = complete(rows)
  return M.reader(name, rows)
end

local function brief(value)
  if type(value) == "table" then
    local list = {}
    for i, part in ipairs(value) do list[i] = brief(part) end
    return "{" .. table.concat(list, ", ") .. "}"
  end
  if type(value) ~= "number" then return M.describe(value) end
  return (core.plainly(string.format, "%.14g", value):gsub("e([+-])0+", "e%1"):gsub("e%+", "e"))
end

--- What the help says of a declared option.
-- @tparam table row one of `declared`
-- @treturn string "beta = 1"; the name alone where there is no default
-- @treturn string what it takes and what it is
function M.said(row)
  local head = row.default ~= nil and ("%s = %s"):format(row.name, brief(row.default)) or row.name
  local words = row.kind.words()
  if type(row.default) == "boolean" then words = "" end
  return head, words .. (words ~= "" and row.text ~= "" and "; " or "") .. row.text
end

return M
