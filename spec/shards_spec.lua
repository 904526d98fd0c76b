-- Tensors whose bytes stay in files, and data sets larger than memory made of them.
local data = require "latent.data"
local files = require "latent.base.files"
local idx, npy, safetensors = require "latent.idx", require "latent.npy", require "latent.safetensors"
local lt = require "latent"
local ranks = require "spec.support.ranks"
local scratch = require "spec.support.scratch"

local function same(a, b) return a.dtype == b.dtype and a:bytes() == b:bytes() end

describe("a tensor in a file", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  local x = lt.randn(5, 3, 2)
  local u = lt.full({4, 3}, 200, "u8")

  it("has the values of the one that is loaded, in every format", function()
    npy.save(folder .. "/x.npy", x)
    npy.save(folder .. "/u.npy", u)
    assert.is_true(same(x, assert(npy.open(folder .. "/x.npy"))))
    assert.is_true(same(u, assert(npy.open(folder .. "/u.npy"))))
    safetensors.save(folder .. "/both.safetensors", {a = u, b = x, empty = lt.zeros(0, 3)}, {metadata = {k = "v"}})
    local tensors, metadata = assert(safetensors.open(folder .. "/both.safetensors"))
    assert.is_true(same(x, tensors.b) and same(u, tensors.a))
    assert.same({0, 3}, {table.unpack(tensors.empty.shape)})
    assert.equal("v", metadata.k)
    scratch.write(folder, "i", "\0\0\8\2\0\0\0\2\0\0\0\3abcdef")
    assert.equal("abcdef", assert(idx.map(folder .. "/i")):bytes())
  end)

  it("can be worked with, and leaves the file as it is", function()
    npy.save(folder .. "/x.npy", x)
    local before = files.read_all(folder .. "/x.npy")
    local y = npy.open(folder .. "/x.npy")
    assert.equal((x * 2):sum():item(), (y * 2):sum():item())
    y:slice(1, 2, 3):fill_(7)
    assert.equal(7, y:slice(1, 3, 3):max():item())
    assert.equal(before, files.read_all(folder .. "/x.npy"))
    local view = y:slice(1, 2, 2)
    y:close()
    collectgarbage()
    assert.equal(7, view:min():item()) -- its bytes live as long as it does
    npy.save(folder .. "/x.npy", x * 0) -- another file of the same name
    assert.equal(7, view:min():item())
    collectgarbage() -- what is left of the lines above
    collectgarbage()
    local live = lt.info().live_bytes
    local many = {}
    for i = 1, 50 do many[i] = npy.open(folder .. "/x.npy") end
    assert.equal(live, lt.info().live_bytes)
    for _, z in ipairs(many) do assert.equal(0, z:max():item()) end
  end)

  it("is a message where it is missing, damaged or would have to be converted", function()
    local function refused(pattern, open, name, bytes)
      if bytes then scratch.write(folder, name, bytes) end
      local tensor, message = open(folder .. "/" .. name)
      assert.is_nil(tensor)
      assert.matches(name .. ".*" .. pattern, message)
    end
    refused("[Nn]o such file", npy.open, "none.npy")
    refused("[Nn]o such file", safetensors.open, "none.st")
    local good = npy.encode(x)
    refused("the file ends inside its data", npy.open, "cut.npy", good:sub(1, -2))
    local length = ("<I2"):unpack(good, 9)
    local moved = good:sub(1, 8) .. ("<I2"):pack(length + 2) .. "  " .. good:sub(11)
    refused("its elements begin at byte %d+, no multiple of their size of 4 bytes", npy.open, "moved.npy", moved)
    refused("'<f4', '<f8', '|u1' and '<i8' can stay", npy.open, "wide.npy", (good:gsub("<f4", ">f4")))
    refused("Fortran order", npy.open, "turned.npy", (good:gsub("'fortran_order': False", "'fortran_order': True ")))
    refused("truncated", idx.map, "cut", "\0\0\8\1\0\0\0\9abc")
    refused("header", safetensors.open, "cut.st", "\255\0\0\0\0\0\0\0{}")
    assert.matches("idx.map: path: expected a string", select(2, pcall(idx.map, 3)))
    assert.matches("npy.open: path: expected a string", select(2, pcall(npy.open)))
    files.capture(("printf abc | gzip >%s/packed.gz"):format(files.quote(folder)))
  end)

  it("of another dtype, or out of line, is converted by safetensors.open", function()
    local header = '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[2],'
      .. '"data_offsets":[3,11]},"c":{"dtype":"F64","shape":[1],"data_offsets":[11,19]}}'
    local path = scratch.write(folder, "odd.st", ("<I8"):pack(#header) .. header .. "abc"
      .. ("<ffd"):pack(1.5, -2, 4.25))
    local tensors = assert(safetensors.open(path))
    assert.same({1.5, -2}, tensors.b:table())
    assert.same({4.25}, tensors.c:table())
    assert.equal("abc", tensors.a:bytes())
  end)
end)

describe("a set in shards", function()
  local folder, remove, x, y, list
  setup(function()
    folder, remove = scratch.folder()
    local xs, ys = {}, {}
    list = {}
    for i = 1, 9 do
      local n = 2 + (i * 5) % 7
      xs[i], ys[i] = lt.randn(n, 2, 3), lt.arange(1, n) + 100 * i
      list[i] = {x = ("%s/x%d.npy"):format(folder, i), y = ("%s/y%d.npy"):format(folder, i)}
      npy.save(list[i].x, xs[i])
      npy.save(list[i].y, ys[i])
      safetensors.save(("%s/%d.safetensors"):format(folder, i), {image = xs[i], label = ys[i]})
    end
    x, y = lt.cat(xs, 1), lt.cat(ys, 1)
  end)
  teardown(function() remove() end)

  local function check(b)
    assert.is_true(same(x:gather_rows(b.index), b.x))
    assert.is_true(same(y:gather_rows(b.index), b.y))
  end

  it("has the rows of all of them, by position", function()
    local set <close> = assert(data.shards(list, {open = 2}))
    assert.equal(x:size(1), #set)
    local index = lt.tensor{#set, 1, 7, 7, 20, 3, #set // 2}
    local bx, by = set:batch(index)
    assert.is_true(same(x:gather_rows(index), bx) and same(y:gather_rows(index), by))
    assert.matches("^%d+ rows in 9 shards$", tostring(set))
    assert.matches("batch: index: expected positions from 1 to %d+, got 0", select(2, pcall(set.batch, set, {0})))
    local other <close> = assert(data.shards({folder .. "/1.safetensors", folder .. "/2.safetensors"},
      {x = "image", y = "label"}))
    local ox, oy = other:batch{1, #other}
    assert.equal(y:table()[1], oy:table()[1])
    assert.is_true(same(ox, x:gather_rows(lt.tensor{1, #other})))
  end)

  it("is gone through once an epoch, shuffled a window at a time, and again the same", function()
    for _, open in ipairs{1, 2, 4, 9, 20} do
      local set <close> = assert(data.shards(list, {open = open}))
      local loader, orders = data.loader(set, {batch = 5, seed = 4}), {}
      for epoch = 1, 2 do
        local order, seen = {}, {}
        for b in loader do
          check(b)
          for _, i in ipairs(b.index:table()) do
            assert.is_nil(seen[i])
            seen[i], order[#order + 1] = true, i
          end
        end
        assert.equal(#set, #order)
        orders[epoch] = table.concat(order, " ")
      end
      assert.not_equal(orders[1], orders[2])
      local again = {}
      for b in data.loader(set, {batch = 7, seed = 4}) do
        for _, i in ipairs(b.index:table()) do again[#again + 1] = i end
      end
      assert.equal(orders[1], table.concat(again, " "))
    end
  end)

  it("has never more shards open than it may", function()
    local set <close> = assert(data.shards(list, {open = 3}))
    for b in data.loader(set, {batch = 4}) do
      check(b)
      local open = tonumber(files.capture(("grep -c %s /proc/$PPID/maps; true"):format(files.quote(folder .. "/x"))))
      assert.is_true(open <= 3)
    end
  end)

  it("goes on exactly where a loader stopped, and nowhere else", function()
    local set <close> = assert(data.shards(list, {open = 2}))
    local loader = data.loader(set, {batch = 5})
    for _ = 1, 4 do loader:next() end
    local state = loader:state()
    local expected = loader:next()
    local other = data.loader(set, {batch = 5}):set_state(state)
    assert.is_true(same(expected.index, other:next().index))
    local wider <close> = assert(data.shards(list, {open = 3}))
    assert.matches("loader: set_state: the state has window_mark = 9:2:%x+, this loader 9:3:%x+",
      select(2, pcall(function() data.loader(wider, {batch = 5}):set_state(state) end)))
  end)

  it("scales bytes as it is told", function()
    npy.save(folder .. "/u.npy", lt.from_bytes("\0\255\51\102", {4, 1}, "u8"))
    local one = {{x = folder .. "/u.npy"}}
    local first, none = assert(data.shards(one)):batch{1, 2, 3}
    assert.same({{0}, {255}, {51}}, first:table())
    assert.is_nil(none)
    local values = assert(data.shards(one, {range = {-1, 1}})):batch{2, 1}:table()
    assert.same({{1}, {-1}}, values)
  end)

  it("refuses shards that do not belong together, and lists that are none", function()
    npy.save(folder .. "/other.npy", lt.zeros(2, 9))
    local function refused(pattern, ...)
      local set, message = data.shards(...)
      assert.is_nil(set)
      assert.matches(pattern, message)
    end
    refused("other.npy: its rows are float32 %[9%], those of .*x1.npy float32 %[2, 3%]",
      {{x = list[1].x}, {x = folder .. "/other.npy"}})
    refused("x1.npy: %d rows, and %[%d%] of y", {{x = list[1].x, y = list[2].y}})
    refused('1.safetensors: has no tensor "x"', {folder .. "/1.safetensors"})
    refused("[Nn]o such file", {{x = folder .. "/none.npy"}})
    local function said(...) return select(2, pcall(data.shards, ...)) end
    assert.matches("data.shards: list: expected at least one shard", said{})
    assert.matches("data.shards: list: 1: expected the path of a safetensors file or {x = path", said{3})
    assert.matches("data.shards: open: expected a whole number of at least 1, got 0", said(list, {open = 0}))
    assert.matches("data.shards: range: expected two numbers", said(list, {range = {1}}))
    local set <close> = assert(data.shards(list, {open = 1}))
    npy.save(list[3].x, lt.zeros(1, 2, 3))
    assert.matches("x3.npy: has 1 rows, and had %d", select(2, pcall(function()
      for _ in data.loader(set) do end -- luacheck: ignore
    end)))
    npy.save(list[3].x, x:slice(1, 1, 3))
  end)
end)

describe("a set larger than memory", function()
  -- Files with holes for bytes: they take no room on the disk.
  local PROGRAM = [[
    local lt, data = require "latent", require "latent.data"
    lt.set_threads(1)
    local list = {}
    for i = 1, tonumber(arg[2]) do list[i] = {x = arg[1] .. "/" .. i} end
    local set = assert(data.shards(list, {open = 2, range = {-1, 1}}))
    local n, sum = 0, 0
    for b in data.loader(set, {batch = 1000}) do
      n, sum = n + b.x:size(1), sum + b.x:sum():item()
    end
    assert(n == #set and sum == -n * 1024)
    local peak = io.open "/proc/self/status":read "a":match "VmHWM:%s+(%d+)"
    print("rows", n, "peak", peak)
  ]]

  it("is read within a limit of memory, whose peak does not grow with the set #slow", function()
    if os.getenv "LATENT_SANITIZE" then pending "the sanitizer needs more addresses" end
    local folder, remove = scratch.folder()
    local rows, peaks = 20000, {}
    local header = ("\0\0\8\3" .. (">I4I4I4"):pack(rows, 32, 32))
    for i = 1, 60 do
      local path = scratch.write(folder, tostring(i), header)
      files.capture(("truncate -s %d %s"):format(#header + rows * 1024, files.quote(path)))
    end
    local program = scratch.write(folder, "program.lua", PROGRAM)
    for _, count in ipairs{15, 60} do -- 0.3 and 1.2 gigabytes, and 0.25 for the process
      local said = files.capture(("ulimit -v 250000 && lua5.4 %s %s %d 2>&1"):format(files.quote(program),
        files.quote(folder), count))
      assert.matches("^rows\t" .. count * rows .. "\t", said or "it failed")
      peaks[#peaks + 1] = tonumber(said:match "peak\t(%d+)")
    end
    assert.is_true(peaks[2] < 1.2 * peaks[1], table.concat(peaks, " and ") .. " kilobytes")
    remove()
  end)

  it("is shared by ranks, each of which reads its own rows, with the same bits", function()
    local missing = ranks.missing()
    if missing then pending(missing) end
    local folder, remove = scratch.folder()
    for i = 1, 6 do
      lt.manual_seed(i)
      npy.save(("%s/%d.npy"):format(folder, i), lt.randn(11, 4))
    end
    local script = [[
      local lt, nn, optim = require "latent", require "latent.nn", require "latent.optim"
      local data, train, mpi = require "latent.data", require "latent.train", require "latent.mpi"
      local list = {}
      for i = 1, 6 do list[i] = {x = ("%s/%%d.npy"):format(i)} end
      local set = assert(data.shards(list, {open = 2}))
      local model = nn.Sequential{nn.Linear(4, 4)}
      local rows = 0
      assert(train.run{model = model, optimizer = optim.SGD(model:parameters()), epochs = 2, parallel = mpi, parts = 4,
        loader = data.loader(set, {batch = 22}), loss = function(b)
          rows = rows + b.x:size(1)
          return lt.mse_loss(model(b.x), b.x)
        end})
      local all = mpi.all_gather(rows)
      if mpi.rank == 0 then
        local sum = 0
        for _, r in ipairs(all) do sum = sum + r end
        print(sum, table.concat(model[1].weight:detach():reshape(-1):table(), " "))
      end
    ]]
    local expected
    for _, count in ipairs{1, 2, 4} do
      local said, status = ranks.run(count, script:format(folder))
      assert.equal(0, status, said)
      assert.matches("^132\t", said) -- twice 66 rows, each on one rank
      expected = expected or said
      assert.equal(expected, said)
    end
    remove()
  end)
end)
