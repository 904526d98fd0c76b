-- Ops along one row of many elements, which all threads share: the values by their definition, and the same bits for
-- any number of threads.
local lt = require "latent"

local N = 100003 -- several chunks, the last one not full
local NAN, INF = 0 / 0, math.huge

-- Runs f on one thread and on others; its results must be the same bits, and those of one are returned.
local function on_all(f)
  local before = lt.info().threads
  lt.set_threads(1)
  local one = table.pack(f())
  for _, threads in ipairs{2, 3, 7} do
    lt.set_threads(threads)
    local more = table.pack(f())
    for i = 1, one.n do
      local equal = lt.eq(one[i], more[i]) + lt.ne(one[i], one[i]) * lt.ne(more[i], more[i])
      assert(lt.all(equal):item() == 1, ("result %d on %d threads"):format(i, threads))
    end
  end
  lt.set_threads(before)
  return table.unpack(one, 1, one.n)
end

-- Numbers with equals, and among floating ones NaN, infinities and both zeros.
local function numbers(dtype)
  local x = {}
  local state = 99
  for i = 1, N do
    state = (state * 1103515245 + 12345) % 2147483648
    local r = state // 8
    if dtype == "u8" then x[i] = r % 256
    elseif dtype == "i64" then x[i] = r % 3 == 0 and r * 4294967296 + r or r % 1000 - 500
    elseif r % 100 < 5 then x[i] = ({NAN, INF, -INF, 0.0, -0.0})[r % 5 + 1]
    else x[i] = (r % 5003 - 2500) / 16 end
  end
  return lt.tensor(x, {dtype = dtype}), x
end

-- Whether a goes behind b: NaN is the largest.
local function behind(a, b)
  if a ~= a then return b == b end
  return a > b
end

