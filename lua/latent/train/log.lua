--- The log of a run: JSON lines, each written whole as soon as it is there, so that others can read along.
-- @module latent.train.log
local core = require "latent.core"
local files = require "latent.base.files"
local json = require "latent.json"
local options = require "latent.base.options"

local M = {}

local Log = {}
Log.__index = Log

--- Begins a log file with some lines; what was in the file is replaced. What is no plain file, a device or a FIFO,
-- gets only the lines that come.
-- @tparam ?string path nil: nothing is written, the lines are only kept
-- @tparam {string,...} lines
-- @return the log, or nil and a message
function M.open(path, lines)
  local self = setmetatable({lines = lines, path = path, written = #lines}, Log)
  if not path then return self end
  local target, message, special = files.target(path)
  if not target then return nil, message end
  local ok = true
  if not special then
    ok, message = files.write_atomic(path, #lines > 0 and table.concat(lines, "\n") .. "\n" or "")
  end
  if not ok then return nil, message end
  self.file, message = core.open_special(target)
  if not self.file then return nil, ("%s: cannot be written: %s"):format(path, message) end
  return self
end

-- Writes what is not in the file yet: also the lines that an earlier trouble, a full disk say, kept from it.
local function catch_up(self)
  if not self.file or self.written == #self.lines then return true end
  local text = table.concat(self.lines, "\n", self.written + 1) .. "\n"
  -- Half a line that could not be taken back stays alone.
  local lead = self.torn and "\n" or ""
  local ok, message, left = core.append(self.file, lead .. text)
  if ok then
    self.written, self.torn = #self.lines, false
    return true
  end
  if left > 0 then
    local stands = text:sub(1, left - #lead)
    self.written = self.written + select(2, stands:gsub("\n", "\n"))
    self.torn = stands:find "[^\n]$" ~= nil
  end
  return nil, ("%s: cannot be written: %s"):format(self.path, message)
end

--- Adds a line.
-- @tparam table entry numbers and strings by name
-- @return true, or nil and a message; the line is kept in either case, and written when the next one is
function Log:add(entry)
  self.lines[#self.lines + 1] = json.encode(entry)
  return catch_up(self)
end

--- Closes the file; the lines stay.
-- @return true, or nil and a message where lines are missing from the file
function Log:close()
  local ok, message = catch_up(self)
  if self.file then self.file:close() end
  self.file = nil
  return ok, message
end

-- Whether a line is one of an epoch; the others are those of single steps.
local function is_epoch(entry) return entry.epoch ~= nil end

--- The lines of epochs, decoded.
-- @tparam {string,...} lines
-- @treturn {table,...}
function M.entries(lines)
  local list = {}
  for _, line in ipairs(lines) do
    local entry = json.decode(line)
    if is_epoch(entry) then list[#list + 1] = entry end
  end
  return list
end

-- Numbers that the columns of a log may have beyond four times the file's bytes. A line that names all columns
-- takes more bytes than it makes numbers; lines that each have a name of their own make a square of them.
local FREE_NUMBERS = 1 << 20

-- The names that occur in some entries, and how many they are.
local function names_of(entries)
  local names, count = {}, 0
  for _, entry in ipairs(entries) do
    for name in pairs(entry) do
      if not names[name] then names[name], count = true, count + 1 end
    end
  end
  return names, count
end

-- Entries as columns of equal length; a gap is a NaN, which plots leave out. Or nil and a message where they would
-- be far larger than the file, which has `size` bytes.
local function columns_of(entries, size)
  local names, count = names_of(entries)
  local most = 4 * size + FREE_NUMBERS
  if count * #entries > most then
    return nil, ("%d names in %d lines make %d numbers, expected at most %d from %d bytes"):format(count, #entries,
      count * #entries, most, size)
  end
  local columns = {}
  for name in pairs(names) do
    local column = {}
    for i, entry in ipairs(entries) do
      local value = entry[name]
      if value == nil then value = 0 / 0 end
      column[i] = value
    end
    columns[name] = column
  end
  return columns
end

-- The entry in a line, or nil and what is wrong. Of a line that was cut off, by a full disk or a loss of power, what
-- is whole is taken: the next line, where that is glued to it. The third result says that something is lost.
local function entry_of(line)
  local entry, message = json.decode(line)
  if json.type(entry) == "object" then return entry end
  local cut_off = entry == nil and (line:find "^\0*{" or line:find "^\0+$")
  if not cut_off then return nil, message or "expected an object, found " .. json.type(entry) end
  local at = line:match '^.*(){"' -- anchored: else its time grows with the line's square
  entry = at and at > 1 and json.decode(line:sub(at))
  return json.type(entry) == "object" and entry or nil, message, true
end

local log_options = options.declare("train.read_log", {
  {"steps", "any", false, "true: the lines of steps in place of those of epochs"}})

--- Reads a log as columns; see latent.train.read_log.
-- @tparam string path
-- @tparam ?table opts
-- @treturn ?table name -> list; nil where the file cannot be read
-- @treturn ?string the message then; or which lines were cut off
function M.read(path, opts)
  options.expect("train.read_log", "path", path, "string")
  opts = log_options(opts)
  local text, message = files.read_all(path)
  if not text then return nil, message end
  local entries, number, whole, damaged, first, at = {}, 0, 0, 0, nil, 1
  -- What follows the last line end is a line that is just being written.
  for stop in text:gmatch "()\n" do
    local entry, wrong, cut_off = entry_of(text:sub(at, stop - 1))
    number, at = number + 1, stop + 1
    if cut_off then
      damaged, first = damaged + 1, first or number
    elseif not entry then
      return nil, ("%s: line %d: %s"):format(path, number, wrong)
    end
    if entry then whole = whole + 1 end
    if entry and is_epoch(entry) == not opts.steps then entries[#entries + 1] = entry end
  end
  local columns
  columns, message = columns_of(entries, #text)
  if not columns then return nil, ("%s: %s"):format(path, message) end
  if damaged == 0 then return columns end
  message = ("%s: %d of %d lines cut off, the first is line %d"):format(path, damaged, number, first)
  if whole == 0 then return nil, message end
  return columns, message
end

return M
