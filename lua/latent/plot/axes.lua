--- Axes: ranges, tick marks, and where on the axis a value lies. Ticks are chosen here and not by gnuplot,
-- so that the width of their labels, and with it every margin, is known before anything is drawn.
--
-- Gnuplot is given the values themselves where it can draw them. Ranges that its arithmetic does not bear
-- (1e308, denormals, a span of 1e-12 of the values) are drawn over [0, 1] instead: `axis.map` takes a
-- value to what gnuplot is told, and is the identity for all other axes.
-- @module latent.plot.axes

local core = require "latent.core"

local plainly = core.plainly

local M = {}

--- The largest number, beyond which no axis goes.
M.LARGEST = 1.7976931348623157e308

local SMALLEST = 2.0 ^ -1074
local FAR = 1e5 -- spans of an axis
local MOST_DECADES = 8 -- labelled ones
local DECADES_WITH_MINOR = 20 -- beyond, the 2, 3, ... 9 of every decade would be a black bar
local PLAIN_LEAST, PLAIN_MOST = 1e-290, 1e290 -- values that gnuplot computes with as they are
local PLAIN_SPAN = 1e-7 -- of the values: %.15g then still tells 10^8 places apart

--- The narrowest range, as a share of its values: 15 digits tell its ticks apart.
M.NARROWEST = 1e-12

--- v * 10^exponent, also where that power is no number.
local function times_power(v, exponent)
  local half = exponent // 2
  return v * 10.0 ^ half * 10.0 ^ (exponent - half)
end

local function largest_of(lo, hi)
  return math.max(math.abs(lo), math.abs(hi))
end

--- Whether a range is so narrow that neither ticks nor values in it can be told apart.
-- @tparam number lo
-- @tparam number hi
-- @treturn boolean
function M.is_narrow(lo, hi)
  return hi - lo < M.NARROWEST * largest_of(lo, hi)
end

--- Step of 1, 2 or 5 times a power of ten that cuts `span` into at most `count` parts.
-- @tparam number span
-- @tparam number count
-- @treturn number
function M.nice_step(span, count)
  local raw = span / count
  local power = 10.0 ^ math.floor(math.log(raw, 10) + 1e-9)
  for _, m in ipairs{1, 2, 5} do
    if m * power >= raw * (1 - 1e-9) then
      return m * power
    end
  end
  return 10 * power
end

local function scientific(exponent)
  return ("10^{%d}"):format(exponent)
end

--- A number in units of 10^exponent, which need not be a number of Lua's: "1.5e+308".
local function scaled_label(value, digits, exponent)
  if value == 0 then
    return "0"
  end
  local mantissa, power = plainly(string.format, "%." .. digits - 1 .. "e", value):match "^(.-)e(.*)$"
  if mantissa:find(".", 1, true) then
    mantissa = mantissa:gsub("%.?0+$", "")
  end
  return ("%se%+03d"):format(mantissa, math.tointeger(power) + exponent)
end

local function linear_label(value, step, largest, exponent)
  local digits = math.max(1, math.min(15, math.ceil(math.log(largest / step, 10) + 1e-9) + 1))
  if exponent ~= 0 then
    return scaled_label(value, digits, exponent)
  elseif largest >= 1e6 or step < 1e-5 then
    return plainly(string.format, "%." .. digits .. "g", value)
  end
  local decimals = math.max(0, math.ceil(-math.log(step, 10) - 1e-9))
  return plainly(string.format, "%." .. decimals .. "f", value)
end

