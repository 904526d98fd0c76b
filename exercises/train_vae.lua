--- The training loop of the VAEs of exercises 7 and 8 (and 7's other betas).
local data, optim = require "latent.data", require "latent.optim"
local support = require "exercises.support"

local schedule = optim.schedule

--- Trains a VAE by Adam, writes weights and log under the given name, and returns the model.
-- The learning rate falls along a cosine to o.final_lr; beta grows over the first o.warmup_epochs.
-- @tparam Module model
-- @tparam table train the data set
-- @tparam table o batch, seed, lr, final_lr, warmup_epochs
-- @tparam function loss of (model, x, beta): returns the loss, and the MSE and KL that it is made of
-- @tparam number beta
-- @tparam int epochs
-- @tparam string name
return function(model, train, o, loss, beta, epochs, name)
  local loader = data.loader(train, {batch = o.batch, seed = o.seed})
  local lr = schedule.cosine(o.lr, {steps = epochs * #loader, floor = o.final_lr})
  local warm = math.min(o.warmup_epochs, epochs // 2) * #loader
  local beta_at = warm > 0 and schedule.warmup(beta, {steps = warm}) or schedule.constant(beta)
  local run = support.run(name, {model = model, optimizer = optim.Adam(model:parameters(), {lr = o.lr}),
    loader = loader, epochs = epochs, schedules = {lr = lr, beta = beta_at},
    -- The curve that the answers show has the final beta from the first epoch on.
    callbacks = {on_epoch = function(entry) entry.train_loss = entry.train_mse + beta * entry.train_kl end}})
  for batch, now in run:batches() do
    local total, mse, kl = loss(model, batch.x, now.beta)
    run:step(total, {mse = mse, kl = kl})
  end
  support.finish(run)
  return model
end
