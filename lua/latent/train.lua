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
local logs = require "latent.train.log"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local schedule = require "latent.schedule"
local Run = require "latent.train.run"
local snapshot = require "latent.train.snapshot"

local raise = core.raise

local M = {}

local NAME = "train.run"
local ALLOWED = {"model", "optimizer", "loader", "epochs", "loss", "schedules", "clip", "validate", "watch", "goal",
  "patience", "min_delta", "best", "log", "log_steps", "checkpoint", "every", "resume", "states", "settings",
  "progress", "callbacks"}

local function refuse(option, expected, got)
  raise(("%s: %s: expected %s, got %s"):format(NAME, option, expected, options.describe(got)))
end

-- An object with these methods, or a message.
local function with_methods(option, value, methods, expected)
  for _, method in ipairs(methods) do
    local ok, found = attempt(function() return value[method] end)
    if not ok or type(found) ~= "function" then refuse(option, expected, value) end
  end
  return value
end

local function optional(opts, option, wanted)
  if opts[option] == nil then return nil end
  return options.expect(NAME, option, opts[option], wanted)
end

local function is_set(value)
  local meta = getmetatable(value)
  return type(value) == "table" and type(value.batch) == "function" and meta ~= nil and meta.__len ~= nil
end

-- The parts that every run has.
local function read_parts(run, opts)
  if not module.is_module(opts.model) then
    local list = type(opts.model) == "table" and core.is_tensor(rawget(opts.model, 1))
    raise(("%s: model: expected a model, got %s"):format(NAME,
      list and "a list of tensors; parameters are the optimiser's" or options.describe(opts.model)))
  end
  run.model = opts.model
  run.optimizer = with_methods("optimizer", opts.optimizer, {"step", "state", "load_state", "settings", "parameters"},
    "an optimiser, such as optim.Adam(model:parameters())")
  run.loader = with_methods("loader", opts.loader, {"next", "state", "set_state"},
    "a loader, such as data.loader(set, {batch = 64})")
  run.steps_per_epoch = #run.loader
  run.epochs = options.expect(NAME, "epochs", opts.epochs, "count")
  run.loss = optional(opts, "loss", "function")
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
  for name, f in pairs(options.expect(NAME, "schedules", given or {}, "table")) do
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
  run.patience = optional(opts, "patience", "count")
  run.keeps_best = optional(opts, "best", "boolean") or false
  run.watch = optional(opts, "watch", "string")
  run.watches = run.patience ~= nil or run.keeps_best or run.watch ~= nil
  if run.watches and not run.watch then
    if type(validate) == "function" then
      raise(NAME .. ": watch: expected the name of a number that validate returns, got nil")
    end
    run.watch = validate and "val_loss" or "train_loss"
  end
  run.goal = opts.goal or "min"
  if run.goal ~= "min" and run.goal ~= "max" then refuse("goal", '"min" or "max"', run.goal) end
  run.min_delta = optional(opts, "min_delta", "number") or 0
  if run.min_delta < 0 or run.min_delta ~= run.min_delta then
    refuse("min_delta", "a number of at least 0", run.min_delta)
  end
  run.watching = {}
end

local function read_every(run, every)
  if type(every) == "number" then every = {steps = every} end
  if every == nil then every = {seconds = 10} end
  options.check(NAME .. ": every", options.expect(NAME, "every", every, "table"), {"steps", "seconds"})
  run.every = {steps = optional(every, "steps", "count"), seconds = optional(every, "seconds", "positive")}
end

local function read_files(run, opts)
  for _, option in ipairs{"log", "checkpoint"} do
    if opts[option] ~= nil then options.expect(NAME, option, opts[option], "string") end
  end
  run.log_path, run.path = opts.log, opts.checkpoint
  run.log_steps = optional(opts, "log_steps", "count")
  read_every(run, opts.every)
  if optional(opts, "resume", "boolean") and not run.path then
    raise(NAME .. ": resume: needs the option checkpoint")
  end
  run.states = options.expect(NAME, "states", opts.states or {}, "table")
  for name, object in pairs(run.states) do
    with_methods("states." .. tostring(name), object, {"state", "set_state"},
      "a generator, or anything with state() and set_state(state)")
  end
  run.settings = options.expect(NAME, "settings", opts.settings or {}, "table")
end

