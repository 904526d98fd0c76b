--- The table of a run, and the lists below it.
local M = {}

local SHOWN = 6 -- failures and roundings of one operator
local REASONS = 12 -- of the inexpressible

local function tally() return {samples = 0, run = 0, passed = 0, rounding = 0, failed = 0, refused = 0,
  inexpressible = 0, large = 0, worst = 0} end

local RAN = {passed = true, rounding = true, failed = true}

local function count(row, result)
  row.samples = row.samples + 1
  row[result.verdict] = row[result.verdict] + 1
  if not RAN[result.verdict] then return end
  row.run = row.run + 1
  if result.verdict == "passed" then row.worst = math.max(row.worst, result.error) end
end

--- Counts results by operator, by set and in total.
-- @tparam {table,...} results
-- @treturn table `total`, and the lists `ops` and `sets` of rows with their `name`
function M.count(results)
  local counts = {total = tally(), ops = {}, sets = {}}
  local function row(list, name)
    if not list[name] then
      list[name] = tally()
      list[name].name = name
      list[#list + 1] = list[name]
    end
    return list[name]
  end
  for _, result in ipairs(results) do
    count(counts.total, result)
    count(row(counts.ops, result.op), result)
    count(row(counts.sets, result.set), result)
  end
  table.sort(counts.ops, function(a, b) return a.name < b.name end)
  return counts
end

local HEAD = ("%-46s %7s %7s %7s %8s %6s %7s %13s %5s  %s"):format("operator", "samples", "run", "passed", "rounding",
  "failed", "refused", "inexpressible", "large", "worst")

local function line(name, row)
  return ("%-46s %7d %7d %7d %8d %6d %7d %13d %5d  %.1e"):format(name, row.samples, row.run, row.passed, row.rounding,
    row.failed, row.refused, row.inexpressible, row.large, row.worst)
end

-- {text, n} by descending n of a key of the results with this verdict.
local function commonest(results, verdict, key)
  local counts, list = {}, {}
  for _, result in ipairs(results) do
    if result.verdict == verdict then
      local text = key(result)
      if not counts[text] then list[#list + 1] = text end
      counts[text] = (counts[text] or 0) + 1
    end
  end
  table.sort(list, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  for i, text in ipairs(list) do list[i] = {text, counts[text]} end
  return list
end

local function write_counts(write, title, list, limit)
  if #list == 0 then return end
  write("\n" .. title)
  local rest = 0
  for i, item in ipairs(list) do
    if i <= limit then write(("%7d  %s"):format(item[2], item[1])) else rest = rest + item[2] end
  end
  if rest > 0 then write(("%7d  for other reasons"):format(rest)) end
end

local function write_cases(write, title, results, verdict)
  local seen, ops = {}, {}
  for _, result in ipairs(results) do
    if result.verdict == verdict then
      if #ops == 0 then write("\n" .. title) end
      if not seen[result.op] then ops[#ops + 1] = result.op end
      seen[result.op] = (seen[result.op] or 0) + 1
      if seen[result.op] <= SHOWN then
        write(("  %s %s %s  %s\n      %s  %s"):format(result.set, result.op, result.sample.case, result.text,
          result.sample.code, result.sample.desc))
      end
    end
  end
  for _, op in ipairs(ops) do
    if seen[op] > SHOWN then write(("  %s: %d more"):format(op, seen[op] - SHOWN)) end
  end
end

local ENOUGH = 0.95 -- of an operator's samples

-- The share of an operator's samples that can be expressed, of those that are not too large.
local function expressible(row)
  local tried = row.samples - row.large
  return tried == 0 and 1 or (tried - row.inexpressible) / tried
end

-- The operators of which too little can be expressed, each with its reasons.
local function write_poor(write, results, counts, reason)
  local poor, of = {}, {}
  for _, row in ipairs(counts.ops) do
    if expressible(row) < ENOUGH then poor[#poor + 1], of[row.name] = row, {} end
  end
  write(("\n%d operators, of %d of them at least %g %% can be expressed%s"):format(#counts.ops, #counts.ops - #poor,
    100 * ENOUGH, #poor > 0 and ", but of" or ""))
  for _, result in ipairs(results) do
    if of[result.op] then table.insert(of[result.op], result) end
  end
  for _, row in ipairs(poor) do
    local reasons = {}
    for i, item in ipairs(commonest(of[row.name], "inexpressible", reason)) do reasons[i] = item[1] end
    write(("  %-46s %5.1f %%  %s"):format(row.name, 100 * expressible(row), table.concat(reasons, "; ")))
  end
end

--- Writes the report.
-- @tparam {table,...} results
-- @tparam function write prints one line
-- @treturn table the total
function M.write(results, write)
  local counts = M.count(results)
  write(HEAD)
  for _, row in ipairs(counts.ops) do write(line(row.name, row)) end
  for _, row in ipairs(counts.sets) do write(line("set " .. row.name, row)) end
  local reason = function(result) return (result.text:gsub("^(PyTorch raised: [%w_]+).*", "%1")) end
  write_counts(write, "inexpressible:", commonest(results, "inexpressible", reason), REASONS)
  write_poor(write, results, counts, reason)
  write_counts(write, "refused, as is meant:", commonest(results, "refused", function(r) return r.text end), math.huge)
  write_cases(write, "passed by rounding (PyTorch's float32 is no nearer):", results, "rounding")
  write_cases(write, "failed:", results, "failed")
  write ""
  write(line("total", counts.total))
  return counts.total
end

return M
