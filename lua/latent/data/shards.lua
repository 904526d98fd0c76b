--- Data sets larger than memory: files of some rows each, the shards, whose bytes stay on the disk.
-- @module latent.data.shards
local lt = require "latent"
local core = require "latent.core"
local idx = require "latent.idx"
local npy = require "latent.npy"
local options = require "latent.base.options"
local safetensors = require "latent.safetensors"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

local Shards = {}
Shards.__index = Shards
Shards.random = false -- it draws nothing: a loader makes no generator for it
Shards.__name = "data set" -- in messages

-- ---- one shard ----

-- A tensor whose bytes stay in a file, by the file's name.
local function open_file(path)
  if path:find "%.npy$" then return npy.open(path) end
  return idx.map(path)
end

-- The tensors x and y of a shard, or nil and a message.
local function open_shard(self, shard)
  if type(shard) == "string" then
    local tensors, message = safetensors.open(shard)
    if not tensors then return nil, message end
    for _, name in ipairs{self.x_name, self.y_name} do
      if not tensors[name] then return nil, ("%s: has no tensor %q"):format(shard, name) end
    end
    return {x = tensors[self.x_name], y = self.y_name and tensors[self.y_name]}
  end
  local found = {}
  for _, part in ipairs{"x", "y"} do
    if shard[part] then
      local x, message = open_file(shard[part])
      if not x then return nil, message end
      found[part] = x
    end
  end
  return found
end

local function name_of(shard) return type(shard) == "string" and shard or shard.x end

local function close(parts)
  parts.x:close()
  if parts.y then parts.y:close() end
end

-- What a row of a shard is: the same in all of them.
local function row_of(x)
  local sizes = {table.unpack(x.shape)}
  return x.dtype .. " " .. shapes.text{table.unpack(sizes, 2)}
end

local function check_shard(self, shard, parts)
  local x, y = parts.x, parts.y
  if x:dim() < 1 or x:size(1) < 1 then return nil, name_of(shard) .. ": expected at least one row" end
  if y and (y:dim() < 1 or y:size(1) ~= x:size(1)) then
    return nil, ("%s: %d rows, and %s of y"):format(name_of(shard), x:size(1), shapes.text(y))
  end
  local row = row_of(x) .. (y and ", " .. row_of(y) or "")
  self.row = self.row or row
  if row ~= self.row then
    return nil, ("%s: its rows are %s, those of %s %s"):format(name_of(shard), row, name_of(self.list[1]), self.row)
  end
  return x:size(1)
end

-- ---- the set ----

local PLACES = {dtype = "i64"}

-- The tensors of a shard; the one that was not used for longest makes room for it.
local function use(self, number)
  local parts = self.opened[number]
  self.clock = self.clock + 1
  if parts then
    parts.used = self.clock
    return parts
  end
  local count, oldest = 0, nil
  for other, others in pairs(self.opened) do
    count = count + 1
    if not oldest or others.used < self.opened[oldest].used then oldest = other end
  end
  if count >= self.open then
    close(self.opened[oldest])
    self.opened[oldest] = nil
  end
  local message
  parts, message = open_shard(self, self.list[number])
  if not parts then raise("data.shards: " .. message) end
  if parts.x:size(1) ~= self.blocks[number] then
    raise(("data.shards: %s: has %d rows, and had %d"):format(name_of(self.list[number]), parts.x:size(1),
      self.blocks[number]))
  end
  parts.used = self.clock
  self.opened[number] = parts
  return parts
end

local function locate(self, position)
  local ends, low, high = self.ends, 1, #self.ends
  while low < high do
    local middle = (low + high) // 2
    if ends[middle] >= position then high = middle else low = middle + 1 end
  end
  return low, position - (ends[low] - self.blocks[low])
end

