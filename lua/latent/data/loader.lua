--- Hands out a data set in batches, in an order that a seed fixes.
-- The order of epoch e depends on the seed and e alone, so a run that goes on from a saved state
-- sees the batches that it would have seen.
-- @module latent.data.loader

local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local subset = require "latent.data.subset"
local windows = require "latent.data.windows"
local raise = core.raise

local M = {}

--- A loader is its own iterator: `for batch in loader do ... end` runs through one epoch, and the
-- next such loop through the next epoch. A loop that follows one left by `break` begins a new epoch
-- too; only after `set_state` does it go on in the middle. `#loader` is the number of batches in an
-- epoch.
-- @type Loader
-- @tfield int epoch from 1: the one that the next batch belongs to
-- @tfield int batch images in a batch
local Loader = {}
Loader.__index = Loader
Loader.__name = "loader" -- in messages

-- Distinct for every pair in practice: the seed is spread over all bits before the epoch is added.
local function epoch_seed(seed, epoch)
  return ((seed * 0x9E3779B97F4A7C15) ~ (epoch * 0x632BE59BD9B4E019)) & 0x7FFFFFFFFFFFFFFF
end

-- As many positions as the set has, each drawn with a chance in proportion to its weight.
local function draw(sums, count, generator)
  local total, order = sums[#sums], {}
  for i, u in ipairs(core.rand(count, {generator = generator}):table()) do
    local low, high, at = 1, #sums, u * total
    while low < high do
      local middle = (low + high) // 2
      if sums[middle] > at then high = middle else low = middle + 1 end
    end
    order[i] = low
  end
  return core.tensor(order)
end

local PLACES = {dtype = "i64"}

-- The positions of this epoch in order, [n]; made once an epoch.
local function order_of(self)
  if not self.order then
    local generator = core.generator(epoch_seed(self.seed, self.epoch))
    self.order = self.weights and draw(self.weights, self.count, generator)
      or core.randperm(self.count, {generator = generator})
  end
  return self.order
end

-- What a set draws random numbers from, unless it says that it draws none: seed, epoch and place fix them, so that a
-- run that goes on sees the same.
local function generator_of(self, first)
  return self.set.random ~= false and core.generator(epoch_seed(epoch_seed(self.seed, self.epoch), first)) or nil
end

local function begin_epoch(self, epoch)
  if self.order then self.order:close() end
  self.epoch, self.position, self.order = epoch, 0, nil
end

--- Goes on to the next batch without reading it.
-- @treturn ?int the images in it; nil at the end of the epoch (the call after that begins the next one)
function Loader:draw()
  self.resumed = false
  if self.position >= self.stop then
    begin_epoch(self, self.epoch + 1)
    return nil
  end
  self.from = self.position + 1
  self.position = math.min(self.position + self.batch, self.stop)
  return self.position - self.from + 1
end

-- Checks what a set gave: a set of the user's own may give anything, and a batch that is a part of something else is
-- the caller's to change.
local function taken(name, x, rows)
  if not core.is_tensor(x) then
    if type(x) == "table" then return x end -- of several inputs
    raise(("data.loader: the set's batch: %s: expected a tensor of %d rows, got %s"):format(name, rows,
      options.describe(x)))
  elseif x:dim() == 0 or x:size(1) ~= rows then
    raise(("data.loader: the set's batch: %s: expected %d rows, as many as positions, got %s"):format(name, rows,
      options.describe(x)))
  end
  return core.own(x)
end

--- Reads some of the batch that was drawn last.
-- @tparam int first from 1
-- @tparam int last
-- @treturn table as `next` gives it
function Loader:fetch(first, last)
  first, last = self.from + first - 1, self.from + last - 1
  local index
  if self.shuffle and self.window then
    self.order = self.order or windows.new(self.set.blocks, self.window, epoch_seed(self.seed, self.epoch))
    index = lt.tensor(self.order:positions(first, last), PLACES)
  elseif self.shuffle then
    -- A copy, since the order is freed at the end of the epoch and a batch may be kept.
    index = order_of(self):slice(1, first, last):clone()
  else
    index = lt.arange(first, last, PLACES)
  end
  local x, y = self.set:batch(index, generator_of(self, first))
  local rows = last - first + 1
  return {x = taken("x", x, rows), y = y ~= nil and taken("y", y, rows) or nil, index = index}
end

--- The next batch of the epoch, nil at its end (the call after that begins the next epoch).
-- @treturn ?table `x` float32 [b, size, size, 1] in [-1, 1], `y` float32 [b] labels,
--   `index` i64 [b] positions in the set
function Loader:next()
  local count = self:draw()
  return count and self:fetch(1, count)
end

function Loader:__call(_, previous)
  local begins = previous == nil
  if begins and self.position > 0 and not self.resumed then begin_epoch(self, self.epoch + 1) end
  return self:next()
end

function Loader:__len() return (self.stop + self.batch - 1) // self.batch end

function Loader:__tostring()
  return ("loader: %d batches of %d, epoch %d, %d of %d images handed out"):format(
    #self, self.batch, self.epoch, self.position, self.stop)
end

local SAME = {"seed", "count", "batch", "shuffle", "window_mark"}

--- Where the loader stands: a table of plain values that can be written as JSON. Taken after the
-- last batch of an epoch, it stands at the beginning of the next.
-- @treturn table
function Loader:state()
  local ended = self.position >= self.stop
  return {
    epoch = ended and self.epoch + 1 or self.epoch,
    position = ended and 0 or self.position,
    seed = self.seed, count = self.count, batch = self.batch, shuffle = self.shuffle,
    window_mark = self.window_mark,
  }
end

--- Goes to a place that `state` told; the next loop begins there.
-- @tparam table state of a loader with the same seed, batch, shuffle and number of images
-- @treturn Loader itself
function Loader:set_state(state)
  if type(state) ~= "table" then
    raise("loader: set_state: expected a table, got " .. options.describe(state))
  end
  for _, key in ipairs(SAME) do
    if state[key] ~= self[key] then
      raise(("loader: set_state: the state has %s = %s, this loader %s"):format(
        key, state[key], self[key]))
    end
  end
  local epoch, position = math.tointeger(state.epoch), math.tointeger(state.position)
  if not epoch or epoch < 1 then
    raise("loader: set_state: epoch: expected 1 or more, got " .. options.describe(state.epoch))
  end
  if not position or position < 0 or position > self.stop
    or (position % self.batch ~= 0 and position ~= self.stop) then
    raise("loader: set_state: position: expected the end of a batch, got "
      .. options.describe(state.position))
  end
  begin_epoch(self, epoch)
  self.position, self.resumed = position, true
  return self
end

-- Running sums of the weights, or nil where there are none.
local function sums_of(set, opts)
  local weights, sums, sum = opts.weights, {}, 0
  if weights == nil then return nil end
  if opts.shuffle == false then raise "data.loader: weights: they draw at random, and shuffle is false" end
  if core.is_tensor(weights) then weights = weights:table() end
  if type(weights) ~= "table" or #weights ~= #set then
    raise(("data.loader: weights: expected %d numbers, one for each, got %s"):format(#set,
      options.describe(opts.weights)))
  end
  for i, weight in ipairs(weights) do
    if type(weight) ~= "number" or not (weight >= 0 and weight < math.huge) then
      raise(("data.loader: weights: %d: expected a finite number of at least 0, got %s"):format(i,
        options.describe(weight)))
    end
    sum = sum + weight
    sums[i] = sum
  end
  if sum == 0 then raise "data.loader: weights: all of them are 0" end
  return sums
end

local FROM_ONE = options.kind("int", "a whole number from 1", function(value)
  return math.type(value) == "integer" and value >= 1 and value or nil
end)
local WHOLE = options.kind("int", "a whole number", function(value)
  return math.type(value) == "integer" and value or nil
end)
local FLAG = options.kind("boolean", "true or false", function(value)
  if type(value) == "boolean" then return value end
end)
local loader_options = options.declare("data.loader", {
  {"batch", FROM_ONE, 64, "images in a batch"}, {"shuffle", FLAG, true, "another order each epoch"},
  {"seed", WHOLE, 1, "which fixes the orders"}, {"drop_last", FLAG, false, "leave out a last batch that is short"},
  {"weights", "any", nil, "a number for each, in proportion to which it is drawn until an epoch is full"},
})

--- Makes a loader.
-- @tparam Set set a data set, or any table with `#set` and `set:batch(index) -> x, y`
-- @tparam ?table opts
-- @treturn Loader
function M.new(set, opts)
  subset.check_set("data.loader", set)
  opts = loader_options(opts)
  local count, batch = #set, opts.batch
  if opts.drop_last and count < batch then
    raise(("data.loader: batch: %d images make no batch of %d, and drop_last is set"):format(count, batch))
  end
  -- A set in blocks, few of which are open at a time, is shuffled a few of them at a time.
  local window = opts.shuffle and not opts.weights and set.blocks and set.open or nil
  return setmetatable({
    window = window, window_mark = window and windows.mark(set.blocks, window),
    set = set, batch = batch, seed = opts.seed, count = count, shuffle = opts.shuffle,
    weights = sums_of(set, opts),
    stop = opts.drop_last and count // batch * batch or count,
    epoch = 1, position = 0, resumed = false,
  }, Loader)
end

core.methods_of(Loader, "loader")

return M
