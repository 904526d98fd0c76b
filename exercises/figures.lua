--- The figures that several exercises draw.
local plot = require "latent.plot"
local support = require "exercises.support"

local M = {}

--- Fields of a log against epochs; `fields`: {{name, label}, ...}, the first one solid.
function M.curves(file, title, ylabel, log, fields)
  local lines = {title = title, xlabel = "epoch", ylabel = ylabel, markers = true}
  for i, field in ipairs(fields) do
    lines[i] = {y = support.column(log, field[1]), label = field[2], dashed = i > 1}
  end
  support.figure(plot.lines(lines), file)
end

--- Rows of ten images under the names of their classes; `rows`: {{label, images}, ...}.
function M.rows(file, title, names, rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = {label = row[1], images = row[2]} end
  support.figure(plot.image_rows{rows = list, titles = names, title = title}, file)
end

--- Codes [n, 2] as points, one colour a class.
function M.scatter(file, title, codes, labels, names)
  support.figure(plot.scatter{points = codes, labels = labels, names = names, title = title,
    xlabel = "first latent number", ylabel = "second latent number"}, file)
end

--- Decoded codes at their places in the latent space: those of support.grid(xs, ys).
function M.grid(file, title, images, xs, ys)
  support.figure(plot.image_grid{images = images, columns = #xs, x = xs, y = ys, title = title,
    xlabel = "first latent number", ylabel = "second latent number"}, file)
end

return M