-- The rows wanted of each shard: {number, rows, places in the batch}, in the order in which shards are met.
local function by_shard(self, index)
  local list, groups = {}, {}
  for place, position in ipairs(index) do
    position = math.tointeger(position)
    if not position or position < 1 or position > #self then
      raise(("batch: index: expected positions from 1 to %d, got %s"):format(#self,
        options.describe(index[place])))
    end
    local number, row = locate(self, position)
    local group = groups[number]
    if not group then
      group = {number = number, rows = {}, places = {}}
      groups[number], list[#list + 1] = group, group
    end
    group.rows[#group.rows + 1], group.places[#group.places + 1] = row, place
  end
  return list
end

local function scaled(self, x, rows)
  if x.dtype ~= "u8" then return x:gather_rows(rows) end
  local scale, shift = self.scale, self.shift
  return lt.gather_scaled(x, rows, scale, shift)
end

--- Some rows: x [b, ...] and, where the shards have them, y [b, ...], float32.
function Shards:batch(index)
  if core.is_tensor(index) then index = index:table() end
  options.expect("batch", "index", index, "list")
  local xs, ys, order, count = {}, {}, {}, 0
  for i, group in ipairs(by_shard(self, index)) do
    local parts, rows = use(self, group.number), lt.tensor(group.rows, PLACES)
    xs[i] = scaled(self, parts.x, rows)
    if parts.y then
      local y = parts.y:gather_rows(rows)
      ys[i] = y.dtype == "u8" and y:float() or y
    end
    for _, place in ipairs(group.places) do
      count = count + 1
      order[place] = count
    end
  end
  if #xs == 1 then return xs[1], ys[1] end
  local places = lt.tensor(order, PLACES)
  return lt.cat(xs, 1):gather_rows(places), ys[1] and lt.cat(ys, 1):gather_rows(places)
end

--- Gives the files back.
function Shards:close()
  for number, parts in pairs(self.opened) do
    close(parts)
    self.opened[number] = nil
  end
end

Shards.__close = Shards.close

function Shards:__len() return self.ends[#self.ends] end

function Shards:__tostring() return ("%d rows in %d shards"):format(#self, #self.list) end

local shards_options = options.declare("data.shards", {
  {"open", "count", 4, "shards that are open at a time; a loader shuffles their rows among each other"},
  {"range", "list", {0, 255}, "what the bytes 0 and 255 of x become: {-1, 1} as in the sets of images"},
  {"x", "string", "x", "name of the tensor in a safetensors file"},
  {"y", "string", nil, "name of the other one, where there is one"},
  {"classes", "list", nil, "their names"},
})

local function check_list(list)
  options.expect("data.shards", "list", list, "list")
  if #list == 0 then raise "data.shards: list: expected at least one shard" end
  for i, shard in ipairs(list) do
    local ok = type(shard) == "string" or type(shard) == "table" and type(shard.x) == "string"
      and (shard.y == nil or type(shard.y) == "string")
    if not ok then
      raise(("data.shards: list: %d: expected the path of a safetensors file or {x = path, y = path}, got %s"):format(i,
        options.describe(shard)))
    end
  end
end

--- See latent.data.shards.
function M.new(list, opts)
  check_list(list)
  opts = shards_options(opts)
  local low, high = opts.range[1], opts.range[2]
  if type(low) ~= "number" or type(high) ~= "number" then
    raise "data.shards: range: expected two numbers, such as {-1, 1}"
  end
  local self = setmetatable({list = table.move(list, 1, #list, 1, {}), open = opts.open, x_name = opts.x,
    y_name = opts.y, classes = opts.classes, scale = (high - low) / 255, shift = low, blocks = {}, ends = {},
    opened = {}, clock = 0, name = "shards"}, Shards)
  local count = 0
  for i, shard in ipairs(self.list) do
    local parts, message = open_shard(self, shard)
    if not parts then return nil, message end
    local rows
    rows, message = check_shard(self, shard, parts)
    close(parts)
    if not rows then return nil, message end
    count = count + rows
    self.blocks[i], self.ends[i] = rows, count
  end
  return self
end

core.methods_of(Shards, "set")

return M
