--- Lets allocations fail, one in each run of a case: the n-th that the core makes, and the n-th of Lua's own
-- allocator, for every n. Each time: an error that speaks of memory, or the same result as ever; then the same case
-- again, with the same bits; and nothing leaked: tensors' bytes, the core's blocks, open files, files left behind.
-- The script starts itself once more, with build/faults/allocations.so preloaded.
local core = require "latent.core"
local lt = require "latent"
local files = require "latent.base.files"
local moment = require "spec.support.moment"

local SHIM = files.capture "pwd" .. "/build/faults/allocations.so"
local STARTED = "LATENT_FAULTS_STARTED"

local USAGE = [[
usage: allocations.lua [--all] [--seed N] [--case PATTERN]
  --all     every allocation of every case; otherwise a slice of them
  --seed N  which slice (1)
  --case P  the cases whose name has the Lua pattern P]]

local SLICE = 61 -- of the allocations of a slice's cases, each so-many-th
local LUA_TRIES = 2 -- Lua asks again after a collection

local function read_arguments(list)
  local opts, i = {seed = 1}, 1
  while list[i] do
    local name, value = list[i], list[i + 1]
    if name == "--all" then
      opts.all, i = true, i + 1
    elseif name == "--seed" and math.tointeger(tonumber(value)) then
      opts.seed, i = math.tointeger(tonumber(value)), i + 2
    elseif name == "--case" and value then
      opts.case, i = value, i + 2
    else
      io.stderr:write(USAGE, "\n")
      os.exit(2)
    end
  end
  return opts
end

local opts = read_arguments(arg)
if not os.getenv(STARTED) then
  local words = {}
  for i = -1, #arg do words[#words + 1] = files.quote(arg[i]) end
  local ok, how, status = os.execute(("%s=yes LD_PRELOAD=%s %s"):format(STARTED, files.quote(SHIM),
    table.concat(words, " ")))
  os.exit(ok or how == "exit" and status or 1, true)
end

local shim = assert(package.loadlib(SHIM, "luaopen_allocations"))()

-- ---- what there is before and after ----

local folder = assert(files.capture "mktemp -d")

local function listing() return files.capture("ls -A " .. files.quote(folder)) or "" end

-- Once this process reads: the end of the pipe that the shell writes into is closed here only after it has begun.
local function open_files()
  collectgarbage()
  return tonumber((files.capture(moment.asleep(core.pid()) .. "ls /proc/" .. core.pid() .. "/fd | wc -l")))
end

local function state()
  collectgarbage()
  collectgarbage() -- what a finaliser let go
  lt.trim()
  return {tensors = lt.info().live_bytes, blocks = shim.live(), lua = collectgarbage "count"}
end

-- Empties the folder, for a case that writes.
local function clear(case)
  local within = files.quote(folder)
  if case.writes then files.capture(("rm -rf -- %s/* %s/.[!.]*"):format(within, within)) end
end

-- ---- one failing run ----

local KINDS = {core = 1, lua = LUA_TRIES}

-- Runs the case with the n-th allocation of a kind failing. Gives what pcall gave, and whether there were so many.
local function run_failing(case, kind, n)
  clear(case)
  collectgarbage "stop" -- the same allocations each time
  shim.arm(kind, n, KINDS[kind])
  local ok, result, message = pcall(case.run, folder)
  local of_core, of_lua = shim.disarm()
  collectgarbage "restart"
  return ok, result, message, (kind == "core" and of_core or of_lua) >= n
end

local function speaks_of_memory(text)
  text = tostring(text)
  return text:find "memory" and not text:lower():find "damaged" and not text:find "does not fit"
end

-- What is wrong with the outcome of a failing run, or nil.
local function judge(case, ok, result, message)
  if not ok then return not speaks_of_memory(result) and "raised: " .. tostring(result) end
  if result == nil then return not speaks_of_memory(message) and "said: " .. tostring(message) end
  return result ~= case.result and "another result, and no word"
end

-- What is wrong with the library afterwards, or nil.
local function judge_after(case)
  if not lt.is_recording() then return "recording is off" end
  collectgarbage() -- what was cut off in the middle is cleared up by its finalisers
  if case.writes then
    for name in listing():gmatch "[^\n]+" do
      if name:find "tmp" then return "left behind: " .. name end
    end
  end
  clear(case)
  local ok, result, message = pcall(case.run, folder)
  if not ok then return "raises afterwards: " .. tostring(result) end
  if result ~= case.result then return "another result afterwards" .. (message and ": " .. message or "") end
  local now = state()
  for _, what in ipairs{"tensors", "blocks"} do
    local more = now[what] - case.before[what]
    if more ~= 0 then return ("leaked: %s: %d"):format(what, more) end
  end
end

-- ---- all of them ----

local counts, faults = {core = 0, lua = 0, cases = 0}, 0

local function report(case, kind, n, text)
  faults = faults + 1
  print(("%s: allocation %d of %s: %s"):format(case.name, n, kind, text))
end

-- The first n, and the step to the next.
local function steps()
  if opts.all then return 1, 1 end
  return math.random(SLICE), SLICE
end

-- Starves the case of each allocation in turn. Gives by how many kB Lua's memory has grown.
local function starve(case)
  case.before = state()
  for _, kind in ipairs{"core", "lua"} do
    local n, step = steps()
    while true do
      local ok, result, message, failed = run_failing(case, kind, n)
      if not failed then break end
      counts[kind] = counts[kind] + 1
      local wrong = judge(case, ok, result, message)
      lt.set_threads(2) -- a thread that could not be started lowers the number
      wrong = wrong or judge_after(case)
      if wrong then
        report(case, kind, n, wrong)
        case.before = state()
      end
      n = n + step
    end
  end
  return state().lua - case.before.lua
end

local function try_case(case)
  lt.set_threads(2)
  for _ = 1, 2 do -- what is made once and kept
    clear(case)
    case.result = assert(case.run(folder))
  end
  -- Registry, caches, closures that nothing lets go: a little of each failing run. Lua's table of strings grows
  -- as much at once when it doubles, but not a second time.
  local grown = starve(case)
  if grown > 64 then grown = starve(case) end
  if grown > 64 then report(case, "lua", 0, ("%.0f kB of Lua's memory leaked"):format(grown)) end
  counts.cases = counts.cases + 1
end

local function main()
  io.stdout:setvbuf "line"
  math.randomseed(opts.seed)
  local handles = open_files()
  for _, case in ipairs(require "tools.faults.cases".all()) do
    if not opts.case or case.name:find(opts.case) then try_case(case) end
  end
  local more = open_files() - handles
  if more > 0 then
    faults = faults + 1
    print(("%d files left open"):format(more))
  end
  files.capture("rm -rf -- " .. files.quote(folder))
  print(("allocations: %d of the core and %d of Lua failed, in %d cases; %d faults"):format(counts.core, counts.lua,
    counts.cases, faults))
  os.exit(faults == 0 and counts.cases > 0)
end

main()
