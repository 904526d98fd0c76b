--- Data sets and how they reach a model: MNIST, Fashion-MNIST, any pair of IDX files; batches,
-- noisy copies, the ten examples.
-- @module latent.data

local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local augment = require "latent.data.augment"
local cifar = require "latent.data.cifar"
local csv = require "latent.data.csv"
local derived = require "latent.data.derived"
local fetch = require "latent.data.fetch"
local image_folder = require "latent.data.image_folder"
local loader = require "latent.data.loader"
local sets = require "latent.data.set"
local shards = require "latent.data.shards"
local sources = require "latent.data.sources"
local subset = require "latent.data.subset"
local tensors = require "latent.data.tensors"
local whole = require "latent.data.whole"
local raise = core.raise

local M = {}

--- The names of the classes of each set, label 0 first.
M.classes = {
  mnist = sources.sets.mnist.classes,
  fashion_mnist = sources.sets.fashion_mnist.classes,
}

local MAX_SIZE = 1024

local SIDE = options.kind("int", ("1 to %d pixels"):format(MAX_SIZE), function(size)
  return math.type(size) == "integer" and size >= 1 and size <= MAX_SIZE and size or nil
end)
local SPLIT = {"split", options.one_of{"train", "test"}, "train"}
local SIZE = {"size", SIDE, 32, "side of the images after resizing"}
local DIR = {"dir", "string", nil, "the folder of the files"}
local VERIFY = {"verify", "any", true, "false: take files whose digest is another than the set's"}
local PATH = options.kind("string", function(value) return value == nil and "a path" or "a string" end,
  function(value) return type(value) == "string" and value or nil end)

-- What `sets.read_split` is to read, of the options that both known sets have.
local function spec_of(set, opts)
  local which = sources.sets[set]
  return {
    name = which.title, set = set, split = opts.split, classes = which.classes, size = opts.size,
    sha256 = opts.verify and which.sha256 or nil,
    example_list = opts.split == "test" and which.examples or nil,
  }
end

local mnist_options = options.declare("data.mnist", {SPLIT, DIR, SIZE,
  {"mini", "any", nil, "true: the 500 images a split that come with the library (its first ten test images are the ten "
    .. "examples)"}, VERIFY})

--- Reads MNIST: 60,000 training or 10,000 test images of handwritten digits. The files are looked
-- for in `dir`, else in the folder LATENT_DATA, else in the cache that `make data` fills: with or without ".gz",
-- with "-idx3-ubyte" or ".idx3-ubyte", also in the folder `MNIST/raw` that torchvision makes there.
-- @tparam ?table opts
-- @treturn ?Set images u8 [n, size, size, 1], labels u8 [n]; nil where a file is missing or damaged
-- @treturn ?string the message then
function M.mnist(opts)
  opts = mnist_options(opts)
  local spec = spec_of("mnist", opts)
  local dir, message = opts.dir, nil
  if opts.mini then
    if dir then raise "data.mnist: mini: the mini set has its own folder, leave out dir" end
    dir, message = sources.mini()
    spec.name, spec.sha256 = "MNIST (mini)", nil
    spec.example_list = spec.split == "test" and {1, 2, 3, 4, 5, 6, 7, 8, 9, 10} or nil
  elseif not dir then
    dir, message = sources.locate_mnist()
  end
  if not dir then return nil, message end
  return sets.read_split(dir, spec)
end

local fashion_options = options.declare("data.fashion_mnist", {SPLIT, DIR, SIZE, VERIFY})

--- Reads Fashion-MNIST: as MNIST, but clothes. The files are looked for in `dir`, else in the
-- folder LATENT_FASHION_DATA, else where the Debian package dataset-fashion-mnist puts them.
-- @tparam ?table opts
-- @treturn ?Set images u8 [n, size, size, 1], labels u8 [n]; nil where a file is missing or damaged
-- @treturn ?string the message then
function M.fashion_mnist(opts)
  opts = fashion_options(opts)
  local spec = spec_of("fashion_mnist", opts)
  local dir, message = opts.dir, nil
  if not dir then dir, message = sources.locate_fashion_mnist() end
  if not dir then return nil, message end
  return sets.read_split(dir, spec)
end

local DIGITS = {}
for i = 0, 9 do DIGITS[i + 1] = tostring(i) end

