--- What all charts with axes share: options, margins, axes, legend.
-- @module latent.plot.chart

local axes = require "latent.plot.axes"
local check = require("latent.options").check
local raise = require("latent.core").raise
local script_of = require "latent.plot.script"
local values = require "latent.plot.values"

local M = {}

M.WIDTH, M.HEIGHT = 900, 600 -- of a figure, in pixels
M.COLOURS = 10 -- in the palette of the style file

local quote = script_of.quote
local COMMON = { "title", "xlabel", "ylabel", "xrange", "yrange", "legend", "width", "height" }

--- The options that all charts take, after some of their own.
function M.with_common(...)
  local all = { ... }
  table.move(COMMON, 1, #COMMON, #all + 1, all)
  return all
end

--- The options of a call, without its positional part, checked.
function M.options_of(fname, arguments, allowed)
  if type(arguments) ~= "table" then
    raise(("%s: expected a table, got %s"):format(fname, type(arguments)))
  end
  local named = {}
  for key, value in pairs(arguments) do
    if type(key) ~= "number" then
      named[key] = value
    end
  end
  check(fname, named, allowed)
  for _, name in ipairs{ "title", "xlabel", "ylabel" } do
    local text = named[name]
    if text ~= nil and type(text) ~= "string" and type(text) ~= "number" then
      raise(("%s: %s: expected text, got a %s"):format(fname, name, type(text)))
    end
  end
  return named
end

--- An option that is a number of at least `least`.
-- @tparam string name
-- @param v nil or a number
-- @tparam number least
-- @tparam ?boolean whole
-- @treturn ?number
function M.at_least(name, v, least, whole)
  if v == nil then
    return nil
  elseif not math.type(v) or v < least or v == math.huge or (whole and math.type(v) ~= "integer") then
    raise(("%s: expected a %s of at least %g"):format(name, whole and "whole number" or "number", least))
  end
  return v
end

--- A range option {lo, hi}, each finite and lo < hi.
-- @tparam string name
-- @param range nil or a table
-- @treturn ?table
function M.range(name, range)
  if range == nil then
    return nil
  end
  local span = type(range) == "table" and math.type(range[1]) and math.type(range[2])
    and range[2] - range[1]
  if not span or not values.is_finite(span) or span <= 0 then
    raise(name .. ": expected {lowest, highest}")
  end
  return range
end

local LEGENDS = { "auto", "outside", "top right", "bottom right", "top left", "bottom left" }

--- Where the legend goes: nil for none.
function M.legend_of(fname, legend, default)
  if legend == nil or legend == true then
    return default
  elseif legend == false then
    return nil
  end
  for _, known in ipairs(LEGENDS) do
    if legend == known then
      return legend
    end
  end
  raise(('%s: legend: expected false or "%s", got %s'):format(
    fname, table.concat(LEGENDS, '", "'), tostring(legend)))
end

--- A panel's size: as the options say, else the default, and then panels may change it.
function M.panel_of(fname, o, default_width, default_height)
  for _, name in ipairs{ "width", "height" } do
    M.at_least(("%s: %s"):format(fname, name), o[name], 100)
  end
  return {
    width = o.width or default_width, height = o.height or default_height,
    flexible = not (o.width or o.height),
  }
end

local function legend_width(em, char, names)
  local longest = 0
  for _, name in ipairs(names) do
    longest = math.max(longest, script_of.length(name))
  end
  return longest * char * 0.93 + 3.4 * em
end

--- Margins around the axes of a chart, in pixels.
-- @tparam number em
-- @tparam number char
-- @tparam table o options of the chart
-- @tparam table x axis
-- @tparam table y axis
-- @tparam ?table outside names in a legend beside the chart
-- @treturn number left
-- @treturn number right
-- @treturn number bottom
function M.margins(em, char, o, x, y, outside)
  local left = 1.6 * em + axes.label_length(y) * char + (o.ylabel and 1.6 * em or 0)
  local last = x.ticks[#x.ticks]
  local right = math.max(1.6 * em, last and (#last[2] * char / 2 + em * 0.5) or 0)
  if outside then
    right = legend_width(em, char, outside) + 1.6 * em
  end
  return left, right, (o.xlabel and 4 or 2.4) * em
end

--- The plotting area inside a panel, and the title broken into lines.
function M.layout(s, o, rect, x, y, outside)
  local em = s.em
  local title, lines = script_of.wrap(o.title, rect.w - 4 * em)
  local left, right, bottom = M.margins(em, s.char, o, x, y, outside)
  local top = lines > 0 and (1.3 + 1.55 * lines) * em or 1.4 * em
  local area = { x = rect.x + left, y = rect.y + top }
  area.w, area.h = rect.w - left - right, rect.h - top - bottom
  if area.w < 20 or area.h < 20 then
    raise("plot: width and height leave no room for the axes")
  end
  return area, title
end

--- Draws axes, title and names.
function M.frame(s, o, rect, area, title, x, y)
  s:clear()
  s:area(area, rect)
  s:axis("x", x)
  s:axis("y", y)
  s:titles({ title = title, xlabel = o.xlabel, ylabel = o.ylabel }, area, rect)
end

--- Puts the legend into a corner or outside on the right.
function M.key(s, where, area, names)
  if not where or s.text_only then
    s:add(where and "set key noenhanced opaque" or "unset key")
    return
  end
  if where == "outside" then
    local height = #names * 1.5 * s.em
    local top = area.y + math.max(0, math.min(area.h / 2 - height / 2, area.h - height))
    s:add("set key at %s left top vertical Left reverse noenhanced samplen 1.2 spacing 1.2 opaque",
      s:at(area.x + area.w + s.em, top))
    return
  end
  local vertical, horizontal = where:match "(%a+) (%a+)"
  local inset_x, inset_y = s.em, 0.7 * s.em
  local x = horizontal == "right" and area.x + area.w - inset_x or area.x + inset_x
  local y = vertical == "top" and area.y + inset_y or area.y + area.h - inset_y
  s:add("set key at %s %s %s vertical Left reverse noenhanced samplen 2 spacing 1.25 opaque",
    s:at(x, y), horizontal, vertical)
end

--- 1, 2, ... n.
function M.count_up(n)
  local list = {}
  for i = 1, n do
    list[i] = i
  end
  return list
end

--- How many drawn points fall into each corner where a legend of the given share of the area would lie.
local function crowded(list, x, y, share_x, share_y)
  local function position(axis, v)
    if axis.log then
      return v > 0 and math.log(v / axis.lo) / math.log(axis.hi / axis.lo) or -1
    end
    return (v - axis.lo) / (axis.hi - axis.lo)
  end
  local hits = { ["top right"] = 0, ["bottom right"] = 0, ["top left"] = 0, ["bottom left"] = 0 }
  local function visit(u, v)
    local horizontal = u > 1 - share_x and "right" or u < share_x and "left"
    local vertical = v > 1 - share_y and "top" or v < share_y and "bottom"
    local corner = horizontal and vertical and vertical .. " " .. horizontal
    if corner then
      hits[corner] = hits[corner] + 1
    end
  end
  for _, series in ipairs(list) do
    local u0, v0
    for i = 1, #series.x do
      local u1, v1 = position(x, series.x[i]), position(y, series.y[i])
      for part = 1, u0 and 10 or 0 do
        visit(u0 + (u1 - u0) * part / 10, v0 + (v1 - v0) * part / 10)
      end
      u0, v0 = u1, v1
    end
  end
  return hits
end

--- The corner with no data under a legend, or "outside".
function M.choose_corner(s, rect, list, names, x, y)
  local share_x = math.min(0.5, (legend_width(s.em, s.char, names) + 3 * s.em) / (rect.w * 0.85))
  local share_y = math.min(0.5, (#names * 1.5 + 1.5) * s.em / (rect.h * 0.8))
  local hits = crowded(list, x, y, share_x, share_y)
  for _, corner in ipairs{ "top right", "bottom right", "top left", "bottom left" } do
    if hits[corner] == 0 then
      return corner
    end
  end
  return "outside"
end

--- Checks the option color of a series.
function M.check_colour(name, color)
  local named = type(color) == "string" and color:match "^#%x%x%x%x%x%x$"
  if color ~= nil and not named and (math.type(color) ~= "integer" or color < 1) then
    raise(name .. ': color: expected a number of the palette, from 1, or "#rrggbb"')
  end
end

--- Gnuplot's words for a colour: number of the palette or "#rrggbb"; by default the palette's next.
function M.colour_of(color, index)
  if type(color) == "string" then
    return "lc rgb " .. quote(color)
  end
  return "lc " .. ((color or index) - 1) % M.COLOURS + 1
end

--- The labels of those series that have one.
function M.labels_of(list)
  local names = {}
  for _, series in ipairs(list) do
    names[#names + 1] = series.label
  end
  return names
end

return M
