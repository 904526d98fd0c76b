--- How far a case can scale, shown on any machine: its work, and what of it no number of threads makes shorter. One
-- thread runs every parallel region chunk by chunk and times each; then threads are dealt those chunks as
-- c/base/parallel.c deals them. (Where work is cut for the number of threads, it is for those that are asked about.)
-- What this leaves out is what only that many processors show: memory and caches that they share, and clocks.
-- `make bench ARGS="--span"`.
local core, lt = require "latent.core", require "latent"
local harness = require "bench.harness"

local M = {}

-- A region on more than one thread costs about that beside its chunks: waking, the last one's end.
local REGION_COST = 5e-6

--- When the last chunk ends: each thread takes from the front of its own equal part and, where that is empty, from the
-- back of those of the threads after it.
-- @tparam {number,...} chunks the seconds of each
-- @tparam int threads
-- @treturn number seconds
function M.makespan(chunks, threads)
  local count = math.min(threads, #chunks)
  local first, last, free = {}, {}, {}
  for t = 1, count do
    first[t], last[t], free[t] = #chunks * (t - 1) // count + 1, #chunks * t // count, 0
  end
  local function claim(thread)
    if first[thread] <= last[thread] then
      first[thread] = first[thread] + 1
      return first[thread] - 1
    end
    for i = 1, count - 1 do
      local of = (thread - 1 + i) % count + 1
      if first[of] <= last[of] then
        last[of] = last[of] - 1
        return last[of] + 1
      end
    end
  end
  for _ = 1, #chunks do
    local soonest = 1
    for t = 2, count do if free[t] < free[soonest] then soonest = t end end
    free[soonest] = free[soonest] + chunks[claim(soonest)]
  end
  return math.max(0, table.unpack(free))
end

local function sum(list)
  local total = 0
  for _, value in ipairs(list) do total = total + value end
  return total
end

local function key_of(of) return of.name and (of.name .. " " .. of.kind) or "elsewhere (Lua, data)" end

-- One iteration, watched: its regions, the seconds of all of it, and by op those of the whole op.
local function watched(once)
  core.profile_start()
  core.regions_start()
  local start = core.clock()
  local ok, message = pcall(once)
  local seconds = core.clock() - start
  local regions, chunks = core.regions_stop()
  local rows = core.profile_stop()
  if not ok then error(message, 0) end
  return {regions = regions, chunks = chunks, seconds = seconds, rows = rows}
end

-- The regions as lists of their chunks' seconds, and those of whole ops by name.
local function unpacked(run)
  local at, ops = 1, {}
  for _, region in ipairs(run.regions) do
    for k = 1, region.chunks do region[k], at = ("f"):unpack(run.chunks, at) end
  end
  for _, row in ipairs(run.rows) do ops[key_of(row)] = (ops[key_of(row)] or 0) + row.seconds end
  run.ops, run.chunks = ops, nil
  return run
end

-- Whether two iterations were made of the same regions.
local function alike(a, b)
  if #a.regions ~= #b.regions then return false end
  for i, region in ipairs(a.regions) do
    if #region ~= #b.regions[i] or key_of(region) ~= key_of(b.regions[i]) then return false end
  end
  return true
end

-- What an op took outside its regions.
local function outside(run)
  local seconds, inside, all = {}, {}, 0
  for _, region in ipairs(run.regions) do
    inside[key_of(region)] = (inside[key_of(region)] or 0) + region.seconds
  end
  for key, own in pairs(run.ops) do
    seconds[key] = math.max(0, own - (inside[key] or 0))
    all = all + own
  end
  local rest = key_of{}
  seconds[rest] = math.max(0, run.seconds - all - (inside[rest] or 0))
  return seconds
end

-- Several iterations as one: of each chunk the least, of what is outside regions the median.
local function united(runs)
  local regions, parts, serial = {}, {}, {}
  for i, region in ipairs(runs[1].regions) do
    regions[i] = {name = region.name, kind = region.kind}
    for k = 1, #region do
      local least = math.huge
      for _, run in ipairs(runs) do least = math.min(least, run.regions[i][k]) end
      regions[i][k] = least
    end
  end
  for _, run in ipairs(runs) do
    for key, seconds in pairs(outside(run)) do
      parts[key] = parts[key] or {}
      table.insert(parts[key], seconds)
    end
  end
  for key, list in pairs(parts) do serial[key] = harness.median(list) end
  return regions, serial
end

--- Watches a function as it is cut for a number of threads; one runs it.
-- @tparam function once an iteration
-- @tparam int count iterations that are united
-- @tparam int threads
-- @treturn {table,...} regions in their order: the seconds of the chunks, `name` and `kind` of the op
-- @treturn table seconds outside regions, by op
function M.watch(once, count, threads)
  lt.set_threads(threads)
  local runs
  for _ = 1, 3 do once() end
  for _ = 1, 10 do -- now and then an iteration is another one: an image set that began anew
    runs = {watched(once)}
    for i = 2, count do runs[i] = watched(once) end
    for _, run in ipairs(runs) do unpacked(run) end
    local same = true
    for i = 2, count do same = same and alike(runs[1], runs[i]) end
    if same then return united(runs) end
  end
  error("--span: no two iterations are made of the same parallel regions", 0)
end

--- The least time of an iteration.
-- @tparam {table,...} regions
-- @tparam table serial seconds outside them, by op
-- @tparam int threads
-- @tparam number cost of a region of several chunks, seconds
-- @treturn number seconds
function M.predict(regions, serial, threads, cost)
  local seconds = 0
  for _, own in pairs(serial) do seconds = seconds + own end
  for _, region in ipairs(regions) do
    seconds = seconds + M.makespan(region, threads) + (threads > 1 and #region > 1 and cost or 0)
  end
  return seconds
end

-- What each op takes on one thread and on several, those first that lose most against an equal share.
local function losses(regions, serial, threads)
  local rows, by_key = {}, {}
  local function row(key)
    if not by_key[key] then
      by_key[key] = {op = key, alone = 0, outside = 0, shared = 0, regions = 0, longest = 0}
      rows[#rows + 1] = by_key[key]
    end
    return by_key[key]
  end
  for key, seconds in pairs(serial) do
    local r = row(key)
    r.alone, r.outside, r.shared = seconds, seconds, seconds
  end
  for _, region in ipairs(regions) do
    local r = row(key_of(region))
    local seconds = M.makespan(region, threads)
    r.alone, r.shared, r.regions = r.alone + sum(region), r.shared + seconds, r.regions + 1
    r.fewest = math.min(r.fewest or math.huge, #region)
    r.longest = math.max(r.longest, table.unpack(region))
  end
  for _, r in ipairs(rows) do r.lost = r.shared - r.alone / threads end
  table.sort(rows, function(a, b) return a.lost > b.lost end)
  return rows
end

local LINE = "%-22s %7s %10s %10s %8s %10s %6s %10s %6s"
local OP = "  %-34s %9s %9s %8s %8s %9s %9s %9s"

local function us(seconds) return ("%.1f"):format(1e6 * seconds) end
local function ms(seconds) return ("%.4g"):format(1e3 * seconds) end
local function percent(share) return ("%.0f%%"):format(100 * share) end

local function write_losses(rows, threads, write)
  write(OP:format("us; limits with " .. threads .. " threads", "alone", "outside", "regions", "chunks >", "longest",
    "shared", "lost"))
  for i = 1, math.min(5, #rows) do
    local r = rows[i]
    write(OP:format(r.op, us(r.alone), us(r.outside), r.regions, r.fewest or "-", us(r.longest), us(r.shared),
      us(r.lost)))
  end
end

--- Measures a case and tells what numbers of threads can make of it.
-- @tparam table case
-- @tparam table o `pairs` (iterations that are united), `threads`
-- @treturn {table,...} a row for each number: case, threads, work_ms, outside_ms, regions, ms and efficiency, both
-- also with a cost of each region (`paid_ms`, `paid_efficiency`), and `losses` by op
function M.case(case, o)
  local body, rows, work, out = case.setup(), {}, nil, 0
  for _, threads in ipairs{1, table.unpack(o.threads or {2, 4, 8, 16, 64})} do
    local regions, serial = M.watch(body.once, o.pairs, threads)
    if not work then
      work = M.predict(regions, serial, 1, 0)
      for _, seconds in pairs(serial) do out = out + seconds end
    else
      local least, paid = M.predict(regions, serial, threads, 0), M.predict(regions, serial, threads, REGION_COST)
      rows[#rows + 1] = {case = case.name, threads = threads, isa = lt.info().isa, work_ms = 1e3 * work,
        outside_ms = 1e3 * out, regions = #regions, ms = 1e3 * least, efficiency = work / least / threads,
        paid_ms = 1e3 * paid, paid_efficiency = work / paid / threads, losses = losses(regions, serial, threads)}
    end
  end
  collectgarbage()
  lt.trim()
  return rows
end

--- Runs the cases.
-- @tparam {table,...} cases
-- @tparam table o
-- @tparam boolean detailed tell what limits each
-- @tparam function write prints a line
-- @treturn {table,...} all rows
function M.run(cases, o, detailed, write)
  local threads, all = lt.info().threads, {}
  write(("%s, %s; ms, least possible, and with %g us for each region"):format(lt._VERSION, lt.info().isa,
    1e6 * REGION_COST))
  write(LINE:format("case", "threads", "work", "outside", "regions", "least", "", "with", ""))
  for _, case in ipairs(cases) do
    local rows = case.setup and not case.against_one_thread and not case.alone and M.case(case, o) or {}
    for _, r in ipairs(rows) do
      all[#all + 1] = r
      write(LINE:format(r.case, r.threads, ms(r.work_ms / 1e3), ms(r.outside_ms / 1e3), r.regions, ms(r.ms / 1e3),
        percent(r.efficiency), ms(r.paid_ms / 1e3), percent(r.paid_efficiency)))
      if detailed then write_losses(r.losses, r.threads, write) end
    end
  end
  lt.set_threads(threads)
  return all
end

return M
