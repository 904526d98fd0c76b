-- What indexes, orders and moves elements: types, ties, threads, and wrong use. Values stand in
-- spec/support/index_values.lua, gradients in spec/support/index_cases.lua.
require "spec.support.close"
require "spec.support.misuse"
local lt = require "latent"

local nan, inf = 0 / 0, math.huge
local M23 = lt.tensor{{3, 1, 2}, {9, 7, 8}}
local BIG = (1 << 53) + 1

local function i64(list) return lt.tensor(list, {dtype = "i64"}) end

describe("places", function()
  it("are i64, and taken as i64, u8 or whole numbers", function()
    assert.equal("i64", M23:nonzero().dtype)
    assert.equal("i64", select(2, M23:sort()).dtype)
    for _, index in ipairs{{2, 1}, i64{2, 1}, lt.tensor{2, 1}:byte()} do
      assert.same({{1, 3}, {7, 9}}, M23:index_select(2, index):table())
    end
  end)

  it("move elements of every type as they are", function()
    local whole = i64{BIG, -BIG, 7}
    assert.same({7, BIG}, whole:index_select(1, {3, 1}):table())
    assert.same({7, BIG}, whole:gather(1, {3, 1}):table())
    assert.same({BIG, -BIG, BIG - 1}, whole:scatter(1, {3}, i64{BIG - 1}):table())
    assert.same({BIG, -BIG, BIG + 7}, whole:index_add(1, {3}, i64{BIG}):table())
    assert.same({-BIG, 7, BIG}, (whole:sort()):table())
    assert.same({7, BIG, -BIG}, whole:roll(1):table())
    assert.same({0, BIG, -BIG, 7}, whole:pad{1, 0}:table())
    assert.same({7, -BIG, BIG}, whole:flip(1):table())
    local bytes = lt.tensor{200, 3, 100}:byte()
    assert.same({3, 100, 200}, (bytes:sort()):table())
    assert.equal("u8", bytes:take{1}.dtype)
    assert.same({200, 203, 303}, bytes:cumsum(1):table())
    assert.equal("i64", bytes:cumsum(1).dtype)
    assert.same({BIG, BIG + 1}, i64{BIG, 1}:cumsum(1):table())
    assert.equal(24, i64{2, 3, 4}:prod():item())
  end)

  it("that are written twice keep the later, or add up in order", function()
    assert.same({0, 2, 0}, lt.zeros(3):scatter(1, {2, 2}, {1, 2}):table())
    assert.same({{5, 6}}, lt.zeros(1, 2):index_copy(1, {1, 1}, {{3, 4}, {5, 6}}):table())
    local x, src = lt.param(lt.ones(3)), lt.param(lt.tensor{4, 5})
    x:scatter(1, {2, 2}, src):sum():backward()
    assert.same({1, 0, 1}, x.grad:table())
    assert.same({0, 1}, src.grad:table())
  end)

  it("of none are none", function()
    local none = lt.zeros(0)
    assert.same({0, 1}, lt.zeros(3):nonzero().shape)
    assert.same({0}, lt.ones(3):masked_select(lt.zeros(3)).shape)
    assert.same({0, 3}, M23:index_select(1, none).shape)
    assert.same({0}, (none:sort()).shape)
    assert.same({0}, (none:unique()).shape)
    assert.same({0, 3}, (lt.zeros(0, 3):unique{axis = 1}).shape)
    local alike, inverse, counts = lt.zeros(3, 0):unique{axis = 1, return_inverse = true, return_counts = true}
    assert.same({1, 0}, alike.shape)
    assert.same({{1, 1, 1}, {3}}, {inverse:table(), counts:table()})
    assert.same({0}, lt.bincount(none).shape)
    assert.equal(0, none:any():item())
    assert.equal(1, none:all():item())
    assert.equal(1, none:prod():item())
    assert.same({0}, none:cumsum(1).shape)
    assert.same({1, 0}, lt.tensor(5):nonzero().shape)
  end)

  it("by masks and by several indices are written", function()
    assert.same({{0, 1, 2}, {0, 0, 0}}, M23:index_put({M23:gt(2)}, 0):table())
    assert.same({{3, 1, 2}, {1, 2, 3}}, M23:index_put({lt.tensor{0, 1}:byte()}, {1, 2, 3}):table())
    assert.same({1, 0, 1}, lt.where(lt.tensor{1, -1, 2}:gt(0), 1, 0):table())
    assert.same({1, 0.5, 2}, lt.where(lt.tensor{1, -1, 2}:gt(0), {1, 1, 2}, 0.5):table())
  end)
end)

