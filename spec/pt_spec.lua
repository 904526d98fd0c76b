local damage = require "spec.support.damage"
local files = require "latent.base.files"
local json = require "latent.json"
local lt = require "latent"
local npz = require "latent.npz"
local pickle = require "latent.formats.pickle"
local pt = require "latent.pt"
local scratch = require "spec.support.scratch"
local zip = require "latent.formats.zip"
require "spec.support.misuse"

local FIXTURES = "spec/fixtures/interop/"

-- A pickle of protocol 2 with this body.
local function decode(body, globals, persistent)
  return pickle.decode("\128\2" .. body .. ".", globals or {}, persistent or function() end)
end

local function refused(body, pattern, globals)
  local value, message = decode(body, globals)
  assert.is_nil(value)
  assert.is_truthy(message:find(pattern), message)
end

describe("pickle", function()
  it("reads plain values", function()
    for body, value in pairs {
      ["K\5"] = 5, ["M\0\1"] = 256, ["J\255\255\255\255"] = -1, ["\138\0"] = 0, ["\138\1\255"] = -1,
      ["\138\6\0\0\0\0\0\1"] = 1 << 40, ["\138\9\0\0\0\0\0\0\0\0\1"] = 2.0 ^ 64,
      ["\138\9\0\0\0\0\0\0\0\0\255"] = -2.0 ^ 64, ["\139\2\0\0\0\0\1"] = 256,
      ["G" .. (">d"):pack(0.5)] = 0.5, ["\136"] = true, ["\137"] = false, ["X\2\0\0\0é"] = "é", ["\140\1x"] = "x",
      ["\141\1\0\0\0\0\0\0\0x"] = "x", ["U\1y"] = "y", ["N"] = pickle.none, ["K\1K\0020"] = 1, ["K\1(K\2K\0031"] = 1,
      ["\149\0\0\0\0\0\0\0\0K\7"] = 7,
    } do assert.equal(value, (decode(body))) end
  end)

  it("reads containers", function()
    local function items(body, kind)
      local value = assert(decode(body))
      assert.equal(kind, value.kind)
      return table.move(value, 1, value.n, 1, {})
    end
    assert.same({}, items(")", "tuple"))
    assert.same({1, 2, 3}, items("K\1K\2K\3\135", "tuple"))
    assert.same({1, 2, 3, 4}, items("(K\1K\2K\3K\4t", "tuple"))
    assert.same({1, 2, 3}, items("]K\1a(K\2K\3e", "list"))
    assert.same({5, 5}, items("(K\5q\0h\0l", "list"))
    assert.same({1, 2}, items("\143(K\1K\2\144", "set"))
    local dict = assert(decode "}K\1K\2s(K\3K\4K\1K\5u")
    assert.same({1, 3}, {dict[1], dict[2], dict[3]})
    assert.same({5, 4}, dict.values)
  end)

  it("calls nothing but what its caller lists", function()
    refused("cos\nsystem\n(X\4\0\0\0trueR", "refers to os.system, which is no tensor")
    refused("\140\2os\140\6system\147)R", "refers to os.system")
    refused("cos\nsys\27tem\n)R", "refers to os.sys%?tem")
    refused("ca\nb\n)R", "calls a name, which cannot be called", {["a.b"] = true})
    refused("K\1)R", "calls 1, which cannot be called")
    refused("]K\1R", "calls a list")
    refused("(ios\nsystem\n", "instruction 105")
    refused("\130\1", "instruction 130")
    assert.equal(3, decode("ca\nb\n(K\1K\2tR", {["a.b"] = function(t) return t[1] + t[2] end}))
    assert.equal("id 9", decode("K\9Q", {}, function(id) return "id " .. id end))
  end)

  it("refuses programs that take what is not there", function()
    refused("", "takes a value that is not there")
    refused("0", "takes a value that is not there")
    refused("t", "takes a mark that is not there")
    refused("(", "takes a value that is not there")
    refused("K\1K\2", "leaves more than one value")
    refused("K\1a", "expected a list to add to")
    refused("K\1K\2a", "expected a list to add to")
    refused("}K\1K\2a", "expected a list to add to")
    refused("]K\1K\2s", "expected a dict to add to")
    refused("}(K\1u", "a key without a value")
    refused("})K\1s", "a dictionary with the key a tuple")
    refused("}G" .. (">d"):pack(0 / 0) .. "K\1s", "a dictionary with the key %-?nan")
    refused("h\0", "uses value 0, which it has not made")
    refused("q\0", "remembers a value that is not there")
    refused("K\1b", "expected a dict to add to")
    refused("X\255\255\255\255x", "ends too early")
    refused("\141\255\255\255\255\255\255\255\255x", "ends too early")
    refused("\139\255\255\255\255x", "ends too early")
    refused("\138\200" .. ("x"):rep(200), "a whole number of 200 bytes")
    assert.equal("ends too early", select(2, pickle.decode("\128\2", {}, print)))
    assert.equal("is no pickle of protocol 2 to 5", select(2, pickle.decode("(I1\n.", {}, print)))
    assert.equal("has protocol 6, expected 2 to 5", select(2, pickle.decode("\128\6N.", {}, print)))
  end)

  it("bounds the work that a pickle can ask for", function()
    local body = ("N0"):rep(5000) .. "N"
    assert.equal(pickle.none, decode(body))
    local value, message = pickle.decode("\128\2" .. body .. ".", {}, print, 10000)
    assert.is_nil(value)
    assert.equal("has more than 10000 instructions", message)
  end)
end)

