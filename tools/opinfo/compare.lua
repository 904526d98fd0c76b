--- The comparer: arrays with arrays, and the verdict on a case.
local shapes = require "latent.base.shapes"

local M = {}

M.TOLERANCE = 1e-5 -- of max|b|
M.DOUBLE_TOLERANCE = 1e-10 -- in float64
-- There, what PyTorch's float32 loses tells how much a result loses to rounding: in float64 2^-29 as much. What is
-- expected has lost as much itself, in other steps.
M.DOUBLE_ROUNDING = 2 ^ -29 * 8
-- A larger error is one of rounding where PyTorch's own float32 is off by at least 1/ROUNDING as much: where nearly
-- equal numbers are subtracted, which is nearer is chance. So is that of a gradient where it is a few roundings of the
-- output's gradient, NOISE * max|dy|, and PyTorch's float32 is off by more than ILL, which shows the same subtraction.
M.ROUNDING = 2
M.NOISE = 1e-6
M.ILL = 1e-6
-- Below this max|b| errors are absolute: float32 has no more than a few digits there.
M.TINY = 1e-37

local function values(t, double) return (double and t:double() or t:float()):reshape(-1):table() end

-- The place of the n-th element, for messages: {2, 1, 3}.
local function place(shape, n)
  local indices = {}
  n = n - 1
  for axis = #shape, 1, -1 do
    indices[axis] = n % shape[axis] + 1
    n = n // shape[axis]
  end
  return ("{%s}"):format(table.concat(indices, ", "))
end

--- The distance of two arrays: max|a - b| / max|b| over the finite b. It is infinite where the shapes differ, and where
-- one of a and b is NaN, or infinite, and the other is not the same.
-- @tparam Tensor got a
-- @tparam Tensor want b
-- @tparam ?function excused (a, b, n): true where the n-th elements may differ
-- @tparam ?boolean double whether they are compared in float64
-- @treturn table `error`; `worst`, max|a - b|; `text`, which tells that element
function M.arrays(got, want, excused, double)
  if shapes.text(got) ~= shapes.text(want) then
    return {error = math.huge, worst = math.huge,
      text = ("shape %s, expected %s"):format(shapes.text(got), shapes.text(want))}
  end
  local a, b, worst, at, scale = values(got, double), values(want, double), 0, 1, 0
  for i = 1, #b do
    local x, y = a[i], b[i]
    local size = math.abs(y)
    if size < math.huge and size > scale then scale = size end
    if x ~= y and (x == x or y == y) then
      local difference = math.abs(x - y)
      if difference ~= difference then difference = math.huge end
      if difference > worst and not (excused and excused(x, y, i)) then worst, at = difference, i end
    end
  end
  local distance = worst < math.huge and scale > M.TINY and worst / scale or worst
  return {error = distance, worst = worst, text = #b == 0 and "empty" or
    ("%.2g at %s: %.9g, expected %.9g (max|b| %.3g)"):format(distance, place(want.shape, at), a[at], b[at], scale)}
end

-- Whether float32 explains the distance of an array from the expected one.
local function is_rounding(distance, got, want, single, dy)
  -- Not finite, and should be: beyond float32 where PyTorch's has the same.
  if distance.error == math.huge then return M.arrays(got, single).error <= M.TOLERANCE end
  local reference = M.arrays(single, want).error
  return distance.error <= M.ROUNDING * reference or reference > M.ILL and distance.worst <= M.NOISE * dy
end

-- The verdict on one array: passed, rounding or failed; its distance, with a text where it is too large. `dy` is the
-- largest output gradient, or 0 where the array is no gradient.
local function judge(got, want, single, dy, excused, double)
  if not got or not want then
    return "failed", {error = math.huge, text = got and "nothing was expected" or "the array was not computed"}
  end
  local distance = M.arrays(got, want, excused, double)
  if distance.error <= (double and M.DOUBLE_TOLERANCE or M.TOLERANCE) then return "passed", distance end
  if not single then return "failed", distance end
  local reference = M.arrays(single, want).error
  distance.text = ("%s; PyTorch's float32: %.2g"):format(distance.text, reference)
  if double then return distance.error <= M.DOUBLE_ROUNDING * reference and "rounding" or "failed", distance end
  return is_rounding(distance, got, want, single, dy) and "rounding" or "failed", distance
end

local function largest(t)
  local size = 0
  for _, x in ipairs(values(t)) do size = math.max(size, math.abs(x)) end
  return size
end

local RANK = {passed = 1, rounding = 2, failed = 3}

--- The verdict on a case that ran: the worst of its arrays'.
-- @tparam table sample its entry of SET.json
-- @tparam {[string]=Tensor} want the expected arrays
-- @tparam {[string]=Tensor} got those that were computed
-- @tparam {[string]=Tensor} inputs CASE_dy among them
-- @tparam ?function excuse of y, or g and an input's name: the function that excuses elements of that array, or nil
-- @tparam ?boolean double whether it ran in float64
-- @treturn table `verdict`, `error` (the largest distance), `text` (of the worst array)
function M.case(sample, want, got, inputs, excuse, double)
  local result, names, dy = {verdict = "passed", error = 0}, {"y"}, inputs[sample.case .. "_dy"]
  local scale = dy and largest(dy) or 0
  for _, name in ipairs(sample.grads) do names[#names + 1] = "g" .. name end
  for _, name in ipairs(names) do
    local key = sample.case .. "_" .. name
    local verdict, distance = judge(got[key], want[key], want[key .. "32"], name == "y" and 0 or scale,
      excuse and excuse(name), double)
    if RANK[verdict] > RANK[result.verdict] then
      result.verdict, result.text = verdict, name .. ": " .. distance.text
    end
    result.error = math.max(result.error, distance.error)
  end
  return result
end

return M
