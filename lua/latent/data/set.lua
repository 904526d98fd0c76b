--- A data set in memory: images as u8 [n, size, size, 1] and labels as u8 [n], read from IDX files.
-- Pixels become floats in [-1, 1] only a batch at a time, which keeps MNIST at 60 MB.
-- @module latent.data.set

local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local files = require "latent.base.files"
local shapes = require "latent.base.shapes"
local idx = require "latent.idx"
local sources = require "latent.data.sources"
local raise = core.raise

local M = {}

--- A data set. `#set` is the number of images.
-- @type Set
-- @tfield string name
-- @tfield string split "train" or "test"
-- @tfield Tensor images u8 [n, size, size, 1]
-- @tfield Tensor labels u8 [n], values from 0
-- @tfield {string,...} classes their names, label 0 first
local Set = {}
Set.__index = Set
Set.random = false -- it draws nothing: a loader makes no generator for it
Set.__name = "data set" -- in messages

--- Some images and their labels, ready for a model.
-- @tparam Tensor|{int,...} index positions from 1
-- @treturn Tensor x, float32 [b, size, size, 1] in [-1, 1]
-- @treturn Tensor y, float32 [b], the labels
function Set:batch(index)
  if not lt.is_tensor(index) then
    if type(index) ~= "table" then
      raise("batch: index: expected a table or a tensor of positions, got " .. options.describe(index))
    end
    index = lt.tensor(index)
  end
  local x = lt.gather_scaled(self.images, index, 2 / 255, -1)
  return x, self.labels:gather_rows(index):float()
end

--- The first n images as a set of their own, which shares the memory of this one.
-- @tparam int n how many
-- @treturn Set
function Set:take(n)
  if math.type(n) ~= "integer" or n < 1 or n > #self then
    raise(("take: n: expected 1 to %d, got %s"):format(#self, options.describe(n)))
  end
  return M.new {
    name = self.name, split = self.split, classes = self.classes, example_list = self.example_list,
    images = self.images:slice(1, 1, n), labels = self.labels:slice(1, 1, n),
  }
end

--- The positions of one image of each class: those that belong to the set by convention, else the
-- first of each class.
-- @treturn {int,...} positions from 1, in the order of the classes
function Set:example_positions()
  local listed = self.example_list
  if listed and math.max(table.unpack(listed)) <= #self then
    return table.move(listed, 1, #listed, 1, {})
  end
  local labels, out = self.labels:bytes(), {}
  for class, name in ipairs(self.classes) do
    out[class] = labels:find(string.char(class - 1), 1, true)
    if not out[class] then
      raise(('examples: the set has no image of class "%s"'):format(name))
    end
  end
  return out
end

--- Frees the images and labels at once.
function Set:close()
  self.images:close()
  self.labels:close()
end

Set.__close = Set.close

function Set:__len() return self.images.shape[1] end

function Set:__tostring()
  local s = self.images.shape
  return ("%s %s: %d images %d x %d, %d classes"):format(
    self.name, self.split, s[1], s[2], s[3], #self.classes)
end

--- Makes a set of tensors.
-- @tparam table fields `name`, `split`, `images`, `labels`, `classes`, `example_list` (or nil)
-- @treturn Set
function M.new(fields) return setmetatable(fields, Set) end

-- Reading.

local BLOCK = 2000 -- images resized at a time: what lies between file and set stays small

-- Opens both files and compares them; readers, or nil and a message.
local function open_pair(images_path, labels_path)
  local images, message = idx.open(images_path)
  if not images then return nil, message end
  local labels
  labels, message = idx.open(labels_path)
  if not labels then
    images:close()
    return nil, message
  end
  local is, ls = images.shape, labels.shape
  if #is ~= 3 or is[1] * is[2] * is[3] == 0 then
    message = ("%s: expected images [n, height, width], found %s"):format(images_path, shapes.text(is))
  elseif #ls ~= 1 then
    message = ("%s: expected labels [n], found %s"):format(labels_path, shapes.text(ls))
  elseif ls[1] ~= is[1] then
    message = ("%s: expected %d labels, as %s has images, found %d"):format(
      labels_path, is[1], images_path, ls[1])
  else
    return images, labels
  end
  images:close()
  labels:close()
  return nil, message
end

-- u8 [n], or nil and a message when a label names no class.
local function read_labels(reader, classes)
  local bytes, message = reader:read(reader.shape[1])
  if not bytes then return nil, message end
  for i = 1, #bytes do
    if bytes:byte(i) >= classes then
      return nil, ("%s: image %d has label %d, expected 0 to %d"):format(
        reader.path, i, bytes:byte(i), classes - 1)
    end
  end
  return lt.from_bytes(bytes, reader.shape, "u8")
end

-- u8 [n, size, size, 1]
local function read_images(reader, size)
  local n, height, width = table.unpack(reader.shape)
  local out = lt.full({n, size, size, 1}, 0, "u8")
  for first = 1, n, BLOCK do
    local bytes, count = reader:read(BLOCK)
    if not bytes then return nil, count end
    local block = lt.from_bytes(bytes, {count, height, width, 1}, "u8")
    if height ~= size or width ~= size then
      local original <close> = block
      block = lt.resize_bilinear(original, size, size)
    end
    out:slice(1, first, first + count - 1):copy_(block)
    block:close()
  end
  return out
end

local function read_pair(images, labels, spec)
  local message
  for _, path in ipairs(spec.sha256 and {images.path, labels.path} or {}) do
    local ok
    ok, message = sources.verify(path, spec.sha256[sources.listed(path)])
    if not ok then return nil, message end
  end
  -- Labels first: they are small, and what is wrong with them is known before the long work.
  local label_tensor, image_tensor
  label_tensor, message = read_labels(labels, #spec.classes)
  if not label_tensor then return nil, message end
  image_tensor, message = read_images(images, spec.size)
  if not image_tensor then return nil, message end
  return M.new {
    name = spec.name, split = spec.split, classes = spec.classes,
    example_list = spec.example_list, images = image_tensor, labels = label_tensor,
  }
end

--- Reads a pair of IDX files.
-- @tparam table spec `images` and `labels` (paths), `name`, `split`, `classes`, `size`, and
--   optionally `sha256` (table file name -> digest) and `example_list` (positions)
-- @return a set, or nil and a message that names the file, what was expected and what was found
function M.read(spec)
  local images, labels = open_pair(spec.images, spec.labels)
  if not images then return nil, labels end
  local set, message = read_pair(images, labels, spec)
  images:close()
  labels:close()
  -- The bytes of the files, which Lua still holds, would only be found at a later collection.
  collectgarbage()
  return set, message
end

--- Reads one split of a set that lies in a folder.
-- @tparam string folder
-- @tparam table spec as for `read`, with `split` and `set` (which of latent.data.sources) in place of the paths
-- @return a set, or nil and a message
function M.read_split(folder, spec)
  if not files.is_dir(folder) then return nil, folder .. ": no such folder" end
  local names, message = sources.names[spec.split]
  spec.images, message = sources.find(folder, names.images, spec.set)
  if not spec.images then return nil, message end
  spec.labels, message = sources.find(folder, names.labels, spec.set)
  if not spec.labels then return nil, message end
  return M.read(spec)
end

core.methods_of(Set, "set")

return M
