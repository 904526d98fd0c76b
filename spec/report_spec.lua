-- The page of `make report`, from two exercises of the demo, and from records written here.
local files, image, json = require "latent.files", require "latent.image", require "latent.json"
local lt = require "latent"
local html, markup = require "exercises.html", require "spec.support.markup"
local scratch = require "spec.support.scratch"

local function run(script, options)
  local command = ("LUA_PATH=%s LUA_CPATH=%s lua5.4 exercises/%s.lua %s 2>&1; echo exit $?"):format(
    files.quote(package.path), files.quote(package.cpath), script, options)
  local file = assert(io.popen(command))
  local output = file:read "a"
  file:close()
  return output, tonumber(output:match "exit (%d+)%s*$")
end

-- A record as exercise 3 would have written it, with what the spec changes.
local function record_of(change)
  local record = {script = "03_nearest_neighbour", started = 1700000000, seconds = 75.0, threads = 1, isa = "avx2",
    settings = {data = "mini", recipe = "default", seed = 7, demo = false, resume = false}, weights = json.array(),
    machine = {cpu = "Abacus", cores = "1", system = "none"},
    versions = {latent = "latent 0", lua = "Lua 5.4", blas = "BLAS", gnuplot = "gnuplot 6"},
    items = {{kind = "text", text = "(b) It works."}}}
  for name, value in pairs(change or {}) do record[name] = value end
  return record
end

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
      assert.equal(code, html.base64(text))
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

