--- A part of a data set, picked by position: a view that shares the images of the set.
-- @module latent.data.subset

require "latent" -- tensors get their methods
local core = require "latent.core"
local options = require "latent.base.options"
local raise = core.raise

local M = {}

--- A part of a set. `#subset` is the number of images.
-- @type Subset
-- @tfield string name as of the whole set, as split and classes are
-- @tfield string split
-- @tfield {string,...} classes
-- @tfield Tensor labels u8 [n]
-- @tfield Tensor positions float32 [n], places in the whole set from 1
local Subset = {}
Subset.__index = Subset
Subset.__name = "data set" -- in messages

--- Some images and their labels, ready for a model.
-- @tparam Tensor|{int,...} index positions in the part, from 1
-- @tparam ?Generator generator for sets that draw random numbers
-- @treturn Tensor x, float32 [b, size, size, 1] in [-1, 1]
-- @treturn Tensor y, float32 [b], the labels
function Subset:batch(index, generator)
  if not core.is_tensor(index) then
    if type(index) ~= "table" then
      raise("batch: index: expected a table or a tensor of positions, got " .. options.describe(index))
    end
    index = core.tensor(index)
  end
  return self.set:batch(self.positions:gather_rows(index), generator)
end

function Subset:__len() return self.positions.shape[1] end

function Subset:__tostring()
  return ("%d of the items of %s"):format(#self, tostring(self.set))
end

--- Raises unless a value can be used as a data set.
-- @tparam string fname of the function, for the message
-- @param set
function M.check_set(fname, set)
  local meta = getmetatable(set)
  if type(set) ~= "table" or type(set.batch) ~= "function" or not (meta and meta.__len) then
    raise(("%s: set: expected a data set (#set and set:batch(index)), got %s"):format(
      fname, options.describe(set)))
  end
end

--- The images at some positions.
-- @tparam Set set
-- @tparam Tensor|{int,...} positions [n], from 1
-- @treturn Subset
function M.new(set, positions)
  M.check_set("data.subset", set)
  if type(positions) == "table" and #positions > 0 then positions = core.tensor(positions) end
  if not core.is_tensor(positions) or positions:dim() ~= 1 then
    raise("data.subset: positions: expected a list of positions, got " .. options.describe(positions))
  end
  local least, most = positions:min():item(), positions:max():item()
  if least < 1 or most > #set then
    raise(("data.subset: positions: expected 1 to %d, got %d to %d"):format(#set, least // 1, most // 1))
  end
  return setmetatable({
    set = set, positions = positions, random = set.random, name = set.name, split = set.split, classes = set.classes,
    labels = core.is_tensor(set.labels) and set.labels:gather_rows(positions) or nil,
  }, Subset)
end

local split_options = options.declare("data.split", {{"seed", "integer", 1, "which fixes who is drawn"}})

--- Splits a set in two; see latent.data.split.
-- @tparam Set set
-- @tparam number held_back number of images, or below 1 a share of them, of the second part
-- @tparam ?table opts
-- @return two parts
function M.split(set, held_back, opts)
  M.check_set("data.split", set)
  local seed = split_options(opts).seed
  local count = options.expect("data.split", "held_back", held_back, "number")
  if count < 1 then count = count * #set // 1 end
  count = math.tointeger(count)
  if not count or count < 1 or count >= #set then
    raise(("data.split: held_back: expected 1 to %d images or a share that leaves both parts some, got %s")
      :format(#set - 1, options.describe(held_back)))
  end
  local order = core.randperm(#set, {generator = core.generator(seed)})
  local kept = #set - count
  return M.new(set, order:slice(1, 1, kept)), M.new(set, order:slice(1, kept + 1, #set))
end

core.methods_of(Subset, "set")

return M
