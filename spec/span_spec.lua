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
    assert(regions[2][1] > regions[1][1])
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
    assert(rows[3].case == "op.sum.1e6" and rows[3].ms < rows[3].work_ms)
    assert.matches("^tiny +2 +[%d.e-]+ +[%d.e-]+ +%d+ +[%d.e-]+ +%d+%% +[%d.e-]+ +%d+%%$", lines[3])
    assert.matches("^  us; limits with 2 threads +alone +outside +regions +chunks > +longest +shared +lost$", lines[4])
    -- which of the rows comes first is time
    assert.matches("\n  elsewhere %(Lua, data%) ", table.concat(lines, "\n", 4))
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
