-- Products of vectors, equality, printing.
require "spec.support.misuse"
local lt = require "latent"
local testing = require "latent.testing"

describe("matmul", function()
  local a, b = lt.arange(1, 6):reshape(2, 3), lt.tensor{1, 0, -1}

  it("takes vectors", function()
    assert.same({-2, -2}, lt.matmul(a, b):table())
    assert.same({9, 12, 15}, lt.matmul(lt.tensor{1, 2}, a):table())
    local s = lt.matmul(b, b)
    assert.equal(0, s:dim())
    assert.equal(2, s:item())
    assert.same({{-2, -2}}, lt.matmul(a:reshape(1, 2, 3), b):table())
  end)

  it("broadcasts batches", function()
    local x, y = lt.randn(2, 1, 2, 3), lt.randn(4, 3, 5)
    local z = lt.matmul(x, y)
    assert.same({2, 4, 2, 5}, {table.unpack(z.shape)})
    assert.tensors_close(x[2][1]:matmul(y[3]), z[2][3], {rtol = 1e-4, atol = 1e-6})
    assert.misuse(function() lt.matmul(lt.ones(2, 2, 3), lt.ones(3, 3, 2)) end, "matmul: expected %[%.%.%., m, k%]")
    assert.misuse(function() lt.matmul(b, lt.ones(2)) end, "matmul: expected .* got %[3%] and %[2%]")
    assert.misuse(function() lt.matmul(lt.tensor(1), b) end, "matmul: expected .* got %[%] and %[3%]")
  end)

  it("has dot, mv and outer beside it", function()
    assert.equal(-2, lt.dot(lt.tensor{1, 2, 3}, b):item())
    assert.same({-2, -2}, a:mv(b):table())
    assert.same({{1, 0, -1}, {2, 0, -2}}, lt.outer(lt.tensor{1, 2}, b):table())
    assert.misuse(function() lt.dot(a, b) end, "dot: a: expected a vector %[n%], got a tensor %[2, 3%]")
    assert.misuse(function() lt.dot(b, lt.ones(2)) end, "dot: b: expected shape %[3%], got %[2%]")
    assert.misuse(function() lt.mv(a, lt.ones(2)) end, "mv: b: expected %[3%], got %[2%]")
    assert.misuse(function() lt.outer(a, b) end, "outer: a: expected a vector")
  end)
end)

describe("equality", function()
  local nan, inf = 0 / 0, math.huge

  it("is one answer", function()
    local x = lt.tensor{1, 2, inf}
    assert.is_true(lt.equal(x, lt.tensor{1, 2, inf}))
    assert.is_false(x:equal(lt.tensor{1, 2, 3}))
    assert.is_false(x:equal(x:reshape(1, 3)))
    assert.is_false(lt.equal(lt.zeros(2), lt.zeros(2):u8()))
    assert.is_false(lt.equal(lt.tensor{nan}, lt.tensor{nan}))
    assert.is_true(lt.equal(lt.zeros(0), lt.zeros(0)))
    assert.misuse(function() lt.equal(x, 3) end, "equal: b: expected a tensor, got 3")
  end)

  it("has tolerances in allclose", function()
    local x = lt.tensor{1, 1000, inf}
    assert.is_true(lt.allclose(x, lt.tensor{1.000001, 1000.005, inf}))
    assert.is_false(lt.allclose(x, lt.tensor{1.001, 1000, inf}))
    assert.is_false(lt.allclose(x, lt.tensor{1, 1000, -inf}))
    assert.is_true(x:allclose(lt.tensor{1.001, 1000, inf}, {atol = 1e-2}))
    assert.is_false(lt.allclose(lt.tensor{nan}, lt.tensor{nan}))
    assert.is_true(lt.allclose(lt.tensor{nan}, lt.tensor{nan}, {equal_nan = true}))
    assert.misuse(function() x:allclose(x, {rtl = 1}) end, 'allclose: .*did you mean "rtol"')
  end)

  it("says in specs where tensors differ", function()
    local a, b = lt.tensor{{1, 2}, {3, 4}}, lt.tensor{{1, 2}, {3, 5}}
    assert.tensors_equal(a, a:clone())
    local function said(x)
      local _, text = pcall(function() assert.tensors_equal(a, x) end)
      return tostring(text)
    end
    assert.matches("element [2, 2] is 4, expected 5", said(b), 1, true)
    assert.matches("got float32 [2, 2], expected float32 [2]", said(lt.ones(2)), 1, true)
    testing.assert_close(a, b, {atol = 1})
    assert.misuse(function() testing.assert_close(lt.tensor{inf, 1}, lt.tensor{inf, 2}) end,
      "assert_close: element %[2%] is 1, expected 2")
    assert.misuse(function() testing.assert_close(a, b) end, "assert_close: element %[2, 2%] is 4, expected 5")
    assert.misuse(function() testing.assert_close(3, b) end, "assert_close: actual: expected a tensor, got 3")
  end)
end)

describe("a printed tensor", function()
  after_each(function() lt.set_print_options{} end)

  it("shows ten of each axis, and a hundred in all", function()
    assert.falsy(tostring(lt.rand(10)):find("...", 1, true))
    assert.falsy(tostring(lt.rand(10, 10)):find("...", 1, true))
    assert.falsy(tostring(lt.rand(100)):find("...", 1, true))
    assert.truthy(tostring(lt.rand(101)):find("...", 1, true))
    for line in tostring(lt.rand(100)):gmatch "[^\n]+" do assert(#line < 90) end
  end)

  it("has whole numbers in full, and others in some digits", function()
    assert.equal("tensor [2] float32\n[16777216,     -0.5]", tostring(lt.tensor{16777216, -0.5}))
    lt.set_print_options{precision = 7, threshold = 4, edgeitems = 1}
    assert.equal("tensor [1] float32\n[0.3333333]", tostring(lt.tensor{1 / 3}))
    assert.equal("tensor [12] float32\n[1, ..., 1]", tostring(lt.ones(12)))
    assert.misuse(function() lt.set_print_options{precison = 2} end, 'set_print_options: .*did you mean "precision"')
  end)
end)
