-- Figures: files of the right kind and size, failures reported with nothing left behind, bad data refused.

local core = require "latent.core"
local files = require "latent.base.files"
local lt = require "latent"
local plot = require "latent.plot"
local pictures = require "spec.support.pictures"
local terminal = require "latent.plot.terminal"
require "spec.support.misuse"

local read, png_size, png_rows, picture = pictures.read, pictures.png_size, pictures.png_rows, pictures.image

local folder

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function listing()
  local pipe = assert(io.popen("ls -A '" .. folder .. "'"))
  local names = pipe:read("a"):gsub("\n", " "):gsub(" $", "")
  pipe:close()
  return names
end

--- Runs `f` with another environment variable in place.
local function with_environment(name, value, f)
  local original = os.getenv
  rawset(os, "getenv", function(asked)
    if asked == name then
      return value
    end
    return original(asked)
  end)
  local ok, message = pcall(f)
  rawset(os, "getenv", original)
  assert(ok, message)
end

--- A stand-in for gnuplot: a shell script.
local function with_gnuplot(body, f)
  local path = os.tmpname()
  write(path, "#!/bin/sh\n" .. body .. "\n")
  os.execute("chmod +x " .. path)
  with_environment("LATENT_GNUPLOT", path, f)
  os.remove(path)
end

local function lines()
  return plot.lines{{y = {3, 2, 1}, label = "train"}, title = "Loss"}
end

