-- The element types: i64 and u8 beside the floating ones.
require "spec.support.close"
require "spec.support.misuse"
local lt = require "latent"
local npy = require "latent.npy"
local npz = require "latent.npz"
local pt = require "latent.pt"
local safetensors = require "latent.safetensors"
local scratch = require "spec.support.scratch"

local BIG = (1 << 53) + 1 -- no double is this number

local function i64(values) return lt.tensor(values, {dtype = "i64"}) end

describe("i64", function()
  it("is made by name, in PyTorch's spellings too", function()
    for name, dtype in pairs{i64 = "i64", int64 = "i64", long = "i64", u8 = "u8", uint8 = "u8", byte = "u8",
      float32 = "float32", float = "float32"} do
      for what, x in pairs{tensor = lt.tensor({1, 2}, {dtype = name}), zeros = lt.zeros(2, {dtype = name}),
        ones = lt.ones({2}, {dtype = name}), full = lt.full({2}, 3, {dtype = name}), bare = lt.full({2}, 3, name),
        arange = lt.arange(2, {dtype = name}), eye = lt.eye(2, {dtype = name})} do
        assert.equal(dtype, x.dtype, what)
      end
    end
    assert.same({{1, 0}, {0, 1}}, lt.eye(2, {dtype = "i64"}):table())
    assert.same({BIG, BIG + 2, BIG + 4}, lt.arange(BIG, BIG + 5, 2, {dtype = "i64"}):table())
    assert.same({3, 2, 1}, lt.arange(3, 1, -1, {dtype = "i64"}):table())
    assert.equal(0, #lt.arange(3, 2, {dtype = "i64"}))
    assert.same({BIG}, lt.from_bytes(("<i8"):pack(BIG), {1}, {dtype = "i64"}):table())
    assert.same({2, 3}, lt.zeros(lt.ones(2, 3), {dtype = "i64"}).shape)
  end)

  it("keeps every whole number, and gives it back as an integer", function()
    local x = i64{{BIG, -BIG}, {math.maxinteger, math.mininteger}}
    assert.equal(BIG, x:get(1, 1))
    assert.equal("integer", math.type(x:get(1, 2)))
    assert.equal(math.mininteger, x[2][2])
    assert.same({{BIG, -BIG}, {math.maxinteger, math.mininteger}}, x:table())
    x:set(1, 1, BIG + 2)
    x[2][1] = 7.0 -- whole
    assert.same({{BIG + 2, -BIG}, {7, math.mininteger}}, x:table())
    assert.equal(BIG, i64(BIG):item())
    assert.equal(BIG, i64{1, 2}:fill_(BIG)[2])
    assert.truthy(tostring(i64{BIG, 1}):find("[9007199254740993,                1]", 1, true))
    for i, v in i64{4, 5}:rows() do assert.equal(i + 3, v) end
    assert.same({BIG, 2}, i64{BIG, 2}:clone():table())
  end)

  it("refuses what is not whole, with its value", function()
    assert.misuse(function() lt.tensor({1.5}, {dtype = "i64"}) end, "tensor: expected a whole number for i64, got 1.5")
    assert.misuse(function() i64{1}:fill_(0.5) end, "fill_: value: expected a whole number for i64, got 0.5")
    assert.misuse(function() i64{1}:set(1, 2 ^ 63) end, "set: expected a whole number for i64, got 9.22%d+e%+18")
    assert.misuse(function() lt.arange(1.5, 3, {dtype = "i64"}) end, "arange: first: expected a whole number")
    assert.misuse(function() lt.zeros(2, {dtype = "int32"}) end,
      'zeros: dtype: expected "float32", "float64", "u8" or "i64", got "int32"')
    assert.misuse(function() lt.zeros(2, {dtpye = "i64"}) end,
      'zeros: unknown option "dtpye" %(did you mean "dtype"%?%)')
    assert.misuse(function() lt.randn(2, {dtype = "i64"}) end, 'randn: dtype: expected "float32" or')
    assert.misuse(function() lt.param(i64{1}) end, "param: expected float32, got i64")
  end)

  it("is converted to and from", function()
    assert.same({1, -2, 3}, lt.tensor{1.9, -2.9, 3}:long():table())
    assert.same({1, 2}, i64{1, 2}:byte():table())
    assert.equal("u8", i64{1, 2}:byte().dtype)
    assert.same({0, 255, 7}, i64{-3, 300, 7}:u8():table())
    assert.equal("float32", i64{1, 2}:float().dtype)
    local x = i64{1}
    assert.equal(x, x:long())
    assert.misuse(function() lt.tensor{0, 1e30}:long() end, "long: element 2 is 1.0000%d+e%+30, which i64 cannot hold")
    assert.misuse(function() lt.tensor{0 / 0}:long() end, "long: element 1 is NaN, which i64 cannot hold")
    assert.misuse(function() i64{3, 256}:byte() end, "byte: element 2 is 256, which u8 cannot hold")
    assert.misuse(function() lt.tensor{-1}:byte() end, "byte: element 1 is %-1, which u8 cannot hold")
    assert.same({1, 2}, lt.tensor(lt.tensor{1.5, 2}, {dtype = "i64"}):table())
  end)

  it("goes through the ops that move elements", function()
    local x = i64{{BIG, 2, 3}, {4, 5, 6}}
    assert.same({{BIG, 2}, {3, 4}, {5, 6}}, x:reshape(3, 2):table())
    assert.same({{BIG, 4}, {2, 5}, {3, 6}}, x:transpose():table())
    assert.same({{2, 3}, {5, 6}}, x:slice(2, 2, 3):table())
    assert.same({{3, 2, BIG}, {6, 5, 4}}, x:flip(2):table())
    assert.same({{4, 5, 6}, {BIG, 2, 3}}, x:gather_rows{2, 1}:table())
    assert.same({{4, 5, 6}}, x:gather_rows(i64{2}):table())
    assert.same({4, 3}, lt.cat{x, x}.shape)
    assert.equal("i64", lt.stack{x, x}.dtype)
    assert.same({{7, 7}, {7, 7}}, i64{7}:broadcast_to(2, 2):table())
    assert.same({{7, 7}}, i64{7}:byte():broadcast_to{1, 2}:table())
    assert.misuse(function() return lt.cat{x, lt.ones(2, 3)} end, "cat: tensor 2: expected i64 %[2, 3%]")
  end)

  it("is compared exactly, also with the others", function()
    local x = i64{BIG, BIG - 1, -5}
    assert.equal("u8", x:eq(BIG).dtype)
    assert.same({1, 0, 0}, x:eq(BIG):table())
    assert.same({0, 1, 0}, x:eq(2.0 ^ 53):table())
    assert.same({1, 0, 0}, x:gt(2.0 ^ 53):table())
    assert.same({0, 0, 1}, x:lt(-4.5):table())
    assert.same({0, 0, 1}, x:ge(-5.5):le(x:le(-4)):table())
    assert.same({1, 1, 1}, x:ne(lt.tensor{0 / 0, 1 / 0, -1 / 0}):table())
    assert.same({0, 1, 0}, x:lt(lt.tensor{0 / 0, 1 / 0, -1 / 0}):table())
    assert.same({0, 0, 1}, lt.tensor{0 / 0, -1 / 0, 1 / 0}:gt(x):table())
    assert.same({1, 1}, i64{3, 4}:eq(lt.tensor({3, 4}, {dtype = "u8"})):table())
    assert.same({{1, 0}, {0, 1}}, i64{{1}, {2}}:eq(i64{1, 2}):table())
  end)

  it("is added, multiplied and divided as whole numbers", function()
    local x = i64{BIG, -7, 7}
    assert.same({BIG + 1, -6, 8}, (x + 1):table())
    assert.same({2 - BIG, 9, -5}, (2 - x):table())
    assert.same({2 * BIG, -14, 14}, (x * 2):table())
    assert.same({-BIG, 7, -7}, (-x):table())
    assert.same({BIG, 7, 7}, x:abs():table())
    assert.same({BIG // 2, -4, 3}, (x // 2):table())
    assert.same({1, 1, 1}, (x % 2):table())
    assert.same({1, -1, 1}, x:fmod(2):table())
    assert.same({-BIG, 7, -7}, (x // -1):table())
    assert.same({math.mininteger}, (i64{math.maxinteger} + 1):table())
    assert.same({BIG, 0, 7}, x:maximum(0):table())
    assert.same({0, -7, 0}, x:minimum(0):table())
    assert.same({BIG, 1, 7}, lt.where(x:gt(0), x, 1):table())
    assert.same({{2, 3}, {3, 4}}, (i64{{1}, {2}} + i64{1, 2}):table())
    assert.same({3, 5}, i64{1, 2}:add_(i64{2, 3}):table())
    assert.misuse(function() return x // 0 end, "[^:]*: b: 0 at position 1, which whole numbers cannot be divided by")
    assert.misuse(function() return x:clone():add_(0.5) end,
      "add_: the result is float32 and does not fit into i64 in place")
    assert.misuse(function() return x:sqrt() end, "sqrt: x: expected float32, got i64 %(convert it with :float%(%)%)")
  end)

  it("gives way to floating types", function()
    assert.equal("float32", (i64{1, 2} * 0.5).dtype)
    assert.equal("float32", (i64{1, 2} * 2.0).dtype)
    assert.same({0.5, 1}, (i64{1, 2} / 2):table())
    assert.same({3.5, 5}, (i64{1, 2} + lt.tensor{2.5, 3}):table())
    local x = lt.param(lt.tensor{1, 2, 3})
    local y = (x * x:gt(1) * i64{1, 2, 3}):sum()
    y:backward()
    assert.same({0, 2, 3}, x.grad:table())
    assert.equal("float32", x.grad.dtype)
    assert.same({0, 2}, lt.where(lt.tensor({0, 1}, {dtype = "u8"}), lt.tensor{1, 2}, 0):table())
  end)

  it("is summed and searched", function()
    local x = i64{{BIG, 2, 1}, {4, 4, -6}}
    assert.equal(BIG + 5, x:sum():item())
    assert.same({BIG + 4, 6, -5}, x:sum(1):table())
    assert.same({{BIG + 3}, {2}}, x:sum(2, {keepdim = true}):table())
    assert.same({BIG, 4}, x:max(2):table())
    assert.equal(-6, x:min():item())
    assert.same({1, 1}, x:argmax(2):table())
    assert.same({2, 1, 2}, x:argmin(1):table())
    assert.equal(6, x:argmin():item())
    assert.equal(0.75, i64{1, 0, 1, 1}:mean():item())
    assert.equal(3, lt.tensor{1, 2, 3, 4}:gt(1):sum():item())
    assert.equal(0, i64{}:sum():item())
    assert.misuse(function() lt.zeros(0, {dtype = "i64"}):max() end, "max: x: expected at least one element")
  end)

  it("is what places come in, and are taken in", function()
    for _, x in ipairs{lt.tensor{1, 3, 2}:argmax(), lt.tensor{1, 3, 2}:argmin(), lt.randperm(3),
      (lt.knn({{1}, {2}}, {{1}}))} do
      assert.equal("i64", x.dtype)
    end
    local x = lt.tensor{{1, 2}, {3, 4}, {5, 6}}
    for _, index in ipairs{i64{3, 1}, lt.tensor{3, 1}, lt.tensor({3, 1}, {dtype = "u8"}), {3, 1}} do
      assert.same({{5, 6}, {1, 2}}, x:gather_rows(index):table())
      assert.same({{0, 0, 0, 1}, {0, 1, 0, 0}}, lt.one_hot(index, 4):table())
    end
    assert.misuse(function() x:gather_rows(i64{BIG}) end,
      "gather_rows: index: expected whole numbers 1..3, got 9007199254740993 at position 1")
    assert.equal(lt.cross_entropy(x, {0, 1, 1}):item(), lt.cross_entropy(x, i64{0, 1, 1}):item())
  end)

  it("comes back from every format as it went", function()
    local folder, remove = scratch.folder()
    local x, u = i64{{BIG, -BIG}, {math.maxinteger, math.mininteger}}, lt.tensor({1, 255}, {dtype = "u8"})
    npy.save(folder .. "/x.npy", x)
    npz.save(folder .. "/x.npz", {x = x, u = u}, {compress = true})
    pt.save(folder .. "/x.pt", {x = x, u = u})
    safetensors.save(folder .. "/x.safetensors", {x = x, u = u})
    local files = {{x = assert(npy.load(folder .. "/x.npy"))}, assert(npz.load(folder .. "/x.npz")),
      assert(pt.load(folder .. "/x.pt")), (assert(safetensors.load(folder .. "/x.safetensors")))}
    for _, got in ipairs(files) do
      assert.equal("i64", got.x.dtype)
      assert.same(x:table(), got.x:table())
      if got.u then assert.equal("u8", got.u.dtype) end
    end
    remove()
  end)
end)
