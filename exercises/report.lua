--- The report: one page with all answers, numbers, figures and settings, from what lies in runs/ and plots/.
--   lua5.4 exercises/report.lua            writes runs/report.html; --demo and --data take the results of those
local lt, files, json = require "latent", require "latent.files", require "latent.json"
local progress = require "latent.progress"
local html, options, record = require "exercises.html", require "exercises.options", require "exercises.record"
local runner, support = require "exercises.runner", require "exercises.support"

local h = html.tag
local o = support.options{recipe = false, seed = false, threads = false, resume = false}
local HERE = debug.getinfo(1, "S").source:match "^@(.*)report%.lua$"

-- What a figure shows; a figure that is not here is known by its title.
local CAPTIONS = {
  ["01_loss.png"] = "The error after each epoch, over the training and the test images.",
  ["01_reconstructions.png"] = "Above the images, below what the decoder makes of their two numbers.",
  ["02_latent_scatter.png"] = "Each point is a test image, its colour the class.",
  ["03_accuracy.png"] = "How often the nearest training code is of the right class; chance would be 10 %.",
  ["04_loss.png"] = "The cross-entropy after each epoch, over the training and the test images.",
  ["05_generator.png"] = "Each picture is decoded from the code at its place; the axes are those of exercise 2.",
  ["06_denoise.png"] = "The noisy images, what comes out of the autoencoder, and what it should have been.",
  ["07_loss.png"] = "The loss with the final beta, and the part of it that is the error of the pictures.",
  ["07_reconstructions.png"] = "Above the images, below the pictures decoded from their means.",
  ["07_latent_scatter.png"] = "Each point is the mean that the encoder gives a test image, its colour the class.",
  ["07_generator.png"] = "Each picture is decoded from the code at its place, three standard deviations each way.",
  ["08_bottleneck.png"] = "The noisy images, what comes through the bottleneck, and what it should have been.",
  ["08_map.png"] = "The same images, restored by a search for the likeliest code.",
  ["08_map_loss.png"] = "What the search minimises, in each of its iterations.",
  ["09_rate_distortion.png"] = "Error against nats for each beta, and where a single run that learns sigma lands.",
  ["09_against_beta.png"] = "What becomes of the means, the classes, the dimensions and the likelihood as beta grows.",
  ["09_latent_scatter.png"] = "The means of the test images for a small, the sheet's and a large beta, on equal axes.",
  ["09_generator.png"] = "What the decoder makes of the same codes for these three betas.",
  ["10_optimisers.png"] = "The mean loss against the work, from the same random starts.",
  ["10_beta.png"] = "The error against the weight of the prior, for each level of noise.",
  ["10_examples.png"] = "The same noisy images, restored by each method, and how sure the posterior is of each pixel.",
  ["10_inpainting.png"] = "What is hidden is guessed: by MAP, by draws from the posterior, and by their mean.",
  ["10_deblurring.png"] = "Each measurement, and what MAP makes of it.",
}
local SHOWS = {lines = "line chart", scatter = "scatter plot", bars = "bar chart", image_rows = "rows of images",
  image_grid = "grid of images", panels = "several panels"}
local CLASSES = {image_rows = "wide", panels = "panels"} -- what would be too small on a phone, and scrolls there
-- The number that stands for an exercise in the table of contents.
local HEADLINES = {[1] = "ex1.test_mse", [3] = "ex3.mean", [4] = "ex4.mean", [7] = "ex7.knn_mean", [8] = "ex8.map_mse",
  [9] = "ex9.knn_mean", [10] = "ex10.map"}
local DATA = {mnist = "MNIST", fashion = "Fashion-MNIST", mini = "a small part of MNIST"}
-- Settings that mean nothing where nothing is trained, as in the demo; and those that are shown in other ways.
local OF_TRAINING = {batch = true, epochs = true, lr = true, final_lr = true, warmup_epochs = true,
  sweep_epochs = true, recipe = true, seed = true}
