-- The page of `latent report`, from records written here.
local files, image, json = require "latent.base.files", require "latent.image", require "latent.json"
local base64, lt = require "latent.base.base64", require "latent"
local html, markup = require "latent.experiment.html", require "spec.support.markup"
local report, scratch = require "latent.experiment.report", require "spec.support.scratch"

describe("a page of HTML", function()
  it("has no markup in its texts", function()
    assert.equal("&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;", html.escape [[<b> & "c" 'd']])
    assert.equal("&amp;lt;", html.escape "&lt;")
    assert.equal("a\u{FFFD}b\n\u{FFFD}\u{FFFD}\u{E9}", html.escape "a\0b\n\27\xff\u{E9}")
    assert.equal("1.5", html.escape(1.5))
  end)

  it("nests elements, escapes texts and attributes, and leaves out what is false", function()
    local h = html.tag
    assert.equal('<p class="a&quot;b" id="x">1 &lt; 2<b>bold</b></p>',
      tostring(h.p{class = 'a"b', id = "x", title = false, "1 < 2", false, h.b{"bold"}}))
    assert.equal('<img alt="">', tostring(h.img{alt = ""}))
    assert.equal('<td class="n">3</td>', tostring(h.td{class = "n", 3}))
  end)

  it("writes base64 as RFC 4648 has it", function()
    for text, code in pairs{[""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
      foobar = "Zm9vYmFy", ["\0\16\131\255\239\190"] = "ABCD/+++"} do
      assert.equal(code, base64(text))
    end
  end)

  it("is read by a checker that sees what is wrong", function()
    local start = "<!DOCTYPE html>\n"
    assert.equal(2, #markup.read(start .. "<p>a &amp; b<br></p>"))
    for _, wrong in ipairs{"<p>", "<p><b></p></b>", "</p>", "<p>a & b</p>", "<p>1 > 0</p>", "<p>1 < 0</p>",
      "<p class=a></p>", '<p id="a" id="b"></p>'} do
      assert.has_error(function() markup.read(start .. wrong) end)
    end
  end)
end)

-- A record as a run of a script would have written it, with what the spec changes.
local function record_of(change)
  local record = {name = "line", script = "line.lua", question = "Does a line fit? It may.", started = 1700000000,
    seconds = 75.0, status = "done", threads = 1, isa = "avx2", options = {data = "mini", recipe = "default", seed = 7},
    given = {}, weights = json.array(), machine = {cpu = "Abacus", cores = "1", system = "none"},
    versions = {latent = "latent 0", lua = "Lua 5.4", blas = "BLAS", gnuplot = "gnuplot 6"},
    items = {{kind = "text", text = "(b) It works."}}}
  for name, value in pairs(change or {}) do record[name] = value end
  return record
end

describe("the report of a folder of runs", function()
  local out, remove

  before_each(function() out, remove = scratch.folder() end)
  after_each(function() remove() end)

  local function write(record, run)
    local place = ("%s/%s"):format(out, run or "line/1")
    assert(files.mkdir_p(place))
    scratch.write(place, "record.json", type(record) == "string" and record or json.encode(record))
    return place
  end
  local function page() return assert(report.page(out)) end

  it("is one page that needs no other file and no script", function()
    local place = write(record_of{items = {
      {kind = "claim", holds = true, statement = "(a) it holds", evidence = "1 against 2"},
      {kind = "claim", holds = false, statement = "it fails"},
      {kind = "number", name = "loss", value = 0.125, unit = "nats", reference = 0.5, source = "a guess"},
      {kind = "number", name = "each", value = {1, 2}},
      {kind = "figure", file = "loss.png", title = "The loss", shows = "lines", caption = "Goes down."}}})
    assert(image.write(place .. "/loss.png", lt.rand(20, 50)))
    local text = page()
    local elements, ids = markup.read(text), {}
    for _, element in ipairs(elements) do
      local id = element.attributes.id
      if id then
        assert.is_nil(ids[id])
        ids[id] = true
      end
      assert.is_nil(element.attributes.style)
      assert.not_equal("script", element.name)
      assert.not_equal("link", element.name)
    end
    for _, link in ipairs(markup.all(elements, "a")) do assert.is_true(ids[link.attributes.href:match "^#(.*)$"]) end
    assert.not_matches("http", text)
    assert.not_matches("url%(", text)
    assert.matches("<h2>Does a line fit%?</h2><p class=\"question\">It may%.</p>", text)
    assert.matches("1 of 2 claims hold; loss: ", text)
    assert.matches('<b>Holds: </b><span><b>%(a%)</b> it holds</span><span class="why">1 against 2</span>', text)
    assert.matches("<b>Does not hold: </b>it fails", text)
    assert.matches('<data value="0.125">0.125</data> nats', text)
    assert.matches("0.5 nats %(a guess%)", text)
    local images = markup.all(elements, "img")
    local a = images[1].attributes
    local copy = scratch.write(out, "copy", assert(a.src:match "^data:image/png;base64,([%w+/=]+)$"))
    assert.is_true(io.popen("base64 -d " .. copy):read "a" == files.read_all(place .. "/loss.png"))
    assert.same({"50", "20", "The loss (line chart)", "wide"}, {a.width, a.height, a.alt, a.class})
  end)

  it("takes what a script says for text, whatever it says", function()
    local evil = [[<script>alert("1")</script> & <img src=x onerror='2'>]]
    write(record_of{isa = evil, machine = {cpu = evil}, versions = {lua = evil}, question = evil,
      options = {data = evil, recipe = evil, seed = evil, [evil] = evil}, weights = {{name = evil, recipe = evil}},
      items = {{kind = "text", text = "(a) " .. evil}, {kind = "table", title = evil, rows = {{evil}, {evil, evil}}},
        {kind = "claim", holds = true, statement = evil, evidence = evil},
        {kind = "number", name = evil, value = 1, unit = evil, reference = evil, source = evil},
        {kind = "figure", file = "gone.png", title = evil, caption = evil}}})
    local text = page()
    local elements = markup.read(text)
    assert.equal(0, #markup.all(elements, "script"))
    assert.equal(0, #markup.all(elements, "img"))
    assert.matches("&lt;script&gt;alert%(&quot;1&quot;%)&lt;/script&gt; &amp; &lt;img src=x onerror=&#39;2&#39;&gt;",
      text)
  end)

  it("shows the newest run of each script, when, how and where it ran, and whether it ended", function()
    write(record_of{started = 1600000000, items = {{kind = "text", text = "the older one"}}})
    write(record_of(), "line/2")
    write(record_of{name = "other", isa = "neon", status = "failed", error = "boom\ntraceback"}, "other/1")
    local text = page()
    assert.not_matches("the older one", text)
    assert.matches("Settings: default recipe, seed 7, 1:15<", text)
    assert.matches("<dt>begun</dt><dd>2023%-11%-14 22:13 UTC</dd>", text)
    assert.matches("<dt>threads</dt><dd>1, instruction set avx2</dd>", text)
    assert.matches("<dt>processor</dt><dd>Abacus</dd>", text)
    assert.matches("<p>line:</p>.*avx2.*<p>other:</p>.*neon", text)
    assert.matches("This run is not complete: failed%. boom<", text)
    markup.read(text)
  end)

  it("says on which images the numbers were found, at its head where they are the same", function()
    local function lead() return page():match '<p class="lead">(.-)</p>' end
    local items, mini = {{kind = "number", name = "loss", value = 1}}, "MNIST (mini), 500 training and 500 test images"
    write(record_of{items = items})
    assert.not_matches("Measured on", lead())
    assert.matches(">Numbers<", page())
    write(record_of{name = "other", items = items, data = mini}, "other/1")
    assert.not_matches("Measured on", lead()) -- which the first has not
    assert.is_truthy(page():find('<p class="note">Measured on ' .. mini .. ".</p>", 1, true))
    write(record_of{items = items, data = mini}, "line/2")
    assert.is_truthy(lead():find(" Measured on " .. mini .. ".", 1, true))
    assert.is_truthy(page():find(">Numbers on " .. mini .. "<", 1, true))
    assert.not_matches('<p class="note">Measured', page())
    write(record_of{name = "third", items = items, data = "CLOTHES <2>"}, "third/1")
    assert.not_matches("Measured on", lead())
    assert.is_truthy(page():find('<p class="note">Measured on ' .. mini .. ".</p>", 1, true))
    assert.matches(">Numbers on CLOTHES &lt;2&gt;<", page())
    write(record_of{name = "third", items = items, data = "CLOTHES", weights = {{name = "a", data = "mini"},
      {name = "b", data = "mnist", trained = true}, {name = "c", data = "mnist"}}}, "third/2")
    assert.matches(">Numbers on CLOTHES, with weights trained on mnist<", page())
    markup.read(page())
  end)

  it("folds long tables, and says where a picture is missing or none", function()
    local rows = {{"", "x"}}
    for i = 1, 13 do rows[i + 1] = {"row", tostring(i)} end
    local place = write(record_of{items = {{kind = "table", title = "Many", rows = rows},
      {kind = "figure", file = "loss.png", title = "Loss"}}})
    local text = page()
    assert.matches("<summary>Many %(13 rows%)</summary>", text)
    assert.matches("The figure [^%s]+/line/1/loss.png %(Loss%) is missing or damaged", text)
    scratch.write(place, "loss.png", "not a picture, but more than 24 bytes")
    assert.matches("is missing or damaged", page())
    rows[14] = nil
    write(record_of{items = {{kind = "table", title = "Many", rows = rows}}})
    assert.not_matches("<summary>Many", page())
    assert.matches('<p class="caption">Many</p>', page())
  end)

  -- what is spoilt in a record, and what is said about it
  for _, case in ipairs{
    {'{"script": 1', 'JSON, line 1, column 13: expected "," or "}"'},
    {"[1]", "given: expected a table, got nothing"},
    {{data = 3}, "data: expected a string, got number"},
    {{isa = 3}, "isa: expected a string, got number"},
    {{machine = false}, "machine: expected a table, got boolean"},
    {{items = {{kind = "sound"}}}, "items 1: expected a text, claim, number, table or figure"},
    {{items = {{kind = "text"}}}, "items 1: text: expected a string, got nothing"},
    {{items = {{kind = "claim", holds = "yes", statement = "s"}}}, "items 1: holds: expected a boolean, got string"},
    {{items = {7}}, "items 1: expected a text, claim, number, table or figure"},
    {{items = {{kind = "figure", file = "../../secret.png"}}}, "items 1: expected the name of a picture"},
    {{items = {{kind = "table", title = "t", rows = {"a"}}}}, "items 1: expected rows of texts"},
    {{weights = {{}}}, "weights 1: name: expected a string, got nothing"},
  } do
    it("leaves out a record, by name, where " .. case[2], function()
      write(type(case[1]) == "string" and case[1] or record_of(case[1]))
      local text, message = report.page(out)
      assert.is_nil(text)
      assert.is_truthy(message:find("line/1/record.json: " .. case[2], 1, true), message)
      write(record_of{name = "other"}, "other/1")
      assert.is_truthy(page():find(html.escape(case[2]), 1, true))
    end)
  end
end)
