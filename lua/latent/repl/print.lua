--- How values read at the prompt: tensors with their statistics, tables nested, layers as a tree, strings in
-- quotes. Whatever the value, the text has a limit.
-- @module latent.repl.print
local core = require "latent.core"
local format = require "latent.base.format"
local shapes = require "latent.base.shapes"
local guard = require "latent.tools.guard"
local module = require "latent.nn.module"

local M = {}

local is_tensor, is_module = core.is_tensor, module.is_module
local tensor_text, number_text = format.tensor, format.number
local own, user, has_text = guard.own, guard.user, guard.has_text
local foreign_text, error_text = guard.text, guard.error_text

local WIDTH = 100 -- a table that fits stands in one line
local DEPTH = 4 -- of nested tables
local ITEMS, NUMBERS = 24, 100 -- of a table; of a list of numbers
local SORTED = 5000 -- keys of a table; of more, the first that come
local LINES, BYTES = 60, 20000 -- of anything
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
  if is_tensor(value) then
    local shape = value.shape
    if #shape == 0 then return "tensor " .. number_text(value:item()) end
    return ("tensor %s %s"):format(shapes.text(shape), value.dtype)
  end
  local text = foreign_text(value)
  if not text:find "\n" then return text end
  return ("%s (%d parameters)"):format(value.kind, value:count())
end

local RANK = {number = 1, string = 2, boolean = 3}

-- What an object keeps for itself begins with an underscore.
local function is_private(t, key)
  return type(key) == "string" and key:sub(1, 1) == "_" and debug.getmetatable(t) ~= nil
end

-- What keys are sorted by: their rank, and what compares those of one rank, whatever their __tostring does.
local function sort_key(key)
  local rank = RANK[type(key)] or 4
  return {key = key, rank = rank, by = rank <= 2 and key or rank == 3 and tostring(key) or ("%p"):format(key)}
end

-- The keys beside the list 1..n, and how many more there are than could be sorted.
local function sorted_keys(t, n)
  local keys, more = {}, 0
  for key in next, t do
    local listed = math.type(key) == "integer" and key >= 1 and key <= n
    if not listed and not is_private(t, key) then
      if #keys < SORTED then keys[#keys + 1] = sort_key(key) else more = more + 1 end
    end
  end
  table.sort(keys, function(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    return a.by < b.by
  end)
  for i, item in ipairs(keys) do keys[i] = item.key end
  return keys, more
end

local text_of

local function key_text(key, state)
  if type(key) == "string" and key:find(WORD) then return key end
  return "[" .. text_of(key, state, DEPTH) .. "]"
end

-- Whether what is shown of a table is a list of numbers.
local function are_numbers(t)
  local n = 0
  for key, value in next, t do
    n = n + 1
    if math.type(key) ~= "integer" or type(value) ~= "number" then return false end
    if n > NUMBERS then return true end
  end
  return true
end

-- The items of a table as texts, the list first.
local function items_of(t, state, depth)
  local items, n = {}, 0
  while rawget(t, n + 1) ~= nil do n = n + 1 end
  local most = are_numbers(t) and NUMBERS or ITEMS
  for i = 1, math.min(n, most) do items[i] = text_of(rawget(t, i), state, depth + 1) end
  local keys, left = sorted_keys(t, n)
  left = left + n - #items
  for _, key in ipairs(keys) do
    if #items < most then
      items[#items + 1] = key_text(key, state) .. " = " .. text_of(rawget(t, key), state, depth + 1)
    else
      left = left + 1
    end
  end
  if left > 0 then items[#items + 1] = ("... %d more"):format(left) end
  return items
end

-- As many to a line as fit.
local function filled(items, inner)
  local lines = {}
  for i, item in ipairs(items) do
    local last = lines[#lines]
    local text = i < #items and item .. "," or item
    local fits = last and #inner + #last + 1 + #text <= WIDTH
    lines[fits and #lines or #lines + 1] = fits and last .. " " .. text or text
  end
  return lines
end

-- In one line where it fits, else a line an item; numbers fill their lines.
local function braces(items, indent, numbers)
  local total, nested = 0, false
  for _, item in ipairs(items) do
    total = total + #item + 2
    nested = nested or item:find "\n" ~= nil
  end
  if not nested and total + #indent + 2 <= WIDTH then return "{" .. table.concat(items, ", ") .. "}" end
  local inner = indent .. "  "
  local lines = numbers and table.concat(filled(items, inner), "\n" .. inner) or table.concat(items, ",\n" .. inner)
  return "{\n" .. inner .. lines .. "\n" .. indent .. "}"
end

local function table_text(t, state, depth)
  if state.seen[t] then return "<cycle>" end
  if next(t) == nil then return "{}" end
  if depth > DEPTH then return "{...}" end
  state.seen[t] = true
  local items = items_of(t, state, depth)
  state.seen[t] = nil
  return braces(items, ("  "):rep(depth - 1), are_numbers(t))
end

function text_of(value, state, depth)
  local kind = type(value)
  if kind == "string" then return string_text(value, depth) end
  if kind == "function" then return function_text(value, state) end
  if is_tensor(value) then
    local ok, text = pcall(depth == 1 and tensor_text or brief, value, true)
    return ok and text or "closed tensor"
  end
  if is_module(value) then
    if depth > 1 then
      local ok, text = pcall(brief, value)
      return ok and text or foreign_text(value)
    end
    local counted, count = user(value.count, value)
    return foreign_text(value) .. (counted and ("\n%d parameter%s"):format(count, count == 1 and "" or "s") or "")
  end
  if kind == "table" and not has_text(value) then return table_text(value, state, depth) end
  return foreign_text(value)
end

-- The first lines of a text, and how many are missing.
local function limited(text)
  local count, at = 0, 0
  repeat
    at = text:find("\n", at + 1, true)
    count = count + 1
  until not at or count == LINES
  local shown = at and text:sub(1, at - 1) or text
  if #shown > BYTES then return ("%s\n... (%d bytes)"):format(shown:sub(1, BYTES), #text) end
  if not at then return text end
  local _, more = text:sub(at):gsub("\n", "")
  return ("%s\n... %d more line%s"):format(shown, more, more == 1 and "" or "s")
end

--- The text of a value.
-- @param value
-- @tparam ?function name_of tells the name of a function of the library, or nil
-- @treturn string at most about 60 lines; where the value is of a kind whose text could not be made, what kind it is
function M.text(value, name_of)
  local ok, text = own(function() return limited(text_of(value, {seen = {}, name_of = name_of}, 1)) end)
  return ok and text or ("a %s, not shown: %s"):format(type(value), error_text(text))
end

return M
