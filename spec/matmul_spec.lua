-- Products of matrices of every shape that takes a way of its own: few rows, few columns, more than a block of any
-- axis, batches. Whole numbers, so that every sum is exact and the answer one and the same.
local lt = require "latent"
local lt64 = require "spec.support.lt64"

-- Numbers from -3 to 3 of a fixed pattern.
local function whole(lib, seed, ...)
  lib.manual_seed(seed)
  return (lib.rand(...) * 7 - 3.5):floor():clamp(-3, 3)
end

-- [m, k] times [k, n] as sums of outer products would make it: without a matrix product.
local function by_definition(a, b)
  local m, k, n = a:size(1), a:size(2), b:size(2)
  return (a:reshape(m, k, 1) * b:reshape(1, k, n)):sum(2)
end

local function same(a, b)
  assert.same(b.shape, a.shape)
  return a:numel() == 0 or (a - b):abs():max():item() == 0
end

-- y = a b, da = dy b^T, db = a^T dy: all three layouts of the factors.
local function check(lib, m, n, k)
  local a, b = lib.param(whole(lib, 1, m, k)), lib.param(whole(lib, 2, k, n))
  local dy = whole(lib, 3, m, n)
  local y = a:matmul(b)
  y:backward(dy)
  local x, w = a:detach(), b:detach()
  assert(same(y:detach(), by_definition(x, w)), ("[%d, %d] times [%d, %d]"):format(m, k, k, n))
  assert(same(a.grad, by_definition(dy, w:transpose())), ("da of [%d, %d] times [%d, %d]"):format(m, k, k, n))
  assert(same(b.grad, by_definition(x:transpose(), dy)), ("db of [%d, %d] times [%d, %d]"):format(m, k, k, n))
end

-- The same of a batch, product by product.
local function check_batch(lib, count, m, n, k)
  local a, b = lib.param(whole(lib, 1, count, m, k)), lib.param(whole(lib, 2, count, k, n))
  local dy = whole(lib, 3, count, m, n)
  local y = a:matmul(b)
  y:backward(dy)
  for z = 1, count do
    local x, w, g = a:detach()[z], b:detach()[z], dy[z]
    local what = ("product %d of [%d, %d] times [%d, %d]"):format(z, m, k, k, n)
    assert(same(y:detach()[z], by_definition(x, w)), what)
    assert(same(a.grad[z], by_definition(g, w:transpose())), "da of " .. what)
    assert(same(b.grad[z], by_definition(x:transpose(), g)), "db of " .. what)
  end
end

local function equal_bits(a, b) return a:bytes() == b:bytes() end