describe("order", function()
  it("has NaN behind everything, and -0 beside 0", function()
    local y, index = lt.tensor{nan, -inf, 0, inf, -0.0, -1}:sort()
    assert.close(y, {-inf, -1, 0, 0, inf, nan})
    assert.same({2, 6, 3, 5, 4, 1}, index:table())
    assert.same({1, 4, 3, 5, 6, 2}, lt.tensor{nan, -inf, 0, inf, -0.0, -1}:argsort(1, true):table())
    assert.equal(1, select(2, lt.tensor{nan, 5}:topk(1)):item())
    assert.same({3}, lt.searchsorted({1, 2, nan}, {inf}):table())
  end)

  it("of equals is the one that they had, also in long lines and with any number of threads", function()
    local n = 5000
    local x = (lt.arange(1, n) * 7919 % 50):floor()
    local y, index = x:sort()
    local values, places = y:table(), index:table()
    for i = 2, n do
      assert(values[i - 1] < values[i] or values[i - 1] == values[i] and places[i - 1] < places[i])
    end
    local many = lt.randn(300, 70)
    local want = select(2, many:sort(1))
    local before = lt.threads()
    for threads = 1, 3 do
      lt.set_threads(threads)
      assert.equal(0, (select(2, many:sort(1)) - want):abs():max():item())
    end
    lt.set_threads(before)
  end)

  it("of large and small lines is the same", function()
    for _, n in ipairs{1, 2, 31, 32, 33, 257, 20000} do
      local x = lt.randn(n)
      local list = x:table()
      table.sort(list)
      assert.same(list, (x:sort()):table())
    end
  end)

  it("of a scalar is itself", function()
    local y, index = lt.tensor(5):sort()
    assert.equal(5, y:item())
    assert.equal(1, index:item())
  end)
end)

describe("sums", function()
  it("that run are carried in double", function()
    local n = 1 << 20
    local y = lt.full({n}, 0.1):cumsum(1)
    assert.close(y:get(n), n * lt.tensor(0.1):item(), 1e-7)
  end)
end)

