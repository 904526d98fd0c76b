--- Tables from CSV files (RFC 4180): columns with names, of numbers or of words.
-- @module latent.data.csv
require "latent" -- tensors get their methods
local core = require "latent.core"
local files = require "latent.base.files"
local options = require "latent.base.options"
local tensors = require "latent.data.tensors"

local raise = core.raise

local M = {}

--- A table of named columns. `#t` is the number of its rows; `print(t)` says what was found in each column.
-- @type Table
-- @tfield {string,...} names of the columns, in the file's order
-- @tfield {[string]=string} types "number" or "text", by name
-- @tfield {[string]=int} missing how many fields of a column are empty or say that there is no value
local Table = {}
Table.__index = Table
Table.__name = "CSV table" -- in messages

-- ---- reading ----

local BOM = "\239\187\191"

-- The field that begins at `at` with a quote, and the position behind its closing one; nil where it never closes.
local function quoted_field(text, at)
  local parts, from = {}, at + 1
  while true do
    local close = text:find('"', from, true)
    if not close then return nil end
    parts[#parts + 1] = text:sub(from, close - 1)
    if text:byte(close + 1) ~= 34 then return table.concat(parts), close + 1 end
    parts[#parts + 1], from = '"', close + 2
  end
end

-- Calls row(fields, line) for each record. True, or nil and a message.
local function each_record(text, separator, row)
  local plain = ("^([^%s\"\r\n]*)()"):format(separator:gsub("%W", "%%%0"))
  local at, line, size = text:sub(1, 3) == BOM and 4 or 1, 1, #text
  while at <= size do
    local fields, first = {}, line
    repeat
      local field, after
      if text:byte(at) == 34 then
        field, after = quoted_field(text, at)
        if not field then return nil, ("line %d: a quote is never closed"):format(line) end
        for _ in field:gmatch "\n" do line = line + 1 end
      else
        field, after = text:match(plain, at)
      end
      fields[#fields + 1] = field
      at = after
      local more = text:sub(at, at) == separator
      if more then at = at + 1 end
    until not more
    local next_at = text:match("^\r?\n()", at) or text:match("^\r()", at)
    if not next_at and at <= size then
      return nil, ("line %d: a quote stands inside a field, or text behind a closing one"):format(line)
    end
    at, line = next_at or size + 1, line + 1
    if #fields > 1 or fields[1] ~= "" then -- an empty line is no record
      local ok, message = row(fields, first)
      if not ok then return nil, message end
    end
  end
  return true
end

local MISSING = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"}

local function set_of(list)
  local set = {}
  for _, word in ipairs(list) do set[word] = true end
  return set
end

-- A number as a file writes it, not as Lua reads source code: no 0x10, and digits there must be. The borders (%f) keep
-- a long row of digits from being tried in every division into two.
local function number_of(field)
  local text = field:match "^%s*([+-]?[%d.]+%f[^%d.][eE]?[+-]?%d*)%f[^%d.]%s*$"
  return text and tonumber((text:gsub("^%+", "")))
end

local INFINITE = {inf = math.huge, ["+inf"] = math.huge, ["-inf"] = -math.huge}

local function value_of(field) return number_of(field) or INFINITE[field:lower()] end

-- Is every field a number, or missing? At least one must be a number.
local function is_numeric(fields, missing)
  local some = false
  for _, field in ipairs(fields) do
    if not missing[field] then
      if not value_of(field) then return false end
      some = true
    end
  end
  return some
end

local function read_records(text, opts)
  local width, names, rows = nil, nil, {}
  local ok, message = each_record(text, opts.separator, function(fields, line)
    width = width or #fields
    if #fields ~= width then
      return nil, ("line %d: %d fields, expected %d as in the line above"):format(line, #fields, width)
    end
    rows[#rows + 1] = fields
    return true
  end)
  if not ok then return nil, message end
  if #rows == 0 then return nil, "holds no record" end
  -- A first line of words only, above anything that is none, is a header.
  local header = opts.header
  if header == nil then
    header = true
    for _, field in ipairs(rows[1]) do header = header and field ~= "" and not value_of(field) end
  end
  if header then names = table.remove(rows, 1) end
  if #rows == 0 then return nil, "holds no record below its header" end
  return rows, names
end

-- Without the white space at both ends, in a time that grows as the text does.
local function trimmed(text) return text:match(".*%S", (text:match "^%s*()")) or "" end

local function column_names(names, width)
  local list, seen, last = {}, {}, {} -- last: the number that a name was given last
  for i = 1, width do
    local name = names and trimmed(names[i]) or ""
    if name == "" then name = "column " .. i end
    local base = name
    while seen[name] do
      last[base] = (last[base] or 1) + 1
      name = ("%s (%d)"):format(base, last[base])
    end
    list[i], seen[name] = name, true
  end
  return list
end

local function check_types(types, names)
  local known = set_of(names)
  for name, kind in pairs(types) do
    if not known[name] then
      local near = type(name) == "string" and options.nearest(name, names)
      raise(("data.csv: types: no column is called %s%s"):format(options.describe(name),
        near and (' (did you mean "%s"?)'):format(near) or ""))
    end
    if kind ~= "number" and kind ~= "text" then
      raise(('data.csv: types: %s: expected "number" or "text", got %s'):format(name, options.describe(kind)))
    end
  end
end

-- The column as numbers, NaN where they are missing, or nil and a message.
local function numbers_of(fields, missing, name)
  local list = {}
  for i, field in ipairs(fields) do
    local value = not missing[field] and value_of(field)
    if not value and not missing[field] then
      return nil, ("record %d: column %q: expected a number, found %q"):format(i, name, field)
    end
    list[i] = value or 0 / 0
  end
  return list
end

local function build(rows, names, opts)
  local width, missing = #rows[1], set_of(opts.missing)
  local self = setmetatable({names = column_names(names, width), types = {}, missing = {}, values = {},
    rows = #rows}, Table)
  check_types(opts.types, self.names)
  for i, name in ipairs(self.names) do
    local fields, absent = {}, 0
    for r, row in ipairs(rows) do
      fields[r] = row[i]
      if missing[row[i]] then absent = absent + 1 end
    end
    local kind = opts.types[name] or is_numeric(fields, missing) and "number" or "text"
    local values, message = fields, nil
    if kind == "number" then values, message = numbers_of(fields, missing, name) end
    if not values then return nil, message end
    self.types[name], self.missing[name], self.values[name] = kind, absent, values
  end
  return self
end

local read_options = options.declare("data.csv", {
  {"separator", "string", ",", "between fields: one character"},
  {"header", "boolean", nil, "whether the first record has the names (unless said: whether it holds no number)"},
  {"types", "table", {}, 'name -> "number" or "text", where the guess is wrong'},
  {"missing", "list", MISSING, "fields that say that there is no value"},
})

--- See latent.data.csv.
function M.read(path, opts)
  options.expect("data.csv", "path", path, "string")
  opts = read_options(opts)
  if #opts.separator ~= 1 or opts.separator:find '["\r\n]' then
    raise("data.csv: separator: expected one character, got " .. options.describe(opts.separator))
  end
  local text, message = files.read_all(path)
  if not text then return nil, message end
  local rows, names = read_records(text, opts)
  if not rows then return nil, ("%s: %s"):format(path, names) end
  local self
  self, message = build(rows, names, opts)
  if not self then return nil, ("%s: %s"):format(path, message) end
  return self
end

-- ---- columns ----

local function check_column(self, fname, name)
  if self.types[name] then return name end
  local near = type(name) == "string" and options.nearest(name, self.names)
  raise(("%s: no column is called %s%s; columns: %s"):format(fname, options.describe(name),
    near and (' (did you mean "%s"?)'):format(near) or "", table.concat(self.names, ", ")))
end

local function check_numbers(self, fname, name)
  check_column(self, fname, name)
  if self.types[name] ~= "number" then
    raise(("%s: column %q holds text; labels(%q) numbers its words"):format(fname, name, name))
  end
end

--- Columns of numbers as a tensor; a missing value is NaN.
-- @tparam ?{string,...} names (unless said: all columns of numbers)
-- @treturn Tensor [#t, names]
function Table:tensor(names)
  if names == nil then
    names = {}
    for _, name in ipairs(self.names) do
      if self.types[name] == "number" then names[#names + 1] = name end
    end
  end
  options.expect("tensor", "names", names, "list")
  if #names == 0 then raise "tensor: names: expected some, got none" end
  for _, name in ipairs(names) do check_numbers(self, "tensor", name) end
  local rows = {}
  for r = 1, self.rows do
    local row = {}
    for i, name in ipairs(names) do row[i] = self.values[name][r] end
    rows[r] = row
  end
  return core.tensor(rows)
end

--- A column as a Lua list: of numbers (NaN where one is missing), or of strings.
-- @tparam string name
-- @treturn table
function Table:column(name)
  local values = self.values[check_column(self, "column", name)]
  return table.move(values, 1, #values, 1, {})
end

-- Words by the alphabet, numbers by size.
local function distinct(values)
  local seen, list = {}, {}
  for _, value in ipairs(values) do
    if value ~= value then raise "labels: the column has missing values" end
    if not seen[value] then list[#list + 1], seen[value] = value, true end
  end
  table.sort(list)
  return list
end

--- A column as labels of classes: its distinct values, sorted and counted from 0.
-- @tparam string name
-- @treturn Tensor [#t], from 0
-- @treturn {string,...} the classes, label 0 first
function Table:labels(name)
  local values = self.values[check_column(self, "labels", name)]
  local classes, place, labels = distinct(values), {}, {}
  for i, value in ipairs(classes) do place[value] = i - 1 end
  for r, value in ipairs(values) do labels[r] = place[value] end
  for i, value in ipairs(classes) do
    classes[i] = math.type(value) == "float" and value % 1 == 0 and ("%.0f"):format(value) or tostring(value)
  end
  return core.tensor(labels), classes
end

--- A data set: some columns as x, one as y.
-- @usage local set = assert(data.csv "flowers.csv"):set{y = "species"}
-- @tparam table parts `x`: names of columns of numbers (unless said: all but y); `y`: the name of a column, perhaps:
-- words become labels, numbers [n, 1] stay what they are (`labels = true`: they are classes)
-- @treturn Set
function Table:set(parts)
  parts = options.check("set", parts, {"x", "y", "labels"})
  local x = parts.x
  if parts.y ~= nil then check_column(self, "set: y", parts.y) end
  if not x then
    x = {}
    for _, name in ipairs(self.names) do
      if self.types[name] == "number" and name ~= parts.y then x[#x + 1] = name end
    end
  end
  local y, classes
  if parts.y then
    if self.types[parts.y] == "text" or parts.labels then y, classes = self:labels(parts.y)
    else y = self:tensor{parts.y} end
  end
  return tensors.new{x = self:tensor(x), y = y, classes = classes}
end

function Table:__len() return self.rows end

local function column_text(self, name)
  local values, kind = self.values[name], self.types[name]
  local what
  if kind == "number" then
    local least, most = math.huge, -math.huge
    for _, value in ipairs(values) do
      if value == value then least, most = math.min(least, value), math.max(most, value) end
    end
    what = core.plainly(string.format, "number, %.6g to %.6g", least, most)
  else
    local count = #distinct(values)
    what = ("text, %d different"):format(count)
  end
  local missing = self.missing[name]
  return ("  %s: %s%s"):format(name, what, missing > 0 and (", %d missing"):format(missing) or "")
end

function Table:__tostring()
  local lines = {("%d records of %d columns"):format(self.rows, #self.names)}
  for _, name in ipairs(self.names) do lines[#lines + 1] = column_text(self, name) end
  return table.concat(lines, "\n")
end

core.methods_of(Table, "t")

return M
