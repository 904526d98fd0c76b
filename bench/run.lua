--- Our cases beside the same work in PyTorch, in turn within one run. `make bench` runs all of it;
--   make bench ARGS="--case ae,conv.c16 --threads 1,2 --pairs 7"
-- prints a table and writes runs/bench.json. See `--help` for the options.
local arguments = require "tools.arguments"
local core, lt = require "latent.core", require "latent"
local files, json = require "latent.base.files", require "latent.json"
local ablate, mpi, span = require "bench.ablate", require "bench.mpi", require "bench.span"
local cases, harness, peers = require "bench.cases", require "bench.harness", require "bench.peer"

local M = {}

local HERE = debug.getinfo(1, "S").source:match "^@(.*)run%.lua$"

local function fail(message)
  io.stderr:write(message, "\n")
  os.exit(1)
end

-- Numbers of threads, separated by commas.
local function read_counts(text)
  local list = {}
  for i, word in ipairs(arguments.words()(text)) do
    local count, message = arguments.whole(1)(word)
    if not count then return nil, message end
    list[i] = count
  end
  return list
end

--- Options from words of a command line.
-- @tparam {string,...} list
-- @treturn table
function M.options(list)
  local parser = arguments.parser("bench", "Our cases beside the same work in PyTorch, in turn within one run.",
    "LATENT_ISA=avx2 measures that instruction set; the conv grid's peer is then held to AVX2 too. PYTHON=... names "
      .. "the Python of the peer.")
  parser:option("--case", "names, separated by commas: a case (ae), the first word of names (conv), a pattern "
    .. "(conv.c16.*); or mpi alone: steps on two ranks, beside threads and PyTorch's DistributedDataParallel")
    :convert(arguments.words()):default "all"
  parser:option("--threads", "numbers, separated by commas (unless said: 1, for ae all cores too, for parallel 1, 2, 4 "
    .. "and so on)"):convert(read_counts)
  parser:option("--pairs", "repetitions of ours and of the peer, in turn"):convert(arguments.whole(1)):default "7"
  parser:option("--rep", "seconds of a repetition, about"):convert(arguments.above(0)):default "0.1"
  parser:option("--peer", "torch, compile (torch.compile), jax (the sheet's steps) or none")
    :choices{"torch", "compile", "jax", "none"}:default "torch"
  parser:option("--images", "of an epoch"):convert(arguments.whole(1)):default "60000"
  parser:option("--out", "the file of all numbers"):default "runs/bench.json"
  parser:flag("--scale", "threads 1, 2, 4, 8, 16, as far as there are cores, and what each gains over one")
  parser:flag("--span", "what --scale can show at best, on any machine: the chunks of all parallel regions, timed "
    .. "one by one on one thread, dealt to 2, 4, 8, 16 and 64 (or --threads); with --case also which ops limit")
  parser:flag("--ablate", "what each special case of the kernels gains")
  parser:flag("--list", "print the names of the cases")
  local o = parser:parse(list)
  o.lua, o.folder = "lua5.4", HERE
  if #o.case == 1 and o.case[1] == "all" then o.case = {} end
  return o
end

-- ---- the machine ----

local function first_match(path, pattern)
  return (files.capture("cat " .. path .. " 2>/dev/null") or ""):match(pattern)
end

-- The peak of multiply-adds, GFLOP/s: a loop of them in registers; where that program was not built, a
-- large matrix product, which comes near it.
local function peak(o, isa, threads)
  local program = o.peak_program
  local text = program and files.capture(("%s %s %d 2>/dev/null"):format(files.quote(program), isa, threads))
  if tonumber(text) then return tonumber(text), "loop of multiply-adds in registers, " .. isa end
  local n = 768
  local a, b, best = lt.randn(n, n), lt.randn(n, n), math.huge
  for _ = 1, 5 do
    best = math.min(best, harness.timer(function() lt.no_grad(lt.matmul, a, b) end)(2) / 2)
  end
  return 2 * n ^ 3 / best / 1e9, ("sgemm %d x %d x %d"):format(n, n, n)
end

local function cores() return math.tointeger(tonumber(files.capture "nproc" or "")) or 1 end

-- ---- one case ----

-- GFLOP of an iteration, of the direction that is timed.
local function work_of(body)
  local sum = 0
  for _, row in ipairs(lt.profile(body.once, {quiet = true}).rows) do
    if not body.kind or row.kind == body.kind then sum = sum + row.flops end
  end
  return sum / 1e9
end

local function set_ratio(row, ours, peer)
  if ours and peer then row.ratio = peer / ours end
end

