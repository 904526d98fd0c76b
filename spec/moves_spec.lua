-- What moves many elements: larger than the tiles, strips and chunks in which that is done.
local lt = require "latent"

-- 1, 2, 3 ... in a shape, as a type that holds them.
local function counted(shape, dtype)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  local x = lt.arange(n):reshape(shape)
  return dtype == "u8" and (x % 251):u8() or dtype == "i64" and x:long() or dtype == "float64" and x:double() or x
end

-- The place of an element in a row, both from 0.
local function place(shape, at)
  local p = 0
  for d, size in ipairs(shape) do p = p * size + at[d] end
  return p
end

-- Calls f with the places, from 0, of each element of a shape in order.
local function each(shape, f)
  local at, n = {}, 1
  for d, size in ipairs(shape) do at[d], n = 0, n * size end
  for i = 1, n do
    f(i, at)
    for d = #shape, 1, -1 do
      at[d] = at[d] + 1
      if at[d] < shape[d] then break end
      at[d] = 0
    end
  end
end

describe("moving many elements", function()
  for _, case in ipairs{{{70, 33}, {2, 1}}, {{3, 40, 35}, {3, 1, 2}}, {{5, 33, 2, 34}, {4, 2, 1, 3}},
    {{6, 32, 64}, {1, 3, 2}}, {{4, 40, 1, 50}, {3, 2, 1, 4}}, {{65, 3}, {2, 1}}, {{3, 65}, {2, 1}},
    {{2, 3, 4, 40}, {4, 3, 2, 1}}, {{40, 1, 1}, {3, 1, 2}}} do
    local shape, axes = case[1], case[2]
    it(("permutes [%s] as {%s}"):format(table.concat(shape, ", "), table.concat(axes, ", ")), function()
      for _, dtype in ipairs{"float32", "float64", "u8", "i64"} do
        local x = counted(shape, dtype)
        local y = x:permute(axes)
        local from, to = x:reshape(x:numel()):table(), y:reshape(y:numel()):table()
        each(y.shape, function(i, at)
          local source = {}
          for d, axis in ipairs(axes) do source[axis] = at[d] end
          assert.equal(from[place(shape, source) + 1], to[i])
        end)
      end
    end)
  end

  it("flips, slices and joins", function()
    local x = counted({7, 300, 40})
    local flipped, part = x:flip{1, 2}, x:slice(2, 11, 290)
    local joined = lt.cat({x, part}, 2)
    assert.same({7, 580, 40}, joined.shape)
    for i = 1, 7 do
      assert.same(x[8 - i][300]:table(), flipped[i][1]:table())
      assert.same(x[8 - i][17]:table(), flipped[i][284]:table())
      assert.same(x[i][290]:table(), part[i][280]:table())
      assert.same(x[i][300]:table(), joined[i][300]:table())
      assert.same(x[i][11]:table(), joined[i][301]:table())
    end
  end)

  it("takes rows and adds to them, in their order", function()
    local x = counted({30, 150})
    local places = (lt.arange(900) * 7 % 30 + 1):long()
    local rows = x:index_select(1, places)
    for i = 1, 900, 37 do assert.same(x[places:get(i)]:table(), rows[i]:table()) end
    local sum = lt.zeros(30, 150):index_add(1, places, rows)
    for i = 1, 30 do assert.same((x[i] * 30):table(), sum[i]:table()) end
    local whole = lt.zeros(30, 150):long():index_add(1, places, rows:long())
    assert.same(sum:table(), whole:float():table())
    local last = lt.zeros(30, 150):index_copy(1, places, counted{900, 150})
    for i = 1, 900 do
      if i > 870 then assert.equal(i * 150, last:get(places:get(i), 150)) end
    end
  end)

  it("gathers and scatters elements", function()
    local x = counted({900, 20})
    local places = (lt.arange(900 * 30):reshape(900, 30) * 7 % 20 + 1):long()
    local y = x:gather(2, places)
    local sum = lt.zeros(900, 20):scatter_add(2, places, y)
    for i = 1, 900, 53 do
      local want = {}
      for k = 1, 20 do want[k] = 0 end
      for k = 1, 30 do
        local at = places:get(i, k)
        assert.equal((i - 1) * 20 + at, y:get(i, k))
        want[at] = want[at] + y:get(i, k)
      end
      assert.same(want, sum[i]:table())
    end
  end)

  it("fills and converts", function()
    for _, dtype in ipairs{"float32", "float64", "u8", "i64"} do
      local x = lt.full({100003}, 7, dtype)
      assert.equal(7 * 100003, x:double():sum():item())
      assert.equal(7, x:get(1))
      assert.equal(7, x:get(100003))
      assert.equal(7 * 100003, x:long():sum():item())
    end
  end)
end)
