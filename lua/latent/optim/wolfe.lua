--- A line search for the strong Wolfe conditions, along one ray. It sees numbers only: `evaluate` knows
-- the function. So it is the same for one search and, each in a coroutine, for a thousand side by side.
--
-- Sources: J. Nocedal and S. Wright, "Numerical Optimization", 2nd edition (2006), algorithms 3.5 and 3.6
-- and formula 3.59; for values that differ by rounding alone, the approximate Wolfe conditions of
-- W. Hager and H. Zhang, "A new conjugate gradient method with guaranteed descent", SIAM Journal on
-- Optimization 16 (2005).
-- @module latent.optim.wolfe

local M = {}

local GROWTH = 4 -- of a step that is still too short, at most
local MARGIN = 0.1 -- a new step keeps this share of the bracket's width from both of its ends
local NARROW = 1e-10 -- a bracket's width at which it is given up, in units of its step, or of the first one

-- A value that is not finite counts as one that is too large.
local function finite(point)
  return point.value - point.value == 0 and point.slope - point.slope == 0
end

-- The minimiser of the cubic that has the values and slopes of two points; nil where there is none.
local function cubic_minimum(a, b)
  if not (finite(a) and finite(b)) then return nil end
  local d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
  local square = d1 * d1 - a.slope * b.slope
  if square < 0 then return nil end
  local d2 = (b.step > a.step and 1 or -1) * square ^ 0.5
  local step = b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
  return step - step == 0 and step or nil
end

-- Is the point below the line that sufficient decrease asks for?
local function decreases(point, start, o)
  return finite(point) and point.value <= start.value + o.decrease * point.step * start.slope
end

-- Where the change is lost in the rounding of the values, the slopes decide.
local function decreases_within_rounding(point, start, o)
  return finite(point) and math.abs(point.value - start.value) <= o.rounding * math.abs(start.value)
    and point.slope <= (2 * o.decrease - 1) * start.slope
end

local function acceptable(point, start, o)
  return math.abs(point.slope) <= -o.curvature * start.slope
    and (decreases(point, start, o) or decreases_within_rounding(point, start, o))
end

-- Narrows a bracket: `low` is the best point with sufficient decrease, its slope leads towards `high`.
local function zoom(evaluate, low, high, start, o, left)
  while left > 0 do
    local width = high.step - low.step
    if math.abs(width) <= NARROW * math.max(low.step, o.first) then return low, "narrow" end
    local step = cubic_minimum(low, high)
    local share = step and (step - low.step) / width or 0.5
    share = math.min(math.max(share, MARGIN), 1 - MARGIN)
    local point = evaluate(low.step + share * width)
    left = left - 1
    if acceptable(point, start, o) then return point, "wolfe" end
    if not (decreases(point, start, o) and point.value < low.value) then
      high = point
    else
      if point.slope * (high.step - low.step) >= 0 then high = low end
      low = point
    end
  end
  return low, "evaluations"
end

--- Looks for a step at which value and slope satisfy the strong Wolfe conditions,
-- value <= value0 + decrease * step * slope0 and |slope| <= curvature * |slope0|. Where the value's change
-- is within rounding, slope <= (2 decrease - 1) slope0 stands for the first of them.
-- @tparam function evaluate of (step): the point there, a table {step =, value =, slope =} that may hold
-- more, and is handed back; values that are not finite count as too large
-- @tparam table start the point of step 0, {value =, slope =}; its slope must be below 0
-- @tparam number first the first step to try, above 0
-- @tparam ?table opts decrease = 1e-4, curvature = 0.9, evaluations = 20 (at most), rounding = 3e-7: what
-- share of a value its rounding may be
-- @treturn table the point: the one found, else the best with sufficient decrease, else `start` itself
-- @treturn string why the search ended there: "wolfe"; "narrow" (the bracket shrank to nothing);
-- "evaluations" (none left); "ascent" (the slope at the start is not below 0)
function M.search(evaluate, start, first, opts)
  opts = opts or {}
  local o = {decrease = opts.decrease or 1e-4, curvature = opts.curvature or 0.9, rounding = opts.rounding or 3e-7,
    first = first}
  local left = opts.evaluations or 20
  start.step = 0
  local downhill = start.slope < 0
  if not downhill then return start, "ascent" end
  local last, step = start, first
  while left > 0 do
    local point = evaluate(step)
    left = left - 1
    if finite(point) and acceptable(point, start, o) then return point, "wolfe" end
    if not decreases(point, start, o) or (last ~= start and point.value >= last.value) then
      return zoom(evaluate, last, point, start, o, left)
    elseif point.slope >= 0 then
      return zoom(evaluate, point, last, start, o, left)
    end
    local cubic = cubic_minimum(last, point)
    -- beyond the point: where the cubic says, but no less than a tenth and no more than GROWTH times further
    local furthest, nearest = GROWTH * point.step, point.step + MARGIN * (point.step - last.step)
    step = cubic and cubic > nearest and math.min(cubic, furthest) or furthest
    last = point
  end
  return last, "evaluations"
end

return M
