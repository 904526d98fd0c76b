--- Training runs: a loop of a few lines, with schedules, averages, validation, early stopping, a log and exact
-- checkpoints around it. The model, the loss and, where one likes, the body of the loop stay in the script:
--
--     local run = assert(train.new{model = model, optimizer = opt, loader = loader, epochs = 20,
--       schedules = {lr = schedule.cosine(1e-3, {steps = 20 * #loader})},
--       log = "runs/ae.jsonl", checkpoint = "runs/ae.ckpt", resume = true, progress = "autoencoder"})
--     for batch, now in run:batches() do
--       opt:zero_grad()
--       local loss = lt.mse_loss(model(batch.x), batch.x)
--       loss:backward()
--       opt:step()
--       run:note{loss = loss}
--     end
--
-- or, with the body left to the library,
--
--     local run = assert(train.run{..., clip = 1.0, validate = held_back, patience = 3, best = true,
--       loss = function(batch, now)
--         local r, mu, log_var = vae(batch.x)
--         local mse, kl = lt.mse_loss(r, batch.x), lt.gaussian_kl(mu, log_var)
--         return mse + now.beta * kl, {mse = mse, kl = kl}
--       end})
--
-- or, where one loss is not enough, as for a generator and its critic, with several of each and a step of one's own,
-- which says what moves when and how often:
--
--     local run = assert(train.run{models = {generator = g, critic = c}, loader = loader, epochs = 20,
--       optimizers = {generator = optim.Adam(g:parameters()), critic = optim.Adam(c:parameters())},
--       step = function(batch, now, run)
--         run:step("critic", c(g(noise())):mean() - c(batch.x):mean())
--         if now.step % 5 == 0 then run:step("generator", -c(g(noise())):mean()) end
--       end})
--
-- A run that was stopped at any step, by Ctrl-C, SIGTERM, kill -9 or a loss of power, and then resumed ends with
-- the same bits as one that was not: the checkpoint holds weights, buffers, gradients, modes, optimiser, generators,
-- the loader's place, sums, log lines and what early stopping has seen. What else changes from step to step belongs
-- into `states`.
-- @module latent.train
require "latent" -- tensors get their methods, and errors the user's line
local attempt = require "latent.base.attempt"
local checkpoint = require "latent.train.checkpoint"
local core = require "latent.core"
local disk = require "latent.train.disk"
local job = require "latent.mpi.job"
local logs = require "latent.train.log"
local options = require "latent.base.options"
local parts = require "latent.train.parts"
local ranks = require "latent.train.ranks"
local schedule = require "latent.schedule"
local Run = require "latent.train.run"
local several = require "latent.train.several"
local snapshot = require "latent.train.snapshot"

local raise = core.raise

local M = {}

local NAME = "train.run"

local function refuse(option, expected, got)
  raise(("%s: %s: expected %s, got %s"):format(NAME, option, expected, options.describe(got)))
end

-- The kind of an object with these methods.
local function with_methods(type_name, expected, methods)
  return options.kind(type_name, expected, function(value)
    for _, method in ipairs(methods) do
      local ok, found = attempt(function() return value[method] end)
      if not ok or type(found) ~= "function" then return nil end
    end
    return value
  end)
end

local OPTIMIZER = with_methods("Optimizer", "an optimiser, such as optim.Adam(model:parameters())",
  {"step", "state", "load_state", "settings", "parameters"})
local LOADER = with_methods("Loader", "a loader, such as data.loader(set, {batch = 64})",
  {"next", "state", "set_state"})
local STATE = with_methods("table", "a generator, or anything with state() and set_state(state)",
  {"state", "set_state"})
local PROGRESS = options.kind("boolean|string|table", "true, a label or options of progress.new", function(value)
  local kind = type(value)
  if kind == "boolean" or kind == "string" or kind == "table" then return value end
end)
local GAIN = options.kind("number", function(value)
  return type(value) == "number" and "a number of at least 0" or "a number"
end, function(value) return type(value) == "number" and value >= 0 and value or nil end)

local ROWS = {
  {"model", several.MODEL, nil, "needed, unless there are `models`"},
  {"models", "table", nil, "several by name, {generator = g, critic = c}: a run's weights have these names in front"},
  {"optimizer", OPTIMIZER, nil, "over the model's parameters; needed, unless there are `optimizers`"},
  {"optimizers", "table", nil, "several by name, each of which `run:step(name, loss)` steps; over parameters of the "
    .. "model or models"},
  {"loader", LOADER, nil, "", required = true}, {"epochs", "count", nil, "", required = true},
  {"loss", "function", nil, "(batch, now): returns the loss, a tensor of one element, and perhaps a table of further "
    .. "numbers for the log; `now` has epoch, step, lr and the values of the other schedules"},
  {"step", "function", nil, "(batch, now, run): what is done with a batch, in the place of one `run:step(loss)`: with "
    .. "several optimisers `run:step(name, loss)`, as often as one likes. A `loss` beside it is for validation"},
  {"schedules", "table", {}, "functions of the step (counted from 1 over all epochs), those of latent.schedule (in "
    .. "steps or in epochs) or numbers, by name; `lr` is the optimiser's, of several `<name>_lr` "
    .. "that one's; others such as `beta` are for the loss"},
  {"clip", "positive", nil, "the greatest norm of all gradients together, in `Run:step`; with several optimisers of "
    .. "each one's (default: none)"},
  {"accumulate", "count", 1, "steps whose gradients are averaged before the optimiser makes one of its own: batches so "
    .. "many times as large without their memory. What is left over at the end of the run moves nothing"},
  {"validate", "any", nil, "at the end of an epoch, in evaluation mode and without recording: a data set, over which "
    .. "the means of the loss and its further numbers are taken (`val_loss`, ...); or `function(now)` that returns a "
    .. "table of numbers"},
  {"watch", "string", nil, 'the number of an epoch that tells good from bad (default: "val_loss", without a data set '
    .. 'to validate "train_loss")'},
  {"goal", options.one_of{"min", "max"}, "min", "what is good of it"},
  {"patience", "count", nil, "end after so many epochs without a gain of more than `min_delta` over the last gain"},
  {"min_delta", GAIN, 0}, {"best", "boolean", false, "keep the weights of the best epoch, for `Run:load_best`"},
  {"log", "string", nil, "a file that gets a JSON line an epoch (epoch, step, lr, `train_<name>` for what is noted, "
    .. "what validation found)"},
  {"log_steps", "count", nil, "and one without `epoch` every so many steps"},
  {"checkpoint", "string", nil, "a file that holds the whole run, written at the beginning, at the end, and `every` so "
    .. "often; `<file>.prev` is the one before it, and what an earlier run left is kept as `<file>.old` where this one "
    .. "begins anew; while the run lasts, `<file>.lock` keeps other programs away, from the log too"},
  {"every", "any", nil, "a number of steps, or {steps =, seconds =} (default: 10 seconds)"},
  {"resume", "boolean", false, "go on where the checkpoint stands, or begin where there is none"},
  {"states", "table", {}, "what else changes from step to step, by name: generators, or objects with `state()` (plain "
    .. "values, and tensors by name in its field `arrays`) and `set_state(state)`"},
  {"settings", "table", {}, "scalars by name that must be the same for a run to be resumed"},
  {"progress", PROGRESS, nil, "true, a label, or a table of options for progress.new"},
  {"callbacks", "any", nil, "`on_step(now, run)`, `on_epoch(entry, run)`, which may change the entry before it is "
    .. "logged, and `on_end(run)` when the loop has ended"},
}
-- Where the library has them: a batch in parts, and ranks that share them.
local MPI = options.kind("table", 'require "latent.mpi"', function(value)
  if type(value) == "table" and value == package.loaded["latent.mpi"] then return value end
end)
for _, row in ipairs{
  {"parts", "count", nil, "cut each batch into so many parts: the body of the loop runs once for each, and the "
    .. "gradient is the sum of theirs, weighted by their sizes, in a fixed order (default: the number of "
    .. "ranks, if `parallel`)"},
  {"parallel", MPI, nil, "`require \"latent.mpi\"`: the ranks of the job share the parts, whose number theirs divides; "
    .. "the weights are the same, bit for bit, for any number of ranks. Files and progress are rank 0's"},
  {"order", options.one_of{"tree", "any"}, "tree", 'of the sum over the ranks; "any": as MPI likes it, with other bits '
    .. "for each number of ranks"},
  {"batch_norm", options.one_of{"part", "all"}, "part", 'whose statistics batch norm takes; "all": those of all ranks, '
    .. "each of which has one part of the batch then; other bits for each number of ranks"},
} do ROWS[#ROWS + 1] = row end
local read_options = options.declare(NAME, ROWS)
options.declared["train.new"] = options.declared[NAME]
local read_every = options.reader(NAME .. ": every", {{"steps", "count"}, {"seconds", "positive"}})
local read_callbacks = options.reader(NAME .. ": callbacks",
  {{"on_step", "function"}, {"on_epoch", "function"}, {"on_end", "function"}})

local function is_set(value)
  local meta = getmetatable(value)
  return type(value) == "table" and type(value.batch) == "function" and meta ~= nil and meta.__len ~= nil
end

-- One of two options, as the run has it: `one` a thing, `many` several by name, put together by `join`.
local function read_either(opts, one, many, kind, join)
  if opts[many] == nil then return options.expect(NAME, one, opts[one], kind) end
  if opts[one] ~= nil then raise(("%s: give %s or %s, not both"):format(NAME, one, many)) end
  return join(("%s: %s"):format(NAME, many), opts[many], kind)
end

-- The optimisers with the names of their learning rates; what goes with one alone.
local function read_optimizers(run, opts)
  run.optimizer = read_either(opts, "optimizer", "optimizers", OPTIMIZER, several.optimizers)
  run.optimizers = opts.optimizers and run.optimizer.named
  run.rates = {}
  for i, name in ipairs(run.optimizers and run.optimizer.names or {}) do
    run.rates[i] = {name = name .. "_lr", optimizer = run.optimizers[name]}
  end
  if not run.optimizers then
    run.rates[1] = {name = "lr", optimizer = run.optimizer}
    return
  end
  for _, option in ipairs{"parts", "parallel"} do
    if opts[option] ~= nil then
      raise(("%s: %s: a batch in parts goes with one optimizer, whose step ends it; here are %d"):format(NAME, option,
        #run.rates))
    end
  end
  if opts.accumulate > 1 then
    raise(("%s: accumulate: goes with one optimizer; with %d, let step call run:step every so many steps"):format(NAME,
      #run.rates))
  end
  if opts.schedules.lr ~= nil then
    raise(("%s: schedules.lr: which optimizer's? name it %s"):format(NAME, run.rates[1].name))
  end
end

-- The parts that every run has.
local function read_parts(run, opts)
  run.model = read_either(opts, "model", "models", several.MODEL, several.model)
  read_optimizers(run, opts)
  run.loader, run.epochs = opts.loader, opts.epochs
  run.loss, run.clip, run.progress, run.accumulate = opts.loss, opts.clip, opts.progress, opts.accumulate
  run.steps_per_epoch = #run.loader
  run.parameters = run.optimizer:parameters()
  local known = {}
  for _, p in ipairs(run.model:parameters()) do known[p] = true end
  for i, p in ipairs(run.parameters) do
    -- It would be trained, and not be in the checkpoint.
    if not known[p] then
      raise(("%s: optimizer: its parameter %d is none of the model's; make it a field of the model"):format(NAME, i))
    end
  end
end

local function read_schedules(run, given)
  run.schedules = {}
  for name, f in pairs(given) do
    if type(name) ~= "string" or name == "epoch" or name == "step" then
      refuse("schedules", "names such as lr and beta", name)
    end
    if type(f) == "number" then
      local value = f
      f = function() return value end
    end
    run.schedules[name] = options.expect(NAME, "schedules." .. name, schedule.bind(f, run.steps_per_epoch), "function")
  end
end

-- Validation and what follows from it.
local function read_watching(run, opts)
  local validate = opts.validate
  if validate ~= nil and type(validate) ~= "function" then
    if type(validate) == "table" and validate.next and is_set(validate.set) then validate = validate.set end
    if not is_set(validate) then
      refuse("validate", "a data set or a function that returns numbers", opts.validate)
    end
    if not run.loss then raise(NAME .. ": validate: a data set needs the option loss; give a function instead") end
    run.validation_batch = math.max(run.loader.batch or 0, 64)
  end
  run.validate = validate
  run.patience, run.keeps_best, run.watch = opts.patience, opts.best, opts.watch
  run.watches = run.patience ~= nil or run.keeps_best or run.watch ~= nil
  if run.watches and not run.watch then
    if type(validate) == "function" then
      raise(NAME .. ": watch: expected the name of a number that validate returns, got nil")
    end
    if not validate and opts.step then
      raise(NAME .. ": watch: expected the name of a number that the steps note, such as train_loss, got nil")
    end
    run.watch = validate and "val_loss" or "train_loss"
  end
  run.goal, run.min_delta, run.watching = opts.goal, opts.min_delta, {}
end

local function read_files(run, opts)
  run.log_path, run.path, run.log_steps = opts.log, opts.checkpoint, opts.log_steps
  local every = opts.every
  if type(every) == "number" then every = {steps = every} end
  if every == nil then every = {seconds = 10} end
  run.every = read_every(options.expect(NAME, "every", every, "table"))
  if opts.resume and not run.path then raise(NAME .. ": resume: needs the option checkpoint") end
  run.states, run.settings = opts.states, opts.settings
  for name, object in pairs(run.states) do options.expect(NAME, "states." .. tostring(name), object, STATE) end
end

-- A batch in parts, and who shares them.
local function read_sharing(run, opts)
  local mpi, count = opts.parallel, opts.parts
  if not mpi and not count then return end
  run.parts_count = count or mpi.size
  if mpi and run.parts_count % mpi.size ~= 0 then
    raise(("%s: parts: expected a multiple of the %d ranks, got %d"):format(NAME, mpi.size, run.parts_count))
  end
  local shares, joint = mpi ~= nil and mpi.size > 1, opts.batch_norm == "all"
  if joint and run.parts_count ~= (mpi and mpi.size or 1) then
    raise(('%s: batch_norm: "all" needs one part a rank: %d ranks, got parts = %d'):format(NAME, mpi and mpi.size or 1,
      run.parts_count))
  end
  run.order, run.joint, run.agreed = opts.order, joint and shares, {}
  if shares then run.mpi, run.ranks = mpi, ranks end
  run.parts = parts.new(run, run.parts_count, shares and job or {rank = 0, size = 1}, run.order,
    run.joint)
end

-- Compares a checkpoint with the run and takes it up: nil, or in words what keeps it from that.
local function take_up(run, tensors, values)
  local different = snapshot.difference(values.settings, run.own_settings)
    or snapshot.schedule_difference(values.probes, run.schedules)
  if different then return "was made with other settings: " .. different end
  run:restore(tensors, values)
end

-- Reads the checkpoint into the run: its log lines, or nil and a message.
local function resume(run)
  local tensors, values, damage = checkpoint.load(run.path)
  if not tensors then return nil, values end
  -- A file that some other program made may lack anything.
  local ok, trouble = attempt(take_up, run, tensors, values)
  if not ok then trouble = "does not fit: " .. tostring(trouble) end
  if trouble then return nil, ("%s: %s"):format(run.path, trouble) end
  run.restored = {tensors, values}
  if damage then
    ok, trouble = checkpoint.fall_back(run.path)
    if not ok then return nil, trouble end
    run.message = damage .. "; the checkpoint before it is taken"
    io.stderr:write(run.message, "\n")
  end
  return values.lines
end

-- Reads or begins the files.
local function begin(run, resumes)
  local lines, message = {}
  if resumes and checkpoint.exists(run.path) then
    lines, message = resume(run)
    if not lines then return nil, message end
  end
  local place = run.loader:state()
  if not run.resumed and (place.position or 0) ~= 0 then
    raise(("%s: loader: expected one at the beginning of an epoch, got one at %s; make it anew"):format(NAME,
      place.position))
  end
  run.file, message = logs.open(run.log_path, lines)
  if not run.file then return nil, message end
  if run.path and not run.resumed then
    -- What cannot be written is better known now than after an hour.
    local ok, why = checkpoint.set_aside(run.path)
    if ok then ok, why = disk.write_checkpoint(run) end
    if not ok then return nil, why end
    run.saved_step, run.tried_step = nil, nil -- until the first step the script may change what it likes
  end
  return true
end

--- Makes a run whose loop is written by hand: see `Run:batches` and `Run:note`.
-- @tparam table opts
-- @treturn Run or nil and a message where a file cannot be written or is in use by another program, the checkpoint is
--   damaged or belongs to a run with other settings
function M.new(opts)
  opts = read_options(options.expect(NAME, "options", opts, "table"))
  local run = setmetatable({steps = 0, epoch = 1, epoch_steps = 0, sums = {}, log = {}, resumed = false,
    locks = {}, troubles = {}}, Run)
  read_parts(run, opts)
  read_schedules(run, opts.schedules)
  read_watching(run, opts)
  read_files(run, opts)
  local callbacks = read_callbacks(opts.callbacks)
  run.on_step, run.on_epoch, run.on_end = callbacks.on_step, callbacks.on_epoch, callbacks.on_end
  read_sharing(run, opts)
  run.own_settings = snapshot.settings(run)
  run.probes = snapshot.probes(run.schedules, run.epochs * run.steps_per_epoch)
  local done = false
  local _ <close> = setmetatable({}, {__close = function()
    if not done then disk.release(run) end
  end})
  if run.ranks then ranks.begin(run) end
  local ok, message = disk.take_locks(run)
  if ok then ok, message = begin(run, opts.resume and run.path ~= nil) end
  if run.ranks then ok, message = ranks.opened(run, ok, message) end
  if not ok then return nil, message end
  done = true
  return run
end

--- Trains: makes a run and its loop, with one `Run:step` a batch, or with the option `step` what that does.
-- @tparam table opts as for `new`; `loss` or `step` is needed
-- @treturn Run when it has ended (`run.stopped` says why), or nil and a message as `new` has it
function M.run(opts)
  options.expect(NAME, "options", opts, "table")
  local step = several.body(NAME, opts)
  local run, message = M.new(opts)
  if not run then return nil, message end
  for batch, now in run:batches() do step(batch, now, run) end
  return run
end

--- Reads the log of a run as columns, also while the run goes on: a line that is just being written is left out, and
-- so is what a full disk or a loss of power cut off, of which the second result tells.
-- @usage local log = train.read_log "runs/ae.jsonl"
-- plot.lines{{y = log.train_loss, label = "training"}, {y = log.val_loss, label = "validation"}}:save "loss.png"
-- @function read_log
-- @tparam string path
-- @tparam ?table opts
-- @treturn table name -> list, all of equal length, NaN where a line lacks the name; or nil and a message
-- @treturn ?string which lines were cut off, if any
M.read_log = logs.read

--- The schedules; see latent.schedule.
M.schedule = schedule

return M
