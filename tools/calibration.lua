-- Simulation-based calibration of map.sample, for both methods on a linear and a nonlinear decoder:
--   lua5.4 tools/calibration.lua --simulations 2000 --seed 1 --figure docs/calibration.png     (renews the tracked one)
-- One line a case; exit status 1 if ranks are not uniform, or the draws are too dependent for them to be, or if ranks
-- are uniform where the sampler was told a wrong noise: the check has to be able to fail.
local arguments = require "tools.arguments"
local calibration = require "spec.support.calibration"
local plot = require "latent.plot"

local parser = arguments.parser("tools/calibration.lua", "Are map.sample's draws those of the posterior?")
-- Bins that chi-squared can use have some draws each.
parser:option("--simulations", "of each case"):convert(arguments.whole(500)):default "2000"
parser:option("--seed", "where all random numbers start"):convert(arguments.whole()):default "1"
parser:option("--figure", "where it goes"):default "build/calibration.png"
local o = parser:parse()
local DRAWS, BINS = 99, 20
-- So that draws that are kept hardly depend on each other: fewer iterations between them where posteriors are round.
local CASES = {
  {decoder = "linear", method = "hmc", thin = 3, warmup = 150},
  {decoder = "linear", method = "mala", thin = 80, warmup = 400},
  {decoder = "nonlinear", method = "hmc", thin = 3, warmup = 150},
  {decoder = "nonlinear", method = "mala", thin = 40, warmup = 400},
  {decoder = "nonlinear", method = "hmc", thin = 3, warmup = 150, noise = 0.8, wrong = "noise 20 % too small"},
}
local LEAST_SHARE = 0.7 -- of effective draws

-- Bounds of a bin's count, one in a hundred bins outside: the binomial distribution, by its normal approximation.
local function band(n)
  local mean = n / BINS
  local width = 2.576 * (mean * (1 - 1 / BINS)) ^ 0.5
  return mean - width, mean, mean + width
end

-- A histogram's outline, with the band in which its bins should lie.
local function outline(each, n, title)
  local x, y = {}, {}
  for b, count in ipairs(each.counts) do
    table.move({(b - 1) * (DRAWS + 1) / BINS, b * (DRAWS + 1) / BINS}, 1, 2, #x + 1, x)
    table.move({count, count}, 1, 2, #y + 1, y)
  end
  local series = {{x = x, y = y, color = 1, width = 2}}
  for k, level in ipairs{band(n)} do
    series[#series + 1] = {x = {0, DRAWS + 1}, y = {level, level}, color = "#888888", width = 1, dashed = k ~= 2}
  end
  local top = math.max(2.2 * n / BINS, 1.05 * math.max(table.unpack(y)))
  series.title, series.yrange, series.legend = title, {0, top}, false
  series.xlabel, series.width, series.height = ("rank; p = %.2g"):format(each.p), 330, 230
  return plot.lines(series)
end

local panels, failed = {}, 0
print(("%d simulations, %d draws each, %d bins; chi-squared of all quantities together, and the least p of one"):format(
  o.simulations, DRAWS, BINS))
for _, case in ipairs(CASES) do
  local result = calibration.ranks(case.decoder, {simulations = o.simulations, draws = DRAWS, thin = case.thin,
    warmup = case.warmup, seed = o.seed, method = case.method, noise = case.noise})
  local verdict = calibration.test(result, BINS)
  local independent = result.ess >= LEAST_SHARE * DRAWS
  local good = independent and verdict.uniform == not case.wrong
  if not good then failed = failed + 1 end
  print(("%-4s %-9s %-4s  chi-squared %6.1f, %d degrees of freedom, p %.2g; least p %.2g; ESS %.0f; acceptance %.2f%s")
    :format(good and "ok" or "FAIL", case.decoder, case.method, verdict.value, verdict.total_degrees, verdict.p,
      verdict.worst, result.ess, result.accept, not independent and "; too few effective draws, thin more"
      or case.wrong and ("; %s, which must show"):format(case.wrong) or ""))
  for q, each in ipairs(verdict.each) do
    local name = q < #verdict.each and ("z%d"):format(q) or "energy"
    panels[#panels + 1] = outline(each, o.simulations, case.wrong and ("wrong noise: %s"):format(name)
      or ("%s, %s: %s"):format(case.decoder, case.method:upper(), name))
  end
end
plot.panels(panels, {columns = #panels // #CASES,
  title = ("Ranks of the true code among %d draws, %d simulations"):format(DRAWS, o.simulations)}):save(o.figure)
print(o.figure)
os.exit(failed == 0, true)
