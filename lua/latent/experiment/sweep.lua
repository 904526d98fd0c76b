--- Sweeps: one script with many settings, each a process of its own with one thread, so many at a time. What an
-- earlier sweep has done is not done again, what was broken off goes on.
-- @module latent.experiment.sweep
local lt = require "latent"
local core = require "latent.core"
local declared = require "latent.experiment.options"
local files = require "latent.base.files"
local folder = require "latent.experiment.folder"
local hands = require "latent.experiment.hands"
local json = require "latent.json"
local launcher = require "latent.mpi.launcher"
local machine = require "latent.experiment.machine"
local mpi = require "latent.mpi"
local options = require "latent.base.options"
local progress = require "latent.progress"
local records = require "latent.experiment.record"
local say = require "latent.experiment.say"

local raise = core.raise

local M = {}

local NAME = "experiment.sweep"
local SHOWN = 4 -- numbers of a run that has ended
local MOST = 100000 -- runs, of a range as 1..3

local function word_of(name, value)
  if value == true then return files.quote("--" .. name) end
  if type(value) == "number" then value = math.type(value) == "integer" and ("%d"):format(value)
    or say.digits(value, 17) end
  return files.quote(("--%s=%s"):format(name, value))
end

-- The options of one run as words of a command line, sorted so that they always read alike.
local function words_of(settings)
  local list = {}
  for name, value in pairs(settings) do
    if value ~= false then list[#list + 1] = word_of(name, value) end
  end
  table.sort(list)
  return table.concat(list, " ")
end

-- The child looks for modules where this process does.
local function command_of(script)
  local paths = ("package.path, package.cpath = %q, %q"):format(_G.package.path, _G.package.cpath)
  local outside = launcher.is_launched() and launcher.outside() .. " " or ""
  return ("%s%s -e %s %s"):format(outside, files.quote(machine.interpreter()), files.quote(paths), files.quote(script))
end

-- All options that a run of the script would have, asked of the script itself.
local function resolve(script, words)
  local text, message = files.capture(("{ %s --settings %s 2>&1; true; }"):format(command_of(script), words))
  -- The last line: the script may print before it begins.
  local values = text and json.decode((text:match "[^\n]*$"))
  if type(values) == "table" then return values end
  local why, near = (text or message):match "^%s*([^\n]*)\n?([^\n]*)"
  return nil, ("%s %s: %s%s"):format(script, words, why, near:find "^Did you mean" and ", d" .. near:sub(2) or "")
end

-- The newest run of the script, as it is now, with just these options: an edited script may find something else.
local function find(run, accepts)
  return folder.newest(run.options.out, run.name, function(record)
    return accepts(record) and record.digest == run.digest
      and declared.same(declared.decisive(record.options), declared.decisive(run.options))
  end)
end

local function is_done(record) return record.status == "done" end

local function label_of(settings)
  local list = {}
  for name, value in pairs(settings) do
    list[#list + 1] = ("%s %s"):format(name, type(value) == "number" and say.digits(value, 6) or tostring(value))
  end
  table.sort(list)
  return #list > 0 and table.concat(list, ", ") or "the defaults"
end

-- Files that are there for as long as a sweep lasts, however it ends.
local Temporary = {__close = function(self)
  for _, path in ipairs(self) do os.remove(path) end
end}

-- The commands of the runs that are missing; what each says goes into a file.
local function commands_of(missing, script, shared, temporary)
  local out, commands = missing[1].options.out, {}
  local ok, message = files.mkdir_p(out)
  if not ok then return nil, message end
  for i, run in ipairs(missing) do
    run.said = files.temporary(files.join(out, "sweep-said"))
    temporary[#temporary + 1] = run.said
    commands[i] = ("%s %s %s --resume >%s 2>&1 </dev/null"):format(command_of(script), run.words, shared,
      files.quote(run.said))
  end
  return commands
end

-- What tells of each run that has ended.
local function teller(missing, log)
  local clock, ended = lt.clock(), 0
  return function(run)
    ended = ended + 1
    local gone = lt.clock() - clock
    log(("[%d/%d] %s: %s  (%s gone, about %s left)"):format(ended, #missing, run.label,
      run.record and say.numbers(run.record.items, SHOWN) or "failed", progress.duration(gone),
      progress.duration(gone / ended * (#missing - ended))))
  end
end

-- Starts what is missing; xargs keeps so many going at a time. Each tells its number when it has ended.
local function start(missing, commands, jobs, tell, temporary)
  local list = files.temporary(files.join(missing[1].options.out, "sweep"))
  temporary[#temporary + 1] = list
  local lines = {}
  for i, command in ipairs(commands) do lines[i] = ("%s; echo %d\0"):format(command, i) end
  local ok, message = files.write_atomic(list, table.concat(lines))
  if not ok then return nil, message end
  local pipe = assert(io.popen(("xargs -0 -n 1 -P %d sh -c <%s"):format(jobs, files.quote(list))))
  local heard, problem = pcall(function()
    for line in pipe:lines() do
      local run = missing[math.tointeger(tonumber(line))]
      run.record = find(run, is_done)
      tell(run)
    end
  end)
  pipe:close()
  if not heard then error(problem, 0) end -- Ctrl-C, which the runs have got as well: their checkpoints are written
  return true
end

-- Has the ranks of the job run what is missing. A run that died, and has not said itself that it failed, is tried once
-- more.
local function start_on_ranks(missing, commands, tell, log)
  hands.hand_out(commands, function(number)
    local run = missing[number]
    run.record = find(run, is_done)
    local said = not run.record and find(run, function(record) return record.status == "failed" end)
    if not run.record and not said and not run.again then
      run.again = true
      log(("%s: died, and is tried once more"):format(run.label))
      return true
    end
    tell(run)
  end)
  return true
end

-- What a run that failed said of it.
local function complaint(run)
  local record = find(run, function() return true end)
  local text = record and (record.error or folder.status(record)) or files.read_all(run.said) or "it was not started"
  return ("%s: %s"):format(run.label, text:match "^[^\n]*")
end

--- What a sweep found: a list of runs, each a table with `settings` (as given), `options` (all of them), `numbers` by
-- name, `folder` and `seconds`.
-- @type Runs
local Runs = {}
Runs.__index = Runs
Runs.__name = "list of runs" -- in messages

--- One number (or option) of all runs.
-- @tparam string name
-- @treturn {number,...} in the order of the runs
function Runs:column(name)
  local list = {}
  for i, run in ipairs(self) do
    local value = run.numbers[name]
    if value == nil then value = run.options[name] end
    if type(value) ~= "number" then
      raise(("Runs:column: run %d has no number %s"):format(i, options.describe(name)))
    end
    list[i] = value
  end
  return list
end

--- The mean of a number over the runs, and its least and greatest value.
-- @tparam string name
-- @treturn number mean
-- @treturn number least
-- @treturn number greatest
function Runs:mean(name)
  local list, sum = self:column(name), 0
  for _, value in ipairs(list) do sum = sum + value end
  return sum / #list, math.min(table.unpack(list)), math.max(table.unpack(list))
end

--- The runs in the order of a number.
-- @tparam string name
-- @tparam ?string order "falling" (the greatest first) or "rising"
-- @treturn Runs
function Runs:sorted(name, order)
  if order ~= nil and order ~= "falling" and order ~= "rising" then
    raise('Runs:sorted: order: expected "falling" or "rising", got ' .. options.describe(order))
  end
  local values, places = self:column(name), {}
  for i in ipairs(self) do places[i] = i end
  local sign = order == "rising" and 1 or -1
  table.sort(places, function(a, b)
    if values[a] == values[b] then return a < b end
    return sign * values[a] < sign * values[b]
  end)
  local list = {}
  for i, place in ipairs(places) do list[i] = self[place] end
  return setmetatable(list, Runs)
end

--- The runs from one place to another.
-- @tparam int first
-- @tparam int last
-- @treturn Runs
function Runs:part(first, last) return setmetatable(table.move(self, first, last, 1, {}), Runs) end

function Runs:__tostring() return ("%d runs"):format(#self) end

-- Options of each run that are the sweep's.
local OWN = {resume = true, settings = true, help = true}

local sweep_options = options.declare(NAME, {
  {"jobs", "count", nil, "how many at a time (default: one a processor)"}, {"threads", "count", 1, "of each"},
  {"out", "string", nil, "the folder of the runs (default: the script's)"},
  {"log", "function", nil, "(line), told what has ended (default: print)"},
  {"common", "table", {}, "options that all runs have"},
})

-- The options of a sweep, checked.
local function read_options(opts)
  opts = sweep_options(opts)
  opts.jobs = opts.jobs or lt.threads()
  opts.log = opts.log or function(line)
    say.print(line)
    io.stdout:flush()
  end
  return opts
end

-- One run to be: what it was asked for, and the words of its command line.
local function planned(script, given, common, shared)
  local settings = {}
  for name, value in pairs(common) do settings[name] = value end
  for name, value in pairs(given) do settings[name] = value end
  local run = {words = words_of(settings), label = label_of(given),
    name = script:match "([^/]*)%.lua$" or script:match "[^/]*$"}
  local message
  run.options, message = resolve(script, run.words .. " " .. shared)
  if not run.options then return nil, message end
  run.digest = folder.digest(script)
  run.record = find(run, is_done)
  return run
end

-- The sweep, on one machine or as rank 0 of a job.
local function run_all(script, list, o)
  if not files.exists(script) then return nil, script .. ": no such file" end
  local shared = ("--threads=%d"):format(o.threads) .. (o.out and " " .. word_of("out", o.out) or "")
  local runs, missing, known = {}, {}, {} -- what is asked for twice, in other words perhaps, runs once
  for i, given in ipairs(list) do
    local run, message = planned(script, options.expect(NAME, "list: entry " .. i, given, "table"), o.common, shared)
    if not run then return nil, message end
    local decisive = json.encode(declared.decisive(run.options))
    if not known[decisive] and not run.record then missing[#missing + 1] = run end
    known[decisive] = known[decisive] or run
    runs[i] = known[decisive]
  end
  local temporary <close> = setmetatable({}, Temporary)
  if #missing > 0 then
    local jobs = mpi.size > 1 and mpi.size or o.jobs
    o.log(("%d runs of %s, %d of them done already, %d at a time"):format(#runs, script, #runs - #missing,
      math.min(jobs, #missing)))
    local commands, ok, message
    commands, message = commands_of(missing, script, shared, temporary)
    if not commands then return nil, message end
    local tell = teller(missing, o.log)
    if mpi.size > 1 then ok, message = start_on_ranks(missing, commands, tell, o.log)
    else ok, message = start(missing, commands, jobs, tell, temporary) end
    if not ok then return nil, message end
  end
  local failures = {}
  for _, run in ipairs(missing) do
    if not run.record then failures[#failures + 1] = complaint(run) end
  end
  if #failures > 0 then return nil, table.concat(failures, "\n") end
  local results = {}
  for i, run in ipairs(runs) do
    results[i] = {settings = list[i], options = run.record.options, numbers = records.numbers(run.record),
      folder = run.record.folder, seconds = run.record.seconds}
  end
  return results
end

--- See latent.experiment.sweep.
function M.run(script, list, opts)
  options.expect(NAME, "script", script, "string")
  options.expect(NAME, "list", list, "list")
  local o = read_options(opts)
  local results, message
  if mpi.rank == 0 then
    results, message = run_all(script, list, o)
    hands.dismiss()
  else
    hands.serve()
  end
  results, message = table.unpack(mpi.broadcast{results or false, message}, 1, 2)
  if not results then return nil, message end
  return M.runs(results)
end

-- ---- the command's words ----

-- "1e-4,1e-3", "1..3", "a,b" as a list of texts.
local function values_of(text)
  local first, last = text:match "^(%-?%d+)%.%.(%-?%d+)$"
  local list = {}
  if first then
    first, last = tonumber(first), tonumber(last)
    if not (math.abs(last - first + 0.0) < MOST and math.type(first) == "integer") then
      return nil, ("expected at most %d values, got %s"):format(MOST, text)
    end
    for value = first, last, first <= last and 1 or -1 do list[#list + 1] = ("%d"):format(value) end
    return list
  end
  for value in (text .. ","):gmatch "([^,]*)," do list[#list + 1] = value end
  return list
end

--- All combinations of some options' values, the first option's changing slowest.
-- @tparam {{string,{string,...}},...} axes name and values
-- @treturn {table,...} options by name
function M.grid(axes)
  local list = {{}}
  for _, axis in ipairs(axes) do
    local longer = {}
    for _, settings in ipairs(list) do
      for _, value in ipairs(axis[2]) do
        local copy = {}
        for name, other in pairs(settings) do copy[name] = other end
        copy[axis[1]] = value
        longer[#longer + 1] = copy
      end
    end
    list = longer
  end
  return list
end

--- So many of a list, drawn without replacement in an order that the seed fixes.
function M.draw(list, count, seed)
  local order = lt.randperm(#list, {generator = lt.generator(seed)}):table()
  local drawn = {}
  for i = 1, math.min(count, #list) do drawn[i] = list[math.tointeger(order[i])] end
  return drawn
end

--- Reads the words after `latent sweep`.
-- @treturn ?table script, axes, jobs, random, draw_seed, out; nil where they make no sense
-- @treturn ?string the message then
function M.parse(words)
  local o, i = {axes = {}}, 1
  while words[i] do
    local word = words[i]
    local name, value = word:match "^%-%-([%w_]+)=(.*)$"
    name = name or word:match "^%-%-([%w_]+)$"
    if not name then
      if o.script then return nil, ("sweep: a second script: %s"):format(word) end
      if word == "" then return nil, "sweep: expected a script, got an empty name" end
      o.script = word
    else
      local following = words[i + 1]
      if not value and following and not following:find "^%-%-" then value, i = following, i + 1 end
      if name == "jobs" or name == "random" or name == "draw_seed" then
        o[name] = math.tointeger(tonumber(value))
        if not o[name] or o[name] < 1 then
          return nil, ("sweep: --%s: expected a whole number of at least 1, got %s"):format(name, value or "nothing")
        end
      elseif name == "out" then
        if not value or value == "" then return nil, "sweep: --out: expected a folder" end
        o.out = value
      elseif OWN[name] then
        return nil, ("sweep: --%s: the sweep sets it for each run"):format(name)
      else
        local list, message = {true}, nil
        if value then list, message = values_of(value) end
        if not list then return nil, ("sweep: --%s: %s"):format(name, message) end
        o.axes[#o.axes + 1] = {name, list}
      end
    end
    i = i + 1
  end
  if not o.script then return nil, "sweep: expected a script, such as latent sweep script.lua --seed 1..3" end
  return o
end

--- A list of what runs have found, with the methods of Runs.
-- @tparam {table,...} list
-- @treturn Runs
function M.runs(list) return setmetatable(list, Runs) end

core.methods_of(Runs, "runs")

return M
