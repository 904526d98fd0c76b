--- Sweeps: one script with many settings, each a process of its own with one thread, so many at a time. What an
-- earlier sweep has done is not done again, what was broken off goes on.
-- @module latent.experiment.sweep
local lt = require "latent"
local declared = require "latent.experiment.options"
local files = require "latent.files"
local folder = require "latent.experiment.folder"
local json = require "latent.json"
local machine = require "latent.experiment.machine"
local options = require "latent.options"
local progress = require "latent.progress"
local records = require "latent.experiment.record"
local say = require "latent.experiment.say"

local M = {}

local NAME = "experiment.sweep"

local function word_of(name, value)
  if value == true then return "--" .. name end
  if type(value) == "number" then value = math.type(value) == "integer" and ("%d"):format(value)
    or ("%.17g"):format(value) end
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
  local paths = ("package.path, package.cpath = %q, %q"):format(package.path, package.cpath)
  return ("%s -e %s %s"):format(files.quote(machine.interpreter()), files.quote(paths), files.quote(script))
end

-- All options that a run of the script would have, asked of the script itself.
local function resolve(script, words)
  local text, message = files.capture(("{ %s --settings %s 2>&1; true; }"):format(command_of(script), words))
  local values = text and json.decode(text)
  if type(values) == "table" then return values end
  return nil, ("%s %s: %s"):format(script, words, (text or message):match "^%s*([^\n]*)")
end

-- The newest run of the script with just these options, of a kind.
local function find(run, accepts)
  return folder.newest(run.options.out, run.name, function(record)
    return accepts(record) and declared.same(declared.decisive(record.options), declared.decisive(run.options))
  end)
end

local function is_done(record) return record.status == "done" end

