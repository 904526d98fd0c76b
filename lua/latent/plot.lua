--- Figures, drawn by gnuplot.
--
-- Each function below returns a figure; `figure:save "loss.png"` draws it into a file (png, svg or pdf, by
-- its name) and `plot.show(figure)` in the terminal. Data may be tensors or nested Lua tables; values that
-- are not finite are left out. Text appears exactly as given. Gnuplot draws the same whatever the environment
-- says: it is told where programs, libraries and fonts are (PATH, HOME, LD_LIBRARY_PATH, FONTCONFIG_*, XDG_*)
-- and nothing else, and reads no settings of its own (~/.gnuplot). LATENT_GNUPLOT names another gnuplot.
--
--    plot.lines({{y = losses, label = "train"}, title = "Loss", xlabel = "epoch"}):save "loss.png"
--
-- @module latent.plot

require "latent" -- tells the core which files are the library's, for errors at the user's line
local bars = require "latent.plot.bars"
local chart = require "latent.plot.chart"
local core = require "latent.core"
local fields = require "latent.plot.fields"
local foreign = require "latent.base.foreign"
local gnuplot = require "latent.plot.gnuplot"
local images = require "latent.plot.images"
local kinds = require "latent.plot.kinds"
local lines = require "latent.plot.lines"
local options = require "latent.base.options"
local scatter = require "latent.plot.scatter"
local script = require "latent.plot.script"
local terminal = require "latent.plot.terminal"

-- Scripts, and the texts of ticks in them, are the same in any locale.
local plainly, raise = core.plainly, core.raise

local M = {}

--- A figure. `save` writes it, `show` draws it in the terminal.
-- @type Figure
-- @tfield string kind "lines", "scatter", ...
-- @tfield number width pixels
-- @tfield number height pixels
local Figure = {}
Figure.__index = Figure
Figure.__name = "figure" -- in messages

local FORMATS = {png = true, svg = true, pdf = true}
local PANEL_WIDTH, PANEL_HEIGHT = 560, 400 -- of a chart within panels, unless it has its own size
local STRETCH = 1.25 -- by how much a chart may grow to fill its place in panels

local function is_figure(v)
  return getmetatable(v) == Figure
end

function Figure:__tostring()
  return ("%s figure, %d x %d"):format(self.kind, self.width, self.height)
end

--- The style file: beside this module once installed, in plots/ of the repository otherwise.
local function read_style()
  local folder = debug.getinfo(1, "S").source:match "^@(.*[/\\])" or "./"
  for _, path in ipairs{folder .. "plot/style.gp", folder .. "../../plots/style.gp"} do
    local file = io.open(path, "rb")
    if file then
      local text = file:read "a"
      file:close()
      return text
    end
  end
  return nil, "style.gp is missing from " .. folder .. "plot"
end

local style
local function the_style()
  local message
  if not style then
    style, message = read_style()
  end
  return style, message
end

local function script_of(figure, o)
  o.width, o.height, o.style = math.floor(figure.width), math.floor(figure.height), style
  local s = script.new(o)
  figure.draw(s, {x = 0, y = 0, w = o.width, h = o.height})
  return s:finish()
end

--- Script and data of a figure. `o` as for latent.plot.script.new, without what the figure knows.
local function build(figure, o)
  return plainly(script_of, figure, o)
end

local TERMINAL = {"terminal", options.one_of(terminal.KINDS), nil,
  "default: what the environment says the terminal can do"}
local show_options = options.declare("plot.show", {TERMINAL})
options.declare("figure:show", {TERMINAL}, "plot.Figure:show")

-- What plot.show and figure:show are: `fname` is for messages.
local function show(fname, figure, opts)
  local o = show_options(opts, fname)
  local ok, message = the_style()
  if ok then
    ok, message = terminal.show(figure, o.terminal, build)
  end
  if not ok then
    return nil, fname .. ": " .. message
  end
  return true
end

local save_options = options.declare("figure:save", {
  {"keep", "any", nil, "true: leave the gnuplot script and its data beside the picture, as name.gp and name.dat, to be "
    .. "run and changed by hand"}}, "plot.Figure:save")

