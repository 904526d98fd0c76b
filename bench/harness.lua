--- How the benchmarks measure: medians over pairs of repetitions, ours and the peer's in turn, so that
-- a busy moment of the machine meets both.
local core = require "latent.core"

local M = {}

--- The median of a list of numbers, which stays as it is.
function M.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local n = #sorted
  if n == 0 then return nil end
  return n % 2 == 1 and sorted[(n + 1) // 2] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
end

--- The geometric mean of a list of positive numbers.
function M.geometric_mean(list)
  local sum = 0
  for _, value in ipairs(list) do sum = sum + math.log(value) end
  return #list > 0 and math.exp(sum / #list) or nil
end

--- Makes a timer of a function: seconds for n calls.
function M.timer(once)
  return function(n)
    local start = core.clock()
    for _ = 1, n do once() end
    return core.clock() - start
  end
end

--- How many iterations make a repetition of about `seconds`.
-- @tparam function time n -> seconds of n iterations; its first calls warm up
function M.calibrate(time, seconds)
  local n = 1
  time(1)
  while true do
    local spent = time(n)
    if spent >= seconds / 4 or n >= 1 << 20 then
      return math.max(1, math.floor(n * seconds / math.max(spent, 1e-9) + 0.5))
    end
    n = n * 4
  end
end

--- Times several contestants in turn.
-- @tparam {table,...} contestants each with `time` (n -> seconds of n iterations) and, where the number of
-- iterations is fixed, `inner`
-- @tparam int pairs rounds
-- @tparam number seconds of a repetition, about
-- @treturn {table,...} for each contestant `median` (seconds of one iteration), `all`, `inner`
function M.measure(contestants, pairs, seconds)
  local results = {}
  for i, c in ipairs(contestants) do
    results[i] = {inner = c.inner or M.calibrate(c.time, seconds), all = {}}
  end
  for round = 1, pairs do
    for i, c in ipairs(contestants) do
      results[i].all[round] = c.time(results[i].inner) / results[i].inner
    end
  end
  for _, result in ipairs(results) do result.median = M.median(result.all) end
  return results
end

local function number(value, format) return value and format:format(value) or "-" end

local LINE = "%-30s %7s %11s %11s %8s %8s %9s %6s"

--- The head of the printed table.
function M.head() return LINE:format("case", "threads", "ours", "peer", "ratio", "target", "GFLOP/s", "peak") end

--- A row of the printed table: see `run.lua` for its fields.
function M.line(row)
  local unit = row.ours_mb and "MB" or "ms"
  local ours, peer = row.ours_mb or row.ours_ms, row.peer_mb or row.peer_ms
  local amount = unit == "MB" and "%.0f MB" or "%.4g ms"
  local text = LINE:format(row.case, row.threads, number(ours, amount), number(peer, amount),
    number(row.ratio, "%.2fx"), row.target_text or "", number(row.gflops, "%.1f"),
    row.peak_share and ("%.0f%%"):format(100 * row.peak_share) or "-")
  if row.reached == false then text = text .. "  missed" end
  if row.busy then text = text .. ("  busy machine, load %.1f"):format(row.load) end
  if row.note then text = text .. "  (" .. row.note .. ")" end
  return text
end

local SCALE = "%-30s %7s %11s %9s %11s %9s"

--- A row of the table of threads, or, without one, its head.
function M.scale_line(row)
  if not row then return SCALE:format("case", "threads", "ours", "speed-up", "efficiency", "target") end
  local text = SCALE:format(row.case, row.threads, ("%.4g ms"):format(row.ours_ms), ("%.2fx"):format(row.speedup),
    ("%.0f%%"):format(100 * row.efficiency), row.target_text or ""):gsub(" +$", "")
  if row.reached == false then text = text .. "  missed" end
  if row.slower_than then text = text .. ("  slower than with %d"):format(row.slower_than) end
  if row.busy then text = text .. ("  busy machine, load %.1f"):format(row.load) end
  return text
end

--- Whether a case is asked for: by its name, by the first words of names (`conv` for `conv.*`) where no
-- case has just that name, or by a pattern with `*`.
-- @tparam {string,...} wanted empty for all
-- @tparam string name
-- @tparam table names set of all names
function M.wants(wanted, name, names)
  if #wanted == 0 then return true end
  for _, word in ipairs(wanted) do
    if word:find("*", 1, true) then
      local pattern = word:gsub("[^%w*]", "%%%0"):gsub("%*", ".*")
      if name:find("^" .. pattern .. "$") then return true end
    elseif name == word or not names[word] and name:sub(1, #word + 1) == word .. "." then
      return true
    end
  end
  return false
end

return M