-- Targets are those of one thread, except where threads are the question.
local function set_target(row, case)
  local applies = case.target and (row.threads == 1 or case.against_one_thread) and not row.against_jax
  local target = applies and case.target[row.isa]
  local value = row.ours_mb or row.ours_ms
  local limit = case.limit_mb or case.limit_ms
  if case.share and row.peak_share and row.threads == 1 then
    row.target_text, row.reached = (">=%d%%"):format(100 * case.share), row.peak_share >= case.share
  elseif target then
    row.target, row.target_text = target, (">=%gx"):format(target)
    if row.ratio then row.reached = row.ratio >= target end
  elseif limit and value then
    row.limit, row.target_text, row.reached = limit, ("<=%g"):format(limit), value <= limit
  end
end

local function milliseconds(list)
  local out = {}
  for i, seconds in ipairs(list) do out[i] = 1e3 * seconds end
  return out
end

-- The fastest of the peer's variants.
local function fastest(results)
  local best = results[2]
  for i = 3, #results do
    if results[i].median < best.median then best = results[i] end
  end
  return best
end

-- More at work than this row alone explains: threads that wait for each other then stand still, which
-- hits whoever waits actively.
local function check_load(row)
  row.load = tonumber(first_match("/proc/loadavg", "^%S+"))
  if row.load and row.load > row.threads + 0.75 then row.busy = true end
end

local function with_threads(time, threads)
  return function(n)
    lt.set_threads(threads)
    return time(n)
  end
end

-- Measures, and once more without the peer where that dies: some of PyTorch's kernels crash.
local function measure(contestants, row, o)
  local ok, results = pcall(harness.measure, contestants, o.pairs, o.rep)
  if ok then return results end
  if not tostring(results):find "the peer died" then error(results, 0) end
  row.note = results
  return harness.measure({contestants[1]}, o.pairs, o.rep)
end

local function run_in_process(case, row, state)
  local body = case.setup()
  local contestants = {{time = with_threads(body.time, row.threads), inner = case.inner}}
  local variants = {}
  if case.against_one_thread then
    contestants[2], variants[1] = {time = with_threads(body.time, 1)}, "latent, 1 thread"
  elseif not case.alone and state.o.peer ~= "none" then
    local peer, message = state.peer_for(row.threads, case.held and row.isa == "avx2" and "avx2" or nil)
    if peer then variants, message = peer:prepare(case.peer) end
    if message then row.note, variants = message, {} end
    for i, variant in ipairs(variants) do contestants[i + 1] = {time = peer:timer(variant), inner = case.inner} end
  end
  lt.set_threads(row.threads)
  local work = work_of(body)
  local results = measure(contestants, row, state.o)
  for i = 2, #results do results[i].name = variants[i - 1] end
  row.ours_ms, row.iterations = 1e3 * results[1].median, results[1].inner
  row.ours_all_ms = milliseconds(results[1].all)
  if #results > 1 then
    local best = fastest(results)
    row.against_jax = state.o.peer == "jax" or nil
    row.peer_ms, row.peer, row.peer_all_ms = 1e3 * best.median, best.name, milliseconds(best.all)
    set_ratio(row, row.ours_ms, row.peer_ms)
  end
  if work > 0 then
    row.gflops = work / results[1].median
    row.peak_share = row.gflops / state.peak_for(row.threads)
  end
end

-- Seconds, or the number that the command prints.
local function timed_command(command, measures)
  local start = core.clock()
  local text, message = files.capture(command)
  local seconds = core.clock() - start
  if not text then return nil, message end
  return measures == "MB" and tonumber(text) or seconds
end

