-- The benchmarks' own arithmetic, and one case run without a peer.
local core, lt = require "latent.core", require "latent"
require "spec.support.close"
require "spec.support.misuse"
local harness = require "bench.harness"
local bench = require "bench.run"
local cases = require "bench.cases"
local json = require "latent.json"
local files = require "latent.base.files"

describe("bench harness", function()
  it("takes medians and geometric means", function()
    local list = {5, 1, 9}
    assert.equal(5, harness.median(list))
    assert.same({5, 1, 9}, list)
    assert.equal(2.5, harness.median {4, 1, 2, 3})
    assert.is_nil(harness.median {})
    assert.close(harness.geometric_mean {2, 8}, 4)
    assert.is_nil(harness.geometric_mean {})
  end)

  -- Contestants with clocks of their own: `cost` seconds an iteration.
  local function contestant(cost, log, name)
    return {time = function(n)
      log[#log + 1] = name
      return n * cost
    end}
  end

  it("finds how often to repeat", function()
    assert.equal(100, harness.calibrate(contestant(0.001, {}).time, 0.1))
    assert.equal(1, harness.calibrate(contestant(3, {}).time, 0.1))
  end)

  it("lets the contestants take turns", function()
    local log = {}
    local a, b = contestant(1, log, "a"), contestant(2, log, "b")
    a.inner, b.inner = 1, 5
    local results = harness.measure({a, b}, 3, 0.1)
    assert.same({"a", "b", "a", "b", "a", "b"}, log)
    assert.equal(1, results[1].median)
    assert.equal(2, results[2].median)
    assert.same({2, 2, 2}, results[2].all)
  end)

  it("prints a row", function()
    local head = harness.head()
    local line = harness.line {case = "ae", threads = 1, ours_ms = 2, peer_ms = 24, ratio = 12, target_text = ">=11x",
      gflops = 96.02, peak_share = 0.4, reached = true}
    assert.matches("^ae +1 +2 ms +24 ms +12.00x +>=11x +96.0 +40%%$", line)
    assert.equal(#head, #line)
    assert.matches("^memory +1 +110 MB +%- +%- +<=100 +%- +%-  missed$", harness.line {case = "memory", threads = 1,
      ours_mb = 110, target_text = "<=100", reached = false})
  end)

  it("prints a row of the table of threads", function()
    local row = {case = "ae", threads = 16, ours_ms = 0.64, speedup = 6.05, efficiency = 0.378, reached = true,
      target_text = "<=0.7 ms"}
    assert.matches("^ae +16 +0.64 ms +6.05x +38%% +<=0.7 ms$", harness.scale_line(row))
    row.reached, row.slower_than, row.busy, row.load = false, 8, true, 3.4
    assert.matches("<=0.7 ms  missed  slower than with 8  busy machine, load 3.4$", harness.scale_line(row))
    assert.matches("38%%  slower", harness.scale_line {case = "ae", threads = 16, ours_ms = 0.64, speedup = 6.05,
      efficiency = 0.378, slower_than = 8})
  end)

  it("knows work for every special case of the kernels, right without any", function()
    local ablate = require "bench.ablate"
    local named = {}
    for _, row in ipairs(ablate.WORK) do named[row[1]] = row[3] end
    for _, name in ipairs(core.shortcuts()) do
      local once = assert(named[name], name)()
      local with = once()
      core.set_shortcut(name, false)
      local without = once()
      core.set_shortcut(name, true)
      assert.close(without, with, 1e-4)
    end
    assert.misuse(function() core.set_shortcut("conv in threes", false) end,
      "set_shortcut: no special case is called conv in threes")
    local lines = {}
    local rows = ablate.run({pairs = 1, rep = 0.001}, function(line) lines[#lines + 1] = line end)
    assert.equal(#core.shortcuts() + 1, #rows)
    assert.equal(#rows + 1, #lines)
    for _, row in ipairs(rows) do assert(row.gain > 0, row.name) end
  end)

  it("sums up the convolution grid", function()
    assert.is_nil(bench.grid {})
    assert.is_nil(bench.grid {{case = "ae", ratio = 9}, {case = "conv.c3"}})
    local grid = bench.grid {{case = "ae", ratio = 0.1}, {case = "conv.a", ratio = 8}, {case = "conv.b", ratio = 0.5},
      {case = "conv.c", ratio = 0.8}, {case = "conv.d"}}
    assert.close(grid.geometric_mean, (8 * 0.5 * 0.8) ^ (1 / 3))
    grid.geometric_mean = nil
    assert.same({cases = 3, least = 0.5, least_case = "conv.b", below = 1}, grid)
  end)

  it("chooses cases", function()
    local names = {ae = true, ["ae.16"] = true, ["map.10"] = true, ["map.1000"] = true}
    local function wanted(...) return harness.wants({...}, "ae", names), harness.wants({...}, "ae.16", names),
      harness.wants({...}, "map.10", names), harness.wants({...}, "map.1000", names) end
    assert.same({true, true, true, true}, {wanted()})
    assert.same({true, false, false, false}, {wanted "ae"})
    assert.same({false, true, true, true}, {wanted("map", "ae.*")})
    assert.same({false, false, true, false}, {wanted "map.10"})
  end)
end)

describe("bench", function()
  it("has each case once", function()
    local seen = {}
    for _, case in ipairs(cases.list {images = 10, lua = "lua5.4", folder = "bench/"}) do
      assert.is_nil(seen[case.name], case.name)
      seen[case.name] = true
      assert.is_true(case.against_one_thread or case.alone or case.peer ~= nil or case.peer_command ~= nil, case.name)
    end
    for _, name in ipairs {"ae", "ae.16", "ae.256", "ae.1024", "ae.threads", "classifier", "vae16", "map.10",
      "map.1000", "encode", "knn.2d", "knn.16d", "epoch", "startup", "memory", "op.softmax.1e3", "op.sum.1e6",
      "conv.c128.k7.s64.x2.backward", "matmul.256x256x256",
      "matmul.64x32x32x32", "lenet", "resnet20", "conv_vae", "mlp_vae", "mlp", "transformer_mlp", "tiny",
      "parallel.empty", "parallel.empty.paused", "parallel.9us", "parallel.9us.paused"} do
      assert.is_true(seen[name], name)
    end
  end)

  it("trains the models of users", function()
    lt.manual_seed(1)
    for name, make in pairs(require "bench.models") do assert.has_no.errors(make(), name) end
  end)

  it("refuses the name of no case, and options that make no sense", function()
    local function said(words)
      local program = ("require('bench.run').main{%s}"):format(words)
      return files.capture(("LUA_PATH=%s LUA_CPATH=%s lua5.4 -e %s 2>&1; echo $?"):format(files.quote(package.path),
        files.quote(package.cpath), files.quote(program)))
    end
    assert.equal("--case: no case is called mlq; --list tells their names\n1", said "'--list', '--case', 'ae,mlq'")
    assert.matches("Error: %-%-pairs: expected a whole number of at least 1, got 0\n2$", said "'--pairs', '0'")
    assert.matches("Error: %-%-rep: expected a number above 0, got soon\n2$", said "'--rep', 'soon'")
    assert.matches("Error: %-%-threads: expected a whole number of at least 1, got x\n2$", said "'--threads', '1,x'")
    assert.matches("%-%-peer.+'torch', 'compile', 'jax', 'none'\n2$", said "'--peer', 'numpy'")
    assert.matches("unknown option '%-%-pair'", said "'--pair', '3'")
    assert.matches("^ae\n.*\n0$", said "'--list'")
    local o = bench.options{"--threads", "1,4", "--case", "ae,conv"}
    assert.same({{1, 4}, {"ae", "conv"}, 7, 0.1, "torch"}, {o.threads, o.case, o.pairs, o.rep, o.peer})
  end)

  it("compares numbers of threads", function()
    local threads, lines = lt.info().threads, {}
    local o = bench.options{"--scale", "--peer", "none", "--case", "tiny", "--pairs", "2", "--rep", "0.001",
      "--threads", "1,2"}
    local result = bench.run(o, function(line) lines[#lines + 1] = line end)
    lt.set_threads(threads)
    assert.equal(2, #result.rows)
    assert.equal(1, result.rows[1].speedup)
    assert.close(result.rows[2].efficiency, result.rows[1].ours_ms / result.rows[2].ours_ms / 2)
    assert.matches("^tiny +1 +[%d.e-]+ ms +1.00x +100%%", lines[3])
    assert.equal(result.rows[2].ours_ms > 1.05 * result.rows[1].ours_ms, result.rows[2].slower_than == 1)
  end)

  it("measures the threads themselves", function()
    local threads = lt.info().threads
    local o = bench.options {"--peer", "torch", "--case", "parallel", "--pairs", "2", "--rep", "0.001",
      "--threads", "1,2"}
    local rows = bench.run(o, function() end).rows
    lt.set_threads(threads)
    assert.equal(8, #rows)
    for i, name in ipairs {"empty", "empty.paused", "9us", "9us.paused"} do
      for count = 1, 2 do
        local row = rows[2 * i - 2 + count]
        assert.same({"parallel." .. name, count}, {row.case, row.threads})
        assert.is_true(row.ours_ms > 0)
        assert.is_nil(row.peer_ms)
      end
    end
    assert.misuse(function() core.spend_chunks(1.5, 1) end, "spend_chunks: chunks: expected a whole number, got 1.5")
  end)

  it("knows what sixteen threads are to reach", function()
    local seen = {}
    for _, case in ipairs(bench.selected(bench.options {"--case", table.concat(bench.scaled(), ",")})) do
      seen[case.name] = true
    end
    for _, name in ipairs {"ae", "vae16", "classifier", "map.10", "map.1000", "ae.1024", "resnet20", "mlp",
      "parallel.9us"} do
      assert.is_true(seen[name], name)
    end
  end)

  it("runs without a peer", function()
    local threads = lt.info().threads
    local lines = {}
    local o = bench.options {"--peer", "none", "--case", "conv.c3.k3.s7.x1.*,matmul.64x64x64", "--pairs", "2", "--rep",
      "0.001", "--threads", "1"}
    local result = bench.run(o, function(line) lines[#lines + 1] = line end)
    lt.set_threads(threads)
    assert.equal(3, #result.rows)
    for _, row in ipairs(result.rows) do
      assert.is_true(row.ours_ms > 0)
      assert.is_true(row.gflops > 0)
      assert.is_true(row.peak_share > 0)
      assert.equal(2, #row.ours_all_ms)
      assert.equal(lt.info().isa, row.isa)
      assert.is_nil(row.peer_ms)
      assert.is_nil(row.target and row.reached)
    end
    assert.equal("sgemm 768 x 768 x 768", result.machine.peak_source)
    assert.is_table(json.decode(json.encode(result)))
    assert.matches("peer: none", lines[1])
    assert.matches("^matmul.64x64x64 +1 +[%d.]+ ms +%- ", lines[5])
  end)
end)
