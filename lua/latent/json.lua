--- JSON, read strictly and written predictably.
-- Reading accepts exactly RFC 8259: valid UTF-8, no trailing text, no comments, and refuses what
-- that standard leaves open (a name given twice, a lone surrogate, a number beyond a double).
-- Numbers without fraction and exponent become Lua integers where they fit, all others floats.
-- Knows nothing of tensors or files.
--
-- Written here because the well-kept readers and writers lose what is kept in it (spec/json_spec.lua shows it): dkjson
-- and lua-cjson write 14 digits, so that most doubles come back as others; lua-cjson reads integers as doubles and
-- writes names in no order; both take a name given twice, bytes that are no UTF-8 and numbers beyond a double.
-- @module latent.json

local core = require "latent.core"
local options = require "latent.base.options"
local sorted_keys = require "latent.base.sorted_keys"

-- The decimal point, the order of names and the classes of patterns are no locale's.
local plainly, raise = core.plainly, core.raise

local M = {}

--- Stands for JSON's `null`, which a Lua table cannot hold. It cannot be changed.
M.null = setmetatable({}, {
  __tostring = function() return "null" end,
  __name = "json.null",
  __newindex = function() raise "json.null: cannot be changed" end,
  __metatable = "json.null", -- setmetatable raises
})

--- How deep arrays and objects may nest, in both directions.
M.max_depth = 128

local array_mt = {__name = "json.array"}

--- Marks a table as an array, so that it is written `[...]` even when it is empty.
-- Arrays that were read carry the mark already.
-- @tparam ?table t a sequence (default: a new one)
-- @treturn table t itself
function M.array(t)
  if t ~= nil then options.expect("json.array", "t", t, "list") end
  if t == M.null then raise "json.array: t: expected a table, got json.null" end
  return setmetatable(t or {}, array_mt)
end

--- What a value that was read is in JSON.
-- @param value
-- @treturn string "object", "array", "null", "string", "number" or "boolean"
function M.type(value)
  if value == M.null then return "null" end
  if type(value) ~= "table" then return type(value) end
  return getmetatable(value) == array_mt and "array" or "object"
end

-- Reading.
-- Each reader takes the text and the position of its first byte and returns the value and the
-- position after it. A failure is thrown as a table and caught in `decode`.

local function fail(position, message) error({position = position, message = message}, 0) end

local read_value

local ESCAPES = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/",
  b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

-- `at` is the position of the backslash of \uXXXX; a pair of surrogates makes one character.
local function read_unicode(text, at)
  local digits = text:match("^%x%x%x%x", at + 2)
  if not digits then fail(at, "expected four hexadecimal digits after \\u") end
  local code = tonumber(digits, 16)
  if code < 0xD800 or code > 0xDFFF then return utf8.char(code), at + 6 end
  local low = code < 0xDC00 and text:match("^\\u([dD][c-fC-F]%x%x)", at + 6)
  if not low then fail(at, "half of a surrogate pair") end
  return utf8.char(0x10000 + ((code - 0xD800) << 10) + (tonumber(low, 16) - 0xDC00)), at + 12
end