local HIDDEN = {out = true, demo = true, resume = true, threads = true, name = true}
local SHEET = 8 -- the exercises up to here are the answer sheet's
local LONG, WIDE = 12, 2 -- tables of more rows are folded; a picture this many times as wide as high is wide

local place = (o.demo and " --demo" or o.data ~= "mnist" and " --data " .. o.data or "")
  .. (o.out ~= "" and " --out " .. files.quote(o.out) or "")
local function command_of(script) return ("lua5.4 exercises/%s.lua%s"):format(script, place) end

-- ---- what there is ----

local function spoilt(path, message)
  options.fail(("%s: %s\nRemove the file, and run what made it again; the report is left as it was."):format(path,
    message))
end

local function read_json(path)
  if not files.exists(path) then return nil end
  local text, message = files.read_all(path)
  local value
  if text then value, message = json.decode(text) end
  if not value then spoilt(path, message) end
  if type(value) ~= "table" or value[1] ~= nil or value == json.null then spoilt(path, "expected an object") end
  return value
end

local function read_answers()
  local path = support.path("runs", "answers.json")
  local answers = read_json(path) or {}
  for key, value in pairs(answers) do
    for _, number in ipairs(type(value) == "table" and value ~= json.null and value or {value}) do
      if type(number) ~= "number" then
        spoilt(path, ("%s: expected numbers, got %s"):format(key, number == json.null and "null" or type(number)))
      end
    end
  end
  return answers
end

-- The parts of a record: their types, "?" where they may be absent.
local RECORD = {script = "string", started = "number", seconds = "number", threads = "number", isa = "string",
  settings = "table", items = "table", weights = "table", machine = "table", versions = "table"}
local ITEMS = {
  text = {text = "string"}, table = {title = "string", rows = "table"},
  figure = {file = "string", title = "string?", shows = "string?"},
}

local function check_fields(path, at, value, fields)
  if type(value) ~= "table" then spoilt(path, at .. ": expected an object") end
  for name, kind in pairs(fields) do
    local expected, got = kind:gsub("%?$", ""), value[name]
    if type(got) ~= expected and not (got == nil and kind ~= expected) then
      spoilt(path, ("%s%s: expected a %s, got %s"):format(at, name, expected, got == nil and "nothing" or type(got)))
    end
  end
end

local function read_record(number)
  local path = support.path("runs", record.name(number))
  local r = read_json(path)
  if not r then return nil end
  check_fields(path, "", r, RECORD)
  for i, item in ipairs(r.items) do
    local at = ("items %d: "):format(i)
    local fields = type(item) == "table" and ITEMS[item.kind]
    if not fields then spoilt(path, at .. "expected a text, a table or a figure") end
    check_fields(path, at, item, fields)
    if item.file and not item.file:find "^[%w_%-]+%.png$" then spoilt(path, at .. "expected the name of a PNG file") end
    for _, row in ipairs(item.rows or {}) do
      if type(row) ~= "table" then spoilt(path, at .. "expected rows of texts") end
    end
  end
  for i, weights in ipairs(r.weights) do check_fields(path, ("weights %d: "):format(i), weights, {name = "string"}) end
  return r
end

-- What the first line of a script asks: a heading, and what follows it.
local function question_of(source)
  local line = source:match "^%-%-%- Exercise %d+: ([^\n]*)" or ""
  local heading, stop, rest = line:match "^(.-)([.:,?]) (.*)$"
  if not heading then
    heading, stop = line:match "^(.-)([.?]?)$"
    rest = ""
  end
  local function capital(text) return (text:gsub("^%l", string.upper)) end
  return capital(heading) .. (stop == "?" and "?" or ""), capital(rest)
end

