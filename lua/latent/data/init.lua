--- Data sets and how they reach a model: MNIST, Fashion-MNIST, any pair of IDX files; batches,
-- noisy copies, the ten examples.
-- @module latent.data

local core = require "latent.core"
local options = require "latent.base.options"
local loader = require "latent.data.loader"
local sets = require "latent.data.set"
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

local function check_size(fname, size)
  if size == nil then return 32 end
  if math.type(size) ~= "integer" or size < 1 or size > MAX_SIZE then
    raise(("%s: size: expected 1 to %d pixels, got %s"):format(fname, MAX_SIZE, options.describe(size)))
  end
  return size
end

local function check_text(fname, name, value)
  if value ~= nil and type(value) ~= "string" then
    raise(("%s: %s: expected a string, got %s"):format(fname, name, options.describe(value)))
  end
  return value
end

-- The options that both known sets have, checked; a spec for `sets.read_split`.
local function spec_of(fname, set, opts)
  local which, split = sources.sets[set], opts.split or "train"
  if not sources.names[split] then
    raise(('%s: split: expected "train" or "test", got %s'):format(fname, options.describe(split)))
  end
  check_text(fname, "dir", opts.dir)
  return {
    name = which.title, set = set, split = split, classes = which.classes,
    size = check_size(fname, opts.size),
    sha256 = opts.verify ~= false and which.sha256 or nil,
    example_list = split == "test" and which.examples or nil,
  }
end

--- Reads MNIST: 60,000 training or 10,000 test images of handwritten digits. The files are looked
-- for in `dir`, else in the folder LATENT_DATA, else in the cache that `make data` fills: with or without ".gz",
-- with "-idx3-ubyte" or ".idx3-ubyte", also in the folder `MNIST/raw` that torchvision makes there.
-- @tparam ?table opts `split`: "train" (default) or "test"; `size`: side of the images after
--   resizing (32); `dir`: folder; `mini`: true for the 500 images a split that come with the
--   library (its first ten test images are the ten examples); `verify = false`: take files whose
--   digest is not MNIST's
-- @treturn ?Set images u8 [n, size, size, 1], labels u8 [n]; nil where a file is missing or damaged
-- @treturn ?string the message then
function M.mnist(opts)
  opts = options.check("data.mnist", opts, {"split", "dir", "size", "mini", "verify"})
  local spec = spec_of("data.mnist", "mnist", opts)
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

--- Reads Fashion-MNIST: as MNIST, but clothes. The files are looked for in `dir`, else in the
-- folder LATENT_FASHION_DATA, else where the Debian package dataset-fashion-mnist puts them.
-- @tparam ?table opts `split`, `size`, `dir`, `verify`: as for `mnist`
-- @treturn ?Set images u8 [n, size, size, 1], labels u8 [n]; nil where a file is missing or damaged
-- @treturn ?string the message then
function M.fashion_mnist(opts)
  opts = options.check("data.fashion_mnist", opts, {"split", "dir", "size", "verify"})
  local spec = spec_of("data.fashion_mnist", "fashion_mnist", opts)
  local dir, message = opts.dir, nil
  if not dir then dir, message = sources.locate_fashion_mnist() end
  if not dir then return nil, message end
  return sets.read_split(dir, spec)
end

local function default_classes(n)
  local out = {}
  for i = 1, n do out[i] = tostring(i - 1) end
  return out
end

--- Reads any pair of IDX files, plain or gzip: images [n, height, width] and labels [n].
-- @tparam table opts `images`, `labels`: paths; `size`: side of the images after resizing (32);
--   `classes`: their names (default: "0" to "9"); `name` and `split`: for messages
-- @treturn ?Set nil where a file is missing or damaged
-- @treturn ?string the message then
function M.idx(opts)
  opts = options.check("data.idx", opts, {"images", "labels", "size", "classes", "name", "split"})
  for _, name in ipairs {"images", "labels"} do
    if opts[name] == nil then raise(("data.idx: %s: expected a path, got nil"):format(name)) end
  end
  for _, name in ipairs {"images", "labels", "name", "split"} do
    check_text("data.idx", name, opts[name])
  end
  local classes = opts.classes or default_classes(10)
  if type(classes) ~= "table" or #classes < 1 or #classes > 256 then
    raise "data.idx: classes: expected a table of 1 to 256 names"
  end
  return sets.read {
    images = opts.images, labels = opts.labels, classes = classes,
    name = opts.name or opts.images:match("[^/]*$"), split = opts.split or "all",
    size = check_size("data.idx", opts.size),
  }
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

