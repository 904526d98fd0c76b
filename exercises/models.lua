--- The models of the exercises, and what is measured with them. Images are [batch, 32, 32, 1] in [-1, 1].
local lt, nn = require "latent", require "latent.nn"
local data, metrics = require "latent.data", require "latent.metrics"

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

-- What the autoencoder and the VAE share, without recording: the codes of all images of a set (for the VAE
-- the means), [n, latent], and the pictures of some codes, [n, 32, 32, 1].
local function codes(self, set) return data.apply(set, function(x) return (self:encode(x)) end) end
local function pictures(self, z) return lt.no_grad(function() return self:decode(z) end) end

--- The autoencoder: a code of two numbers, never negative, because a ReLU makes them.
function M.autoencoder()
  return nn.Module{
    kind = "Autoencoder",
    encoder = four_blocks(conv(16, 1), nn.ReLU(), nn.MaxPool2d{1, 2}, nn.Flatten()),
    decoder = four_up(nn.Reshape(2, 1, 1), nn.Upsample{1, 2}, deconv(1, 16), nn.ReLU()),
    encode = function(self, x) return self.encoder(x) end, -- [n, 2]
    decode = function(self, z) return self.decoder(z) end,
    forward = function(self, x) return self:decode(self:encode(x)) end,
    codes = codes, pictures = pictures,
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
    sample = function(_, mu, log_var)
      -- (task) Return a draw from N(mu, exp(log_var)) for each row; gradients must reach mu and log_var.
      return mu + (log_var / 2):exp() * lt.randn(mu)
      -- (end)
    end,
    decode = function(self, z) return self.decoder(z) end,
    forward = function(self, x)
      local mu, log_var = self:encode(x)
      return self:decode(self:sample(mu, log_var)), mu, log_var
    end,
    codes = codes, pictures = pictures,
  }
end

-- ---- measurements ----

--- How often the nearest training code has the right class, %: for each class, and the mean.
-- @param model one with `codes`
-- @tparam Set train
-- @tparam Set test
function M.nearest_accuracy(model, train, test)
  local answers = metrics.nearest(model:codes(train), train.labels, model:codes(test))
  return metrics.per_class(answers, test.labels, {scale = 100, classes = #test.classes})
end

--- A VAE over a set: the MSE of the pictures of the means, the KL divergence in nats an image, and the
-- standard deviation of the means.
function M.measured(vae, set)
  local mse, kl = data.average(set, function(x)
    local mu, log_var = vae:encode(x)
    return lt.mse_loss(vae:decode(mu), x), lt.gaussian_kl(mu, log_var)
  end)
  return mse, kl, vae:codes(set):std(1):mean():item()
end

--- All pairs of two axes' values as codes [#ys * #xs, 2], row by row, the first row for ys[1].
-- @tparam Tensor xs [m]
-- @tparam Tensor ys [n]
function M.grid(xs, ys)
  local y, x = lt.meshgrid{ys, xs}
  return lt.stack({x, y}, 3):reshape(-1, 2)
end

--- What a classifier reads in images: classes 0..9, and how sure it is (probability), [n] each.
function M.read(classifier, images)
  local p = lt.no_grad(function() return classifier(images):softmax(2) end)
  return p:argmax(2) - 1, p:max(2)
end

--- What a classifier sees in images: how many classes with a certainty of more than 90 %, and how many images
-- are read as the commonest class.
function M.readable(classifier, images)
  local seen, certainty = M.read(classifier, images)
  local sure, classes, commonest = certainty:gt(0.9), 0, 0
  for class = 0, 9 do
    local is_class = seen:eq(class)
    classes = classes + (is_class * sure):max():item()
    commonest = math.max(commonest, is_class:sum():item())
  end
  return classes, commonest
end

return M
