--- Runs the specs in several Busted processes, a file each and so many at a time, and says what they found as one
-- Busted would. What stands behind `--` is handed on to each of them.
--   lua5.4 tools/test.lua                                        all, a process a processor
--   lua5.4 tools/test.lua --jobs 4 spec/ops_spec.lua spec/web -- --exclude-tags=slow
local term = require "term"
local arguments, core, files = require "tools.arguments", require "latent.core", require "latent.base.files"
local scratch = require "spec.support.scratch"

local quote = files.quote
local SIGNALS = 64 -- that there are; a shell adds 128 to the one that ended a process
local PATIENCE = 20 -- tenths of a second that what is interrupted has to end by itself

local function quoted(list)
  local words = {}
  for i, word in ipairs(list) do words[i] = quote(word) end
  return table.concat(words, " ")
end

-- The files that end in _spec.lua, the largest first: a long one that comes last keeps processors waiting.
local function find(places)
  local found, message = files.capture("find " .. quoted(places) .. " -name '*_spec.lua'")
  if not found or found == "" then return nil, message or "no specs in " .. table.concat(places, ", ") end
  local list, sizes = {}, {}
  for path in found:gmatch "[^\n]+" do
    if not sizes[path] then list[#list + 1] = path end -- asked for twice
    sizes[path] = #assert(files.read_all(path))
  end
  table.sort(list, function(a, b) return sizes[a] > sizes[b] or sizes[a] == sizes[b] and a < b end)
  return list
end

-- As many as there is memory for, where the system tells how much is free.
local function fitting(jobs, gigabytes)
  local free = (files.read_all "/proc/meminfo" or ""):match "MemAvailable: *(%d+) kB"
  return free and math.max(1, math.min(jobs, tonumber(free) // (gigabytes * 1e6) // 1 | 0)) or jobs
end

-- Busted by the words before the files; where it tells how far it came, or "".
local function command_of(place, options)
  return quoted{arg[-1], (arg[0]:gsub("test%.lua$", "busted.lua")), place, "--ignore-lua", table.unpack(options)}
end

-- Starts a shell for each file, so many at a time; it tells the file's number and how Busted ended. They are a session
-- of their own: with it ends whatever they started.
-- @return a pipe of what they tell, and the session
local function start(list, command, folder, jobs)
  local lines = {}
  for i, path in ipairs(list) do
    lines[i] = ("exec 3>&1 >%s/%d 2>&1; %s %s 3>&-; echo %d $? >&3\0"):format(quote(folder), i, command, quote(path), i)
  end
  files.save(folder .. "/list", table.concat(lines))
  local pipe = assert(io.popen(("exec $(command -v setsid) sh -c 'echo $$; exec xargs -0 -n 1 -P %d sh -c' <%s/list")
    :format(jobs, quote(folder))))
  return pipe, tonumber(pipe:read "l")
end

local function stop(pipe, session)
  files.capture("kill -s TERM -- -" .. session)
  pipe:close()
  files.capture(([[s=%d; trap '' INT TERM HUP; exec 2>/dev/null
    for _ in $(seq %d); do kill -s 0 -- -$s || exit 0; sleep 0.1; done
    kill -s KILL -- -$s]]):format(session, PATIENCE))
end

-- What Busted printed: its dots, its four numbers, and what it says of them.
local function read_said(said)
  for from, line, behind in said:gmatch "()([^\n]*)\n()" do
    local good, bad, wrong, pending = line:gsub("\27%[[%d;]*m", ""):match
      "^(%d+) success%l* / (%d+) failures? / (%d+) errors? / (%d+) pending : [%d.]+ seconds$"
    if good then
      local numbers = {tonumber(good), tonumber(bad), tonumber(wrong), tonumber(pending)}
      return said:sub(1, from - 1):gsub("\n$", ""), numbers, said:sub(behind)
    end
  end
end

-- How a process ended, by its status as a shell tells it; nil where it was not brought to its end.
local function ending(status)
  if not status then return "did not end" end
  local signal = status - 128
  return signal >= 1 and signal <= SIGNALS and "ended by signal " .. signal or "ended with exit status " .. status
end

-- What one file came to. `status` as a shell tells it; nil where the file was not brought to its end.
local function result_of(path, said, status)
  local dots, numbers, text = read_said(said)
  local failed = numbers and numbers[2] + numbers[3] > 0
  if numbers and status == (failed and 1 or 0) then
    return {dots = dots, numbers = numbers, text = text, failed = failed}
  end
  numbers = numbers or {0, 0, 0, 0}
  numbers[3] = numbers[3] + 1
  return {dots = (dots or "") .. "*", numbers = numbers, failed = true,
    text = ("\nError -> %s\nBusted %s, having said:\n%s"):format(path, ending(status), said)}
end

local function counted(n, one, more) return n .. " " .. (n == 1 and one or more) end

-- Says what the files came to: what failed last, where one looks. @return whether nothing did
local function conclude(results, seconds)
  local sums, quiet, loud = {0, 0, 0, 0}, {}, {}
  for _, result in ipairs(results) do
    for k, n in ipairs(result.numbers) do sums[k] = sums[k] + n end
    table.insert(result.failed and loud or quiet, result.text)
  end
  io.write("\n", table.concat(quiet), table.concat(loud), ("\n%s / %s / %s / %d pending : %.1f seconds\n"):format(
    counted(sums[1], "success", "successes"), counted(sums[2], "failure", "failures"),
    counted(sums[3], "error", "errors"), sums[4], seconds))
  return #loud == 0
end

-- @return whether all is well, and where it was interrupted a message
local function run(list, command, folder, jobs)
  local clock, results, ended = core.clock(), {}, {}
  local function note(i, status)
    results[i] = result_of(list[i], files.read_all(folder .. "/" .. i) or "", status)
    ended[#ended + 1] = results[i]
    io.write(results[i].dots)
    io.flush()
  end
  core.trap("INT", "TERM", "HUP")
  local pipe, session = start(list, command, folder, jobs)
  while not core.pending() do
    local i, status = (pipe:read "l" or ""):match "^(%d+) (%d+)$"
    if not i then break end
    note(tonumber(i), tonumber(status))
  end
  if core.pending() then
    stop(pipe, session)
    conclude(ended, core.clock() - clock)
    core.clear_signal()
    return false, ("interrupted: %d of %d files had not ended"):format(#list - #ended, #list)
  end
  pipe:close()
  for i in ipairs(list) do
    if not results[i] then note(i) end
  end
  return conclude(ended, core.clock() - clock)
end

-- All files in one Busted, which prints for itself. @return whether all is well
local function run_together(list, place, options)
  files.save(place, list[1])
  local ok, how, code = os.execute(command_of(place, options) .. " " .. quoted(list))
  local path = assert(files.read_all(place))
  if path == "" then return ok end
  io.write(("\nError -> %s\nBusted %s before it was through\n"):format(path,
    ending(how == "signal" and 128 + code or code)))
  return false
end

local parser = arguments.parser("tools/test.lua", "Run the specs, several files at a time.")
parser:option("--jobs", "files at a time"):convert(arguments.whole(1))
  :default(files.capture "getconf _NPROCESSORS_ONLN")
parser:option("--memory", "gigabytes that a process takes: no more of them than fit"):convert(arguments.above(0))
parser:argument("places", "spec files, or folders of them"):args "*"

local words, options = {}, {}
for i, word in ipairs(arg) do
  if word == "--" then
    table.move(arg, i + 1, #arg, 1, options)
    break
  end
  words[i] = word
end
local o = parser:parse(words)
local list, message = find(#o.places > 0 and o.places or {"spec"})
if not list then
  io.stderr:write("tools/test.lua: ", message, "\n")
  os.exit(2)
end
if o.memory then o.jobs = fitting(o.jobs, o.memory) end

local folder, remove = scratch.folder()
local ok, interrupted
if o.jobs == 1 or #list == 1 then
  ok = run_together(list, folder .. "/at", options)
else
  local coloured = term.isatty(io.stdout) and {"--output=utfTerminal", "-Xoutput", "--color"} or {}
  table.move(coloured, 1, #coloured, #options + 1, options)
  ok, interrupted = run(list, command_of("", options), folder, o.jobs)
end
remove()
if interrupted then io.stderr:write(interrupted, "\n") end
os.exit(ok and 0 or interrupted and 130 or 1)
