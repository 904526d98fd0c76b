--- Trainings side by side: each a process of its own with one thread, all of them in one table.
local lt, vae = require "latent", require "latent.vae"
local files, json, progress = require "latent.files", require "latent.json", require "latent.progress"
local models, options = require "exercises.models", require "exercises.options"
local support = require "exercises.support"

local M = {}

local HERE = debug.getinfo(1, "S").source:match "^@(.*)sweep%.lua$"
local MEASURING = 1.5 -- what the measurements of a run take, in epochs
local CHECKED = {"latent", "beta", "learn_sigma", "warmup_epochs", "seed", "epochs", "lr", "final_lr", "batch", "data",
  "valid"}

local function file_of(run, suffix) return support.path("runs", ("beta/%s.%s"):format(run.name, suffix)) end

-- Whether a table of settings is that of the run.
local function fits(run, settings)
  for _, name in ipairs(CHECKED) do
    if run[name] ~= nil and settings[name] ~= run[name] then return false end
  end
  return true
end

-- The measurements of a run, if it has been done with just these settings.
local function result_of(run)
  local text = files.read_all(file_of(run, "json"))
  local result = text and json.decode(text)
  return result and fits(run, result.settings) and result or nil
end

-- Whether a run was begun with just these settings: then it goes on from its checkpoint. Says so for the next time.
local function has_begun(run)
  local text, settings = files.read_all(file_of(run, "begun")), {}
  local begun = text and fits(run, json.decode(text) or {})
  for _, name in ipairs(CHECKED) do settings[name] = run[name] end
  assert(files.write_atomic(file_of(run, "begun"), json.encode(settings)))
  return begun
end

-- Seconds that a training step takes here and now, with one thread.
local function seconds_a_step(o, train)
  local threads = lt.threads()
  lt.set_threads(1)
  local seconds = support.seconds_a_step(models.vae(16), train, o.batch, function(model, x)
    return vae.elbo(model, x).total
  end)
  lt.set_threads(threads)
  return seconds
end