describe("the report", function()
  local out, remove

  setup(function()
    out, remove = scratch.folder()
    for _, script in ipairs{"02_latent_scatter", "03_nearest_neighbour"} do
      local output, code = run(script, "--demo --out " .. out)
      assert.equal(0, code, output)
    end
  end)
  teardown(function() remove() end)

  local function demo() return out .. "/runs/demo/" end

  -- Reports a folder with one record (of exercise 3 or another, on mini) and answers; returns the page, or nil and what
  -- was said.
  local function reported(record, answers, name, exercise)
    local place = ("%s/%s"):format(out, name or "own")
    files.capture("rm -rf -- " .. files.quote(place))
    assert(files.mkdir_p(place .. "/runs/mini/record"))
    local function write(file, content)
      scratch.write(place .. "/runs/mini", file, type(content) == "string" and content or json.encode(content))
    end
    if record then write(("record/ex%d.json"):format(exercise or 3), record) end
    if answers then write("answers.json", answers) end
    write("report.html", "before")
    local output, code = run("report", "--data mini --out " .. place)
    local page = assert(files.read_all(place .. "/runs/mini/report.html"))
    for _, file in ipairs(scratch.list(place .. "/runs/mini")) do assert.not_matches("tmp", file) end
    if code == 0 then return page, output end
    assert.equal(1, code, output)
    assert.equal("before", page)
    return nil, output
  end

  it("is one page that needs no other file and no script", function()
    local output, code = run("report", "--demo --out " .. out)
    assert.equal(0, code, output)
    local path, count, size = output:match "^(%S+): (%d+) exercises, ([%d.]+) MB\n"
    assert.equal(demo() .. "report.html", path)
    assert.equal("2", count)
    local page = assert(files.read_all(path))
    assert.is_true(math.abs(#page / 1e6 - tonumber(size)) < 0.01)
    local elements, ids = markup.read(page), {}
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
    assert.not_matches("http", page)
    assert.not_matches("url%(", page)
    assert.same({true, true, true}, {ids.ex2, ids.ex3, ids.machine})
    assert.equal("width=device-width, initial-scale=1", markup.all(elements, "meta")[2].attributes.content)
  end)

  it("holds the figures, byte for byte, with their size and a text for those who cannot see them", function()
    assert.equal(0, select(2, run("report", "--demo --out " .. out)))
    local images = markup.all(markup.read(assert(files.read_all(demo() .. "report.html"))), "img")
    assert.equal(2, #images)
    for i, name in ipairs{"02_latent_scatter", "03_accuracy"} do
      local a = images[i].attributes
      local code = assert(a.src:match "^data:image/png;base64,([%w+/=]+)$")
      local png = assert(files.read_all(("%s/plots/demo/%s.png"):format(out, name)))
      local copy = scratch.write(out, "copy", code)
      assert.is_true(io.popen("base64 -d " .. copy):read "a" == png, name)
      assert.same({(">I4I4"):unpack(png, 17)}, {math.tointeger(a.width), math.tointeger(a.height), 25})
    end
    assert.equal("Latent space of the autoencoder (scatter plot)", images[1].attributes.alt)
    assert.equal("Nearest-neighbour accuracy in the latent space (bar chart)", images[2].attributes.alt)
  end)

  it("has the numbers of answers.json, and every sentence and table that was printed", function()
    assert.equal(0, select(2, run("report", "--demo --out " .. out)))
    local page = assert(files.read_all(demo() .. "report.html"))
    local answers = assert(json.decode(assert(files.read_all(demo() .. "answers.json"))))
    local data = markup.all(markup.read(page), "data")
    assert.equal(2, #data) -- in the table of contents, and in the chapter
    for _, element in ipairs(data) do
      assert.equal(answers["ex3.mean"], tonumber(element.attributes.value))
      assert.equal(("%.1f"):format(answers["ex3.mean"]), element.text)
    end
    local plain = page:gsub("<[^>]*>", " "):gsub("%s+", " ")
    for number = 2, 3 do
      local record = assert(json.decode(assert(files.read_all(("%srecord/ex%d.json"):format(demo(), number)))))
      for _, item in ipairs(record.items) do
        if item.kind == "text" then
          local said = item.text:gsub("^(%(%a%))", "%1 "):gsub("%s+", " ")
          assert.is_truthy(plain:find(html.escape(said), 1, true), said)
        elseif item.kind == "table" then
          for _, row in ipairs(item.rows) do
            local cells = table.concat(row, " "):gsub("^ ", "")
            assert.is_truthy(plain:find(html.escape(cells), 1, true), cells)
          end
        end
      end
    end
    for value in page:gmatch ">([%d.]+)</td>" do assert.is_number(tonumber(value)) end
    assert.is_truthy(plain:find("70.2 93.4 27.4", 1, true)) -- the sheet's
    assert.is_truthy(plain:find("weights of autoencoder read; made with recipe default, seed 1, epochs 10", 1, true))
    assert.is_truthy(plain:find(lt._VERSION, 1, true))
  end)

  it("says what is not in it, and what makes that", function()
    assert.equal(0, select(2, run("report", "--demo --out " .. out)))
    local page = assert(files.read_all(demo() .. "report.html"))
    local note = page:match "Not in this report:(.-)</p>"
    assert.matches("^ exercise 1 %(train the autoencoder%), exercise 4 %(.*, exercise 8 %([^)]*%), made by "
      .. "<code>make demo ARGS=.*</code>, exercise 9 %(beta tuning, which has no demo%)", note)
    assert.matches("made by <code>make beyond ARGS=[^<]*</code>%.$", note)
    assert.not_matches("exercise 3", note)
  end)

  it("takes what an exercise says for text, whatever it says", function()
    local evil = [[<script>alert("1")</script> & <img src=x onerror='2'>]]
    local page = assert(reported(record_of{isa = evil, machine = {cpu = evil}, versions = {lua = evil},
      settings = {data = evil, recipe = evil, seed = evil, [evil] = evil}, weights = {{name = evil, recipe = evil}},
      items = {{kind = "text", text = "(a) " .. evil}, {kind = "table", title = evil, rows = {{evil}, {evil, evil}}},
        {kind = "figure", file = "gone.png", title = evil}}}, {["ex3.mean"] = 50, [evil] = 1}))
    local elements = markup.read(page)
    assert.equal(0, #markup.all(elements, "script"))
    assert.equal(0, #markup.all(elements, "img"))
    assert.matches("&lt;script&gt;alert%(&quot;1&quot;%)&lt;/script&gt; &amp; &lt;img src=x onerror=&#39;2&#39;&gt;",
      page)
  end)

  it("says which figures and numbers of an exercise are missing, and shows the others", function()
    local page = assert(reported(record_of(), {["ex1.test_mse"] = 0.5}))
    assert.matches("Not complete; missing: plots/03_accuracy.png; latent 1%-NN accuracy, %%%. "
      .. "<code>lua5.4 exercises/03_nearest_neighbour.lua %-%-data mini %-%-out ", page)
    assert.matches("<td>missing</td>", page)
    assert.matches("It works%.", page)
    page = assert(reported(record_of{items = {{kind = "figure", file = "03_accuracy.png"}}}, {["ex3.mean"] = 12.34}))
    assert.not_matches("Not complete", page)
    assert.matches("The figure [^%s]+/plots/mini/03_accuracy.png %(03_accuracy.png%) is missing or damaged", page)
    assert.matches('<data value="12.34">12.3</data>', page)
    markup.read(page)
  end)

  it("has words for a number that there may be none of, and does not miss it", function()
    local page = assert(reported(record_of{script = "10_map_beyond"}, {["ex10.map"] = 0.03}, "words", 10))
    assert.matches("evaluations for 1000 of Adam&#39;s</th><td>not reached</td>", page)
    local missing = page:match "Not complete; missing: ([^<]*)"
    assert.matches("posterior mean, MSE", missing)
    assert.not_matches("evaluations", missing)
  end)

  it("shows when, how and where each exercise ran", function()
    local page = assert(reported(record_of()))
    assert.matches("Settings: default recipe, seed 7, a small part of MNIST, 1:15<", page)
    assert.matches("<dt>begun</dt><dd>2023%-11%-14 22:13 UTC</dd>", page)
    assert.matches("<dt>threads</dt><dd>1, instruction set avx2</dd>", page)
    assert.matches("<dt>processor</dt><dd>Abacus</dd>", page)
    assert.not_matches("Exercises 3:", page) -- one machine for all
    scratch.write(out .. "/own/runs/mini/record", "ex2.json", json.encode(record_of{script = "02_latent_scatter",
      isa = "neon"}))
    assert.equal(0, select(2, run("report", "--data mini --out " .. out .. "/own")))
    assert.matches("Exercises 2:.*neon.*Exercises 3:.*avx2", files.read_all(out .. "/own/runs/mini/report.html"))
  end)

  it("folds long tables", function()
    local rows = {{"", "x"}}
    for i = 1, 13 do rows[i + 1] = {"row", tostring(i)} end
    local page = assert(reported(record_of{items = {{kind = "table", title = "Many", rows = rows}}}))
    assert.matches("<summary>Many %(13 rows%)</summary>", page)
    rows[14] = nil
    page = assert(reported(record_of{items = {{kind = "table", title = "Many", rows = rows}}}))
    assert.not_matches("<summary>Many", page)
    assert.matches('<p class="caption">Many</p>', page)
  end)

  it("lets wide pictures scroll, and sees that a file is no picture", function()
    local page = assert(reported(record_of(), nil, "wide"))
    assert.equal(0, #markup.all(markup.read(page), "img"))
    local place = out .. "/wide/plots/mini"
    assert(files.mkdir_p(place))
    assert(image.write(scratch.write(place, "03_accuracy.png", ""), lt.zeros(10, 21)))
    scratch.write(out .. "/wide/runs/mini/record", "ex3.json", json.encode(record_of{items = {
      {kind = "figure", file = "03_accuracy.png", title = "wide"}}}))
    assert.equal(0, select(2, run("report", "--data mini --out " .. out .. "/wide")))
    local images = markup.all(markup.read(files.read_all(out .. "/wide/runs/mini/report.html")), "img")
    assert.same({"wide", "21", "10", "wide (figure)"}, {images[1].attributes.class, images[1].attributes.width,
      images[1].attributes.height, images[1].attributes.alt})
    local narrow = files.read_all(out .. "/wide/runs/mini/report.html"):match "@media %(max%-width[^\n]*"
    assert.matches("img%.wide{max%-width:none", narrow)
    scratch.write(place, "03_accuracy.png", "not a picture, but more than 24 bytes")
    assert.equal(0, select(2, run("report", "--data mini --out " .. out .. "/wide")))
    assert.matches("is missing or damaged", files.read_all(out .. "/wide/runs/mini/report.html"))
  end)

  -- what is spoilt, and what is said about it
  for _, case in ipairs{
    {answers = '{"ex3.mean": 1,}', "answers.json: JSON, line 1, column 16: expected a name in quotes"},
    {answers = "", "answers.json: JSON, line 1, column 1: expected a value, got the end of the text"},
    {answers = "[1]", "answers.json: expected an object"},
    {answers = "null", "answers.json: expected an object"},
    {answers = '{"ex3.mean": "55"}', "answers.json: ex3.mean: expected numbers, got string"},
    {answers = '{"ex3.mean": null}', "answers.json: ex3.mean: expected numbers, got null"},
    {answers = '{"ex3.accuracy": [1, "2"]}', "answers.json: ex3.accuracy: expected numbers, got string"},
    {record = '{"script": 1', 'record/ex3.json: JSON, line 1, column 13: expected "," or "}"'},
    {record = {isa = 3}, "record/ex3.json: isa: expected a string, got number"},
    {record = {machine = false}, "record/ex3.json: machine: expected a table, got boolean"},
    {record = {items = {{kind = "sound"}}}, "record/ex3.json: items 1: expected a text, a table or a figure"},
    {record = {items = {{kind = "text"}}}, "record/ex3.json: items 1: text: expected a string, got nothing"},
    {record = {items = {7}}, "record/ex3.json: items 1: expected a text, a table or a figure"},
    {record = {items = {{kind = "figure", file = "../../secret.png"}}},
      "record/ex3.json: items 1: expected the name of a PNG file"},
    {record = {items = {{kind = "table", title = "t", rows = {"a"}}}},
      "record/ex3.json: items 1: expected rows of texts"},
    {record = {weights = {{}}}, "record/ex3.json: weights 1: name: expected a string, got nothing"},
  } do
    it("is not made where " .. case[1], function()
      local record = case.record
      if type(record) ~= "string" then record = record_of(record) end
      local page, message = reported(record, case.answers)
      assert.is_nil(page)
      assert.is_truthy(message:find("/runs/mini/" .. case[1] .. "\n", 1, true), message)
      assert.matches("Remove the file, and run what made it again; the report is left as it was%.\nexit 1\n$", message)
    end)
  end

  it("says how to get results where there are none", function()
    local place = out .. "/empty"
    local output, code = run("report", "--out " .. place)
    assert.equal(1, code)
    assert.matches("^%S+/empty/runs: holds nothing to report: make exercises ARGS=\"%-%-out '%S+/empty'\" makes it\n",
      output)
    assert.is_false(files.exists(place .. "/runs/report.html"))
    assert.matches([[%(or report the demo: make report ARGS="%-%-demo %-%-out '%S+'"%)
exit 1]], (run("report", "--out " .. out)))
  end)

  it("refuses what it does not know", function()
    assert.matches('^unknown option "%-%-seed"', (run("report", "--seed 3 --out " .. out)))
  end)

  it("loses the records of exercises that are run anew", function()
    assert(reported(record_of()))
    local own = out .. "/own"
    local program = "local s = require 'exercises.support' s.options() s.forget_answers(%d, %d)"
    local function forget(first, last)
      assert(os.execute(("LUA_PATH=%s LUA_CPATH=%s lua5.4 -e %s - --data mini --out %s </dev/null"):format(
        files.quote(package.path), files.quote(package.cpath), files.quote(program:format(first, last)), own)))
      return files.exists(own .. "/runs/mini/record/ex3.json")
    end
    assert.is_true(forget(9, 10))
    assert.is_false(forget(1, 8))
  end)
end)