describe("pt.load", function()
  for protocol = 2, 5 do
    it("reads a checkpoint of protocol " .. protocol, function()
      local c = assert(pt.load(FIXTURES .. "checkpoint" .. protocol .. ".pt"))
      local expected, count = assert(npz.load(FIXTURES .. "checkpoint_values.npz")), 0
      for name, x in pairs(c.state_dict) do
        assert.same(expected[name].shape, x.shape, name)
        assert.equal(expected[name].dtype, x.dtype)
        assert.equal(expected[name]:bytes(), x:bytes(), name)
        count = count + 1
      end
      assert.equal(11, count)
      for _, name in ipairs {"float64", "float16", "bfloat16", "int64", "int32", "int16", "int8"} do
        assert.same({0, 1, 2}, c.dtypes[name]:table())
      end
      assert.same({0, 1, 1}, c.dtypes.bool:table())
      assert.same({1, 1}, c.parameter:table())
      assert.same({3, 0.25, 1 << 40, 2.0 ^ 70, -5, false, "Ä", "seven"},
        {c.epoch, c.lr, c.big, c.huge, c.minus, c.done, c.name, c[7]})
      assert.is_nil(c.nothing)
      assert.same({0.9, 0.999}, c.betas)
      assert.same({2, 3}, c.size)
      assert.same({1, json.null, "x", {}, {}}, c.list)
      assert.same({true, true}, c.set)
    end)
  end

  it("refuses what is no state dict, by name and with a way out", function()
    for name, pattern in pairs {
      model = "data.pkl refers to torch.nn.modules.linear.Linear, .*torch.save%(model.state_dict%(%), path%)",
      call = "data.pkl refers to posix.system", old = "format from before 1.6; load it there and save it again",
    } do
      local path = FIXTURES .. "refused_" .. name .. ".pt"
      local value, message = pt.load(path)
      assert.is_nil(value)
      assert.equal(path .. ":", message:sub(1, #path + 1))
      assert.is_truthy(message:find(pattern), message)
    end
    local _, message = pt.load(FIXTURES .. "arrays.npz")
    assert.is_truthy(message:find "a zip archive without data.pkl: not a file of torch.save")
    _, message = pt.load(FIXTURES .. "f_f8.npy")
    assert.is_truthy(message:find "no zip archive")
    assert.is_truthy(select(2, pt.load(FIXTURES .. "missing.pt")):find "No such file")
    assert.is_truthy(select(2, pt.load("spec", {})):find "is a folder")
  end)

  describe("of hostile files", function()
    local folder, remove
    setup(function() folder, remove = scratch.folder() end)
    teardown(function() remove() end)

    local function load(body, storage, extra)
      local path = folder .. "/hostile.pt"
      assert(files.write_atomic(path, function(file)
        return zip.write(file, {{"a/data.pkl", "\128\2" .. body .. "."}, {"a/data/0", storage or ("\0"):rep(16)},
          extra}, true)
      end))
      return pt.load(path)
    end

    local function refuses(pattern, ...)
      local value, message = load(...)
      assert.is_nil(value)
      assert.is_truthy(message:find(pattern), message)
    end

    local function int(n) return "\138\8" .. ("<i8"):pack(n) end
    local function tuple(...)
      local out = {"("}
      for _, n in ipairs {...} do out[#out + 1] = int(n) end
      return table.concat(out) .. "t"
    end
    local function storage(kind, key, count)
      return "(U\7storagectorch\n" .. kind .. "\nU" .. string.char(#key) .. key .. "U\3cpu" .. int(count) .. "tQ"
    end
    local four = storage("FloatStorage", "0", 4)
    local function tensor(from, offset, shape, strides)
      return "ctorch._utils\n_rebuild_tensor_v2\n(" .. from .. int(offset) .. shape .. strides .. "\137}tR"
    end

    it("reads them where they are sound", function()
      assert.same({2, 2}, load(tensor(four, 0, tuple(2, 2), tuple(2, 1))).shape)
      assert.same({0, 5}, load(tensor(four, 4, tuple(0, 5), tuple(5, 1))).shape)
      assert.same({9, 9}, load(tensor(four, 3, tuple(9, 9), tuple(0, 0))).shape)
    end)

    it("refuses views that leave their storage", function()
      local outside = "has a tensor larger than its storage"
      refuses(outside, tensor(four, 0, tuple(5), tuple(1)))
      refuses(outside, tensor(four, 4, tuple(1), tuple(1)))
      refuses(outside, tensor(four, 4, tuple(), tuple()))
      refuses(outside, tensor(four, 1, tuple(2, 2), tuple(2, 1)))
      refuses(outside, tensor(four, 0, tuple(1 << 62, 2), tuple(1 << 62, 1)))
      refuses(outside, tensor(four, 0, tuple(3, 3), tuple(1 << 62, 1)))
      refuses("has a tensor outside its storage", tensor(four, 5, tuple(0), tuple(1)))
      refuses("without storage", tensor(four, -1, tuple(1), tuple(1)))
      refuses("without storage", tensor("N", 0, tuple(1), tuple(1)))
      refuses("with the size %-1", tensor(four, 0, tuple(-1), tuple(1)))
      refuses("with the stride %-1", tensor(four, 3, tuple(2), tuple(-1)))
      refuses("more sizes than strides", tensor(four, 0, tuple(1), tuple()))
      refuses("tensor of 9 axes", tensor(four, 0, tuple(1, 1, 1, 1, 1, 1, 1, 1, 1), tuple(1)))
      refuses("whose size is 4", tensor(four, 0, "K\4", tuple(1)))
    end)

    it("refuses views that make much out of little", function()
      refuses("far larger than what is stored", tensor(four, 0, tuple(1 << 20, 1 << 20), tuple(0, 0)))
      refuses("far larger", tensor(four, 0, tuple(0, 1 << 62, 1 << 62), tuple(0, 0, 0)))
      local one = tensor(four, 0, tuple(1 << 20, 2), tuple(0, 0))
      refuses("far larger", "](" .. one:rep(3) .. "e")
    end)

    it("refuses storages that are not what is said", function()
      local function view(from) return tensor(from, 0, tuple(1), tuple(1)) end
      refuses('storage "1", which is not in the file', view(storage("FloatStorage", "1", 4)))
      refuses('claims 5 elements of F32 for storage "0", which has 16 bytes', view(storage("FloatStorage", "0", 5)))
      refuses('claims 4 elements of F64', view(storage("DoubleStorage", "0", 4)))
      refuses("claims", view(storage("FloatStorage", "0", 1 << 62)))
      refuses("refers to torch.ComplexFloatStorage", view(storage("ComplexFloatStorage", "0", 2)))
      refuses("two types", "](" .. view(four) .. view(storage("IntStorage", "0", 4)) .. "e")
      refuses("something that is no storage", "K\1Q")
      refuses("something that is no storage", view "(U\7storagecbuiltins\nset\nU\0010U\3cpuK\4tQ")
      refuses("big%-endian", four, nil, {"a/byteorder", "big"})
      refuses("holds a storage where", four)
    end)

    it("refuses pickles that make much out of little", function()
      -- A long list, and set after set of it.
      local ints = ("K\1"):rep(50000)
      refuses("sets with more items than the pickle has bytes",
        "cbuiltins\nset\nq\0](" .. ints .. "eq\1](" .. ("h\0h\1\133R"):rep(9000) .. "e")
      refuses("has more than 1%d%d%d%d%d instructions", "(" .. (")0"):rep(150000) .. "t") -- packed to 500 bytes
      assert.equal(50000, #assert(load("](" .. ints .. "e")))
      assert.same({[1] = true}, load("cbuiltins\nset\n](" .. ints .. "e\133R"))
    end)

    it("converts of a storage what a view has of it", function()
      -- Four thousand views of two numbers at the ends of a million.
      local count = 1 << 20
      local halves = storage("HalfStorage", "0", count)
      local body = halves .. "q\0000" .. tensor("h\0", 0, tuple(2), tuple(count - 1)):rep(4000)
      local ends = "\0\x3C" .. ("\0"):rep(2 * count - 4) .. "\0\x40"
      local value = assert(load("](" .. body .. "e", ends))
      assert.equal(4000, #value)
      assert.same({1, 2}, value[4000]:table())
    end)

    it("refuses values that hold themselves, and deep ones", function()
      refuses("has a container that holds itself", "]q\0h\0a")
      refuses("has a container that holds itself", "}q\0U\1xh\0s")
      refuses("is nested deeper than 100", ("]"):rep(200) .. ("a"):rep(199))
      refuses("data.pkl holds None", "N")
      refuses("holds builtins.set where a value", "cbuiltins\nset\n")
      refuses("has a set with a tuple", "cbuiltins\nset\n(](K\1\133etR")
      refuses("a set of no list", "cbuiltins\nset\n(K\1tR")
      -- What stands in many places is made once, so that doubling a list does not double the work.
      local body = "]q\0K\7a"
      for i = 1, 60 do
        local last = string.char(i - 1)
        body = body .. ("0](h%sh%seq%s"):format(last, last, string.char(i))
      end
      local value = assert(load(body))
      assert.equal(value[1], value[2])
    end)

    it("answers any damage with a message or a value", function()
      local path = folder .. "/small.pt"
      assert(pt.save(path, {w = lt.tensor {{1, 2}}}))
      damage.try(pt.load, files.read_all(path), folder, 3)
      damage.try(pt.load, files.read_all(FIXTURES .. "checkpoint4.pt"), folder, 41)
    end)

    it("answers any damage inside the pickle, too", function()
      local archive = assert(zip.open(FIXTURES .. "checkpoint2.pt"))
      local members = {}
      for i, name in ipairs(archive.names) do members[i] = {name, assert(archive:read(name))} end
      archive:close()
      local at
      for i, member in ipairs(members) do at = member[1]:find "data%.pkl$" and i or at end
      local whole, path = members[at][2], folder .. "/damaged.pt"
      for i = 3, #whole, 11 do
        for _, byte in ipairs {"\0", "\255", "(", "R", string.char(whole:byte(i) ~ 1)} do
          members[at][2] = whole:sub(1, i - 1) .. byte .. whole:sub(i + 1)
          os.remove(path) -- replacing it would flush it to the disk each time
          assert(files.write_atomic(path, function(file) return zip.write(file, members) end))
          local value, message = pt.load(path)
          assert.is_string(value == nil and message or "fine")
        end
      end
    end)
  end)
end)

describe("pt.save", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("gives back what was saved, bit for bit", function()
    local path = folder .. "/a.pt"
    local w = lt.randn(2, 3, 4)
    local saved = {state_dict = {["0.weight"] = w, tied = w, scalar = lt.tensor(3), none = lt.zeros(0, 2),
      u = lt.from_bytes("ab", {2}, "u8")}, epoch = 3, lr = 0.1, big = 1 << 40, minus = -7, name = "é",
      flags = {true, false, json.null, "x", {1.5}}, [5] = "five", empty = {}}
    assert.is_true(pt.save(path, saved))
    local loaded = assert(pt.load(path))
    for name, x in pairs(saved.state_dict) do
      assert.equal(x:bytes(), loaded.state_dict[name]:bytes())
      assert.same(x.shape, loaded.state_dict[name].shape)
      assert.equal(x.dtype, loaded.state_dict[name].dtype)
    end
    saved.state_dict, loaded.state_dict = nil, nil
    assert.same(saved, loaded)
    assert.equal("float", math.type(loaded.lr))
    local archive = assert(zip.open(path))
    assert.equal("little", archive:read "archive/byteorder")
    assert.equal(4, select(2, table.concat(archive.names, " "):gsub("archive/data/", ""))) -- tied: stored once
    archive:close()
  end)

  it("refuses what has no place in a file", function()
    local path = folder .. "/b.pt"
    local cycle = {}
    cycle[1] = cycle
    assert.misuse(function() pt.save(path, {f = print}) end, "pt.save: value: expected tensors, .* got a function")
    assert.misuse(function() pt.save(path, cycle) end, "pt.save: value: nested deeper than 100")
    assert.misuse(function() pt.save(path, {[{}] = 1}) end, "pt.save: value: expected keys .* got a table")
    assert.misuse(function() pt.save(path, "\255") end, "pt.save: value: expected strings in UTF%-8")
    assert.misuse(function() pt.save(nil, {}) end, "pt.save: path: expected a string")
    assert.is_false(files.exists(path))
    assert.misuse(function() pt.save(folder, {}) end, "[^:]*: is a folder, expected a file")
  end)
end)
