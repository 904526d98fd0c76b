-- Tensors: making, reading, cutting and printing them; u8; errors at the user's line.
require "spec.support.close"
require "spec.support.misuse"
local lt = require "latent"

local inf, nan = math.huge, 0 / 0

local function shape(t) return table.concat(t.shape, ",") end

describe("making tensors", function()
  it("from numbers and nested tables", function()
    local t = lt.tensor {{1, 2, 3}, {4, 5, 6}}
    assert.same({2, 3}, t.shape)
    assert.equal("float32", t.dtype)
    assert.equal(2, t:dim())
    assert.equal(6, t:numel())
    assert.equal(2, #t)
    assert.equal(3, t:size(2))
    assert.equal(3, t:size(-1))
    assert.same({{1, 2, 3}, {4, 5, 6}}, t:table())
    assert.same({}, lt.tensor(5).shape)
    assert.equal(5, lt.tensor(5):item())
    assert.equal(5, lt.tensor(5):table())
    assert.equal("0", shape(lt.tensor {}))
    assert.equal("2,0", shape(lt.tensor {{}, {}}))
    local copy = lt.tensor(t)
    copy:fill_(0)
    assert.equal(1, t:get(1, 1))
  end)

  it("refuses what is ragged or no number", function()
    assert.misuse(function() lt.tensor {{1, 2}, {3}} end, "tensor: ragged table: expected 2 elements at depth 2, got 1")
    assert.misuse(function() lt.tensor {{1, 2}, 3} end, "tensor: ragged table")
    assert.misuse(function() lt.tensor {1, {2}} end, "tensor: expected numbers, got a table")
    assert.misuse(function() lt.tensor {1, "2"} end, "tensor: expected numbers, got \"2\"")
    assert.misuse(function() lt.tensor {1, nil, 3} end, "tensor: expected numbers, got nil")
    assert.misuse(function() lt.tensor {{{{{{{{{1}}}}}}}}} end, "tensor: tables are nested too deeply")
    assert.misuse(function() lt.tensor "x" end, "tensor: expected a tensor, got \"x\"")
    local loop = {}
    loop[1] = loop
    assert.misuse(function() lt.tensor(loop) end, "tensor: tables are nested too deeply")
  end)

  it("says that there is nothing where there is nothing to choose from", function()
    local scalar, empty = lt.tensor(3), lt.zeros(0)
    for _, name in ipairs {"sum", "softmax", "size", "flip", "squeeze"} do
      assert.misuse(function() scalar[name](scalar, 1) end, name .. ": axis: a scalar has none, got 1")
    end
    assert.misuse(function() lt.transpose(scalar, 1, 1) end, "transpose: a: a scalar has none, got 1")
    assert.misuse(function() local _ = empty[2] end, "index: expected none %(there are 0%) for shape %[0%], got 2")
    assert.misuse(function() empty[1] = 3 end, "index: expected none %(there are 0%), got 1")
    assert.misuse(function() empty:select(1) end, "select: index: expected none %(there are 0%), got 1")
  end)

  it("of one value, and in sequence", function()
    assert.equal("2,3", shape(lt.zeros(2, 3)))
    assert.equal("2,3", shape(lt.ones {2, 3}))
    assert.equal("2,3", shape(lt.zeros(lt.ones(2, 3))))
    assert.equal("", shape(lt.zeros()))
    assert.close(lt.ones(2), {1, 1})
    assert.close(lt.full({2}, 2.5), {2.5, 2.5})
    assert.close(lt.full({2}, 255, "u8"), {255, 255})
    assert.close(lt.arange(4), {1, 2, 3, 4})
    assert.close(lt.arange(0, 1, 0.25), {0, 0.25, 0.5, 0.75, 1})
    assert.close(lt.arange(3, 1, -1), {3, 2, 1})
    assert.equal(0, #lt.arange(3, 1))
    assert.equal(0, #lt.arange(0))
    assert.close(lt.arange(0.1, 1, 0.1), {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1})
    assert.close(lt.linspace(0, 1, 5), {0, 0.25, 0.5, 0.75, 1})
    assert.close(lt.linspace(3, 9, 1), {3})
    assert.close(lt.linspace(1, -1, 3), {1, 0, -1})
    assert.close(lt.eye(2), {{1, 0}, {0, 1}})
    assert.equal("0,0", shape(lt.eye(0)))
  end)

  it("refuses sizes that make no sense", function()
    assert.misuse(function() lt.zeros(-1) end, "zeros: shape: expected sizes of at least 0, got %-1")
    assert.misuse(function() lt.zeros(2.5) end, "zeros: shape: expected a whole number, got 2.5")
    assert.misuse(function() lt.zeros("2") end, "zeros: shape: expected a whole number, got \"2\"")
    assert.misuse(function() lt.zeros(1, 1, 1, 1, 1, 1, 1, 1, 1) end, "zeros: shape: expected at most 8 axes, got 9")
    assert.misuse(function() lt.zeros {{2}} end, "zeros: shape: expected a list of sizes")
    assert.misuse(function() lt.zeros(2 ^ 31, 2 ^ 31, 2 ^ 31) end, "zeros: ")
    assert.misuse(function() lt.zeros(math.maxinteger) end, "zeros: ")
    assert.misuse(function() lt.zeros(2 ^ 62, 0, 2 ^ 62) end, "zeros: ")
    assert.misuse(function() lt.zeros(2 ^ 45) end, "zeros: shape %[35184372088832%] is too large")
    assert.misuse(function() lt.eye(-1) end, "eye: n: expected at least 0, got %-1")
    assert.misuse(function() lt.linspace(0, 1, -1) end, "linspace: n: expected at least 0, got %-1")
    assert.same({0}, lt.linspace(0, 1, 0).shape)
    assert.misuse(function() lt.arange(1, 2, 0) end, "arange: step: expected not 0, got 0")
    assert.misuse(function() lt.arange(1, inf) end, "arange: too many elements")
    assert.misuse(function() lt.arange(nan) end, "arange: ")
    assert.misuse(function() lt.full({2}) end, "full: value: expected a number, got nil")
    assert.misuse(function() lt.full({2}, 256, "u8") end, "full: value: expected a whole number 0..255 for u8, got 256")
    assert.misuse(function() lt.full({2}, 1, "f16") end,
      'full: dtype: expected "float32", "float64", "u8" or "i64", got "f16"')
  end)

  it("from bytes and back", function()
    local t = lt.from_bytes(("<fff"):pack(1, -2, 0.5), {3}, "float32")
    assert.close(t, {1, -2, 0.5})
    assert.equal(("<fff"):pack(1, -2, 0.5), t:bytes())
    local u = lt.from_bytes("\0\1\255\7", {2, 2}, "u8")
    assert.same({{0, 1}, {255, 7}}, u:table())
    assert.equal("u8", u.dtype)
    assert.equal("\255\7", u[2]:bytes())
    assert.equal("", lt.zeros(0):bytes())
    assert.equal("0,3", shape(lt.from_bytes("", {0, 3}, "u8")))
    assert.misuse(function() lt.from_bytes("abc", {3}, "float32") end, "from_bytes: expected 12 bytes, got 3")
    assert.misuse(function() lt.from_bytes("abc", {3}, "i8") end, "from_bytes: dtype: expected")
    assert.misuse(function() lt.from_bytes(nil, {3}) end, "from_bytes: bytes: expected a string, got nil")
  end)
end)

describe("elements and rows", function()
  local t = lt.tensor {{1, 2, 3}, {4, 5, 6}}

  it("are read from the front and from the end", function()
    assert.equal(6, t:get(2, 3))
    assert.equal(6, t:get(-1, -1))
    assert.equal(2, t[1][2])
    assert.close(t[-1], {4, 5, 6})
    assert.equal(3, t[-2][-1])
    assert.equal(7, lt.tensor(7):get())
  end)

  it("outside raise, but the one after the last is nil", function()
    assert.is_nil(t[3])
    assert.is_nil(lt.arange(3)[4])
    assert.is_nil(lt.zeros(0)[1])
    assert.misuse(function() local _ = t[4] end, "index: expected 1..2 for shape %[2, 3%], got 4")
    assert.misuse(function() local _ = t[0] end, "index: expected 1..2 .*, got 0")
    assert.misuse(function() local _ = t[-3] end, "index: expected 1..2 .*, got %-3")
    assert.misuse(function() local _ = t[1.5] end, "index: x%[i%]: expected a whole number, got 1.5")
    assert.misuse(function() local _ = t[{1, 2, 3}] end, "index: expected at most 2 entries for shape %[2, 3%], got 3")
    assert.misuse(function() local _ = lt.tensor(1)[1] end, "index: a scalar has no rows")
    assert.misuse(function() t:get(1) end, "get: expected 2 indices for shape %[2, 3%], got 1")
    assert.misuse(function() t:get(1, 4) end, "get: index 4 of axis 2 is out of range for shape %[2, 3%]")
    assert.misuse(function() t:get(0, 1) end, "get: index 0 of axis 1 is out of range")
    assert.misuse(function() t:size(3) end, "size: axis: expected 1..2 or %-2..%-1, got 3")
    assert.misuse(function() t:item() end, "item: expected one element, got shape %[2, 3%]")
  end)

  it("end ipairs, and rows", function()
    local n = 0
    for i, row in ipairs(t) do
      n = n + 1
      assert.equal(3 * i, row:get(3))
    end
    assert.equal(2, n)
    local list = {}
    for _, x in ipairs(lt.arange(3)) do list[#list + 1] = x end
    assert.same({1, 2, 3}, list)
    for i, row in t:rows() do list[i] = row:sum():item() end
    assert.same({6, 15, 3}, list)
  end)

  it("are set, in place", function()
    local x = lt.zeros(2, 2)
    x:set(1, -1, 5)
    x[2] = lt.tensor {7, 8}
    x[1][1] = 3
    assert.close(x, {{3, 5}, {7, 8}})
    local v = lt.zeros(2)
    v[-1] = 4
    assert.close(v, {0, 4})
    assert.misuse(function() v[3] = 1 end, "index: expected 1..2, got 3")
    assert.misuse(function() x[1] = lt.ones(3) end, "x%[i%] = row: expected float32 %[2%], got float32 %[3%]")
    assert.misuse(function() lt.zeros(2, 2, 3)[1] = lt.ones(3, 2) end,
      "x%[i%] = row: expected float32 %[2, 3%], got float32 %[3, 2%]")
    assert.misuse(function() x[1] = "x" end, "index: value: expected a tensor, got \"x\"")
    assert.misuse(function() v[1] = "x" end, "index: value: expected a number, got \"x\"")
    assert.misuse(function() x.colour = 1 end, "a tensor has no field \"colour\" to assign to")
    assert.misuse(function() x.grad = lt.ones(3) end, "grad: expected a tensor of the same shape")
    assert.misuse(function() x:set(1, 1) end, "set: expected 2 indices")
  end)

  it("do not silently drop a gradient", function()
    local p = lt.param(lt.tensor {1, 2})
    assert.misuse(function() local _ = p[1] end,
      "index: x%[i%] of a 1%-D tensor is a plain number and would lose its gradient")
    assert.equal(1, p:detach()[1])
    assert.equal(2, lt.no_grad(function() return p[2] end))
    local m = lt.param(lt.tensor {{1, 2}, {3, 4}})
    m[2]:sum():backward()
    assert.close(m.grad, {{0, 0}, {1, 1}})
  end)
end)

describe("views and copies", function()
  it("of rows and reshapes share storage", function()
    local t = lt.zeros(4, 3)
    t:reshape(12):set(12, 9)
    t[1]:fill_(1)
    t:slice(1, 2, 3):fill_(2)
    t:slice(1, -1, -1):reshape(3):set(1, 5)
    assert.close(t, {{1, 1, 1}, {2, 2, 2}, {2, 2, 2}, {5, 0, 9}})
  end)

  it("of all else are copies", function()
    local t = lt.tensor {{1, 2}, {3, 4}}
    assert.misuse(function() t:transpose():fill_(0) end, "fill_: transpose copied")
    assert.misuse(function() t:slice(2, 1, 1):fill_(0) end, "fill_: slice copied")
    t:transpose():clone():fill_(0)
    t:clone():fill_(0)
    t:gather_rows({1}):fill_(0)
    t:float():clone():fill_(0)
    assert.close(t, {{1, 2}, {3, 4}})
    assert.equal(t, t:float())
  end)

  it("slice with Lua's ranges", function()
    local t = lt.arange(1, 12):reshape(3, 4)
    assert.close(t:slice(1, 2), {{5, 6, 7, 8}, {9, 10, 11, 12}})
    assert.close(t:slice(2, 2, 3), {{2, 3}, {6, 7}, {10, 11}})
    assert.close(t:slice(-1, -1), {{4}, {8}, {12}})
    assert.equal("3,0", shape(t:slice(2, 3, 2)))
    assert.close(t:slice {axis = 2, first = 4}, {{4}, {8}, {12}})
  end)

  it("survive their base", function()
    local view
    do view = lt.arange(1, 1000):slice(1, 500, 502) end
    collectgarbage()
    collectgarbage()
    assert.close(view, {500, 501, 502})
  end)

  it("copy into each other", function()
    local t = lt.arange(1, 4)
    t:slice(1, 2, 3):copy_(t:slice(1, 1, 2)) -- overlapping
    assert.close(t, {1, 1, 2, 4})
    assert.close(lt.zeros(2, 2):copy_(lt.ones(2, 2)), {{1, 1}, {1, 1}})
  end)
end)

describe("u8 tensors", function()
  local u = lt.from_bytes("\0\7\200\255", {4}, "u8")

  it("convert, rounding and limiting", function()
    assert.close(u:float(), {0, 7, 200, 255})
    assert.equal("float32", u:float().dtype)
    assert.same({0, 0, 2, 4, 255, 255}, lt.tensor({-3, 0.5, 1.5, 3.6, 254.7, 1e9}):u8():table())
    assert.same({0, 255}, lt.tensor({-inf, inf}):u8():table())
    assert.misuse(function() lt.tensor({1, nan}):u8() end, "u8: element 2 is NaN")
    assert.equal(u, u:u8())
  end)

  it("take part in shape and gather ops, in comparisons and arithmetic, and in nothing else", function()
    assert.same({{0, 7}, {200, 255}}, u:reshape(2, 2):table())
    assert.same({{0, 200}, {7, 255}}, u:reshape(2, 2):transpose():table())
    assert.same({255, 0}, u:gather_rows({4, 1}):table())
    assert.same({7, 200}, u:slice(1, 2, 3):table())
    assert.same({255, 200, 7, 0}, u:flip(1):table())
    assert.same({0, 7, 200, 255, 0, 7, 200, 255}, lt.cat({u, u}):table())
    assert.equal("u8", lt.stack({u, u}).dtype)
    assert.close(u:eq(lt.tensor {0, 7, 1, 1}), {1, 1, 0, 0})
    assert.close(u:gt(100), {0, 0, 1, 1})
    assert.equal("u8", u:clone().dtype)
    assert.equal(200, u[3])
    assert.misuse(function() return u:exp() end, "exp: x: expected float32, got u8 %(convert it with :float%(%)%)")
    assert.misuse(function() local _ = u:logsumexp(1) end, "logsumexp: x: expected float32, got u8")
    assert.misuse(function() return lt.cat {u, lt.zeros(4)} end, "cat: tensor 2: expected u8")
    assert.misuse(function() return lt.param(u) end, "param: expected float32, got u8")
  end)

  it("hold whole numbers 0..255 only", function()
    local v = lt.zeros(2):u8()
    v[1] = 255
    assert.equal(255, v[1])
    for _, x in ipairs {256, -1, 1.5, nan} do
      assert.misuse(function() v[1] = x end, "x%[i%] = value: expected a whole number 0..255 for u8")
    end
    assert.misuse(function() v:fill_(300) end, "fill_: value: expected a whole number 0..255 for u8")
  end)
end)

describe("printing", function()
  it("shows small tensors whole", function()
    local text = tostring(lt.tensor {{1, 2.5}, {-3, nan}})
    assert.matches("%[2, 2%] float32", text)
    for _, word in ipairs {"1", "2.5", "%-3", "nan"} do assert.matches(word, text) end
    assert.matches("%[0, 3%].*empty", tostring(lt.zeros(0, 3)))
    assert.matches("7", tostring(lt.tensor(7)))
    assert.matches("u8", tostring(lt.zeros(2):u8()))
    assert.matches("gradient", tostring(lt.param(lt.ones(2))))
  end)

  it("is bounded, and formats only what it shows", function()
    for _, sizes in ipairs {{1000000}, {1000, 1000}, {64, 32, 32, 16}, {10, 10, 10, 10, 10, 10},
      {2, 2, 2, 2, 2, 2, 2, 2}, {9, 9, 9, 9}, {1, 1, 5000, 1}} do
      local start = os.clock()
      local text = tostring(lt.ones(sizes))
      local _, lines = text:gsub("\n", "")
      assert(#text < 8000 and lines < 60,
        ("%s: %d characters in %d lines"):format(table.concat(sizes, "x"), #text, lines))
      assert(os.clock() - start < 0.2)
    end
  end)
end)

describe("fields", function()
  local t = lt.ones(2)

  it("that do not exist raise, and suggest the nearest", function()
    assert.misuse(function() local _ = t.shpae end,
      "a tensor has no method or field \"shpae\" %(did you mean \"shape\"%?%)")
    assert.misuse(function() t:rel() end, "a tensor has no method or field \"rel\" %(did you mean \"relu\"%?%)")
    assert.misuse(function() local _ = t.xylophone end, "a tensor has no method or field \"xylophone\"")
  end)

  it("compare by identity", function()
    assert.is_true(t == t)
    assert.is_false(t == lt.ones(2))
    assert.is_true(lt.is_tensor(t))
    assert.is_false(lt.is_tensor {1})
    assert.is_false(lt.is_tensor(io.stdout))
  end)

  it("refuse a wrong self", function()
    assert.misuse(function() t.sum(3, 4, 5) end, "sum: ")
    assert.misuse(function() t.get({}, 1) end, "get: expected a tensor, got a table")
    assert.has_error(function() t.close {} end)
  end)
end)

describe("errors", function()
  it("carry the line of the script, through library code written in Lua too", function()
    assert.misuse(function() local _ = lt.ones(2, 2):var(3) end, "var: axis: expected 1..2")
    assert.misuse(function() local _ = lt.stack {lt.ones(2), lt.ones(3)} end, "stack: item 2: expected")
    assert.misuse(function() local _ = lt.ones(2):unsqueeze(4) end, "unsqueeze: axis: expected")
    assert.misuse(function() local _ = lt.ones(2) + lt.ones(3) end, "add: shapes")
  end)

  it("in a chunk without a name still say what is wrong", function()
    local ok, message = pcall(assert(load("local lt = ...; lt.ones(2, 2):item()", "=stdin")), lt)
    assert.is_false(ok)
    assert.matches("^stdin:1: item: expected one element", message)
  end)
end)
