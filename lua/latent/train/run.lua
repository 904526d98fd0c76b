--- A run: the loop over epochs and batches, with what belongs to it (schedules, averages, validation, early
-- stopping, log, checkpoints, signals). `latent.train` checks the options and makes one.
-- @module latent.train.run
local core = require "latent.core"
local disk = require "latent.train.disk"
local logs = require "latent.train.log"
local lt = require "latent"
local optim = require "latent.optim"
local options = require "latent.base.options"
local progress = require "latent.progress"
local sorted_keys = require "latent.base.sorted_keys"
local snapshot = require "latent.train.snapshot"
local validation = require "latent.train.validation"

local raise = core.raise

--- A run. Its fields are there to be read.
-- @type Run
-- @tfield int steps how many are made
-- @tfield int epoch from 1: the one that the next step belongs to
-- @tfield {table,...} log the entries of the epochs so far
-- @tfield ?table best epoch and value of the watched number at its best
-- @tfield ?boolean resumed whether it goes on from a checkpoint
-- @tfield ?string stopped nil while it runs, then why it ended: "done", "patience", "asked" (by `stop`),
-- "diverged", "left" (its loop was left by break or an error) or the name of a signal, "INT" or "TERM"
-- @tfield ?string message says more where there is more to say
-- @tfield Module model what it trains; of several models one whose parts they are
-- @tfield ?{[string]=Optimizer} optimizers where there are several
-- @tfield {[string]=string} troubles what is wrong with a file now, by its name: empty where all is well
local Run = {}
Run.__index = Run
Run.__name = "training run" -- in messages

local SIGNALS = {INT = true, TERM = true}
local RESERVED = {epoch = true, step = true}

-- What is known of a step before it is made: its place and the values of the schedules.
local function now_at(self, step)
  local now = {epoch = self.epoch, step = step}
  for name, f in pairs(self.schedules) do
    local value = f(step)
    if type(value) ~= "number" then
      raise(("train: schedule %s: expected a number for step %d, got %s"):format(name, step,
        options.describe(value)))
    end
    now[name] = value
  end
  return now
end

-- ---- checkpoints ----

--- Writes the checkpoint now. Where that fails, it is told as every trouble with a file is, and the run can go on.
-- @treturn ?boolean true; nil where it fails
-- @treturn ?string the message then
function Run:save()
  if self.elsewhere then return true end -- rank 0 writes it
  if not self.path then raise "train: save: the run was made without the option checkpoint" end
  if self.batch then raise "train: save: a step is being made; call it in on_step or after the loop" end
  local ok, message = disk.write_checkpoint(self)
  disk.heed(self, self.path, ok, message)
  return ok, message
end

--- Takes up what a checkpoint holds, as `resume = true` does.
-- @tparam {[string]=Tensor} tensors of the checkpoint
-- @tparam table values of the checkpoint
function Run:restore(tensors, values)
  snapshot.apply(self, tensors, values)
  self.steps, self.epoch, self.epoch_steps = values.steps, values.epoch, values.epoch_steps
  self.sums, self.watching = values.sums, values.watching
  self.best = self.watching.best and {epoch = self.watching.best_epoch, value = self.watching.best}
  self.log = logs.entries(values.lines)
  -- A checkpoint from before the first step: schedules have no value there.
  self.now = self.steps > 0 and now_at(self, self.steps) or {epoch = self.epoch, step = 0}
  for _, rate in ipairs(self.rates) do self.now[rate.name] = rate.optimizer.lr end
  self.saved_step, self.tried_step, self.saved_at, self.resumed = self.steps, self.steps, core.clock(), true
end

local function is_due(self)
  if not self.path or self.tried_step == self.steps then return false end
  if not self.tried_step then return true end
  if self.every.steps and self.steps % self.every.steps == 0 then return true end
  return self.every.seconds and core.clock() - self.saved_at >= self.every.seconds
end

-- ---- one step ----

-- Adds a number of this step to the averages of the epoch.
local function count_in(self, name, value, weight)
  if value ~= value or math.abs(value) == math.huge then self.diverged = self.diverged or name end
  local sum = self.sums[name] or {0, 0}
  self.sums[name] = {sum[1] + value * weight, sum[2] + weight}
  self.now[name] = value
end