describe("a matrix product", function()
  local sizes = {1, 2, 3, 4, 5, 8, 13, 17, 33, 50, 97}
  for name, lib in pairs{float32 = lt, float64 = lt64} do
    it("is right for every shape of tiles, in " .. name, function()
      for _, m in ipairs(sizes) do
        for _, n in ipairs(sizes) do
          for _, k in ipairs{1, 7, 16, 37} do check(lib, m, n, k) end
        end
      end
    end)

    it("is right beyond a block of its depth, in " .. name, function()
      for _, k in ipairs{255, 256, 257, 300, 513} do
        for _, shape in ipairs{{1, 1}, {2, 40}, {40, 2}, {5, 70}, {30, 30}} do check(lib, shape[1], shape[2], k) end
      end
    end)

    -- pieces of one, two, three, six, twelve and sixteen vectors, and parts of one
    it("is right where few rows read the other factor as it lies, in " .. name, function()
      for _, m in ipairs{1, 2, 4, 5, 24} do
        for _, n in ipairs{8, 16, 24, 48, 95, 96, 104, 112, 140, 191, 192, 255, 256, 272, 300, 531} do
          for _, k in ipairs{2, 259} do
            local a, b, bias = whole(lib, 1, m, k), whole(lib, 2, k, n), whole(lib, 3, n)
            local y = by_definition(a, b)
            assert(same(a:matmul(b), y), ("[%d, %d] times [%d, %d]"):format(m, k, k, n))
            assert(same(lib.linear(a, b, bias), y + bias), ("%d %d %d, with a bias"):format(m, n, k))
          end
        end
      end
    end)
  end

  for name, lib in pairs{float32 = lt, float64 = lt64} do
    -- fewer rows than columns and the other way round; columns that are whole strips, a vector more, part of one;
    -- rows of b that lie pages apart
    it("is right where one job packs what it multiplies, in " .. name, function()
      for _, m in ipairs{11, 25, 96, 193} do
        for _, n in ipairs{32, 36, 48, 70, 1024} do check(lib, m, n, 259) end
      end
      for _, n in ipairs{5, 20, 32, 40, 100} do
        check(lib, 500, n, 259)
        check(lib, n, 500, 40)
      end
    end)

    it("of a small batch is right for every shape of tiles, in " .. name, function()
      for _, m in ipairs{1, 3, 4, 6, 8, 13, 27} do
        for _, n in ipairs{1, 3, 4, 5, 8, 12, 16, 17, 33, 40} do
          for _, k in ipairs{1, 4, 5, 16, 19} do check_batch(lib, 3, m, n, k) end
        end
      end
      for _, s in ipairs{{64, 16, 64}, {16, 64, 256}, {50, 128, 30}, {50, 129, 30}, {9, 24, 257}, {100, 104, 100}} do
        check_batch(lib, 2, s[1], s[2], s[3])
      end
    end)
  end

  it("has the same bits in a batch and alone, in a row and among others", function()
    lt.manual_seed(5)
    for _, s in ipairs{{16, 16, 16}, {27, 40, 19}, {40, 96, 300}, {14, 1024, 20}, {300, 24, 300}} do
      local a, b = lt.randn(3, s[1], s[3]), lt.randn(3, s[3], s[2])
      local y = a:matmul(b)
      for z = 1, 3 do
        local alone = a[z]:matmul(b[z])
        assert(equal_bits(alone, y[z]), table.concat(s, " "))
        for _, row in ipairs{1, s[1] // 2, s[1]} do
          assert(equal_bits(alone:slice(1, row, row), a[z]:slice(1, row, row):matmul(b[z])), table.concat(s, " "))
        end
      end
    end
  end)

  it("has the same bits for any number of threads", function()
    local before = lt.threads()
    lt.manual_seed(6)
    for _, s in ipairs{{1, 32, 999, 700}, {1, 700, 60, 999}, {1, 300, 300, 99}, {300, 16, 16, 16}, {40, 64, 48, 64}} do
      local a, b = lt.randn(s[1], s[2], s[4]), lt.randn(s[1], s[4], s[3])
      local of = {}
      for _, n in ipairs{1, 2, 5} do
        lt.set_threads(n)
        of[#of + 1] = a:matmul(b)
      end
      lt.set_threads(before)
      assert(equal_bits(of[1], of[2]) and equal_bits(of[1], of[3]), table.concat(s, " "))
    end
  end)

  -- a long sum of few rows and columns, also from a factor that is turned over, with a bias and in a gradient
  it("has the same bits where its depth is shared out, in a row and among others", function()
    local before = lt.threads()
    lt.manual_seed(7)
    for _, s in ipairs{{32, 128, 4096}, {40, 70, 5000}, {150, 33, 2200}, {20, 200, 2304}} do
      local m, n, k = table.unpack(s)
      local x, w, b, dy = lt.param(lt.randn(m, k)), lt.param(lt.randn(k, n)), lt.randn(n), lt.randn(m, k)
      local of, grads = {}, {}
      for _, count in ipairs{1, 2, 16} do
        lt.set_threads(count)
        of[#of + 1] = lt.linear(x, w, b):detach()
        local wide = lt.param(lt.zeros(m, n))
        lt.linear(wide, w:detach():transpose()):backward(dy)
        grads[#grads + 1] = wide.grad
      end
      lt.set_threads(before)
      local what = table.concat(s, " ")
      assert(equal_bits(of[1], of[2]) and equal_bits(of[1], of[3]), what)
      assert(equal_bits(grads[1], grads[2]) and equal_bits(grads[1], grads[3]), what)
      for _, row in ipairs{1, m // 2, m} do
        assert(equal_bits(of[1]:slice(1, row, row), lt.linear(x:detach():slice(1, row, row), w:detach(), b)), what)
        assert(equal_bits(grads[1]:slice(1, row, row), dy:slice(1, row, row):matmul(w:detach())), what)
      end
    end
  end)

  it("is right where it is cut into jobs", function()
    local a, b = whole(lt, 1, 400, 300), whole(lt, 2, 300, 350)
    local y = a:matmul(b)
    for _, row in ipairs{1, 12, 13, 96, 97, 200, 399, 400} do
      assert(same(y:slice(1, row, row), by_definition(a:slice(1, row, row), b)), row)
    end
    assert(same(y:slice(2, 350, 350), by_definition(a, b:slice(2, 350, 350))))
  end)

  it("is right in parts where it is packed in parts", function() -- more than 32 MB of panels
    local a, b = whole(lt, 1, 20000, 300), whole(lt, 2, 300, 40)
    local y = a:matmul(b)
    for _, row in ipairs{1, 15000, 16384, 16385, 19999, 20000} do
      assert(same(y:slice(1, row, row), by_definition(a:slice(1, row, row), b)), row)
    end
  end)

  it("of batches is the product of each, or of all with one", function()
    local a, b = whole(lt, 1, 2, 3, 5, 7), whole(lt, 2, 2, 3, 7, 4)
    local y, one = a:matmul(b), a:matmul(b[1][1])
    assert.same({2, 3, 5, 4}, y.shape)
    for i = 1, 2 do
      for j = 1, 3 do
        assert(same(y[i][j], by_definition(a[i][j], b[i][j])))
        assert(same(one[i][j], by_definition(a[i][j], b[1][1])))
      end
    end
  end)

  it("with a bias starts from it, in each shape", function()
    for _, m in ipairs{1, 3, 40} do
      for _, n in ipairs{1, 5, 33, 64, 100} do
        for _, k in ipairs{0, 1, 20, 300} do
          local x, w, bias = whole(lt, 1, m, k), whole(lt, 2, k, n), whole(lt, 3, n)
          local product = k == 0 and lt.zeros(m, n) or by_definition(x, w)
          assert(same(lt.linear(x, w, bias), product + bias), ("%d %d %d"):format(m, n, k))
        end
      end
    end
  end)

  it("passes NaN and infinities on, and no further", function()
    local a, b = lt.ones(20, 40), lt.ones(40, 70)
    a:slice(1, 2, 2)[1]:fill_(0 / 0)
    local y = a:matmul(b)
    for i = 1, 20 do
      local sum = y[i]:sum():item()
      assert(i == 2 and sum ~= sum or sum == 40 * 70)
    end
  end)
end)
