local files, json = require "latent.base.files", require "latent.json"
local lt = require "latent"
local safetensors = require "latent.safetensors"
local scratch = require "spec.support.scratch"
require "spec.support.misuse"

local folder, remove

-- A file with this header (text or table) and these bytes behind it.
local function forge(header, data, length)
  local text = type(header) == "table" and json.encode(header) or header
  return scratch.write(folder, "forged.safetensors",
    ("<I8"):pack(length or #text) .. text .. (data or ""))
end

local function entry(dtype, shape, from, to)
  return {dtype = dtype, shape = json.array(shape), data_offsets = {from, to}}
end

local function refused(path, pattern)
  local tensors, message = safetensors.load(path)
  assert.is_nil(tensors)
  assert.is_truthy(message:find(path, 1, true), message)
  assert.is_truthy(message:find(pattern), message)
end

-- One tensor of a dtype: its values after loading.
local function values_of(dtype, count, data)
  local tensors = assert(safetensors.load(forge({x = entry(dtype, {count}, 0, #data)}, data)))
  assert.equal(dtype == "F64" and "float64" or dtype == "BOOL" and "u8" or dtype:find "^I" and "i64" or "float32",
    tensors.x.dtype)
  return tensors.x:table()
end

describe("safetensors", function()
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("gives a model what assert hands on, metadata and all", function()
    local nn = require "latent.nn"
    local path, model, other = folder .. "/model.safetensors", nn.Linear(2, 3), nn.Linear(2, 3)
    assert(safetensors.save(path, model:state(), {metadata = {seed = "1"}}))
    other:load_state(assert(safetensors.load(path)))
    assert.equal(tostring(model.weight:table()[2][3]), tostring(other.weight:table()[2][3]))
    assert.error_matches(function() other:load_state(model:state(), {seed = "1"}) end, 'unknown option "seed"')
  end)

  it("gives back what was saved, bit for bit", function()
    local path = folder .. "/a.safetensors"
    local saved = {
      ["encoder.1.weight"] = lt.from_bytes(("<ffffff"):pack(1, -2.5, 1e-40, 3e38, 1 / 0, 0),
        {2, 3}, "float32"),
      bias = lt.tensor {0.1, 0.2, 0.3},
      scalar = lt.tensor(7),
      images = lt.from_bytes("\0\1\127\255", {1, 2, 2, 1}, "u8"),
      ["name with \" and é"] = lt.tensor {1},
    }
    assert.is_true(safetensors.save(path, saved, {metadata = {epoch = "3", recipe = "sheet"}}))
    local loaded, metadata = safetensors.load(path)
    assert.same({epoch = "3", recipe = "sheet"}, metadata)
    for name, tensor in pairs(saved) do
      assert.same(tensor.shape, loaded[name].shape)
      assert.equal(tensor.dtype, loaded[name].dtype)
      assert.equal(tensor:bytes(), loaded[name]:bytes())
      loaded[name] = nil
    end
    assert.is_nil(next(loaded))
  end)

  it("writes a header that other readers take: aligned, in order, without gaps", function()
    local path = folder .. "/b.safetensors"
    local tensors = {b = lt.tensor {1, 2}, a = lt.from_bytes("abc", {3}, "u8")}
    assert(safetensors.save(path, tensors))
    local file = assert(io.open(path, "rb"))
    local length = ("<I8"):unpack(file:read(8))
    local header = file:read(length)
    file:close()
    assert.equal(0, length % 8)
    assert.equal('{"a":{"data_offsets":[0,3],"dtype":"U8","shape":[3]},'
      .. '"b":{"data_offsets":[3,11],"dtype":"F32","shape":[2]}}', (header:gsub(" +$", "")))
  end)

  it("saves and loads nothing at all", function()
    local path = folder .. "/empty.safetensors"
    assert(safetensors.save(path, {}))
    local tensors, metadata = safetensors.load(path)
    assert.same({}, tensors)
    assert.same({}, metadata)
  end)

  it("writes the same bytes to anything that takes them", function()
    local path = folder .. "/pieces.safetensors"
    local tensors, pieces = {b = lt.tensor {1, 2}, a = lt.ones(2, 2)}, {}
    local sink = {}
    function sink:write(...)
      for _, piece in ipairs {...} do pieces[#pieces + 1] = piece end
      return self
    end
    assert(safetensors.write(sink, tensors, {made = "here"}))
    assert(safetensors.save(path, tensors, {metadata = {made = "here"}}))
    assert.equal(files.read_all(path), table.concat(pieces))
    assert.same({nil, "full"}, {safetensors.write({write = function() return nil, "full" end}, tensors)})
    assert.error_matches(function() safetensors.write(nil, {}) end, "safetensors.write: file: expected an open file")
    assert.error_matches(function() safetensors.write(sink, {1}) end, "safetensors.write: tensors: expected names")
  end)

  it("replaces a file whole, and leaves the old one when it cannot", function()
    local path = folder .. "/c.safetensors"
    assert(safetensors.save(path, {x = lt.tensor {1}}))
    assert(safetensors.save(path, {x = lt.tensor {2}}))
    assert.equal(2, safetensors.load(path).x:item())
    local before = scratch.list(folder)
    local closed = lt.tensor {3}
    closed:close()
    assert.has_error(function() safetensors.save(path, {a = lt.tensor {1}, x = closed}) end)
    assert.equal(2, safetensors.load(path).x:item())
    assert.same(before, scratch.list(folder))
  end)

  it("says where it cannot write", function()
    scratch.write(folder, "file", "")
    assert.misuse(function() safetensors.save(folder .. "/file/x.safetensors", {x = lt.tensor {1}}) end,
      "[^:]*/file/x.safetensors: cannot be written: ")
    assert.misuse(function() safetensors.save(folder, {}) end, "[^:]*: is a folder, expected a file")
  end)

  it("reads a header alone", function()
    local path = folder .. "/m.safetensors"
    safetensors.save(path, {x = lt.ones(3)}, {metadata = {a = "1"}})
    assert.equal("1", safetensors.read_metadata(path).a)
    scratch.write(folder, "m.safetensors", files.read_all(path):sub(1, -2))
    local none, message = safetensors.read_metadata(path)
    assert.is_nil(none)
    assert.matches("m.safetensors: .*data_offsets", message)
    assert.matches("none: No such file", select(2, safetensors.read_metadata(folder .. "/none")))
  end)

  it("keeps F64 and I64, widens other whole numbers and converts floating ones to float32", function()
    assert.same({1.5, -2, 0.1}, values_of("F64", 3, ("<ddd"):pack(1.5, -2, 0.1)))
    assert.same({1, -2, 0.5, 65504, 2.0 ^ -24, 1 / 0, -1 / 0, 0}, values_of("F16", 8,
      ("<I2I2I2I2I2I2I2I2"):pack(0x3C00, 0xC000, 0x3800, 0x7BFF, 1, 0x7C00, 0xFC00, 0)))
    assert.same({1, -2, 3.140625}, values_of("BF16", 3, ("<I2I2I2"):pack(0x3F80, 0xC000, 0x4049)))
    assert.same({-128, -1, 0, 127}, values_of("I8", 4, ("<bbbb"):pack(-128, -1, 0, 127)))
    assert.same({-32768, 10, 32767}, values_of("I16", 3, ("<i2i2i2"):pack(-32768, 10, 32767)))
    assert.same({-70000, 70000}, values_of("I32", 2, ("<i4i4"):pack(-70000, 70000)))
    assert.same({-(1 << 60) - 1, 5}, values_of("I64", 2, ("<i8i8"):pack(-(1 << 60) - 1, 5)))
    assert.same({0, 1, 1}, values_of("BOOL", 3, "\0\1\1"))
    local nan = values_of("F16", 1, ("<I2"):pack(0x7E00))[1]
    assert.is_true(nan ~= nan)
  end)

  it("converts across its own blocks", function()
    local count = 70001 -- more than one block, and no multiple of what is unpacked at a time
    local data = {}
    for i = 1, count do data[i] = ("<i4"):pack(i) end
    local values = values_of("I32", count, table.concat(data))
    for _, i in ipairs {1, 240, 241, 65536, 65537, count} do assert.equal(i, values[i]) end
  end)

  it("refuses other dtypes by name", function()
    refused(forge({w = entry("F8_E4M3", {1}, 0, 1)}, "x"),
      '"w": dtype F8_E4M3 is not supported %(supported: F32, U8, F64')
    refused(forge({w = entry("list", {1}, 0, 1)}, "x"), "dtype list is not supported")
    refused(forge({w = entry("BOOL", {1}, 0, 1)}, "\2"), "a BOOL that is neither 0 nor 1")
  end)

  it("refuses a header that the file cannot hold", function()
    refused(scratch.write(folder, "short", "abc"), "too short: 3 bytes")
    refused(forge("{}", "", 3), "header claims 3 bytes, the file has 2")
    refused(forge("{}", "", -1), "header claims 18446744073709551616 bytes")
    refused(forge("{}", "", 1 << 40), "header claims 1099511627776 bytes")
    refused(forge("", ""), "header: JSON, line 1, column 1: expected a value")
    for text, kind in pairs {["[]"] = "array", ["null"] = "null", ["false"] = "boolean", ["7"] = "number"} do
      refused(forge(text, ""), "header: expected an object, found " .. kind)
    end
    refused(forge('{"a": }', ""), "header: JSON, line 1, column 7: expected a value")
    refused(forge('{"a": 1}', ""), '"a": expected an object')
    refused(forge('{"a":1,"a":1}', ""), 'the name "a" is given twice')
    refused(forge({__metadata__ = {a = 1}}), "__metadata__: expected strings")
    for _, text in ipairs {'"x"', "[]", '["a"]', "false"} do
      refused(forge('{"__metadata__":' .. text .. "}", ""), "__metadata__: expected an object")
    end
    refused(forge('{"__metadata__":{"a":null}}', ""), "__metadata__: expected strings")
  end)

  -- What the reference implementation (safetensors 0.8.0) does with the same bytes.
  it("reads what the reference reads: white space first, fields to come, metadata that is null", function()
    local field = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]%s}'
    for _, text in ipairs {
      " \n\t\r{" .. field:format "" .. "} \n", "{" .. field:format ',"later":[{"a":[1]}]' .. "}",
      '{"__metadata__":null,' .. field:format "" .. "}",
    } do
      local tensors, metadata = assert(safetensors.load(forge(text, "x")))
      assert.same({120}, tensors.a:table())
      assert.same({}, metadata)
    end
  end)

  it("leaves json.null as it was", function()
    assert(safetensors.load(forge('{"__metadata__":null}', "")))
    assert.equal("null", tostring(json.null))
    assert.equal("null", json.encode(json.null))
    assert.equal("json.null", getmetatable(json.null))
  end)

  it("refuses entries that do not fit their data", function()
    local four = ("x"):rep(4)
    local function one(e) return forge({x = e}, four) end
    refused(one(entry("F32", {2}, 0, 4)), "shape %[2%] of F32 does not fill 4 bytes")
    refused(one(entry("F32", {1}, 0, 8)), "expected a range within 0 .. 4")
    refused(one(entry("F32", {1}, 4, 0)), "expected a range within")
    refused(one(entry("F32", {1}, -4, 0)), "expected a range within")
    refused(one(entry("F32", {1}, 0.5, 4)), "expected a range within")
    refused(one(entry("F32", {-1}, 0, 4)), "shape: expected an array of sizes")
    refused(one(entry("F32", {1.5}, 0, 4)), "shape: expected an array of sizes")
    refused(one(entry("F32", {1 << 62, 4}, 0, 4)), "does not fill 4 bytes")
    refused(one(entry("F32", {1 << 32, 1 << 32}, 0, 0)), "does not fill 0 bytes")
    refused(one(entry("F32", {1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 4)), "at most 8 axes, found 9")
    refused(one {dtype = "F32", shape = {1}}, "data_offsets: expected")
    refused(one {shape = {1}, data_offsets = {0, 4}}, "dtype: expected a string")
    refused(one {dtype = "F32", data_offsets = {0, 4}}, "shape: expected an array")
    for text, pattern in pairs {
      ["null"] = "expected an object", ["[]"] = "expected an object",
      ['{"dtype":"F32","shape":null,"data_offsets":[0,4]}'] = "shape: expected an array",
      ['{"dtype":"F32","shape":{},"data_offsets":[0,4]}'] = "shape: expected an array",
      ['{"dtype":"F32","shape":[],"data_offsets":{}}'] = "data_offsets: expected a range",
    } do refused(forge('{"x":' .. text .. "}", four), '"x": ' .. pattern) end
  end)

  it("refuses overlaps, gaps and bytes left over", function()
    local twelve = ("x"):rep(12)
    local function two(a, b) return forge({a = a, b = b}, twelve) end
    refused(two(entry("F32", {2}, 0, 8), entry("F32", {2}, 4, 12)), '"b": .* overlaps')
    refused(two(entry("F32", {1}, 0, 4), entry("F32", {1}, 8, 12)), '"b": .* leaves a gap')
    refused(two(entry("F32", {1}, 4, 8), entry("F32", {1}, 8, 12)), '"a": .* leaves a gap')
    refused(two(entry("F32", {1}, 0, 4), entry("F32", {1}, 4, 8)), "4 bytes after the last")
  end)

  it("answers any damage with a message or a table", function()
    local path = folder .. "/d.safetensors"
    assert(safetensors.save(path, {a = lt.tensor {1, 2, 3}, b = lt.zeros(2, 2)}))
    local file = assert(io.open(path, "rb"))
    local whole = file:read "a"
    file:close()
    for i = 1, #whole do
      local cut = scratch.write(folder, "cut", whole:sub(1, i - 1))
      refused(cut, ".")
      for _, byte in ipairs {"\0", "\255", '"', "9", "-"} do
        local damaged = whole:sub(1, i - 1) .. byte .. whole:sub(i + 1)
        local tensors, message = safetensors.load(scratch.write(folder, "cut", damaged))
        assert.is_string(tensors == nil and message or "fine")
      end
    end
  end)

  it("says so when there is no file", function()
    refused(folder .. "/missing.safetensors", "No such file")
    refused(folder, "is a folder")
  end)

  it("refuses misuse at the caller's line", function()
    local path = folder .. "/e.safetensors"
    assert.error_matches(function() safetensors.save(path, {lt.zeros(1)}) end,
      "expected names that are UTF")
    assert.error_matches(function() safetensors.save(path, {x = 1}) end,
      '"x": expected a tensor, got 1')
    assert.error_matches(function() safetensors.save(path, {__metadata__ = lt.zeros(1)}) end,
      "the format's own")
    assert.error_matches(function() safetensors.save(path, {}, {metadata = {a = 1}}) end,
      'metadata: expected strings, got "a": 1')
    assert.error_matches(function() safetensors.save(path, {}, {meta = {}}) end, "unknown option")
    assert.error_matches(function() safetensors.load(nil) end, "path: expected a string, got nil")
  end)
end)
