-- assert.close(got, want [, tolerance]): tensors, nested tables or numbers agree where
-- max|got - want| <= tolerance * max|want| (absolutely where want is all zeros). NaN agrees with NaN.
local assert = require "luassert"

local M = {}

local function flatten(value, list)
  if type(value) == "number" then
    list[#list + 1] = value
  elseif type(value) == "table" then
    for _, v in ipairs(value) do flatten(v, list) end
  else
    local flat = value:reshape(-1):table()
    table.move(flat, 1, #flat, #list + 1, list)
  end
  return list
end

--- The worst difference relative to the largest wanted value, and a text that shows both numbers.
function M.difference(got, want)
  got, want = flatten(got, {}), flatten(want, {})
  if #got ~= #want then return math.huge, ("%d numbers, wanted %d"):format(#got, #want) end
  local worst, scale, at = 0, 0, nil
  for i, b in ipairs(want) do
    local a = got[i]
    local same = a == b or (a ~= a and b ~= b)
    local difference = same and 0 or math.abs(a - b)
    if difference ~= difference then difference = math.huge end
    if difference > worst then worst, at = difference, i end
    if b == b and math.abs(b) < math.huge then scale = math.max(scale, math.abs(b)) end
  end
  local relative = scale > 0 and worst / scale or worst
  return relative, at and ("element %d is %.9g, wanted %.9g (largest %.3g)"):format(at, got[at], want[at],
    scale)
end

local function close(state, arguments)
  local tolerance = arguments[3] or 1e-5
  local difference, text = M.difference(arguments[1], arguments[2])
  state.failure_message = ("not close: %s; error %.3g, allowed %.1e"):format(text or "", difference,
    tolerance)
  return difference <= tolerance
end

assert:register("assertion", "close", close)

return M
