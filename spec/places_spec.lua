-- Places and labels beyond 2^24, exact in i64 and in tables; in float32, which counts exactly only so far, an error
-- instead of a neighbour.
require "spec.support.close"
require "spec.support.misuse"
local lt = require "latent"
local lt64 = require "spec.support.lt64"

local EXACT = 1 << 24
local counts = "float32 counts exactly only to 16777216"

describe("places beyond 2^24", function()
  local long

  setup(function()
    long = lt.zeros(EXACT + 4)
    long[EXACT + 3] = 7
  end)
  teardown(function() long:close() end)

  it("are found by argmax and argmin", function()
    assert.equal(EXACT + 3, lt.argmax(long):item())
    assert.equal(EXACT + 3, (long * -1):argmin():item())
    assert.equal(EXACT + 3, long:reshape(-1, 1):argmax(1):item())
    assert.equal(1, long:argmin():item())
    assert.equal(EXACT, long:slice(1, 4, -1):argmax():item())
    assert.equal(1, long:reshape(-1, 1):argmax(2):numel() // #long)
    assert.equal(7, long:max():item())
  end)

  it("take the gradient of the largest all the same", function()
    local x = lt.param(long)
    x:max():backward()
    assert.equal(1, x.grad[EXACT + 3])
    assert.equal(1, x.grad:sum():item())
  end)

  it("are rows to gather, in tables and in i64; in float32 they may have been others", function()
    for _, place in ipairs{EXACT + 1, EXACT + 3} do
      local want = place == EXACT + 3 and 7 or 0
      assert.equal(want, long:gather_rows{place}:item())
      assert.equal(want, long:gather_rows(lt.tensor({place}, {dtype = "i64"})):item())
      -- in a float32 tensor 2^24 + 1 has already become 2^24
      assert.misuse(function() long:gather_rows(lt.tensor{1, place}) end,
        "gather_rows: index: %d+ at position 2 may be another number, rounded: " .. counts)
    end
    assert.same({0, 0}, long:gather_rows{1, EXACT - 1}:table())
    local whole = long:slice(1, 1, EXACT) -- all its places are exact
    whole[EXACT] = 3
    assert.equal(3, whole:gather_rows{EXACT}:item())
    whole[EXACT] = 0
    assert.misuse(function() whole:gather_rows{EXACT + 1} end,
      "gather_rows: index: expected whole numbers 1..16777216, got 16777217 at position 1")
    local bytes = lt.full({EXACT + 4}, 1, "u8")
    bytes[EXACT + 3] = 2
    assert.equal(2, lt.gather_scaled(bytes, {EXACT + 3}, 1, 0):item())
    assert.misuse(function() lt.gather_scaled(bytes, lt.tensor{EXACT + 1}, 1, 0) end,
      "gather_scaled: index: 16777216 at position 1 may be another number")
    assert.equal(1, lt.gather_scaled(bytes, {EXACT - 1}, 1, 0):item())
    bytes:close()
  end)

  it("are labels, but not in float32", function()
    local classes = EXACT + 4
    assert.equal(EXACT + 2, lt.one_hot({EXACT + 1}, classes):argmax():item())
    assert.misuse(function() lt.one_hot(lt.tensor(EXACT + 1), classes) end, "one_hot: labels: 16777216 at position 1")
    local logits = long:reshape(1, -1)
    assert.close(lt.cross_entropy(logits, {EXACT + 2}), lt.cross_entropy(logits, {1}) - 7, 1e-5)
    assert.misuse(function() lt.cross_entropy(logits, lt.tensor{EXACT + 1}) end,
      "cross_entropy: labels: 16777216 at position 1 may be another number")
  end)

  it("are handed out as i64, and refused by arange in float32", function()
    local index = lt.knn(long:reshape(-1, 1), {{7}})
    assert.equal(EXACT + 3, index:item())
    assert.equal("i64", index.dtype)
    local order = lt.randperm(EXACT + 2)
    assert.equal((EXACT + 2) * (EXACT + 3) // 2, order:sum():item())
    assert.equal(EXACT + 2, order:max():item())
    order:close()
    assert.same({EXACT, EXACT + 1, EXACT + 2}, lt.arange(EXACT, EXACT + 2, {dtype = "i64"}):table())
    assert.misuse(function() lt.arange(EXACT + 1) end, "arange: 16777217: " .. counts)
    assert.misuse(function() lt.arange(EXACT - 3, EXACT + 3) end, "arange: 16777217: " .. counts)
    assert.misuse(function() lt.arange(-EXACT + 3, -EXACT - 3, -1) end, "arange: %-16777217: " .. counts)
    assert.equal(EXACT, lt.arange(EXACT - 2, EXACT)[3])
    assert.same({EXACT, EXACT + 2}, lt.arange(EXACT, EXACT + 2, 2):table())
    assert.equal(11, #lt.arange(0, 1e12, 1e11)) -- no places
    assert.equal(3, #lt.arange(EXACT + 0.5, EXACT + 2.5))
  end)

  it("are right in double precision", function()
    local x = lt64.zeros(EXACT + 4)
    x[EXACT + 3] = 1
    assert.equal(EXACT + 3, x:argmax():item())
    assert.equal(1, x:gather_rows{EXACT + 3}:item())
    assert.equal(EXACT + 1, lt64.arange(EXACT, EXACT + 1)[2])
    x:close()
  end)
end)

describe("labels and places", function()
  it("are whole numbers within their range, in tables and tensors", function()
    local x = lt.ones(3, 2)
    for _, odd in ipairs{0, 4, 1.5, -1, 1e30, 0 / 0, 1 / 0} do
      for _, index in ipairs{{odd}, lt.tensor{odd}} do
        assert.misuse(function() x:gather_rows(index) end, "gather_rows: index: ")
        assert.misuse(function() lt.gather_scaled(x:u8(), index, 1, 0) end, "gather_scaled: index: ")
        if odd ~= 0 then
          assert.misuse(function() lt.one_hot(index, 3) end, "one_hot: labels: ")
          assert.misuse(function() lt.cross_entropy(lt.ones(1, 3), index) end, "cross_entropy: labels: ")
        end
      end
    end
  end)
end)