-- The chapters of a list of scripts, by number: what is asked, what was recorded, and what is still missing of it.
local function chapters_of(list, target, answers)
  local chapters = {}
  for _, script in ipairs(list.scripts) do
    local number = record.number(script)
    local source = files.read_all(("%s%s.lua"):format(HERE, script)) or ""
    local c = {number = number, script = script, target = target, record = read_record(number), rows = {},
      missing = {}}
    c.heading, c.question = question_of(source)
    local drawn = {}
    for _, item in ipairs(c.record and c.record.items or {}) do
      if item.file then drawn[item.file] = true end
    end
    for file in source:gmatch '"(%d%d_[%w_]+%.png)"' do
      if not drawn[file] then c.missing[#c.missing + 1] = "plots/" .. file end
    end
    for _, row in ipairs(list.table) do
      if row[1] == tostring(number) then
        c.rows[#c.rows + 1] = row
        if not answers[row[3]] and not row.none then c.missing[#c.missing + 1] = row[2] end
      end
    end
    chapters[#chapters + 1] = c
  end
  table.sort(chapters, function(a, b) return a.number < b.number end)
  return chapters
end

-- ---- its parts as HTML ----

local function value_of(answers, row)
  local value = answers[row[3]]
  if type(value) ~= "number" then return row.none or "missing" end
  return h.data{value = ("%.17g"):format(value), runner.shown(row[2], value)}
end

local function scroll(label, content)
  return h.div{class = "scroll", role = "region", tabindex = "0", ["aria-label"] = label, content}
end

-- A table under its title, which does not scroll with it.
local function titled(title, parts) return h.div{h.p{class = "caption", title}, scroll(title, h.table(parts))} end

local function numbers(c, answers)
  if #c.rows == 0 then return false end
  local compared, measured, body = false, false, {}
  for _, row in ipairs(c.rows) do
    compared = compared or support.has_sheet() and row[4] ~= ""
    measured = measured or row[4]:find("*", 1, true)
  end
  for i, row in ipairs(c.rows) do
    body[i] = h.tr{h.th{scope = "row", row[2]}, h.td{value_of(answers, row)},
      compared and h.td{class = "words", row[4]}}
  end
  return h.div{
    titled("Numbers", {
      h.thead{h.tr{h.th{scope = "col", "quantity"}, h.th{scope = "col", "ours"},
        compared and h.th{scope = "col", class = "words", c.number <= SHEET and "the sheet's" or "for comparison"}}},
      h.tbody(body)}),
    compared and measured and h.p{class = "foot", "* measured with the course's own weights"},
  }
end

local function recorded_table(item)
  local head, body = {}, {}
  for i, row in ipairs(item.rows) do
    local cells = {}
    for k, text in ipairs(row) do
      text = tostring(text):match "^%s*(.-)%s*$"
      cells[k] = i == 1 and h.th{scope = "col", text} or k == 1 and h.th{scope = "row", text} or h.td{text}
    end
    if i == 1 then head = h.tr(cells) else body[#body + 1] = h.tr(cells) end
  end
  local parts = {#item.rows > 0 and h.thead{head}, h.tbody(body)}
  if #body <= LONG then return titled(item.title, parts) end
  return h.details{h.summary{("%s (%d rows)"):format(item.title, #body)}, scroll(item.title, h.table(parts))}
end

-- Text with its part, "(a)", in bold.
local function sentences(item)
  local part, rest = item.text:match "^(%(%a%))(.*)$"
  return part and h.p{h.b{part}, rest} or h.p{item.text}
end

local function figure(item, c)
  local path = support.path("plots", item.file)
  local png = files.exists(path) and files.read_all(path) or ""
  local title = item.title or item.file
  if #png < 24 or png:sub(1, 8) ~= "\137PNG\r\n\26\n" then
    return h.p{class = "note", ("The figure %s (%s) is missing or damaged: "):format(path, title),
      h.code{command_of(c.script)}, " draws it."}
  end
  local width, height = (">I4I4"):unpack(png, 17)
  local image = h.img{src = "data:image/png;base64," .. html.base64(png), width = width, height = height,
    alt = ("%s (%s)"):format(title, SHOWS[item.shows] or "figure"),
    class = CLASSES[item.shows] or width > WIDE * height and "wide"}
  return h.figure{scroll(title, image), h.figcaption{h.b{title, "."}, " ", CAPTIONS[item.file] or false}}
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function made_by(weights)
  local how = {}
  for _, name in ipairs{"recipe", "seed", "epochs", "data"} do
    if weights[name] then how[#how + 1] = ("%s %s"):format(name, tostring(weights[name])) end
  end
  return (weights.trained and "trained here" or "read")
    .. (#how > 0 and (weights.trained and "; " or "; made with ") .. table.concat(how, ", ") or "")
end

local function settings(c)
  local r = c.record
  local s, list = r.settings, {}
  local function add(name, value)
    list[#list + 1] = h.dt{name}
    list[#list + 1] = h.dd{value}
  end
  for _, name in ipairs(sorted(s)) do
    if not HIDDEN[name] and not (s.demo and OF_TRAINING[name]) then
      add(name, type(s[name]) == "number" and ("%.14g"):format(s[name]) or tostring(s[name]))
    end
  end
  for _, weights in ipairs(r.weights) do add("weights of " .. weights.name, made_by(weights)) end
  add("threads", ("%d, instruction set %s"):format(r.threads, r.isa))
  add("begun", os.date("!%Y-%m-%d %H:%M UTC", r.started // 1 | 0))
  add("took", progress.duration(r.seconds) .. ((s.resume or c.number > SHEET)
    and ", without what had been trained before" or ""))
  add("again", h.code{command_of(c.script)})
  local how = s.demo and "the demo's weights" or ("%s recipe, seed %s"):format(tostring(s.recipe), tostring(s.seed))
  return h.details{h.summary{("Settings: %s, %s, %s"):format(how, DATA[s.data] or tostring(s.data),
    progress.duration(r.seconds))}, h.dl(list)}
end

local function chapter(c, answers)
  local texts, tables, figures = {}, {}, {}
  for _, item in ipairs(c.record.items) do
    if item.kind == "text" then texts[#texts + 1] = sentences(item)
    elseif item.kind == "table" then tables[#tables + 1] = recorded_table(item)
    else figures[#figures + 1] = figure(item, c) end
  end
  local parts = {id = "ex" .. c.number, h.h2{("Exercise %d: %s"):format(c.number, c.heading)},
    c.question ~= "" and h.p{class = "question", c.question}}
  if #c.missing > 0 then
    parts[#parts + 1] = h.p{class = "note", ("Not complete; missing: %s. "):format(table.concat(c.missing, "; ")),
      h.code{command_of(c.script)}, " makes it."}
  end
  table.move(texts, 1, #texts, #parts + 1, parts)
  parts[#parts + 1] = numbers(c, answers)
  table.move(tables, 1, #tables, #parts + 1, parts)
  table.move(figures, 1, #figures, #parts + 1, parts)
  parts[#parts + 1] = settings(c)
  return h.section(parts)
end

local function contents(chapters, answers)
  local list = {}
  for i, c in ipairs(chapters) do
    local headline = false
    for _, row in ipairs(c.rows) do
      if row[3] == HEADLINES[c.number] and answers[row[3]] then
        local theirs = support.has_sheet() and row[4] ~= "" and row[4]:gsub(" %*", " with the course's weights")
        headline = h.span{row[2]:gsub(", %%$", "") .. ": ", value_of(answers, row), row[2]:find "%%$" and " %" or false,
          theirs and (c.number <= SHEET and "; the sheet's: " or "; for comparison: ") .. theirs}
      end
    end
    list[i] = h.li{h.a{href = "#ex" .. c.number, ("%d. %s"):format(c.number, c.heading)}, headline}
  end
  list[#list + 1] = h.li{h.a{href = "#machine", "Machine and versions"}}
  return h.nav{["aria-label"] = "Contents", h.ol(list)}
end

-- Machines and versions: one list where all exercises ran alike.
local function machines(chapters)
  local groups, by_text = {}, {}
  for _, c in ipairs(chapters) do
    local r, list = c.record, {}
    for _, entry in ipairs{{"processor", r.machine.cpu}, {"cores", r.machine.cores},
      {"instruction set", r.isa}, {"system", r.machine.system}, {"latent", r.versions.latent},
      {"Lua", r.versions.lua}, {"BLAS", r.versions.blas}, {"gnuplot", r.versions.gnuplot}} do
      list[#list + 1] = h.dt{entry[1]}
      list[#list + 1] = h.dd{tostring(entry[2] or "unknown")}
    end
    local drawn = h.dl(list)
    local group = by_text[drawn.html]
    if not group then
      group = {drawn = drawn, exercises = {}}
      by_text[drawn.html], groups[#groups + 1] = group, group
    end
    table.insert(group.exercises, c.number)
  end
  local parts = {id = "machine", h.h2{"Machine and versions"}}
  for _, group in ipairs(groups) do
    parts[#parts + 1] = #groups > 1 and h.p{"Exercises " .. table.concat(group.exercises, ", ") .. ":"}
    parts[#parts + 1] = group.drawn
  end
  return h.section(parts)
end

local function target_of(c)
  local words = place:gsub("^ ", ""):gsub("%-%-demo ?", "")
  local target = o.demo and c.number <= SHEET and "make demo" or c.target
  return target .. (words ~= "" and (' ARGS="%s"'):format(words) or "")
end

-- What is not in the report, and what makes it.
local function absent_note(absent)
  if #absent == 0 then return false end
  local parts = {class = "note", "Not in this report:"}
  for i, c in ipairs(absent) do
    local target = target_of(c)
    parts[#parts + 1] = ("%s exercise %d (%s%s)"):format(i > 1 and "," or "", c.number,
      (c.heading:gsub("^%u", string.lower, c.heading:find "^%u%u" and 0 or 1)),
      o.demo and c.number > SHEET and ", which has no demo" or "")
    if not absent[i + 1] or target_of(absent[i + 1]) ~= target then
      parts[#parts + 1] = ", made by "
      parts[#parts + 1] = h.code{target}
    end
  end
  parts[#parts + 1] = "."
  return h.p(parts)
end

local function lead(chapters)
  local first, last = math.huge, -math.huge
  for _, c in ipairs(chapters) do
    first, last = math.min(first, c.record.started), math.max(last, c.record.started)
  end
  local function day(time) return h.time{os.date("!%Y-%m-%d", time // 1 | 0)} end
  local same = os.date("!%F", first // 1 | 0) == os.date("!%F", last // 1 | 0)
  return h.p{class = "lead", o.demo and "The demo: weights that come along, measured on " or "Trained and measured on ",
    DATA[o.data], ", ", day(first), not same and " to ", not same and day(last), ".",
    o.data == "mini" and " With so few images the numbers are rough, also beside the sheet's." or false}
end

-- ---- the page ----

local answers = read_answers()
local present, absent = {}, {}
for _, part in ipairs{{require "exercises.all", "make exercises"}, {require "exercises.beyond", "make beyond"}} do
  for _, c in ipairs(chapters_of(part[1], part[2], answers)) do
    local list = c.record and present or absent
    list[#list + 1] = c
  end
end
local path = support.path("runs", "report.html")
if #present == 0 then
  local has_demo = not o.demo and files.is_dir(files.join(files.dirname(path), "demo/record"))
  options.fail(("%s: holds nothing to report: %s makes it%s"):format(files.dirname(path), target_of(absent[1]),
    has_demo and (' (or report the demo: make report ARGS="--demo%s")'):format(place) or ""))
end
local title = ("Autoencoders on %s"):format(DATA[o.data])
local body = {h.h1{title}, lead(present), absent_note(absent), contents(present, answers)}
for _, c in ipairs(present) do body[#body + 1] = chapter(c, answers) end
body[#body + 1] = machines(present)
body[#body + 1] = h.p{class = "foot", ("Made by latent %s from runs/ and plots/, "):format(
  lt._VERSION:match "%S+$"), h.time{os.date "!%Y-%m-%d %H:%M UTC"}, "."}
local page = html.page(title, body)
local ok, message = files.write_atomic(path, page)
if not ok then options.fail(message) end
print(("%s: %d exercises, %.2f MB"):format(path, #present, #page / 1e6))
