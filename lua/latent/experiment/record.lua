--- The record of a run: how and where it ran, and what it said, in the order in which it said it. The file is written
-- anew with every item, so that a script that dies has lost nothing.
-- @module latent.experiment.record
local lt = require "latent"
local files = require "latent.base.files"
local folder = require "latent.experiment.folder"
local json = require "latent.json"
local locks = require "latent.base.files.lock"
local valid = require "latent.base.valid"
local machine = require "latent.experiment.machine"

local M = {}

local Record = {}
Record.__index = Record

--- Begins a record. Asks other programs for their versions, and writes nothing yet.
-- @tparam table values what is known at the beginning: name, script, question, options, given
-- @treturn table the record
function M.new(values)
  local self = setmetatable({clock = lt.clock(), values = values, texts = {}}, Record)
  values.started, values.seconds, values.status = os.time(), 0, "running"
  for key, value in pairs(locks.identity()) do values[key] = value end
  values.threads, values.isa = lt.threads(), lt.info().isa
  values.machine, values.versions = machine.describe(), machine.versions()
  values.items, values.weights = json.array(), json.array()
  return self
end

--- Writes it for the first time.
-- @tparam string path the run's folder
-- @return true, or nil and a message
function Record:begin(path)
  self.path = files.join(path, folder.RECORD)
  return self:write()
end

-- With UTF-8 in all texts: JSON holds nothing else, and an error's message may quote anything.
local function readable(value)
  if type(value) == "string" then return valid(value) end
  if type(value) ~= "table" or value == json.null then return value end
  local copy = json.type(value) == "array" and json.array{} or {}
  for key, part in pairs(value) do copy[readable(key)] = readable(part) end
  return copy
end

local JSON = {indent = 1, nan = "null"}

-- The whole as JSON. An item is encoded once, not with every one that comes after it.
local function text_of(self)
  local rest, items = {}, self.values.items
  for key, value in pairs(self.values) do
    if key ~= "items" then rest[key] = value end
  end
  for i = #self.texts + 1, #items do self.texts[i] = json.encode(readable(items[i]), JSON) end
  local head = json.encode(readable(rest), JSON):gsub("\n}$", "")
  return ('%s,\n "items": [\n%s\n ]\n}\n'):format(head, table.concat(self.texts, ",\n"))
end

--- Writes the file.
-- @treturn ?boolean true, or nil and a message
function Record:write()
  if not self.path then return true end -- of a rank that leaves it to another
  self.values.seconds = lt.clock() - self.clock
  return files.write_atomic(self.path, text_of(self))
end

--- Adds something that was said: {kind = "text", ...}.
function Record:add(item)
  local items = self.values.items
  items[#items + 1] = item
  return self:write()
end

--- Notes weights that were trained or read.
-- @tparam table made name, file; trained, whether here; recipe, seed, epochs, data where they are known
function Record:add_weights(made)
  local weights = self.values.weights
  weights[#weights + 1] = made
  return self:write()
end

--- Notes what the numbers are of: "MNIST (mini), 500 training and 500 test images".
-- @tparam Set train
-- @tparam Set test
function Record:note_data(train, test)
  self.values.data = ("%s, %d training and %d test images"):format(train.name, #train, #test)
  return self:write()
end

--- Ends the record.
-- @tparam string status "done", "failed", "stopped", "left"
-- @tparam ?string message of the error
function Record:finish(status, message)
  self.values.status, self.values.error = status, message
  return self:write()
end

--- What the numbers of a record are of: the images that the run read, and where other weights came from.
-- @tparam table values as read from the file
-- @treturn ?string nil where it read none of the sets that `--data` names
function M.measured_on(values)
  for _, weights in ipairs(values.data and values.weights or {}) do
    if not weights.trained and weights.data and weights.data ~= values.options.data then
      return ("%s, with weights trained on %s"):format(values.data, tostring(weights.data))
    end
  end
  return values.data
end

--- What the numbers of several records are of.
-- @tparam {table,...} list values as read from the files
-- @treturn ?string nil where they read different sets, or one of them none
function M.common_images(list)
  local common = M.measured_on(list[1])
  for _, values in ipairs(list) do
    if M.measured_on(values) ~= common then return nil end
  end
  return common
end

--- The numbers of a record by name; a list where the number was one.
-- @tparam table values as read from the file
-- @treturn table
function M.numbers(values)
  local numbers = {}
  for _, item in ipairs(values.items) do
    if item.kind == "number" then numbers[item.name] = item.value end
  end
  return numbers
end

return M
