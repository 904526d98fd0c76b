-- Sets made of others, of pictures in folders, of CIFAR-10's files; what a loader draws by weight.
local data = require "latent.data"
local files = require "latent.base.files"
local image = require "latent.image"
local lt = require "latent"
local scratch = require "spec.support.scratch"
require "spec.support.close"
require "spec.support.misuse"

local function numbers(first, last)
  return data.tensors{x = lt.arange(first, last):reshape(-1, 1), y = lt.arange(first, last)}
end

local function all(set, opts)
  opts = opts or {}
  opts.batch, opts.shuffle = opts.batch or 3, opts.shuffle or false
  local list = {}
  for batch in data.loader(set, opts) do
    for _, value in ipairs(batch.x:flatten():table()) do list[#list + 1] = value end
  end
  return list
end

describe("data.map", function()
  it("hands out what the function makes of a batch", function()
    local doubled = data.map(numbers(1, 5), function(x, y) return x * 2, y + 1 end)
    assert.same({2, 4, 6, 8, 10}, all(doubled))
    local x, y = doubled:batch{5}
    assert.close(x, {{10}})
    assert.close(y, {6})
    assert.equal(5, #doubled)
    assert.close(select(2, data.map(numbers(1, 2), function(a) return a end):batch{2}), {2})
    assert.same({4, 8}, all(data.subset(doubled, {2, 4})))
  end)

  it("gives random numbers that seed, epoch and place fix", function()
    local set = data.map(numbers(1, 6), function(x, y, g) return x * 0 + lt.rand(x.shape, {generator = g}), y end)
    local once = all(set, {seed = 3})
    assert.same(once, all(set, {seed = 3}))
    assert.not_same(once, all(set, {seed = 4}))
    local loader = data.loader(set, {batch = 2, seed = 3})
    local first = loader:next().x
    local state = loader:state()
    local second = loader:next().x
    assert((first - second):abs():max():item() > 0)
    local resumed = data.loader(set, {batch = 2, seed = 3}):set_state(state):next().x
    assert.close(resumed, second, 0)
    while loader:next() do end
    assert((loader:next().x - first):abs():max():item() > 0) -- another epoch
  end)

  it("refuses misuse", function()
    assert.misuse(function() data.map({}, print) end, "data.map: set: expected a data set")
    assert.misuse(function() data.map(numbers(1, 2)) end, "data.map: f: expected a function, got nil")
    assert.misuse(function() data.map(numbers(1, 2), function() return 3 end):batch{1} end,
      "data.map: f: expected a tensor as its result, got 3")
    assert.misuse(function() data.map(numbers(1, 2), function() return lt.zeros(3, 1) end):batch{1} end,
      "data.map: f: expected 1 rows")
  end)
end)

describe("data.concat", function()
  it("is its sets, one behind the other", function()
    local set = data.concat{numbers(1, 3), numbers(10, 11), numbers(20, 20)}
    assert.equal(6, #set)
    assert.same({1, 2, 3, 10, 11, 20}, all(set, {batch = 4}))
    local x, y = set:batch{6, 1, 4, 2}
    assert.close(x:flatten(), {20, 1, 10, 2})
    assert.close(y, {20, 1, 10, 2})
    assert.close(set.labels, {1, 2, 3, 10, 11, 20})
    local train, validation = data.split(set, 2, {seed = 1})
    assert.equal(6, #train + #validation)
  end)

  it("refuses misuse", function()
    assert.misuse(function() data.concat{} end, "data.concat: sets: expected at least one")
    assert.misuse(function() data.concat{numbers(1, 2), 3} end, "data.concat: set: expected a data set")
    assert.misuse(function() data.concat{numbers(1, 2)}:batch{3} end, "batch: index: expected 1 to 2, got 3")
  end)
end)

describe("data.augment", function()
  local x = lt.arange(1, 2 * 3 * 4):reshape(2, 3, 4, 1)

  it("turns about half of the images round", function()
    local many = x:slice(1, 1, 1):broadcast_to(200, 3, 4, 1)
    local y = data.augment{flip = true}(many, nil, lt.generator(1))
    local turned = 0
    for i = 1, 200 do
      local same = (y[i] - many[i]):abs():max():item() == 0
      assert(same or (y[i] - many[i]:flip(2)):abs():max():item() == 0)
      turned = turned + (same and 0 or 1)
    end
    assert(turned > 70 and turned < 130, turned)
  end)

  it("moves images by whole pixels, in every direction", function()
    local dot = lt.zeros(300, 5, 5, 1)
    dot:slice(1, 1, 300):fill_(-1)
    for i = 1, 300 do dot:set(i, 3, 3, 1, 1) end
    local y, seen = data.augment{shift = 1}(dot, nil, lt.generator(2)), {}
    for i = 1, 300 do
      local place = y[i]:flatten():argmax():item()
      seen[place] = true
      assert.equal(-23, y[i]:sum():item())
    end
    local count = 0
    for place in pairs(seen) do
      local row, column = (place - 1) // 5, (place - 1) % 5
      assert(math.abs(row - 2) <= 1 and math.abs(column - 2) <= 1)
      count = count + 1
    end
    assert.equal(9, count)
  end)

  it("draws brightness, contrast and noise for each image", function()
    local y = data.augment{brightness = 0.5}(x, nil, lt.generator(1)) - x
    for i = 1, 2 do
      assert((y[i]:max() - y[i]:min()):item() < 1e-5 and math.abs(y[i]:mean():item()) <= 0.5)
    end
    local c = data.augment{contrast = 0.5}(x, nil, lt.generator(1)) / x
    assert(c:min():item() >= 0.5 - 1e-6 and c:max():item() <= 1.5 + 1e-6)
    local noise = data.augment{noise = 2}(lt.zeros(50, 8, 8, 1), nil, lt.generator(1))
    assert.close(noise:std():item(), 2, 0.1)
  end)

  it("sees the same in a run that goes on", function()
    local set = data.map(data.tensors{x = lt.rand(6, 5, 5, 1)}, data.augment{shift = 1, flip = true, noise = 0.1})
    local loader = data.loader(set, {batch = 2})
    loader:next()
    local state, batch = loader:state(), loader:next()
    assert.close(data.loader(set, {batch = 2}):set_state(state):next().x, batch.x, 0)
  end)

  it("refuses misuse", function()
    assert.misuse(function() data.augment{flips = true} end, 'data.augment: unknown option "flips"')
    assert.misuse(function() data.augment{shift = 0.5} end, "data.augment: shift: expected a whole number")
    assert.misuse(function() data.augment{}(lt.zeros(3, 3)) end, "data.augment: x: expected images")
  end)
end)

describe("a loader with weights", function()
  it("draws in proportion to them, again and again", function()
    local set = numbers(1, 4)
    local loader, counts = data.loader(set, {batch = 4, weights = {0, 1, 3, 0}, seed = 5}), {0, 0, 0, 0}
    for _ = 1, 500 do
      for batch in loader do
        for _, value in ipairs(batch.y:table()) do counts[value // 1] = counts[value // 1] + 1 end
      end
    end
    assert.equal(2000, counts[2] + counts[3])
    assert.close(counts[3] / 2000, 0.75, 0.05)
  end)

  it("is fixed by its seed, and goes on", function()
    local set = numbers(1, 9)
    local function order() return all(set, {weights = lt.arange(1, 9), shuffle = true, batch = 2}) end
    assert.same(order(), order())
  end)

  it("refuses misuse", function()
    local set = numbers(1, 2)
    assert.misuse(function() data.loader(set, {weights = {1}}) end,
      "data.loader: weights: expected 2 numbers, one for each")
    assert.misuse(function() data.loader(set, {weights = {1, -1}}) end,
      "data.loader: weights: 2: expected a finite number")
    assert.misuse(function() data.loader(set, {weights = {0, 0}}) end, "data.loader: weights: all of them are 0")
    assert.misuse(function() data.loader(set, {weights = {1, 1}, shuffle = false}) end,
      "data.loader: weights: they draw at random, and shuffle is false")
  end)
end)

describe("data.image_folder", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("reads a folder for each class", function()
    for i, name in ipairs{"dogs", "cats", "empty"} do
      assert(files.mkdir_p(files.join(folder, name)))
      for n = 1, name == "empty" and 0 or i do
        assert(image.write(files.join(folder, name, n .. ".png"), lt.full({3, 5, 3}, i / 4)))
      end
    end
    scratch.write(folder, "dogs/notes.txt", "no picture")
    local set = assert(data.image_folder(folder, {size = 4, color = true}))
    assert.same({"cats", "dogs"}, set.classes)
    assert.same({3, 4, 4, 3}, set.images.shape)
    assert.close(set.labels:float(), {0, 0, 1})
    local x, y = set:batch{3}
    assert.close(x, lt.full({1, 4, 4, 3}, -0.5), 0.01)
    assert.close(y, {1})
    assert.same({3, 4, 4, 1}, assert(data.image_folder(folder, {size = 4})).images.shape)
    assert.same({"cats"}, assert(data.image_folder(files.join(folder, "cats"))).classes)
  end)

  it("says what is wrong", function()
    local set, message = data.image_folder(folder .. "/none")
    assert(set == nil and message:find "no such folder")
    set, message = data.image_folder(files.join(folder, "empty"))
    assert(set == nil and message:find "holds no pictures")
    scratch.write(folder, "cats/broken.png", "no PNG")
    set, message = data.image_folder(folder)
    assert(set == nil and message:find "broken.png: expected a PNG")
    assert.misuse(function() data.image_folder(folder, {size = 0}) end,
      "data.image_folder: size: expected a whole number of at least 1")
  end)
end)

describe("data.cifar10", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  local function record(label, red, green, blue)
    local function plane(value) return string.char(value):rep(1024) end
    return string.char(label) .. plane(red) .. plane(green) .. plane(blue)
  end

  it("reads labels and planes of colour", function()
    assert(files.mkdir_p(folder .. "/cifar-10-batches-bin"))
    for i = 1, 5 do
      scratch.write(folder, ("cifar-10-batches-bin/data_batch_%d.bin"):format(i), record(i, 0, 51 * i, 255))
    end
    scratch.write(folder, "cifar-10-batches-bin/test_batch.bin", record(9, 255, 0, 0) .. record(0, 0, 0, 255))
    local train, test = assert(data.cifar10{dir = folder}), assert(data.cifar10{dir = folder, split = "test"})
    assert.same({5, 2}, {#train, #test})
    assert.close(train.labels:float(), {1, 2, 3, 4, 5})
    assert.same({0, 102, 255}, train.images[2][7][9]:float():table())
    assert.equal("truck", test.classes[10])
    local x = test:batch{1}
    assert.same({1, 32, 32, 3}, x.shape)
    assert.same({1, -1, -1}, x[1][1][1]:table())
  end)

  it("says what is wrong", function()
    local function refused(bytes, pattern)
      scratch.write(folder, "cifar-10-batches-bin/test_batch.bin", bytes)
      local set, message = data.cifar10{dir = folder, split = "test"}
      assert(set == nil and message:find(pattern), message)
    end
    refused(record(10, 0, 0, 0), "has label 10, expected 0 to 9")
    refused(record(1, 0, 0, 0) .. "x", "holds 3074 bytes, expected records of 3073")
    refused("", "holds 0 bytes")
    local set, message = data.cifar10{dir = folder .. "/none"}
    assert(set == nil and message:find "test_batch.bin: missing")
    assert.misuse(function() data.cifar10{split = "all"} end, 'data.cifar10: split: expected "train" or "test"')
  end)
end)
