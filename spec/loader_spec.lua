-- Loaders: batches, their order, and places in it.
local data = require "latent.data"
local json = require "latent.json"
local lt = require "latent"
require "spec.support.misuse"

describe("a loader", function()
  -- A set that hands out only positions.
  local function numbers(n)
    return setmetatable({batch = function(_, index) return index, index end},
      {__len = function() return n end})
  end

  local function epoch(loader)
    local out = {}
    for batch in loader do out[#out + 1] = batch.index:table() end
    return out
  end

  local function flat(batches)
    local out = {}
    for _, batch in ipairs(batches) do table.move(batch, 1, #batch, #out + 1, out) end
    return out
  end

  it("hands out every image once an epoch, in batches", function()
    local loader = data.loader(numbers(103), {batch = 10})
    assert.equal(11, #loader)
    for _ = 1, 3 do
      local batches = epoch(loader)
      assert.equal(11, #batches)
      assert.equal(3, #batches[11])
      local all = flat(batches)
      table.sort(all)
      for i = 1, 103 do assert.equal(i, all[i]) end
    end
    assert.equal(4, loader.epoch)
  end)

  it("gives images and labels that belong together", function()
    local set = assert(data.mnist {split = "test", mini = true})
    for batch in data.loader(set, {batch = 32}) do
      assert.same({batch.index.shape[1], 32, 32, 1}, batch.x.shape)
      local x, y = set:batch(batch.index)
      assert.equal(x:bytes(), batch.x:bytes())
      assert.same(y:table(), batch.y:table())
    end
  end)

  it("leaves out the short batch when asked", function()
    local loader = data.loader(numbers(103), {batch = 10, drop_last = true})
    assert.equal(10, #loader)
    assert.equal(10, #epoch(loader))
    assert.equal(10, #epoch(loader))
  end)

  it("keeps the order without shuffle", function()
    local loader = data.loader(numbers(5), {batch = 2, shuffle = false})
    assert.same({{1, 2}, {3, 4}, {5}}, epoch(loader))
    assert.same({{1, 2}, {3, 4}, {5}}, epoch(loader))
  end)

  it("has an order that depends on seed and epoch alone", function()
    local a, b = data.loader(numbers(50)), data.loader(numbers(50))
    local first = epoch(a)
    lt.manual_seed(99)
    lt.randn(3)
    assert.same(first, epoch(b))
    local second = epoch(a)
    assert.not_same(first, second)
    assert.same(second, epoch(b))
    assert.not_same(first, epoch(data.loader(numbers(50), {seed = 2})))
    -- Another batch size cuts the same order.
    assert.same(flat(first), flat(epoch(data.loader(numbers(50), {batch = 7}))))
  end)

  it("goes on from a saved state with the batches that were to come", function()
    local opts = {batch = 8, seed = 5}
    local whole = data.loader(numbers(60), opts)
    epoch(whole)
    local second, third = epoch(whole), epoch(whole)
    for stop = 1, 8 do
      local first = data.loader(numbers(60), opts)
      epoch(first)
      local state
      local at = 0
      for _ in first do
        at = at + 1
        if at == stop then
          state = first:state()
          break
        end
      end
      state = json.decode(json.encode(state))
      local resumed = data.loader(numbers(60), opts):set_state(state)
      if stop < 8 then
        assert.equal(2, resumed.epoch)
        assert.same(table.move(second, stop + 1, 8, 1, {}), epoch(resumed))
      end
      assert.equal(3, resumed.epoch)
      assert.same(third, epoch(resumed))
    end
  end)

  it("begins a new epoch after a loop that was left", function()
    local loader, same = data.loader(numbers(20), {batch = 5}), data.loader(numbers(20),
      {batch = 5})
    epoch(same)
    for batch in loader do
      if batch.x then break end
    end
    assert.same(epoch(same), epoch(loader))
  end)

  it("can be asked for one batch at a time", function()
    local loader = data.loader(numbers(5), {batch = 3, shuffle = false})
    assert.same({1, 2, 3}, loader:next().index:table())
    assert.same({4, 5}, loader:next().index:table())
    assert.is_nil(loader:next())
    assert.same({1, 2, 3}, loader:next().index:table())
  end)

  it("refuses misuse", function()
    local set = numbers(10)
    local function raises(pattern, ...)
      local args = table.pack(...)
      assert.error_matches(function() data.loader(table.unpack(args, 1, args.n)) end, pattern)
    end
    raises("set: expected a data set .*got nil", nil)
    raises("set: expected a data set", {})
    raises('unknown option "bacth"', set, {bacth = 3})
    raises("batch: expected a whole number from 1, got 0", set, {batch = 0})
    raises("batch: expected a whole number", set, {batch = 2.5})
    raises("seed: expected a whole number", set, {seed = "x"})
    raises("shuffle: expected true or false", set, {shuffle = 1})
    raises("10 images make no batch of 11", set, {batch = 11, drop_last = true})
    local loader = data.loader(set, {batch = 4})
    local state = loader:state()
    state.seed = 3
    assert.error_matches(function() loader:set_state(state) end,
      "the state has seed = 3, this loader 1")
    state.seed, state.position = 1, 3
    assert.error_matches(function() loader:set_state(state) end, "position: expected the end")
    assert.error_matches(function() loader:set_state(3) end, "expected a table, got 3")
  end)
end)

describe("a set of the user's own", function()
  local function set_of(batch)
    return setmetatable({batch = function(_, index, generator) return batch(index, generator) end},
      {__len = function() return 6 end})
  end

  it("gets a generator that seed, epoch and place fix", function()
    local drawn = set_of(function(index, generator) return lt.rand(#index, 1, {generator = generator}) end)
    local function all(set, opts)
      local list = {}
      for batch in data.loader(set, opts) do list[#list + 1] = batch.x:table() end
      return list
    end
    local once = all(drawn, {batch = 2, seed = 3})
    lt.manual_seed(5)
    assert.same(once, all(drawn, {batch = 2, seed = 3}))
    assert.not_same(once[1], once[2])
    assert.not_same(once, all(drawn, {batch = 2, seed = 4}))
    for _, set in ipairs{data.subset(drawn, {1, 2, 3, 4}), data.concat{data.tensors{x = lt.ones(2, 1)}, drawn}} do
      assert.same(all(set, {batch = 2}), all(set, {batch = 2}))
    end
  end)

  it("is told where it gives what is no batch", function()
    local function refused(batch, pattern)
      local set = set_of(batch)
      assert.misuse(function() data.loader(set, {batch = 3}):next() end, "data.loader: the set's batch: " .. pattern)
      assert.misuse(function()
        for _ in data.loader(set, {batch = 3}) do error "no batch was due" end
      end, "data.loader: the set's batch: " .. pattern)
    end
    refused(function() end, "x: expected a tensor of 3 rows, got nil")
    refused(function() return 5 end, "x: expected a tensor of 3 rows, got 5")
    refused(function() return lt.ones(2, 4) end, "x: expected 3 rows, as many as positions, got a tensor %[2, 4%]")
    refused(function() return lt.tensor(1) end, "x: expected 3 rows, as many as positions, got a tensor %[%]")
    refused(function() return lt.ones(3, 4), lt.ones(2) end, "y: expected 3 rows, .*, got a tensor %[2%]")
    refused(function() return lt.ones(3, 4), "a" end, 'y: expected a tensor of 3 rows, got "a"')
    local several = set_of(function(index) return {left = lt.ones(#index), right = lt.zeros(#index)} end)
    assert.equal(3, #data.loader(several, {batch = 3}):next().x.right)
  end)
end)