--- Draws the figure into a file.
-- @tparam string path name ending in .png, .svg or .pdf; its folder is made where it is missing
-- @tparam ?table opts
-- @treturn string path
-- @raise where the file cannot be made; then nothing is left behind, and what was there stays
-- @function Figure:save
function Figure:save(path, opts)
  local o = save_options(opts)
  if type(path) ~= "string" then
    raise("figure:save: expected a file name, got " .. options.describe(path))
  elseif path:find("\0", 1, true) then
    raise("figure:save: expected a file name, got one with a zero byte")
  end
  local format = (path:match "%.(%w+)$" or ""):lower()
  if not FORMATS[format] then
    raise(("figure:save: %s: the name must end in .png, .svg or .pdf"):format(path))
  end
  local ok, message = the_style()
  if ok then
    ok, message = gnuplot.draw(path, format, function(output, data)
      return build(self, {format = format, output = output, data = data})
    end, o.keep)
  end
  if not ok then
    raise(message:sub(1, #path + 2) == path .. ": " and message or ("%s: %s"):format(path, message))
  end
  return path
end

--- Draws the figure in the terminal or in a window; see `plot.show`.
-- @tparam ?table opts
-- @treturn ?boolean true, or nil and a message
-- @function Figure:show
function Figure:show(opts)
  return show("figure:show", self, opts)
end

-- What the prompt does with a figure that is a value.
function Figure:__display()
  return show("plot.show", self)
end

-- What a notebook shows of it.
function Figure:__mime()
  local bundle, message = the_style()
  if bundle then
    bundle, message = terminal.pictures(self, build)
  end
  return bundle or error(message, 0)
end

-- The title is in the picture too; here it names the figure for those who list them.
local function figure_of(kind, panel, title)
  chart.check_size("plot." .. kind, panel.width, panel.height)
  panel.kind, panel.title = kind, title
  return setmetatable(panel, Figure)
end

--- Lines over common axes. What is not finite, nil in a table y, and what a logarithmic axis cannot show breaks
-- the line, as in matplotlib; a point with such a gap on both sides is drawn as a dot.
-- @tparam table arguments series first: {y = [n], x = [n] (default 1..n), label = text, color = number of
--   the palette or "#rrggbb", width, dashed, markers, line = false for points alone, texts = one beside each
--   point, error = [n] or {down, up}: bars around the points, or with band = true a band}; then options (without width
--   and height 900 x 600 pixels)
-- @treturn Figure
function M.lines(arguments)
  return figure_of("lines", plainly(lines.lines, arguments, "plot.lines"), arguments.title)
end

--- Points of the plane, one colour a class.
-- @tparam table arguments
-- @treturn Figure
function M.scatter(arguments)
  return figure_of("scatter", plainly(scatter.scatter, arguments, "plot.scatter"), arguments.title)
end

--- How often values occur.
-- @tparam table arguments series first: a tensor or table, or {values = any shape, label = text}; then options
-- @treturn Figure
function M.histogram(arguments)
  return figure_of("histogram", plainly(bars.histogram, arguments, "plot.histogram"), arguments.title)
end

--- Bars side by side, a group a name.
-- @tparam table arguments series first: values [n], or {values = [n], label = text, color = ...}; then
--   options
-- @treturn Figure
function M.bars(arguments)
  return figure_of("bars", plainly(bars.bars, arguments, "plot.bars"), arguments.title)
end

--- One image.
-- @tparam table arguments the image may be the first element. What is beyond the range is drawn like its end, which
--   is told on standard error where the default range does not fit. A NaN is drawn red.
-- @treturn Figure
function M.image(arguments)
  return figure_of("image", plainly(images.image, arguments, "plot.image"), arguments.title)
end

--- Images over a grid of coordinates, as decoded from a latent space, y upwards.
-- @tparam table arguments image (i, j) belongs to y[i], x[j]
-- @treturn Figure
function M.image_grid(arguments)
  return figure_of("image_grid", plainly(images.image_grid, arguments, "plot.image_grid"), arguments.title)
end

--- Rows of images, the first on top, a label to the left of each.
-- @tparam table arguments
-- @treturn Figure
function M.image_rows(arguments)
  return figure_of("image_rows", plainly(images.image_rows, arguments, "plot.image_rows"), arguments.title)
end

--- A matrix as colours, with a bar that says which colour is which value: confusion matrices (row 1 on top), or with
-- places `x` and `y` spectrograms and densities (y upwards).
-- @usage plot.heatmap{confusion, xnames = classes, ynames = classes, format = "%d", xlabel = "said", ylabel = "true"}
-- @tparam table arguments the matrix may be the first element
-- @treturn Figure
function M.heatmap(arguments)
  return figure_of("heatmap", plainly(fields.heatmap, arguments, "plot.heatmap"), arguments.title)
end

--- Lines of equal value of a field over two axes, y upwards.
-- @tparam table arguments the values [rows, columns] may be the first element
-- @treturn Figure
function M.contour(arguments)
  return figure_of("contour", plainly(fields.contour, arguments, "plot.contour"), arguments.title)
end

local function largest(list, index_of, count, what)
  local sizes, total = {}, 0
  for i = 1, count do
    sizes[i] = 0
  end
  for i, figure in ipairs(list) do
    local at = index_of(i)
    sizes[at] = math.max(sizes[at], figure[what])
  end
  for i = 1, count do
    total = total + sizes[i]
  end
  return sizes, total
end

local function check_figures(figures)
  if type(figures) ~= "table" or #figures == 0 then
    raise("plot.panels: expected a list of figures")
  end
  core.check_list(figures, "plot.panels")
  for i, figure in ipairs(figures) do
    if not is_figure(figure) then
      raise(("plot.panels: element %d: expected a figure, got %s"):format(i, options.describe(figure)))
    end
  end
end

--- Sizes within panels: images and figures with a size of their own keep theirs. Other charts are small,
-- but for those beside a tall picture.
local function panel_sizes(figures, columns, o)
  local tall = {}
  for i, figure in ipairs(figures) do
    local row = (i - 1) // columns
    tall[row] = tall[row] or not figure.flexible and figure.height > 1.6 * PANEL_HEIGHT
  end
  local list = {}
  for i, figure in ipairs(figures) do
    local item = {draw = figure.draw, limits = figure.limits, width = figure.width, height = figure.height,
      flexible = figure.flexible}
    if item.flexible and not tall[(i - 1) // columns] then
      item.width, item.height = o.width, o.height
    end
    list[i] = item
  end
  return list
end

-- The range over all figures of each axis that they are to share: {x = ..., y = ...}, or nil where they share none.
local function shared_limits(figures, share)
  if not share then return nil end
  local limits = {}
  for axis in share:gmatch "." do
    for i, figure in ipairs(figures) do
      local range = figure.limits and figure.limits[axis]
      if not range then
        raise(("plot.panels: share: figure %d is %s, which has no %s axis of numbers"):format(i, figure.kind, axis))
      end
      local all = limits[axis] or range
      limits[axis] = {math.min(all[1], range[1]), math.max(all[2], range[2])}
    end
  end
  return limits
end

local panels_options = options.declare("plot.panels", {
  {"columns", options.kind("int", "a whole number above 0", function(value)
    return math.type(value) == "integer" and value >= 1 and value or nil
  end), nil, "default: 2"}, {"title", kinds.text, nil, "over all"},
  {"share", options.one_of{"x", "y", "xy"}, nil, "axes that have one range in all panels"},
  {"width", kinds.at_least(100, false, kinds.MOST_PIXELS), PANEL_WIDTH, "of every chart that was not given a size"},
  {"height", kinds.at_least(100, false, kinds.MOST_PIXELS), PANEL_HEIGHT, "the same"},
})

--- Several figures in one file, row by row.
-- @tparam {Figure,...} figures
-- @tparam ?table opts
-- @treturn Figure
function M.panels(figures, opts)
  local o = panels_options(opts)
  check_figures(figures)
  local columns = o.columns or math.min(2, #figures)
  local limits = shared_limits(figures, o.share)
  local list, pictures = panel_sizes(figures, columns, o), false
  for _, figure in ipairs(figures) do
    pictures = pictures or figure.pictures
  end
  local function column(i)
    return (i - 1) % columns + 1
  end
  local function row(i)
    return (i - 1) // columns + 1
  end
  local widths, width = largest(list, column, columns, "width")
  local heights, height = largest(list, row, row(#list), "height")
  local title, title_lines = script.wrap(o.title, width)
  local top = title_lines > 0 and 36 + (title_lines - 1) * 1.55 * script.EM or 0

  local function draw(s, rect)
    s:multiplot(title, rect)
    local y = rect.y + top
    for r = 1, #heights do
      local x = rect.x
      for c = 1, columns do
        local item = list[(r - 1) * columns + c]
        if item then
          local grow = item.flexible and STRETCH or 1
          local w = math.min(widths[c], item.width * grow)
          local h = math.min(heights[r], item.height * grow)
          item.draw(s, {x = math.floor(x + (widths[c] - w) / 2),
            y = math.floor(y + (heights[r] - h) / 2), w = w, h = h}, limits)
        end
        x = x + widths[c]
      end
      y = y + heights[r]
    end
    s:add "unset multiplot"
  end
  return figure_of("panels", {width = width, height = height + top, draw = draw, pictures = pictures, parts = figures},
    o.title)
end

local KINDS = {"lines", "scatter", "histogram", "bars", "heatmap", "contour", "image", "image_grid", "image_rows"}

--- A figure by the name of its kind: `plot.figure{kind = "lines", {y = losses}}` draws lines.
-- @tparam table arguments kind, and the arguments of the function of that name
-- @treturn Figure
function M.figure(arguments)
  if type(arguments) ~= "table" then
    raise("plot.figure: expected a table, got " .. options.describe(arguments))
  end
  local rest = {}
  for name, value in pairs(arguments) do
    rest[name] = value
  end
  rest.kind = nil
  for _, kind in ipairs(KINDS) do
    if arguments.kind == kind then
      return M[kind](rest)
    end
  end
  local near = options.nearest(tostring(arguments.kind), KINDS)
  raise(('plot.figure: unknown kind "%s"%s; kinds: %s'):format(tostring(arguments.kind),
    near and (' (did you mean "%s"?)'):format(near) or "", table.concat(KINDS, ", ")))
end

--- Draws a figure in the terminal: by kitty's protocol, by sixel graphics, in a window, else as text.
-- @tparam Figure figure
-- @tparam ?table opts
-- @treturn ?boolean true, or nil and a message
function M.show(figure, opts)
  if not is_figure(figure) then
    raise("plot.show: expected a figure, got " .. options.describe(figure))
  end
  return show("plot.show", figure, opts)
end

for _, name in ipairs{"figure", table.unpack(KINDS)} do
  M[name] = core.at_most(M[name], 1, "plot." .. name, "options stand in the one table, behind what is drawn")
end
core.methods_of(Figure, "figure")

return setmetatable(M, foreign.asked("plot", "plot"))