local bad = {
  {"gather: index: expected whole numbers 1%.%.2, got 3 at position 2",
    function() local _ = M23:gather(1, {{1, 3, 1}}) end},
  {"gather: index: expected whole numbers 1%.%.3, got 0", function() local _ = M23:gather(2, {{0}}) end},
  {"gather: index: expected a shape within %[2, 3%] but for axis 1, got %[1, 4%]",
    function() local _ = M23:gather(1, {{1, 1, 1, 1}}) end},
  {"gather: axis: expected 1%.%.2 or %-2%.%.%-1, got 3", function() local _ = M23:gather(3, {{1}}) end},
  {"gather: index is missing", function() local _ = M23:gather(1) end},
  {"scatter: src: expected float32 %[1, 2%], got float32 %[2%]",
    function() local _ = M23:scatter(2, {{1, 2}}, {1, 2}) end},
  {"scatter: src: expected i64 %[1%], got float32 %[1%]", function() local _ = i64{1}:scatter(1, {1}, {1}) end},
  {"scatter_add: x: sums of u8 would not fit; use :long%(%)",
    function() local _ = lt.zeros(2):byte():scatter_add(1, {1}, lt.ones(1):byte()) end},
  {"index_select: index: expected a list of row numbers %[%*%], got %[1, 1%]",
    function() local _ = M23:index_select(1, {{1}}) end},
  {"index_put: indices: expected a list of tensors", function() local _ = M23:index_put(1, 0) end},
  {"index_put: indices: item 2: expected whole numbers 1%.%.3, got 1%.%.4",
    function() local _ = M23:index_put({{1, 2}, {1, 4}}, 0) end},
  {"index_put: indices: item 1: expected a mask %[2, 3%], got %[3, 2%]",
    function() local _ = M23:index_put({lt.ones(3, 2):byte()}, 0) end},
  {"index_put: indices: expected at most 2, for x %[2, 3%], got 3",
    function() local _ = M23:index_put({{1}, {1}, {1}}, 0) end},
  {"masked_fill: mask: expected a shape that broadcasts to %[2, 3%], got %[2, 2, 3%]",
    function() local _ = M23:masked_fill(lt.ones(2, 2, 3), 0) end},
  {"masked_fill: value: expected a number, got \"a\"", function() local _ = M23:masked_fill(M23, "a") end},
  {"sort: axis: expected 1%.%.2 or", function() local _ = M23:sort(3) end},
  {"sort: unknown option \"decending\" %(did you mean \"descending\"%?%)",
    function() local _ = M23:sort{decending = true} end},
  {"topk: k: expected 0%.%.3, got 4", function() local _ = M23:topk(4) end},
  {"kthvalue: k: expected 1%.%.3, got 0", function() local _ = M23:kthvalue(0) end},
  {"median: x: expected at least one element", function() local _ = lt.zeros(0):median() end},
  {"quantile: q: expected numbers from 0 to 1, got 1.5", function() local _ = M23:quantile(1.5) end},
  {"quantile: interpolation: expected one of linear",
    function() local _ = M23:quantile(0.5, {interpolation = "x"}) end},
  {"bincount: x: expected whole numbers of at least 0, got %-1", function() local _ = lt.bincount{-1, 2} end},
  {"bincount: x: expected whole numbers, got 1.5", function() local _ = lt.bincount{1.5, 2} end},
  {"histc: bins: expected at least 1, got 0", function() local _ = M23:histc(0) end},
  {"histc: expected a finite range", function() local _ = M23:histc(3, 2, 1) end},
  {"searchsorted: sorted_sequence: expected %[n%], or", function() local _ = lt.searchsorted(M23, {1}) end},
  {"cumsum: axis is missing", function() local _ = M23:cumsum() end},
  {"roll: axes: expected 2, as there are shifts, got none", function() local _ = M23:roll{1, 2} end},
  {"tril: x: expected %[%.%.%., rows, columns%], got %[2%]", function() local _ = lt.ones(2):tril() end},
  {"diagonal: axis2: expected another axis than axis1, got 1", function() local _ = M23:diagonal(0, 1, 1) end},
  {"diag: x: expected a list %[n%] or a matrix, got %[1, 1, 1%]", function() local _ = lt.ones(1, 1, 1):diag() end},
  {"trace: x: expected a matrix, got %[3%]", function() local _ = lt.ones(3):trace() end},
  {"pad: pad: expected two numbers for each of up to 2 axes, got 3", function() local _ = M23:pad{1, 2, 3} end},
  {'pad: pad: "reflect" reaches at most 2 beyond axis 2, of size 3, got 3',
    function() local _ = M23:pad({3, 0}, "reflect") end},
  {"pad: pad: %-2 and %-2 leave nothing of axis 2, of size 3", function() local _ = M23:pad{-2, -2} end},
  {"tile: repeats: expected whole numbers of at least 0, got %-1", function() local _ = M23:tile(-1) end},
  {"repeat_interleave: repeats: expected 2 whole numbers",
    function() local _ = M23:repeat_interleave({1, 2, 3}, 1) end},
  {"split: size: expected sizes that add up to 3, got {1, 1}", function() local _ = M23:split({1, 1}, 2) end},
  {"split: size: expected at least 1, got 0", function() local _ = M23:split(0) end},
  {"split: expected at most %d+ pieces", function() local _ = lt.zeros(0, 1 << 38):split(1, 2) end},
  {"chunk: chunks: expected at least 1, got 0", function() local _ = M23:chunk(0) end},
  {"unfold: x: expected %[n, height, width, channels%], got %[2, 3%]", function() local _ = M23:unfold(2) end},
  {"unfold: kernel: 4x4 does not fit into an image of 2x2", function() local _ = lt.ones(1, 2, 2, 1):unfold(4) end},
  {"fold: x: expected %[n, 4, 4 %* channels%], got %[1, 3, 4%]", function() local _ = lt.ones(1, 3, 4):fold(3, 2) end},
  {"meshgrid: item 1: expected a list", function() local _ = lt.meshgrid{M23} end},
  {"flip: axis: 1 is given twice", function() local _ = M23:flip{1, 1} end},
  {"einsum: j: expected axes of one size, got 3 and 2",
    function() local _ = lt.einsum("ij,kj", M23, lt.ones(4, 2)) end},
  {"einsum: equation: \"ij,jk\" has more operands than the 1 given", function() local _ = lt.einsum("ij,jk", M23) end},
  {"einsum: equation: \"ij\" has 1 operands, and 2 are given", function() local _ = lt.einsum("ij", M23, M23) end},
  {"einsum: item 1: expected 3 axes for \"ijk\", got %[2, 3%]", function() local _ = lt.einsum("ijk", M23) end},
  {"einsum: equation: k of \"ij%->k\" stands in no operand", function() local _ = lt.einsum("ij->k", M23) end},
  {"einsum: equation: i of \"ij%->ii\" stands twice", function() local _ = lt.einsum("ij->ii", M23) end},
  {"einsum: equation: expected a text such as", function() local _ = lt.einsum("i1", M23) end},
  {"cdist: expected points %[%.%.%., n, d%] and %[%.%.%., m, d%], got %[2, 3%] and %[2, 2%]",
    function() local _ = lt.cdist(M23, lt.ones(2, 2)) end},
  {"cdist: p: expected a number of at least 0, got %-1", function() local _ = lt.cdist(M23, M23, -1) end},
}

describe("wrong use of what indexes, orders and moves", function()
  for _, case in ipairs(bad) do
    it("is met with " .. (case[3] or case[1]), function() assert.misuse(case[2], case[3] or case[1]) end)
  end
end)
