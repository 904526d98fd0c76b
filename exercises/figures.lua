--- The figures that several exercises draw.
local lt, plot = require "latent", require "latent.plot"
local support, sweep = require "exercises.support", require "exercises.sweep"

local M = {}

--- Fields of a log against epochs; `fields`: {{name, label}, ...}, the first one solid.
function M.curves(file, title, ylabel, log, fields)
  local lines = {title = title, xlabel = "epoch", ylabel = ylabel, markers = true, width = 640, height = 440}
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

-- The betas beside their points; of several runs in one place the first stands for all.
local function beta_texts(runs)
  local texts, i = {}, 1
  local function near(a, b, field)
    return math.abs(a.result[field] - b.result[field]) < 0.02 * sweep.range(runs, field)
  end
  while i <= #runs do
    local last = i
    while last < #runs and near(runs[i], runs[last + 1], "rate") and near(runs[i], runs[last + 1], "sampled_mse") do
      last = last + 1
    end
    texts[i] = ("%g"):format(runs[i].beta) .. (last > i and (" to %g"):format(runs[last].beta) or "")
    for j = i + 1, last do texts[j] = "" end
    i = last + 1
  end
  return texts
end

-- Marks of a learned sigma and of a warm-up: other colours than the curves'.
local SIGMA, WARM = 2, 3

--- What a picture costs, a panel a curve: error against nats, for runs of several betas each, and where a learned
-- sigma lands. `curves`: {{label, runs, sigma_run, runs with a warm-up}, ...}
function M.rate_distortion(file, title, curves)
  local panels = {}
  for i, curve in ipairs(curves) do
    local label, runs, sigma, warm = table.unpack(curve)
    panels[i] = plot.lines{
      {x = sweep.results(runs, "rate"), y = sweep.results(runs, "sampled_mse"), texts = beta_texts(runs),
        label = "constant beta"},
      {x = {sigma.result.rate}, y = {sigma.result.sampled_mse}, line = false, color = SIGMA,
        label = ("learned sigma: beta %.2g"):format(sigma.result.own_beta)},
      warm and {x = sweep.results(warm, "rate"), y = sweep.results(warm, "sampled_mse"), line = false, color = WARM,
        label = ("beta %g after a warm-up, %d seeds"):format(warm[1].beta, #warm)} or nil,
      title = label, xlabel = "rate: KL divergence, nats an image", ylabel = "distortion: MSE of sampled codes",
      markers = true, legend = "top right", width = 620, height = 460}
  end
  support.figure(plot.panels(panels, {title = title, columns = #panels}), file)
end

--- Fields of the results against beta, a panel each. `fields`: {{name, title, ylabel}, ...}; `curves` as above.
function M.against_beta(file, title, curves, fields)
  local panels = {}
  for p, field in ipairs(fields) do
    local lines = {title = field[2], xlabel = "beta", ylabel = field[3], log = "x", markers = true,
      legend = p == 1 and "top right" or false, width = 620, height = 400}
    for i, curve in ipairs(curves) do
      local label, runs, sigma = table.unpack(curve)
      local betas = {}
      for j, run in ipairs(runs) do betas[j] = run.beta end
      lines[2 * i - 1] = {x = betas, y = sweep.results(runs, field[1]), label = label, color = i}
      lines[2 * i] = {x = {sigma.result.own_beta}, y = {sigma.result[field[1]]}, line = false, color = i + 2,
        label = label .. ", learned sigma"}
    end
    panels[p] = plot.lines(lines)
  end
  support.figure(plot.panels(panels, {title = title, columns = 2}), file)
end

--- The latent spaces of several 2-D runs, in panels: the means of the test images, over the same square, and grids
-- of decoded codes.
function M.codes(scatter_file, grid_file, runs, o)
  local _, test = support.data(o)
  local axis, list, reach = lt.linspace(-3, 3, o.side):table(), {}, 0
  for i, run in ipairs(runs) do
    local model, title = sweep.model(run), ("beta = %g"):format(run.beta)
    local codes = support.map(test, function(x) return (model:encode(x)) end)
    local images = lt.no_grad(function() return model:decode(support.grid(axis, axis)) end)
    list[i] = {title = title, codes = codes, images = images}
    local farthest = codes:abs():max(2):table()
    table.sort(farthest)
    reach = math.max(reach, 1.05 * farthest[math.ceil(0.998 * #farthest)]) -- a few far ones may fall outside
  end
  local scatters, grids, names, longest = {}, {}, support.classes(o), 0
  for _, name in ipairs(names) do longest = math.max(longest, #name) end
  for i, entry in ipairs(list) do
    local last = i == #list
    scatters[i] = plot.scatter{points = entry.codes, labels = test.labels, names = names, title = entry.title,
      xrange = {-reach, reach}, yrange = {-reach, reach}, legend = last and "outside" or false,
      width = last and 530 + 9 * longest or 480, height = 480}
    grids[i] = plot.image_grid{images = entry.images, columns = #axis, x = axis, y = axis, title = entry.title,
      zoom = 1}
  end
  support.figure(plot.panels(scatters, {title = "Means of the test images", columns = #list}), scatter_file)
  support.figure(plot.panels(grids, {title = "Decoded codes from -3 to 3", columns = #list}), grid_file)
end

return M