local function read_string(text, start)
  local stop = text:match('^"[^%c"\\]*()"', start)
  if stop then return text:sub(start + 1, stop - 1), stop + 1 end -- the common case: no escapes
  local parts, i = {}, start + 1
  while true do
    local plain, at, char = text:match('^([^\0-\31"\\]*)()(.?)', i)
    parts[#parts + 1] = plain
    if char == '"' then return table.concat(parts), at + 1 end
    if char == "" then fail(start, "string without an end") end
    if char ~= "\\" then fail(at, "control character in a string") end
    local letter = text:sub(at + 1, at + 1)
    if letter == "u" then
      parts[#parts + 1], i = read_unicode(text, at)
    elseif ESCAPES[letter] then
      parts[#parts + 1], i = ESCAPES[letter], at + 2
    else
      fail(at, "unknown escape in a string")
    end
  end
end

local function read_number(text, start)
  local whole, after = text:match("^(-?%d+)()", start)
  if not whole or whole:find("^-?0%d") then fail(start, "malformed number") end
  local fraction, rest = text:match("^(%.%d+)()", after)
  after = rest or after
  local exponent, stop = text:match("^([eE][+-]?%d+)()", after)
  after = stop or after
  if text:find("^[%w.+-]", after) then fail(start, "malformed number") end
  local value = tonumber(whole .. (fraction or "") .. (exponent or ""))
  if value == math.huge or value == -math.huge then fail(start, "number out of range") end
  return value, after
end

local function skip(text, i) return text:match("^[ \t\r\n]*()", i) end

local function read_array(text, start, depth)
  local out, i = M.array(), skip(text, start + 1)
  if text:sub(i, i) == "]" then return out, i + 1 end
  while true do
    out[#out + 1], i = read_value(text, i, depth)
    i = skip(text, i)
    local char = text:sub(i, i)
    if char == "]" then return out, i + 1 end
    if char ~= "," then fail(i, 'expected "," or "]"') end
    i = skip(text, i + 1)
  end
end

local function read_object(text, start, depth)
  local out, i = {}, skip(text, start + 1)
  if text:sub(i, i) == "}" then return out, i + 1 end
  while true do
    if text:sub(i, i) ~= '"' then fail(i, "expected a name in quotes") end
    local name, after = read_string(text, i)
    if out[name] ~= nil then fail(i, ('the name "%s" is given twice'):format(options.shown(name))) end
    i = skip(text, after)
    if text:sub(i, i) ~= ":" then fail(i, 'expected ":"') end
    out[name], i = read_value(text, skip(text, i + 1), depth)
    i = skip(text, i)
    local char = text:sub(i, i)
    if char == "}" then return out, i + 1 end
    if char ~= "," then fail(i, 'expected "," or "}"') end
    i = skip(text, i + 1)
  end
end

local WORDS = {["true"] = true, ["false"] = false, null = M.null}

-- Reads the value at `i`, inside `depth` arrays and objects.
function read_value(text, i, depth)
  local char = text:sub(i, i)
  if char == '"' then return read_string(text, i) end
  if char == "{" or char == "[" then
    if depth >= M.max_depth then fail(i, ("nested deeper than %d"):format(M.max_depth)) end
    return (char == "{" and read_object or read_array)(text, i, depth + 1)
  end
  if char:find("[%d-]") then return read_number(text, i) end
  local word, after = text:match("^(%a+)()", i)
  if word and WORDS[word] ~= nil then return WORDS[word], after end
  return fail(i, char == "" and "expected a value, got the end of the text" or "expected a value")
end

local function read_text(text)
  local ok, bad = utf8.len(text)
  if not ok then fail(bad, "not valid UTF-8") end
  local value, i = read_value(text, skip(text, 1), 0)
  i = skip(text, i)
  if i <= #text then fail(i, "text after the value") end
  return value
end

local function place(text, position)
  local before = text:sub(1, position - 1)
  local _, lines = before:gsub("\n", "")
  return ("line %d, column %d"):format(lines + 1, #before:match("[^\n]*$") + 1)
end

--- Reads one JSON value. `null` becomes `json.null`, so that nil always means failure.
-- @tparam string text
-- @return the value; nil where the text is no JSON
-- @treturn ?string the message then, with line and column (in bytes)
function M.decode(text)
  if type(text) ~= "string" then
    raise("json.decode: text: expected a string, got " .. options.describe(text))
  end
  local ok, value = pcall(plainly, read_text, text)
  if ok then return value end
  if type(value) ~= "table" then error(value, 0) end
  return nil, ("JSON, %s: %s"):format(place(text, value.position), value.message)
end

-- Writing.

local SHORT = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f",
  ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}

local function refuse(path, message)
  local where = #path == 0 and "value" or table.concat(path, ".", 1, math.min(#path, 8))
  raise(("json.encode: %s%s: %s"):format(where, #path > 8 and "..." or "", message))
end

local function write_string(s, path)
  if not utf8.len(s) then refuse(path, "a string that is not valid UTF-8") end
  return '"' .. s:gsub('[%c"\\]', function(c)
    return SHORT[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

-- The shortest of the forms that read back as the same number; a float keeps a point or exponent.
local function write_number(x, path, opts)
  if math.type(x) == "integer" then return tostring(x) end
  if x ~= x or x == math.huge or x == -math.huge then
    if opts.nan == "null" then return "null" end
    local name = x ~= x and "nan" or tostring(x)
    refuse(path, name .. ' has no form in JSON (the option nan = "null" writes null)')
  end
  for digits = 15, 17 do
    local s = ("%." .. digits .. "g"):format(x)
    if tonumber(s) == x then return s:find("[.e]") and s or s .. ".0" end
  end
end

-- "array", "object", or nil and what is wrong.
local function kind_of(t)
  local count, strings = 0, 0
  for key in pairs(t) do
    count = count + 1
    if type(key) == "string" then strings = strings + 1 end
  end
  if count == 0 then return getmetatable(t) == array_mt and "array" or "object" end
  if strings == count then
    if getmetatable(t) == array_mt then return nil, "an array with names" end
    return "object"
  end
  if strings == 0 and count == #t then return "array" end
  return nil, "a table that is neither a sequence nor has only strings as keys"
end

local write_value

-- The written members of a table, in order, and whether they are all scalars.
local function write_members(t, kind, state)
  local out, flat = {}, true
  local path, separator = state.path, state.opts.indent and ": " or ":"
  local keys = kind == "object" and sorted_keys(t)
  for i = 1, keys and #keys or #t do
    local key = keys and keys[i] or i
    path[#path + 1] = tostring(key)
    flat = flat and (type(t[key]) ~= "table" or t[key] == M.null)
    local text = write_value(t[key], state)
    out[i] = keys and write_string(key, path) .. separator .. text or text
    path[#path] = nil
  end
  return out, flat
end

local function write_table(t, state)
  local depth = #state.path
  if depth >= M.max_depth then
    refuse(state.path, ("nested deeper than %d, or a table that holds itself"):format(M.max_depth))
  end
  local kind, problem = kind_of(t)
  if not kind then refuse(state.path, problem) end
  local open, close = "{", "}"
  if kind == "array" then open, close = "[", "]" end
  local members, flat = write_members(t, kind, state)
  local indent = state.opts.indent
  if not indent or #members == 0 then return open .. table.concat(members, ",") .. close end
  if kind == "array" and flat then return open .. table.concat(members, ", ") .. close end
  local margin = "\n" .. (" "):rep(indent * depth)
  local inner = margin .. (" "):rep(indent)
  return open .. inner .. table.concat(members, "," .. inner) .. margin .. close
end

function write_value(value, state)
  local kind = type(value)
  if value == M.null then return "null" end
  if kind == "string" then return write_string(value, state.path) end
  if kind == "number" then return write_number(value, state.path, state.opts) end
  if kind == "boolean" then return tostring(value) end
  if kind == "table" then return write_table(value, state) end
  return refuse(state.path, "cannot write a " .. kind)
end

local encode_options = options.declare("json.encode", {
  {"indent", options.kind("int", "a number of spaces", function(value)
    return math.type(value) == "integer" and value >= 0 and value or nil
  end), nil, "spaces a level (default: all on one line; arrays of scalars stay on one line)"},
  {"nan", options.one_of{"null"}, nil, "write numbers that are not finite as null (default: raise)"},
})

--- Writes a value as JSON. Names are sorted, so equal values give equal text. An empty table is
-- written `{}` unless it is marked by `json.array`.
-- @param value string, number, boolean, json.null, or a table of these: a sequence or an object
-- @tparam ?table opts
-- @treturn string
function M.encode(value, opts)
  return plainly(write_value, value, {opts = encode_options(opts), path = {}})
end

return M
