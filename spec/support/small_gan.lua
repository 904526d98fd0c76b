--- For specs: a small run of a generator and a critic, both with buffers and dropout, on twenty points; the critic is
-- stepped twice a batch. And all its bits as a string.
local data, files = require "latent.data", require "latent.base.files"
local lt, nn, optim = require "latent", require "latent.nn", require "latent.optim"

local M = {}

local function joined(fields, other)
  local all = {}
  for name, value in pairs(fields) do all[name] = value end
  for name, value in pairs(other or {}) do all[name] = value end
  return all
end

--- @tparam string folder for log and checkpoint
-- @tparam ?table changes options that are other
-- @return the options of train.run, the generator and the critic
function M.options(folder, changes)
  lt.manual_seed(3)
  local noise = lt.generator(4)
  local points = lt.randn(20, 2, {generator = lt.generator(5)}) + 1
  local generator = nn.Sequential{nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)}
  local critic = nn.Sequential{nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(8, 1)}
  local optimizers = {generator = optim.Adam(generator:parameters(), {lr = 1e-2, betas = {0, 0.9}}),
    critic = optim.RMSprop(critic:parameters(), {lr = 1e-2})}
  local function made(n) return generator(lt.randn(n, 2, {generator = noise})) end
  return joined({
    models = {generator = generator, critic = critic}, optimizers = optimizers, epochs = 3, clip = 1,
    loader = data.loader(data.tensors{x = points}, {batch = 6, seed = 1}),
    schedules = {critic_lr = function(step) return 0.01 / step end}, states = {noise = noise},
    log = folder .. "/log.jsonl", checkpoint = folder .. "/run.ckpt", every = 5,
    step = function(batch, now, run)
      for _ = 1, 2 do
        local real, fake = critic(batch.x):mean(), critic(made(#batch.x):detach()):mean()
        run:step("critic", fake - real, {gap = real - fake})
      end
      if now.step % 3 == 0 then run:step("generator", -critic(made(#batch.x)):mean()) end
    end,
  }, changes), generator, critic
end

--- All that has to be the same in two runs.
function M.bits(run)
  local list, state = {}, run.optimizer:state()
  for name, x in pairs(run.model:state()) do list[#list + 1] = name .. x:bytes() end
  for name, x in pairs(state.arrays) do list[#list + 1] = name .. x:bytes() end
  for _, entry in ipairs(run.model:named_parameters()) do
    list[#list + 1] = entry[1] .. ".grad" .. (entry[2].grad and entry[2].grad:bytes() or "none")
  end
  for name, lr in pairs(state.lr) do list[#list + 1] = ("%s %d %a"):format(name, state.steps[name], lr) end
  list[#list + 1] = ("%d %d"):format(lt.rng_state()[2], run.states.noise:state()[2])
  table.sort(list)
  return table.concat(list, "\n") .. assert(files.read_all(run.log_path))
end

return M
