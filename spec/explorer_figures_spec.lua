-- Figures as the page's charting library gets them.
local lt = require "latent"
local figures = require "latent.explorer.figures"
local json = require "latent.json"
local plot = require "latent.plot"

describe("explorer: figures", function()
  local drawn = {}
  setup(function() figures.install(function(figure) drawn[#drawn + 1] = figure end) end)

  -- As the page reads it.
  local function seen(figure) return assert(json.decode(json.encode(figures.table(figure), {nan = "null"}))) end

  it("of lines have their series, with gaps where a number is not finite", function()
    local f = seen(plot.lines{{y = {1, 0 / 0, 3}, label = "a"}, {x = {0, 2}, y = lt.tensor{5, 6}, error = {1, 2}},
      title = "t", xlabel = "x", log = "y"})
    assert.equal("lines", f.kind)
    assert.same({"t", "x", "y"}, {f.title, f.xlabel, f.log})
    assert.same({1, 2, 3}, f.series[1].x)
    assert.same({1, json.null, 3}, f.series[1].y)
    assert.same({4, 4}, f.series[2].low)
    assert.same({6, 8}, f.series[2].high)
  end)

  it("of points have a group a class, in the class's colour", function()
    local f = seen(plot.scatter{points = lt.tensor{{1, 2}, {3, 4}, {5, 6}}, labels = lt.tensor{3, 0, 3},
      names = {"null", "one", "two", "three"}, centers = true})
    assert.same({"null", "three"}, {f.groups[1].label, f.groups[2].label})
    assert.same({1, 4}, {f.groups[1].color, f.groups[2].color})
    assert.same({1, 5}, f.groups[2].x)
    assert.is_true(f.names)
    assert.same({1, 2}, seen(plot.scatter{points = {{1, 1}, {2, 2}}}).groups[1].y)
  end)

  it("of bars have values and names", function()
    local f = seen(plot.bars{{3, 1}, {values = {2, 2}, label = "b"}, names = {"x", "y"}})
    assert.same({3, 1}, f.series[1].y)
    assert.equal("b", f.series[2].label)
    assert.same({"x", "y"}, f.names)
  end)

  it("of histograms have counts", function()
    local f = seen(plot.histogram{{0, 0.1, 0.9, 1, 1}, bins = 2})
    assert.same({2, 3}, f.series[1].y)
    assert.same({"0.25", "0.75"}, f.names)
    assert.is_true(f.touching)
    assert.same({3}, seen(plot.histogram{{2, 2, 2}, bins = 1}).series[1].y)
  end)

  it("of matrices have the top row first, turned where y goes upwards", function()
    local f = seen(plot.heatmap{{{1, 2}, {3, 4}}, xnames = {"a", "b"}})
    assert.same({1, 2, 3, 4}, f.values)
    assert.same({1, 4}, f.zrange)
    assert.same({"a", "b"}, f.xnames)
    f = seen(plot.heatmap{{{1, 2}, {3, 4}}, x = {0, 1}, y = {0, 10}})
    assert.same({3, 4, 1, 2}, f.values)
    assert.same({-0.5, 1.5}, f.x)
    assert.same({-5, 15}, f.y)
    assert.is_false(f.down)
    f = seen(plot.heatmap{{{1}, {2}}, x = {0, 1}}) -- rows without places count downwards, whatever columns do
    assert.same({{1, 2}, {0.5, 2.5}, true}, {f.values, f.y, f.down})
  end)

  it("of matrices have colours, levels, texts and what lies over them", function()
    local f = seen(plot.heatmap{{{-1, 2}, {1, 0}}, levels = 2, format = "%+d", scale = "s",
      series = {{y = {1, 2}, error = {1, 1}, label = "a", texts = {"p", "q"}}}})
    assert.same({-2, 2}, f.zrange) -- both sides of 0 are as far
    assert.same({"#8c2d06", "#e08b52", "#ffffff", "#6aa5dd", "#0b3f7c"}, f.palette)
    assert.same({0, 1}, f.levels)
    assert.same({"-1", "+2", "+1", "+0"}, f.texts)
    assert.same({"s", 2}, {f.scale, f.taken})
    assert.same({{1, 2}, {1, 2}, {0, 1}, {2, 3}, {"p", "q"}},
      {f.series[1].x, f.series[1].y, f.series[1].low, f.series[1].high, f.series[1].texts})
    assert.is_nil(seen(plot.heatmap{lt.zeros(61, 2), format = "%d"}).texts)
  end)

  it("of contours have levels, axes that end at the outer places, and series", function()
    local f = seen(plot.contour{{{1, 2}, {3, 4}}, x = {0, 10}, levels = {2, 3}, series = {{y = {1, 2}}}})
    assert.equal("contour", f.kind)
    assert.same({3, 4, 1, 2}, f.values)
    assert.same({{0, 10}, {1, 2}, {2, 3}, {2, 3}}, {f.xrange, f.yrange, f.levels, f.zrange})
    assert.same({1, 2}, f.series[1].y)
    assert.same({-1, 1}, seen(plot.contour{{{1, 2}, {3, 4}}, xrange = {-1, 1}}).xrange)
    assert.equal(10, #seen(plot.contour{{{1, 2}, {3, 4}}}).levels)
  end)

  it("say which of their options the page does not draw", function()
    assert.same({"image"}, seen(plot.contour{{{1, 2}, {3, 4}}, image = lt.zeros(2, 2)}).missing)
    assert.same({"share"}, seen(plot.panels({plot.lines{{y = {1, 2}}}}, {share = "y"})).missing)
    assert.same({"format"}, seen(plot.bars{{1, 2}, format = "%d"}).missing)
    assert.is_nil(seen(plot.panels{plot.lines{{y = {1, 2}}}}).missing)
    assert.is_false(seen(plot.lines{{y = {1, 2}, label = "a"}, legend = false}).legend)
  end)

  it("of points of named classes have the names in the order of the classes", function()
    local f = seen(plot.scatter{points = {{1, 1}, {2, 2}}, labels = {7, 3}, classes = {7, 3},
      names = {"seven", "three"}})
    assert.same({"three", "seven"}, {f.groups[1].label, f.groups[2].label})
  end)

  it("of images have pixels, the largest y on top", function()
    local f = seen(plot.image_rows{rows = {{label = "r", images = lt.zeros(3, 2, 2)}}})
    assert.same({2, 2, 1, 3}, {f.width, f.height, f.channels, f.columns})
    assert.same({-1, 1}, f.range)
    f = seen(plot.image_grid{images = {{{{1}}, {{2}}}, {{{3}}, {{4}}}}, range = "auto"})
    assert.same({3, 4, 1, 2}, f.rows[1].values)
    assert.same({1, 4}, f.range)
    assert.same({0, 255}, seen(plot.image{lt.full({2, 2}, 0, "u8")}).range)
  end)

  it("beside each other have their parts", function()
    local f = seen(plot.panels({plot.lines{{y = {1, 2}}}, plot.figure{kind = "bars", {1, 2}}}, {title = "both"}))
    assert.equal("both", f.title)
    assert.same({"lines", "bars"}, {f.figures[1].kind, f.figures[2].kind})
  end)

  it("are drawn where they are shown or saved, and wrong arguments raise as ever", function()
    local figure = plot.lines{{y = {1, 2}}}
    assert.is_true(plot.show(figure))
    assert.is_true(figure:show())
    assert.equal("a.png", figure:save "a.png")
    assert.equal(3, #drawn)
    assert.equal("a.png", drawn[3].file)
    assert.has_error(function() plot.lines{{y = "no"}} end)
    assert.has_error(function() plot.show "no" end)
  end)
end)
