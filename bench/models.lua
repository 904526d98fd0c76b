--- Models as people write them, beyond the exercises: each a function of no arguments that returns a function which
-- makes one training step (Adam, lr 1e-3). Their peers are in peer_models.py.
local lt, nn, optim = require "latent", require "latent.nn", require "latent.optim"
local resnet = require "bench.resnet"

local M = {}

local function trainer(model, loss_of)
  local opt = optim.Adam(model:parameters(), {lr = 1e-3})
  return function()
    opt:zero_grad()
    loss_of(model):backward()
    opt:step()
  end
end

local function labels(n) return (lt.rand(n) * 9.99):floor() end

local function sequential(...)
  local layers = {}
  for _, part in ipairs{...} do table.move(part, 1, #part, #layers + 1, layers) end
  return nn.Sequential(layers)
end

-- z of mu and log_var, and the three that a loss wants.
local function sample(decode, mu, log_var)
  return decode(mu + (log_var / 2):exp() * lt.randn(mu)), mu, log_var
end

--- LeNet-5 on 64 images of 28 x 28.
function M.lenet()
  local x, y = lt.rand(64, 28, 28, 1), labels(64)
  return trainer(nn.Sequential{
    nn.Conv2d(1, 6, 5, {padding = 2}), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
  }, function(model) return lt.cross_entropy(model(x), y) end)
end

--- ResNet-20 on 64 colour images of 32 x 32 (He et al. 2016; shortcuts with 1 x 1 convolutions).
function M.resnet20()
  local x, y = lt.rand(64, 32, 32, 3), labels(64)
  return trainer(resnet(), function(model) return lt.cross_entropy(model(x), y) end)
end

local function down(inputs, outputs)
  return {nn.Conv2d(inputs, outputs, 3, {stride = 2, padding = 1}), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.01)}
end

local function up(inputs, outputs)
  return {nn.ConvTranspose2d(inputs, outputs, 3, {stride = 2, padding = 1, output_padding = 1}),
    nn.BatchNorm2d(outputs), nn.LeakyReLU(0.01)}
end

--- A convolutional VAE on 32 colour images of 64 x 64: stride 2, batch norm, leaky ReLU, 32 to 256 channels.
function M.conv_vae()
  local x = lt.rand(32, 64, 64, 3) * 2 - 1
  local model = nn.Module{
    encoder = sequential(down(3, 32), down(32, 64), down(64, 128), down(128, 256), {nn.Flatten()}),
    mu = nn.Linear(4096, 128), log_var = nn.Linear(4096, 128),
    decoder = sequential({nn.Linear(128, 4096), nn.Reshape(4, 4, 256)}, up(256, 128), up(128, 64), up(64, 32),
      up(32, 32), {nn.Conv2d(32, 3, 3, {padding = 1}), nn.Tanh()}),
    forward = function(self, images)
      local h = self.encoder(images)
      return sample(self.decoder, self.mu(h), self.log_var(h))
    end,
  }
  return trainer(model, function()
    local r, mu, log_var = model(x)
    return lt.mse_loss(r, x) + 0.00025 * lt.gaussian_kl(mu, log_var)
  end)
end

--- An MLP VAE, 784-400-20, binary cross-entropy, on 128 images (Kingma & Welling 2014, as PyTorch's example has it).
function M.mlp_vae()
  local x = lt.rand(128, 784)
  local model = nn.Module{
    encoder = nn.Sequential{nn.Linear(784, 400), nn.ReLU()}, mu = nn.Linear(400, 20), log_var = nn.Linear(400, 20),
    decoder = nn.Sequential{nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784)},
    forward = function(self, images)
      local h = self.encoder(images)
      return sample(self.decoder, self.mu(h), self.log_var(h))
    end,
  }
  return trainer(model, function()
    local r, mu, log_var = model(x)
    return lt.bce_with_logits(r, x, {reduction = "sum"}) / 128 + lt.gaussian_kl(mu, log_var)
  end)
end

--- An MLP of three times 1024, 256 rows.
function M.mlp()
  local x, y = lt.rand(256, 1024), labels(256)
  return trainer(nn.Sequential{
    nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(),
    nn.Linear(1024, 10),
  }, function(model) return lt.cross_entropy(model(x), y) end)
end

--- The MLP of a transformer, 256-1024-256 with layer norm and GELU, on 2048 rows.
function M.transformer_mlp()
  local x = lt.rand(2048, 256)
  return trainer(nn.Sequential{nn.LayerNorm(256), nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256)},
    function(model) return (model(x) + x):square():mean() end)
end

--- A tiny MLP, 2-16-16-1 on 32 rows: all of it is overhead.
function M.tiny()
  local x, y = lt.rand(32, 2), lt.rand(32, 1)
  return trainer(nn.Sequential{nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)},
    function(model) return lt.mse_loss(model(x), y) end)
end

return M
