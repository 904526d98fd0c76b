--- Shows figures in a terminal: finds out what it can do, and hands the picture over.
-- @module latent.plot.terminal

local base64 = require "latent.base.base64"
local cells = require "latent.plot.cells"
local core = require "latent.core"
local files = require "latent.base.files"
local page = require "latent.base.page"
local gnuplot = require "latent.plot.gnuplot"

local M = {}

--- What figures may be shown by.
M.KINDS = {"kitty", "sixel", "window", "text"}

local is_kind = {}
for _, kind in ipairs(M.KINDS) do is_kind[kind] = true end
local WINDOWS = {"qt", "wxt", "x11"}
local KITTY_CHUNK = 4096 -- the most that kitty's protocol takes at once

--- The first window terminal that the installed gnuplot has.
local function window_terminal()
  for _, name in ipairs(WINDOWS) do
    if gnuplot.has_terminal(name) then
      return name
    end
  end
end

local function has_any(text, words)
  for _, word in ipairs(words) do
    if text:find(word, 1, true) then
      return true
    end
  end
  return false
end

--- What the terminal on standard output can show; the variable LATENT_TERMINAL overrides it.
-- @tparam[opt=os.getenv] function getenv
-- @tparam ?boolean on_terminal whether standard output is a terminal
-- @treturn string "kitty", "sixel", "window" or "text"
function M.detect(getenv, on_terminal)
  getenv = getenv or os.getenv
  if on_terminal == nil then
    on_terminal = core.isatty(1)
  end
  local named = getenv "LATENT_TERMINAL"
  if is_kind[named] then
    return named
  end
  local term, program = getenv "TERM" or "", getenv "TERM_PROGRAM" or ""
  -- tmux and screen keep the outer terminal's variables but pass no graphics through
  local wrapped = getenv "TMUX" or has_any(term, {"screen", "tmux"})
  if not on_terminal then
    return "text"
  elseif not wrapped then
    if getenv "KITTY_WINDOW_ID" or has_any(term, {"kitty", "ghostty"}) or program == "ghostty" then
      return "kitty"
    elseif has_any(term, {"sixel", "foot", "mlterm", "yaft", "contour"})
      or has_any(program, {"WezTerm", "mintty", "iTerm"}) then
      return gnuplot.has_terminal "sixelgd" and "sixel" or "text"
    end
  end
  if (getenv "DISPLAY" or getenv "WAYLAND_DISPLAY") and window_terminal() then
    return "window"
  end
  return "text"
end

local function read_file(path)
  local file, message = io.open(path, "rb")
  if not file then
    return nil, message
  end
  local bytes = file:read "a"
  file:close()
  return bytes
end

-- Draws into a temporary file and returns its bytes.
local function drawn(figure, format, build, size)
  local path = os.tmpname()
  local ok, message = gnuplot.draw(path, format == "kitty" and "png" or format, function(output, data)
    return build(figure, {
      format = format == "kitty" and "png" or format, output = output, data = data,
      columns = size and size.columns, lines = size and size.lines,
    })
  end)
  local bytes
  if ok then
    bytes, message = read_file(path)
  end
  os.remove(path)
  return bytes, message
end

local MIME = {png = "image/png", svg = "image/svg+xml"}
local MOST_SVG = 200000 -- bytes: many points make a picture of shapes too slow, and a notebook too large

--- The pictures that a notebook gets of a figure: PNG and, where it is not large, SVG. LATENT_FIGURES="png" leaves the
-- other out.
-- @tparam Figure figure
-- @tparam function build
-- @treturn ?table contents by MIME type
-- @treturn ?string message
function M.pictures(figure, build)
  local bundle, asked = {["text/plain"] = tostring(figure)}, os.getenv "LATENT_FIGURES"
  for _, format in ipairs{"png", "svg"} do
    if not asked or asked == "" or asked:find(format, 1, true) then
      local bytes, message = drawn(figure, format, build)
      if not bytes then return nil, message end
      local too_large = format == "svg" and #bytes > MOST_SVG and bundle["image/png"]
      if not too_large then bundle[MIME[format]] = bytes end
    end
  end
  return bundle
end

--- A PNG file in kitty's graphics protocol.
-- @tparam string png
-- @treturn string
function M.kitty(png)
  local text, out = base64(png), {}
  for from = 1, #text, KITTY_CHUNK do
    local chunk = text:sub(from, from + KITTY_CHUNK - 1)
    local more = from + KITTY_CHUNK <= #text and 1 or 0
    local control = from == 1 and "a=T,f=100,m=" or "m="
    out[#out + 1] = ("\27_G%s%d;%s\27\\"):format(control, more, chunk)
  end
  out[#out + 1] = "\n"
  return table.concat(out)
end

--- Columns and lines for a drawing in text: those of the terminal, but for the prompt's.
local function text_size()
  local size = core.isatty(0) and files.capture "stty size 2>/dev/null" or ""
  local lines, columns = size:match "^(%d+) (%d+)$"
  columns = tonumber(columns) or tonumber(os.getenv "COLUMNS") or 100
  return {columns = math.max(40, math.min(160, columns - 1)),
    lines = math.max(15, math.min(40, (tonumber(lines) or 32) - 2))}
end

local function put(...)
  io.stdout:write(...)
  io.stdout:flush()
end

-- Pictures as coloured half blocks, panels one below the other; into a file only where text was asked for.
local function show_cells(figure, build, wanted)
  local size, colors = text_size(), wanted and cells.colors()
  if not colors then
    return nil, "this terminal shows no images (save the figure as a png file instead)"
  end
  if not figure.parts then
    put(cells.text(figure, size, colors))
    return true
  end
  if figure.title then
    put(figure.title, "\n")
  end
  for _, part in ipairs(figure.parts) do
    local ok, message = M.show(part, "text", build)
    if not ok then
      return nil, message
    end
  end
  return true
end

--- See latent.plot.show.
function M.show(figure, kind, build)
  local asked = kind ~= nil
  if page.display and not asked then
    page.display(figure)
    return true
  end
  kind = kind or M.detect()
  if kind == "window" then
    local name = window_terminal()
    if not name then
      return nil, "the installed gnuplot opens no windows (install gnuplot-qt or gnuplot-x11)"
    end
    return gnuplot.window(function(_, data)
      return build(figure, {format = name, data = data})
    end)
  end
  if kind == "text" and figure.pictures then
    return show_cells(figure, build, asked or core.isatty(1))
  end
  local bytes, message = drawn(figure, kind, build, kind == "text" and text_size())
  if not bytes then
    return nil, message
  end
  if kind == "text" then
    bytes = bytes:gsub("^\f?%s*\n", "") -- a new page, for a printer
  end
  put(kind == "kitty" and M.kitty(bytes) or bytes, kind == "sixel" and "\n" or "")
  return true
end

return M
