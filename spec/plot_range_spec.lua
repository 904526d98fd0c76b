-- Figures over every range of numbers: points between gaps are seen, extreme axes have ticks that can be read, and
-- what cannot be drawn is said.

local lt = require "latent"
local pictures = require "spec.support.pictures"
local plot = require "latent.plot"
local scratch = require "spec.support.scratch"

local read, png_rows, picture = pictures.read, pictures.png_rows, pictures.image

describe("plot", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  --- How many pixels of a PNG have a colour.
  local function count_pixels(path, r, g, b)
    local rows, width = png_rows(path)
    local count = 0
    for _, row in ipairs(rows) do
      for x = 1, 3 * width, 3 do
        if row[x] == r and row[x + 1] == g and row[x + 2] == b then count = count + 1 end
      end
    end
    return count
  end

  it("takes whole numbers as it takes floats", function()
    local paths = {}
    for i, dtype in ipairs{"i64", "float32"} do
      paths[i] = ("%s/%s.png"):format(folder, dtype)
      local labels = lt.tensor({1, 2, 1}, {dtype = dtype})
      plot.scatter{points = {{0, 0}, {1, 1}, {2, 0}}, labels = labels}:save(paths[i])
    end
    assert.equal(read(paths[2]), read(paths[1]))
    assert(plot.lines{{y = lt.tensor({-1, 1 << 40}, {dtype = "i64"})}}:save(folder .. "/large.png"))
  end)

  describe("points between gaps", function()
    local nan, inf = 0 / 0, 1 / 0
    local path
    before_each(function() path = folder .. "/a.png" end)

    --- Pixels of the first colour of the palette.
    local function blue(figure)
      assert(figure:save(path))
      return count_pixels(path, 0x1d, 0x6e, 0xc4)
    end

    local function small(series, o)
      o = o or {}
      o[1], o.width, o.height = series, 200, 150
      return plot.lines(o)
    end

    local dot
    it("are seen: a single one", function()
      dot = blue(small{y = {5}})
      assert.is_true(dot > 8)
      assert.equal(dot, blue(small{y = {1e300}}))
    end)

    it("are seen: every second one, NaN, infinite or nil", function()
      for _, gap in ipairs{nan, inf, -inf} do
        assert.is_true(blue(small{y = {1, gap, 3, gap, 5}}) > 2 * dot)
      end
      local y = {}
      y[2], y[4], y[8] = 1, 2, 3 -- "#" of such a table is 0, or 4, or 8
      assert.is_true(blue(small({y = y}, {xrange = {0, 9}, yrange = {0, 4}})) > 2 * dot)
      assert.equal(0, blue(small({y = y}, {xrange = {4.5, 7.5}})))
    end)

    it("are seen: what a logarithmic axis leaves", function()
      assert.is_true(blue(small({y = {0, 1, 0, 10, 0}}, {log = "y"})) > dot)
      assert.is_true(blue(small({x = {-1, 0, 10}, y = {1, 1, 1}}, {log = "x"})) >= dot)
    end)

    it("are seen: several in one place", function()
      assert.is_true(blue(small{x = {1, 1, 1}, y = {5, 5, 5}}) >= dot)
    end)

    it("leave longer runs as lines, and have the series' colour", function()
      local line = blue(small{y = {1, 2, nan, nan, nan}})
      assert.is_true(blue(small{y = {1, 2, nan, 2, nan}}) > line)
      assert(small({y = {1, nan, 1}, color = "#123456"}):save(path))
      assert.is_true(count_pixels(path, 0x12, 0x34, 0x56) > dot)
    end)

    it("are refused where no point has both an x and a y", function()
      assert.error_matches(function() small{x = {nan, 1}, y = {1, nan}} end,
        "plot%.lines: no point whose x and y can both be drawn")
      assert.error_matches(function() small{y = {[1e9] = 1}} end, "y: expected a list, got a table with the key")
    end)

    it("as lines between points beyond the axes, are drawn where they pass", function()
      assert.is_true(blue(small({x = {0, 10}, y = {0, 10}}, {xrange = {4, 6}, yrange = {4, 6}})) > 50)
      local near = blue(small({y = {0.5, 1e4, 0.2}}, {yrange = {0, 1}}))
      assert.is_true(near > 50)
      for _, far in ipairs{1e10, 1e20, 1e38, 1e308} do
        local count = blue(small({y = {0.5, far, 0.2}}, {yrange = {0, 1}}))
        assert.is_true(math.abs(count - near) < 0.2 * near, ("%g: %d, not %d"):format(far, count, near))
        count = blue(small({y = {1e-320, far, 0}}, {yrange = {0, 1e-310}}))
        assert.is_true(count > 0.5 * near)
      end
    end)
  end)

  describe("extreme ranges", function()
    local nan, inf, most, least = 0 / 0, 1 / 0, 1.7976931348623157e308, 5e-324
    local lists = {
      {least}, {least, least}, {least, 1e-323, 3e-323}, {1e-310, 2e-310}, {1e-320, 1}, {1e-300, 2e-300},
      {1e-15, 2e-15}, {1, 1 + 2 ^ -52}, {1e16, 1e16 + 2}, {1, 1 + 1e-9}, {1e6, 1e6 + 1e-3}, {0, 0},
      {3, 3},
      {1e300, 3e300}, {-1e308, 1e308}, {-most, most}, {most, most}, {1e-300, 1, 1e300}, {1.4e-45, 3.4e38},
      {1, inf, -inf, nan, 5}, {-1, 0, 1, 10}, {nan, 7},
    }
    local function name(list)
      local words = {}
      for i, v in ipairs(list) do words[i] = ("%.17g"):format(v) end
      return table.concat(words, ", ")
    end

    --- The number that a tick shows; `3·10^{-7}` is 3e-7.
    local function number_of(label)
      local mantissa, exponent = label:match "^(%d+)·10^{(%-?%d+)}$"
      exponent = exponent or label:match "^10^{(%-?%d+)}$"
      return assert(tonumber(exponent and (mantissa or "1") .. "e" .. exponent or label), label)
    end

    local function check_ticks(list)
      local labels, last = {}, -inf
      for label in list:gmatch "'([^']+)' %S+[,)]" do
        assert.is_nil(labels[label])
        assert.is_true(number_of(label) >= last, list) -- denormals can be told apart only as texts
        labels[label], last, labels[#labels + 1] = true, number_of(label), label
      end
      assert.is_true(#labels >= 1 and #labels <= 16, list)
    end

    --- Every kind of chart of a list, in one figure.
    local function charts(list)
      local points, positive = {}, false
      for i, v in ipairs(list) do
        points[i], positive = {v, i}, positive or v > 0 and v < inf
      end
      local figures = {plot.lines{{x = list, y = list, label = "a"}}, plot.histogram{list, bins = 5},
        plot.bars{list, format = "%.3g"}, plot.scatter{points = points},
        plot.scatter{points = points, equal = false}, plot.image{{list, list}, range = "auto"},
        positive and plot.lines{{x = list, y = list, label = "a"}, log = "xy"} or nil}
      return plot.panels(figures, {width = 300, height = 200})
    end

    for _, list in ipairs(lists) do
      it("are drawn with their ticks: " .. name(list), function()
        assert(charts(list):save(folder .. "/a.png", {keep = true}))
        local count = 0
        for ticks in read(folder .. "/a.gp"):gmatch "set [xy]tics enhanced (%b())" do
          check_ticks(ticks)
          count = count + 1
        end
        assert.is_true(count >= 9)
      end)
    end

    it("show all that is in a histogram", function()
      local figures, finite = {}, 0
      for i, list in ipairs(lists) do
        figures[i] = plot.histogram{list, bins = 4}
        for _, v in ipairs(list) do finite = finite + (v - v == 0 and 1 or 0) end
      end
      assert(plot.panels(figures, {width = 200, height = 150}):save(folder .. "/h.png", {keep = true}))
      local bytes, counted = read(folder .. "/h.dat"), 0
      for at = 1, #bytes, 16 do counted = counted + select(2, string.unpack("<dd", bytes, at)) end
      assert.equal(finite, math.tointeger(counted))
    end)

    it("of bars without names are numbered where there is room", function()
      for count, last in pairs{[7] = 7, [40] = 40, [1000] = 1000} do
        local values = {}
        for i = 1, count do values[i] = i end
        assert(plot.bars{values, width = 500}:save(folder .. "/b.png", {keep = true}))
        local shown = {}
        for label in read(folder .. "/b.gp"):match "set xtics noenhanced (%b())":gmatch "'(%d+)'" do
          shown[#shown + 1] = label
        end
        assert.equal(last, tonumber(shown[#shown]))
        assert.is_true(#shown >= 7 and #table.concat(shown, " ") < 56, table.concat(shown, " "))
      end
    end)

    it("of coordinates are drawn under images", function()
      for _, x in ipairs{{-most, most}, {1e-310, 2e-310}, {1, 1 + 2 ^ -52}, {1e6 + 1e-4, 1e6}, {0, most}} do
        local image = picture(4, 4)
        local figure = plot.image_grid{images = {{image, image}}, x = x, zoom = 40}
        assert(figure:save(folder .. "/g.png", {keep = true}))
        local labels = {}
        for label in read(folder .. "/g.gp"):match "set xtics enhanced (%b())":gmatch "'([^']+)'" do
          assert.is_nil(labels[label])
          labels[label] = true
        end
      end
    end)

    it("say what is wrong where nothing can be drawn", function()
      for _, kind in ipairs{"lines", "histogram", "bars"} do
        for _, list in ipairs{{nan, nan}, {inf, -inf}} do
          local series = kind == "lines" and {y = list} or {values = list}
          assert.error_matches(function() plot[kind]{series} end, "plot%." .. kind .. ".*: no finite value to draw")
        end
      end
      local points = {{nan, 1}, {1, nan}}
      assert.error_matches(function() plot.scatter{points = points} end, "no finite value to draw")
      local function lines(o) return function() plot.lines{{y = {1, 2}}, yrange = o} end end
      assert.error_matches(lines{1, 1 + 1e-15}, "yrange: {1, 1.0000000000000011} is too narrow to be drawn")
      assert.error_matches(lines{1, inf}, "yrange: expected {lowest, highest}")
      assert(plot.lines{{y = {1, 2}}, yrange = {-most, most}}:save(folder .. "/a.png"))
      assert.error_matches(function() plot.lines{{y = {1}}, width = 29000, height = 29000} end,
        "plot.lines: the figure would have 29000 x 29000 pixels")
      assert.error_matches(function() plot.image{picture(100, 100), zoom = 1000} end,
        "plot.image: the figure would have 100000 x 100000 pixels")
      assert.error_matches(function() plot.histogram{{1, 2}, bins = 1000000} end,
        "bins: expected a whole number of at least 1 and at most 10000, got 1000000")
    end)
  end)

  describe("images beyond the range", function()
    local stderr = io.stderr
    --- What a function writes on standard error.
    local function told(f)
      local parts = {}
      io.stderr = {write = function(_, ...) parts[#parts + 1] = table.concat{...} end} -- luacheck: ignore
      local ok, message = pcall(f)
      io.stderr = stderr -- luacheck: ignore
      assert(ok, message)
      return table.concat(parts)
    end

    it("are told once, with the values", function()
      local bytes = picture(4, 4, function(y, x) return 16 * y + x end)
      local figure
      assert.equal("plot.image: values from 17 to 68 are drawn from -1 (black) to 1 (white), and 100 % of them are "
        .. 'beyond; range = "auto" or {lo, hi} shows them\n', told(function() figure = plot.image{bytes} end))
      assert.equal("", told(function() figure:save(folder .. "/a.png") end))
      assert.matches("plot.image_rows: values from 17 to 68 ", told(function()
        plot.image_rows{rows = {{images = {bytes}}}}
      end))
      assert.matches("values from 0 to inf ", told(function() plot.image{{{0, 1 / 0}}} end))
    end)

    it("are not told where the range is said, where it fits, or where a few values pass it a little", function()
      local bytes = picture(4, 4, function(y, x) return 16 * y + x end)
      assert.equal("", told(function()
        plot.image{bytes, range = {0, 255}}
        plot.image{bytes, range = {20, 30}}
        plot.image{bytes, range = "auto"}
        plot.image{picture(4, 4, function(_, x) return x == 1 and -1 or 1 end)}
        plot.image{picture(10, 10, function(y, x) return x == 1 and y < 5 and 1.7 or 0 end)}
        plot.image{picture(4, 4, function() return 0 / 0 end)}
        plot.image{lt.from_bytes(("\0\255"):rep(8), {4, 4}, "u8")}
      end))
    end)

    it("are drawn from their lowest to their highest value with range = \"auto\"", function()
      local function corner(image)
        assert(plot.image{image, range = "auto", zoom = 10}:save(folder .. "/a.png"))
        local rows, _, height = png_rows(folder .. "/a.png")
        local y = height - 14 - 5
        return {rows[y][20 * 3], rows[y][30 * 3], rows[y][40 * 3]}
      end
      assert.same({0, 191, 255}, corner{{0, 150, 200}})
      assert.same({0, 191, 255}, corner{{-1.5e308, 0.75e308, 1.5e308}})
      assert.same({0, 191, 255}, corner{{0, 1.5e-310, 2e-310}})
      assert.same({0, 255, 255}, corner{{3, 7, 1 / 0}})
      assert.same({128, 128, 128}, corner{{5, 5, 5}})
      assert.error_matches(function() plot.image{picture(4, 4), range = "all"} end,
        'plot.image: range: expected {lowest, highest} or "auto"')
    end)
  end)
end)
