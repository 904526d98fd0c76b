-- Heat maps, contours, error bars, axes that panels share: pixels looked at, misuse refused.
local lt = require "latent"
local plot = require "latent.plot"
local pictures = require "spec.support.pictures"
local scratch = require "spec.support.scratch"
require "spec.support.misuse"

local folder, remove

-- The picture's pixels: (x, y) -> "#rrggbb".
local function pixels_of(figure)
  local path = folder .. "/f.png"
  figure:save(path)
  local rows, width, height = pictures.png_rows(path)
  return function(x, y)
    local row, at = rows[y], 3 * (x - 1)
    return ("#%02x%02x%02x"):format(row[at + 1], row[at + 2], row[at + 3])
  end, width, height
end

-- How many pixels have a colour.
local function count(figure, color)
  local at, width, height = pixels_of(figure)
  local n = 0
  for y = 1, height do
    for x = 1, width do n = n + (at(x, y) == color and 1 or 0) end
  end
  return n
end

local function script_of(figure)
  figure:save(folder .. "/s.png", {keep = true})
  return pictures.read(folder .. "/s.gp")
end

describe("ranges of axes", function()
  it("are refused where everything is drawn", function()
    for text, f in pairs{
      ['plot.heatmap: unknown option "xrange"'] = function() plot.heatmap{{{1, 2}, {3, 4}}, xrange = {0, 1}} end,
      ['plot.heatmap: unknown option "yrange"'] = function() plot.heatmap{{{1, 2}, {3, 4}}, yrange = {0, 1}} end,
      ['plot.bars: unknown option "xrange"'] = function() plot.bars{{values = {1, 2}}, xrange = {0, 1}} end,
    } do assert.misuse(f, text) end
  end)
end)

