--- `--case mpi`: a training step on two ranks of one thread, beside one process of two threads, one of one thread, and
-- PyTorch's DistributedDataParallel with two processes; each a program of its own, in turn.
local files, json = require "latent.base.files", require "latent.json"
local peers = require "bench.peer"

local M = {}

local MPIRUN = "mpirun --allow-run-as-root --oversubscribe --bind-to none -n 2"
-- Steps of a stretch, of which each contestant makes five; the peer, which is slower, fewer.
local CASES = {{"ae", 64, 100}, {"ae", 1024, 8}, {"resnet20", 64, 4}, {"resnet20", 1024, 1}}
local OURS = {
  {"one", "", "1 %d"}, {"threads", "", "2 %d"}, {"ranks", MPIRUN, "1 %d 2"}, {"any", MPIRUN, "1 %d 2 any"},
  {"parts", MPIRUN, "1 %d 8"}, {"parts alone", "", "1 %d 8"},
}

local function median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return sorted[(#sorted + 1) // 2]
end

local function milliseconds(command)
  local text = files.capture(command .. " 2>/dev/null")
  return text and tonumber(text:match "([%d.]+)%s*$")
end

-- The contestants of one case: names and commands.
local function contestants(o, name, batch, steps)
  local list = {}
  for _, own in ipairs(OURS) do
    list[#list + 1] = {own[1], ("%s %s %smpi_step.lua %s %d " .. own[3]):format(own[2], files.quote(o.lua), o.folder,
      name, batch, steps)}
  end
  local python = o.peer ~= "none" and peers.find "torch"
  if python then
    list[#list + 1] = {"ddp", ("cd %s && %s peer_ddp.py %s %d %d"):format(files.quote(o.folder), files.quote(python),
      name, batch, math.max(1, steps // 20))}
  end
  return list
end

-- All contestants in turn, so many times: a row with their medians, and what it says.
local function measure(title, list, rounds)
  local times, texts = {}, {}
  for _ = 1, rounds do
    for _, one in ipairs(list) do
      times[one[1]] = times[one[1]] or {}
      table.insert(times[one[1]], milliseconds(one[2]) or nil)
    end
  end
  local row = {case = title, load = tonumber((files.capture "cat /proc/loadavg" or ""):match "^%S+")}
  for _, one in ipairs(list) do
    local found = times[one[1]]
    row[one[1]] = #found > 0 and median(found) or nil
    texts[#texts + 1] = ("%s %s"):format(one[1], row[one[1]] and ("%.2f ms"):format(row[one[1]]) or "failed")
  end
  if row.ranks and row.threads then texts[#texts + 1] = ("ranks/threads %.2f"):format(row.ranks / row.threads) end
  if row.ranks and row.ddp then texts[#texts + 1] = ("ddp/ranks %.1f"):format(row.ddp / row.ranks) end
  row.text = table.concat(texts, "  ")
  return row
end

--- Measures and prints.
-- @tparam table o options of bench.run
-- @tparam function say
-- @treturn {table,...} a row for each case: milliseconds by contestant
function M.run(o, say)
  if not files.has_program "mpirun" or not package.searchpath("latent.mpicore", package.cpath) then
    say "mpi: there is no MPI here (libopenmpi-dev, openmpi-bin)"
    return {}
  end
  local rows = {}
  for _, case in ipairs(CASES) do
    local name, batch, steps = table.unpack(case)
    local title = ("mpi.%s.%d"):format(name, batch)
    if title:sub(1, #o.case[1]) == o.case[1] then
      local row = measure(title, contestants(o, name, batch, steps), o.pairs)
      say(("%-18s %s"):format(title, row.text))
      row.text, rows[#rows + 1] = nil, row
    end
  end
  if o.out then
    local path = o.out:gsub("%.json$", "") .. "-mpi.json"
    assert(files.mkdir_p(files.dirname(path)))
    assert(files.write_atomic(path, json.encode(rows, {indent = 2})))
    say("written to " .. path)
  end
  return rows
end

return M
