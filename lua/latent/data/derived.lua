--- Data sets made of others: a function of each batch, several sets behind one another.
-- @module latent.data.derived
local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local subset = require "latent.data.subset"

local raise = core.raise

local M = {}

-- ---- a function of each batch ----

local Mapped = {}
Mapped.__index = Mapped
Mapped.__name = "data set" -- in messages

--- Some rows, through the function. Of a batch that no loader asks for the random numbers are the global ones.
function Mapped:batch(index, generator)
  local x, y = self.set:batch(index, generator)
  local new_x, new_y = self.f(x, y, generator)
  if not core.is_tensor(new_x) then
    raise("data.map: f: expected a tensor as its result, got " .. options.describe(new_x))
  end
  if new_x:dim() < 1 or new_x:size(1) ~= x:size(1) then
    raise(("data.map: f: expected %d rows, as it was given, got %s"):format(x:size(1), options.describe(new_x)))
  end
  if new_y == nil then new_y = y end
  -- The batch is the caller's: no part of what f took it from.
  return core.own(new_x), core.is_tensor(new_y) and core.own(new_y) or new_y
end

function Mapped:__len() return #self.set end

function Mapped:__tostring() return "a function of " .. tostring(self.set) end

--- See latent.data.map.
function M.map(set, f)
  subset.check_set("data.map", set)
  options.expect("data.map", "f", f, "function")
  return setmetatable({set = set, f = f, name = set.name, split = set.split, classes = set.classes,
    labels = set.labels, random = true}, Mapped)
end

-- ---- one behind the other ----

local Joined = {}
Joined.__index = Joined
Joined.__name = "data set"

-- The set that holds a position, and the position there.
local function locate(self, position)
  for i, last in ipairs(self.ends) do
    if position <= last then return i, position - (i > 1 and self.ends[i - 1] or 0) end
  end
end

--- Some rows, in the order asked for.
function Joined:batch(index, generator)
  if type(index) == "table" then index = core.tensor(index) end
  local parts, order, count = {}, {}, 0
  for at, position in ipairs(index:table()) do
    local which, inside = locate(self, position)
    if not which or inside < 1 then
      raise(("batch: index: expected 1 to %d, got %s"):format(#self, position))
    end
    local part = parts[which] or {places = {}, at = {}}
    parts[which] = part
    part.places[#part.places + 1], part.at[#part.at + 1] = inside, at
  end
  local xs, ys = {}, {}
  for which = 1, #self.sets do
    if parts[which] then
      xs[#xs + 1], ys[#ys + 1] = self.sets[which]:batch(core.tensor(parts[which].places), generator)
      for _, at in ipairs(parts[which].at) do
        count = count + 1
        order[at] = count
      end
    end
  end
  order = core.tensor(order)
  local x = lt.cat(xs, 1):gather_rows(order)
  return x, #ys == #xs and lt.cat(ys, 1):gather_rows(order) or nil
end

function Joined:__len() return self.ends[#self.ends] end

function Joined:__tostring()
  local texts = {}
  for i, set in ipairs(self.sets) do texts[i] = tostring(set) end
  return table.concat(texts, ", then ")
end

--- See latent.data.concat.
function M.concat(sets)
  options.expect("data.concat", "sets", sets, "list")
  if #sets == 0 then raise "data.concat: sets: expected at least one" end
  local ends, labels, random = {}, {}, false
  for i, set in ipairs(sets) do
    subset.check_set("data.concat", set)
    ends[i] = (ends[i - 1] or 0) + #set
    labels[i] = core.is_tensor(set.labels) and set.labels or nil
    random = random or set.random ~= false
  end
  return setmetatable({sets = table.move(sets, 1, #sets, 1, {}), ends = ends, name = sets[1].name,
    classes = sets[1].classes, labels = #labels == #sets and lt.cat(labels, 1) or nil,
    random = random}, Joined)
end

core.methods_of(Mapped, "set")
core.methods_of(Joined, "set")

return M
