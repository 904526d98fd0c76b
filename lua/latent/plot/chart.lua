--- What all charts with axes share: margins, axes, legend.
-- @module latent.plot.chart

local core = require "latent.core"
local axes = require "latent.plot.axes"
local kinds = require "latent.plot.kinds"
local script_of = require "latent.plot.script"

local raise = core.raise

local M = {}

M.WIDTH, M.HEIGHT = 900, 600 -- of a figure, in pixels
M.COLOURS = 10 -- in the palette of the style file

local MOST_AREA = 100000000 -- pixels, of four bytes
local NAME_CHAR = 0.95 -- mean width of a character in the name of an axis, in those of the text

local quote = script_of.quote
--- Where the legend goes: nil for none.
-- @param legend as the option gives it
-- @tparam string default
-- @treturn ?string
function M.legend_of(legend, default)
  if legend == nil or legend == true then
    return default
  end
  return legend or nil
end

--- A panel's size: as the options say, else the default, and then panels may change it.
function M.panel_of(o, default_width, default_height)
  return {
    width = o.width or default_width, height = o.height or default_height,
    flexible = not (o.width or o.height),
  }
end

--- Axes for a panel of this size: as many ticks as there is room for.
-- @tparam table s script
-- @tparam table rect {w, h}
-- @tparam table xrange {lo, hi}
-- @tparam table yrange {lo, hi}
-- @tparam ?table ox options of the x axis, as for axes.new
-- @tparam ?table oy
-- @treturn table x axis
-- @treturn table y axis
function M.axes_of(s, rect, xrange, yrange, ox, oy)
  ox, oy = ox or {}, oy or {}
  ox.count, oy.count = math.max(3, rect.w / 85), math.max(3, rect.h / 65)
  local y = axes.new(yrange[1], yrange[2], oy)
  ox.characters = (rect.w - 3 * s.em) / s.char - axes.label_length(y)
  return axes.new(xrange[1], xrange[2], ox), y
end