--- Adds numbers of this step to the averages of the epoch, in which each batch counts as much as it has images.
-- @tparam table values name -> number or tensor of one element
-- @tparam ?number weight the batch's, if not its size
function Run:note(values, weight)
  if not self.batch then raise("train: note: no step is being made") end
  options.expect("train: note", "values", values, "table")
  weight = weight or self.weight
  for name, value in pairs(values) do
    if type(name) ~= "string" or RESERVED[name] then
      raise(("train: note: expected names, got %s"):format(options.describe(name)))
    end
    if core.is_tensor(value) then value = value:item() end
    options.expect("train: note", name, value, "number")
    if self.parts then
      self.parts:note(name, value, weight)
      self.now[name] = value
    else
      count_in(self, name, value, weight)
    end
  end
end

-- One step of one of several optimisers. Only the gradients of its own parameters are computed: those of the other
-- models, through which the loss may go, stay as they are.
local function step_one(self, name, loss, values)
  local optimizer = self.optimizer:find(name)
  if not core.is_tensor(loss) then
    raise(("train: step: %s: expected its loss, a tensor, got %s"):format(name, options.describe(loss)))
  end
  local parameters = {}
  for _, p in ipairs(optimizer:parameters()) do
    if p.requires_grad then parameters[#parameters + 1] = p end
  end
  if not parameters[1] then raise(("train: step: %s: all its parameters are frozen"):format(name)) end
  local found = lt.grad(loss, parameters, {allow_unused = true})
  if next(found) == nil then
    raise(("train: step: %s: the loss depends on none of its parameters"):format(name))
  end
  optimizer:zero_grad()
  for i, p in ipairs(parameters) do
    -- Copies: two parameters may have got the same tensor, and clipping changes it in place.
    if found[i] and p.grad then p.grad:copy_(found[i]) elseif found[i] then p.grad = found[i]:clone() end
  end
  if self.clip then self.now[name .. "_norm"] = optim.clip_grad_norm(parameters, self.clip) end
  optimizer:step()
  self:note{[name .. "_loss"] = loss}
  if values then self:note(values) end
end

-- The step of the one optimiser, or of all that was accumulated.
local function step_all(self, loss, values)
  if not core.is_tensor(loss) then raise("train: loss: expected a tensor, got " .. options.describe(loss)) end
  local done = self.steps % self.accumulate -- steps whose gradients are there
  if done == 0 then self.optimizer:zero_grad() end
  local share = self.accumulate > 1 and loss / self.accumulate or loss
  share:backward()
  if done == self.accumulate - 1 then
    if self.clip then self.now.norm = optim.clip_grad_norm(self.parameters, self.clip) end
    self.optimizer:step()
  end
  self:note{loss = loss}
  if values then self:note(values) end
end

--- One step from a loss: zeroes the gradients, runs back, clips them where the run says so, steps the optimiser,
-- notes the numbers; with the option `accumulate` the optimiser steps once in so many steps. The body of the loop that
-- `latent.train.run` has.
--
-- With several optimisers it steps the one of that name, any number of times a batch: the gradients of its parameters
-- alone are computed, the loss is noted as `<name>_loss`, the norm of what is clipped as `<name>_norm`.
-- @usage run:step(loss, {mse = mse})
-- run:step("critic", critic_loss)
-- @tparam ?string name of the optimiser, where the run has several; else the loss comes first
-- @tparam Tensor loss of one element
-- @tparam ?table values further numbers for the log, name -> number or tensor of one element
function Run:step(name, loss, values)
  if self.optimizers then return step_one(self, name, loss, values) end
  return step_all(self, name, loss)
end

--- Ends the run after this step, as a signal would: the checkpoint is written, and `resume` goes on from here. On
-- several ranks one is enough; all end after the next step at the latest.
function Run:stop() self.asked = true end

-- How much a batch counts in averages: its images.
local function weight_of(batch)
  local x = type(batch) == "table" and batch.x or batch
  return core.is_tensor(x) and x:dim() > 0 and x:size(1) or 1
end

local function next_part(self)
  self.batch, self.weight = self.parts:next()
  return self.batch, self.now
end

local function begin_step(self)
  self.now = now_at(self, self.steps + 1)
  for _, rate in ipairs(self.rates) do
    local scheduled = self.now[rate.name]
    if scheduled then rate.optimizer.lr = scheduled else self.now[rate.name] = rate.optimizer.lr end
  end
  if self.parts then
    self.parts:begin(self.loader)
    return next_part(self)
  end
  -- Its nil between two epochs is none here: the number of batches tells where an epoch ends.
  self.batch = self.loader:next() or self.loader:next()
  if self.batch == nil then raise "train: loader: it has no batch" end
  self.weight = weight_of(self.batch)
  return self.batch, self.now
end

local function write(self, entry)
  disk.heed(self, self.log_path, self.file:add(entry))
end

-- What the parts of a step have noted, and whether a rank is to end the run.
local function gather_parts(self)
  local means, said = self.parts:finish{signal = self.trapped and core.pending() or nil, asked = self.asked}
  for _, mean in ipairs(means) do count_in(self, table.unpack(mean)) end
  self.agreed = {}
  for _, rank in ipairs(said) do
    self.agreed.signal, self.agreed.asked = self.agreed.signal or rank.signal, self.agreed.asked or rank.asked
  end
end

local function finish_step(self)
  if self.parts then gather_parts(self) end
  self.steps, self.epoch_steps, self.batch = self.steps + 1, self.epoch_steps + 1, nil
  if self.bar then self.bar:step(self.now.loss) end
  if self.diverged then return end
  if self.log_steps and self.steps % self.log_steps == 0 then
    local entry = {}
    for name, value in pairs(self.now) do entry[name] = value end
    entry.epoch = nil -- which tells it from the line of an epoch
    write(self, entry)
  end
  if self.on_step then self.on_step(self.now, self) end
end

-- ---- one epoch ----

local function epoch_entry(self)
  local entry = {epoch = self.epoch, step = self.steps}
  for _, rate in ipairs(self.rates) do entry[rate.name] = self.now[rate.name] end
  for name in pairs(self.schedules) do entry[name] = self.now[name] end
  for name, sum in pairs(self.sums) do entry["train_" .. name] = sum[1] / sum[2] end
  for name, value in pairs(validation.measure(self)) do entry[name] = value end
  if self.on_epoch then self.on_epoch(entry, self) end
  for name, value in pairs(entry) do
    if value ~= value or value == math.huge or value == -math.huge then self.diverged = name end
  end
  return entry
end

-- Follows the watched number: the best so far, and how many epochs brought nothing.
local function watch(self, entry)
  local value = entry[self.watch]
  if not self.watches then return end
  if type(value) ~= "number" then
    raise(("train: watch: an epoch has no number %q; it has %s"):format(self.watch,
      table.concat(sorted_keys(entry), ", ")))
  end
  local w, sign = self.watching, self.goal == "max" and -1 or 1
  if not w.best or sign * value < sign * w.best then
    w.best, w.best_epoch = value, entry.epoch
    self.best = {epoch = entry.epoch, value = value}
    if self.keeps_best then
      self.best_state = {}
      for name, x in pairs(self.model:state()) do self.best_state[name] = x:detach():clone() end
    end
  end
  -- Patience asks for a gain of min_delta over the last epoch that had one.
  if not w.reference or sign * value < sign * w.reference - self.min_delta then
    w.reference, w.waited = value, 0
  else
    w.waited = w.waited + 1
  end
end

-- The numbers of an epoch for the line that stays: those of the training first.
local function line_of(self, entry)
  local names, hidden = {}, {epoch = true, step = true}
  for _, rate in ipairs(self.rates) do hidden[rate.name] = true end
  for name, value in pairs(entry) do
    if type(value) == "number" and not hidden[name] and not self.schedules[name] then names[#names + 1] = name end
  end
  local function rank(name) return (name == "train_loss" and "1" or name:find "^train_" and "2" or "3") .. name end
  table.sort(names, function(a, b) return rank(a) < rank(b) end)
  for i, name in ipairs(names) do
    local size = math.abs(entry[name])
    names[i] = (size >= 1e-3 and size < 1e4 and "%s %.4f" or "%s %.3g"):format(name, entry[name])
  end
  return table.concat(names, "  ")
end

local function finish_epoch(self)
  local entry = epoch_entry(self)
  if self.ranks then entry, self.diverged = self.ranks.same_epoch(self, entry) end
  if self.diverged then return end
  watch(self, entry)
  self.log[#self.log + 1] = entry
  write(self, entry)
  if self.bar then self.bar:epoch("%s", core.plainly(line_of, self, entry)) end
  self.epoch, self.epoch_steps, self.sums = self.epoch + 1, 0, {}
end

-- ---- the loop ----

local function pending(self)
  local signal = self.trapped and core.pending()
  if self.ranks then signal = self.agreed.signal end -- all ranks end after the same step
  return signal and SIGNALS[signal] and signal
end

-- Why the run should end now, if it should.
local function reason(self)
  if self.diverged then return "diverged" end
  if self.epoch > self.epochs then return "done" end
  if self.patience and self.watching.waited and self.watching.waited >= self.patience then return "patience" end
  local asked = self.asked
  if self.ranks then asked = self.agreed.asked end
  return pending(self) or (asked and "asked") or nil
end

local function describe_end(self)
  if self.stopped == "diverged" then
    self.message = ("%s is not finite in epoch %d, step %d"):format(self.diverged, self.epoch, self.steps)
  elseif self.stopped == "patience" then
    self.message = ("%s has not improved for %d epochs; best: %.6g in epoch %d"):format(self.watch,
      self.watching.waited, self.best.value, self.best.epoch)
  elseif SIGNALS[self.stopped] then
    self.message = ("stopped by SIG%s after step %d (epoch %d of %d)"):format(self.stopped, self.steps, self.epoch,
      self.epochs)
  end
end

-- The iterator's function: ends the step that the body has made, and begins the next one.
local function advance(self)
  if self.batch and self.parts and not self.parts:finish_part() then return next_part(self) end
  if self.batch then finish_step(self) end
  if self.epoch_steps == self.steps_per_epoch and not self.diverged then finish_epoch(self) end
  self.stopped = reason(self)
  if self.stopped then
    -- What has lost its way is not worth keeping: the checkpoint before stays.
    if self.path and self.stopped ~= "diverged" and self.saved_step ~= self.steps then self:save() end
    if self.ranks then self.mpi.barrier() end -- none ends the job before rank 0 has written
    core.plainly(describe_end, self)
    return nil
  end
  if is_due(self) then self:save() end
  return begin_step(self)
end

local function start_bar(self)
  local wanted = self.progress
  if not wanted then return end
  local opts = {steps = self.steps_per_epoch, epochs = self.epochs, first = math.min(self.epoch, self.epochs),
    done = self.epoch_steps}
  if type(wanted) == "string" then opts.label = wanted end
  for name, value in pairs(type(wanted) == "table" and wanted or {}) do opts[name] = value end
  self.bar = progress.new(opts)
end

--- The batches of all epochs that are left: `for batch, now in run:batches() do ... end`. When the body ends, the
-- step counts as made; between two steps the run validates, logs, writes checkpoints and heeds Ctrl-C. While the
-- loop runs, SIGINT and SIGTERM end it after the step that is being made; afterwards `run.stopped` tells.
-- @treturn function an iterator of the batches as the loader has them, and of a table: epoch, step (both from 1), lr
--   and the values of the other schedules; what `note` is told is added to it
function Run:batches()
  if self.started then raise "train: batches: the run has been made; make another one to train on" end
  local lost = disk.taken_from(self)
  if lost then raise(("train: batches: %s: a run that was made later has it"):format(lost)) end
  self.started = true
  -- Again: the script may have drawn random numbers since the checkpoint was read.
  if self.restored then
    self:restore(table.unpack(self.restored))
    self.restored = nil
  end
  if self.parts then self.parts:take_over() end
  core.trap("INT", "TERM")
  self.trapped = true
  start_bar(self)
  return advance, self, nil, self
end

--- Ends the loop's hold on signals, log and terminal, and calls `on_end` once. The loop calls it by itself.
function Run:close()
  if self.started and not self.stopped then self.stopped = "left" end
  self.batch = nil
  if self.parts then self.parts:close() end
  if self.trapped then
    if SIGNALS[self.stopped] then core.clear_signal() end
    core.untrap()
    self.trapped = false
  end
  if self.bar then self.bar:close() end
  self.bar = nil
  if not self.closed then disk.heed(self, self.log_path, self.file:close()) end
  self.closed = true
  disk.release(self)
  if self.started and self.on_end then
    local on_end = self.on_end
    self.on_end = nil
    on_end(self)
  end
end

Run.__close = Run.close
Run.__gc = function(self)
  if self.file then self.file:close() end
end

--- Gives the model the weights of the epoch in which the watched number was best. Needs the option `best`.
-- @treturn ?int the epoch; nil where no epoch has ended
-- @treturn number|string the watched number then, or a message
function Run:load_best()
  if not self.keeps_best then raise "train: load_best: the run was made without the option best" end
  if not self.best_state then return nil, "no epoch has ended" end
  self.model:load_state(self.best_state)
  return self.best.epoch, self.best.value
end

function Run:__tostring()
  return ("run: %d of %d steps, epoch %d of %d%s"):format(self.steps, self.epochs * self.steps_per_epoch,
    math.min(self.epoch, self.epochs), self.epochs, self.stopped and ", " .. self.stopped or "")
end

core.methods_of(Run, "run")

return Run
