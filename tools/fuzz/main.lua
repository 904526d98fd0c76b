-- `make fuzz`: damaged files for every reader and random programs for every op, for some minutes. The work is done by
-- processes of their own, one after another: one that crashes or hangs is a finding, and the next goes on behind it.
-- What fails is made small and written to a folder, from where it goes into spec/fixtures/fuzz once it is mended.
local arguments = require "tools.arguments"
local files = require "latent.base.files"
local readers = require "tools.fuzz.readers"
local shrink = require "tools.fuzz.shrink"

local SLICE, PATIENCE = 20, 600 -- seconds of a process's work, and how much longer it may take on a busy machine
local TRIES = 400 -- runs that making a failing input small may cost

local function fail(message)
  io.stderr:write(message, "\n")
  os.exit(2)
end

local function parse(words)
  local parser = arguments.parser("fuzz", "Damaged files for every reader, random programs for every op.")
  parser:option("--minutes", "how long"):convert(tonumber):default "1"
  parser:option("--seed", "where the inputs begin; the same seed gives the same inputs (default: by the day)")
    :convert(arguments.whole())
  local known = {"all", "programs", "files"}
  for name in pairs(readers.list) do known[#known + 1] = name end
  table.sort(known)
  parser:option("--what", "part of it, or one reader"):choices(known):default "all"
  parser:option("--folder", "where failing inputs go"):default "build/fuzz"
  parser:option("--replay", "tries the input in this file again")
  local opts = parser:parse(words)
  opts.seed = opts.seed or os.time() // 86400
  return opts
end

-- The interpreter that runs this program, and so its sanitizer.
local LUA = arg[-1] or "lua5.4"

-- Memory that a process may have, where no sanitizer looks after that: no input should take the machine along.
local LIMIT = os.getenv "LATENT_SANITIZE" and "" or "ulimit -v 8000000;"

-- A process of the worker: what it printed, and how it ended ("exit" or "signal", and the number).
local function run_worker(words, seconds, log)
  for i, word in ipairs(words) do words[i] = files.quote(word) end
  local pipe = assert(io.popen(("%s timeout -s KILL %d %s tools/fuzz/worker.lua %s 2>%s"):format(LIMIT, seconds,
    files.quote(LUA), table.concat(words, " "), files.quote(log))))
  local output = pipe:read "a"
  local ok, how, status = pipe:close()
  return output, ok, how, status
end

-- What a process that died said last.
local function last_words(log, how, status)
  local text = files.read_all(log) or ""
  local summary = text:match "ERROR: [^\n]*" or text:match "runtime error: [^\n]*" or text:match "([^\n]*)\n*$" or ""
  return ("the process ended by %s %d: %s"):format(how, status, summary)
end

local function list(folder, prefix)
  local names = {}
  for name in (files.capture("ls -A " .. files.quote(folder)) or ""):gmatch "[^\n]+" do
    if name:sub(1, #prefix) == prefix then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- Whether an input fails in a process of its own.
local function fails_alone(work, kind, bytes)
  local path = ("%s/%s-shrinking%s"):format(work, kind, kind == "program" and ".json" or "")
  assert(files.write_atomic(path, bytes))
  local _, ok = run_worker({"--replay", path}, PATIENCE, work .. "/log")
  os.remove(path)
  return not ok
end

-- Moves a failing input to where it stays, as it was and made small.
local function keep(opts, work, name, problem)
  local plain = name:gsub("^trying%-", ""):gsub("^failed%-", "")
  local kind, bytes = plain:match "^([%w_]+)", assert(files.read_all(work .. "/" .. name))
  assert(files.mkdir_p(opts.folder))
  local path = opts.folder .. "/" .. plain
  assert(files.write_atomic(path, bytes))
  assert(files.write_atomic(path .. ".txt", problem .. "\n"))
  print(("FAIL %s: %s"):format(path, problem))
  local function fails(candidate) return fails_alone(work, kind, candidate) end
  if fails(bytes) then
    local small = kind == "program" and shrink.program(bytes, fails) or shrink.bytes(bytes, fails, TRIES)
    local ending = kind == "program" and ".json" or ""
    local small_path = ("%s/%s-small%s"):format(opts.folder, plain:gsub("%.json$", ""), ending)
    assert(files.write_atomic(small_path, small))
    print(("     made small: %s (%d bytes of %d)"):format(small_path, #small, #bytes))
  else
    print "     it does not fail alone: what came before it matters"
  end
end

-- One process's worth of work from input `first` on. @return the next input's number
local function slice(opts, work, first, seconds, totals)
  local words = {work, tostring(opts.seed), tostring(first), tostring(seconds), opts.what}
  local output, ok, how, status = run_worker(words, seconds + PATIENCE, work .. "/log")
  local next_index, counts = output:match "done (%d+) (.*)"
  for count, name in (counts or ""):gmatch "(%d+) (%a+)" do totals[name] = totals[name] + tonumber(count) end
  local trying = list(work, "trying-")[1]
  if not ok and not trying then fail(last_words(work .. "/log", how, status)) end
  if not ok then
    totals.failed = totals.failed + 1
    keep(opts, work, trying, last_words(work .. "/log", how, status))
    os.remove(work .. "/" .. trying)
    next_index = trying:match "(%d+)%.?%a*$" + 1
  end
  for _, name in ipairs(list(work, "failed-")) do
    local path = work .. "/" .. name
    local input, problem = name:match "^(.*)%.txt$", files.read_all(path)
    if input and files.exists(work .. "/" .. input) then
      keep(opts, work, input, (problem:gsub("\n$", "")))
    elseif input then
      io.write("FAIL ", problem) -- of no single input
    end
  end
  for _, name in ipairs(list(work, "failed-")) do os.remove(work .. "/" .. name) end
  return math.tointeger(tonumber(next_index))
end

local opts = parse(arg)
if opts.replay then
  local output, ok = run_worker({"--replay", opts.replay}, PATIENCE, "/dev/stderr")
  io.write(output)
  os.exit(ok == true)
end

local work = os.tmpname()
os.remove(work)
assert(files.mkdir_p(work))
local totals = {files = 0, programs = 0, unsure = 0, failed = 0}
local start, stop, index = os.time(), os.time() + math.ceil(60 * opts.minutes), 0
repeat
  index = slice(opts, work, index, math.max(math.min(SLICE, stop - os.time()), 1), totals)
until os.time() >= stop
files.capture("rm -rf -- " .. files.quote(work))
print(("%d files, %d programs (%d of them too sensitive to compare) in %d s under seed %d: %d failed"):format(
  totals.files, totals.programs, totals.unsure, os.time() - start, opts.seed, totals.failed))
os.exit(totals.failed == 0, true)
