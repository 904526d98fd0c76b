--- The figures of exercise 10.
local lt, map, plot = require "latent", require "latent.map", require "latent.plot"
local restore, support = require "exercises.restore", require "exercises.support"

local M = {}

local function rows(file, title, names, list)
  local labelled = {}
  for i, row in ipairs(list) do labelled[i] = {label = row[1], images = row[2]} end
  support.figure(plot.image_rows{rows = labelled, titles = names, title = title}, file)
end

-- Standard deviations as grey levels: 0 black, `most` and above white.
local function grey(std, most) return (std * (2 / most) - 1):minimum(1) end

--- Mean losses of two searches against decoder evaluations; `searches`: {{label, result of map.solve}, ...}.
function M.optimisers(file, problem, searches)
  local lines = {title = "The same starts, two optimisers", xlabel = "decoder evaluations (with gradient) an image",
    ylabel = "MSE + beta mean(z^2)", log = "x"}
  for i, search in ipairs(searches) do
    local factor = 2 * problem.noise:get(1) ^ 2 / problem.pixels:get(1) -- nats to the sheet's loss
    local y, x = {}, {}
    for k, energy in ipairs(search[2].trace) do x[k], y[k] = k, energy * factor end
    lines[i] = {x = x, y = y, label = search[1]}
  end
  support.figure(plot.lines(lines), file)
end

--- MSE against the weight of the prior, a curve for each noise level, the calibrated beta marked.
-- @treturn {table,...} for each level least, the beta of the least MSE; mse, that MSE; calibrated, that of Bayes' rule
function M.against_weight(file, subject, clean, levels, o)
  local lines = {title = "How much prior? The calibrated beta is marked", xlabel = "beta", ylabel = "MSE of MAP",
    log = "x", markers = false, legend = "outside"}
  local found = {}
  for i, noise in ipairs(levels) do
    local calibrated, betas = map.calibrated_beta(noise, clean[1]:numel(), o.latent), {}
    for k = 1, 9 do betas[k] = calibrated * 2 ^ (k - 4) end
    local mse = restore.against_beta(restore.piece(subject, clean, noise, o.latent, o.seed), betas)
    lines[2 * i - 1] = {x = betas, y = mse, label = ("noise %g"):format(noise), color = i}
    lines[2 * i] = {x = {calibrated}, y = {mse[4]}, line = false, color = i, markers = true}
    local least = 1
    for k, value in ipairs(mse) do least = value < mse[least] and k or least end
    found[i] = {least = betas[least], mse = mse[least], calibrated = mse[4]}
  end
  support.figure(plot.lines(lines), file)
  return found
end

--- Ten examples restored by several methods; `list`: {{label, pictures}, ...}; at last what the posterior knows.
function M.restored(file, piece, list, posterior, names)
  list[#list + 1] = {"posterior mean", posterior.mean}
  list[#list + 1] = {"its deviation", grey(posterior.std, 0.5)}
  list[#list + 1] = {"clean", piece.clean}
  rows(file, ("Noise %g (deviation: white is 0.5 and more)"):format(piece.noise), names, list)
end

--- Half of each picture hidden: what the search makes of it, some draws, and where they differ.
function M.inpainted(file, piece, mask, best, posterior, names)
  local list = {{"clean", piece.clean}, {"measured", piece.noisy * mask}, {"MAP", best.pictures}}
  local draws, chains, n, d = table.unpack(posterior.codes.shape)
  for k = 1, 4 do -- far apart, from one chain after the other
    local at = ((k * draws // 4 - 1) * chains + (k - 1) % chains) * n
    local codes = posterior.codes:reshape(-1, d):slice(1, at + 1, at + n)
    list[#list + 1] = {("draw %d"):format(k), lt.no_grad(function() return piece.model:decode(codes) end)}
  end
  list[#list + 1] = {"mean", posterior.mean}
  list[#list + 1] = {"deviation", grey(posterior.std, 1)}
  rows(file, ("The right half hidden, noise %g (deviation: white is 1 and more)"):format(piece.noise), names, list)
end

--- Pictures from other measurements of them; `list`: {{label, measurement, pictures}, ...}.
function M.measured(file, title, piece, list, names)
  local all = {}
  for _, entry in ipairs(list) do
    local label, measured, pictures = table.unpack(entry)
    local factor = piece.clean:size(2) // measured:size(2)
    all[#all + 1] = {label, factor > 1 and lt.upsample_nearest(measured, factor) or measured}
    all[#all + 1] = {"MAP", pictures}
  end
  all[#all + 1] = {"clean", piece.clean}
  rows(file, title, names, all)
end

return M
