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
    assert.equal("heatmap", seen(plot.contour{{{1, 2}, {3, 4}}}).kind)
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
