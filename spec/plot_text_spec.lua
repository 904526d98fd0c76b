-- Texts and file names in figures: whatever a user writes is drawn as it is, is never executed, and never
-- changes which file is written. Random texts, read back from gnuplot's svg.

local core = require "latent.core"
local files = require "latent.base.files"
local plot = require "latent.plot"
local scratch = require "spec.support.scratch"

local PIECES = {"'", "''", '"', "\\", "\\n", "`", "`touch bad`", "$", "${x}", "@", "@x", "^", "^{2}", "_", "_2", "&",
  "%", "%%", "%d", "%s", "{", "}", "{/Bold x}", "#", ";", "|", "<", ">", "!", "~", "*", "(", ")", "[", "]", ",", ".",
  ":", "=", "+", "-", "/", "?", " ", "  ", "\n", "\t", "\r", "\r\n", "\1", "\127", "\\U+00E9", "\\047", "é", "ß", "中文",
  "🎲", "\u{A0}", "\u{202E}", "\u{FFFE}", "\xFF", "\xC3", "\xED\xA0\x80", "a", "Z", "0", "x y", "loss", "90s"}
local SHORT = #PIECES -- those below are long

--- Random numbers of our own: those of the suite stay as they are.
local state = 9
local function random(n)
  state = (state * 6364136223846793005 + 1442695040888963407)
  return (state >> 33) % n + 1
end