local idx_options = options.declare("data.idx", {
  {"images", PATH, nil, "[n, height, width]", required = true}, {"labels", PATH, nil, "[n]", required = true}, SIZE,
  {"classes", options.kind("{string,...}", "a table of 1 to 256 names", function(value)
    return type(value) == "table" and #value >= 1 and #value <= 256 and value or nil
  end), DIGITS, "their names"},
  {"name", "string", nil, "for messages (default: the images' file)"}, {"split", "string", "all", "for messages"},
})

--- Reads any pair of IDX files, plain or gzip: images [n, height, width] and labels [n].
-- @tparam table opts
-- @treturn ?Set nil where a file is missing or damaged
-- @treturn ?string the message then
function M.idx(opts)
  opts = idx_options(opts)
  opts.name = opts.name or opts.images:match("[^/]*$")
  return sets.read(opts)
end

--- One image of each class, the same ones every time: for MNIST's test images those that the
-- answer sheet shows, for Fashion-MNIST's the first of each class, else the first of each class.
-- @tparam Set set
-- @treturn Tensor x, float32 [classes, size, size, 1] in [-1, 1], in the order of the classes
-- @treturn Tensor y, float32 [classes], the labels
function M.examples(set)
  if type(set) ~= "table" or type(set.example_positions) ~= "function" then
    raise("data.examples: set: expected a data set, got " .. options.describe(set))
  end
  return set:batch(set:example_positions())
end

local noisy_options = options.declare("data.noisy", {
  {"generator", "any", nil, "where the numbers come from (default: the global one)"}})

--- A noisy copy: x + sigma * N(0, 1), not clipped.
-- @tparam Tensor x float32, of any shape
-- @tparam[opt=0.5] number sigma
-- @tparam ?table opts
-- @treturn Tensor float32, of x's shape
function M.noisy(x, sigma, opts)
  opts = noisy_options(opts)
  if not lt.is_tensor(x) or x.dtype == "u8" then
    local got = lt.is_tensor(x) and x.dtype or options.describe(x)
    raise("data.noisy: x: expected a float tensor, got " .. got)
  end
  sigma = sigma or 0.5
  if type(sigma) ~= "number" or not (sigma >= 0 and sigma < math.huge) then
    raise("data.noisy: sigma: expected a number from 0, got " .. options.describe(sigma))
  end
  return x + lt.randn(x, {generator = opts.generator}) * sigma
end

--- Hands out a set in batches: `for batch in data.loader(set, {batch = 64}) do ... end`, where
-- batch.x is float32 [b, size, size, 1] in [-1, 1] and batch.y float32 [b]. See latent.data.loader.
-- @tparam Set set
-- @tparam ?table opts
-- @treturn Loader
function M.loader(set, opts) return loader.new(set, opts) end

--- Splits a set in two at random, in a way that a seed fixes: a part to train with and a part to validate with.
-- Both are views that share the images of the set.
-- @usage local train, validation = data.split(data.mnist{split = "train"}, 5000)
-- @tparam Set set
-- @tparam number held_back how much the second part gets: a number of images, or below 1 a share of them
-- @tparam ?table opts
-- @treturn Subset the first part
-- @treturn Subset the second
function M.split(set, held_back, opts) return subset.split(set, held_back, opts) end

