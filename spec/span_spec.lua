-- Parallel regions, watched chunk by chunk, and what `make bench ARGS="--span"` makes of them.
local core, lt = require "latent.core", require "latent"
require "spec.support.close"
local bench, span = require "bench.run", require "bench.span"

-- The regions of f with the seconds of their chunks.
local function watched(f)
  core.regions_start()
  local start = core.clock()
  f()
  local seconds = core.clock() - start
  local regions, chunks = core.regions_stop()
  local at = 1
  for _, region in ipairs(regions) do
    for k = 1, region.chunks do region[k], at = ("f"):unpack(chunks, at) end
  end
  assert.equal(#chunks + 1, at)
  return regions, seconds
end

describe("watched regions", function()
  local threads = lt.info().threads
  before_each(function() lt.set_threads(4) end)
  after_each(function() lt.set_threads(threads) end)

  it("have the chunks that they were cut into, and their times", function()
    local regions, seconds = watched(function()
      core.spend_chunks(3, 1000)
      core.spend_chunks(1, 2000000)
      core.spend_chunks(2500, 10) -- more than the room at first
    end)
    assert.same({3, 1, 2500}, {regions[1].chunks, regions[2].chunks, regions[3].chunks})
    local sum = 0
    for _, region in ipairs(regions) do
      local own = 0
      for _, chunk in ipairs(region) do
        assert(chunk >= 0)
        own = own + chunk
      end
      assert(own <= 1.001 * region.seconds, ("%g of %g s"):format(own, region.seconds)) -- floats are rounded
      sum = sum + region.seconds
    end
    assert(sum <= seconds, ("%g of %g s"):format(sum, seconds))
    assert(regions[2][1] > math.min(table.unpack(regions[3]))) -- one of many is not held up by other programs
    assert.is_nil(regions[1].name)
  end)

  it("are none of those before or after", function()
    watched(function() core.spend_chunks(2, 1) end)
    core.spend_chunks(5, 1)
    assert.same({}, (watched(function() end)))
    assert.equal(1, #watched(function() core.spend_chunks(7, 1) end))
  end)

  it("bear the name of the innermost op while a profile runs", function()
    local inner = lt.op{name = "twice", forward = function(_, x) return x * 2 end,
      backward = function(_, dy) return dy * 2 end}
    local regions
    lt.profile(function()
      local x = lt.param(lt.ones(100000))
      regions = watched(function() inner(x:exp():sum()) end)
    end, {quiet = true})
    local names = {}
    for i, region in ipairs(regions) do names[i] = region.name .. " " .. region.kind end
    assert.same({"exp forward", "sum forward", "mul forward"}, names)
  end)

  it("have one chunk where there is no work for a second thread", function()
    local x, dy = lt.param(lt.randn(32, 16)), lt.randn(32, 16)
    local w, b = lt.param(lt.randn(16, 16)), lt.param(lt.randn(16))
    local image, kernel = lt.param(lt.randn(4, 7, 7, 3)), lt.param(lt.randn(3, 3, 3, 3))
    local regions = watched(function()
      lt.linear(x, w, b):backward(dy)
      lt.conv2d(image, kernel):sum():backward()
    end)
    assert(#regions > 3)
    for _, region in ipairs(regions) do assert.equal(1, region.chunks) end
    -- The two gradients of a larger layer share a region.
    local large = lt.param(lt.randn(256, 256))
    local y = lt.matmul(large, large)
    local most = 0
    for _, region in ipairs(watched(function() y:backward(y:detach()) end)) do most = math.max(most, region.chunks) end
    assert(most > 4)
  end)

  it("are two for all gradients of a convolution", function()
    for _, way in ipairs{"conv2d", "conv_transpose2d"} do
      for _, channels in ipairs{16, 64} do -- directly, and by Winograd's tiles
        local x, w = lt.param(lt.randn(32, 16, 16, channels)), lt.param(lt.randn(3, 3, channels, channels))
        local y = lt[way](x, w, lt.param(lt.randn(channels)), {padding = 1})
        local dy, many = lt.randn(y), {}
        for _, region in ipairs(watched(function() y:backward(dy) end)) do
          if region.chunks > 1 then many[#many + 1] = region.chunks end
        end
        assert.equal(3, #many, ("%s, %d channels"):format(way, channels)) -- dy is copied first
      end
    end
  end)

  it("give the same bits", function()
    local function results()
      lt.manual_seed(1)
      local x, w = lt.param(lt.randn(9, 17, 15, 16)), lt.param(lt.randn(3, 3, 16, 17))
      local y = lt.conv2d(x, w, nil, {padding = 1})
      y:square():mean():backward()
      return {y:table(), x.grad:table(), w.grad:table()}
    end
    local plain, seen = results(), nil
    watched(function() seen = results() end)
    assert.same(plain, seen)
  end)
end)

describe("bench --span", function()
  it("deals chunks as the pool does", function()
    assert.equal(0, span.makespan({}, 4))
    assert.equal(6, span.makespan({1, 2, 3}, 1))
    assert.equal(3, span.makespan({1, 2, 3}, 3))
    assert.equal(3, span.makespan({1, 2, 3}, 64))
    assert.equal(2, span.makespan({1, 1, 1, 1}, 2))
    -- the first of two threads, done with its own part, takes the last of the other's: 1 + 1 + 2 and 3 + 1
    assert.equal(4, span.makespan({1, 1, 3, 1, 2}, 2))
    -- the last thread begins again with the first one's part: 9, 4 + 4, 1 + 1 + 3
    assert.equal(9, span.makespan({9, 3, 4, 4, 1, 1}, 3))
    for threads = 1, 9 do
      local chunks = {5, 1, 4, 2, 3, 3, 2, 4, 1, 5}
      local least = math.max(5, 30 / threads)
      local seconds = span.makespan(chunks, threads)
      assert(seconds >= least and seconds < 30 / threads + 5, ("%d threads: %g"):format(threads, seconds))
    end
  end)

  it("adds what no thread makes shorter, and the price of regions", function()
    local regions = {{1, 1, 1, 1}, {2}}
    local serial = {["elsewhere (Lua, data)"] = 0.5, ["exp forward"] = 0.25}
    assert.equal(6.75, span.predict(regions, serial, 1, 0.125))
    assert.equal(2 + 2 + 0.75 + 0.125, span.predict(regions, serial, 2, 0.125))
    assert.equal(1 + 2 + 0.75, span.predict(regions, serial, 64, 0))
  end)

  it("prints a row for each number of threads, and what limits", function()
    local threads, lines = lt.info().threads, {}
    local o = bench.options{"--span", "--case", "op.sum.1e6,tiny", "--pairs", "3", "--threads", "2,64"}
    local rows = span.run(bench.selected(o), o, true, function(line) lines[#lines + 1] = line end)
    assert.equal(threads, lt.info().threads)
    assert.equal(4, #rows)
    for _, row in ipairs(rows) do
      assert(row.outside_ms > 0 and row.outside_ms < row.work_ms)
      assert(row.ms > 0 and row.paid_ms >= row.ms)
      assert.close(row.efficiency, row.work_ms / row.ms / row.threads)
      local shared = 0
      for _, loss in ipairs(row.losses) do shared = shared + loss.shared end
      assert.close(1e3 * shared, row.ms, 1e-6)
    end
    assert.equal("op.sum.1e6", rows[3].case)
    assert.matches("^tiny +2 +[%d.e-]+ +[%d.e-]+ +%d+ +[%d.e-]+ +%d+%% +[%d.e-]+ +%d+%%$", lines[3])
    assert.matches("^  us; limits with 2 threads +alone +outside +regions +chunks > +longest +shared +lost$", lines[4])
    -- which of the rows comes first is time
    assert.matches("\n  elsewhere %(Lua, data%) ", table.concat(lines, "\n", 4))
  end)

  -- A sum of 16 chunks, 1 unit each; 2 of the op and 14 of the iteration lie beside them.
  it("tells of known times what each number of threads makes of them, and first what loses most", function()
    local UNIT <const> = 2 ^ -10 -- a second's part: all that follows is exact
    local CHUNKS <const> = 16
    local lines = {}
    local clock, start, regions_stop, profile_stop = core.clock, core.regions_start, core.regions_stop,
      core.profile_stop
    finally(function()
      core.clock, core.regions_start, core.regions_stop, core.profile_stop = clock, start, regions_stop, profile_stop
    end)
    local begun
    function core.regions_start()
      begun = false
      start()
    end
    function core.clock()
      local now = begun and 32 * UNIT or 0
      begun = true
      return now
    end
    function core.regions_stop()
      local regions, chunks = regions_stop(), {}
      assert.equal(1, #regions)
      assert.equal(CHUNKS, regions[1].chunks)
      for i = 1, CHUNKS do chunks[i] = ("f"):pack(UNIT) end
      regions[1].seconds = CHUNKS * UNIT
      return regions, table.concat(chunks)
    end
    function core.profile_stop()
      local rows = profile_stop()
      assert.equal(1, #rows)
      rows[1].seconds = 18 * UNIT
      return rows
    end
    local o = bench.options{"--span", "--case", "op.sum.1e6", "--pairs", "2", "--threads", "2,16,64"}
    local rows = span.run(bench.selected(o), o, true, function(line) lines[#lines + 1] = line end)
    local found = {}
    for i, row in ipairs(rows) do
      found[i] = {row.threads, row.work_ms, row.outside_ms, row.ms, row.efficiency, row.losses[1].op,
        row.losses[1].lost, row.losses[2].op, row.losses[2].lost}
    end
    local ms, elsewhere, sum = 1e3 * UNIT, "elsewhere (Lua, data)", "sum forward"
    assert.same({
      {2, 32 * ms, 16 * ms, 24 * ms, 32 / 24 / 2, elsewhere, 7 * UNIT, sum, 1 * UNIT},
      {16, 32 * ms, 16 * ms, 17 * ms, 32 / 17 / 16, elsewhere, (14 - 14 / 16) * UNIT, sum, (3 - 18 / 16) * UNIT},
      {64, 32 * ms, 16 * ms, 17 * ms, 32 / 17 / 64, elsewhere, (14 - 14 / 64) * UNIT, sum, (3 - 18 / 64) * UNIT},
    }, found)
    assert.close(24 * ms + 5e-3, rows[1].paid_ms)
    assert.matches("^op.sum.1e6 +2 +31.25 +15.62 +1 +23.44 +67%% +23.44 +67%%$", lines[3])
    assert.matches("^  elsewhere %(Lua, data%) +13671.9 +13671.9 +0 +%- +0.0 +13671.9 +6835.9$", lines[5])
    assert.matches("^  sum forward +17578.1 +1953.1 +1 +16 +976.6 +9765.6 +976.6$", lines[6])
  end)

  it("says where an iteration is never the same twice", function()
    local n = 0
    assert.has_error(function()
      span.watch(function()
        n = n + 1
        core.spend_chunks(n, 1)
      end, 2, 1)
    end, "--span: no two iterations are made of the same parallel regions")
  end)
end)
