--- How values read at the prompt: tensors with their statistics, tables nested, layers as a tree, strings in
-- quotes. Whatever the value, the text has a limit.
-- @module latent.repl.print
local core = require "latent.core"
local format = require "latent.format"
local module = require "latent.nn.module"

local M = {}

local WIDTH = 100 -- a table that fits stands in one line
local DEPTH = 4 -- of nested tables
local ITEMS = 24 -- of a table
local LINES = 60 -- of anything
local STRING, INNER_STRING = 1000, 80 -- bytes of a string, alone and within a table
local WORD = "^[%a_][%w_]*$"

local ESCAPES = {["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\", ["\27"] = "\\27"}

local function quoted(text, most)
  local cut = #text > most
  local shown = cut and text:sub(1, most) or text
  shown = shown:gsub('[%c"\\]', function(c) return ESCAPES[c] or ("\\%d"):format(c:byte()) end)
  if not utf8.len(shown) and not cut then
    shown = shown:gsub("[\128-\255]", function(c) return ("\\x%02X"):format(c:byte()) end)
  end
  return cut and ('"%s"... (%d bytes)'):format(shown, #text) or '"' .. shown .. '"'
end

-- Alone, a text of several lines is shown as it is, in long brackets.
local function string_text(text, depth)
  local plain = text:find "\n" and not text:find "[^%C\n\t]" and not text:find("]]", 1, true) and utf8.len(text)
  if depth > 1 or not plain then return quoted(text, depth == 1 and STRING or INNER_STRING) end
  return "[[\n" .. text .. "]]"
end

local function function_text(f, state)
  local name = state.name_of and state.name_of(f)
  if name then return "function " .. name end
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return (tostring(f):gsub("builtin: ", "")) end
  return ("function (%s:%d)"):format(info.short_src, info.linedefined)
end

-- A tensor or layer as one item of a table.
local function brief(value)
  if core.is_tensor(value) then
    local shape = value.shape
    if #shape == 0 then return "tensor " .. format.number(value:item()) end
    return ("tensor [%s] %s"):format(table.concat(shape, ", "), value.dtype)
  end
  local text = tostring(value)
  if not text:find "\n" then return text end
  return ("%s (%d parameters)"):format(value.kind, value:count())
end

local RANK = {number = 1, string = 2, boolean = 3}

-- What an object keeps for itself begins with an underscore.
local function is_private(t, key)
  return type(key) == "string" and key:sub(1, 1) == "_" and getmetatable(t) ~= nil
end

local function sorted_keys(t, skip)
  local keys = {}
  for key in next, t do
    if not skip[key] and not is_private(t, key) then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b)
    local ra, rb = RANK[type(a)] or 4, RANK[type(b)] or 4
    if ra ~= rb then return ra < rb end
    if ra <= 2 then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local text_of

local function key_text(key, state)
  if type(key) == "string" and key:find(WORD) then return key end
  return "[" .. text_of(key, state, DEPTH) .. "]"
end

-- The items of a table as texts, the list first.
local function items_of(t, state, depth)
  local items, listed, left = {}, {}, 0
  local n = 0
  while rawget(t, n + 1) ~= nil do
    n = n + 1
    listed[n] = true
    if #items < ITEMS then items[#items + 1] = text_of(rawget(t, n), state, depth + 1) end
  end
  left = left + n - #items
  for _, key in ipairs(sorted_keys(t, listed)) do
    if #items < ITEMS then
      items[#items + 1] = key_text(key, state) .. " = " .. text_of(rawget(t, key), state, depth + 1)
    else
      left = left + 1
    end
  end
  if left > 0 then items[#items + 1] = ("... %d more"):format(left) end
  return items
end

-- In one line where it fits, else a line an item.
local function braces(items, indent)
  local total, nested = 0, false
  for _, item in ipairs(items) do
    total = total + #item + 2
    nested = nested or item:find "\n" ~= nil
  end
  if not nested and total + #indent + 2 <= WIDTH then return "{" .. table.concat(items, ", ") .. "}" end
  local inner = indent .. "  "
  return "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. "\n" .. indent .. "}"
end

local function table_text(t, state, depth)
  if state.seen[t] then return "<cycle>" end
  if next(t) == nil then return "{}" end
  if depth > DEPTH then return "{...}" end
  state.seen[t] = true
  local items = items_of(t, state, depth)
  state.seen[t] = nil
  return braces(items, ("  "):rep(depth - 1))
end

local function has_text(value)
  local meta = getmetatable(value)
  return type(meta) == "table" and rawget(meta, "__tostring") ~= nil
end

function text_of(value, state, depth)
  local kind = type(value)
  if kind == "string" then return string_text(value, depth) end
  if kind == "function" then return function_text(value, state) end
  if core.is_tensor(value) then
    local ok, text = pcall(depth == 1 and format.tensor or brief, value, true)
    return ok and text or "closed tensor"
  end
  if module.is_module(value) then
    if depth > 1 then return brief(value) end
    local count = value:count()
    return ("%s\n%d parameter%s"):format(tostring(value), count, count == 1 and "" or "s")
  end
  if kind == "table" and not has_text(value) then return table_text(value, state, depth) end
  return tostring(value)
end

-- The first lines of a text, and how many are missing.
local function limited(text)
  local count, at = 0, 0
  repeat
    at = text:find("\n", at + 1, true)
    count = count + 1
  until not at or count == LINES
  if not at then return text end
  local _, more = text:sub(at):gsub("\n", "")
  return ("%s\n... %d more line%s"):format(text:sub(1, at - 1), more, more == 1 and "" or "s")
end

--- The text of a value.
-- @param value
-- @tparam ?function name_of tells the name of a function of the library, or nil
-- @treturn string at most about 60 lines
function M.text(value, name_of)
  return limited(text_of(value, {seen = {}, name_of = name_of}, 1))
end

return M