--- Raises where a figure would be larger than gnuplot can draw.
function M.check_size(fname, width, height)
  if width > kinds.MOST_PIXELS or height > kinds.MOST_PIXELS or width * height > MOST_AREA then
    raise(("%s: the figure would have %d x %d pixels, more than %d a side or %d million"):format(
      fname, width // 1, height // 1, kinds.MOST_PIXELS, MOST_AREA // 1000000))
  end
end

local function longest_of(names)
  local longest = 0
  for _, name in ipairs(names) do
    longest = math.max(longest, script_of.longest_line(name))
  end
  return longest
end

--- The width of the widest name in characters, of which some letters are wider than others.
local function widest_of(names)
  local widest = 0
  for _, name in ipairs(names) do
    local wide, capitals = select(2, name:gsub("[mwMW@%%]", "")), select(2, name:gsub("%u", ""))
    widest = math.max(widest, script_of.longest_line(name) + 0.5 * wide + 0.1 * capitals)
  end
  return widest
end

local function legend_width(em, char, names) return widest_of(names) * char * 0.93 + 3.4 * em end

--- By how many characters a legend's white box is to be wider than gnuplot makes it, to which all letters are alike.
local function more_room(names) return 1 + widest_of(names) - longest_of(names) end

--- Breaks the name of an axis into lines that fit the length of a figure's side: gnuplot leaves out what begins
-- beyond it.
function M.wrap(text, length)
  return (script_of.wrap(text, length, NAME_CHAR))
end

--- What names of several lines need below an axis, in pixels.
local function below(em, x)
  local most = 0
  for _, tick in ipairs(x.names and x.ticks or {}) do
    most = math.max(most, script_of.more_lines(tick[2]))
  end
  return most * em
end

--- Margins around the axes of a chart, in pixels.
-- @tparam number em
-- @tparam number char
-- @tparam table o options of the chart
-- @tparam table x axis
-- @tparam table y axis
-- @tparam ?table outside names in a legend beside the chart
-- @tparam[opt=0] number beyond how far from the axes this legend is
-- @treturn number left
-- @treturn number right
-- @treturn number bottom
function M.margins(em, char, o, x, y, outside, beyond)
  local left = 1.6 * em + axes.label_length(y) * char + (o.ylabel and 1.6 * em or 0)
    + script_of.more_lines(o.ylabel) * em
  local last = x.ticks[#x.ticks]
  local right = math.max(1.6 * em, last and (#last[2] * char / 2 + em * 0.5) or 0)
  if outside then
    right = (beyond or 0) + legend_width(em, char, outside) + 1.6 * em
  end
  return left, right, ((o.xlabel and 4 or 2.4) + script_of.more_lines(o.xlabel)) * em + below(em, x)
end

--- The plotting area inside a panel, and its texts {title, xlabel, ylabel} broken into lines.
function M.layout(s, o, rect, x, y, outside, beyond)
  local em = s.em
  local title, lines = script_of.wrap(o.title, rect.w - 4 * em)
  local texts = {title = title, xlabel = M.wrap(o.xlabel, rect.w), ylabel = M.wrap(o.ylabel, rect.h)}
  local left, right, bottom = M.margins(em, s.char, texts, x, y, outside, beyond)
  local top = lines > 0 and (1.3 + 1.55 * lines) * em or 1.4 * em
  local area = {x = rect.x + left, y = rect.y + top}
  area.w, area.h = rect.w - left - right, rect.h - top - bottom
  if area.w < 20 or area.h < 20 then
    raise("plot: width and height leave no room for the axes")
  end
  return area, texts
end

--- Draws axes, title and names.
function M.frame(s, texts, rect, area, x, y)
  s:clear()
  s:area(area, rect)
  s:axis("x", x)
  s:axis("y", y)
  texts.below = below(s.em, x)
  s:titles(texts, area, rect)
end

--- Puts the legend into a corner or outside on the right, `beyond` pixels from the axes.
function M.key(s, where, area, names, beyond)
  if not where or s.text_only then
    s:add(where and "set key noenhanced opaque" or "unset key")
    return
  end
  if where == "outside" then
    local height = #names * 1.5 * s.em
    local top = area.y + math.max(0, math.min(area.h / 2 - height / 2, area.h - height))
    s:add("set key at %s left top vertical Left reverse noenhanced samplen 1.2 spacing 1.2 opaque",
      s:at(area.x + area.w + s.em + (beyond or 0), top))
    return
  end
  local vertical, horizontal = where:match "(%a+) (%a+)"
  local inset_x, inset_y = s.em, 0.7 * s.em
  local x = horizontal == "right" and area.x + area.w - inset_x or area.x + inset_x
  local y = vertical == "top" and area.y + inset_y or area.y + area.h - inset_y
  s:add("set key at %s %s %s vertical Left reverse noenhanced samplen 2 spacing 1.25 width %.2f opaque",
    s:at(x, y), horizontal, vertical, more_room(names))
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
  local hits = {["top right"] = 0, ["bottom right"] = 0, ["top left"] = 0, ["bottom left"] = 0}
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
      local u1, v1 = axes.share(x, series.x[i]), axes.share(y, series.y[i])
      for part = 1, u0 and 9 or 0 do
        visit(u0 + (u1 - u0) * part / 10, v0 + (v1 - v0) * part / 10)
      end
      visit(u1, v1) -- also of a point that no line leads to
      u0, v0 = u1, v1
    end
  end
  return hits
end

--- The corner with no data under a legend, or "outside"; `list` holds {x, y} as `axes.map` gives them.
function M.choose_corner(s, rect, list, names, x, y)
  local share_x = math.min(0.5, (legend_width(s.em, s.char, names) + 3 * s.em) / (rect.w * 0.85))
  local share_y = math.min(0.5, (#names * 1.5 + 1.5) * s.em / (rect.h * 0.8))
  local hits = crowded(list, x, y, share_x, share_y)
  for _, corner in ipairs{"top right", "bottom right", "top left", "bottom left"} do
    if hits[corner] == 0 then
      return corner
    end
  end
  return "outside"
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
