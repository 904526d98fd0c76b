-- A small run on any number of ranks: `mpirun -n 4 lua5.4 spec/support/ranks_run.lua folder [option=value ...]`. When
-- it is done it writes folder/bits. Options: parts, order, resume, stop (after a step), loop ("own": written by hand),
-- clip ("own": in that loop), every (steps with one call of the optimiser), term (a rank that gets SIGTERM after 5
-- steps), raise (a rank that raises in step 5), optimizer ("sgd": Adam makes a whole step of a gradient that is
-- rounding alone), width (of rank 1's model), seed (of rank 1's loader), slow (and with folder/alive saying that a
-- step is made).
local lt, nn, optim, data = require "latent", require "latent.nn", require "latent.optim", require "latent.data"
local core, files, train = require "latent.core", require "latent.base.files", require "latent.train"
local small = require "spec.support.small_run"

local mpi = os.getenv "OMPI_COMM_WORLD_RANK" and require "latent.mpi" or {rank = 0, size = 1}
local folder, o = arg[1], {}
for i = 2, #arg do
  local name, value = arg[i]:match "^(%w+)=(.*)$"
  o[name] = tonumber(value) or value
end
lt.set_threads(1)
local changes = {parts = o.parts, order = o.order, parallel = package.loaded["latent.mpi"], resume = o.resume ~= nil,
  every = 1}
changes.callbacks = {on_step = function(now, run)
  if now.step == o.stop and mpi.rank == mpi.size - 1 then run:stop() end
  if now.step == 5 and o.term == mpi.rank then core.raise_signal "TERM" end
  if o.slow then
    if mpi.rank == 0 then assert(files.write_atomic(folder .. "/alive", "")) end
    local till = lt.clock() + 0.01
    repeat until lt.clock() >= till
  end
end}
local opts = small.options(folder, changes)
if o.slow then opts.epochs, opts.patience, opts.schedules = 10, 20, {lr = 0.01, scale = 1} end
if o.width and mpi.rank == 1 then
  opts.model = nn.Sequential{nn.Flatten(), nn.Linear(12, o.width), nn.Linear(o.width, 3)}
  opts.optimizer = optim.Adam(opts.model:parameters())
end
if o.seed and mpi.rank == 1 then opts.loader = data.loader(opts.loader.set, {batch = 6, seed = o.seed}) end
if o.optimizer == "sgd" then opts.optimizer = optim.SGD(opts.model:parameters(), {lr = 0.05}) end
local loss = opts.loss
opts.loss = function(batch, now)
  if o.raise == mpi.rank and now.step == 5 then error("rank " .. mpi.rank .. " is broken") end
  return loss(batch, now)
end
if o.clip then opts.clip = nil end
local run = assert(train.new(opts))
for batch, now in run:batches() do
  if not o.loop then
    run:step(opts.loss(batch, now))
  else
    local every = o.every or 1
    if now.step % every == 1 % every then opts.optimizer:zero_grad() end
    local value = opts.loss(batch, now)
    value:backward()
    if o.clip then optim.clip_grad_norm(opts.model:parameters(), 1) end
    if now.step % every == 0 then opts.optimizer:step() end
    run:note{loss = value}
  end
end
if mpi.rank == 0 then
  print(run.steps, run.stopped)
  if run.stopped == "done" then assert(files.write_atomic(folder .. "/bits", small.bits(run))) end
end
