--- The ways of exercise 10 to restore a noisy picture y, and their bench. Each gets a piece (some pictures, a
-- VAE, a level of noise) and returns pictures, how many codes it decoded for each, and what the search found.
-- MAP minimises U(z) = |y - g(z)|^2 / (2 noise^2) + |z|^2 / 2; the sheet's beta gives |z|^2 another weight.
local lt, data, map = require "latent", require "latent.data", require "latent.map"
local experiment, folder = require "latent.experiment", require "latent.experiment.folder"
local metrics, safetensors = require "latent.metrics", require "latent.safetensors"
local models = require "exercises.models"

local M = {list = {}, by_key = {}}

local Piece = {}
Piece.__index = Piece

--- Some pictures and what is needed to restore them; random numbers start anew at the seed.
-- @tparam Module model a VAE whose weights are frozen
-- @tparam Tensor clean [n, 32, 32, 1]
-- @tparam number noise
-- @tparam table o latent, restarts, chains, draws, map_beta, map_steps, map_lr
-- @tparam int seed
function M.piece(model, clean, noise, o, seed)
  local generator = lt.generator(seed)
  return setmetatable({model = model, clean = clean, noise = noise, o = o, generator = generator,
    noisy = data.noisy(clean, noise, {generator = generator})}, Piece)
end

--- The encoder's means of pictures, [n, latent].
function Piece:encode(x) return (self.model:encode(x)) end

--- States the problem of restoring the pictures: map.problem, measurement and noise unless given.
function Piece:problem(opts)
  opts = opts or {}
  opts.decode, opts.latent = function(z) return self.model:decode(z) end, self.o.latent
  opts.measured, opts.noise = opts.measured or self.noisy, opts.noise or self.noise
  return map.problem(opts)
end

--- Searches for the likeliest codes. @tparam table what as for `problem` @tparam table how as for map.solve
function Piece:solve(what, how)
  how.generator = self.generator
  local best = map.solve(self:problem(what), how)
  return best.pictures, best.evaluations, best
end