local function read_rest(run, opts)
  run.clip = optional(opts, "clip", "positive")
  run.progress = opts.progress
  local kind = type(opts.progress)
  if opts.progress ~= nil and kind ~= "boolean" and kind ~= "string" and kind ~= "table" then
    refuse("progress", "true, a label or options of progress.new", opts.progress)
  end
  local callbacks = options.check(NAME .. ": callbacks", opts.callbacks, {"on_step", "on_epoch", "on_end"})
  run.on_step = optional(callbacks, "on_step", "function")
  run.on_epoch = optional(callbacks, "on_epoch", "function")
  run.on_end = optional(callbacks, "on_end", "function")
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
    raise(("%s: loader: expected one at the beginning of an epoch, got one at %s"):format(NAME, place.position))
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
--
--   - `model`: a module; `optimizer`: one over its parameters; `loader`: a loader; `epochs`
--   - `loss`: `function(batch, now)` that returns the loss, a tensor of one element, and perhaps a table of further
--     numbers for the log; `now` has epoch, step, lr and the values of the other schedules
--   - `schedules`: functions of the step (counted from 1 over all epochs), those of latent.schedule (in steps or in
--     epochs) or numbers, by name; `lr` is the optimiser's, others such as `beta` are for the loss
--   - `clip`: the greatest norm of all gradients together, in `Run:step` (default: none)
--   - `validate`: at the end of an epoch, in evaluation mode and without recording: a data set, over which the
--     means of the loss and its further numbers are taken (`val_loss`, ...); or `function(now)` that returns a
--     table of numbers
--   - `watch`: the number of an epoch that tells good from bad ("val_loss", without a data set to validate
--     "train_loss"); `goal`: "min" or "max"
--   - `patience`: end after so many epochs without a gain of more than `min_delta` (0) over the last gain
--   - `best` (false): keep the weights of the best epoch, for `Run:load_best`
--   - `log`: a file that gets a JSON line an epoch (epoch, step, lr, `train_<name>` for what is noted, what
--     validation found), and with `log_steps = n` one without `epoch` every n steps
--   - `checkpoint`: a file that holds the whole run, written at the beginning, at the end, and `every` = n steps or
--     {steps =, seconds =} (10 seconds); `<file>.prev` is the one before it, and what an earlier run left is kept as
--     `<file>.old` where this one begins anew; while the run lasts, `<file>.lock` keeps other programs away, from the
--     log too
--   - `resume` (false): go on where the checkpoint stands, or begin where there is none
--   - `states`: what else changes from step to step, by name: generators, or objects with `state()` (plain values)
--     and `set_state(state)`
--   - `settings`: scalars by name that must be the same for a run to be resumed
--   - `progress`: true, a label, or a table of options for progress.new (false)
--   - `callbacks`: `on_step(now, run)`, `on_epoch(entry, run)`, which may change the entry before it is logged, and
--     `on_end(run)` when the loop has ended
-- @treturn Run or nil and a message where a file cannot be written or is in use by another program, the checkpoint is
--   damaged or belongs to a run with other settings
function M.new(opts)
  opts = options.check(NAME, options.expect(NAME, "options", opts, "table"), ALLOWED)
  local run = setmetatable({steps = 0, epoch = 1, epoch_steps = 0, sums = {}, log = {}, resumed = false,
    locks = {}, troubles = {}}, Run)
  read_parts(run, opts)
  read_schedules(run, opts.schedules)
  read_watching(run, opts)
  read_files(run, opts)
  read_rest(run, opts)
  run.own_settings = snapshot.settings(run)
  run.probes = snapshot.probes(run.schedules, run.epochs * run.steps_per_epoch)
  local done = false
  local _ <close> = setmetatable({}, {__close = function()
    if not done then disk.release(run) end
  end})
  local ok, message = disk.take_locks(run)
  if ok then ok, message = begin(run, opts.resume) end
  if not ok then return nil, message end
  done = true
  return run
end

--- Trains: makes a run and its loop, with one `Run:step` a batch.
-- @tparam table opts as for `new`; `loss` is needed
-- @treturn Run when it has ended (`run.stopped` says why), or nil and a message as `new` has it
function M.run(opts)
  options.expect(NAME, "options", opts, "table")
  options.expect(NAME, "loss", opts.loss, "function")
  local run, message = M.new(opts)
  if not run then return nil, message end
  for batch, now in run:batches() do run:step(run.loss(batch, now)) end
  return run
end

--- Reads the log of a run as columns, also while the run goes on: a line that is just being written is left out, and
-- so is what a full disk or a loss of power cut off, of which the second result tells.
-- @usage local log = train.read_log "runs/ae.jsonl"
-- plot.lines{{y = log.train_loss, label = "training"}, {y = log.val_loss, label = "validation"}}:save "loss.png"
-- @function read_log
-- @tparam string path
-- @tparam ?table opts steps = false: the lines of steps in place of those of epochs
-- @treturn table name -> list, all of equal length, NaN where a line lacks the name; or nil and a message
-- @treturn ?string which lines were cut off, if any
M.read_log = logs.read

--- The schedules; see latent.schedule.
M.schedule = schedule

return M