describe("plot", function()
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  describe("heatmap", function()
    it("fills a cell with the colour of its value, the first row on top", function()
      local at, width, height = pixels_of(plot.heatmap{{{0, 1}, {0, 0}}, width = 400, height = 300})
      local dark = {}
      for _, y in ipairs{height // 4, height * 5 // 8} do
        for _, x in ipairs{width // 4, width * 5 // 8} do dark[#dark + 1] = at(x, y) == "#0b2f5c" end
      end
      assert.same({false, true, false, false}, dark)
    end)

    it("draws rows with places upwards", function()
      local at, width, height = pixels_of(plot.heatmap{{{0, 1}, {0, 0}}, x = {0, 1}, y = {0, 10}, width = 400,
        height = 300})
      assert.equal("#0b2f5c", at(width * 5 // 8, height * 5 // 8))
      assert.equal("#ffffff", at(width * 5 // 8, height // 4))
    end)

    it("takes a palette with two sides for values on both sides of 0", function()
      local script = script_of(plot.heatmap{{{-1, 3}}})
      assert(script:find "set cbrange %[%-3:3%]" and script:find "#8c2d06")
      assert(script_of(plot.heatmap{{{1, 3}}, colors = "fire", range = {0, 4}}):find "set cbrange %[0:4%]")
    end)

    it("writes values and names into the picture as they are", function()
      local script = script_of(plot.heatmap{lt.tensor{{1, 2}, {3, 0 / 0}}, format = "%.1f", xnames = {"a'b", "c"},
        ynames = {"%d", "e"}, scale = "images", title = "t"})
      for _, text in ipairs{"'3.0'", "'NaN'", "'images'", "%%d"} do assert(script:find(text, 1, true), text) end
      assert(script:find "#222222" and script:find "#ffffff")
    end)

    it("draws one value, a constant, many cells, and a NaN as nothing", function()
      for _, values in ipairs{{{5}}, {{2, 2}, {2, 2}}, lt.rand(70, 90), {{1, 0 / 0}, {math.huge, 2}}} do
        plot.heatmap{values}:save(folder .. "/h.png")
        plot.heatmap{values, format = "%g"}:save(folder .. "/h.svg")
        assert(plot.heatmap{values}:save(folder .. "/h.pdf"))
      end
      assert(plot.figure{kind = "heatmap", {{1, 2}}})
    end)

    it("refuses what it cannot draw", function()
      assert.misuse(function() plot.heatmap{} end, "plot.heatmap: values: expected a tensor or a table of numbers")
      assert.misuse(function() plot.heatmap{{1, 2}} end, "plot.heatmap: values: expected %[rows, columns%], got %[2%]")
      assert.misuse(function() plot.heatmap{{{0 / 0}}} end, "plot.heatmap: values: no finite value to draw")
      assert.misuse(function() plot.heatmap{{{1, 2}}, x = {1, 2, 3}} end, "plot.heatmap: x: expected 2 numbers")
      assert.misuse(function() plot.heatmap{{{1, 2, 3}}, x = {1, 2, 9}} end,
        "plot.heatmap: x: expected equal steps, got 2 where 5")
      assert.misuse(function() plot.heatmap{{{1, 2}}, x = {2, 1}} end,
        "plot.heatmap: x: expected numbers that rise")
      assert.misuse(function() plot.heatmap{{{1, 2}}, xnames = {"a"}} end,
        "plot.heatmap: xnames: expected a list of 2, one a column")
      assert.misuse(function() plot.heatmap{{{1, 2}}, x = {1, 2}, xnames = {"a", "b"}} end,
        "plot.heatmap: expected places or names")
      assert.misuse(function() plot.heatmap{{{1}}, colors = "jet"} end, 'plot.heatmap: colors: expected "blue"')
      assert.misuse(function() plot.heatmap{{{1}}, colour = "blue"} end,
        'plot.heatmap: unknown option "colour" %(did you mean "colors"')
    end)
  end)

  describe("contour", function()
    local bowl = {}
    for i = 1, 21 do
      bowl[i] = {}
      for j = 1, 21 do bowl[i][j] = (i - 11) ^ 2 + (j - 11) ^ 2 end
    end

    it("draws the lines of the levels in their colours", function()
      local figure = plot.contour{bowl, x = {-1, 1}, y = {-1, 1}, levels = {25, 64}, width = 400, height = 300}
      assert(count(figure, "#3b1260") > 100 and count(figure, "#e39a12") > 100)
      assert(script_of(figure):find "levels discrete 25, 64")
    end)

    it("chooses as many levels as it is told", function()
      assert(script_of(plot.contour{bowl, levels = 3}):find "levels discrete 50, 100, 150\n")
      assert(plot.contour{bowl, levels = 1}:save(folder .. "/c.svg"))
      assert(plot.contour{bowl, levels = {1e9}}:save(folder .. "/c.png")) -- a level that no line has
    end)

    it("refuses what it cannot draw", function()
      assert.misuse(function() plot.contour{{{1, 2}}} end, "plot.contour: values: expected at least 2 rows and columns")
      assert.misuse(function() plot.contour{bowl, levels = 0} end,
        "plot.contour: levels: expected how many %(1 to 100%)")
      assert.misuse(function() plot.contour{bowl, levels = {}} end, "plot.contour: levels: is empty")
      assert.misuse(function() plot.contour{bowl, levels = {0 / 0}} end, "plot.contour: levels: none of them is finite")
    end)
  end)

  describe("over a field", function()
    local slope = {{0, 1, 2}, {0, 1, 2}}
    local function small(options)
      options[1], options.width, options.height = slope, 400, 300
      return options
    end

    it("series are drawn as lines and points", function()
      for _, kind in ipairs{"contour", "heatmap"} do
        local script = script_of(plot[kind](small{series = {{x = {1, 2}, y = {1, 2}, label = "way", color = "#00ff00"},
          {x = {3}, y = {2}, line = false, texts = {"end"}}}}))
        for _, part in ipairs{"title 'way' noenhanced", "with points lc 2", "set label 'end'", "set key at"} do
          local found = script:find(part, 1, true) or part:find "lc 2" and script:find("with points lc 3", 1, true)
          assert(found, kind .. ": " .. part)
        end
        local field = script:find("$contours using", 1, true) or script:find("with image", 1, true)
        assert(field < script:find("title 'way'", 1, true)) -- below
        local thick = {x = {1, 3}, y = {1, 2}, color = "#00ff00", width = 5}
        assert(count(plot[kind](small{series = {thick}}), "#00ff00") > 300)
        assert.is_nil(script_of(plot[kind](small{})):find("set key at", 1, true))
      end
    end)

    it("rows that are counted from the top have series counted so too", function()
      local function place(options)
        local at, width, height = pixels_of(plot.heatmap(small(options)))
        local sum, n = 0, 0
        for y = 1, height do
          for x = 1, width do
            if at(x, y) == "#00ff00" then sum, n = sum + y, n + 1 end
          end
        end
        return sum / n / height
      end
      local series = {{x = {1, 3}, y = {1, 1}, color = "#00ff00", width = 4}}
      assert(place{series = series} < 0.4)
      assert(place{series = series, y = {1, 2}} > 0.5)
    end)

    it("series have first colours that are seen on the field's", function()
      for colors, first in pairs{blue = 2, grey = 2, diverging = 3, fire = 1} do
        local script = script_of(plot.heatmap(small{colors = colors, series = {{y = {1, 2}}}}))
        assert(script:find("with lines lc " .. first, 1, true), colors)
      end
    end)

    it("a legend stands beyond the bar of the colours, or in a white box as wide as its names", function()
      local function right_of_field(kind, legend)
        local script = script_of(plot[kind](small{legend = legend, series = {{y = {1, 2}, label = "WWW"}}}))
        local margin = tonumber(script:match "set rmargin at screen ([%d.]+)")
        return tonumber(script:match "set key at screen ([%d.]+)") - margin, margin
      end
      for _, kind in ipairs{"heatmap", "contour"} do
        local at, margin = right_of_field(kind, "outside")
        assert(at > 0.1, kind)
        local inside, wider = right_of_field(kind, "top left")
        assert(inside < 0 and wider > margin + 0.1, kind)
      end
      local function wider(label)
        local script = script_of(plot.heatmap(small{series = {{y = {1, 2}, label = label}}}))
        return tonumber(script:match "width ([%d.]+) opaque")
      end
      assert.equal(1, wider "iiii") -- gnuplot makes room for its characters
      assert(wider "WWWW" > 3)
    end)

    it("lines of equal value are drawn over the colours, and an image under them", function()
      local script = script_of(plot.heatmap(small{levels = {0.5, 1.5}}))
      assert(script:find "levels discrete 0.5, 1.5\n" and script:find "lc rgb variable")
      assert(count(plot.heatmap(small{levels = {1.7}}), "#ffffff") > count(plot.heatmap(small{}), "#ffffff") + 100)
      local red = lt.cat({lt.ones(4, 5, 1), lt.full({4, 5, 2}, -1)}, 3)
      assert(count(plot.contour(small{image = red}), "#ff0000") > 5000)
      assert(plot.panels{plot.contour(small{image = red}), plot.heatmap(small{levels = 2, series = {{y = {1, 2}}}})}
        :save(folder .. "/p.svg"))
    end)

    it("refuses what it cannot draw", function()
      assert.misuse(function() plot.contour(small{series = {{x = {1}}}}) end,
        "plot.contour: series 1: y: expected a tensor or a table of numbers, got nothing")
      assert.misuse(function() plot.heatmap(small{series = {{y = {1}, colour = 1}}}) end,
        'plot.heatmap: series 1: unknown option "colour" %(did you mean "color"')
      assert.misuse(function() plot.heatmap(small{series = {1}}) end,
        "plot.heatmap: series 1: expected a table such as")
      assert.misuse(function() plot.contour(small{image = lt.ones(2, 3, 3, 3)}) end,
        "plot.contour: image: expected one image, got 2")
      assert.misuse(function() plot.heatmap(small{levels = {0 / 0}}) end,
        "plot.heatmap: levels: none of them is finite")
      assert.misuse(function() plot.heatmap{{{1, 2}}, levels = 2} end,
        "plot.heatmap: levels: expected at least 2 rows and columns")
    end)
  end)

  describe("lines", function()
    it("has bars and bands of errors, and room for them", function()
      local script = script_of(plot.lines{{y = {1, 2}, error = {0.5, 3}}})
      assert(script:find("using 1:3:(0):($4 - $3) with vectors heads", 1, true) and script:find "set yrange %[%-1")
      script = script_of(plot.lines{{y = {1, 2}, error = {{0, 1}, {2, 3}}, band = true}})
      assert(script:find "using 1:3:4 with filledcurves" and script:find "set yrange %[.*:5%.")
      assert(script_of(plot.lines{{y = {1, 2}, error = lt.tensor{1, 1}}, log = "y"}))
    end)

    it("has bars that are whole at their points, and reach the bottom of a logarithmic axis", function()
      local function drawn(options)
        options[1] = {x = {1, 2, 3}, y = {1, 2, 1}, error = {0, options.error, 0}, color = "#00ff00", width = 0.1}
        options.error, options.width, options.height = nil, 400, 300
        local at, width, height = pixels_of(plot.lines(options))
        local green, middle = {}, nil
        for x = 1, width do -- the column of the bar has most of the colour
          green[x] = {}
          for y = 1, height do
            if at(x, y) == "#00ff00" then table.insert(green[x], y) end
          end
          if x > width // 3 and x < width * 3 // 4 and (not middle or #green[x] > #green[middle]) then middle = x end
        end
        local rows = green[middle]
        return #rows, rows[#rows] - rows[1] + 1, rows[#rows] / height
      end
      local seen, span = drawn{error = 0.5, yrange = {0, 3}}
      assert.equal(span, seen)
      assert(seen > 60)
      local _, _, bottom = drawn{error = 5, log = "y", yrange = {0.1, 10}}
      assert(bottom > 0.85)
    end)

    it("refuses errors that do not fit", function()
      assert.misuse(function() plot.lines{{y = {1, 2}, error = {1}}} end,
        "plot.lines: series 1: error has 1 values and y has 2")
      assert.misuse(function() plot.lines{{y = {1, 2}, error = {1, -1}}} end,
        "plot.lines: series 1: error: expected numbers of at least 0")
      assert.misuse(function() plot.lines{{y = {1, 2}, error = "x"}} end,
        "plot.lines: series 1: error: expected a tensor or a table")
    end)
  end)

  describe("scatter", function()
    it("writes names at the medians of their classes", function()
      local points = {{0, 0}, {1, 2}, {9, 9}, {5, 5}, {5, 6}, {5, 7}}
      local script = script_of(plot.scatter{points = points, labels = {0, 0, 0, 1, 1, 1}, names = {"a", "b"},
        centers = true})
      assert(script:find("set label 'a' at first 1, first 2 center", 1, true))
      assert(script:find("set label 'b' at first 5, first 6 center", 1, true))
    end)
  end)

  describe("the palette", function()
    -- CIE L*a*b* of a colour in linear light, white point D65.
    local function lab(r, g, b)
      local function f(t) return t > 0.008856 and t ^ (1 / 3) or 7.787 * t + 16 / 116 end
      local x = f((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047)
      local y = f(0.2126729 * r + 0.7151522 * g + 0.0721750 * b)
      local z = f((0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883)
      return {116 * y - 16, 500 * (x - y), 200 * (y - z)}
    end

    -- What is seen without one kind of cones (Machado, Oliveira and Fernandes 2009, severity 1).
    local SIGHT = {
      {1, 0, 0, 0, 1, 0, 0, 0, 1},
      {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998},
      {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881},
      {1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900},
    }

    local function seen(color, m)
      local c = {}
      for i = 1, 3 do
        local v = tonumber(color:sub(2 * i, 2 * i + 1), 16) / 255
        c[i] = v <= 0.04045 and v / 12.92 or ((v + 0.055) / 1.055) ^ 2.4
      end
      local out = {}
      for i = 0, 2 do
        out[i + 1] = math.max(0, math.min(1, m[3 * i + 1] * c[1] + m[3 * i + 2] * c[2] + m[3 * i + 3] * c[3]))
      end
      return lab(table.unpack(out))
    end

    it("has ten colours that everybody can tell apart", function()
      local colors = {}
      for color in pictures.read "plots/style.gp":gmatch "set linetype %d+ lc rgb '(#%x+)'" do
        colors[#colors + 1] = color
      end
      assert.equal(10, #colors)
      for _, sight in ipairs(SIGHT) do
        for i = 1, 10 do
          for j = 1, i - 1 do
            local a, b = seen(colors[i], sight), seen(colors[j], sight)
            local distance = math.sqrt((a[1] - b[1]) ^ 2 + (a[2] - b[2]) ^ 2 + (a[3] - b[3]) ^ 2)
            assert(distance > 18, ("%s and %s: %.1f"):format(colors[i], colors[j], distance))
          end
        end
      end
    end)
  end)

  describe("panels", function()
    it("share the ranges of their axes", function()
      local figures = {plot.lines{{y = {0, 1}}, xrange = {0, 2}, yrange = {0, 1}},
        plot.lines{{y = {0, 5}}, xrange = {1, 4}, yrange = {-1, 0.5}}}
      local script = script_of(plot.panels(figures, {share = "xy"}))
      assert.equal(2, select(2, script:gsub("set xrange %[0:4%]", "")))
      assert.equal(2, select(2, script:gsub("set yrange %[%-1:1%]", "")))
      script = script_of(plot.panels(figures, {share = "y"}))
      assert.equal(1, select(2, script:gsub("set xrange %[0:2%]", "")))
      local mixed = {plot.histogram{{1, 2, 3}}, plot.scatter{points = lt.rand(5, 2)}}
      assert(plot.panels(mixed, {share = "x"}):save(folder .. "/p.png"))
    end)

    it("refuse to share what a figure has not", function()
      assert.misuse(function() plot.panels({plot.image{lt.rand(3, 3)}}, {share = "x"}) end,
        "plot.panels: share: figure 1 is image, which has no x axis of numbers")
      assert.misuse(function() plot.panels({plot.bars{{1, 2}}}, {share = "x"}) end,
        "plot.panels: share: figure 1 is bars")
      assert.misuse(function() plot.panels({plot.lines{{y = {1}}}}, {share = "z"}) end, "plot.panels: share: expected")
    end)
  end)
end)
