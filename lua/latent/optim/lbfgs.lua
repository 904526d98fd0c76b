--- L-BFGS for many independent problems at once: every row of a tensor is minimised by itself, with its own
-- history, its own line search and its own reason to stop, while the function is evaluated for all rows
-- that ask for it in one batch. One row makes it the ordinary method for one problem.
--
-- Source: D. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization",
-- Mathematical Programming 45 (1989); J. Nocedal and S. Wright, "Numerical Optimization" (2006),
-- algorithms 7.4 and 7.5.
-- @module latent.optim.lbfgs
local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local wolfe = require "latent.optim.wolfe"

local raise = core.raise

local M = {}

local NAME = "optim.lbfgs"
-- What share of a value its rounding may be, for the line search.
local ROUNDING = {float32 = 3e-7, float64 = 6e-16}

-- Inner products of the rows of two tensors [k, d]: [k, 1].
local function dots(a, b) return (a * b):sum(2, true) end

local function indices(list) return lt.tensor(list) end

-- ---- evaluation ----

-- Values and gradients of f at the rows of x [k, d] of the problems `rows` (a list), both without a tape; the
-- third result says of each row whether f calls it good enough.
local function evaluate(run, x, rows)
  local point = lt.param(x:reshape(#rows, table.unpack(run.shape)))
  local values, enough = run.f(point, rows)
  if not core.is_tensor(values) or values:numel() ~= #rows then
    raise(("%s: f: expected %d values, one a row, got %s"):format(NAME, #rows, options.describe(values)))
  end
  values = values:reshape(#rows)
  values:sum():backward()
  if not point.grad then raise(NAME .. ": f: expected values that depend on x") end
  return values:table(), point.grad:reshape(#rows, -1), enough and enough:reshape(-1):table()
end

-- Notes an evaluation of each of these rows: how many it has had, and the best value after that many.
local function count(run, rows, values)
  for i, row in ipairs(rows) do
    local n = run.evaluations[row] + 1
    run.evaluations[row] = n
    run.best[row] = n == 1 and values[i] or math.min(run.best[row], values[i])
    run.trace_sum[n] = (run.trace_sum[n] or 0) + run.best[row]
  end
end

-- ---- direction ----

-- The two-loop recursion: minus the inverse Hessian's estimate times the gradient, [k, d].
local function direction(state)
  local q, alphas = state.g, {}
  for i = #state.history, 1, -1 do
    local h = state.history[i]
    alphas[i] = h.rho * dots(h.s, q)
    q = q - alphas[i] * h.y
  end
  q = q * state.scale
  for i, h in ipairs(state.history) do q = q + (alphas[i] - h.rho * dots(h.y, q)) * h.s end
  return -q
end

-- Adds the step s and the change y of the gradient. A row whose pair says nothing of the curvature, by
-- rounding or because the row has not moved, gets a pair without effect (rho = 0) and keeps its scale.
local function remember(state, s, y, memory)
  local sy, yy = dots(s, y), dots(y, y)
  local good = sy:gt(yy * 1e-10) * sy:gt(0)
  local none = 1 - good
  local pair = {s = s, y = y, rho = good / (sy * good + none)}
  state.scale = (sy / (yy + yy:eq(0))) * good + state.scale * none
  table.insert(state.history, pair)
  if #state.history > memory then table.remove(state.history, 1) end
end

-- ---- line searches side by side ----

-- One search a row, each a coroutine that yields the step it wants to see. Returns the points found, the
-- reasons, and the gradients there [k, d].
local function search_all(run, state, d, slopes)
  local k = #state.rows
  local found, why, searches, wanted = {}, {}, {}, {}
  local all_gradients, offset = {state.g}, k
  for i = 1, k do
    local start = {value = state.values[i], slope = slopes[i], gradient = i}
    searches[i] = coroutine.create(function()
      return wolfe.search(coroutine.yield, start, state.first[i], run.search)
    end)
  end
  local function resume(i, point)
    local ok, result, reason = coroutine.resume(searches[i], point)
    if not ok then error(result, 0) end
    if reason then found[i], why[i], wanted[i] = result, reason, nil else wanted[i] = result end
  end
  for i = 1, k do resume(i) end
  while next(wanted) do
    local places, steps, rows = {}, {}, {}
    for i = 1, k do
      if wanted[i] then
        places[#places + 1], steps[#steps + 1], rows[#rows + 1] = i, {wanted[i]}, state.rows[i]
      end
    end
    local at = indices(places)
    local direction_there = d:gather_rows(at)
    local along = lt.tensor(steps, {dtype = state.x.dtype}) * direction_there
    local values, g, enough = evaluate(run, state.x:gather_rows(at) + along, rows)
    count(run, rows, values)
    local slopes_there = dots(g, direction_there):reshape(-1):table()
    all_gradients[#all_gradients + 1] = g
    for j, i in ipairs(places) do
      resume(i, {step = steps[j][1], value = values[j], slope = slopes_there[j], gradient = offset + j,
        enough = enough and enough[j] ~= 0})
    end
    offset = offset + #places
  end
  local where = {}
  for i, point in ipairs(found) do where[i] = point.gradient end
  return found, why, lt.cat(all_gradients, 1):gather_rows(indices(where))
end

-- ---- stopping ----

local function gradient_is_small(largest, value, o)
  return largest <= o.gradient_tolerance * math.max(1, math.abs(value))
end

-- Relative, as far down as the value goes: a minimum of 0 is reached by its gradient. A tolerance of 0 does not ask.
local function change_is_small(old, new, tolerance)
  return tolerance > 0 and old - new <= tolerance * math.max(math.abs(old), math.abs(new))
end

-- Why row i stops after a step, or nil; a search that found nothing is tried once more without history.
local function reason_to_stop(run, state, i, old, point, largest)
  local o, row = run.o, state.rows[i]
  if point.enough then return "enough" end
  if gradient_is_small(largest[i], point.value, o) then return "gradient" end
  if point.step == 0 then
    if state.fresh[i] then return "line search" end
    state.restart[i] = true
  elseif change_is_small(old, point.value, o.change_tolerance) then
    return "change"
  end
  if run.evaluations[row] >= o.evaluations then return "evaluations" end
  if state.iteration >= o.iterations then return "iterations" end
end

-- Keeps the results of the rows that stop, and the state of those that go on.
local function part(run, state, reasons)
  local kept, stopped = {}, false
  for i, row in ipairs(state.rows) do
    if reasons[i] then
      run.x[row], run.values[row], run.reasons[row] = state.x[i]:clone(), state.values[i], reasons[i]
      run.iterations[row], stopped = state.iteration, true
    else
      kept[#kept + 1] = i
    end
  end
  if not stopped then return #kept > 0 end
  local function keep(list)
    for j, i in ipairs(kept) do list[j] = list[i] end
    for j = #list, #kept + 1, -1 do list[j] = nil end
  end
  keep(state.rows)
  keep(state.values)
  keep(state.first)
  local restart, fresh = {}, {}
  for j, i in ipairs(kept) do restart[j], fresh[j] = state.restart[i], state.fresh[i] end
  state.restart, state.fresh = restart, fresh
  if #kept == 0 then return false end
  local at = indices(kept)
  state.x, state.g, state.scale = state.x:gather_rows(at), state.g:gather_rows(at), state.scale:gather_rows(at)
  for _, h in ipairs(state.history) do
    h.s, h.y, h.rho = h.s:gather_rows(at), h.y:gather_rows(at), h.rho:gather_rows(at)
  end
  return true
end

-- Without a history, the first step has length 1 in the 1-norm at most; with one, it is 1.
local function first_steps(state)
  local norms = state.g:abs():sum(2):table()
  for i in ipairs(state.rows) do state.first[i] = state.fresh[i] and math.min(1, 1 / norms[i]) or 1 end
end

-- Rows that start again forget what they know of the curvature.
local function start_again(state)
  if not next(state.restart) then return end
  local keep = {}
  for i in ipairs(state.rows) do
    keep[i] = {state.restart[i] and 0 or 1}
    state.fresh[i] = state.restart[i] or state.fresh[i]
  end
  keep = lt.tensor(keep, {dtype = state.x.dtype})
  for _, h in ipairs(state.history) do h.rho = h.rho * keep end
  state.scale = state.scale * keep + (1 - keep)
  state.restart = {}
end

local function iterate(run, state)
  start_again(state)
  first_steps(state)
  local d = direction(state)
  local found, why, g = search_all(run, state, d, dots(state.g, d):reshape(-1):table())
  local steps, reasons, old = {}, {}, {}
  for i, point in ipairs(found) do
    steps[i], old[i], state.values[i] = {point.step}, state.values[i], point.value
    run.searches[why[i]] = (run.searches[why[i]] or 0) + 1
  end
  local s = lt.tensor(steps, {dtype = d.dtype}) * d
  remember(state, s, g - state.g, run.o.memory)
  state.x, state.g, state.iteration = state.x + s, g, state.iteration + 1
  local largest = g:abs():max(2):table()
  for i, point in ipairs(found) do
    reasons[i] = reason_to_stop(run, state, i, old[i], point, largest)
    if point.step > 0 then state.fresh[i] = false end
  end
  return part(run, state, reasons)
end

-- ---- the face ----

local minimize_options = options.declare(NAME, {
  {"memory", "count", 10, "pairs"}, {"iterations", "count", 200},
  {"evaluations", "count", 1000, "a row; the search under way is finished"},
  {"gradient_tolerance", "at least 0", 1e-6}, {"change_tolerance", "at least 0", 1e-7},
  {"decrease", "positive", 1e-4, "of the line search"}, {"curvature", "positive", 0.9, "of the line search"},
  {"search_evaluations", "count", 20, "of a line search"},
})

local function settings(opts)
  local o = minimize_options(opts)
  local search = {decrease = o.decrease, curvature = o.curvature, evaluations = o.search_evaluations}
  if not (search.decrease < search.curvature and search.curvature < 1) then
    raise(("%s: decrease, curvature: expected 0 < decrease < curvature < 1, got %g and %g"):format(NAME,
      search.decrease, search.curvature))
  end
  return o, search
end

-- The first evaluation, and what stops there already.
local function begin(run, x)
  local n = #x
  local rows = {}
  for i = 1, n do rows[i], run.evaluations[i] = i, 0 end
  local values, g, enough = evaluate(run, x, rows)
  count(run, rows, values)
  local state = {rows = rows, x = x, g = g, values = values, scale = lt.ones(n, 1, {dtype = x.dtype}),
    history = {}, fresh = {}, restart = {}, first = {}, iteration = 0}
  local largest, reasons = g:abs():max(2):table(), {}
  for i = 1, n do
    state.fresh[i] = true
    if values[i] - values[i] ~= 0 or largest[i] - largest[i] ~= 0 then
      reasons[i] = "not finite"
    elseif enough and enough[i] ~= 0 then
      reasons[i] = "enough"
    elseif gradient_is_small(largest[i], values[i], run.o) then
      reasons[i] = "gradient"
    end
  end
  return state, part(run, state, reasons)
end

-- The mean over the rows of the best value after 1, 2, ... evaluations of each; a row that stopped keeps its own.
local function trace_of(run, n)
  local last, trace = 0, {}
  for _, e in ipairs(run.evaluations) do last = math.max(last, e) end
  local stopped, ended = 0, {}
  for row, e in ipairs(run.evaluations) do ended[e] = (ended[e] or 0) + run.best[row] end
  for e = 1, last do
    trace[e] = ((run.trace_sum[e] or 0) + stopped) / n
    stopped = stopped + (ended[e] or 0)
  end
  return trace
end

--- See latent.optim.lbfgs.
function M.minimize(f, start, opts)
  options.expect(NAME, "f", f, "function")
  core.check_tensor(start, NAME .. ": start")
  if not ROUNDING[start.dtype] or start:dim() < 2 or start:numel() == 0 then
    raise(("%s: start: expected float32 [n, ...], got %s"):format(NAME, shapes.typed(start)))
  end
  local o, search = settings(opts)
  search.rounding = ROUNDING[start.dtype]
  local n, shape = #start, start.shape
  table.remove(shape, 1)
  local run = {f = f, o = o, search = search, shape = shape, x = {}, values = {}, reasons = {}, iterations = {},
    evaluations = {}, best = {}, searches = {}, trace_sum = {}}
  local state, going = begin(run, lt.tensor(start):reshape(n, -1))
  while going do going = iterate(run, state) end
  local stopped = {}
  for _, reason in ipairs(run.reasons) do stopped[reason] = (stopped[reason] or 0) + 1 end
  return {x = lt.stack(run.x, 1):reshape(start.shape), values = lt.tensor(run.values, {dtype = start.dtype}),
    reasons = run.reasons, iterations = run.iterations, evaluations = run.evaluations, stopped = stopped,
    searches = run.searches, trace = trace_of(run, n)}
end

return M
