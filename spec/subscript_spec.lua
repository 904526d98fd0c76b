-- x[key] with ranges, masks and lists, read and written.
require "spec.support.misuse"
local lt = require "latent"

describe("x[{...}]", function()
  local x = lt.arange(1, 24):reshape(2, 3, 4)

  it("reads places, ranges, all of an axis, lists and masks", function()
    assert.same({6, 7, 8}, x[{1, 2, {2, 4}}]:table())
    assert.same({{2, 6, 10}, {14, 18, 22}}, x[{{}, {}, 2}]:table())
    assert.same({{{21, 22, 23, 24}}}, x[{{2, 2}, {-1, -1}}]:table())
    assert.equal(7, x[{1, 2, 3}]:item())
    assert.same({{4, 1}, {8, 5}, {12, 9}}, x[{1, {}, lt.tensor({4, 1}, {dtype = "i64"})}]:table())
    assert.same({{1, 3}, {5, 7}, {9, 11}}, x[{1, {}, lt.tensor{1, 0, 1, 0}:u8()}]:table())
    assert.same(x[2]:table(), x[{2}]:table())
  end)

  it("reads by a mask and by a list of rows", function()
    local y = lt.tensor{{1, -2}, {-3, 4}}
    assert.same({-2, -3}, y[y:lt(0)]:table())
    assert.same({{-3, 4}}, y[lt.tensor{0, 1}:u8()]:table())
    assert.same({{-3, 4}, {1, -2}, {-3, 4}}, y[lt.tensor({2, 1, 2}, {dtype = "i64"})]:table())
  end)

  it("has gradients", function()
    local p = lt.param(lt.tensor{{1, 2, 3}, {4, 5, 6}})
    p[{{}, {2, 3}}]:square():sum():backward()
    assert.same({{0, 4, 6}, {0, 10, 12}}, p.grad:table())
  end)

  it("writes numbers and tensors", function()
    local y = lt.zeros(2, 3)
    y[{{}, {2, 3}}] = 5
    y[{1, 1}] = 7
    assert.same({{7, 5, 5}, {0, 5, 5}}, y:table())
    y[{2}] = lt.tensor{1, 2, 3}
    y[{{}, 3}] = lt.tensor{8, 9}
    assert.same({{7, 5, 8}, {1, 2, 9}}, y:table())
    y[y:gt(6)] = 0
    assert.same({{0, 5, 0}, {1, 2, 0}}, y:table())
    y[lt.tensor({2, 1}, {dtype = "i64"})] = lt.tensor{{1, 1, 1}, {2, 2, 2}}
    assert.same({{2, 2, 2}, {1, 1, 1}}, y:table())
    y[1] = 4
    assert.same({4, 4, 4}, y[1]:table())
    local rows = lt.arange(1, 8):reshape(4, 2)
    rows[{{2, 4}}] = rows[{{1, 3}}] -- they overlap
    assert.same({{1, 2}, {1, 2}, {3, 4}, {5, 6}}, rows:table())
    rows[{-1, {2, 2}}] = 9
    assert.same({5, 9}, rows[4]:table())
    local z = lt.zeros(3):u8()
    z[{{1, 2}}] = 200
    assert.same({200, 200, 0}, z:table())
  end)

  it("says what is wrong", function()
    local y = lt.zeros(2, 3)
    assert.misuse(function() return y[{3}] end, "index: axis 1: expected 1..2 or %-2..%-1, got 3")
    assert.misuse(function() return y[{{}, {3, 2}}] end, "index: axis 2: expected a range {first, last}, got {3, 2}")
    assert.misuse(function() return y[{1, 2, 3}] end, "index: expected at most 2 entries for shape %[2, 3%], got 3")
    assert.misuse(function() return y[{"a"}] end, 'index: axis 1: expected a number, {first, last}, {} or a tensor')
    assert.misuse(function() y[{1}] = lt.ones(2) end, "index: value: expected float32 %[3%], or what broadcasts to it")
    assert.misuse(function() y[{1}] = "a" end, "index: value: expected a number or a tensor")
    assert.misuse(function() return y[lt.ones(3):u8()] end, "index: expected a mask of the first sizes of %[2, 3%]")
    local p = lt.param(lt.ones(2, 2))
    assert.misuse(function() p[{1}] = 3 end, "copy_: a tensor that wants a gradient cannot be changed in place")
    assert.misuse(function() y[{1, {1, 2}}] = p[1] end, "index: in%-place changes record nothing")
  end)
end)
