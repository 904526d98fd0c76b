--- The log of a run: JSON lines, each on the disk as soon as it is written, so that others can read along.
-- @module latent.train.log
local files = require "latent.files"
local json = require "latent.json"
local options = require "latent.options"

local M = {}

local Log = {}
Log.__index = Log

--- Begins a log file with some lines; what was in the file is replaced.
-- @tparam ?string path nil: nothing is written, the lines are only kept
-- @tparam {string,...} lines
-- @return the log, or nil and a message
function M.open(path, lines)
  local self = setmetatable({lines = lines}, Log)
  if not path then return self end
  local ok, message = files.mkdir_p(files.dirname(path))
  if ok then ok, message = files.write_atomic(path, #lines > 0 and table.concat(lines, "\n") .. "\n" or "") end
  if ok then self.file, message = io.open(path, "ab") end
  if not self.file then return nil, message end
  return self
end

--- Adds a line.
-- @tparam table entry numbers and strings by name
-- @return true, or nil and a message; the line is kept in either case
function Log:add(entry)
  local line = json.encode(entry)
  self.lines[#self.lines + 1] = line
  if not self.file then return true end
  local ok, message = self.file:write(line, "\n")
  if ok then ok, message = self.file:flush() end
  return ok and true, message
end

--- Closes the file; the lines stay.
function Log:close()
  if self.file then self.file:close() end
  self.file = nil
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

-- Entries as columns of equal length; a gap is a NaN, which plots leave out.
local function columns_of(entries)
  local columns = {}
  for i, entry in ipairs(entries) do
    for name, value in pairs(entry) do
      local column = columns[name]
      if not column then
        column = {}
        for k = 1, i - 1 do column[k] = 0 / 0 end
        columns[name] = column
      end
      column[i] = value
    end
    for _, column in pairs(columns) do
      if column[i] == nil then column[i] = 0 / 0 end
    end
  end
  return columns
end

--- Reads a log as columns; see latent.train.read_log.
-- @tparam string path
-- @tparam ?table opts steps
-- @treturn ?table name -> list; nil where the file cannot be read
-- @treturn ?string the message then
function M.read(path, opts)
  options.expect("train.read_log", "path", path, "string")
  opts = options.check("train.read_log", opts, {"steps"})
  local text, message = files.read_all(path)
  if not text then return nil, message end
  local entries, number = {}, 0
  -- What follows the last line end is a line that is just being written.
  for line in text:gmatch "([^\n]*)\n" do
    local entry
    number = number + 1
    entry, message = json.decode(line)
    if type(entry) ~= "table" then
      return nil, ("%s: line %d: %s"):format(path, number, message or "expected an object")
    end
    if is_epoch(entry) == not opts.steps then entries[#entries + 1] = entry end
  end
  return columns_of(entries)
end

return M
