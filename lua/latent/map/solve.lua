--- Maximum a posteriori: the code of least energy of each image, from one start or several.
-- @module latent.map.solve
local lt = require "latent"
local core = require "latent.core"
local lbfgs = require "latent.optim.lbfgs"
local optim = require "latent.optim"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

local NAME = "map.solve"

-- Starting codes [restarts * n, latent], one block of n a restart, and which image each row belongs to.
local function starts(problem, opts)
  local n, restarts = problem.images, opts.restarts
  local z = lt.randn({restarts * n, problem.latent}, {generator = opts.generator, dtype = problem.dtype})
  local start = opts.start
  if core.is_tensor(start) then
    if start.dtype ~= problem.dtype or start:dim() ~= 2 or start:size(2) ~= problem.latent or #start % n ~= 0
        or #start == 0 or #start > #z then
      raise(("%s: start: expected %s [%d, %d]%s, got %s"):format(NAME, problem.dtype, n, problem.latent,
        restarts > 1 and " or a multiple of its rows, one start each" or "", shapes.typed(start)))
    end
    z = #start < #z and lt.cat({start:detach(), z:slice(1, #start + 1, #z)}, 1) or start:detach():clone()
  elseif start ~= "prior" then
    raise(('%s: start: expected "prior" or codes, got %s'):format(NAME, options.describe(start)))
  end
  local rows = {}
  for i = 1, restarts * n do rows[i] = (i - 1) % n + 1 end
  return z, lt.tensor(rows), restarts
end

-- Where the residual is what the noise alone would leave (Morozov's discrepancy principle).
local function enough(problem, residual, rows, discrepancy)
  return residual:le(problem.noise:square():gather_rows(rows) * discrepancy ^ 2)
end

-- ---- the two methods: codes, energies (a list), reasons, and evaluations a row ----

local function by_lbfgs(problem, z, images, o, discrepancy)
  local result = lbfgs.minimize(function(x, list)
    local rows = images:gather_rows(list)
    local energy, residual = problem:energy(x, rows)
    return energy, discrepancy and enough(problem, residual:detach(), rows, discrepancy)
  end, z, o)
  for i, reason in ipairs(result.reasons) do
    if reason == "enough" then result.reasons[i] = "discrepancy" end
  end
  return result.x, result.values, result.reasons, result.evaluations, result.trace
end

local function by_adam(problem, z, images, o, discrepancy)
  local code, kept = lt.param(z), discrepancy and z
  local opt, trace, reasons, used = optim.Adam({code}, {lr = o.lr}), {}, {}, {}
  for i = 1, #z do reasons[i], used[i] = "iterations", o.steps end
  local done, left = lt.zeros({#z}, {dtype = z.dtype}), #z
  for step = 1, o.steps do
    opt:zero_grad()
    local energy, residual = problem:energy(code, images)
    trace[step] = energy:mean():item()
    if discrepancy then
      local new = enough(problem, residual:detach(), images, discrepancy) * (1 - done)
      for i, value in ipairs(new:table()) do
        if value ~= 0 then reasons[i], used[i], left = "discrepancy", step, left - 1 end
      end
      kept = lt.where(done:reshape(-1, 1), kept, code:detach())
      done = done + new
      if left == 0 then break end
    end
    energy:sum():backward()
    opt:step()
  end
  local last = kept and lt.where(done:reshape(-1, 1), kept, code:detach()) or code:detach()
  return last, lt.no_grad(function() return (problem:energy(last, images)) end), reasons, used, trace
end

-- ---- the best of several starts ----

local function best_of(problem, restarts, energies)
  local n, rows, winners = problem.images, {}, {}
  local list = energies:table()
  for i = 1, n do
    local best = 1
    for r = 2, restarts do
      local value, least = list[(r - 1) * n + i], list[(best - 1) * n + i]
      if value < least or least ~= least then best = r end
    end
    winners[i], rows[i] = best, (best - 1) * n + i
  end
  return rows, winners
end

local METHOD = options.one_of{"lbfgs", "adam"}
local OWN = {
  {"method", METHOD, "lbfgs"},
  {"start", "any", "prior", '"prior" (standard normal codes), or codes [n, latent] such as an encoder\'s, or '
    .. "[k * n, latent]"},
  {"restarts", "count", 1, "the number of starts an image: what `start` does not give is drawn from the prior"},
  {"discrepancy", "positive", nil, "a factor such as 1 (default: off)"},
  {"generator", "any", nil, "where the draws come from, one made by lt.generator"},
}
-- What one of the methods takes besides.
local THEIRS = {
  adam = {{"lr", "positive", 0.01, "of Adam"}, {"steps", "count", 1000, "of Adam"}},
  lbfgs = {{"memory", "count", nil, "of L-BFGS, as the next four; see optim.lbfgs"}, {"iterations", "count"},
    {"evaluations", "count"}, {"gradient_tolerance", "at least 0"}, {"change_tolerance", "at least 0"}},
}
local read_options = {}
for method, theirs in pairs(THEIRS) do
  read_options[method] = options.reader(NAME, table.move(theirs, 1, #theirs, #OWN + 1, {table.unpack(OWN)}))
end
options.declare(NAME, {OWN[1], OWN[2], OWN[3], OWN[4], OWN[5], THEIRS.adam[1], THEIRS.adam[2],
  table.unpack(THEIRS.lbfgs)})

local function settings(opts)
  local method = type(opts) == "table" and opts.method
  method = method and options.expect(NAME, "method", method, METHOD) or "lbfgs"
  local o, own = read_options[method](opts), {}
  for _, row in ipairs(THEIRS[method]) do own[row[1]] = o[row[1]] end
  return o, own, method == "adam" and by_adam or by_lbfgs
end

--- See latent.map.solve.
function M.solve(problem, opts)
  if type(problem) ~= "table" or not problem.energy then
    raise(("%s: problem: expected one made by map.problem, got %s"):format(NAME, options.describe(problem)))
  end
  local method_options, method
  opts, method_options, method = settings(opts)
  local z, images, restarts = starts(problem, opts)
  local codes, energies, reasons, used, trace = method(problem, z, images, method_options, opts.discrepancy)
  local rows, winners = best_of(problem, restarts, energies)
  local result = {codes = codes:gather_rows(rows), energy = energies:gather_rows(rows), restart = winners,
    reasons = {}, trace = trace, evaluations = 0}
  for i, reason in ipairs(reasons) do
    result.reasons[reason] = (result.reasons[reason] or 0) + 1
    result.evaluations = result.evaluations + used[i]
  end
  result.evaluations = result.evaluations / problem.images
  local each = energies:reshape(restarts, -1)
  result.spread = restarts > 1 and each:std(1) or lt.zeros({problem.images}, {dtype = problem.dtype})
  result.loss = problem:loss(result.energy)
  result.residual = lt.no_grad(function() return problem:residual(result.codes) end)
  result.pictures = problem:pictures(result.codes)
  return result
end

return M
