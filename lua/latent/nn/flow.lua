--- In which order the elements of what goes through a model stand, here and in PyTorch: a picture is (height, width,
-- channel) here and (channel, height, width) there, so a linear layer behind a flattened map reads its rows in another
-- order, and one whose output becomes a map writes its columns in another order. Every layer class says by its field
-- `torch_layout` what it does to that order; nothing here knows a class by name.
--
-- `torch_layout` is "keeps" (element by element, or channel by channel: what comes in goes out), a number (the output
-- is a map of so many channels, whatever came in), or a function(layer, value, flow) that returns the value that goes
-- out. A layer that says nothing, or has another forward function than the class that said it, is not seen through.
-- @module latent.nn.flow
local core = require "latent.core"
local options = require "latent.base.options"

local M = {}

-- A value is one of these:
--   {is = "map", channels = c}    a picture
--   {is = "flat", channels = ?c}  a picture made one row, or the like; without channels it is not known of how many
--   {is = "rows", writers = {}}   numbers in the order in which these layers write them, the same here and there
--   {is = "unknown"}              the model's own input, and what it becomes on the way
-- `inside = true`: it comes from a forward function that is not seen through, out of other parts of the model perhaps.
local Flow = {}
Flow.__index = Flow

local function map(channels) return {is = "map", channels = channels} end

-- A layer's own word; that of a class whose forward function it has not taken over is not about it.
local function word_of(layer)
  local owner = layer
  while owner do
    local word = rawget(owner, "torch_layout")
    if word ~= nil or rawget(owner, "forward") then return word end
    local meta = getmetatable(owner)
    owner = meta and type(meta.__index) == "table" and meta.__index or nil
  end
end

-- What is known of a layer that reads or writes rows: the values that it read, and the maps that became of its output.
local function record(flow, layer)
  local known = flow.layers[layer]
  if not known then
    known = {reads = {}, writes = {}}
    flow.layers[layer] = known
  end
  return known
end

--- A layer reads `size` numbers of each row of a value.
function Flow:read(layer, value, size)
  local known = record(self, layer)
  known.inputs = size
  table.insert(known.reads, value)
end