-- The shell command of a run: what it prints goes into a file, its name to us.
local function command_of(run)
  local lowest, words = -1, {}
  while arg[lowest - 1] do lowest = lowest - 1 end -- the interpreter: options of its own may stand before the script
  words[1], words[2], words[3] = files.quote(arg[lowest]), files.quote(HERE .. "beta_run.lua"), "--threads 1"
  for _, name in ipairs{"name", "recipe", "data", "out", "latent", "beta", "warmup_epochs", "seed", "epochs", "lr",
    "final_lr", "batch", "valid"} do
    local value = run[name]
    if value ~= nil and value ~= "" then words[#words + 1] = ("--%s %s"):format(name, files.quote(tostring(value))) end
  end
  if run.learn_sigma then words[#words + 1] = "--learn_sigma" end
  if has_begun(run) then words[#words + 1] = "--resume" end
  return ("%s >%s 2>&1; echo %s"):format(table.concat(words, " "), files.quote(file_of(run, "txt")), run.name)
end

local function one_line(run, r)
  return ("%-24s MSE %.4f  rate %6.3f nats  k-NN %4.1f %%  active %d"):format(run.name, r.sampled_mse, r.rate,
    r.knn_accuracy, r.active_units)
end

-- Ends the program with what a run that failed said last.
local function fail_with(run)
  local path = file_of(run, "txt")
  options.fail(("%s: %s\n(all that it said is in %s)"):format(run.name,
    (files.read_all(path) or ""):match "([^\n]*)\n*$", path))
end

-- Starts the runs that are missing and waits for them all. xargs keeps so many going at a time.
local function start(missing, jobs)
  local list, by_name = support.path("runs", "beta/commands"), {}
  local commands = {}
  for i, run in ipairs(missing) do commands[i], by_name[run.name] = command_of(run) .. "\0", run end
  assert(files.write_atomic(list, table.concat(commands)))
  local clock, done = lt.clock(), 0
  local pipe = assert(io.popen(("xargs -0 -n 1 -P %d sh -c <%s"):format(jobs, files.quote(list))))
  local function next_name()
    local ok, name = pcall(pipe.read, pipe)
    if ok then return name end
    -- The trainings have got the same Ctrl-C, and write their checkpoints.
    print("stopped; the same command goes on from there")
    os.exit(130)
  end
  for name in next_name do
    done = done + 1
    local result = by_name[name] and result_of(by_name[name])
    local gone = lt.clock() - clock
    print(("[%d/%d] %s  (%s gone, about %s left)"):format(done, #missing,
      result and one_line(by_name[name], result) or name .. " failed", progress.duration(gone),
      progress.duration(gone / done * (#missing - done))))
    io.stdout:flush()
  end
  pipe:close()
  os.remove(list)
end

--- A plan of trainings. Runs are added to it, and trained by `run`; it is a list of all of them.
-- @type Plan
local Plan = {}
Plan.__index = Plan

--- Adds a run: a table of what differs from the settings. It gets a name, and after `run` a `result`: the fields
-- of vae.report on the test images, and those that beta_run.lua adds.
-- @tparam table run latent, and beta or learn_sigma = true; warmup_epochs = 0, seed
-- @treturn table the run
function Plan:add(run)
  run.warmup_epochs, run.learn_sigma = run.warmup_epochs or 0, run.learn_sigma or false
  setmetatable(run, {__index = self.settings}) -- what a run does not say itself
  run.name = ("vae%d_%s%s_seed%d"):format(run.latent, run.learn_sigma and "sigma" or ("beta%g"):format(run.beta),
    run.warmup_epochs > 0 and "_warm" or "", run.seed)
  for _, known in ipairs(self) do
    if known.name == run.name then return known end
  end
  self[#self + 1] = run
  return run
end

--- Trains what has not been trained yet, so many runs at a time.
function Plan:run()
  local o, missing = self.settings, {}
  for _, run in ipairs(self) do
    run.result = run.result or result_of(run)
    if not run.result then missing[#missing + 1] = run end
  end
  if #missing == 0 then return end
  local jobs = math.min(#missing, o.jobs > 0 and o.jobs or lt.threads())
  local train = support.data(o)
  print(("%d trainings of %d epochs (%d of the %d runs are done already), %d at a time with one thread each: about %s."
    .. "\nWhat is broken off goes on where it was when this script is started again."):format(#missing, o.epochs,
    #self - #missing, #self, jobs,
    progress.duration(seconds_a_step(o, train) * #train / o.batch * (o.epochs + MEASURING) * #missing / jobs)))
  io.stdout:flush()
  start(missing, jobs)
  for _, run in ipairs(missing) do
    run.result = result_of(run) or fail_with(run)
  end
end

local COLUMNS = {"sampled_mse", "mse", "rate", "nll", "spread", "active_units", "within_prior", "knn1", "knn_accuracy",
  "k", "valid_knn", "own_beta"}

--- Prints the table of all runs, and writes it with more columns to runs/beta/table.csv.
function Plan:table()
  local rows, lines = {}, {"run,latent,beta,warmup_epochs,seed," .. table.concat(COLUMNS, ",")}
  for i, run in ipairs(self) do
    local r, cells = run.result, {}
    for c, name in ipairs(COLUMNS) do cells[c] = ("%.6g"):format(r[name]) end
    lines[i + 1] = ("%s,%d,%s,%d,%d,%s"):format(run.name, run.latent, run.learn_sigma and "" or run.beta,
      run.warmup_epochs, run.seed, table.concat(cells, ","))
    rows[i] = {run.name, ("%.4f"):format(r.sampled_mse), ("%.2f"):format(r.rate), ("%.0f"):format(r.nll),
      ("%.3f"):format(r.spread), ("%d"):format(r.active_units), r.knn1, r.knn_accuracy, ("%d"):format(r.k)}
  end
  support.print_table("All runs, measured on the test images", {"", "MSE", "KL", "NLL", "spread", "active", "1-NN %",
    "k-NN %", "k"}, rows)
  assert(files.write_atomic(support.path("runs", "beta/table.csv"), table.concat(lines, "\n") .. "\n"))
end

--- An empty plan.
-- @tparam table settings common to all runs: recipe, data, epochs, lr, ...; jobs: how many at a time, 0 for one a core
-- @treturn Plan
function M.plan(settings)
  return setmetatable({settings = settings}, Plan)
end

--- The trained model of a run.
function M.model(run)
  local model = models.vae(run.latent)
  if run.learn_sigma then model.likelihood = vae.gaussian() end
  return support.load(model, "beta/" .. run.name)
end

--- One field of the results of several runs.
function M.results(runs, field)
  local list = {}
  for i, run in ipairs(runs) do list[i] = run.result[field] end
  return list
end

--- The mean of a field over runs; and a text of it with the lowest and the highest.
function M.mean(runs, field)
  local list, sum = M.results(runs, field), 0
  for _, value in ipairs(list) do sum = sum + value end
  return sum / #list, ("%.1f (%.1f to %.1f)"):format(sum / #list, math.min(table.unpack(list)),
    math.max(table.unpack(list)))
end

--- How far apart the highest and the lowest value of a field are.
function M.range(runs, field)
  local list = M.results(runs, field)
  return math.max(table.unpack(list)) - math.min(table.unpack(list))
end

--- What a warm-up changes in a field.
-- @tparam {table,...} arms {beta =, constant = runs, warm = runs}, a run a seed each
-- @tparam string field
-- @treturn table rows for support.print_table: means over the seeds, with the lowest and the highest
-- @treturn number the mean difference, without the first seed, whose constant runs were chosen for being good
-- @treturn number how far apart runs lie that differ by their seed alone, at most
function M.compare(arms, field)
  local rows, gain, chance = {}, 0, 0
  for i, arm in ipairs(arms) do
    local means = {}
    for k, runs in ipairs{arm.constant, arm.warm} do
      local others = #runs > 1 and table.move(runs, 2, #runs, 1, {}) or runs
      means[k], chance = M.mean(others, field), math.max(chance, M.range(runs, field))
    end
    gain = gain + (means[2] - means[1]) / #arms
    rows[i] = {"beta " .. arm.beta, (select(2, M.mean(arm.constant, field))), (select(2, M.mean(arm.warm, field)))}
  end
  return rows, gain, chance
end

--- The run with the highest value of a field, or with sign = -1 the lowest.
function M.best(runs, field, sign)
  local found = runs[1]
  for _, run in ipairs(runs) do
    if (sign or 1) * (run.result[field] - found.result[field]) > 0 then found = run end
  end
  return found
end

--- The runs with the highest values of a field, the highest first.
function M.top(runs, field, count)
  local sorted = table.move(runs, 1, #runs, 1, {})
  table.sort(sorted, function(a, b) return a.result[field] > b.result[field] end)
  return table.move(sorted, 1, math.min(count, #sorted), 1, {})
end

--- Whether a field never rises from one run to the next by more than a little.
function M.falls(runs, field, little)
  local list, falls = M.results(runs, field), true
  for i = 2, #list do falls = falls and list[i] <= list[i - 1] + little end
  return falls
end

return M
