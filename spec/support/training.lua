-- A small training run.
local lt = require "latent"
local optim = require "latent.optim"
local models = require "exercises.models"

-- Trains the autoencoder on batches that repeat; returns a function for some steps, and the model.
return function(batch)
  lt.manual_seed(5)
  local model = models.autoencoder()
  local opt = optim.Adam(model:parameters(), {lr = 1e-3})
  local batches = {}
  for i = 1, 4 do batches[i] = lt.rand(batch, 32, 32, 1) * 2 - 1 end
  local taken = 0
  return function(steps)
    for _ = 1, steps do
      local x = batches[taken % #batches + 1]
      taken = taken + 1
      opt:zero_grad()
      lt.mse_loss(model(x), x):backward()
      opt:step()
    end
  end, model
end
