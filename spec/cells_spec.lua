-- Pictures as half blocks, for terminals that have colours and no graphics.
local lt = require "latent"
local cells = require "latent.plot.cells"
local files = require "latent.base.files"
local plot = require "latent.plot"

local BLOCK = "\xE2\x96\x80"
local RED, GREEN, BLUE, GREY = "\255\0\0", "\0\255\0", "\0\0\255", "\100\100\100"
local SIZE = {columns = 60, lines = 30}

local function plain(text) return (text:gsub("\27%[[%d;]*m", "")) end

describe("half blocks", function()
  it("hold two pixels each, one above the other", function()
    local picture = {w = 2, h = 2, bytes = RED .. GREEN .. BLUE .. GREY}
    local left, right = "\27[38;2;255;0;0;48;2;0;0;255m" .. BLOCK, "\27[38;2;0;255;0;48;2;100;100;100m" .. BLOCK
    assert.same({left .. right .. "\27[0m"},
      cells.lines(picture, 2, 2, "24 bit"))
    assert.same({"\27[38;5;196;48;5;21m" .. BLOCK .. "\27[38;5;46;48;5;241m" .. BLOCK .. "\27[0m"},
      cells.lines(picture, 2, 2, "256"))
  end)

  it("say a colour once, and leave what is below an odd last row as it is", function()
    local picture = {w = 2, h = 1, bytes = RED .. RED}
    assert.same({"\27[38;2;255;0;0;49m" .. BLOCK .. BLOCK .. "\27[0m"}, cells.lines(picture, 2, 1, "24 bit"))
  end)

  it("average what becomes one pixel", function()
    local picture = {w = 2, h = 2, bytes = "\0\0\0\200\100\0\0\0\0\200\100\40"}
    assert.same({"\27[38;2;100;50;10;49m" .. BLOCK .. "\27[0m"}, cells.lines(picture, 1, 1, "24 bit"))
  end)

  it("are there where the terminal has colours", function()
    local function colors(term, color)
      return cells.colors(function(name) return name == "TERM" and term or name == "COLORTERM" and color or nil end)
    end
    assert.equal("256", colors "xterm-256color")
    assert.equal("24 bit", colors("xterm-256color", "truecolor"))
    assert.equal("24 bit", colors "xterm-direct")
    for _, term in ipairs{"dumb", "linux", "vt100", ""} do assert.is_nil(colors(term)) end
    assert.is_nil(colors(nil))
  end)
end)

describe("a figure of images in cells", function()
  it("has its title, and the labels of its rows and columns beside the picture", function()
    local figure = plot.image_rows{title = "Both", titles = {"one", "two"},
      rows = {{label = "clean", images = lt.zeros(2, 8, 8)}, {label = "né", images = lt.ones(2, 8, 8)}}}
    local lines = {}
    for line in plain(cells.text(figure, SIZE, "256")):gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("Both", lines[1])
    assert.matches("^      one +two$", lines[2])
    local joined = table.concat(lines, "\n")
    assert.matches("\nclean " .. BLOCK, joined)
    assert.matches("\nné    " .. BLOCK, joined)
    for i = 3, #lines do assert.is_true(utf8.len(lines[i]) <= SIZE.columns) end
    assert.is_true(#lines <= SIZE.lines)
  end)

  it("enlarges small images by whole factors, and shrinks large ones", function()
    local function width(figure)
      return utf8.len(plain(cells.text(figure, SIZE, "256")):match "[^\n]+")
    end
    assert.equal(16, width(plot.image{lt.zeros(8, 8)}))
    assert.equal(32, width(plot.image{lt.zeros(32, 32)}))
    assert.equal(60, width(plot.image{lt.zeros(20, 200)}))
    assert.equal(60, width(plot.image{lt.zeros(200, 200)}))
  end)

  it("says the range of a grid's axes", function()
    local figure = plot.image_grid{images = lt.zeros(3, 3, 4, 4), x = {-1, 1}, y = {-2, 2}, xlabel = "z1",
      ylabel = "z2"}
    assert.matches("\nz1 from %-1.5 to 1.5, z2 from %-3 to 3 upwards\n$", cells.text(figure, SIZE, "256"))
  end)
end)

describe("plot.show of images", function()
  local function shown(term, figure)
    local code = ([[local lt, plot = require "latent", require "latent.plot"
      local image = plot.image{lt.zeros(4, 4), title = "Dark"}
      local asked = {terminal = "text"}
      print(plot.show(%s))]]):format(figure)
    return assert(files.capture(("TERM=%s COLORTERM= lua5.4 -e %s 2>&1"):format(term, files.quote(
      ("package.path, package.cpath = %q, %q "):format(package.path, package.cpath) .. code))))
  end

  it("draws them in any terminal that has colours", function()
    local text = shown("xterm", "image, asked")
    assert.matches("^Dark\n\27%[38;5;%d+;48;5;%d+m" .. BLOCK, text)
    assert.matches("\ntrue$", text)
    assert.matches("^nil\tplot.show: this terminal shows no images", shown("dumb", "image, asked"))
    assert.matches("^nil\tplot.show: this terminal shows no images", shown("xterm", "image")) -- into a pipe
  end)

  it("draws panels one below the other", function()
    local text = plain(shown("xterm", "plot.panels({image, plot.lines{{y = {1, 2, 3}}, title = 'Rising'}}, "
      .. "{title = 'Both'}), asked"))
    assert.matches("^Both\nDark\n" .. BLOCK .. ".*Rising", text)
    assert.matches("\ntrue$", text)
  end)
end)
