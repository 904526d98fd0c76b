-- The models of a golden folder, built from layers of latent.nn in the sizes that PyTorch's weights
-- have, and the table that maps PyTorch's names to ours.
local nn = require "latent.nn"

local M = {}

-- The number of layers called prefix.0, prefix.1, ...
local function count(weights, prefix)
  local n = 0
  while weights[("%s.%d.weight"):format(prefix, n)] do n = n + 1 end
  return n
end

local function has_bias(weights, name) return {bias = weights[name .. ".bias"] ~= nil} end

local function conv(weights, name) -- [out, in, height, width]
  local w = weights[name .. ".weight"].shape
  local options = has_bias(weights, name)
  options.padding = {w[3] // 2, w[4] // 2}
  return nn.Conv2d(w[2], w[1], {w[3], w[4]}, options)
end

local function conv_transpose(weights, name) -- [in, out, height, width]
  local w = weights[name .. ".weight"].shape
  local options = has_bias(weights, name)
  options.padding = {w[3] // 2, w[4] // 2}
  return nn.ConvTranspose2d(w[1], w[2], {w[3], w[4]}, options)
end

local function linear(weights, name) -- [out, in]
  local w = weights[name .. ".weight"].shape
  return nn.Linear(w[2], w[1], has_bias(weights, name))
end

-- Adds a layer to a list; a named one (PyTorch's name) is entered into `names`.
local function append(list, layer, names, theirs, path)
  list[#list + 1] = layer
  if theirs then names[theirs] = ("%s.%d"):format(path, #list) end
end

-- conv, ReLU, pool 2: as many blocks as there are conv.* weights.
local function encoder_blocks(weights, names)
  local list = {}
  for i = 0, count(weights, "conv") - 1 do
    append(list, conv(weights, "conv." .. i), names, "conv." .. i, "encoder")
    append(list, nn.ReLU())
    append(list, nn.MaxPool2d(2))
  end
  return list
end

-- upsample 2, transposed convolution, ReLU; no activation after the last.
local function decoder_blocks(weights, list, blocks, names)
  for i, name in ipairs(blocks) do
    append(list, nn.Upsample(2))
    append(list, conv_transpose(weights, name), names, name, "decoder")
    if i < #blocks then append(list, nn.ReLU()) end
  end
  return list
end

--- Two numbers an image through the bottleneck, and back.
function M.autoencoder(weights)
  local names, up = {}, {}
  local encoder = encoder_blocks(weights, names)
  append(encoder, conv(weights, "code"), names, "code", "encoder")
  append(encoder, nn.ReLU())
  append(encoder, nn.MaxPool2d {1, 2})
  local decoder = {}
  append(decoder, nn.Upsample {1, 2})
  append(decoder, conv_transpose(weights, "up.0"), names, "up.0", "decoder")
  append(decoder, nn.ReLU())
  for i = 1, count(weights, "up") - 1 do up[#up + 1] = "up." .. i end
  up[#up + 1] = "out"
  decoder_blocks(weights, decoder, up, names)
  local model = nn.Module {
    encoder = nn.Sequential(encoder), decoder = nn.Sequential(decoder),
    forward = function(self, x) return self.decoder(self.encoder(x)) end,
  }
  return model, {layout = "torch", names = names}
end

function M.classifier(weights)
  local names = {}
  local layers = encoder_blocks(weights, names)
  append(layers, nn.Flatten())
  append(layers, linear(weights, "fc"), names, "fc", "encoder")
  local model = nn.Module {
    encoder = nn.Sequential(layers),
    forward = function(self, x) return self.encoder(x) end,
  }
  return model, {layout = "torch", names = names}
end

local function vae_decoder(weights, names)
  local list, up = {}, {}
  local units, channels = weights["fc.weight"]:size(1), weights["up.0.weight"]:size(1)
  local side = math.tointeger((units // channels) ^ 0.5)
  append(list, linear(weights, "fc"), names, "fc", "decoder")
  append(list, nn.ReLU())
  append(list, nn.Reshape(side, side, channels))
  for i = 0, count(weights, "up") - 1 do up[#up + 1] = "up." .. i end
  return nn.Sequential(decoder_blocks(weights, list, up, names))
end

local function head(weights, name, names)
  local list = {}
  append(list, linear(weights, name .. ".0"), names, name .. ".0", name)
  append(list, nn.ReLU())
  append(list, linear(weights, name .. ".1"), names, name .. ".1", name)
  return nn.Sequential(list)
end

--- forward(x, eps) gives the reconstruction, the mean and the log-variance of the code.
function M.vae(weights)
  local names = {}
  local layers = encoder_blocks(weights, names)
  append(layers, nn.Flatten())
  local last = ("conv.%d.weight"):format(count(weights, "conv") - 1)
  local channels = weights[last]:size(1)
  local model = nn.Module {
    encoder = nn.Sequential(layers),
    mu = head(weights, "mu", names), log_var = head(weights, "lv", names),
    decoder = vae_decoder(weights, names),
    forward = function(self, x, eps)
      local code = self.encoder(x)
      local mu, log_var = self.mu(code), self.log_var(code)
      return self.decoder(mu + (log_var / 2):exp() * eps), mu, log_var
    end,
  }
  for theirs, ours in pairs(names) do names[theirs] = ours:gsub("^lv%.", "log_var.") end
  return model, {layout = "torch", names = names, channels = {["mu.1"] = channels, ["log_var.1"] = channels}}
end

--- The decoder alone, as a model with the field `decoder`.
function M.decoder(weights)
  local names = {}
  local model = nn.Module {
    decoder = vae_decoder(weights, names),
    forward = function(self, z) return self.decoder(z) end,
  }
  return model, {layout = "torch", names = names}
end

return M