local function label_of(settings)
  local list = {}
  for name, value in pairs(settings) do
    list[#list + 1] = ("%s %s"):format(name, type(value) == "number" and ("%.6g"):format(value) or tostring(value))
  end
  table.sort(list)
  return #list > 0 and table.concat(list, ", ") or "the defaults"
end

local function one_line(record)
  local parts = {}
  for _, item in ipairs(record.items) do
    if item.kind == "number" and type(item.value) == "number" then
      parts[#parts + 1] = ("%s %s"):format(item.name, say.number(item.value))
    end
  end
  return table.concat(parts, "  ")
end

-- Starts what is missing; xargs keeps so many going at a time. Each tells its number when it has ended.
local function start(missing, script, jobs, shared, log)
  local list, commands = files.temporary(files.join(missing[1].options.out, "sweep")), {}
  local out = missing[1].options.out
  local ok, message = files.mkdir_p(out)
  if not ok then return nil, message end
  for i, run in ipairs(missing) do
    run.said = files.temporary(files.join(out, "sweep-said"))
    commands[i] = ("%s %s %s --resume >%s 2>&1 </dev/null; echo %d\0"):format(command_of(script), run.words, shared,
      files.quote(run.said), i)
  end
  ok, message = files.write_atomic(list, table.concat(commands))
  if not ok then return nil, message end
  local clock, ended = lt.clock(), 0
  local pipe = assert(io.popen(("xargs -0 -n 1 -P %d sh -c <%s"):format(jobs, files.quote(list))))
  local heard, problem = pcall(function()
    for line in pipe:lines() do
      local run = missing[math.tointeger(tonumber(line))]
      ended = ended + 1
      run.record = find(run, is_done)
      local gone = lt.clock() - clock
      log(("[%d/%d] %s: %s  (%s gone, about %s left)"):format(ended, #missing, run.label,
        run.record and one_line(run.record) or "failed", progress.duration(gone),
        progress.duration(gone / ended * (#missing - ended))))
    end
  end)
  pipe:close()
  os.remove(list)
  if not heard then error(problem, 0) end -- Ctrl-C, which the runs have got as well: their checkpoints are written
  return true
end

-- What a run that failed said of it.
local function complaint(run)
  local record = find(run, function() return true end)
  local text = record and record.error or files.read_all(run.said) or ""
  return ("%s: %s"):format(run.label, text:match "^[^\n]*")
end

--- Runs a script once for each table of options, and waits for all of them.
-- @tparam string script a file that calls experiment.begin
-- @tparam {table,...} list options by name, one table a run
-- @tparam ?table opts `jobs`: how many at a time (default: one a processor); `threads` (1): of each; `out`: the folder
--   of the runs (default: the script's); `log`: `function(line)`, told what has ended (default: print)
-- @treturn ?{table,...} a table for each run, in the order of the list: `settings` as given, `options` (all of them),
--   `numbers` by name, `folder`, `seconds`; nil where one failed
-- @treturn ?string the message then
-- @usage
-- local runs = assert(experiment.sweep("vae.lua", {{beta = 0.001}, {beta = 0.01}}, {jobs = 2}))
-- print(runs[1].numbers.mse, runs[2].numbers.mse)
function M.run(script, list, opts)
  options.expect(NAME, "script", script, "string")
  options.expect(NAME, "list", list, "table")
  opts = options.check(NAME, opts, {"jobs", "threads", "out", "log"})
  local jobs = opts.jobs and options.expect(NAME, "jobs", opts.jobs, "count") or lt.threads()
  local threads = opts.threads and options.expect(NAME, "threads", opts.threads, "count") or 1
  local log = opts.log and options.expect(NAME, "log", opts.log, "function") or function(line)
    print(line)
    io.stdout:flush()
  end
  if not files.exists(script) then return nil, script .. ": no such file" end
  local shared = ("--threads=%d"):format(threads)
  if opts.out then shared = shared .. " " .. word_of("out", options.expect(NAME, "out", opts.out, "string")) end
  local runs, missing, by_words = {}, {}, {}
  for i, settings in ipairs(list) do
    local words = words_of(options.expect(NAME, "list: entry " .. i, settings, "table"))
    local run = by_words[words]
    if not run then
      local message
      run = {settings = settings, words = words, label = label_of(settings),
        name = script:match "([^/]*)%.lua$" or script:match "[^/]*$"}
      run.options, message = resolve(script, words .. " " .. shared)
      if not run.options then return nil, message end
      run.record = find(run, is_done)
      if not run.record then missing[#missing + 1] = run end
      by_words[words] = run
    end
    runs[i] = run
  end
  if #missing > 0 then
    log(("%d runs of %s, %d of them done already, %d at a time"):format(#runs, script, #runs - #missing,
      math.min(jobs, #missing)))
    local ok, message = start(missing, script, jobs, shared, log)
    if not ok then return nil, message end
  end
  local failures = {}
  for _, run in ipairs(missing) do
    if not run.record then failures[#failures + 1] = complaint(run) end
    os.remove(run.said)
  end
  if #failures > 0 then return nil, table.concat(failures, "\n") end
  local results = {}
  for i, run in ipairs(runs) do
    results[i] = {settings = run.settings, options = run.record.options, numbers = records.numbers(run.record),
      folder = run.record.folder, seconds = run.record.seconds}
  end
  return results
end

-- ---- the command's words ----

-- "1e-4,1e-3", "1..3", "a,b" as a list of texts.
local function values_of(text)
  local first, last = text:match "^(%-?%d+)%.%.(%-?%d+)$"
  local list = {}
  if first then
    local step = tonumber(first) <= tonumber(last) and 1 or -1
    for value = math.tointeger(tonumber(first)), math.tointeger(tonumber(last)), step do
      list[#list + 1] = ("%d"):format(value)
    end
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
-- @treturn ?table script, axes, jobs, random, out; nil where they make no sense
-- @treturn ?string the message then
function M.parse(words)
  local o, i = {axes = {}}, 1
  while words[i] do
    local word = words[i]
    local name, value = word:match "^%-%-([%w_]+)=(.*)$"
    name = name or word:match "^%-%-([%w_]+)$"
    if not name then
      if o.script then return nil, ("sweep: a second script: %s"):format(word) end
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
        o.out = value
      else
        o.axes[#o.axes + 1] = {name, value and values_of(value) or {true}}
      end
    end
    i = i + 1
  end
  if not o.script then return nil, "sweep: expected a script, such as latent sweep script.lua --seed 1..3" end
  return o
end

return M
