-- The parts of a golden folder that take several steps: optimisers, models, the MAP estimate.
local lt = require "latent"
local optim = require "latent.optim"
local golden = require "spec.support.golden"
local golden_ops = require "spec.support.golden_ops"
local models = require "spec.support.golden_models"

local M = {}

local OPTIMIZERS = {sgd = "SGD", adamw = "AdamW", adam = "Adam", rmsprop = "RMSprop"}

-- "sgd_nesterov" is optim.SGD.
local function optimizer_for(name)
  local kind = OPTIMIZERS[name:lower():match "^%a+"]
  return kind and optim[kind] or error("unknown optimiser " .. name, 0)
end

--- A trajectory of the objective sum(c (x - t)^2) + 0.1 sum(x^4).
function M.optim(folder, run)
  local c, t = golden.tensor(folder, "optim/c"), golden.tensor(folder, "optim/t")
  local x = lt.param(golden.tensor(folder, "optim/x0"):clone())
  local opt = optimizer_for(run.name)({x}, run.hyper)
  local losses = {}
  for step = 1, #run.loss do
    opt:zero_grad()
    local loss = (c * (x - t):square()):sum() + 0.1 * x:pow(4):sum()
    loss:backward()
    opt:step()
    losses[step] = loss:item()
  end
  local result = golden.result()
  result:compare("losses", losses, run.loss, golden.TOLERANCE)
  result:compare("x", x:detach(), golden.tensor(folder, run.x), golden.TOLERANCE)
  return result
end

-- The arrays that a table of keys names.
local function arrays(folder, keys)
  local list = {}
  for name, key in pairs(keys) do list[name] = golden.tensor(folder, key) end
  return list
end

-- Compares tensors of a model (read by `of`) with PyTorch's arrays, which pass through a second model of
-- the same build and so through the import of weights.
local function compare_state(result, what, model, build, theirs, tolerance, of)
  local other, options = build(theirs)
  local want = other:load_state(theirs, options):state()
  for name, own in pairs(model:state()) do
    result:compare(what .. " of " .. name, of(own), want[name]:detach(), tolerance)
  end
end

-- What a run trains: the builder and loss(model, x).
local function problem(folder, run)
  local section = folder.models
  if run.name:find "^vae" then
    local eps = golden.tensor(folder, "models/eps")
    return models.vae, function(model, x)
      local y, mu, log_var = model(x, eps)
      return lt.mse_loss(y, x) + (section.vae_beta or 0.01) * lt.gaussian_kl(mu, log_var)
    end
  elseif run.name:find "^class" then
    return models.classifier, function(model, x) return lt.cross_entropy(model(x), section.labels) end
  elseif run.name:find "^ae" or run.name:find "^auto" then
    return models.autoencoder, function(model, x) return lt.mse_loss(model(x), x) end
  end
  error("unknown model " .. run.name, 0)
end

--- Imported weights, the gradients of the first step, the losses, and the weights after the last step.
function M.model(folder, run)
  local build, loss_of = problem(folder, run)
  local weights = arrays(folder, run.weights)
  local model, options = build(weights)
  model:load_state(weights, options)
  local x = golden_ops.to_ours(golden.tensor(folder, "models/x"), "image")
  local opt = optim.Adam(model:parameters(), {lr = folder.models.lr})
  local result, losses = golden.result(), {}
  for step = 1, #run.loss do
    opt:zero_grad()
    local loss = loss_of(model, x)
    loss:backward()
    losses[step] = loss:item()
    if step == 1 then
      compare_state(result, "gradient", model, build, arrays(folder, run.grads), golden.TOLERANCE,
        function(p) return p.grad end)
    end
    opt:step()
  end
  result:compare("losses", losses, run.loss, golden.TOLERANCE)
  compare_state(result, "weights after training", model, build, arrays(folder, run.after5),
    golden.TOLERANCE_WEIGHTS, function(p) return p:detach() end)
  return result
end

-- The arrays "prefix/name" under their plain names, those of the decoder only.
local function decoder_weights(folder, prefix)
  local list = {}
  for key, value in pairs(folder.tensors) do
    if key:sub(1, #prefix + 1) == prefix .. "/" then
      local name = key:sub(#prefix + 2)
      if name:find "^fc%." or name:find "^up%." then list[name] = value end
    end
  end
  return list
end

--- z* = argmin mean((noisy - g(z))^2) + beta mean(z^2) by Adam, the decoder g fixed.
function M.map(folder)
  local map = folder.map
  local weights = decoder_weights(folder, map.decoder)
  local model, options = models.decoder(weights)
  model:load_state(weights, options):freeze()
  local noisy = golden_ops.to_ours(golden.tensor(folder, "map/noisy"), "image")
  local z = lt.param(golden.tensor(folder, "map/z0"):clone())
  local opt, losses = optim.Adam({z}, {lr = map.lr}), {}
  for step = 1, #map.loss do
    opt:zero_grad()
    local loss = lt.mse_loss(model(z), noisy) + map.beta * z:square():mean()
    loss:backward()
    opt:step()
    losses[step] = loss:item()
  end
  local result = golden.result()
  result:compare("losses", losses, map.loss, golden.TOLERANCE_MAP)
  local last = folder.tensors["map/z" .. #map.loss]
  if last then result:compare("z", z:detach(), last, 10 * golden.TOLERANCE_MAP) end
  return result
end

return M
