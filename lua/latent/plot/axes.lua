--- Axes: ranges and tick marks. Ticks are chosen here and not by gnuplot, so that the width of their
-- labels, and with it every margin, is known before anything is drawn.
-- @module latent.plot.axes

local M = {}

local MOST_DECADES = 8

--- Step of 1, 2 or 5 times a power of ten that cuts `span` into at most `count` parts.
local function nice_step(span, count)
  local raw = span / count
  local power = 10.0 ^ math.floor(math.log(raw, 10) + 1e-9)
  for _, m in ipairs{ 1, 2, 5 } do
    if m * power >= raw * (1 - 1e-9) then
      return m * power
    end
  end
  return 10 * power
end

local function scientific(exponent)
  return ("10^{%d}"):format(exponent)
end

local function linear_label(value, step, largest)
  if largest >= 1e6 or step < 1e-5 then
    local digits = math.max(1, math.min(15, math.ceil(math.log(largest / step, 10) + 1e-9) + 1))
    return (("%." .. digits .. "g"):format(value):gsub(",", "."))
  end
  local decimals = math.max(0, math.ceil(-math.log(step, 10) - 1e-9))
  return (("%." .. decimals .. "f"):format(value):gsub(",", "."))
end

local function linear_ticks(lo, hi, count, whole)
  local step = nice_step(hi - lo, count)
  if whole and step < 1 then
    step = 1.0
  end
  local ticks, first = {}, math.ceil(lo / step - 1e-6)
  local largest = math.max(math.abs(lo), math.abs(hi))
  for i = first, math.floor(hi / step + 1e-6) do
    local value = i == 0 and 0.0 or i * step -- never "-0"
    ticks[#ticks + 1] = { value, linear_label(value, step, largest) }
  end
  return ticks
end

local function log_label(mantissa, exponent)
  if exponent >= -4 and exponent <= 5 then
    return (("%.10g"):format(mantissa * 10.0 ^ exponent):gsub(",", "."))
  end
  return mantissa == 1 and scientific(exponent) or ("%d·%s"):format(mantissa, scientific(exponent))
end

local function log_ticks(lo, hi, count)
  local decades = math.log(hi / lo, 10)
  if decades < 0.5 then
    return linear_ticks(lo, hi, count)
  end
  local few, fewer = decades < 3, decades < 1.4
  local shown = { [1] = true, [2] = few, [3] = fewer, [4] = fewer, [5] = few, [7] = fewer }
  local every = math.ceil(decades / MOST_DECADES)
  local ticks = {}
  for exponent = math.floor(math.log(lo, 10)), math.ceil(math.log(hi, 10)) do
    for mantissa = 1, 9 do
      local value = mantissa * 10.0 ^ exponent
      if value >= lo * (1 - 1e-9) and value <= hi * (1 + 1e-9) then
        local labelled = shown[mantissa] and exponent % every == 0
        ticks[#ticks + 1] = { value, labelled and log_label(mantissa, exponent) or "" }
      end
    end
  end
  return ticks
end

--- An axis over [lo, hi].
-- @tparam number lo
-- @tparam number hi
-- @tparam table o {log = bool, count = about how many ticks, whole = no ticks between integers}
-- @treturn table {lo, hi, log, ticks = {{value, label}, ...}}; minor ticks have the label ""
function M.new(lo, hi, o)
  local count = o.count or 7
  local ticks = o.log and log_ticks(lo, hi, count) or linear_ticks(lo, hi, count, o.whole)
  return { lo = lo, hi = hi, log = o.log or false, ticks = ticks }
end

--- An axis whose ticks are names at 1, 2, ...
-- @tparam {string,...} names
-- @treturn table as from `new`, with `names = true`
function M.named(names)
  local axis = { lo = 0.4, hi = #names + 0.6, log = false, ticks = {}, names = true }
  for i, name in ipairs(names) do
    axis.ticks[i] = { i, tostring(name) }
  end
  return axis
end

--- Widens a range: by a share of its span on both sides, and always when it is a single value.
-- @tparam number lo
-- @tparam number hi
-- @tparam number share
-- @tparam ?boolean log widen by a factor instead
-- @treturn number lo
-- @treturn number hi
function M.widen(lo, hi, share, log)
  if log then
    local factor = lo == hi and 2 or (hi / lo) ^ share
    return lo / factor, hi * factor
  elseif lo == hi then
    local by = lo == 0 and 1 or math.abs(lo) * 0.1
    return lo - by, hi + by
  end
  local by = (hi - lo) * share
  return lo - by, hi + by
end

--- Characters in the longest tick label.
-- @tparam table axis
-- @treturn int
function M.label_length(axis)
  local longest = 0
  for _, tick in ipairs(axis.ticks) do
    local shown = tick[2]:gsub("[{}^]", "")
    longest = math.max(longest, utf8.len(shown) or #shown)
  end
  return longest
end

return M