describe("one long row", function()
  for _, dtype in ipairs{"float32", "float64", "i64", "u8"} do
    it("is sorted, equals in their order: " .. dtype, function()
      local x, list = numbers(dtype)
      for _, descending in ipairs{false, true} do
        local y, index = on_all(function() return lt.sort(x, {descending = descending}) end)
        local values, places, seen = y:table(), index:table(), {}
        for i = 1, N do
          local place = places[i]
          assert(not seen[place] and math.type(place) == "integer" and place >= 1 and place <= N)
          seen[place] = true
          local value, own = values[i], list[place]
          assert(value == own or (value ~= value and own ~= own))
          assert(1 / value == 1 / own or value ~= value, "the zero's sign")
          if i > 1 then
            local before, after = values[i - 1], value
            if descending then before, after = after, before end
            assert(not behind(before, after), "order")
            assert(behind(after, before) or places[i - 1] < place, "equals")
          end
        end
      end
    end)
  end

  it("of numbers that differ in their lowest bits alone is sorted", function()
    local x = lt.full({N}, 1 << 40, "i64") + lt.remainder(lt.arange(1, N, {dtype = "i64"}) * 7919, N)
    local y = on_all(function() return lt.sort(x) end)
    assert.equal(1, lt.all(lt.eq(y, lt.arange(0, N - 1, {dtype = "i64"}) + (1 << 40))):item())
  end)

  it("beside another is sorted like it: lines of each length, neighbours or apart", function()
    for _, n in ipairs{2, 31, 33, 2047, 2049, 17000, 66000} do
      local a = lt.remainder(lt.arange(1, n, {dtype = "i64"}) * 104729, n) * 0.5
      local b = -a
      local ya, yb = lt.sort(a), lt.sort(b)
      local across, along = lt.stack({a, b}, 2), lt.stack({a, b}, 1)
      local y = on_all(function() return lt.sort(across, 1) end)
      assert.equal(1, lt.all(lt.eq(y, lt.stack({ya, yb}, 2))):item(), n)
      y = on_all(function() return lt.sort(along, 2) end)
      assert.equal(1, lt.all(lt.eq(y, lt.stack({ya, yb}, 1))):item(), n)
    end
  end)

  it("hands gradients back to the places that its elements had", function()
    local w = lt.param(lt.remainder(lt.arange(1, N, {dtype = "i64"}) * 7919, N):float())
    local slope = lt.arange(1, N)
    on_all(function()
      w.grad = nil
      lt.sort(w):backward(slope)
      return w.grad
    end)
    assert.equal(1, lt.all(lt.eq(w.grad, w:detach() + 1)):item())
  end)

  it("is searched: before what equals a value, or behind it; NaN is the largest", function()
    for _, dtype in ipairs{"float32", "float64", "i64", "u8"} do
      local sorted = lt.sort((numbers(dtype)))
      local values = numbers(dtype)
      local list, wanted = sorted:table(), values:table()
      local first, last = {}, {} -- of each value, NaN under its name
      for i, v in ipairs(list) do
        local key = v ~= v and "NaN" or v + 0
        first[key] = first[key] or i
        last[key] = i
      end
      for _, right in ipairs{false, true} do
        local places = on_all(function() return lt.searchsorted(sorted, values, right) end):table()
        for i, v in ipairs(wanted) do
          local key = v ~= v and "NaN" or v + 0
          assert(places[i] == (right and last[key] + 1 or first[key]), dtype)
        end
      end
    end
    local edges = lt.tensor{-1, 0, 0, 2, NAN}
    local places = lt.searchsorted(edges, {-2, -1, -0.0, 1, 2, 3, INF, NAN}):table()
    assert.same({1, 1, 2, 4, 4, 5, 5, 5}, places)
    places = lt.searchsorted(edges, {-2, -1, -0.0, 1, 2, 3, INF, NAN}, true):table()
    assert.same({1, 2, 4, 4, 5, 5, 5, 6}, places)
    assert.same({1, 1}, lt.searchsorted(lt.tensor{}, {1, 2}):table())
  end)

  it("tells where it is not 0, NaN included", function()
    for _, dtype in ipairs{"float32", "float64", "i64", "u8"} do
      local x, list = numbers(dtype)
      x = lt.where(lt.eq(lt.remainder(lt.arange(1, N, {dtype = "i64"}), 3), 0), x, lt.zeros(N, {dtype = dtype}))
      local places, k = on_all(function() return lt.nonzero(x) end):reshape(-1):table(), 0
      for i = 3, N, 3 do
        if list[i] ~= 0 then
          k = k + 1
          assert(places[k] == i, dtype)
        end
      end
      assert.equal(#places, k)
    end
    local matrix = lt.nonzero(lt.eq(lt.remainder(lt.arange(1, 400 * 250, {dtype = "i64"}), 41), 0):reshape(400, 250))
    for k = 1, matrix:size(1), 97 do
      assert.equal(41 * k, (matrix:get(k, 1) - 1) * 250 + matrix:get(k, 2))
    end
    assert.equal(400 * 250 // 41, matrix:size(1))
  end)

  it("gathers and scatters, the later of two writes standing and sums in order", function()
    local index = lt.remainder(lt.arange(1, N, {dtype = "i64"}) * 7919, 1000) + 1
    local places = index:table()
    for _, dtype in ipairs{"float32", "float64", "i64"} do
      local x, src = lt.arange(1, 1000):long(), lt.arange(1, N):long()
      if dtype ~= "i64" then x, src = x / 8, src / 1024 end
      if dtype == "float64" then x, src = x:double(), src:double() end
      local from, written, added = x:table(), x:table(), x:table()
      local single = dtype == "float32"
      for i, v in ipairs(src:table()) do
        written[places[i]] = v
        local sum = added[places[i]] + v
        added[places[i]] = single and ("f"):unpack(("f"):pack(sum)) or sum
      end
      assert.same(written, on_all(function() return lt.scatter(x, 1, index, src) end):table())
      assert.same(added, on_all(function() return lt.scatter_add(x, 1, index, src) end):table())
      assert.same(written, on_all(function() return lt.index_copy(x, 1, index, src) end):table())
      assert.same(added, on_all(function() return lt.index_add(x, 1, index, src) end):table())
      local taken = on_all(function() return lt.gather(x, 1, index) end):table()
      for i = 1, N do assert(taken[i] == from[places[i]]) end
      assert.same(taken, on_all(function() return lt.index_select(x, 1, index) end):table())
    end
  end)

  it("of columns side by side is scattered to column by column", function()
    local index = lt.remainder(lt.arange(1, 300 * 200, {dtype = "i64"}) * 31, 50):reshape(300, 200) + 1
    local src, wanted = lt.arange(1, 300 * 200):reshape(300, 200), {}
    for r = 1, 50 do wanted[r] = {} for c = 1, 200 do wanted[r][c] = 0 end end
    local rows, values = index:table(), src:table()
    for r = 1, 300 do
      for c = 1, 200 do wanted[rows[r][c]][c] = values[r][c] end
    end
    local x = lt.zeros(50, 200)
    assert.same(wanted, on_all(function() return lt.scatter(x, 1, index, src) end):table())
    local w, s = lt.param(x), lt.param(src)
    local slope = lt.arange(1, 50 * 200):reshape(50, 200)
    on_all(function()
      w.grad, s.grad = nil, nil
      lt.scatter(w, 1, index, s):backward(slope)
      return w.grad, s.grad
    end)
    for r = 1, 300, 7 do -- what a later one has written over gets nothing
      for c = 1, 200, 3 do
        local to = rows[r][c]
        local stands = wanted[to][c] == values[r][c]
        assert.equal(stands and slope:get(to, c) or 0, s.grad:get(r, c))
      end
    end
  end)

  it("of places is checked to its end", function()
    local index = lt.full({N}, 1, "i64")
    index[N - 5] = 8
    local ok, message = pcall(lt.gather, lt.arange(1, 7), 1, index)
    assert(not ok and message:find("expected whole numbers 1..7, got 8 at position " .. N - 5, 1, true), message)
    ok, message = pcall(lt.gather, lt.arange(1, 7), 1, lt.full({N}, 1.5))
    assert(not ok and message:find("expected whole numbers 1..7, got 1.5 at position 1", 1, true), message)
  end)

  -- The place of the extreme of a list, the first of equals; NaN wins.
  local function extreme(list, larger)
    local best = 1
    for i = 2, #list do
      local v, b = list[i], list[best]
      if b ~= b then break end
      if v ~= v or (larger and v > b or not larger and v < b) then best = i end
    end
    return best
  end

  it("beside others has its extremes and their places: the first of equals, NaN above all", function()
    for _, dtype in ipairs{"float32", "i64"} do
      local x = lt.remainder(numbers("i64"), 97)[{{1, 70 * 700}}]:reshape(70, 700)
      if dtype == "float32" then x = lt.where(x:eq(13) * lt.lt(lt.rand(70, 700), 0.1), NAN, x:float()) end
      for axis, lines in ipairs{x:transpose(1, 2):table(), x:table()} do
        for _, kind in ipairs{"max", "min"} do
          local values = on_all(function() return lt[kind](x, axis) end):table()
          local places = on_all(function() return lt["arg" .. kind](x, axis) end):table()
          for i, line in ipairs(lines) do
            local best = extreme(line, kind == "max")
            assert(places[i] == best, kind)
            assert(values[i] == line[best] or (values[i] ~= values[i] and line[best] ~= line[best]), kind)
          end
        end
      end
    end
  end)

  it("of whole numbers adds up, multiplies and compares as its elements do", function()
    local x = numbers("i64")
    local list, sums, sum = x:table(), on_all(function() return lt.cumsum(x, 1) end):table(), 0
    for i, v in ipairs(list) do
      sum = sum + v
      assert(sums[i] == sum)
    end
    local other = lt.remainder(x, 7)
    local pairs_of = {add = function(a, b) return a + b end, mul = function(a, b) return a * b end,
      maximum = math.max, gt = function(a, b) return a > b and 1 or 0 end,
      le = function(a, b) return a <= b and 1 or 0 end, ne = function(a, b) return a ~= b and 1 or 0 end}
    local seconds = other:table()
    for name, f in pairs(pairs_of) do
      local y = on_all(function() return lt[name](x, other) end):table()
      local with_one = on_all(function() return lt[name](x, 3) end):table()
      for i, a in ipairs(list) do assert(y[i] == f(a, seconds[i]) and with_one[i] == f(a, 3), name) end
    end
    local rows = on_all(function() return lt.gt(x[{{1, 90000}}]:reshape(300, 300), x[{{1, 300}}]:reshape(300, 1)) end)
    for r = 1, 300, 7 do
      for c = 1, 300, 11 do assert(rows:get(r, c) == (list[300 * (r - 1) + c] > list[r] and 1 or 0)) end
    end
  end)

  it("of random numbers in a range is made of 48 bits each, and draws by weights of cumulative ones", function()
    lt.manual_seed(11)
    local y = on_all(function()
      lt.manual_seed(11)
      return lt.randint(-70, 1 << 45, {N})
    end):table()
    lt.manual_seed(11)
    local words = lt.rand(2, N):table()
    for i = 1, N, 97 do
      local bits = math.tointeger(words[1][i] * 2 ^ 24) << 24 | math.tointeger(words[2][i] * 2 ^ 24)
      assert(y[i] == -70 + bits % ((1 << 45) + 71))
    end
    local weights = lt.remainder(lt.arange(1, 40000, {dtype = "i64"}) * 7919, 11):float() / 8
    lt.manual_seed(12)
    local drawn = lt.multinomial(weights, 500, true):table()
    lt.manual_seed(12)
    local total, sums, draws = 0, {}, lt.rand(500):table()
    for i, weight in ipairs(weights:table()) do
      total = total + weight
      sums[i] = total
    end
    for i, place in ipairs(drawn) do
      local part = draws[i] * total
      assert(sums[place] > part and (place == 1 or sums[place - 1] <= part))
    end
  end)

  it("is counted in bins, the last edge included, NaN and what lies outside left out", function()
    local x = lt.tensor{-INF, -3, -1, -0.0, 0, 1.5, 2, 2.0000002, 3, INF, NAN}
    assert.same({1, 4}, (lt.histogram(x, {-1, 0, 2})):table())
    assert.same({3, 7}, (lt.histogram(x, {-INF, 0, INF})):table())
    local many, list = (numbers("float32"))
    list = many:table()
    local counts, edges = on_all(function() return lt.histogram(many, 30, {range = {-100, 100}}) end)
    local limits, wanted = edges:table(), {}
    for bin = 1, 30 do wanted[bin] = 0 end
    for _, v in ipairs(list) do
      for bin = 1, 30 do
        if v >= limits[bin] and (v < limits[bin + 1] or bin == 30 and v == limits[31]) then
          wanted[bin] = wanted[bin] + 1
          break
        end
      end
    end
    assert.same(wanted, counts:table())
  end)

  it("and many of them have the same running sums, logsumexp and gradients on any number of threads", function()
    for _, shape in ipairs{{N}, {300, 400}} do
      local x = lt.randn(shape)
      for axis = 1, #shape do
        for _, op in ipairs{"cumsum", "cumprod", "logsumexp", "max"} do
          on_all(function()
            local w = lt.param(x)
            local y = lt[op](w, axis)
            y:backward(lt.ones(y))
            return y:detach(), w.grad
          end)
        end
      end
    end
  end)
end)
