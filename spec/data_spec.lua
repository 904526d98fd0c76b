-- Data sets: what comes with the library, what is read, noise, and parts.
local data = require "latent.data"
local data_files = require "spec.support.data_files"
local files = require "latent.base.files"
local lt = require "latent"
local sources = require "latent.data.sources"
local scratch = require "spec.support.scratch"

local fails, mini_bytes, with_env = data_files.fails, data_files.mini_bytes, data_files.with_env
local folder, remove

local function pair(case) return data_files.pair(folder, case) end

describe("data", function()
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  describe("sets", function()
    it("has a balanced mini set whose first test images are the ten examples", function()
      for _, split in ipairs {"train", "test"} do
        local set = assert(data.mnist {split = split, mini = true})
        assert.equal(500, #set)
        assert.same({500, 32, 32, 1}, set.images.shape)
        assert.equal("u8", set.images.dtype)
        local count = {}
        for label in set.labels:bytes():gmatch "." do count[label] = (count[label] or 0) + 1 end
        for digit = 0, 9 do assert.equal(50, count[string.char(digit)]) end
      end
      local test = assert(data.mnist {split = "test", mini = true})
      local x, y = data.examples(test)
      assert.same({10, 32, 32, 1}, x.shape)
      assert.same({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, y:table())
      assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, test:example_positions())
      assert.equal("MNIST (mini) test: 500 images 32 x 32, 10 classes", tostring(test))
    end)

    it("finds one image of each class where no list says which", function()
      local train = assert(data.mnist {split = "train", mini = true})
      local _, y = data.examples(train)
      assert.same({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, y:table())
    end)

    it("resizes in between pixels and keeps the size when asked", function()
      local raw = mini_bytes "t10k-images-idx3-ubyte"
      local same = assert(data.mnist {split = "test", mini = true, size = 28})
      assert.equal(raw:sub(17), same.images:bytes())
      local set = assert(data.idx(pair {size = 4}))
      -- By hand: 2 x 2 to 4 x 4 puts pixels at -0.25, 0.25, 0.75, 1.25 of the original's.
      assert.same({0, 32, 96, 128, 64, 76, 100, 112, 191, 163, 108, 80, 255, 207, 112, 64},
        {set.images:bytes():byte(1, 16)})
    end)

    it("scales a batch to [-1, 1] and takes positions as table or tensor", function()
      local set = assert(data.idx(pair {size = 2}))
      local x, y = set:batch {3, 1}
      assert.same({2, 2, 2, 1}, x.shape)
      assert.equal("float32", x.dtype)
      assert.same({9, 0}, y:table())
      assert.equal(-1, x:get(1, 1, 1, 1))
      assert.equal(1, x:get(1, 2, 1, 1))
      assert.is_true(math.abs(x:get(1, 1, 2, 1) - (2 * (128 / 255) - 1)) < 1e-6)
      local again = set:batch(lt.tensor {3, 1})
      assert.equal(x:bytes(), again:bytes())
      assert.has_error(function() set:batch {4} end)
      assert.has_error(function() set:batch {0} end)
      assert.error_matches(function() set:batch "x" end, "index: expected a table or a tensor")
    end)

    it("takes the first images as a set of their own", function()
      local test = assert(data.mnist {split = "test", mini = true})
      local few = test:take(20)
      assert.equal(20, #few)
      assert.same({20, 32, 32, 1}, few.images.shape)
      assert.equal(data.examples(test):bytes(), data.examples(few):bytes())
      assert.error_matches(function() test:take(501) end, "n: expected 1 to 500, got 501")
      assert.error_matches(function() data.examples(test:take(9)) end, 'no image of class "9"')
    end)

    it("says which file does not fit, what was expected and what was found", function()
      local header = (">I4I4I4I4"):pack(0x803, 3, 2, 2)
      fails("images: truncated: expected 3 x 2 x 2 elements, found 5 bytes",
        data.idx(pair {images = header .. "abcde"}))
      fails("images: expected images %[n, height, width%], found %[3%]",
        data.idx(pair {images = (">I4I4"):pack(0x801, 3) .. "abc"}))
      fails("images: expected images %[n, height, width%], found %[0, 2, 2%]",
        data.idx(pair {images = (">I4I4I4I4"):pack(0x803, 0, 2, 2)}))
      fails("labels: expected labels %[n%], found %[1, 3%]",
        data.idx(pair {labels = (">I4I4I4"):pack(0x802, 1, 3) .. "abc"}))
      fails("labels: expected 3 labels, as .*images has images, found 2",
        data.idx(pair {labels = (">I4I4"):pack(0x801, 2) .. "\0\1"}))
      fails("labels: image 2 has label 17, expected 0 to 9",
        data.idx(pair {labels = (">I4I4"):pack(0x801, 3) .. "\0\17\1"}))
      fails("no such folder", data.mnist {dir = folder .. "/none"})
      fails("train%-images%-idx3%-ubyte: missing", data.mnist {dir = "lua"})
    end)

    it("takes only files with the set's digests, unless told otherwise", function()
      fails("train%-images%-idx3%-ubyte.gz: wrong content: expected SHA%-256 ba89%x+, found %x+",
        data.mnist {dir = sources.mini()})
      local set = assert(data.mnist {dir = sources.mini(), verify = false})
      assert.equal(500, #set)
    end)

    it("says what to do when a set is not here", function()
      local none = {LATENT_DATA = false, LATENT_FASHION_DATA = false, XDG_CACHE_HOME = folder}
      with_env(none, function()
        fails("MNIST is not here .*make data.*LATENT_DATA", data.mnist())
        if not files.is_dir(sources.fashion_package) then
          fails("dataset%-fashion%-mnist.*LATENT_FASHION_DATA", data.fashion_mnist())
        end
      end)
      with_env({LATENT_DATA = folder .. "/none"}, function()
        fails("LATENT_DATA: .*none: no such folder", data.mnist())
      end)
      with_env({LATENT_FASHION_DATA = folder}, function()
        fails("LATENT_FASHION_DATA: .*images%-idx3%-ubyte: missing", data.fashion_mnist())
      end)
    end)

    it("refuses misuse", function()
      assert.error_matches(function() data.mnist {split = "tset"} end, 'split: expected "train"')
      assert.error_matches(function() data.mnist {spilt = "test"} end, 'unknown option "spilt"')
      assert.error_matches(function() data.mnist {size = 0} end, "size: expected 1 to 1024")
      assert.error_matches(function() data.mnist {dir = 3} end, "dir: expected a string")
      assert.error_matches(function() data.idx {images = "x"} end, "labels: expected a path")
      assert.error_matches(function() data.examples(3) end, "set: expected a data set, got 3")
    end)

    it("reads Fashion-MNIST where the Debian package has put it #slow", function()
      if not files.is_dir(sources.fashion_package) then pending "dataset-fashion-mnist is not installed" end
      local set = assert(data.fashion_mnist {split = "test"})
      assert.equal(10000, #set)
      assert.equal("Ankle boot", set.classes[10])
      local _, y = data.examples(set)
      assert.same({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, y:table())
    end)

    it("reads the real MNIST where it is #slow", function()
      if not sources.locate_mnist() then pending "not fetched" end
      local set = assert(data.mnist {split = "test"})
      assert.equal(10000, #set)
      local mini = assert(data.mnist {split = "test", mini = true})
      assert.equal(data.examples(mini):bytes(), data.examples(set):bytes())
    end)
  end)

  describe("noisy", function()
    it("adds sigma times normal noise, the same for the same generator", function()
      local x = lt.zeros(100, 100)
      local function noise(sigma)
        return data.noisy(x, sigma, {generator = lt.generator(7)})
      end
      local a, b = noise(0.5), noise(0.5)
      assert.same({100, 100}, a.shape)
      assert.equal(a:bytes(), b:bytes())
      local sum, squares = 0, 0
      for i = 1, 40000, 4 do
        local v = ("<f"):unpack(a:bytes(), i)
        sum, squares = sum + v, squares + v * v
        if i > 4000 then break end
      end
      assert.is_true(math.abs(sum / 1001) < 0.08)
      assert.is_true(math.abs(math.sqrt(squares / 1001) - 0.5) < 0.05)
      assert.equal(x:bytes(), noise(0):bytes())
    end)

    it("refuses misuse", function()
      local x = lt.zeros(2)
      assert.error_matches(function() data.noisy(3) end, "x: expected a float tensor, got 3")
      assert.error_matches(function() data.noisy(lt.from_bytes("ab", {2}, "u8")) end, "got u8")
      assert.error_matches(function() data.noisy(x, -1) end, "sigma: expected a number from 0")
      assert.error_matches(function() data.noisy(x, 1, {gen = 1}) end, "unknown option")
    end)
  end)

  describe("split", function()
    local test = data.mnist {split = "test", mini = true}

    it("parts a set in two, in a way that the seed fixes", function()
      local a, b = data.split(test, 0.2)
      local c, d = data.split(test, 100, {seed = 2})
      assert.same({#test - 100, 100, #test - 100, 100}, {#a, #b, #c, #d})
      local seen = {}
      for _, part in ipairs {a, b} do
        for _, position in ipairs(part.positions:table()) do seen[position] = (seen[position] or 0) + 1 end
      end
      for i = 1, #test do assert.equal(1, seen[i]) end
      local again = data.split(test, 0.2)
      assert.equal(a.positions:bytes(), again.positions:bytes())
      assert.not_equal(a.positions:bytes(), c.positions:bytes())
      assert.equal("100 of the items of " .. tostring(test), tostring(b))
    end)

    it("gives views that hand out the images of the set", function()
      local _, part = data.split(test, 50)
      local positions = part.positions:table()
      local x, y = part:batch {3, 50}
      local wanted_x, wanted_y = test:batch {positions[3], positions[50]}
      assert.equal(wanted_x:bytes(), x:bytes())
      assert.equal(wanted_y:bytes(), y:bytes())
      assert.equal(wanted_y:get(2), part.labels:float():get(50))
      assert.equal(test.classes, part.classes)
      -- and can be parted again, and loaded
      local _, inner = data.split(part, 7)
      assert.equal(test:batch {positions[inner.positions:get(1)]}:bytes(), inner:batch {1}:bytes())
      assert.equal(4, #data.loader(inner, {batch = 2}))
    end)

    it("refuses misuse", function()
      local range = "data.split: held_back: expected 1 to %d+ images or a share that leaves both parts some, got "
      assert.error_matches(function() data.split(3, 1) end, "data.split: set: expected a data set %(.*%), got 3")
      assert.error_matches(function() data.split(test, "a") end, 'data.split: held_back: expected a number, got "a"')
      for _, bad in ipairs {0, 1.5, #test, -1, 1e-9, 0 / 0} do
        assert.error_matches(function() data.split(test, bad) end, range)
      end
      assert.error_matches(function() data.split(test, 5, {sed = 1}) end, 'did you mean "seed"')
      local _, part = data.split(test, 5)
      assert.error_matches(function() part:batch(5) end, "batch: index: expected a table or a tensor of positions")
      local subset = require "latent.data.subset"
      assert.error_matches(function() subset.new(test, {1, 9999}) end, "data.subset: positions: expected 1 to %d+, ")
      assert.error_matches(function() subset.new(test, {}) end, "positions: expected a list of positions, got a table")
    end)
  end)
end)
