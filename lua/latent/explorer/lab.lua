--- What the page asks of the models: codes, pictures, searches. Runs in the page's worker, on the library compiled to
-- WebAssembly; a request is a table, and so is the answer, with the tensors that belong to it.
-- @module latent.explorer.lab
local lt = require "latent"
local data = require "latent.data"
local map = require "latent.map"
local metrics = require "latent.metrics"
local optim = require "latent.optim"
local safetensors = require "latent.safetensors"

local M = {}

local SIDE, ORIGINAL = 32, 28 -- pixels, as the models see images and as files have them
local CHAINS, WARMUP, DRAWS, STEPS = 4, 100, 80, 8 -- of the posterior's draws
local SHOWN = 8 -- of them
local LEAST_NOISE = 0.05 -- that a search reckons with: without any, one code alone would be likely
local MAP_LR = 0.03

--- A laboratory: models by their names, and the test images.
-- @type Lab
local Lab = {}
Lab.__index = Lab

--- The models of the exercises by their kinds and the sizes of their codes.
-- @tparam table models exercises/models.lua
-- @treturn function of a kind, as `latent.explorer.weights` tells it, and a size; returns a model
function M.maker(models)
  return function(kind, latent)
    if kind == "vae" then return models.vae(latent) end
    return models[kind]()
  end
end

--- Makes one.
-- @tparam table models what latent.explorer.weights lists: {name, kind, file, ...}
-- @tparam function new_model of `maker`
-- @tparam function read_set the test images, of a given size
-- @treturn Lab
function M.new(models, new_model, read_set)
  return setmetatable({listed = models, new_model = new_model, read_set = read_set, loaded = {}}, Lab)
end

-- A model, loaded when it is first asked for.
local function model_of(self, name)
  local found = self.loaded[name]
  if found then return found end
  for _, listed in ipairs(self.listed) do
    if listed.name == name then
      found = self.new_model(listed.kind, listed.latent)
      found:load_state(assert(safetensors.load(listed.file))):freeze():eval()
      self.loaded[name] = found
      return found
    end
  end
  error(('no model "%s" in this page'):format(tostring(name)), 0)
end
Lab.model = model_of

--- The name of the model that the prompt calls `model`: the plane's VAE that the exercises call vae2, else its first.
function Lab:usual()
  local first
  for _, listed in ipairs(self.listed) do
    if listed.kind == "vae" and listed.latent == 2 then
      if listed.beta == 0.01 then return listed.name end
      first = first or listed.name
    end
  end
  return first
end

-- What a classifier reads in pictures: the classes' probabilities, [n, 10].
local function read(self, pictures) return model_of(self, "classifier")(pictures):softmax(2) end

-- Codes and their spread, which an autoencoder does not have.
local function encode(model, x)
  local mean, log_var = model:encode(x)
  return mean, log_var and (log_var / 2):exp() or lt.zeros(mean)
end

--- The set of test images, read when it is first asked for.
-- @treturn Set
function Lab:test()
  self.set = self.set or self.read_set(SIDE)
  return self.set
end

