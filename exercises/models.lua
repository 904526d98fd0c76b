--- The models of the exercises. Images are [batch, 32, 32, 1] in [-1, 1].
local lt, nn = require "latent", require "latent.nn"

local M = {}

local function conv(inputs, outputs) return nn.Conv2d(inputs, outputs, 3, {padding = 1}) end
local function deconv(inputs, outputs) return nn.ConvTranspose2d(inputs, outputs, 3, {padding = 1}) end

-- Four blocks, 32x32x1 -> 16x16x16 -> 8x8x16 -> 4x4x16 -> 2x2x16, and what follows them.
local function four_blocks(...)
  return nn.Sequential{
    conv(1, 16), nn.ReLU(), nn.MaxPool2d(2),
    conv(16, 16), nn.ReLU(), nn.MaxPool2d(2),
    conv(16, 16), nn.ReLU(), nn.MaxPool2d(2),
    conv(16, 16), nn.ReLU(), nn.MaxPool2d(2),
    ...
  }
end

-- What comes first, and then back up: 2x2x16 -> 4x4x16 -> 8x8x16 -> 16x16x16 -> 32x32x1.
local function four_up(...)
  local layers = {...}
  for _, layer in ipairs{
    nn.Upsample(2), deconv(16, 16), nn.ReLU(),
    nn.Upsample(2), deconv(16, 16), nn.ReLU(),
    nn.Upsample(2), deconv(16, 16), nn.ReLU(),
    nn.Upsample(2), deconv(16, 1),
  } do layers[#layers + 1] = layer end
  return nn.Sequential(layers)
end

--- The autoencoder: a code of two numbers, never negative, because a ReLU makes them.
function M.autoencoder()
  return nn.Module{
    kind = "Autoencoder",
    encoder = four_blocks(conv(16, 1), nn.ReLU(), nn.MaxPool2d{1, 2}, nn.Flatten()),
    decoder = four_up(nn.Reshape(2, 1, 1), nn.Upsample{1, 2}, deconv(1, 16), nn.ReLU()),
    encode = function(self, x) return self.encoder(x) end, -- [n, 2]
    decode = function(self, z) return self.decoder(z) end,
    forward = function(self, x) return self:decode(self:encode(x)) end,
  }
end

--- The classifier: logits of the ten classes.
function M.classifier()
  return four_blocks(nn.Flatten(), nn.Linear(64, 10))
end

--- The variational autoencoder with a code of `latent` numbers.
function M.vae(latent)
  local function head() return nn.Sequential{nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, latent)} end
  return nn.Module{
    kind = "VAE",
    body = four_blocks(nn.Flatten()),
    mu = head(),
    log_var = head(),
    decoder = four_up(nn.Linear(latent, 64), nn.ReLU(), nn.Reshape(2, 2, 16)),
    encode = function(self, x) -- mean and log-variance, [n, latent] each
      local h = self.body(x)
      return self.mu(h), self.log_var(h)
    end,
    sample = function(_, mu, log_var) return mu + (log_var / 2):exp() * lt.randn(mu) end,
    decode = function(self, z) return self.decoder(z) end,
    forward = function(self, x)
      local mu, log_var = self:encode(x)
      return self:decode(self:sample(mu, log_var)), mu, log_var
    end,
  }
end

return M
