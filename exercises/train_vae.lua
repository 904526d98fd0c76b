--- The training loop of the VAEs of exercises 7 and 8 (and 7's other betas).
local data, optim = require "latent.data", require "latent.optim"
local progress = require "latent.progress"
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
  local opt, log = optim.Adam(model:parameters(), {lr = o.lr}), support.log(name)
  local bar <close> = progress.new{label = name, epochs = epochs, steps = #loader}
  for epoch = 1, epochs do
    local sum_mse, sum_kl = 0, 0
    for batch in loader do
      local step = opt.steps + 1
      opt.lr = lr(step)
      opt:zero_grad()
      local total, mse, kl = loss(model, batch.x, beta_at(step))
      total:backward()
      opt:step()
      sum_mse, sum_kl = sum_mse + mse:item() * #batch.y, sum_kl + kl:item() * #batch.y
      bar:step(total:item())
    end
    local mse, kl = sum_mse / #train, sum_kl / #train
    log{epoch = epoch, train_loss = mse + beta * kl, train_mse = mse, train_kl = kl, lr = opt.lr}
    bar:epoch("loss %.4f  mse %.4f  kl %.2f nats", mse + beta * kl, mse, kl)
  end
  support.save(model, name, epochs)
  return model
end