--- Rows that a layer writes, `size` numbers each, in the order of those before it if these are given.
-- @treturn table the value
function Flow:write(layer, size, before)
  record(self, layer).outputs = size
  local writers = before and table.move(before.writers, 1, #before.writers, 1, {}) or {}
  table.insert(writers, layer)
  return {is = "rows", writers = writers}
end

--- A value that a layer takes for a map of so many channels, and of so many numbers where that is known.
-- @treturn table the value as a map
-- @raise where a map of other channels became this one by a change of shape
function Flow:picture(value, channels, size)
  if value.was and value.was ~= channels then
    core.raise(("%s: layout: a map of %d channels in the shape of one of %d mixes channels and pixels, in another way "
      .. "than PyTorch"):format(self.name, value.was, channels))
  end
  if value.is == "rows" then
    for _, writer in ipairs(value.writers) do
      table.insert(record(self, writer).writes, {channels = channels, size = size})
    end
  elseif value.inside and channels > 1 then
    table.insert(self.starts, {channels = channels, size = size})
  end
  return map(channels)
end

--- A value with all axes but the first made one.
-- @treturn table the value
function Flow.flatten(_, value)
  if value.is == "map" then return {is = "flat", channels = value.channels} end
  return value.is == "unknown" and {is = "flat", inside = value.inside} or value
end

-- The channels of a picture of these sizes, one of which may be open (-1), and its numbers where they are known.
local function picture_sizes(flow, value, sizes)
  local size = sizes[1] * sizes[2] * sizes[3]
  if sizes[3] >= 0 then return sizes[3], size >= 0 and size or nil end
  if value.is ~= "rows" or #value.writers == 0 or size == 0 then return nil end
  size = flow.layers[value.writers[1]].outputs
  return size // (sizes[1] * sizes[2]), size
end

--- A value in another shape, the sizes of an item as `nn.Reshape` takes them.
-- @treturn table the value
function Flow:reshape(value, sizes)
  if #sizes == 1 then return self:flatten(value) end
  local before = value.channels
  if #sizes ~= 3 then
    if not before then return value end
    return before == 1 and {is = "rows", writers = {}} or {is = "flat", was = before}
  end
  local channels, size = picture_sizes(self, value, sizes)
  if not channels then return {is = "flat", was = before, inside = value.inside} end
  if before == channels then return map(channels) end
  return self:picture(before and {is = "flat", was = before} or value, channels, size)
end

-- A value goes where nothing is seen: other layers there may read it as it is, or flattened, or as a map.
local function leave(flow, value)
  if value.is == "rows" then
    for _, writer in ipairs(value.writers) do record(flow, writer).leaves = true end
  elseif value.is == "flat" and not value.channels then
    flow.any_end = true
  elseif value.channels and value.channels > 1 then
    table.insert(flow.ends, value.channels)
  end
end

--- Follows a value through a layer and its parts.
-- @tparam Module layer
-- @tparam table value
-- @treturn table the value that goes out
function Flow:through(layer, value)
  self.seen[layer] = true
  local word, out = word_of(layer), {is = "unknown", inside = true}
  if type(word) == "function" then
    out = word(layer, value, self)
  elseif word == "keeps" then
    out = value
  elseif word ~= nil then
    out = map(options.expect(self.name, ("%s: torch_layout"):format(layer.kind), word, "count"))
  end
  local unseen = word == nil
  for _, entry in ipairs(layer:modules()) do -- parts that its forward function calls, in whatever way
    local part = entry[2]
    if not self.seen[part] then
      leave(self, self:through(part, {is = "unknown", inside = true}))
      unseen = true
    end
  end
  if unseen then leave(self, value) end
  return out
end

-- ---- what follows for the layers that read or write rows ----

-- What the two sides of a layer are called.
local SIDES = {
  reads = {size = "inputs", question = "reads %d numbers: perhaps a flattened map%s"},
  writes = {size = "outputs", question = "writes %d numbers: perhaps a map%s"},
}

-- Channels that a map of so many numbers can have, of those in a list of {channels =, size =} or numbers. A map of one
-- channel, or of one pixel, has the same order everywhere.
local function candidates(size, list)
  local found, there = {}, {}
  for _, item in ipairs(list) do
    local channels = type(item) == "table" and item.channels or item
    local exact = type(item) == "table" and item.size or size
    if exact == size and size > channels and size % channels == 0 and not there[channels] then
      found[#found + 1], there[channels] = channels, true
    end
  end
  table.sort(found)
  return found
end

-- Channels of the map that a value of `size` numbers a row is, 1 for none; or nil, and where it has to be asked the
-- likely ones.
local function channels_of(flow, value, size)
  if value.settled or value.is == "rows" then return value.settled or 1 end
  if value.is == "flat" then
    if value.channels or size == 1 then return value.channels or 1 end
    return nil, {}
  end
  local likely = value.inside and candidates(size, flow.ends) or {}
  if #likely > 0 or value.inside and flow.any_end and size > 1 then return nil, likely end
end

-- Channels of the flattened map that a layer reads, 1 for none; nil and the likely ones where it cannot be seen.
local function channels_read(flow, known)
  local channels, likely
  for _, value in ipairs(known.reads) do
    local here, perhaps = channels_of(flow, value, known.inputs)
    if channels and here and here ~= channels then return nil, {channels, here} end
    channels, likely = channels or here, likely or perhaps
  end
  if channels or not likely then return channels or 1 end
  return nil, likely
end

-- The same for the map that becomes of what it writes.
local function channels_written(flow, known)
  local channels
  for _, written in ipairs(known.writes) do
    local fits = not written.size or written.size == known.outputs
    if not fits then return nil, {written.channels} end
    if channels and channels ~= written.channels then return nil, {channels, written.channels} end
    channels = written.channels
  end
  if channels or not known.leaves then return channels or 1 end
  local likely = candidates(known.outputs, flow.starts)
  if #likely == 0 then return 1 end
  return nil, likely
end

-- The option `channels`: a number, what a layer reads, or {reads =, writes =}.
local function take_given(flow, given, layers)
  for path, answer in pairs(given) do
    local name = "channels: " .. tostring(path)
    local known = flow.layers[layers[path]]
    if not known then
      core.raise(("%s: %s: the model has no such linear layer (or layer norm)"):format(flow.name, name))
    end
    if type(answer) ~= "table" then answer = {reads = answer} end
    options.check(flow.name .. ": " .. name, answer, {"reads", "writes"})
    for side, channels in pairs(answer) do
      options.expect(flow.name, name, channels, "count")
      local size = known[SIDES[side].size]
      if not size or size % channels ~= 0 then
        core.raise(("%s: %s: expected a divisor of the layer's %d %s, got %d"):format(flow.name, name, size or 1,
          SIDES[side].size, channels))
      end
    end
    known.given = answer
    for _, value in ipairs(known.reads) do value.settled = answer.reads end
  end
end

-- Raises a list of the layers of which it has to be said what they read or write.
local function ask(flow, questions)
  table.sort(questions)
  core.raise(("%s: layout: PyTorch counts a map's numbers in another order, and it cannot be seen of how many channels "
    .. "the map is here:\n%s\nsay it by channels = {[\"name\"] = what it reads} or {[\"name\"] = {reads = ..., "
    .. "writes = ...}}, 1 where it is no map or has one channel"):format(flow.name, table.concat(questions, "\n")))
end

local function question(layer, path, side, size, likely)
  local of = #likely > 0 and (" of %s channels"):format(table.concat(likely, " or ")) or ""
  return ("  %-16s %s %s"):format(path, tostring(layer), SIDES[side].question:format(size, of))
end

--- How the rows that a model's layers read and write stand to PyTorch's.
-- @tparam string name of the caller, for messages
-- @tparam Module model
-- @tparam table given by path: the channels of maps that cannot be seen
-- @treturn {[Module]=table} for each layer that reads or writes rows {reads =, writes =}: channels, 1 for no map
-- @raise where it depends on something that is neither seen nor given
function M.layouts(name, model, given)
  local flow = setmetatable({name = name, layers = {}, seen = {}, starts = {}, ends = {}}, Flow)
  flow:through(model, {is = "unknown"})
  local list, layers, layouts, questions = model:modules(), {}, {}, {}
  for _, entry in ipairs(list) do layers[entry[1]] = entry[2] end
  take_given(flow, given, layers)
  for _, entry in ipairs(list) do
    local path, layer = entry[1], entry[2]
    local known = flow.layers[layer]
    if known then
      local layout = {}
      for side, seen in pairs{reads = channels_read, writes = channels_written} do
        local size, answer, likely = known[SIDES[side].size], known.given and known.given[side], {}
        if not answer then answer, likely = seen(flow, known) end
        layout[side] = answer
        if not answer then questions[#questions + 1] = question(layer, path, side, size, likely) end
      end
      layouts[layer] = layout
    end
  end
  if #questions > 0 then ask(flow, questions) end
  return layouts
end

return M