--- A noisy copy: x + sigma * N(0, 1), not clipped.
-- @tparam Tensor x float32, of any shape
-- @tparam[opt=0.5] number sigma
-- @tparam ?table opts `generator`: where the numbers come from (default: the global one)
-- @treturn Tensor float32, of x's shape
function M.noisy(x, sigma, opts)
  local lt = require "latent"
  opts = options.check("data.noisy", opts, {"generator"})
  if not lt.is_tensor(x) or x.dtype == "u8" then
    local got = lt.is_tensor(x) and x.dtype or options.describe(x)
    raise("data.noisy: x: expected a float tensor, got " .. got)
  end
  sigma = sigma or 0.5
  if type(sigma) ~= "number" or not (sigma >= 0 and sigma < math.huge) then
    raise("data.noisy: sigma: expected a number from 0, got " .. options.describe(sigma))
  end
  return x + lt.randn(x.shape, {generator = opts.generator}) * sigma
end

--- Hands out a set in batches: `for batch in data.loader(set, {batch = 64}) do ... end`, where
-- batch.x is float32 [b, size, size, 1] in [-1, 1] and batch.y float32 [b]. See latent.data.loader.
-- @tparam Set set
-- @tparam ?table opts `batch` (64), `shuffle` (true), `seed` (1), `drop_last` (false)
-- @treturn Loader
function M.loader(set, opts) return loader.new(set, opts) end

--- Splits a set in two at random, in a way that a seed fixes: a part to train with and a part to validate with.
-- Both are views that share the images of the set.
-- @usage local train, validation = data.split(data.mnist{split = "train"}, 5000)
-- @tparam Set set
-- @tparam number held_back how much the second part gets: a number of images, or below 1 a share of them
-- @tparam ?table opts `seed` (1)
-- @treturn Subset the first part
-- @treturn Subset the second
function M.split(set, held_back, opts) return subset.split(set, held_back, opts) end

--- f(x, y) for all images of a set, batch by batch and without recording, as one tensor.
-- @usage local codes = data.apply(test, function(x) return model:encode(x) end)   -- [#test, 2]
-- @tparam Set set
-- @tparam function f of a batch's images [b, size, size, channels] and labels [b]; returns a tensor [b, ...]
-- @tparam ?table opts `batch` (250)
-- @treturn Tensor [#set, ...]
function M.apply(set, f, opts) return whole.apply(set, f, opts) end

--- The means over all images of a set of what f(x, y) returns for a batch, without recording; a batch counts as much as
-- it has images.
-- @usage local mse = data.average(test, function(x) return lt.mse_loss(model(x), x) end)
-- @tparam Set set
-- @tparam function f of a batch's images and labels; returns numbers, or tensors of one element
-- @tparam ?table opts `batch` (250); `grad` (false): f may record, for it optimises something itself
-- @treturn number ... as many as f returns
function M.average(set, f, opts) return whole.average(set, f, opts) end

--- Tensors of one's own as a data set; a batch has some rows of each.
-- @usage local set = data.tensors{x = features, y = labels}
-- for batch in data.loader(set, {batch = 32}) do print(batch.x, batch.y) end
-- @tparam table parts `x`: [n, ...]; `y`: [n, ...], perhaps; `classes`: their names, perhaps. u8 becomes float32
-- @treturn Set
function M.tensors(parts) return tensors.new(parts) end

--- Some images of a set as a set of their own, a view that shares the memory of the other.
-- @usage local thousand = data.subset(test, lt.arange(1, 1000))
-- @tparam Set set
-- @tparam Tensor|{int,...} positions from 1
-- @treturn Subset
function M.subset(set, positions) return subset.new(set, positions) end

--- Makes sure that MNIST is on this machine, complete and right: looks into the folder LATENT_DATA when that is
-- set, else fills the cache.
-- @tparam ?table opts `dir`: the folder to fill (default: the cache); `url`: where to look first (default:
-- LATENT_MNIST_URL); `npm`: whether to ask npm (default: where it is present); `sha256`: name -> digest (default:
-- MNIST's own); `log`: function(line), told what is done
-- @treturn ?string the folder; nil where MNIST cannot be had
-- @treturn ?string a message then, which says what to do
function M.fetch(opts) return require("latent.data.fetch").fetch(opts) end

return setmetatable(M, require("latent.base.foreign").asked("data", "data"))
