--- Builds the gnuplot script of one figure, and the file of binary data that it reads.
-- Positions are in pixels from the top left corner; gnuplot gets them as fractions of the page.
-- Knows nothing of processes or files, but for the style file.
-- @module latent.plot.script

local core = require "latent.core"

local plainly = core.plainly

local M = {}
local Script = {}
Script.__index = Script

local TERMINAL = {
  png = "pngcairo size %d,%d background '#ffffff'",
  svg = "svg size %d,%d background '#ffffff'",
  pdf = "pdfcairo size %d/96.0,%d/96.0 background '#ffffff'",
  sixel = "sixelgd truecolor size %d,%d background '#ffffff'",
  text = "dumb size %d,%d noenhanced",
  qt = "qt size %d,%d persist",
  wxt = "wxt size %d,%d persist",
  x11 = "x11 size %d,%d persist",
}
--- Size of titles, in units of the text size.
M.TITLE_SIZE = 1.15

--- Height and mean width of a character in pixels, in the style as it ships: figures whose size depends on
-- their text are sized with these, before their script exists.
M.EM, M.CHAR = 14.7, 8.8

local LINE = 1.3 -- height of a line, in units of the text size
local TITLE_CHAR = 1.12 -- mean width of a bold title's characters, in those of the text
local REPLACEMENT = "\u{FFFD}" -- for what is not UTF-8
local SVG_POINT = 4 / 3 -- the svg terminal takes a point for a pixel

--- Quotes bytes as a gnuplot string that stands for exactly these. In single quotes nothing is special but the
-- quote itself, of which gnuplot misreads one at the beginning or two in a row; what holds one, or another
-- character that some part of gnuplot looks for, is written in double quotes without any such character.
local function quote_bytes(bytes)
  if not bytes:find "['\\`\0-\31\127]" then
    return "'" .. bytes .. "'"
  end
  local escaped = bytes:gsub("[\"'\\`@$\0-\31\127]", function(c)
    return ("\\%03o"):format(c:byte())
  end)
  -- Gnuplot would read a digit after an escape as one of its own: there a new string begins.
  return '"' .. escaped:gsub("(\\%d%d%d)([0-7])", '%1"."%2') .. '"'
end

