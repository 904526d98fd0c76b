local core = require "latent.core"
local data = require "latent.data"
local fetch = require "latent.data.fetch"
local files = require "latent.base.files"
local idx = require "latent.idx"
local json = require "latent.json"
local lt = require "latent"
local scratch = require "spec.support.scratch"
local sources = require "latent.data.sources"

local folder, remove

local function mini_bytes(name)
  return assert(core.inflate(assert(files.read_all(sources.mini() .. "/" .. name .. ".gz"))))
end

-- A pair of IDX files; what is not given is right.
local function pair(case)
  local images = case.images or (">I4I4I4I4"):pack(0x803, 3, 2, 2) .. ("\0\128\255\64"):rep(3)
  local labels = case.labels or (">I4I4"):pack(0x801, 3) .. "\0\1\9"
  return {
    images = scratch.write(folder, "images", images),
    labels = scratch.write(folder, "labels", labels),
    size = case.size,
  }
end

-- Every string is a Lua pattern.
local function fails(pattern, value, message)
  assert.is_nil(value)
  assert.is_truthy(message:find(pattern), message)
end

-- Runs f with these environment variables (false: unset) as the library sees them.
local function with_env(values, f)
  local real = sources.env
  sources.env = function(name)
    if values[name] ~= nil then return values[name] or nil end
    return real(name)
  end
  local results = table.pack(pcall(f))
  sources.env = real
  assert(results[1], results[2])
  return table.unpack(results, 2, results.n)
end

