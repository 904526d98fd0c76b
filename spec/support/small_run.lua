--- For specs: a small run with everything in it whose state must survive (dropout, batch norm with its buffers, a
-- generator of its own, a validation set, a schedule, early stopping, best weights), and all its bits as a string.
-- Run as a script, `lua5.4 spec/support/small_run.lua folder`, it goes on with the run in the folder, slowly enough to
-- be killed on the way; folder/alive says that a step is made, and in the end folder/bits has the bits. With a second
-- argument it waits behind its third step for a signal.
local core = require "latent.core"
local lt, nn, optim, data = require "latent", require "latent.nn", require "latent.optim", require "latent.data"
local files, train = require "latent.base.files", require "latent.train"

local M = {}

local Set = {}
Set.__index = Set
function Set:__len() return self.x:size(1) end
function Set:batch(index) return self.x:gather_rows(index), self.y:gather_rows(index) end

--- A set of n items [2, 3, 2] in three classes.
function M.set(n)
  local generator = lt.generator(5)
  local x, y = lt.randn(n, 2, 3, 2, {generator = generator}), {}
  for i = 1, n do y[i] = i % 3 end
  return setmetatable({x = x, y = lt.tensor(y)}, Set)
end

--- What a run is made of: 20 items in batches of 6, the last of 2; three epochs, twelve steps.
-- @tparam string folder for log and checkpoint
-- @tparam ?table changes options that are other
-- @return the options of train.run, and the generator
function M.options(folder, changes)
  lt.manual_seed(7)
  local noise = lt.generator(11)
  local train_set, held_back = data.split(M.set(26), 6, {seed = 2})
  local model = nn.Sequential{nn.Conv2d(2, 4, 3, {padding = 1}), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3),
    nn.Flatten(), nn.Linear(24, 3)}
  local opts = {
    model = model, optimizer = optim.Adam(model:parameters(), {lr = 0.01}),
    loader = data.loader(train_set, {batch = 6, seed = 3}), epochs = 3, clip = 1, validate = held_back,
    schedules = {lr = train.schedule.cosine(0.02, {steps = 12}),
      scale = train.schedule.cyclical(1, {steps = 10, cycles = 2})},
    patience = 5, best = true, log_steps = 5, states = {noise = noise},
    log = folder .. "/log.jsonl", checkpoint = folder .. "/run.ckpt", every = 6,
    loss = function(batch, now)
      local x = batch.x + lt.randn(batch.x.shape, {generator = noise}) * (0.1 * now.scale)
      x = x + lt.randn(x.shape) * 0.1
      local loss = lt.cross_entropy(model(x), batch.y)
      return loss, {double = 2 * loss:item()}
    end,
  }
  for name, value in pairs(changes or {}) do opts[name] = value end
  return opts
end

--- All that must be the same in two runs, as a string.
function M.bits(run)
  local parts, names = {}, {}
  local optimizer = run.optimizer:state()
  local all = {best = run.best and run.best.value, epoch = run.best and run.best.epoch, lr = optimizer.lr,
    steps = optimizer.steps, block = lt.rng_state()[2], noise = run.states.noise and run.states.noise:state()[2],
    log = assert(files.read_all(run.log_path))}
  for name, x in pairs(run.model:state()) do all["model." .. name] = x:bytes() end
  for name, x in pairs(optimizer.arrays) do all["optimizer." .. name] = x:bytes() end
  for name, x in pairs(run.best_state or {}) do all["best." .. name] = x:bytes() end
  for name in pairs(all) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = name .. "=" .. tostring(all[name]) end
  return table.concat(parts, "\n")
end

-- A hundredth of a second a step, besides the checkpoint that each one writes.
local function slowly(folder, waits)
  local steps = 0
  return function()
    steps = steps + 1
    if steps == 1 then assert(files.write_atomic(folder .. "/alive", "")) end
    local till = lt.clock() + 0.01
    repeat until lt.clock() >= till
    if waits and steps == 3 then repeat until core.pending() end
  end
end

if arg and arg[0] and arg[0]:find "small_run%.lua$" then
  local folder = arg[1]
  lt.set_threads(1)
  local run = assert(train.run(M.options(folder, {resume = true, every = 1, epochs = 10, patience = 20,
    schedules = {lr = 0.01, scale = 1}, callbacks = {on_step = slowly(folder, arg[2])}})))
  print(run.steps, run.stopped, run.message or "")
  if run.stopped == "done" then assert(files.write_atomic(folder .. "/bits", M.bits(run))) end
end

return M