--- What can be drawn of a text: UTF-8 without control characters but the newline.
local function clean(text)
  if not utf8.len(text) then
    local parts, at = {}, 1
    while at <= #text do
      local _, bad = utf8.len(text, at)
      parts[#parts + 1] = text:sub(at, (bad or #text + 1) - 1)
      parts[#parts + 1] = bad and REPLACEMENT
      at = (bad or #text) + 1
    end
    text = table.concat(parts)
  end
  return (text:gsub("\r\n", "\n"):gsub("\t", "  "):gsub("[\0-\9\11-\31\127]", " ")
    :gsub("\xEF\xBF[\xBE\xBF]", REPLACEMENT)) -- no characters of XML, and so of no svg
end

--- Quotes any text as a gnuplot string that stands for exactly that text, but for what cannot be drawn.
-- @tparam string text
-- @treturn string
function M.quote(text)
  return quote_bytes(clean(tostring(text)))
end

--- Quotes a file name, byte for byte. It begins with a folder, for "|name" and "<name" are commands to gnuplot.
-- @tparam string path
-- @treturn string
function M.quote_path(path)
  return quote_bytes(path:find "^%.?%.?/" and path or "./" .. path)
end

--- A number as gnuplot reads it, whatever the locale.
-- @tparam number v
-- @treturn string
function M.number(v)
  return plainly(string.format, "%.15g", v)
end

--- Characters of a text, or bytes where it is not UTF-8.
-- @tparam string text
-- @treturn int
function M.length(text)
  return utf8.len(text) or #text
end

--- The lines of a text that fit `most` characters each; words that are longer are cut.
local function add_lines(out, text, most)
  local current
  for word in text:gmatch "[^ ]+" do
    while M.length(word) > most do
      local from = utf8.offset(word, most + 1)
      out[#out + 1], current = current, nil
      out[#out + 1], word = word:sub(1, from - 1), word:sub(from)
    end
    local longer = current and current .. " " .. word or word
    if current and M.length(longer) > most then
      out[#out + 1], current = current, word
    else
      current = longer
    end
  end
  out[#out + 1] = current or ""
end

--- Breaks a title into lines that fit a width.
-- @tparam ?string text
-- @tparam number width in pixels
-- @tparam[opt] number char mean width of a character in those of the text: a bold title's without
-- @treturn ?string
-- @treturn int number of lines, 0 without a title
function M.wrap(text, width, char)
  if not text or text == "" then
    return nil, 0
  end
  local most, out = math.max(4, width // (M.CHAR * (char or TITLE_CHAR))), {}
  for line in (clean(text) .. "\n"):gmatch("(.-)\n") do
    if M.length(line) <= most then
      out[#out + 1] = line
    else
      add_lines(out, line, math.tointeger(most))
    end
  end
  return table.concat(out, "\n"), #out
end

--- What a text of several lines needs more than one of a single line, in units of the text size.
-- @tparam ?string text
-- @treturn number
function M.more_lines(text)
  return text and select(2, text:gsub("\n", "")) * LINE or 0
end

local function longest_line(text)
  local longest = 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    longest = math.max(longest, M.length(line))
  end
  return longest
end
M.longest_line = longest_line

--- Starts a script.
-- @tparam table o {format, width, height: in pixels (characters for "text"), style = text of the style
--   file, output, data = file names; window formats have no output}
-- @treturn Script
function M.new(o)
  local points = tonumber(o.style:match("latent_size%s*=%s*([%d.]+)")) or 11
  local s = setmetatable({
    width = o.width, height = o.height, em = points * 4 / 3, text_only = o.format == "text",
    _lines = {}, _blocks = {}, _offset = 0,
  }, Script)
  s.char = s.em * 0.6 -- the mean width of a character
  s:add("set encoding utf8; set clip two") -- a line between two points beyond the axes is seen where it passes
  s._lines[#s._lines + 1] = o.style
  if s.text_only then
    s:add('latent_axes = "set border 3; set tics out nomirror; unset grid"')
  end
  s._points = points * (o.format == "svg" and SVG_POINT or 1)
  s.font_name = o.style:match "latent_font%s*=%s*['\"]([^'\"\n]+)" or "DejaVu Sans"
  local font = s.text_only and "" or " " .. s:font(1)
  s._svg = o.format == "svg"
  local pixels_w, pixels_h = o.columns or o.width, o.lines or o.height
  s._lines[#s._lines + 1] = "set terminal " .. TERMINAL[o.format]:format(pixels_w, pixels_h) .. font
  if o.output then
    s:add("set output %s", M.quote_path(o.output))
  end
  s:add("data = %s", M.quote_path(o.data))
  return s
end

-- Gnuplot's words for a font of the style's family.
local function font_of(s, scale, face)
  return ("font '%s%s,%s'"):format(s.font_name, face, M.number(s._points * scale))
end

--- Gnuplot's words for the font of the style.
-- @tparam number scale 1 for the size of ordinary text
-- @treturn string
function Script:font(scale) return font_of(self, scale, "") end

--- A text that is drawn bold, quoted, and gnuplot's words for its font. In svg it is markup: there ":Bold" would become
-- a part of the family's name, which no browser knows.
-- @tparam string text
-- @tparam number scale
-- @treturn string
-- @treturn string
function Script:bold(text, scale)
  if not self._svg then return M.quote(text), "noenhanced " .. font_of(self, scale, ":Bold") end
  local marked = clean(text):gsub("[{}^_@&~\\]", "\\%0"):gsub("[^\n]+", "{/:Bold %0}")
  return quote_bytes(marked), "enhanced " .. self:font(scale)
end

--- Adds a line, formatted as by string.format.
-- @tparam string format
function Script:add(format, ...)
  self._lines[#self._lines + 1] = format:format(...)
end

--- Adds binary data, and returns how a plot command refers to it.
-- @tparam string bytes
-- @tparam string layout gnuplot's words on the layout, as "record=(10) format='%double%double'"
-- @treturn string
function Script:data(bytes, layout)
  local from = self._offset
  self._blocks[#self._blocks + 1] = bytes
  self._offset = from + #bytes
  return ("data binary skip=%d %s endian=little"):format(from, layout)
end

--- Adds rows of doubles (from values.pack).
-- @tparam string bytes
-- @tparam int columns
-- @treturn string
function Script:doubles(bytes, columns)
  local layout = ("record=(%d) format='%s'"):format(#bytes // (8 * columns), ("%double"):rep(columns))
  return self:data(bytes, layout)
end

--- A position in pixels as gnuplot's screen coordinates.
-- @tparam number x
-- @tparam number y from the top
-- @treturn string
function Script:at(x, y)
  return ("screen %.8f, screen %.8f"):format(x / self.width, 1 - y / self.height)
end

--- Clears what an earlier panel set.
function Script:clear()
  self:add("unset title; unset xlabel; unset ylabel; unset label; unset object; unset logscale")
  self:add("unset key; set xtics autofreq; set ytics autofreq; eval latent_axes")
  if self._page_title then
    local text, rect = table.unpack(self._page_title)
    self:heading(text, rect.x + rect.w / 2, rect.y + 1.6 * self.em)
    self._page_title = nil -- once a page: the next panel clears its own labels only from then on
  end
end

--- Places the plotting area, in pixels.
-- @tparam table area {x, y, w, h}
-- @tparam table rect {x, y, w, h} of the panel: all that a text terminal is told, which has its own margins
function Script:area(area, rect)
  if self.text_only then
    self:add("set origin %.6f,%.6f; set size %.6f,%.6f", rect.x / self.width,
      1 - (rect.y + rect.h) / self.height, rect.w / self.width, rect.h / self.height)
    return
  end
  -- gnuplot puts the fraction f of the page at pixel f * (size - 1) + 1/2: undone, so that a picture's
  -- pixels fall on those of the page
  local function fraction(at, size)
    return (at - 0.5) / (size - 1)
  end
  self:add("set lmargin at screen %.8f; set rmargin at screen %.8f", fraction(area.x, self.width),
    fraction(area.x + area.w, self.width))
  self:add("set tmargin at screen %.8f; set bmargin at screen %.8f",
    1 - fraction(area.y, self.height), 1 - fraction(area.y + area.h, self.height))
end

--- Writes a piece of text; nothing in it is special to gnuplot.
-- @tparam string text
-- @tparam number x
-- @tparam number y of its middle line
-- @tparam[opt=""] string how gnuplot's words: "center", "rotate by 90 center", a font
function Script:label(text, x, y, how)
  self:add("set label %s at %s %s noenhanced front textcolor rgb '#222222'", M.quote(text),
    self:at(x, y), how or "")
end

--- Writes a title, bold and larger than other texts.
-- @tparam string text
-- @tparam number x of its middle
-- @tparam number y of its middle line
function Script:heading(text, x, y)
  local quoted, words = self:bold(text, M.TITLE_SIZE)
  self:add("set label %s at %s center front textcolor rgb '#222222' %s", quoted, self:at(x, y), words)
end

--- Title above and names beside the axes of an area.
-- @tparam table o {title, xlabel, ylabel}, each optional; the title as broken into lines by `wrap`; below =
--   pixels by which the xlabel is lower than usual
-- @tparam table area {x, y, w, h}
-- @tparam table rect {x, y, w, h}
function Script:titles(o, area, rect)
  if self.text_only then
    for _, name in ipairs{"title", "xlabel", "ylabel"} do
      if o[name] then
        self:add("set %s %s noenhanced", name, M.quote(o[name]))
      end
    end
    return
  end
  local middle = area.x + area.w / 2
  if o.title then
    local half = longest_line(o.title) * self.char * TITLE_CHAR / 2
    local at = math.max(rect.x + half, math.min(rect.x + rect.w - half, middle))
    if 2 * half > rect.w then
      at = rect.x + rect.w / 2
    end
    self:heading(o.title, at, rect.y + self.em * 1.25)
  end
  if o.xlabel then
    self:label(o.xlabel, middle, area.y + area.h + self.em * 2.8 + (o.below or 0), "center")
  end
  if o.ylabel then
    self:label(o.ylabel, rect.x + self.em * 1.2, area.y + area.h / 2, "rotate by 90 center")
  end
end

--- Sets one axis.
-- @tparam string name "x" or "y"
-- @tparam table axis from latent.plot.axes
function Script:axis(name, axis)
  local ticks = {}
  for i, tick in ipairs(axis.ticks) do
    local text = M.quote((tick[2]:gsub("%%", "%%%%")))
    ticks[i] = ("%s %s%s"):format(text, M.number(tick[1]), tick[2] == "" and " 1" or "")
  end
  if axis.log then
    self:add("set logscale %s", name)
  end
  self:add("set %srange [%s:%s] noextend", name, M.number(axis.from), M.number(axis.to))
  self:add("set %stics %s (%s)", name, axis.names and "noenhanced" or "enhanced",
    table.concat(ticks, ", "))
end

--- Begins a page of several panels.
-- @tparam ?string title above all
-- @tparam table rect {x, y, w, h}
function Script:multiplot(title, rect)
  self:add("set multiplot")
  self._page_title = title and not self.text_only and {title, rect} or nil
end

--- Plots elements together.
-- @tparam {string,...} elements
function Script:plot(elements)
  self:add("plot %s", table.concat(elements, ", \\\n     "))
end

--- The script as text, and its binary data.
-- @treturn string
-- @treturn string
function Script:finish()
  return table.concat(self._lines, "\n") .. "\n", table.concat(self._blocks)
end

return M