describe("data", function()
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  describe("idx", function()
    it("reads plain and gzip files alike", function()
      local name = "t10k-labels-idx1-ubyte"
      local plain = scratch.write(folder, name, mini_bytes(name))
      local a, b = assert(idx.read(plain)), assert(idx.read(sources.mini() .. "/" .. name .. ".gz"))
      assert.same({500}, a.shape)
      assert.equal("u8", a.dtype)
      assert.equal(a:bytes(), b:bytes())
    end)

    it("reads in blocks, the last one short", function()
      local path = scratch.write(folder, "x", (">I4I4I4"):pack(0x802, 5, 2) .. "aabbccddee")
      local reader = assert(idx.open(path))
      assert.same({5, 2}, reader.shape)
      assert.same({"aabbcc", 3}, {reader:read(3)})
      assert.same({"ddee", 2}, {reader:read(3)})
      reader:close()
    end)

    it("refuses what is no IDX file of bytes, naming file, expected and found", function()
      local gz = assert(files.read_all(sources.mini() .. "/t10k-labels-idx1-ubyte.gz"))
      for _, case in ipairs {
        {"", "too short for an IDX file: 0 bytes"},
        {"\0\0\8", "too short for an IDX file: 3 bytes"},
        {"\1\0\8\1", "expected the magic 00 00 08, found 01 00 08"},
        {"<html>", "not an IDX file"},
        {"\0\0\13\1\0\0\0\0", "unsigned bytes, found 32%-bit floats"},
        {"\0\0\8\0", "expected 1 to 4 axes, found 0"},
        {"\0\0\8\9", "expected 1 to 4 axes, found 9"},
        {"\0\0\8\3\0\0", "ends inside its header"},
        {"\0\0\8\1\0\0\0\9abc", "truncated: expected 9 elements, found 3 bytes"},
        {"\0\0\8\2\0\0\0\2\0\0\0\2abc", "truncated: expected 2 x 2 elements, found 3 bytes"},
        {"\0\0\8\4" .. ("\255"):rep(16), "truncated: expected 4294967295 x 4294967295 x"},
        {"\0\0\8\4\0\0\0\0" .. ("\255"):rep(12), "its shape 0 x 4294967295 x 4294967295 x 4294967295 is too large"},
        {"\0\0\8\1\0\0\0\2abc", "1 bytes after the end of its 2 elements"},
        {gz:sub(1, 100), "damaged gzip file"},
        {gz:sub(1, 50) .. "xxxx" .. gz:sub(55), "damaged gzip file"},
        {gz:sub(1, -9) .. "\1" .. gz:sub(-7), "damaged gzip file"}, -- its checksum
        {core.deflate("<html>", "gzip"), "not an IDX file"},
        {core.deflate("\0\0\8\1\0\0\0\9abc", "gzip"), "truncated: expected 9 elements, found 3 bytes"},
        {core.deflate("\0\0\8\1\0\0\0\2abc", "gzip"), "there is more after the end of its 2 elements"},
        {core.deflate("\0\0\8\2\0\0\0\2\0\0\0\9" .. ("x"):rep(17), "gzip"),
          "truncated: expected 2 x 9 elements, found 17"},
      } do
        local path = scratch.write(folder, "bad", case[1])
        local tensor, message = idx.read(path)
        fails(case[2], tensor, message)
        assert.equal(1, message:find(path, 1, true))
      end
      fails("No such file", idx.read(folder .. "/none"))
      fails("is a folder", idx.read(folder))
    end)
  end)

  it("unpacks of a gzip file what its header promises, and no more", function()
    local zeros = ("\0"):rep(1 << 24)
    local function try(header)
      local packed = core.deflate(header .. zeros, "gzip")
      assert.is_true(#packed < 20000)
      local before = collectgarbage "count"
      local tensor, message = idx.read(scratch.write(folder, "bomb.gz", packed))
      assert.is_true(tensor ~= nil or collectgarbage "count" - before < 1000)
      return tensor, message
    end
    fails("more after the end of its 5 elements", try "\0\0\8\1\0\0\0\5")
    fails("promises 4294967295 x 255 elements, which %d+ bytes of gzip cannot hold",
      try "\0\0\8\2\255\255\255\255\0\0\0\255")
    assert.equal(1 << 24, assert(try "\0\0\8\1\1\0\0\0"):numel())
  end)

  it("finds MNIST however its files are named and wherever torchvision put them", function()
    local names = {images = "t10k-images-idx3-ubyte", labels = "t10k-labels-idx1-ubyte"}
    for i, layout in ipairs {
      {"", "%s"}, {"", "%s.gz"}, {"", "%s", dots = true}, {"", "%s.gz", dots = true}, {"MNIST/raw", "%s"},
      {"MNIST/raw", "%s.gz", dots = true}, {"raw", "%s"},
    } do
      local root = ("%s/names%d"):format(folder, i)
      assert(files.mkdir_p(files.join(root, layout[1])))
      for _, name in pairs(names) do
        local spelling = layout[2]:format(layout.dots and name:gsub("%-idx", ".idx") or name)
        local bytes = mini_bytes(name)
        if spelling:find "gz$" then bytes = core.deflate(bytes, "gzip") end
        scratch.write(files.join(root, layout[1]), spelling, bytes)
      end
      local set = assert(data.mnist {dir = root, split = "test", size = 8, verify = false})
      assert.equal(500, #set)
      set:close()
      -- Its digest is looked up under the listed name.
      fails("t10k%-images.idx3%-ubyte[.gz]*: wrong content: expected SHA%-256 0fa7",
        data.mnist {dir = root, split = "test"})
      fails("train%-images%-idx3%-ubyte: missing", data.mnist {dir = root})
      if layout[1] == "MNIST/raw" then
        fails("t10k%-images%-idx3%-ubyte: missing", data.fashion_mnist {dir = root, split = "test"})
        assert(os.rename(root .. "/MNIST", root .. "/FashionMNIST"))
        assert(data.fashion_mnist {dir = root, split = "test", size = 8, verify = false}):close()
      end
    end
  end)

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
      if not files.is_dir(sources.fashion_package) then return pending "no package" end
      local set = assert(data.fashion_mnist {split = "test"})
      assert.equal(10000, #set)
      assert.equal("Ankle boot", set.classes[10])
      local _, y = data.examples(set)
      assert.same({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, y:table())
    end)

    it("reads the real MNIST where it is #slow", function()
      if not sources.locate_mnist() then return pending "not fetched" end
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
      assert.equal("100 of the images of " .. tostring(test), tostring(b))
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

  describe("loader", function()
    -- A set that hands out only positions.
    local function numbers(n)
      return setmetatable({batch = function(_, index) return index, index end},
        {__len = function() return n end})
    end

    local function epoch(loader)
      local out = {}
      for batch in loader do out[#out + 1] = batch.index:table() end
      return out
    end

    local function flat(batches)
      local out = {}
      for _, batch in ipairs(batches) do table.move(batch, 1, #batch, #out + 1, out) end
      return out
    end

    it("hands out every image once an epoch, in batches", function()
      local loader = data.loader(numbers(103), {batch = 10})
      assert.equal(11, #loader)
      for _ = 1, 3 do
        local batches = epoch(loader)
        assert.equal(11, #batches)
        assert.equal(3, #batches[11])
        local all = flat(batches)
        table.sort(all)
        for i = 1, 103 do assert.equal(i, all[i]) end
      end
      assert.equal(4, loader.epoch)
    end)

    it("gives images and labels that belong together", function()
      local set = assert(data.mnist {split = "test", mini = true})
      for batch in data.loader(set, {batch = 32}) do
        assert.same({batch.index.shape[1], 32, 32, 1}, batch.x.shape)
        local x, y = set:batch(batch.index)
        assert.equal(x:bytes(), batch.x:bytes())
        assert.same(y:table(), batch.y:table())
      end
    end)

    it("leaves out the short batch when asked", function()
      local loader = data.loader(numbers(103), {batch = 10, drop_last = true})
      assert.equal(10, #loader)
      assert.equal(10, #epoch(loader))
      assert.equal(10, #epoch(loader))
    end)

    it("keeps the order without shuffle", function()
      local loader = data.loader(numbers(5), {batch = 2, shuffle = false})
      assert.same({{1, 2}, {3, 4}, {5}}, epoch(loader))
      assert.same({{1, 2}, {3, 4}, {5}}, epoch(loader))
    end)

    it("has an order that depends on seed and epoch alone", function()
      local a, b = data.loader(numbers(50)), data.loader(numbers(50))
      local first = epoch(a)
      lt.manual_seed(99)
      lt.randn(3)
      assert.same(first, epoch(b))
      local second = epoch(a)
      assert.not_same(first, second)
      assert.same(second, epoch(b))
      assert.not_same(first, epoch(data.loader(numbers(50), {seed = 2})))
      -- Another batch size cuts the same order.
      assert.same(flat(first), flat(epoch(data.loader(numbers(50), {batch = 7}))))
    end)

    it("goes on from a saved state with the batches that were to come", function()
      local opts = {batch = 8, seed = 5}
      local whole = data.loader(numbers(60), opts)
      epoch(whole)
      local second, third = epoch(whole), epoch(whole)
      for stop = 1, 8 do
        local first = data.loader(numbers(60), opts)
        epoch(first)
        local state
        local at = 0
        for _ in first do
          at = at + 1
          if at == stop then
            state = first:state()
            break
          end
        end
        state = json.decode(json.encode(state))
        local resumed = data.loader(numbers(60), opts):set_state(state)
        if stop < 8 then
          assert.equal(2, resumed.epoch)
          assert.same(table.move(second, stop + 1, 8, 1, {}), epoch(resumed))
        end
        assert.equal(3, resumed.epoch)
        assert.same(third, epoch(resumed))
      end
    end)

    it("begins a new epoch after a loop that was left", function()
      local loader, same = data.loader(numbers(20), {batch = 5}), data.loader(numbers(20),
        {batch = 5})
      epoch(same)
      for batch in loader do
        if batch.x then break end
      end
      assert.same(epoch(same), epoch(loader))
    end)

    it("can be asked for one batch at a time", function()
      local loader = data.loader(numbers(5), {batch = 3, shuffle = false})
      assert.same({1, 2, 3}, loader:next().index:table())
      assert.same({4, 5}, loader:next().index:table())
      assert.is_nil(loader:next())
      assert.same({1, 2, 3}, loader:next().index:table())
    end)

    it("refuses misuse", function()
      local set = numbers(10)
      local function raises(pattern, ...)
        local args = table.pack(...)
        assert.error_matches(function() data.loader(table.unpack(args, 1, args.n)) end, pattern)
      end
      raises("set: expected a data set .*got nil", nil)
      raises("set: expected a data set", {})
      raises('unknown option "bacth"', set, {bacth = 3})
      raises("batch: expected a whole number from 1, got 0", set, {batch = 0})
      raises("batch: expected a whole number", set, {batch = 2.5})
      raises("seed: expected a whole number", set, {seed = "x"})
      raises("shuffle: expected true or false", set, {shuffle = 1})
      raises("10 images make no batch of 11", set, {batch = 11, drop_last = true})
      local loader = data.loader(set, {batch = 4})
      local state = loader:state()
      state.seed = 3
      assert.error_matches(function() loader:set_state(state) end,
        "the state has seed = 3, this loader 1")
      state.seed, state.position = 1, 3
      assert.error_matches(function() loader:set_state(state) end, "position: expected the end")
      assert.error_matches(function() loader:set_state(3) end, "expected a table, got 3")
    end)
  end)

  describe("fetch", function()
    local digests, mirror = {}, nil

    setup(function()
      mirror = folder .. "/a mirror"
      assert(files.mkdir_p(mirror))
      for _, name in ipairs(sources.all) do
        local path = scratch.write(mirror, name, mini_bytes(name))
        digests[name] = assert(files.sha256(path))
      end
    end)

    local function get(name, url, extra)
      local opts = {dir = folder .. "/" .. name, url = url, npm = false, sha256 = digests}
      for key, value in pairs(extra or {}) do opts[key] = value end
      return fetch.fetch(opts)
    end

    local function url_of(path) return "file://" .. path:gsub(" ", "%%20") end

    it("takes plain and packed files from a file:// URL", function()
      for name, url in pairs {one = url_of(mirror), two = url_of(mirror) .. "/"} do
        local dir = assert(get(name, url))
        assert.equal(4, #scratch.list(dir))
        assert.equal(500, #assert(data.mnist {dir = dir, verify = false}))
      end
      local base = sources.mini()
      if base:sub(1, 1) ~= "/" then base = files.capture "pwd" .. "/" .. base end
      local dir = assert(get("packed", url_of(base)))
      assert.same({"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte"}, scratch.list(dir))
    end)

    it("clears what a killed one left", function()
      local dir = folder .. "/killed"
      assert(files.mkdir_p(dir .. "/fetch.tmp-4194304-1"))
      scratch.write(dir .. "/fetch.tmp-4194304-1", "half", "x")
      assert(get("killed", url_of(mirror)))
      assert.equal(4, #scratch.list(dir))
    end)

    it("leaves alone what is complete, and replaces what is damaged", function()
      local dir = assert(get("again", url_of(mirror)))
      assert.equal(dir, get("again", "file:///nowhere"))
      local name = "train-labels-idx1-ubyte"
      scratch.write(dir, name, "damaged")
      assert.equal(dir, get("again", url_of(mirror)))
      assert.equal(digests[name], files.sha256(dir .. "/" .. name))
    end)

    it("writes nothing when a digest is wrong", function()
      local bad = folder .. "/bad mirror"
      assert(files.mkdir_p(bad))
      for _, name in ipairs(sources.all) do scratch.write(bad, name, mini_bytes(name)) end
      scratch.write(bad, "t10k-labels-idx1-ubyte", "other bytes")
      fails("t10k%-labels%-idx1%-ubyte: wrong content: expected SHA%-256 %x+, found %x+",
        get("never", url_of(bad)))
      assert.same({}, scratch.list(folder .. "/never"))
    end)

    it("says what was tried and what helps when nothing works", function()
      local dir, message = get("nothing", "file:///nowhere")
      fails("MNIST could not be fetched", dir, message)
      for _, part in ipairs {"file:///nowhere: train-images-idx3-ubyte", "LATENT_DATA",
        "LATENT_MNIST_URL", "No such file"} do
        assert.is_truthy(message:find(part, 1, true), part)
      end
      assert.same({}, scratch.list(folder .. "/nothing"))
      fails("expected a URL that begins with", get("nothing", "--output=/etc/passwd"))
      fails("damaged gzip file", get("nothing", url_of((function()
        local broken = folder .. "/broken"
        assert(files.mkdir_p(broken))
        scratch.write(broken, "train-images-idx3-ubyte.gz", "\31\139 nonsense")
        return broken
      end)())))
    end)

    it("checks the folder LATENT_DATA and touches nothing else", function()
      with_env({LATENT_DATA = mirror}, function()
        assert.equal(mirror, fetch.fetch {sha256 = digests})
        fails("LATENT_DATA: .*wrong content", fetch.fetch {})
      end)
    end)

    it("finds the cache by XDG_CACHE_HOME, else in the home folder", function()
      with_env({XDG_CACHE_HOME = "/x", HOME = "/h"}, function()
        assert.equal("/x/latent/mnist", sources.cache "mnist")
      end)
      with_env({XDG_CACHE_HOME = false, HOME = "/h"}, function()
        assert.equal("/h/.cache/latent/mnist", sources.cache "mnist")
      end)
      with_env({XDG_CACHE_HOME = false, HOME = false}, function()
        fails("neither XDG_CACHE_HOME nor HOME", sources.cache "mnist")
      end)
    end)
  end)

  describe("files", function()
    it("writes whole or not at all", function()
      local path = folder .. "/whole"
      assert(files.write_atomic(path, "old"))
      local before = scratch.list(folder)
      assert.has_error(function()
        files.write_atomic(path, function(file)
          file:write "half"
          error "stop"
        end)
      end)
      fails("whole: cannot be written: no luck",
        files.write_atomic(path, function() return nil, "no luck" end))
      assert.equal("old", files.read_all(path))
      assert.same(before, scratch.list(folder))
      assert(files.write_atomic(path, "new"))
      assert.equal("new", files.read_all(path))
    end)

    it("writes with the old content kept, brought to the disk, once it has been looked at", function()
      local place, clear = scratch.folder()
      local path = place .. "/x"
      local opts = {sync = true, keep = path .. ".old"}
      for _, text in ipairs {"one", "two", "three"} do assert(files.write_atomic(path, text, opts)) end
      assert.equal("three", files.read_all(path))
      assert.equal("two", files.read_all(path .. ".old"))
      fails("no luck", files.write_atomic(path, function() return nil, "no luck" end, opts))
      function opts.check(name)
        assert.equal("four", files.read_all(name))
        return nil, "too bad"
      end
      fails("x: cannot be written: too bad", files.write_atomic(path, "four", opts))
      assert.equal("three", files.read_all(path))
      assert.equal("two", files.read_all(path .. ".old"))
      assert.same({"x", "x.old"}, scratch.list(place))
      assert.error_matches(function() files.write_atomic(path, "", {sinc = true}) end, 'did you mean "sync"')
      clear()
    end)

    it("quotes any name for the shell", function()
      local odd = folder .. "/it's $HOME `x`; \"q\" -n\n\\"
      assert(files.mkdir_p(odd .. "/a/b"))
      assert.is_true(files.is_dir(odd .. "/a/b"))
      assert.equal(odd, files.capture("printf %s " .. files.quote(odd)))
      local path = scratch.write(odd, "-f", "abc")
      assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        files.sha256(path))
    end)

    it("tells what is wrong with a file", function()
      fails("No such file", files.read_all(folder .. "/none"))
      fails("is a folder", files.read_all(folder))
      fails("No such file", files.sha256(folder .. "/none"))
      scratch.write(folder, "plain", "x")
      assert.is_nil(files.mkdir_p(folder .. "/plain/below"))
      assert.error_matches(function() files.read_all "a\0b" end, "holds a zero byte")
      assert.error_matches(function() files.read_all(nil) end, "path: expected a string")
    end)
  end)
end)
