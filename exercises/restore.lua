--- Exercise 10's bench: methods that restore pictures, measured image by image. What has been measured is kept in
-- runs/map/, piece by piece, so that a run that is broken off goes on where it was.
local lt, data, map = require "latent", require "latent.data", require "latent.map"
local core, files, json = require "latent.core", require "latent.files", require "latent.json"
local progress = require "latent.progress"
local models, support = require "exercises.models", require "exercises.support"

local M = {}

local PIECE = 250 -- images that are restored at a time

-- ---- a VAE, and pieces of the test set ----

--- A VAE ready to restore pictures: name, model, a number that its weights fix, and the classifier.
-- @tparam string name of its weights
-- @tparam int latent
-- @tparam Module classifier
function M.subject(name, latent, classifier)
  return {name = name, model = support.load(models.vae(latent), name):freeze():eval(), classifier = classifier,
    weights = core.crc32(assert(files.read_all(support.find(name))))}
end

local Piece = {}
Piece.__index = Piece

--- States the problem of restoring this piece's pictures: `map.problem` with the decoder, the measurement and the
-- noise filled in unless they are given.
function Piece:problem(opts)
  opts = opts or {}
  opts.decode = function(z) return self.model:decode(z) end
  opts.latent, opts.measured = self.latent, opts.measured or self.noisy
  opts.noise = opts.noise or self.noise
  return map.problem(opts)
end

--- The encoder's means of pictures, [n, latent].
function Piece:encode(x)
  return lt.no_grad(function() return (self.model:encode(x)) end)
end

--- Some pictures as a piece: model, latent, clean, noisy, noise; random numbers of its methods start anew at `seed`.
function M.piece(subject, clean, noise, latent, seed)
  local generator = lt.generator(seed)
  return setmetatable({model = subject.model, latent = latent, clean = clean, noise = noise,
    noisy = data.noisy(clean, noise, {generator = generator}), generator = generator}, Piece)
end

-- ---- measuring ----

local function place(subject, noise, method)
  return support.path("runs", ("map/%s_%s_%s.json"):format(subject.name,
    method.any_noise and "any" or ("%g"):format(noise), method.key))
end

-- What has been measured so far with just these settings: a list of pieces.
local function measured_so_far(path, settings)
  local text = files.read_all(path)
  local kept = text and json.decode(text)
  return kept and json.encode(kept.settings) == settings and kept.pieces or {}
end

local function measure_piece(subject, x, y, noise, method, o, seed)
  local piece = M.piece(subject, x, noise, o.latent, seed)
  local clock = os.clock()
  local pictures, evaluations = method.restore(piece)
  clock = os.clock() - clock
  return {n = #y, mse = lt.mse_loss(pictures, x):item(), evaluations = evaluations or 0, ms = 1000 * clock / #y,
    kept = 100 * support.classify(subject.classifier, pictures):eq(y):mean():item()}
end

--- Measures a method over the first images of a set, or takes what was measured before with the same settings and
-- weights.
-- @tparam table subject
-- @tparam table set
-- @tparam number noise
-- @tparam table method {key = name of its file, label =, restore = function of a piece that returns pictures and
-- decoder evaluations an image; any_noise = true if the noise makes no difference}
-- @tparam table o options: images, latent, seed, and all others on which methods depend
-- @treturn table mse; kept, % that the classifier reads as their own class; ms of processor time, evaluations: an image
function M.measure(subject, set, noise, method, o)
  local path = place(subject, noise, method)
  local settings = support.settings(o)
  settings.weights, settings.set = subject.weights, #set
  local encoded = json.encode(settings)
  local pieces = measured_so_far(path, encoded)
  local count = math.min(o.images, #set)
  local total = (count + PIECE - 1) // PIECE
  local bar <close> = progress.new{label = ("%s, noise %g"):format(method.label, noise), steps = total}
  for k = #pieces + 1, total do
    local x, y = set:batch(lt.arange((k - 1) * PIECE + 1, math.min(k * PIECE, count)))
    pieces[k] = measure_piece(subject, x, y, noise, method, o, o.seed * 1000 + k)
    assert(files.write_atomic(path, json.encode({settings = settings, pieces = pieces})))
    bar:step(pieces[k].mse)
  end
  local mean = {mse = 0, kept = 0, ms = 0, evaluations = 0}
  for _, piece in ipairs(pieces) do
    for name, sum in pairs(mean) do mean[name] = sum + piece[name] * piece.n / count end
  end
  return mean
end

--- What each stage of a decoder's training brings: measures bottleneck, MAP and floor (that of `levels`), and prints
-- them as a table.
-- @tparam {table,...} stages subjects with a label
-- @tparam table set
-- @tparam table methods by key: bottleneck, sheet, calibrated, floor
-- @tparam table o
-- @treturn {table,...} {map =, floor =}, MSEs, of each stage
function M.parts(stages, set, methods, o)
  local rows, list = {}, {}
  for i, subject in ipairs(stages) do
    local function measured(key) return M.measure(subject, set, o.noise, methods[key], o) end
    local bottleneck, sheet, best, floor = measured "bottleneck", measured "sheet", measured "calibrated",
      measured "floor"
    list[i] = {map = best.mse, floor = floor.mse}
    rows[i] = {subject.label, ("%.4f"):format(bottleneck.mse), ("%.4f"):format(sheet.mse), ("%.4f"):format(best.mse),
      ("%.4f"):format(floor.mse), bottleneck.kept, best.kept}
  end
  support.print_table(("Which part buys what: MSE over %d test images, noise %g"):format(o.images, o.noise),
    {"", "bottleneck", "sheet's MAP", "MAP", "floor", "kept, b. %", "kept, MAP %"}, rows)
  return list
end

--- Measures all methods at several noise levels, and prints a table for each: error, how far it is above the floor,
-- digits kept, cost. The floor is what our search reaches for the clean image itself, so that a method may well get
-- below it.
-- @treturn table by noise and method's key: what `measure` returned
function M.levels(subject, set, methods, levels, o)
  local all = {}
  for _, noise in ipairs(levels) do
    local by_key, rows = {}, {}
    for _, method in ipairs(methods) do by_key[method.key] = M.measure(subject, set, noise, method, o) end
    for i, method in ipairs(methods) do
      local r = by_key[method.key]
      rows[i] = {method.label, ("%.4f"):format(r.mse), ("%+.4f"):format(r.mse - by_key.floor.mse), r.kept,
        ("%.1f"):format(r.ms), ("%.0f"):format(r.evaluations)}
    end
    support.print_table(("Noise %g, %d test images; ms of processor time and codes decoded: an image"):format(noise,
      o.images), {"", "MSE", "- floor", "kept %", "ms", "decoded"}, rows)
    all[noise] = by_key
  end
  return all
end

-- ---- curves ----

--- MSE and prior weight: solves a piece for several betas, each from the codes of the one before.
-- @treturn {number,...} MSE for each
function M.against_beta(piece, betas)
  local codes, list = piece:encode(piece.noisy), {}
  for i = #betas, 1, -1 do -- from the strongest prior on, whose energy has the fewest valleys
    local best = map.solve(piece:problem{beta = betas[i]}, {start = codes})
    codes, list[i] = best.codes, lt.mse_loss(best.pictures, piece.clean):item()
  end
  return list
end

--- After how many evaluations a falling trace is down at a value; nil if never.
function M.reaches(trace, value)
  for i, v in ipairs(trace) do
    if v <= value then return i end
  end
end

return M
