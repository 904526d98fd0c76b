local core = require "latent.core"
local damage = require "spec.support.damage"
local files = require "latent.base.files"
local lt = require "latent"
local nn = require "latent.nn"
local npy = require "latent.npy"
local npz = require "latent.npz"
local scratch = require "spec.support.scratch"
require "spec.support.misuse"

local FIXTURES = "spec/fixtures/interop/"

-- A .npy file with this header and these bytes behind it.
local function forge(header, data)
  return "\147NUMPY\1\0" .. ("<s2"):pack(header) .. (data or "")
end

local function header(descr, order, shape)
  return ("{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n"):format(descr, order or "False", shape or "(1,)")
end

local function refused(bytes, pattern)
  local tensor, message = npy.decode(bytes)
  assert.is_nil(tensor)
  assert.is_truthy(message:find(pattern), message)
end

describe("npy", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("reads every dtype in both orders, as NumPy converts it", function()
    for _, file in ipairs {"arrays.npz", "arrays_packed.npz"} do
      local arrays = assert(npz.load(FIXTURES .. file))
      local expected = assert(npz.load(FIXTURES .. "arrays_float32.npz"))
      local count = 0
      for name, x in pairs(arrays) do
        local whole = name:find "i[1248]$" or name:find "u[24]" or name == "ties"
        assert.equal(name:find "[ub]1" and "u8" or whole and "i64" or name:find "f8" and "float64" or "float32",
          x.dtype, name)
        assert.same(expected[name].shape, x.shape, name)
        assert.equal(expected[name]:bytes(), x:float():bytes(), name)
        count = count + 1
      end
      assert.equal(28, count)
    end
  end)

  it("reads what np.save wrote, all versions of the header", function()
    local x = assert(npy.load(FIXTURES .. "f_f8.npy"))
    assert.same({2, 3}, x.shape)
    assert.equal(-2.5, x:get(1, 2))
    assert.equal(60000, x:get(1, 3))
    for version = 2, 3 do
      assert.same({0, 1, 2, 3, 4}, npy.load(FIXTURES .. "version" .. version .. ".npy"):table())
    end
  end)

  it("reads numbers in any byte order", function()
    for descr, format in pairs {
      [">f4"] = ">ff", [">f8"] = ">dd", [">i2"] = ">i2i2", [">u2"] = ">I2I2", [">i4"] = ">i4i4", [">u4"] = ">I4I4",
      [">i8"] = ">i8i8", [">u8"] = ">I8I8", [">u1"] = "I1I1", ["=f4"] = "ff", f4 = "ff", ["|u1"] = "I1I1", u1 = "I1I1",
      i8 = "i8i8", ["|f4"] = "ff",
    } do
      local x = assert(npy.decode(forge(header("'" .. descr .. "'", "False", "(2,)"), format:pack(1, 40))))
      assert.same({1, 40}, x:table(), descr)
    end
    assert.same({1.5, -0.25},
      assert(npy.decode(forge(header("'>f2'", "False", "(2,)"), "\x3E\0\xB4\0"))):table())
    assert.same({{1, 3}, {2, 4}},
      assert(npy.decode(forge(header("'>f4'", "True", "(2, 2)"), (">ffff"):pack(1, 2, 3, 4)))):table())
    assert.same({0, 1, 2}, npy.load(FIXTURES .. "big_endian.npy"):table())
    local many, values = {}, {}
    for i = 1, 70001 do many[i], values[i] = (">i8"):pack(-i), -i end -- more than one block
    assert.same(values, assert(npy.decode(forge(header("'>i8'", "False", "(70001,)"), table.concat(many)))):table())
    assert.equal(0.1, assert(npy.decode(forge(header("'>f8'"), (">d"):pack(0.1)), {exact = true})):item())
  end)

  it("refuses what is no array of numbers", function()
    for name, pattern in pairs {
      complex = "dtype '<c16' %(complex numbers%) is not supported", object = "Python objects",
      text = "dtype '<U3' %(text%)", structured = "structured arrays are not supported",
    } do
      local path = FIXTURES .. "refused_" .. name .. ".npy"
      local x, message = npy.load(path)
      assert.is_nil(x)
      assert.is_truthy(message:find(path, 1, true), message)
      assert.is_truthy(message:find(pattern), message)
    end
  end)

  it("gives back what was saved, bit for bit", function()
    local path = folder .. "/a.npy"
    for _, x in ipairs {lt.randn(2, 3, 4), lt.tensor(2.5), lt.zeros(0, 3), lt.randn(7),
      lt.from_bytes("\0\1\255", {3, 1}, "u8")} do
      assert.is_true(npy.save(path, x))
      local y = assert(npy.load(path))
      assert.same(x.shape, y.shape)
      assert.equal(x.dtype, y.dtype)
      assert.equal(x:bytes(), y:bytes())
    end
    local bytes = files.read_all(path)
    assert.equal("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 1), }", bytes:match "{.*}")
    assert.equal("\n", bytes:sub(128, 128))
    assert.equal(128 + 3, #bytes)
  end)

  it("rounds to the nearest float32, once, or says what it cannot hold", function()
    local function two(letter, descr, ...) -- as numbers after loading, and the message of exact = true
      local bytes = forge(header(descr, "False", "(2,)"), ("<" .. letter:rep(2)):pack(...))
      local loose, message = assert(npy.decode(bytes)), select(2, npy.decode(bytes, {exact = true}))
      return loose:table(), message
    end
    local values, message = two("i4", "'<i4'", 1 << 24, (1 << 24) + 1)
    assert.same({1 << 24, (1 << 24) + 1}, values)
    assert.is_nil(message)
    values, message = two("i8", "'<u8'", 1 << 24, (1 << 24) + 1)
    assert.same({2.0 ^ 24, 2.0 ^ 24}, values)
    assert.equal("16777217 of U64 cannot be held by float32 (exact = true asks for that)", message)
    assert.same({(1 << 60) + 1, math.mininteger}, (two("i8", "'<i8'", (1 << 60) + 1, math.mininteger)))
    values, message = two("d", "'<f8'", 0.5, 0.1)
    assert.equal(0.1, values[2])
    assert.is_nil(message)
    assert.is_nil(select(2, two("d", "'<f8'", 0.5, 0 / 0)))
    -- The way through a double would round this tie's neighbour down.
    assert.same({2.0 ^ 60 + 2.0 ^ 37, 2.0 ^ 61 + 2.0 ^ 38},
      (two("i8", "'<u8'", (1 << 60) + (1 << 36) + 1, (1 << 61) + (1 << 37) + 1)))
    values, message = two("i8", "'<u8'", -1, math.mininteger)
    assert.same({2.0 ^ 64, 2.0 ^ 63}, values)
    assert.is_truthy(message:find "^0xFFFFFFFFFFFFFFFF of U64")
    assert.is_nil(select(2, two("i8", "'<u8'", math.mininteger, 5)))
    values, message = two("I4", "'<u4'", 0xFFFFFFFF, 0xFFFFFF00)
    assert.same({0xFFFFFFFF, 0xFFFFFF00}, values)
    assert.is_nil(message)
  end)

  it("refuses headers that are no dictionary of the three fields", function()
    refused("", "its magic is missing")
    refused("\147NUMPY\1\0", "ends inside its header")
    refused("\147NUMPY\4\0" .. ("\0"):rep(9), "version 4 of .npy is not known")
    refused("\147NUMPY\2\0\255\255\255\255xx", "a header of 4294967295 bytes, expected at most 131060")
    refused("\147NUMPY\2\0\255\255\0\0xx", "ends inside its header")
    for text, pattern in pairs {
      ["__import__('os').system('false')"] = "expected a dictionary",
      ["{'descr': __import__('os'), }"] = "descr: expected a string",
      ["{'shape': (1,), 'shape': (1,)}"] = 'unexpected name "shape"',
      ["{'more': 1}"] = 'unexpected name "more"',
      ["{'descr': '<f4', 'shape': (1,)}"] = '"fortran_order" is missing',
      ["{'descr': '<f4' 'shape': (1,)}"] = "expected a comma",
      ["{'descr': '<f4', "] = "expected a name and a value",
      [header "'<f4'" .. "x"] = "something follows",
      [header("'<f4'", "1")] = "fortran_order: expected True or False",
      [header("'<f4'", "False", "[1]")] = "shape: expected a tuple",
      [header("'<f4'", "False", "(1)")] = "shape: expected a tuple",
      [header("'<f4'", "False", "(-1,)")] = "shape: expected a tuple",
      [header("'<f4'", "False", "(1,,)")] = "shape: expected a tuple",
      [header("'<f4'", "False", "(1 1,)")] = "shape: expected a tuple",
      [header("'<f4'", "False", "(0, 9223372036854775807, 4)")] = "shape %(0, 9223372036854775807, 4%)",
      [header("'<f4'", "False", "(99999999999999999999,)")] = "a size is too large",
      [header "'<f3'"] = "dtype '<f3' is not supported", [header "'?f4'"] = "dtype '%?f4' is not known",
      [header "'<M8[ns]'"] = "dtype '<M8%[ns%]' %(dates%) is not supported",
      [header "'<f16'"] = "dtype '<f16' is not supported",
    } do refused(forge(text, "xxxx"), pattern) end
  end)

  it("refuses shapes that do not fill the file, before it takes memory", function()
    refused(forge(header("'<f4'", "False", "(2,)"), "xxxx"), "shape %(2%) of <f4: the file ends inside its data")
    refused(forge(header("'<f4'", "False", "()"), "xxxxx"), "1 bytes follow its data")
    refused(forge(header("'<f4'", "False", "(4611686018427387904, 4)"), "xxxx"), "ends inside its data")
    refused(forge(header("'<f4'", "False", "(4611686018427387904, 4611686018427387904, 0)")), "ends inside")
    refused(forge(header("'<f4'", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "xxxx"), "at most 8 axes, found 9")
    refused(forge(header "'|b1'", "\2"), "neither 0 nor 1")
  end)

  it("reads tuples as Python writes them", function()
    for text, shape in pairs {["()"] = {}, ["(1,)"] = {1}, ["(1, 1)"] = {1, 1}, ["( 1L , )"] = {1}} do
      assert.same(shape, assert(npy.decode(forge(header("\"<f4\"", "True", text), "xxxx"))).shape)
    end
  end)

  it("answers any damage with a message or a tensor", function()
    assert(npy.save(folder .. "/b.npy", lt.tensor {{1, 2}, {3, 4}}))
    damage.try(npy.load, files.read_all(folder .. "/b.npy"), folder)
  end)

  it("refuses misuse at the caller's line", function()
    assert.misuse(function() npy.load(1) end, "npy.load: path: expected a string, got 1")
    assert.misuse(function() npy.load("x", {exakt = true}) end,
      'npy.load: unknown option "exakt" %(did you mean "exact"%?%)')
    assert.misuse(function() npy.save(folder .. "/x.npy", {1}) end, "npy.save: expected a tensor, got a table")
    assert.is_nil((npy.load(folder .. "/missing.npy")))
    assert.misuse(function() npy.save(folder, lt.zeros(1)) end, "[^:]*: is a folder, expected a file")
  end)
end)

describe("npz", function()
  local zip = require "latent.formats.zip"
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  local saved = {w = lt.zeros(50, 60), ["layer/bias é"] = lt.randn(3), u = lt.from_bytes("ab", {2}, "u8")}

  for _, compress in ipairs {false, true} do
    it("gives back what was saved" .. (compress and ", compressed" or ""), function()
      local path = folder .. "/a.npz"
      assert.is_true(npz.save(path, saved, {compress = compress}))
      local loaded = assert(npz.load(path))
      for name, x in pairs(saved) do
        assert.equal(x:bytes(), loaded[name]:bytes())
        assert.same(x.shape, loaded[name].shape)
        loaded[name] = nil
      end
      assert.is_nil(next(loaded))
      assert.equal(compress, #files.read_all(path) < 2000)
    end)
  end

  it("answers any damage with a message or tensors", function()
    for _, compress in ipairs {false, true} do
      local path = folder .. "/b.npz"
      assert(npz.save(path, {a = lt.zeros(2, 3), b = lt.tensor {1}}, {compress = compress}))
      damage.try(npz.load, files.read_all(path), folder)
    end
    damage.try(npz.load, files.read_all(FIXTURES .. "arrays_packed.npz"), folder, 97)
  end)

  -- Each array as it was, or a message: never fewer arrays, nor other ones.
  it("lets no flipped bit through", function()
    for _, compress in ipairs {false, true} do
      local path = folder .. "/flip.npz"
      assert(npz.save(path, {a = lt.zeros(40), b = lt.tensor {1, 2}}, {compress = compress}))
      local whole = files.read_all(path)
      local expected = assert(npz.load(path))
      for i = 1, #whole do
        for bit = 0, 7 do
          local file = assert(io.open(path, "r+b"))
          file:write(whole:sub(1, i - 1), string.char(whole:byte(i) ~ 1 << bit), whole:sub(i + 1))
          file:close()
          local found, message = npz.load(path)
          if found then
            assert.is_nil(message)
            for name, x in pairs(expected) do assert.equal(x:bytes(), found[name] and found[name]:bytes()) end
          else
            assert.is_string(message)
          end
        end
      end
    end
  end)

  it("leaves out what no tensor can hold, and names it", function()
    local path = folder .. "/mixed.npz"
    local text = assert(files.read_all(FIXTURES .. "refused_text.npy"))
    local members = {{"x.npy", npy.encode(lt.ones(3))}, {"labels.npy", text}, {"note.txt", "made by hand"}}
    for _, compress in ipairs {false, true} do
      assert(files.write_atomic(path, function(file) return zip.write(file, members, compress) end))
      local arrays, left_out = assert(npz.load(path))
      assert.same({1, 1, 1}, arrays.x:table())
      arrays.x = nil
      assert.is_nil(next(arrays))
      assert.same("dtype '<U3' (text) is not supported; expected numbers", left_out.labels)
      assert.same("is no .npy array", left_out["note.txt"])
    end
    local bytes = files.read_all(path)
    local at = bytes:find("made by hand", 1, true)
    local _, message = npz.load(scratch.write(folder, "mixed.npz", bytes:sub(1, at) .. "?" .. bytes:sub(at + 2)))
    assert.equal(path .. ': member "note.txt" is damaged: its checksum is wrong', message)
    assert(npz.save(path, {x = lt.ones(3)}))
    assert.is_nil(select(2, npz.load(path)))
    local model = nn.Linear(2, 3)
    members[1][1], members[4] = "bias.npy", {"weight.npy", npy.encode(lt.zeros(2, 3))}
    assert(files.write_atomic(path, function(file) return zip.write(file, members) end))
    model:load_state(assert(npz.load(path))) -- the second result is no options table
  end)

  it("unpacks no more than an array's header promises", function()
    local path = folder .. "/bomb.npz"
    local function with(bytes)
      assert(files.write_atomic(path, function(file) return zip.write(file, {{"x.npy", bytes}}, true) end))
      assert.is_true(#files.read_all(path) < 20000)
      return npz.load(path)
    end
    local zeros = ("\0"):rep(1 << 24)
    local _, message = with(forge(header("'<f4'", "False", "(1,)"), zeros))
    assert.equal(path .. ": member \"x.npy\": shape (1) of <f4: 16777212 bytes follow its data", message)
    _, message = with(forge(header("'<f4'", "False", "(4194305,)"), zeros))
    assert.is_truthy(message:find "the file ends inside its data", message)
    _, message = with(zeros)
    assert.is_truthy(message:find "its magic is missing", message)
    assert.equal(1 << 22, assert(with(forge(header("'<f4'", "False", "(4194304,)"), zeros))).x:numel())
  end)

  it("names the member that is wrong", function()
    local path = folder .. "/c.npz"
    local function with(name, bytes)
      assert(files.write_atomic(path, function(file) return zip.write(file, {{name, bytes}}) end))
      return select(2, npz.load(path))
    end
    assert.equal(path .. ': member "x.txt": is no .npy array', with("x.txt", ""))
    assert.equal(path .. ': member "x.npy": not a .npy file: its magic is missing', with("x.npy", "?"))
    assert.is_truthy(select(2, npz.load(FIXTURES .. "arrays.npz", {exact = true})):find "exact = true")
  end)

  it("refuses misuse at the caller's line", function()
    assert.misuse(function() npz.save(folder .. "/x.npz", {a = 1}) end, 'npz.save: "a": expected a tensor, got 1')
    assert.misuse(function() npz.save(folder .. "/x.npz", {lt.zeros(1)}) end, "npz.save: name: expected a string")
    assert.misuse(function() npz.save(folder .. "/x.npz", {}, {pack = true}) end, 'npz.save: unknown option "pack"')
    assert.misuse(function() npz.load(nil) end, "npz.load: path: expected a string, got nil")
  end)
end)

describe("zip", function()
  local zip = require "latent.formats.zip"
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  local function write(members, ...)
    local rest = {...}
    local path = folder .. "/a.zip"
    assert(files.write_atomic(path, function(file) return zip.write(file, members, table.unpack(rest)) end))
    return path, files.read_all(path)
  end

  local function refused_archive(bytes, pattern, member)
    local archive, message = zip.open(scratch.write(folder, "bad.zip", bytes))
    if archive then
      archive, message = archive:read(member), select(2, archive:read(member))
    end
    assert.is_nil(archive)
    assert.is_truthy(message:find(pattern), message)
  end

  -- Replaces bytes of the only member's entry in the directory.
  local function patched(bytes, at, new)
    local entry = bytes:find("PK\1\2", 1, true) + at
    return bytes:sub(1, entry - 1) .. new .. bytes:sub(entry + #new)
  end

  -- ... and of the header before its data, so that the two agree.
  local function patched_twice(bytes, at, new)
    bytes = patched(bytes, at, new)
    return bytes:sub(1, at - 2) .. new .. bytes:sub(at - 1 + #new)
  end

  it("keeps members, their order and their alignment", function()
    local path, bytes = write({{"b", "stored"}, {"a/é", ("x"):rep(1000)}, {"empty", ""}}, true, 64)
    local archive = assert(zip.open(path))
    assert.same({"b", "a/é", "empty"}, archive.names)
    assert.equal("stored", archive:read "b")
    assert.equal(("x"):rep(1000), archive:read "a/é")
    assert.equal("", archive:read "empty")
    assert.equal(1000, archive:size "a/é")
    assert.is_nil(archive:size "c")
    assert.equal(path .. ': no member "c"', select(2, archive:read "c"))
    archive:close()
    archive:close()
    assert.equal(0, (bytes:find("stored", 1, true) - 1) % 64)
    assert.is_true(#bytes < 700)
  end)

  it("is read by another program", function()
    local path = write({{"a", ("hello "):rep(100)}, {"b", "x"}}, true, 64)
    if not files.has_program "python3" then pending "no python3" end
    assert.equal("['a', 'b'] None", files.capture("python3 -c 'import zipfile, sys; z = zipfile.ZipFile(sys.argv[1]); "
      .. "print(z.namelist(), z.testzip())' " .. files.quote(path)))
  end)

  it("reads zip64 records", function()
    local _, bytes = write {{"name", "content"}}
    local at = bytes:find("PK\1\2", 1, true)
    local extra = ("<I2I2I8I8I8"):pack(1, 24, 7, 7, 0)
    local entry = bytes:sub(at, at + 19) .. ("<I4I4I2I2"):pack(0xFFFFFFFF, 0xFFFFFFFF, 4, #extra)
      .. bytes:sub(at + 32, at + 41) .. "\255\255\255\255name" .. extra
    local record = "PK\6\6" .. ("<I8I2I2I4I4I8I8I8I8"):pack(44, 45, 45, 0, 0, 1, 1, #entry, at - 1)
    local locator = "PK\6\7" .. ("<I4I8I4"):pack(0, at - 1 + #entry, 1)
    local finish = "PK\5\6" .. ("<I2I2I2I2I4I4I2"):pack(0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    local path = scratch.write(folder, "64.zip", bytes:sub(1, at - 1) .. entry .. record .. locator .. finish)
    local archive = assert(zip.open(path))
    assert.equal("content", archive:read "name")
    archive:close()
    damage.try(function(damaged)
      local opened, message = zip.open(damaged)
      if opened then opened:close() end
      return opened, message
    end, files.read_all(path), folder)
    refused_archive(bytes:sub(1, at - 1) .. entry .. finish, "its zip64 record is missing")
  end)

  it("refuses what it does not know, and sizes that cannot be", function()
    local _, bytes = write({{"name", ("x"):rep(5000)}}, true)
    refused_archive("", "no zip archive")
    refused_archive(patched(bytes, 8, "\1"), '"name" is encrypted')
    refused_archive(patched(bytes, 10, "\12"), "packed by method 12")
    refused_archive(patched(bytes, 10, "\0"), "claims 5000 bytes, which its %d+ cannot hold")
    refused_archive(patched(bytes, 24, "\0\0\0\127"), "claims 2130706432 bytes, which its %d+ cannot hold")
    refused_archive(patched(bytes, 20, "\0\0\0\127"), "lies outside the file")
    refused_archive(patched(bytes, 42, "\0\0\0\127"), "lies outside the file")
    refused_archive(patched_twice(bytes, 24, "\0\2"), "holds more than the 512 bytes that it declares", "name")
    refused_archive(patched_twice(bytes, 24, "\0\64"), "holds 5000 bytes, expected 16384", "name")
    refused_archive(patched_twice(bytes, 16, "\0\0"), "checksum is wrong", "name")
    refused_archive(patched(bytes, 46, "nome"), "another name before its data", "nome")
  end)

  it("refuses a directory that is not the one of its members", function()
    local _, bytes = write {{"a", "one"}, {"b", "two"}}
    local at, finish = bytes:find("PK\1\2", 1, true), bytes:find("PK\5\6", 1, true)
    local function counted(n) return bytes:sub(1, finish + 7) .. ("<I2I2"):pack(n, n) .. bytes:sub(finish + 12) end
    refused_archive(counted(1), "its directory lists more than the 1 members of its end record")
    refused_archive(counted(3), "not where its end record says")
    refused_archive(bytes:sub(1, finish + 7) .. "\1" .. bytes:sub(finish + 9), "counts 1 members and 2")
    for place, new in pairs {[10] = "\8", [16] = "x", [20] = "\4", [24] = "\4"} do -- method, sum, sizes
      local message = select(2, zip.open(scratch.write(folder, "bad.zip", patched(bytes, place, new))))
      assert.is_string(message)
    end
    refused_archive(patched(bytes, 16, "x"), 'member "a" has another header before its data')
    -- An entry that is gone leaves its member behind.
    local second = bytes:find("PK\1\2", at + 1, true)
    local function only(entry)
      return bytes:sub(1, at - 1) .. entry .. "PK\5\6" .. ("<I2I2I2I2I4I4I2"):pack(0, 0, 1, 1, #entry, at - 1, 0)
    end
    refused_archive(only(bytes:sub(at, second - 1)), 'member "a" is followed by %d+ bytes that belong to no member')
    refused_archive(only(bytes:sub(second, finish - 1)), "%d+ bytes before its first member")
    refused_archive(bytes .. "\0", "its end record is missing")
    assert(zip.open(scratch.write(folder, "comment.zip", bytes:sub(1, -3) .. "\2\0ab"))):close()
  end)

  it("reads members whose sizes follow their data", function()
    local _, bytes = write({{"a", ("x"):rep(500)}}, true)
    local at = bytes:find("PK\1\2", 1, true)
    local sums, flags = bytes:sub(15, 26), "\8\0"
    local function streamed(descriptor)
      local central, place = patched(bytes, 8, flags):sub(at), at - 1 + #descriptor
      return bytes:sub(1, 6) .. flags .. bytes:sub(9, 14) .. ("\0"):rep(12) .. bytes:sub(27, at - 1) .. descriptor
        .. central:sub(1, -7) .. ("<I4"):pack(place) .. "\0\0"
    end
    local wide = sums:sub(1, 4) .. ("<I8I8"):pack(("<I4I4"):unpack(sums, 5))
    for _, descriptor in ipairs {sums, "PK\7\8" .. sums, wide, "PK\7\8" .. wide} do
      local archive = assert(zip.open(scratch.write(folder, "streamed.zip", streamed(descriptor))))
      assert.equal(("x"):rep(500), archive:read "a")
      archive:close()
    end
    refused_archive(streamed("xxxx" .. sums:sub(5)), "belong to no member")
  end)

  it("looks at a member without keeping it", function()
    for _, compress in ipairs {false, true} do
      local path, bytes = write({{"a", ("0123456789"):rep(30000)}}, compress)
      local archive = assert(zip.open(path))
      assert.equal("01234567890", archive:peek("a", 11))
      assert.equal(300000, #archive:peek("a", 1 << 40))
      assert.is_true(archive:check "a")
      archive:close()
      refused_archive(patched_twice(bytes, 16, "\0\0"), "checksum is wrong", "a")
    end
  end)

  it("refuses members that share bytes or a name", function()
    local _, bytes = write {{"a", "xyz"}}
    local at = bytes:find("PK\1\2", 1, true)
    local entry = bytes:sub(at, at + 46)
    local function twice(second)
      return bytes:sub(1, at - 1) .. entry .. second .. "PK\5\6"
        .. ("<I2I2I2I2I4I4I2"):pack(0, 0, 2, 2, 2 * #entry, at - 1, 0)
    end
    refused_archive(twice(entry), '"a" is there twice')
    refused_archive(twice(entry:sub(1, -2) .. "b"), 'member "." overlaps what follows it')
  end)

  it("packs and unpacks through zlib", function()
    local text = ("latent "):rep(5000)
    for _, format in ipairs {"gzip", "zlib", "raw"} do
      local packed = core.deflate(text, format, 9)
      assert.is_true(#packed < 200)
      assert.equal(text, core.inflate(packed, format))
      assert.equal(text, core.inflate(packed, format, #text))
      assert.is_truthy(select(2, core.inflate(packed, format, #text - 1)):find "holds more than was expected")
      assert.is_truthy(select(2, core.inflate(packed:sub(1, -9), format)):find "ends too early")
    end
    assert.equal(0xCBF43926, core.crc32 "123456789")
    assert.equal(0xCBF43926, core.crc32("56789", core.crc32 "1234"))
    assert.equal(0, core.crc32 "")
    assert.misuse(function() core.deflate("x", "zlib", 10) end, "deflate: level: expected 0..9, got 10")
    assert.misuse(function() core.deflate("x", "zlib", 1 << 32) end, "deflate: level: expected 0..9, got 4294967296")
  end)
end)