describe("plot", function()
  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(core.mkdir(folder))
  end)

  after_each(function()
    os.execute("rm -r '" .. folder .. "'")
  end)

  describe("files", function()
    it("writes a PNG of the size asked for, and nothing else", function()
      local path = folder .. "/loss.png"
      assert.equal(path, plot.lines{{y = {3, 2, 1}}, width = 320, height = 240}:save(path))
      assert.same({320, 240}, {table.pack(png_size(path))[1], table.pack(png_size(path))[2]})
      assert.equal("loss.png", listing())
    end)

    it("writes SVG and PDF by the file's name", function()
      assert(lines():save(folder .. "/a.svg"))
      assert(lines():save(folder .. "/a.PDF"))
      assert.truthy(read(folder .. "/a.svg"):find("</svg>", 1, true))
      assert.equal("%PDF", read(folder .. "/a.PDF"):sub(1, 4))
    end)

    it("raises for a name of no known format", function()
      assert.error_matches(function()
        lines():save(folder .. "/a.jpg")
      end, "a%.jpg: the name must end in %.png, %.svg or %.pdf")
    end)

    it("keeps script and data that draw the same picture by hand", function()
      local path = folder .. "/it's a plot.png"
      assert(lines():save(path, {keep = true}))
      assert.equal("it's a plot.dat it's a plot.gp it's a plot.png", listing())
      local before = read(path)
      os.remove(path)
      assert(os.execute(("cd '%s' && gnuplot \"it's a plot.gp\""):format(folder)))
      assert.equal(before, read(path))
    end)

    it("makes bars with long names wider, so that the names do not touch", function()
      assert.equal(900, plot.bars{{1, 2}, names = {"a", "b"}}.width)
      local names = {}
      for i = 1, 10 do
        names[i] = "a long name"
      end
      assert.is_true(plot.bars{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, names = names}.width > 1200)
    end)

    it("writes texts beside points, left of those at the right edge, and leaves out what is not finite", function()
      local path = folder .. "/texts.png"
      assert(plot.lines{{x = {1, 10, 100, 100}, y = {1, 2, 3, 0 / 0}, texts = {0.5, "it's_b", "c", "d"}},
        log = "x"}:save(path, {keep = true}))
      local script = read(folder .. "/texts.gp")
      assert.matches("set label '0%.5' at first 1, first 1 left", script)
      assert.matches([[set label "it\047s_b" at first 10, first 2 left]], script)
      assert.matches("set label 'c' at first 100, first 3 right", script)
      assert.not_matches("set label 'd'", script)
    end)

    it("writes texts where the line itself does not pass", function()
      local path = folder .. "/corners.png"
      -- down, a lowest point, a highest one, and down to the right edge
      assert(plot.lines{{x = {0, 1, 2, 3}, y = {3, 1, 2, 0}, texts = {"a", "b", "c", "d"}}}:save(path,
        {keep = true}))
      local script = read(folder .. "/corners.gp")
      assert.matches("set label 'a' at first 0, first 3 left offset character 0%.5,0%.6 ", script)
      assert.matches("set label 'b' at first 1, first 1 right offset character %-0%.7,%-0%.6 ", script)
      assert.matches("set label 'c' at first 2, first 2 left offset character 0%.5,0%.6 ", script)
      assert.matches("set label 'd' at first 3, first 0 right offset character %-0%.7,%-0%.6 ", script)
    end)

    it("draws every kind, alone and in panels", function()
      local image = picture(8, 8)
      local figures = {
        plot.scatter{points = {{0, 1}, {2, 3}}, labels = {3, 7}},
        plot.histogram{{1, 2, 2, 3}, {values = {2, 2}, label = "b"}, bins = 4},
        plot.bars{{values = {70.2, 93.4}, label = "a"}, names = {"0", "1"}, format = "%.1f"},
        plot.image{image},
        plot.image_grid{images = {image, image, image, image}, x = {-3, 3}, y = {-3, 3}},
        plot.image_rows{rows = {{label = "in", images = {image, image}}}, titles = {"0", "1"}},
        plot.figure{kind = "lines", {y = {1, 2}}, log = "xy"},
      }
      for i, figure in ipairs(figures) do
        local path = ("%s/%d.png"):format(folder, i)
        assert(figure:save(path))
        local w, h = png_size(path)
        assert.same({figure.width, figure.height}, {w, h})
      end
      local panels = plot.panels(figures, {columns = 3, title = "all"})
      assert(panels:save(folder .. "/panels.png"))
    end)

    it("takes titles and labels literally", function()
      local odd = "a_b^c {x} & @y 'q' \"dd\" `touch " .. folder .. "/bad` \\n %d 50% é\nnext"
      local figure = plot.lines{{y = {1, 2}, label = odd}, title = odd, xlabel = odd, ylabel = odd}
      assert(figure:save(folder .. "/odd.svg"))
      assert(plot.bars{{1}, names = {odd}, title = odd}:save(folder .. "/bars.svg"))
      assert.equal("bars.svg odd.svg", listing())
      local svg = read(folder .. "/odd.svg")
      assert.truthy(svg:find("a_b^c {x} &amp; @y 'q' \"dd\" `touch", 1, true))
      assert.truthy(svg:find("\\n %d 50% é", 1, true))
    end)
  end)

  it("bold texts in svg are of a family that browsers know", function()
    local points = {points = {{1, 2}, {3, 4}}, labels = {0, 1}, names = {"a_b", "{c}"}, centers = true, title = "T\\^"}
    plot.panels({plot.scatter(points)}, {title = "All & one"}):save(folder .. "/bold.svg")
    local svg, bold, seen = read(folder .. "/bold.svg"), {}, {}
    for family in svg:gmatch 'font%-family="([^"]*)"' do assert.equal("DejaVu Sans", family) end
    for text in svg:gmatch '<tspan [^>]*font%-weight="bold" >(.-)</tspan>' do
      if not seen[text] then bold[#bold + 1], seen[text] = text, true end -- a name in a box stands there twice
    end
    table.sort(bold)
    assert.same({"All &amp; one", "T\\^", "a_b", "{c}"}, bold)
  end)

  describe("pictures", function()
    it("draws pixels crisp and upright", function()
      local image = picture(4, 5, function(y, x)
        return y == 1 and x == 2 and 1 or -1
      end)
      local path = folder .. "/image.png"
      assert(plot.image{image, zoom = 10}:save(path))
      local rows, width, height = png_rows(path)
      assert.same({78, 65}, {width, height})
      local top, left = height - 14 - 40, 14
      for y = 1, 38 do
        for x = 1, 48 do
          local white = y <= 10 and x > 10 and x <= 20
          assert.equal(white and 255 or 0, rows[top + y][(left + x) * 3])
        end
      end
    end)

    it("puts row 1 of a grid at y[1], below row 2 when y grows", function()
      local black, white = picture(4, 4, function() return -1 end), picture(4, 4, function() return 1 end)
      for _, case in ipairs{{{0, 1}, 255, 0}, {{1, 0}, 0, 255}} do
        local path = folder .. "/grid.png"
        assert(plot.image_grid{images = {{black}, {white}}, y = case[1], zoom = 20}:save(path))
        local rows, _, height = png_rows(path)
        local bottom = height - 35
        assert.equal(case[3], rows[bottom - 20][90 * 3])
        assert.equal(case[2], rows[bottom - 100][90 * 3])
      end
    end)

    it("reads tensors of either type", function()
      local grey = lt.from_bytes(("\0\255"):rep(8), {1, 4, 4, 1}, "u8")
      local float = lt.tensor{{-1, 1, -1, 1}, {-1, 1, -1, 1}, {-1, 1, -1, 1}, {-1, 1, -1, 1}}
      assert(plot.image{grey}:save(folder .. "/u8.png"))
      assert(plot.image{float}:save(folder .. "/float.png"))
      assert.equal(read(folder .. "/u8.png"), read(folder .. "/float.png"))
      local codes = lt.randn(50, 2)
      assert(plot.scatter{points = codes, labels = lt.zeros(50)}:save(folder .. "/codes.png"))
    end)
  end)

  describe("the environment", function()
    --- Draws in a process of its own, under `words` of env, in the folder `at`.
    local function draw(words, at, name)
      local code = ([[local plot = require "latent.plot"
        for _, format in ipairs{"png", "svg"} do
          assert(plot.lines({{y = {1, 2.5}, label = "é"}, title = "ü"}):save(%q .. format))
        end]]):format(folder .. "/" .. name .. ".")
      local absolute = files.capture("pwd")
      local function here(list) return (list:gsub("%f[^;\0]([^/;])", absolute .. "/%1")) end
      local output = files.capture(("cd %s && env %s LUA_PATH=%s LUA_CPATH=%s lua5.4 -e %s 2>&1; echo $?"):format(
        files.quote(at), words, files.quote(here(package.path)), files.quote(here(package.cpath)), files.quote(code)))
      assert.equal("0", output)
      return read(folder .. "/" .. name .. ".png"), read(folder .. "/" .. name .. ".svg")
    end

    it("does not reach the picture", function()
      local png, svg = draw("", folder, "plain")
      write(folder .. "/.gnuplot", "set terminal dumb; set grid polar; exit\n")
      local fonts = "GDFONTPATH=/nowhere GDFONTNAME=none GNUPLOT_DEFAULT_GDFONT=none GNUPLOT_FONTPATH=/nowhere "
      local hostile = "GNUTERM=x11 GNUPLOT_LIB=/nowhere GNUHELP=/nowhere GNUPLOT_DRIVER_DIR=/nowhere "
        .. "FIT_LOG=/nowhere/log GNUPLOT_PS_DIR=/nowhere "
        .. "PAGER=false COLUMNS=3 LINES=2 TZ=Asia/Tokyo DISPLAY=:99 TERM=dumb IFS=e "
      for _, words in ipairs{"GNUTERM=x11", "-u HOME", hostile .. fonts .. "HOME=" .. folder,
        "LC_ALL=de_DE.UTF-8 LC_NUMERIC=de_DE.UTF-8 LANG=ja_JP.eucJP", "LC_ALL=C", "LC_ALL=C.UTF-8"} do
        local png2, svg2 = draw(words, folder, "other")
        assert(png == png2 and svg == svg2, words)
      end
    end)

    it("does not reach the list of terminals", function()
      with_gnuplot("printf '\\n  %s \\n' \"${GNUTERM:-none}\"", function()
        local gnuplot = require "latent.plot.gnuplot"
        assert.is_true(gnuplot.has_terminal "none")
      end)
    end)
  end)

  describe("failures", function()
    local function fails(path, pattern)
      assert.misuse(function() lines():save(path) end, pattern)
      assert.equal("", listing())
    end

    it("reports a folder that cannot be made", function()
      write(folder .. "/file", "")
      assert.misuse(function() lines():save(folder .. "/file/a.png") end,
        "[^:]*/file/a%.png: cannot be written: .*/file: is a file, expected a folder$")
      os.remove(folder .. "/file")
    end)

    it("reports a missing gnuplot", function()
      with_environment("LATENT_GNUPLOT", "/nowhere/gnuplot", function()
        fails(folder .. "/a.png", "[^:]*a%.png: /nowhere/gnuplot: not found .*LATENT_GNUPLOT")
      end)
    end)

    it("quotes the first error of a gnuplot that fails", function()
      with_gnuplot([[cat >/dev/null; echo '         line 0: warning: slow' >&2
        echo '         line 3: invalid command' >&2; exit 1]], function()
        fails(folder .. "/a.png", ".*ended with status 1: invalid command$")
      end)
    end)

    it("says that a gnuplot took too long", function()
      with_gnuplot("ulimit -t; cat >/dev/null; kill -XCPU $$", function()
        fails(folder .. "/a.png", ".*was stopped after 120 seconds")
      end)
      with_gnuplot("cat >/dev/null; ulimit -t >&2; exit 1", function()
        fails(folder .. "/a.png", ".*ended with status 1: 120$")
      end)
    end)

    it("survives a gnuplot that dies before it reads", function()
      with_gnuplot("exec 0<&-; exit 7", function()
        local long = {}
        for i = 1, 2000 do
          long[i] = {y = {1, 2}, label = ("x"):rep(100)}
        end
        local ok, message = pcall(function() plot.lines(long):save(folder .. "/a.png") end)
        assert.is_false(ok)
        assert.truthy(message:find "ended with status 7" or message:find "stopped before it had read")
        assert.equal("", listing())
      end)
    end)

    it("refuses an empty, a cut and a missing picture", function()
      local name = [[out=$(sed -n "s/^set output '\(.*\)'/\1/p")]]
      with_gnuplot(name .. '; : > "$out"', function()
        fails(folder .. "/a.png", ".*wrote nothing")
      end)
      with_gnuplot(name .. [[; printf '\211PNG\r\n\032\n1234' > "$out"]], function()
        fails(folder .. "/a.png", ".*incomplete png file")
      end)
      with_gnuplot("cat >/dev/null", function()
        fails(folder .. "/a.png", ".*wrote nothing")
      end)
    end)

    it("leaves an older picture as it was", function()
      write(folder .. "/a.png", "old")
      with_gnuplot("exit 1", function()
        assert.is_false(pcall(function() lines():save(folder .. "/a.png") end))
      end)
      assert.equal("old", read(folder .. "/a.png"))
      assert.equal("a.png", listing())
    end)
  end)

  describe("arguments", function()
    local image = picture(4, 4)
    local nan = 0 / 0
    local cases = {
      {"unknown option, with a suggestion", "lines", {{y = {1}}, tittle = "x"},
        'plot.lines: unknown option "tittle" %(did you mean "title"%?%)'},
      {"unknown option of a series", "lines", {{y = {1}, lable = "x"}},
        'series 1: unknown option "lable"'},
      {"no series", "lines", {title = "x"}, "plot.lines: expected at least one series"},
      {"no y", "lines", {{x = {1}}},
        "series 1: y: expected a tensor or a table of numbers, got nothing"},
      {"empty y", "lines", {{y = {}}}, "series 1: y: is empty"},
      {"x and y of different length", "lines", {{x = {1}, y = {1, 2}}},
        "x has 1 values and y has 2"},
      {"texts that are not one a point", "lines", {{y = {1, 2}, texts = {"a"}}},
        "series 1: texts: expected a list of 2, one a point"},
      {"nothing finite", "lines", {{y = {nan, 1 / 0}}}, "y: no finite value to draw"},
      {"nothing positive on a log axis", "lines", {{y = {0, -1}}, log = "y"},
        "no positive finite value"},
      {"a text among numbers", "lines", {{y = {1, "2"}}},
        'expected numbers, got "2" at position 2'},
      {"a range upside down", "lines", {{y = {1}}, yrange = {1, 0}},
        "yrange: expected {lowest, highest}"},
      {"an unknown legend", "lines", {{y = {1}, label = "a"}, legend = "top"},
        "legend: expected false or"},
      {"points of the wrong shape", "scatter", {points = {{1, 2, 3}}},
        "points: expected shape %[n, 2%], got %[1, 3%]"},
      {"ragged points", "scatter", {points = {{1, 2}, {1}}},
        "element 2 has shape %[1%], but element 1 has %[2%]"},
      {"too few labels", "scatter", {points = {{1, 2}, {1, 2}}, labels = {1}},
        "labels: has 1 for 2 points"},
      {"too few names", "scatter", {points = {{1, 2}}, labels = {5}, names = {"a", "b"}},
        "names: has 2 for 1 classes"},
      {"a label of no class", "scatter", {points = {{1, 2}}, labels = {5}, classes = {1, 2}},
        "labels: 5 at position 1"},
      {"one image too many", "image", {{image, image}}, "image: expected one image, got 2"},
      {"no image", "image", {3}, "image: expected a tensor or a table of numbers"},
      {"a broken zoom", "image", {image, zoom = 1.5}, "zoom: expected a whole number of at least 1"},
      {"images that fill no grid", "image_grid", {images = {image, image, image}},
        "3 do not fill rows of 2"},
      {"too few coordinates", "image_grid", {images = {{image, image, image, image}}, x = {1, 2, 3}},
        "x: has 3 coordinates for 4 images"},
      {"rows of different sizes", "image_rows", {rows = {{images = {image}}, {images = {picture(5, 5)}}}},
        "row 2: images: are 5x5, but those of row 1 are 4x4"},
      {"no rows", "image_rows", {rows = {}}, "rows: expected a list"},
      {"a histogram of nothing", "histogram", {{values = {}}}, "values: is empty"},
      {"bars of different lengths", "bars", {{1, 2}, {1}},
        "series 2 has 1 values and series 1 has 2"},
      {"a title that is no text", "lines", {{y = {1}}, title = {}}, "title: expected text, got a table"},
      {"a tiny figure", "lines", {{y = {1}}, width = 5}, "width: expected a number of at least 100"},
      {"a dash that is a number", "lines", {{y = {1}, dashed = 0}},
        "plot.lines: series 1: dashed: expected true or false, got 0"},
      {"markers that are text", "lines", {{y = {1}}, markers = "no"},
        'plot.lines: markers: expected true or false, got "no"'},
      {"an inversion that is a number", "image", {image, invert = 0},
        "plot.image: invert: expected true or false, got 0"},
      {"an unknown colour", "lines", {{y = {1}, color = "red"}},
        'color: expected a number of the palette, .*, got "red"'},
      {"a wrong format", "bars", {{1.5}, format = "%d"}, "format: expected one for a number"},
      {"an unknown kind", "figure", {kind = "line"},
        'unknown kind "line" %(did you mean "lines"%?%)'},
    }
    for _, case in ipairs(cases) do
      it("refuses " .. case[1], function()
        assert.error_matches(function()
          plot[case[2]](case[3])
        end, case[4])
      end)
    end

    it("names the user's line", function()
      local ok, message = pcall(function()
        plot.lines{{y = {}}}
      end)
      assert.is_false(ok)
      assert.matches("plot_spec%.lua:%d+: plot%.lines", message)
    end)

    it("skips values that are not finite", function()
      assert(plot.scatter{points = {{1, nan}, {1, 2}}}:save(folder .. "/b.png"))
    end)

    it("refuses panels that are no figures", function()
      assert.error_matches(function()
        plot.panels{lines(), {}}
      end, "element 2: expected a figure, got a table")
    end)
  end)

  describe("terminals", function()
    local function detect(environment, on_terminal)
      return terminal.detect(function(name)
        return environment[name]
      end, on_terminal)
    end

    it("are told apart by the environment", function()
      assert.equal("text", detect({KITTY_WINDOW_ID = "1"}, false))
      assert.equal("kitty", detect({KITTY_WINDOW_ID = "1"}, true))
      assert.equal("kitty", detect({TERM = "xterm-ghostty"}, true))
      assert.equal("sixel", detect({TERM = "foot"}, true))
      assert.equal("text", detect({TERM = "xterm-256color"}, true))
      assert.equal("text", detect({TERM = "screen", KITTY_WINDOW_ID = "1", TMUX = "x"}, true))
    end)

    it("get PNG data in kitty's chunks", function()
      local sent = terminal.kitty(("x"):rep(4000))
      local chunks = select(2, sent:gsub("\27_G", ""))
      assert.equal(2, chunks)
      assert.matches("^\27_Ga=T,f=100,m=1;", sent)
      assert.matches("\27_Gm=0;[%w+/=]+\27\\\n$", sent)
    end)

    it("are refused when unknown", function()
      assert.error_matches(function()
        plot.show(lines(), {terminal = "paper"})
      end, "terminal: expected")
    end)
  end)
end)
