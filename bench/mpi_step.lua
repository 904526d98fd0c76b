-- One contestant of `--case mpi`: trains so many steps and prints the milliseconds of one, a median of five stretches.
--   [mpirun -n 2] lua5.4 bench/mpi_step.lua model batch threads steps [parts] [order]
-- On one rank the step is latent.train's usual one; with parts, or on several ranks, that of the parts.
local lt, nn, optim, data = require "latent", require "latent.nn", require "latent.optim", require "latent.data"
local train, models = require "latent.train", require "exercises.models"
local resnet = require "bench.resnet"

local mpi = os.getenv "OMPI_COMM_WORLD_RANK" and require "latent.mpi" or nil
local name, batch, threads, steps = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local parts, order = tonumber(arg[5]), arg[6]
local STRETCHES, EPOCH = 5, 16 -- steps of an epoch, at whose end ranks compare their weights

lt.manual_seed(1)
lt.set_threads(threads)
local model, set, loss
if name == "ae" then
  model = models.autoencoder()
  set = data.tensors{x = lt.rand(batch * EPOCH, 32, 32, 1) * 2 - 1}
  loss = function(b) return lt.mse_loss(model(b.x), b.x) end
else
  model = resnet()
  local rows = batch * EPOCH
  set = data.tensors{x = lt.rand(rows, 32, 32, 3), y = (lt.rand(rows) * 9.99):floor()}
  loss = function(b) return lt.cross_entropy(model(b.x), b.y) end
end
assert(nn.is_module(model))

local times, begun = {}, nil
local run = assert(train.new{model = model, optimizer = optim.Adam(model:parameters()), parts = parts,
  loader = data.loader(set, {batch = batch, shuffle = false}), epochs = (3 + STRETCHES * steps) // EPOCH + 1,
  parallel = mpi, order = order,
  callbacks = {on_step = function(now)
    local at = now.step - 3 -- the first ones warm up
    if at < 0 or at % steps ~= 0 then return end
    if begun then times[#times + 1] = (lt.clock() - begun) / steps end
    begun = lt.clock()
  end}})
for b, now in run:batches() do
  run:step(loss(b, now))
  if now.step > 3 + STRETCHES * steps then run:stop() end
end
table.sort(times)
if not mpi or mpi.rank == 0 then print(("%.4f"):format(1e3 * times[(#times + 1) // 2])) end