--- f(x, y) for all images of a set, batch by batch and without recording, as one tensor.
-- @usage local codes = data.apply(test, function(x) return model:encode(x) end)   -- [#test, 2]
-- @tparam Set set
-- @tparam function f of a batch's images [b, size, size, channels] and labels [b]; returns a tensor [b, ...]
-- @tparam ?table opts
-- @treturn Tensor [#set, ...]
function M.apply(set, f, opts) return whole.apply(set, f, opts) end

--- The means over all images of a set of what f(x, y) returns for a batch, without recording; a batch counts as much as
-- it has images.
-- @usage local mse = data.average(test, function(x) return lt.mse_loss(model(x), x) end)
-- @tparam Set set
-- @tparam function f of a batch's images and labels; returns numbers, or tensors of one element
-- @tparam ?table opts
-- @treturn number ... as many as f returns
function M.average(set, f, opts) return whole.average(set, f, opts) end

--- Tensors of one's own as a data set; a batch has some rows of each.
-- @usage local set = data.tensors{x = features, y = labels}
-- for batch in data.loader(set, {batch = 32}) do print(batch.x, batch.y) end
-- @tparam table parts u8 becomes float32
-- @treturn Set
function M.tensors(parts) return tensors.new(parts) end

--- A set larger than memory, in files of some rows each: a few of them are open at a time, and their bytes stay on the
-- disk. A loader shuffles the files, and the rows of the open ones among each other, in an order that the seed fixes;
-- on several ranks each reads its own rows.
-- @usage local list = {}
-- for i = 1, 100 do list[i] = {x = ("images-%d.npy"):format(i), y = ("labels-%d.npy"):format(i)} end
-- local set = assert(data.shards(list, {range = {-1, 1}}))
-- @tparam {string|table,...} list paths of safetensors files, or {x = path, y = path} of .npy or plain IDX files (y may
--   be missing); x and y have a row for each, u8 or float32, and rows of one shape in all files
-- @tparam ?table opts
-- @treturn ?Set nil where a file is missing, damaged or unlike the first
-- @treturn ?string the message then
function M.shards(list, opts) return shards.new(list, opts) end

--- Some images of a set as a set of their own, a view that shares the memory of the other.
-- @usage local thousand = data.subset(test, lt.arange(1, 1000))
-- @tparam Set set
-- @tparam Tensor|{int,...} positions from 1
-- @treturn Subset
function M.subset(set, positions) return subset.new(set, positions) end

--- A table from a CSV file (RFC 4180): quotes, line ends inside them, any separator. A column whose fields are all
-- numbers holds numbers, any other words; `print(t)` says what was found, so that a wrong guess is seen.
-- @usage local t = assert(data.csv "flowers.csv")
-- print(t)                                          -- names, types, ranges, missing values
-- local x = t:tensor{"length", "width"}             -- [#t, 2]
-- local y, classes = t:labels "species"             -- [#t] from 0, and their names
-- local set = t:set{y = "species"}                  -- all other numbers as x: for data.loader, data.split
-- @tparam string path
-- @tparam ?table opts
-- @treturn ?Table nil where the file is missing or no table
-- @treturn ?string the message then, with the line
function M.csv(path, opts) return csv.read(path, opts) end

--- Pictures in folders as a data set: a folder for each class, its name the class's; without such folders the pictures
-- are one class. PNG, PGM and PPM.
-- @tparam string folder
-- @tparam ?table opts
-- @treturn ?Set images u8 [n, size, size, 1 or 3], labels u8 [n]; nil where a picture is damaged or there is none
-- @treturn ?string the message then
function M.image_folder(folder, opts) return image_folder.read(folder, opts) end

local cifar_options = options.declare("data.cifar10", {SPLIT,
  {"dir", "string", nil, "the folder of the files (unless said: LATENT_CIFAR10_DATA)"}})

--- Reads CIFAR-10 from the files of its binary version (`data_batch_1.bin` and so on): 50,000 training or 10,000 test
-- colour images in ten classes.
-- @tparam ?table opts
-- @treturn ?Set images u8 [n, 32, 32, 3], labels u8 [n]; nil where a file is missing or damaged
-- @treturn ?string the message then
function M.cifar10(opts)
  opts = cifar_options(opts)
  return cifar.read(opts.dir, opts.split)
end

--- A function of each batch of a set, as a set: what comes in as x and y goes out as the function returns them.
-- @usage local noisy = data.map(set, function(x, y, g) return data.noisy(x, 0.5, {generator = g}), x end)
-- @tparam Set set
-- @tparam function f of x, y and the generator that random numbers come from (of a loader's batch: fixed by its seed,
-- epoch and place, so that a run that goes on sees the same); returns x and, where it differs, y
-- @treturn Set
function M.map(set, f) return derived.map(set, f) end

--- Several sets behind one another, as one.
-- @tparam {Set,...} list sets of the same shape of images
-- @treturn Set
function M.concat(list) return derived.concat(list) end

--- A function for `data.map` that changes the images of each batch at random.
-- @usage local train = data.map(set, data.augment{shift = 2, flip = true})
-- @tparam ?table opts
-- @treturn function
function M.augment(opts) return augment.new(opts) end

--- Makes sure that MNIST is on this machine, complete and right: looks into the folder LATENT_DATA when that is
-- set, else fills the cache.
-- @tparam ?table opts
-- @treturn ?string the folder; nil where MNIST cannot be had
-- @treturn ?string a message then, which says what to do
function M.fetch(opts) return fetch.fetch(opts) end

return setmetatable(M, require("latent.base.foreign").asked("data", "data"))