local function method(key, label, restore)
  local entry = {key = key, label = label, restore = restore}
  M.list[#M.list + 1], M.by_key[key] = entry, entry
end

method("noisy", "noisy", function(p) return p.noisy, 0 end)
method("bottleneck", "bottleneck", function(p) return p.model:pictures(p:encode(p.noisy)), 1 end)
method("sheet", "the sheet's MAP: Adam, random start", function(p)
  return p:solve({beta = p.o.map_beta}, {method = "adam", lr = p.o.map_lr, steps = p.o.map_steps})
end)
method("encoder", "L-BFGS from the encoder's code", function(p)
  return p:solve({beta = p.o.map_beta}, {start = p:encode(p.noisy)})
end)
method("restarts", "best of several starts", function(p)
  return p:solve({beta = p.o.map_beta}, {start = p:encode(p.noisy), restarts = p.o.restarts})
end)
method("calibrated", "the same, calibrated beta", function(p)
  return p:solve({}, {start = p:encode(p.noisy), restarts = p.o.restarts})
end)
method("posterior", "posterior mean", function(p)
  local _, evaluations, best = M.by_key.calibrated.restore(p)
  local s = map.sample(p:problem(), {start = best.codes, chains = p.o.chains, warmup = p.o.draws,
    draws = p.o.draws, generator = p.generator})
  return s.mean, evaluations + s.evaluations, s
end)
method("floor", "floor: the clean image itself", function(p)
  return p:solve({measured = p.clean, noise = 0.02}, {start = p:encode(p.clean), restarts = p.o.restarts})
end)

--- The VAE of a weights file, ready to restore pictures.
function M.load(path, latent)
  return models.vae(latent):load_state(assert(safetensors.load(path))):freeze():eval()
end

--- The options that the methods know.
M.options = {latent = {16, min = 1}, images = {1000, min = 1}, noise = {0.5, above = 0},
  restarts = {4, min = 1}, chains = {2, min = 1}, draws = {60, min = 4}, map_steps = {1000, min = 1},
  map_lr = {0.01, above = 0}, map_beta = {0.01, above = 0}}

--- Measures methods over test images, by this file as a script, several at a time; what is measured is kept.
-- @tparam Experiment e
-- @tparam {table,...} list vae (a file of weights) and method; noise, first, images where they are not e's
-- @treturn Runs with the numbers mse, kept (% that the classifier reads as their own class), evaluations
--   and ms (of processor time), an image
function M.measured(e, list)
  local common = {data = e.options.data, seed = e.options.seed}
  for name in pairs(M.options) do common[name] = e.options[name] end
  for _, run in ipairs(list) do run.digest = folder.digest(run.vae) end -- other weights there are another run
  local runs, message = experiment.sweep("exercises/restore.lua", list,
    {common = common, out = e.options.out .. "/map"})
  return runs or e:fail(message)
end

--- Measures all methods with one VAE at some levels of noise, and prints a table for each level.
-- @tparam Experiment e
-- @tparam string vae its file of weights
-- @tparam {number,...} levels
-- @treturn {table,...} one a level: the numbers of each method, by its key
function M.bench(e, vae, levels)
  local plan, found = {}, {}
  for _, noise in ipairs(levels) do
    for _, way in ipairs(M.list) do plan[#plan + 1] = {vae = vae, method = way.key, noise = noise} end
  end
  local runs = M.measured(e, plan)
  for i, noise in ipairs(levels) do
    local rows, of, floor = {}, {}, runs[i * #M.list].numbers.mse
    for k, way in ipairs(M.list) do
      local f = runs[(i - 1) * #M.list + k].numbers
      rows[k] = {way.label, f.mse, ("%+.4f"):format(f.mse - floor), f.kept, f.ms, f.evaluations}
      of[way.key] = f
    end
    found[i] = of
    e:table(("Noise %g, %d test images"):format(noise, e.options.images),
      {"", "MSE", "- floor", "kept, %", "ms an image", "decoded"}, rows)
  end
  return found
end

local SHEET = {lr = 1e-4, final_lr = 1e-4, epochs = 50}
local BETTER = {lr = 2e-3, batch = 32, epochs = 20, warmup = 15}

--- The weights of exercise 10's VAEs: {beta, path}, the first trained as the sheet says, the others as
-- exercise 8 trains its own, but without the decay, which helps the encoder at the decoder's cost. Those of
-- MNIST come along, others are trained by one_vae.lua.
function M.vaes(e, sheet, betas)
  local o, list = e.options, {}
  for i, beta in ipairs{sheet, table.unpack(betas)} do
    local path = e:find_weights((i == 1 and "vae%d_sheet" or "vae%d_beta%g"):format(o.latent, beta))
    if not path then
      local how = {latent = o.latent, beta = beta, valid = 0, data = o.data, seed = o.seed}
      for name, value in pairs(i == 1 and SHEET or BETTER) do how[name] = value end
      if o.epochs > 0 then how.epochs = o.epochs end
      local runs, message = experiment.sweep("exercises/one_vae.lua", {how}, {out = o.out .. "/map"})
      path = (runs or e:fail(message))[1].folder .. "/vae.safetensors"
    end
    list[i] = {beta = beta, path = path}
  end
  return list
end

if ... == "exercises.restore" then return M end

-- As a script: one method, one VAE, one level of noise, in pieces of 250 images.
local own = {vae = {"", "a file of weights"}, method = "calibrated", first = {1, "test image", min = 1},
  digest = {"", "of the file"}}
for name, option in pairs(M.options) do own[name] = option end
local e <close> = experiment.begin{options = own, weights = "weights"}
local o, _, test = e.options, e:data()
local classifier = e:weights("classifier", models.classifier())
local set = data.subset(test, lt.arange(o.first, o.first + o.images - 1))
local model, number, clock = M.load(o.vae, o.latent), 0, os.clock()
local mse, kept, decoded = data.average(set, function(x, y)
  number = number + 1
  local piece = M.piece(model, x, o.noise, o, o.seed * 1000 + number)
  local pictures, evaluations = M.by_key[o.method].restore(piece)
  return metrics.mse(pictures, x), 100 * models.read(classifier, pictures):eq(y):mean():item(), evaluations
end, {batch = 250, grad = true})
e:number("ms", 1000 * (os.clock() - clock) / o.images)
e:number("mse", mse)
e:number("kept", kept)
e:number("evaluations", decoded)