local function run_processes(case, row, state)
  local python = state.o.peer ~= "none" and state.python
  local unit, scale = "ms", 1e3
  if case.measures == "MB" then unit, scale = "mb", 1 end
  local ours, theirs = {}, {}
  -- Memory is the same each time, and an epoch takes long.
  for _ = 1, unit == "mb" and 1 or state.o.pairs do
    ours[#ours + 1] = timed_command(case.ours_command, case.measures)
    theirs[#theirs + 1] = python and timed_command(case.peer_command:format(files.quote(python)), case.measures)
      or nil
  end
  local a, b = harness.median(ours), harness.median(theirs)
  row["ours_" .. unit], row["peer_" .. unit] = a and a * scale, b and b * scale
  set_ratio(row, a, b)
  if not a then row.note = "failed: " .. case.ours_command end
end

--- Measures one case with a number of threads.
-- @tparam table case see cases.lua
-- @tparam int threads
-- @tparam table state of the run: `o`, `peer_for`, `peak_for`, `python`
-- @treturn table the row: case, threads, isa, batch, ours_ms, peer_ms, ratio, gflops, peak_share, ...
function M.case(case, threads, state)
  local row = {case = case.name, threads = threads, isa = lt.info().isa, batch = case.batch, pairs = state.o.pairs}
  if case.setup then run_in_process(case, row, state) else run_processes(case, row, state) end
  set_target(row, case)
  check_load(row)
  collectgarbage()
  lt.trim()
  return row
end

-- ---- the run ----

-- One peer at a time: another number of threads or instruction set needs another process.
local function peer_keeper(o, python)
  local key, peer, message
  local function close()
    if peer then peer:close() end
    key, peer = nil, nil
  end
  local function get(threads, isa)
    local wanted = threads .. " " .. (isa or "")
    if key ~= wanted or peer and peer.dead then
      close()
      key = wanted
      if python then
        peer, message = peers.start{python = python, threads = threads, isa = isa, kind = o.peer}
      end
    end
    return peer, message
  end
  return get, close
end

local function state_of(o)
  local peaks, state = {}, {o = o, python = o.peer ~= "none" and peers.find(o.peer) or nil}
  if not state.python then o.peer = "none" end
  function state.peak_for(threads)
    if not peaks[threads] then
      peaks[threads], state.peak_source = peak(o, lt.info().isa, threads)
    end
    return peaks[threads]
  end
  state.peaks = peaks
  state.peer_for, state.close = peer_keeper(o, state.python)
  return state
end

-- 1, 2, 4, ... and all cores.
local function thread_counts(o)
  if o.threads then return o.threads end
  local list, n = {}, 1
  while n < cores() do
    list[#list + 1] = n
    n = 2 * n
  end
  list[#list + 1] = cores()
  return list
end

-- The numbers of threads for a case: what the options say, else 1, and all cores where that is the point.
local function threads_of(case, o)
  if case.against_one_thread then return {o.threads and math.max(table.unpack(o.threads)) or cores()} end
  if not case.setup then return {1} end
  if o.threads then return o.threads end
  if case.alone then return thread_counts(o) end
  return case.name == "ae" and cores() > 1 and {1, cores()} or {1}
end

--- The convolution grid in a few numbers.
-- @tparam {table,...} rows of a run; those of other cases, and those without a peer, do not count
-- @treturn ?table `cases`, `geometric_mean`, `least` and `least_case`, `below` (how many miss 0.8)
function M.grid(rows)
  local ratios, worst, below = {}, nil, 0
  for _, row in ipairs(rows) do
    if row.case:find "^conv%." and row.ratio then
      ratios[#ratios + 1] = row.ratio
      if not worst or row.ratio < worst.ratio then worst = row end
      if row.ratio < 0.8 then below = below + 1 end
    end
  end
  if not worst then return nil end
  return {cases = #ratios, geometric_mean = harness.geometric_mean(ratios), least = worst.ratio,
    least_case = worst.case, below = below}
end

-- What is written to the JSON file.
local function report(rows, state)
  local peer = state.peer_for(1)
  local threads, per_thread = {}, {}
  for n in pairs(state.peaks) do threads[#threads + 1] = n end
  table.sort(threads)
  for i, n in ipairs(threads) do per_thread[i] = {threads = n, gflops = state.peaks[n]} end
  return {
    machine = {cpu = first_match("/proc/cpuinfo", "model name%s*:%s*([^\n]+)") or "unknown", cores = cores(),
      load = tonumber(first_match("/proc/loadavg", "^%S+")), peak = json.array(per_thread),
      peak_source = state.peak_source},
    latent = lt._VERSION, isa = lt.info().isa, peer = peer and peer.version or nil,
    compiled = state.o.peer == "compile", date = os.date "!%Y-%m-%dT%H:%M:%SZ",
    conv_grid = M.grid(rows), rows = json.array(rows),
  }
end

--- The cases that the options name.
-- @tparam table o see `options`
-- @treturn {table,...}
function M.selected(o)
  local all, names, list = cases.list(o), {}, {}
  for _, case in ipairs(all) do names[case.name] = true end
  for _, word in ipairs(o.case) do
    local any = false
    for _, case in ipairs(all) do any = any or harness.wants({word}, case.name, names) end
    if not any then fail(("--case: no case is called %s; --list tells their names"):format(word)) end
  end
  for _, case in ipairs(all) do
    if harness.wants(o.case, case.name, names) then list[#list + 1] = case end
  end
  return list
end

-- ---- threads beside each other ----

-- What is asked of more threads where no case is named; with what is to be reached with sixteen: milliseconds, or
-- the efficiency.
local SCALED = {{"ae", ms = 0.70}, {"vae16", ms = 0.80}, {"classifier", ms = 0.45}, {"map.10", ms = 0.15},
  {"map.1000", ms = 2.2}, {"ae.1024", share = 0.75}, {"resnet20", share = 0.75}, {"mlp", share = 0.75}, {"encode"},
  {"lenet"}, {"conv_vae"}, {"mlp_vae"}, {"transformer_mlp"}, {"tiny"}, {"row"}, {"matmul.1024x1024x1024"}, {"parallel"}}

--- The names of the cases that are asked of more threads where none is named.
-- @treturn {string,...}
function M.scaled()
  local names = {}
  for i, entry in ipairs(SCALED) do names[i] = entry[1] end
  return names
end

local function set_scale_target(row)
  if row.threads ~= 16 then return end
  for _, entry in ipairs(SCALED) do
    if entry[1] == row.case and entry.ms then
      row.target_text, row.reached = ("<=%g ms"):format(entry.ms), row.ours_ms <= entry.ms
    elseif entry[1] == row.case and entry.share then
      row.target_text, row.reached = (">=%d%%"):format(100 * entry.share), row.efficiency >= entry.share
    end
  end
end

-- Whether fewer threads were faster, by more than what repetitions differ by.
local function set_slower(rows, row)
  for _, fewer in ipairs(rows) do
    if fewer.threads < row.threads and row.ours_ms > 1.05 * fewer.ours_ms then row.slower_than = fewer.threads end
  end
end

--- Measures a case with several numbers of threads, in turn.
-- @tparam table case
-- @tparam {int,...} counts the first is what the others are compared with
-- @tparam table o `pairs`, `rep`
-- @treturn {table,...} for each: case, threads, ours_ms, speedup, efficiency, and `slower_than`, a number of threads
-- that was faster although it is less
function M.scale(case, counts, o)
  local body, contestants, rows = case.setup(), {}, {}
  for i, threads in ipairs(counts) do contestants[i] = {time = with_threads(body.time, threads), inner = case.inner} end
  local results = harness.measure(contestants, o.pairs, o.rep)
  for i, threads in ipairs(counts) do
    local speedup = results[1].median / results[i].median
    rows[i] = {case = case.name, threads = threads, isa = lt.info().isa, ours_ms = 1e3 * results[i].median,
      ours_all_ms = milliseconds(results[i].all), speedup = speedup, efficiency = speedup * counts[1] / threads}
    if not case.empty then set_slower(rows, rows[i]) end
    set_scale_target(rows[i])
    check_load(rows[i])
  end
  collectgarbage()
  lt.trim()
  return rows
end

local function run_scale(o, list, write)
  local counts, rows = thread_counts(o), {}
  write(("%s, %s, %d cores"):format(lt._VERSION, lt.info().isa, cores()))
  write(harness.scale_line())
  for _, case in ipairs(list) do
    if case.setup and not case.against_one_thread then
      for _, row in ipairs(M.scale(case, counts, o)) do
        rows[#rows + 1] = row
        write(harness.scale_line(row))
      end
    end
  end
  return rows
end

--- Runs what the options ask for.
-- @tparam table o see `options`
-- @tparam function write prints one line
-- @treturn table what is written to the JSON file
function M.run(o, write)
  local list, rows = M.selected(o), {}
  local state = state_of(o)
  if o.scale then return report(run_scale(o, list, write), state) end
  local peer = state.peer_for(1)
  write(("%s, %s; peer: %s"):format(lt._VERSION, lt.info().isa, peer and peer.version or "none"))
  write(harness.head())
  for _, case in ipairs(list) do
    for _, threads in ipairs(threads_of(case, o)) do
      rows[#rows + 1] = M.case(case, threads, state)
      write(harness.line(rows[#rows]))
    end
  end
  local result = report(rows, state)
  local grid = result.conv_grid
  if grid then
    write(("conv grid: %d cases, geometric mean %.2fx, least %.2fx (%s), %d below 0.8x"):format(grid.cases,
      grid.geometric_mean, grid.least, grid.least_case, grid.below))
  end
  for _, p in ipairs(result.machine.peak) do
    write(("peak with %d thread(s): %.0f GFLOP/s (%s)"):format(p.threads, p.gflops, result.machine.peak_source))
  end
  state.close()
  return result
end

--- The whole of it, for the command line.
function M.main(list)
  local o = M.options(list)
  o.lua, o.peak_program = os.getenv "LUA" or o.lua, os.getenv "LATENT_PEAK"
  if #o.case == 1 and o.case[1]:find "^mpi" then return mpi.run(o, print) end
  if o.ablate then
    lt.set_threads(o.threads and o.threads[1] or 1)
    ablate.run(o, print)
    return
  end
  local detailed = #o.case > 0
  if o.scale or o.span then
    o.peer = "none"
    if #o.case == 0 then o.case = M.scaled() end
  end
  local selected = M.selected(o)
  if o.list then
    for _, case in ipairs(selected) do print(case.name) end
    return
  end
  io.stdout:setvbuf "line"
  local result = o.span and report(span.run(selected, o, detailed, print), state_of(o)) or M.run(o, print)
  assert(files.mkdir_p(files.dirname(o.out)))
  assert(files.write_atomic(o.out, json.encode(result, {indent = 2, nan = "null"}) .. "\n"))
  print("written to " .. o.out)
end

return M