--- The test images. @treturn table labels @treturn Tensor [n, 32, 32, 1]
function Lab:images()
  local x, labels = self:test():batch(lt.arange(1, #self:test()))
  return {labels = labels:table()}, {x}
end

--- The codes of all test images by a model (for a VAE the means), [n, latent].
function Lab:codes(request) return {}, {model_of(self, request.model):codes(self:test())} end

--- Pictures of codes, and what the classifier reads in them.
function Lab:decode(request)
  local pictures = model_of(self, request.model):pictures(lt.tensor(request.codes))
  return {}, {pictures, lt.no_grad(function() return read(self, pictures) end)}
end

-- An image of 28 by 28 values from 0 to 255 as the models see those of the test set, [1, 32, 32, 1].
local function as_seen(original)
  local bytes = original:clamp(0, 255):round():u8():reshape(1, ORIGINAL, ORIGINAL, 1)
  return lt.gather_scaled(lt.resize_bilinear(bytes, SIDE, SIDE), lt.tensor{1}, 2 / 255, -1)
end

--- A test image as it is in its file, [28, 28] from 0 to 255.
function Lab:original(request)
  self.originals = self.originals or self.read_set(ORIGINAL)
  local x = self.originals:batch{request.index}
  return {}, {((x + 1) * 127.5):round():reshape(ORIGINAL, ORIGINAL)}
end

--- What models make of a digit, [28, 28] from 0 to 255: the image as they see it; of each model mean and spread of the
-- code, and the picture; then the classes' probabilities.
function Lab:digit(request, original)
  local image = as_seen(original)
  local tensors = {image}
  lt.no_grad(function()
    for _, name in ipairs(request.models) do
      local model = model_of(self, name)
      local mean, spread = encode(model, image)
      table.move({mean, spread, model:decode(mean)}, 1, 3, #tensors + 1, tensors)
    end
    tensors[#tensors + 1] = read(self, image)
  end)
  return {}, tensors
end

-- ---- restoring what is noisy or half hidden ----

-- 1 where a pixel is seen, [32, 32, 1].
local function seen_of(hidden)
  local half = {SIDE // 2, SIDE, 1}
  if hidden == "left" or hidden == "right" then half = {SIDE, SIDE // 2, 1} end
  local axis = half[1] < SIDE and 1 or 2
  local zeros, ones = lt.zeros(half), lt.ones(half)
  if hidden == "top" or hidden == "left" then return lt.cat({zeros, ones}, axis) end
  if hidden == "bottom" or hidden == "right" then return lt.cat({ones, zeros}, axis) end
  return lt.ones(SIDE, SIDE, 1)
end

--- Measures a clean image with noise, and with a half hidden: what is to be restored. The bottleneck answers at once;
-- what it does not see is background to it.
-- @tparam table request model, noise, hidden ("none", "top", ...), seed
-- @tparam Tensor clean [1, 32, 32, 1]
function Lab:measure(request, clean)
  local model, noise = model_of(self, request.model), request.noise
  local seen = seen_of(request.hidden)
  local noisy = data.noisy(clean, noise, {generator = lt.generator(request.seed)})
  local measured = lt.where(seen:unsqueeze(1), noisy, -1)
  local problem = map.problem{decode = function(z) return model:decode(z) end, latent = request.latent,
    measured = measured, noise = math.max(noise, LEAST_NOISE), operator = map.mask(seen)}
  local code, answer
  lt.no_grad(function()
    code = model:encode(measured)
    answer = model:decode(code)
  end)
  self.clean, self.problem, self.code, self.search, self.draws = clean, problem, code, nil, nil
  return {mse = metrics.mse(answer, clean), noisy_mse = metrics.mse(measured, clean),
    beta = map.calibrated_beta(problem.noise[1], problem.pixels[1] // 1 | 0, request.latent)}, {measured, answer}
end

-- Pictures of the search's codes and their errors against the clean image.
local function state_of(self)
  local pictures = self.problem:pictures(self.search.z:detach())
  local errors = (pictures - self.clean):square():reshape(#pictures, -1):mean(2)
  return {step = self.search.step, errors = errors:table()}, {pictures}
end

--- Begins searches for the likeliest code: the first from what the encoder says, the others from the prior.
-- @tparam table request starts (how many), seed
function Lab:begin_search(request)
  local problem, rows = self.problem, {}
  for i = 1, request.starts do rows[i] = 1 end
  local z = lt.randn({request.starts, problem.latent}, {generator = lt.generator(request.seed)})
  z = lt.cat({self.code, z:slice(1, 2, request.starts)}, 1)
  local code = lt.param(z)
  self.search = {z = code, rows = lt.tensor(rows), adam = optim.Adam({code}, {lr = MAP_LR}), step = 0}
  return state_of(self)
end

--- Goes on with all searches at once. The losses are those of the sheet, mean (y - A g(z))^2 + beta mean z^2.
-- @tparam table request steps (how many)
-- @treturn table losses: a list of the starts' losses for each step
function Lab:search_on(request)
  local search, problem, losses = self.search, self.problem, {}
  for k = 1, request.steps do
    search.adam:zero_grad()
    local energy = problem:energy(search.z, search.rows)
    energy:sum():backward()
    search.adam:step()
    losses[k] = problem:loss(energy:detach(), search.rows):table()
  end
  search.step = search.step + request.steps
  local answer, tensors = state_of(self)
  answer.losses = losses
  return answer, tensors
end

-- ---- the posterior ----

-- A coroutine that draws; it yields wherever the decoder is asked, so that the page can show how far it is.
local function drawing(self, request)
  local problem, decode = self.problem, self.problem.decode
  local looked = problem.evaluations
  problem.decode = function(z)
    if coroutine.isyieldable() then coroutine.yield(problem.evaluations - looked) end
    return decode(z)
  end
  return coroutine.create(function()
    local ok, result = pcall(map.sample, problem, {start = self.code, chains = CHAINS, warmup = WARMUP,
      draws = DRAWS, steps = STEPS, generator = lt.generator(request.seed)})
    problem.decode = decode
    if not ok then error(result, 0) end
    return result
  end)
end

-- Draws that lie far from each other, as codes [SHOWN, latent].
local function some(codes)
  local flat, rows = codes:reshape(-1, codes:size(4)), {}
  for k = 1, SHOWN do rows[k] = (k - 1) * (#flat // SHOWN) + 1 + (k - 1) % CHAINS end
  return flat:gather_rows(lt.tensor(rows))
end

--- Begins to draw from the posterior of the codes. @tparam table request seed
function Lab:begin_draws(request)
  self.draws = drawing(self, request)
  return {}
end

--- Goes on for some milliseconds. When done: the mean picture, its deviation a pixel, and some draws.
-- @tparam table request ms
-- @treturn table share done (about), done, rhat (the largest)
function Lab:draw_on(request)
  local until_ms = os.clock() + request.ms / 1000
  local ok, result
  repeat
    ok, result = coroutine.resume(self.draws)
    if not ok then error(result, 0) end
  until coroutine.status(self.draws) == "dead" or os.clock() >= until_ms
  if coroutine.status(self.draws) ~= "dead" then
    return {share = math.min(0.99, result / (CHAINS * (WARMUP + DRAWS) * STEPS))}
  end
  return {share = 1, done = true, rhat = result:diagnose().rhat:max():item(), accept = result.accept:mean():item(),
    mse = metrics.mse(result.mean, self.clean)},
    {result.mean, result.std, self.problem:pictures(some(result.codes))}
end

return M
