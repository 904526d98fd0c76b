--- Exercise 9: beta tuning. What does the weight of the KL divergence buy, and what does it cost?
--   lua5.4 exercises/09_beta_tuning.lua      35 trainings, about 17 minutes on two idle cores; done ones are kept
-- The loss is the sheet's, MSE + beta KL. The sheet has beta = 0.01 and asks what happens without it (beta = 1).
local support, sweep = require "exercises.support", require "exercises.sweep"
local figures = require "exercises.figures"

local o = support.options{
  jobs = 0, betas = "9", candidates = 3, seeds = 3, warmup_epochs = 5, batch = 64, valid = 5000, side = 15,
  demo = false,
  recipes = {default = {lr = 4e-3, final_lr = 0.0, epochs = 10}, sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50}},
}
local BETAS = {1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1}
local every = 8 // (tonumber(o.betas) - 1)

-- The sweep, for 2 and for 16 dimensions, and for each of them a run that learns sigma.
local plan, two, sixteen = sweep.plan(o), {}, {}
for i = 1, #BETAS, every do
  two[#two + 1], sixteen[#sixteen + 1] = plan:add{latent = 2, beta = BETAS[i]}, plan:add{latent = 16, beta = BETAS[i]}
end
local sigma2, sigma16 = plan:add{latent = 2, learn_sigma = true}, plan:add{latent = 16, learn_sigma = true}
plan:run()

-- Beta is tuned on training images kept apart. In two dimensions chance plays a part, so the best betas of the sweep
-- are trained with several seeds, each with a constant beta and with one that grows over the first epochs.
local arms, tuned = {}, nil
for i, candidate in ipairs(sweep.top(two, "valid_knn", o.candidates)) do
  local arm = {beta = candidate.beta, constant = {}, warm = {}}
  for seed = o.seed, o.seed + o.seeds - 1 do
    arm.constant[#arm.constant + 1] = plan:add{latent = 2, beta = arm.beta, seed = seed}
    arm.warm[#arm.warm + 1] = plan:add{latent = 2, beta = arm.beta, seed = seed, warmup_epochs = o.warmup_epochs}
  end
  arms[i] = arm
end
plan:run()
plan:table()
for _, arm in ipairs(arms) do
  if not tuned or sweep.mean(arm.warm, "valid_knn") > sweep.mean(tuned.warm, "valid_knn") then tuned = arm end
end

-- (a) What a nat buys.
local small, sheet, large = two[1], two[#two // 2 + 1], two[#two]
local curves = {{"2 dimensions", two, sigma2, tuned.warm}, {"16 dimensions", sixteen, sigma16}}
figures.rate_distortion("09_rate_distortion.png", "What a picture costs: the rate-distortion curve", curves)
figures.against_beta("09_against_beta.png", "What beta does", curves, {
  {"active_units", "Active units", "dimensions"}, {"spread", "Spread of the means", "standard deviation"},
  {"knn_accuracy", "k-NN accuracy", "% right"}, {"nll", "Negative log-likelihood", "nats an image"}})
support.say([[(a) Without the multiplier (beta = 1) the MSE of the 2-D VAE's pictures is %.3f, with the sheet's %g it is
  %.3f, with %g %.3f: %s; the mean image alone has about %.3f. In 16 dimensions it is %.3f, %.3f and %.3f, and %d, %d
  and %d dimensions are active.]], large.result.sampled_mse, sheet.beta, sheet.result.sampled_mse, small.beta,
  small.result.sampled_mse, large.result.sampled_mse > 1.2 * sheet.result.sampled_mse
  and "without it they are far worse" or "without it they are hardly worse", support.variance((select(2,
  support.data(o)))), sixteen[#two].result.sampled_mse, sixteen[#two // 2 + 1].result.sampled_mse,
  sixteen[1].result.sampled_mse, sixteen[#two].result.active_units, sixteen[#two // 2 + 1].result.active_units,
  sixteen[1].result.active_units)
local low, high = small.result.spread, large.result.spread
support.say([[The means' standard deviation is %.2f with beta %g, %.2f with %g and %.2f with %g: %s.]], low, small.beta,
  sheet.result.spread, sheet.beta, high, large.beta, high > low - 0.01 and "beta does not draw them together"
  or sweep.falls(two, "spread", 0.01) and "every larger beta pulls them closer to zero"
  or "a larger beta pulls them to zero, if not at every step")
if large.result.active_units == 0 then
  support.say([[With beta %g no dimension is active. The neighbours of its means are right for %.0f %% all the same,
    since they know no scale; but the decoder sees nothing except the noise about the means.]], large.beta,
    large.result.knn_accuracy)
end
figures.codes("09_latent_scatter.png", "09_generator.png", {small, sheet, large}, o)

-- (b) MSE + beta KL is, up to scale, the negative ELBO of a Gaussian with sigma^2 = beta * pixels / 2. So one run that
-- learns sigma with the weights also finds a beta: the one under which the images are most likely.
local luck = sweep.range(arms[1].constant, "nll")
for _, curve in ipairs(curves) do
  local label, list, sigma = table.unpack(curve)
  local r, rival = sigma.result, sweep.best(list, "nll", -1)
  support.say([[(b) %s: the learned sigma is %.3f, which stands for beta = 2 sigma^2 / 1024 = %.2g: %.2f nats, an MSE
    of %.4f, an NLL of about %.0f nats. In the sweep beta %g has the lowest NLL, %.0f: %s.]], label, r.sigma,
    r.own_beta, r.rate, r.sampled_mse, r.nll, rival.beta, rival.result.nll, r.nll <= rival.result.nll
    and "no beta of the sweep explains the images better than that one run" or r.nll - rival.result.nll <= luck
    and ("they differ by less than runs of one beta with other seeds (%.0f nats)"):format(luck)
    or "the sweep has found a better one")
end

-- (c) What a warm-up buys: over the seeds that had no part in choosing the betas.
local rows, gain, chance = sweep.compare(arms, "knn_accuracy")
support.print_table(("k-NN accuracy in two dimensions, %%; seeds: %d"):format(o.seeds),
  {"", "         constant beta", "        with a warm-up"}, rows)
local with, with_text = sweep.mean(tuned.warm, "knn_accuracy")
support.say([[(c) With a warm-up beta %g does best on the images kept apart; on the test images its k-NN accuracy is %s
  %% (k = %d for the first seed, chosen on the images kept apart; the nearest neighbour alone is right for %s %%). Over
  these betas the warm-up %s: %+.1f points on average, while runs of one beta with different seeds lie up to %.1f
  points apart.]], tuned.beta, with_text, tuned.warm[1].result.k,
  select(2, sweep.mean(tuned.warm, "knn1")), math.abs(gain) < chance / 2 and "makes less difference than chance does"
  or gain > 0 and "pays" or "costs", gain, chance)
support.answer{["ex9.beta"] = tuned.beta, ["ex9.knn_mean"] = with, ["ex9.knn1_mean"] = sweep.mean(tuned.warm, "knn1"),
  ["ex9.knn_constant"] = sweep.mean(tuned.constant, "knn_accuracy"), ["ex9.sigma_beta_2d"] = sigma2.result.own_beta,
  ["ex9.sigma_beta_16d"] = sigma16.result.own_beta, ["ex9.mse_sheet"] = sheet.result.sampled_mse,
  ["ex9.mse_beta1"] = large.result.sampled_mse, ["ex9.spread_sheet"] = sheet.result.spread, ["ex9.spread_beta1"] = high}