local function random_text(most, pieces)
  local parts = {}
  for i = 1, random(most) do
    parts[i] = PIECES[random(pieces or #PIECES)]
  end
  return table.concat(parts)
end

--- What is drawn of a text, line by line: control characters and what is not UTF-8 cannot be.
local function lines_of(text)
  local out = {}
  text = text:gsub("\r\n", "\n"):gsub("\t", "  ")
  local shown, at = "", 1
  while at <= #text do
    local _, bad = utf8.len(text, at)
    shown = shown .. text:sub(at, (bad or #text + 1) - 1) .. (bad and "\u{FFFD}" or "")
    at = (bad or #text) + 1
  end
  shown = shown:gsub("[\1-\9\11-\31\127]", " "):gsub("\u{FFFE}", "\u{FFFD}")
  for line in (shown .. "\n"):gmatch "(.-)\n" do
    out[#out + 1] = line
  end
  return out
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

local ENTITIES = {lt = "<", gt = ">", amp = "&", quot = '"', apos = "'"}

--- How often each text stands in an svg.
local function texts_of(svg)
  local counts = {}
  for text in svg:gmatch "<text[^>]*>(.-)</text>" do
    text = text:gsub("</?tspan[^>]*>", ""):gsub("&(%a+);", ENTITIES)
    counts[text] = (counts[text] or 0) + 1
  end
  return counts
end

describe("plot texts", function()
  local folder, remove, given
  setup(function()
    folder, remove = scratch.folder()
    PIECES[#PIECES + 1] = "`touch " .. folder .. "/bad`"
    PIECES[#PIECES + 1] = '".system("touch ' .. folder .. '/bad")."'
  end)
  teardown(function() remove() end)
  before_each(function() given = {} end)

  --- A random text that the figure must show.
  local function text()
    local made = random_text(5)
    given[#given + 1] = made
    return made
  end

  --- One that is short enough to be a title or the name of an axis, which are broken where they do not fit.
  local function title()
    local made = random_text(2, SHORT)
    given[#given + 1] = made
    return made
  end

  local function texts(count)
    local list = {}
    for i = 1, count do
      list[i] = text()
    end
    return list
  end

  local function count_up(n)
    local list = {}
    for i = 1, n do
      list[i] = i
    end
    return list
  end

  --- Draws a figure and finds each text in it, as often as it was given.
  local function check(figure)
    local path = folder .. "/a.svg"
    assert(figure:save(path))
    local found = texts_of(read(path))
    for _, made in ipairs(given) do
      for _, line in ipairs(lines_of(made)) do
        if line ~= "" then
          assert((found[line] or 0) > 0, ("%q: there is no %q in the figure"):format(made, line))
          found[line] = found[line] - 1
        end
      end
    end
    assert.same({"a.svg"}, scratch.list(folder)) -- nothing was executed, and no other file written
    os.remove(path)
  end

  local image = {{-1, 1}, {1, -1}}

  it("stand beside points and in legends as they were given", function()
    local series = {width = 2000, height = 2000, title = title(), xlabel = title(), ylabel = title()}
    for i = 1, 67 do
      series[i] = {y = count_up(10), texts = texts(10), label = text()}
    end
    check(plot.lines(series))
  end)

  it("stand under bars and above them", function()
    check(plot.bars{{values = count_up(40), label = text()}, names = texts(40), title = title(), xlabel = title(),
      ylabel = title()})
    given = {"''50%{x}''", "''50%{x}''"}
    check(plot.bars{{50, 50}, format = "''%d%%{x}''"})
  end)

  it("stand in the legend of a scatter, whether labels or names", function()
    check(plot.scatter{points = {{1, 2}, {3, 4}}, labels = {0, 1}, names = texts(2), xlabel = title(),
      title = title(), ylabel = title()})
    given = {"'a", "b''"}
    check(plot.scatter{points = {{1, 2}, {3, 4}}, labels = {"'a", "b''"}})
  end)

  it("stand beside and above images, and above panels", function()
    local rows, images = {}, {}
    for i = 1, 100 do
      images[i] = image
    end
    for i = 1, 100 do
      rows[i] = {label = text(), images = images}
    end
    check(plot.image_rows{rows = rows, titles = texts(100), title = title()})
    given = {}
    local panels = {plot.image{image, title = title(), zoom = 100},
      plot.histogram{{values = {1, 2}, label = text()}, title = title(), xlabel = title(), ylabel = title()},
      plot.image_grid{images = {image}, title = title(), xlabel = title(), ylabel = title(), zoom = 100}}
    check(plot.panels(panels, {title = title()}))
  end)

  it("break where they are too long for the figure, and lose nothing but the space there", function()
    local long = ("it's {x} "):rep(30) .. ("''"):rep(100)
    assert(plot.lines{{y = {1, 2}}, title = long}:save(folder .. "/a.svg"))
    local shown = ""
    local svg = read(folder .. "/a.svg"):gsub('<tspan [^>]*font%-weight="bold" >(.-)</tspan>', "%1") -- of titles
    for line in svg:gmatch "<text[^>]*>([^<]*)</text>" do -- the ticks are <tspan>
      shown = shown .. line:gsub(" ", "")
    end
    assert.equal((long:gsub(" ", "")), shown)
    os.remove(folder .. "/a.svg")
  end)

  it("are refused where they hold a zero byte or are none", function()
    local cases = {
      {"lines", {{y = {1}}, title = "a\0b"}, "plot.lines: title: expected text, got a string with a zero byte"},
      {"lines", {{y = {1}, label = {}}}, "series 1: label: expected text, got a table"},
      {"lines", {{y = {1}, texts = {"\0"}}}, "series 1: texts: 1: expected text"},
      {"bars", {{1}, names = {print}}, "plot.bars: names: 1: expected text, got a function"},
      {"scatter", {points = {{1, 1}}, labels = {0}, names = {"\0"}}, "names: expected text"},
      {"image_rows", {rows = {{images = {image}, label = "\0"}}}, "row 1: label: expected text"},
    }
    for _, case in ipairs(cases) do
      assert.error_matches(function() plot[case[1]](case[2]) end, case[3])
    end
    assert.error_matches(function()
      plot.panels({plot.image{image}}, {title = {}})
    end, "plot.panels: title: expected text, got a table")
  end)

  describe("as file names", function()
    --- A random name of one file.
    local function random_name()
      local name = random_text(6):gsub("[/\n]", "'")
      return name .. ".svg"
    end

    it("name that file and no other", function()
      for i = 1, 25 do
        local name = i == 1 and "it''s''.svg" or i == 2 and "'90s.svg" or random_name()
        local path = folder .. "/" .. name
        assert.equal(path, plot.lines{{y = {1, 2}}}:save(path))
        assert.same({name}, scratch.list(folder))
        os.remove(path)
      end
    end)

    it("are no commands, be it in a kept script", function()
      local before = scratch.list "."
      for _, name in ipairs{"|touch bad;.svg", "<touch bad;.svg", "-.svg", "~.svg",
        "it''s $(touch bad) `touch bad`.svg"} do
        local inner = folder .. "/" .. name:gsub("%.svg$", "")
        assert(core.mkdir(inner))
        local path, stem = inner .. "/" .. name, name:gsub("%.svg$", "")
        assert(plot.lines{{y = {1, 2}}}:save(path, {keep = true}))
        assert.same({stem .. ".dat", stem .. ".gp", name}, scratch.list(inner))
        local drawn = read(path)
        os.remove(path)
        local run = read(inner .. "/" .. stem .. ".gp"):match "its folder: ([^\n]+)"
        assert(os.execute(("cd -- %s && %s"):format(files.quote(inner), run)))
        assert.equal(drawn, read(path))
        assert.same({stem .. ".dat", stem .. ".gp", name}, scratch.list(inner))
      end
      assert.same(before, scratch.list ".")
    end)

    it("begin a path that is a command to gnuplot", function()
      local made = {"|touch bad", "<touch bad"}
      for _, name in ipairs(made) do
        assert(core.mkdir(name))
        local path = plot.lines{{y = {1, 2}}}:save(name .. "/a.svg")
        local list = scratch.list(name)
        os.remove(name .. "/a.svg")
        os.remove(name)
        assert.equal(name .. "/a.svg", path)
        assert.same({"a.svg"}, list)
      end
      assert.is_nil(io.open("bad"))
    end)

    it("are refused with a zero byte, and empty", function()
      local figure = plot.lines{{y = {1}}}
      assert.error_matches(function() figure:save "a\0.png" end, "figure:save: .* got one with a zero byte")
      assert.error_matches(function() figure:save "" end, "figure:save: : the name must end in")
    end)
  end)
end)
