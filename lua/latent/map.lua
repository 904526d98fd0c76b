--- Inverse problems in the latent space of a decoder: denoising, inpainting, deblurring by the code that explains a
-- measurement best (MAP), and by draws from all the codes that explain it well (the posterior).
--
--    local map = require "latent.map"
--    local problem = map.problem{decode = decode, measured = noisy, latent = 16, noise = 0.5}
--    local best = map.solve(problem, {start = mu, restarts = 4})          -- best.pictures, best.energy, ...
--    local posterior = map.sample(problem, {start = best.codes})          -- posterior.mean, posterior.std, ...
--
-- The energy, its units and the conversion to the sheet's beta are in `latent.map.problem`.
-- @module latent.map
local diagnostics = require "latent.map.diagnostics"
local noise = require "latent.map.noise"
local operators = require "latent.map.operators"
local problem = require "latent.map.problem"
local sample = require "latent.map.sample"
local solve = require "latent.map.solve"

local M = {}

--- States a problem. The decoder's parameters should be frozen (`model:freeze()`), or each backward spends time
-- on gradients that nobody wants.
-- @function problem
-- @tparam table opts
-- @treturn Problem with fields images (n), latent, noise [n], pixels [n] (measured values an image), weight [n],
-- and `evaluations`, how many codes have been decoded so far
-- @raise if something is missing or does not fit
M.problem = problem.new

--- The beta of the sheet's form that is Bayes' rule: noise^2 * latent / pixels.
-- @function calibrated_beta
-- @tparam number noise standard deviation of the measurement's noise
-- @tparam int pixels measured values an image
-- @tparam int latent size of a code
-- @treturn number
M.calibrated_beta = problem.calibrated_beta

--- The noise that a beta of the sheet's form would be right for: the inverse of `calibrated_beta`.
-- @function implied_noise
-- @tparam number beta
-- @tparam int pixels measured values an image
-- @tparam int latent size of a code
-- @treturn number standard deviation
M.implied_noise = problem.implied_noise

--- Looks for the code of least energy of each image.
--
-- All restarts run side by side as one batch, and the best is kept for each image. With L-BFGS each row has its
-- own line search and stops by itself (see `latent.optim.lbfgs`); Adam takes the same number of steps for all, and
-- does what the sheet does. With `discrepancy` a row stops as soon as its mean squared residual is no more than
-- (discrepancy * noise)^2: to fit closer would be to fit the noise.
--
-- Sources: L-BFGS as in `latent.optim.lbfgs`; D. Kingma and J. Ba, "Adam", ICLR 2015; V. Morozov, "On the solution
-- of functional equations by the method of regularization", Soviet Mathematics Doklady 7 (1966).
-- @function solve
-- @tparam Problem problem of `map.problem`
-- @tparam ?table opts
-- @treturn table codes [n, latent], pictures [n, ...], energy [n] (nats), loss [n] (the sheet's form), residual
-- [n] (mean squared); restart, a list: which start won; reasons, a table of why how many rows stopped; spread,
-- [n], by how much the energies of an image's starts differ (standard deviation, nats; 0 for one start);
-- evaluations, decoder evaluations an image, all its starts together; trace, the mean energy after 1, 2, ...
-- evaluations of a start
-- @raise if an option is not as said
-- @usage
-- local problem = map.problem{decode = decode, measured = noisy, latent = 16, noise = 0.5}
-- local best = map.solve(problem, {start = mu, restarts = 4})
M.solve = solve.solve

--- Draws codes from the posterior of each image, exp(-U(z)) up to a factor.
--
-- All chains of all images take their leapfrog steps in one batch, the same number of them, which varies between half
-- and one and a half times `steps`; step sizes are adapted chain by chain, and the scales of the dimensions image by
-- image, in the warm-up, whose draws are thrown away. "mala" is one step at a time.
-- @function sample
-- @tparam Problem problem of `map.problem`
-- @tparam ?table opts
-- @treturn Posterior codes [draws, chains, n, latent]; mean and std, [n, ...] a pixel, over all draws of all chains
-- (nil if not wanted); accept [chains, n], the mean acceptance after the warm-up; step [chains, n];
-- evaluations, decoder evaluations an image (with gradient), all chains together; and `diagnose`
-- @raise if an option is not as said
-- @usage
-- local posterior = map.sample(problem, {start = best.codes})
-- print(posterior:diagnose{1}.rhat, posterior.std[1])
M.sample = sample.sample

--- R-hat of draws: the larger of the rank-normalised split R-hats of the values and of their distances from the
-- median. Near 1 where chains agree; above 1.01 they should run longer.
-- @function rhat
-- @tparam Tensor draws [draws, chains, ...], at least 4 draws
-- @treturn Tensor [...], one a column; NaN where a draw is not finite, infinite where chains stand still apart
-- @raise if the draws have another shape
M.rhat = diagnostics.rhat

--- Effective sample size, rank-normalised and of split chains: as many independent draws would tell as much, of the
-- bulk (a mean, a median) or of the tail (the worse of the 5 % and the 95 % quantile).
--
-- Source, as for `map.rhat`: A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P. Buerkner, "Rank-normalization,
-- folding, and localization", Bayesian Analysis 16 (2021); values are those of Stan and ArviZ.
-- @function ess
-- @tparam Tensor draws [draws, chains, ...], at least 4 draws
-- @tparam ?table opts
-- @treturn Tensor [...], one a column; NaN where nothing moves or a draw is not finite
-- @raise if the draws have another shape
M.ess = diagnostics.ess

--- The standard deviation of white noise in each image: the median of the absolute values of its finest diagonal
-- differences, divided by that of a standard normal number. Edges, of which few squares have any, hardly move a
-- median; pictures with fine texture everywhere do.
--
-- Source: D. Donoho and I. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81 (1994).
-- @function estimate_noise
-- @tparam Tensor images [n, height, width, channels], at least 2 x 2 pixels
-- @tparam ?Tensor mask [n or 1, height, width, channels or 1]: 0 where a pixel was not measured
-- @treturn Tensor [n], in the images' own units
-- @raise if the images have another shape
M.estimate_noise = noise.estimate

--- The picture itself: denoising.
-- @function identity
-- @treturn function
M.identity = operators.identity

--- Only the pixels where a mask is not 0: inpainting. What a measured image holds elsewhere is not looked at.
-- @function mask
-- @tparam Tensor mask [height, width, channels] for all images, or [n, height, width, channels], one each
-- @treturn function
-- @raise if the mask has another number of axes, or hides a whole image
M.mask = operators.mask

--- A Gaussian blur, each channel by itself.
-- @function blur
-- @tparam number sigma its standard deviation, pixels
-- @tparam ?table opts
-- @treturn function
M.blur = operators.blur

--- Means of squares of pixels: fewer and larger ones.
-- @function downsample
-- @tparam int factor the squares' side, pixels
-- @treturn function [n, height, width, channels] -> [n, height // factor, width // factor, channels]
M.downsample = operators.downsample

return M