local function linear_ticks(scale, count, whole)
  local lo, hi = scale.lo, scale.hi
  local step = M.nice_step(hi - lo, count)
  if whole and step < 1 and scale.exponent == 0 then
    step = 1.0
  end
  local ticks, first = {}, math.ceil(lo / step - 1e-6)
  local largest = largest_of(lo, hi)
  for i = first, math.floor(hi / step + 1e-6) do
    local value = i == 0 and 0.0 or i * step -- never "-0"
    ticks[#ticks + 1] = {scale.drawn(value), linear_label(value, step, largest, scale.exponent)}
  end
  return ticks
end

local function log_label(mantissa, exponent)
  if exponent >= -4 and exponent <= 5 then
    return plainly(string.format, "%.10g", mantissa * 10.0 ^ exponent)
  end
  return mantissa == 1 and scientific(exponent) or ("%d·%s"):format(mantissa, scientific(exponent))
end

--- log10(b / a), also where the quotient is no number.
local function decades_between(a, b)
  local ratio = b / a
  if ratio > 0 and ratio < math.huge then
    return math.log(ratio, 10)
  end
  return math.log(b, 10) - math.log(a, 10)
end

local function log_ticks(scale, lo, hi, characters)
  local decades = decades_between(lo, hi)
  local few, fewer = decades < 3, decades < 1.4
  local shown = {[1] = true, [2] = few, [3] = fewer, [4] = fewer, [5] = few, [7] = fewer}
  local minor = decades <= DECADES_WITH_MINOR
  local first, last = math.log(lo, 10), math.log(hi, 10)
  local longest = 3 + #tostring(math.floor(first)) -- of a label and what keeps it from the next
  local room = math.max(1, (characters or math.huge) / longest)
  local every = math.ceil(decades / math.min(MOST_DECADES, room))
  local ticks = {}
  for exponent = math.floor(first), math.ceil(last) do
    for mantissa = 1, minor and 9 or 1 do
      local power = math.log(mantissa, 10) + exponent
      local labelled = shown[mantissa] and exponent % every == 0
      if power >= first - 1e-9 and power <= last + 1e-9 and (labelled or minor) then
        local value = scale.plain and mantissa * 10.0 ^ exponent or (power - first) / decades
        ticks[#ticks + 1] = {value, labelled and log_label(mantissa, exponent) or ""}
      end
    end
  end
  return ticks
end

local function same(v)
  return v
end

--- How a range is drawn: {exponent; lo, hi in units of 10^exponent; plain = as it is}, and two functions:
-- `map` of a value and `drawn` of a number of units give what gnuplot is told.
local function scale_of(lo, hi, log)
  local largest = largest_of(lo, hi)
  local usual = largest >= PLAIN_LEAST and largest <= PLAIN_MOST
  if usual and hi - lo >= PLAIN_SPAN * largest and not (log and lo < PLAIN_LEAST) then
    return {exponent = 0, lo = lo, hi = hi, plain = true, map = same, drawn = same}
  end
  local exponent = usual and 0 or math.floor(math.log(largest, 10))
  local first, last = times_power(lo, -exponent), times_power(hi, -exponent)
  local scale = {exponent = exponent, lo = first, hi = last}
  if log then
    local decades = decades_between(lo, hi)
    function scale.map(v)
      return v > 0 and decades_between(lo, v) / decades or 0 / 0
    end
    function scale.drawn(units)
      return decades_between(first, units) / decades
    end
  else
    -- 0, or what is nearest to it in the range, stays 0: there bars begin.
    local origin = math.max(first, math.min(last, 0))
    function scale.drawn(units)
      return (units - origin) / (last - first)
    end
    function scale.map(v)
      return scale.drawn(times_power(v, -exponent))
    end
  end
  return scale
end

--- Characters in the longest tick label.
-- @tparam table axis
-- @treturn int
function M.label_length(axis)
  local longest = 0
  for _, tick in ipairs(axis.ticks) do
    local shown = axis.names and tick[2] or tick[2]:gsub("[{}^]", "")
    for line in (shown .. "\n"):gmatch "(.-)\n" do
      longest = math.max(longest, utf8.len(line) or #line)
    end
  end
  return longest
end

--- Linear ticks, fewer where their labels would touch.
local function fitting_ticks(scale, count, o)
  local ticks = linear_ticks(scale, count, o.whole)
  local fewer = ticks
  local room = (o.characters or math.huge) * (o.log and 0.6 or 1) -- there, some are closer than others
  while #fewer >= 2 and #fewer * (M.label_length{ticks = fewer} + 2) > room do
    count = count * 0.7
    ticks, fewer = fewer, linear_ticks(scale, count, o.whole)
  end
  return #fewer >= 2 and fewer or ticks
end

--- An axis over [lo, hi].
-- @tparam number lo
-- @tparam number hi
-- @tparam table o {log = bool, count = about how many ticks, whole = no ticks between integers, characters =
--   how many the labels may have together}
-- @treturn table {map = function: where gnuplot draws a value; from, to = the ends there; log = whether
--   gnuplot takes the logarithm; ticks = {{place there, label}, ...}}; minor ticks have the label ""
function M.new(lo, hi, o)
  local scale = scale_of(lo, hi, o.log)
  local by_decades = o.log and decades_between(lo, hi) >= 0.5
  return {
    map = scale.map, from = scale.map(lo), to = scale.map(hi), log = o.log and scale.plain or false,
    ticks = by_decades and log_ticks(scale, lo, hi, o.characters) or fitting_ticks(scale, o.count or 7, o),
  }
end

--- An axis whose ticks are names at 1, 2, ...
-- @tparam {string,...} names
-- @treturn table as from `new`, with `names = true`
function M.named(names)
  local axis = {map = same, from = 0.4, to = #names + 0.6, log = false, ticks = {}, names = true}
  for i, name in ipairs(names) do
    axis.ticks[i] = {i, name}
  end
  return axis
end

--- Where an axis draws the values of a list. What is very far beyond its ends is moved to where gnuplot can still
-- compute with it: the lines that lead there look the same.
-- @tparam table axis
-- @tparam {number,...} list
-- @treturn {number,...}
function M.map(axis, list)
  local beyond = axis.log and math.huge or FAR * (axis.to - axis.from)
  local lo, hi = axis.from - beyond, axis.to + beyond
  local out = {}
  for i = 1, #list do
    local v = list[i]
    local at = axis.map(v)
    if v - v == 0 then -- neither infinite nor NaN
      at = at < lo and lo or at > hi and hi or at
    end
    out[i] = at
  end
  return out
end

--- How far along an axis something is drawn: 0 at its beginning, 1 at its end.
-- @tparam table axis
-- @tparam number at from axis.map
-- @treturn number NaN where nothing is drawn
function M.share(axis, at)
  if axis.log then
    return at > 0 and math.log(at / axis.from) / math.log(axis.to / axis.from) or 0 / 0
  end
  return (at - axis.from) / (axis.to - axis.from)
end

--- A share of the span of a range, also where the span is no number.
-- @tparam number lo
-- @tparam number hi
-- @tparam number share
-- @treturn number
function M.part(lo, hi, share)
  local span = hi - lo
  return span < math.huge and span * share or hi * share - lo * share
end

--- Widens a range: by a share of its span on both sides, and always when it is a single value or too narrow.
-- @tparam number lo
-- @tparam number hi
-- @tparam number share
-- @tparam ?boolean log widen by a factor instead
-- @treturn number lo
-- @treturn number hi
function M.widen(lo, hi, share, log)
  local least = -M.LARGEST
  if log then
    local ratio = hi / lo
    local factor = lo == hi and 2
      or (ratio < math.huge and ratio ^ share or 10.0 ^ (decades_between(lo, hi) * share))
    lo, hi, least = lo / factor, hi * factor, SMALLEST
  else
    local by = lo == hi and math.abs(lo) * 0.1 or M.part(lo, hi, share)
    if lo == hi and by < PLAIN_LEAST then
      by = 1
    end
    lo, hi = lo - by, hi + by
  end
  lo, hi = math.max(lo, least), math.min(hi, M.LARGEST)
  if M.is_narrow(lo, hi) then
    local by = M.NARROWEST * largest_of(lo, hi)
    lo, hi = math.max(lo - by, least), math.min(hi + by, M.LARGEST)
  end
  return lo, hi
end

return M
