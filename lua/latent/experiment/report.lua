--- The report: one page with the claims, numbers, tables and figures of the newest run of each script, by itself and
-- without scripts of its own.
-- @module latent.experiment.report
local lt = require "latent"
local base64 = require "latent.base.base64"
local declared = require "latent.experiment.options"
local files = require "latent.base.files"
local folder = require "latent.experiment.folder"
local html = require "latent.experiment.html"
local progress = require "latent.progress"
local records = require "latent.experiment.record"
local say = require "latent.experiment.say"
local sorted_keys = require "latent.base.sorted_keys"

local h = html.tag

local M = {}

local SHOWS = {lines = "line chart", scatter = "scatter plot", bars = "bar chart", image_rows = "rows of images",
  image_grid = "grid of images", panels = "several panels"}
local CLASSES = {image_rows = "wide", panels = "panels"} -- what would be too small on a phone, and scrolls there
local HIDDEN = declared.hidden
local LONG, WIDE = 12, 2 -- tables of more rows are folded; a picture this many times as wide as high is wide
local MEDIA = {png = "image/png", svg = "image/svg+xml"}

local function scroll(label, content)
  return h.div{class = "scroll", role = "region", tabindex = "0", ["aria-label"] = label, content}
end

-- A table under its title, which does not scroll with it.
local function titled(title, parts) return h.div{h.p{class = "caption", title}, scroll(title, h.table(parts))} end

local function of_kind(record, kind)
  local list = {}
  for _, item in ipairs(record.items) do
    if item.kind == kind then list[#list + 1] = item end
  end
  return list
end

-- Text with its part, "(a)", in bold.
local function with_part(text)
  local part, rest = text:match "^(%(%a%))(.*)$"
  return part and h.span{h.b{part}, rest} or text
end

-- ---- the parts of a section ----

local function value_text(value, unit)
  local data = h.data{value = say.digits(value, 17), say.number(value)}
  return unit and h.span{data, " ", unit} or data
end

local function reference_text(item)
  if item.reference == nil then return "" end
  local value = type(item.reference) == "number" and say.number(item.reference)
    .. (item.unit and " " .. item.unit or "") or tostring(item.reference)
  return item.source and ("%s (%s)"):format(value, item.source) or value
end

local function numbers(record)
  local body, compared, singles = {}, false, {}
  for _, item in ipairs(of_kind(record, "number")) do
    if type(item.value) == "number" then
      singles[#singles + 1] = item
      compared = compared or item.reference ~= nil
    end
  end
  if #singles == 0 then return false end
  for i, item in ipairs(singles) do
    body[i] = h.tr{h.th{scope = "row", item.label or item.name}, h.td{value_text(item.value, item.unit)},
      compared and h.td{class = "words", reference_text(item)}}
  end
  local images = records.measured_on(record)
  return titled(images and "Numbers on " .. images or "Numbers", {
    h.thead{h.tr{h.th{scope = "col", "quantity"}, h.th{scope = "col", "here"},
      compared and h.th{scope = "col", class = "words", "for comparison"}}},
    h.tbody(body)})
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

-- Claims and texts in the order in which they were said.
local function answers(record)
  local parts, list = {}, nil
  for _, item in ipairs(record.items) do
    if item.kind == "claim" then
      if not list then
        list = {class = "claims"}
        parts[#parts + 1] = list
      end
      list[#list + 1] = h.li{class = item.holds and "holds" or "fails",
        h.b{item.holds and "Holds: " or "Does not hold: "}, with_part(item.statement),
        item.evidence and h.span{class = "why", item.evidence}}
    elseif item.kind == "text" then
      list = nil
      parts[#parts + 1] = h.p{with_part(item.text)}
    end
  end
  for i, part in ipairs(parts) do
    if part.class == "claims" then parts[i] = h.ul(part) end
  end
  return parts
end

local function missing(item, path)
  return h.p{class = "note", ("The figure %s (%s) is missing or damaged; running the script again draws it."):format(
    path, item.title or item.name or item.file)}
end

local function figure(item, record)
  local path = files.join(record.folder, item.file)
  local title, kind = item.title or item.name or item.file, item.file:match "%.(%w+)$"
  local bytes = files.exists(path) and files.read_all(path) or ""
  if kind == "pdf" then return h.p{("Figure %s: %s"):format(title, path)} end
  local opts = {alt = ("%s (%s)"):format(title, SHOWS[item.shows] or "figure"), class = CLASSES[item.shows]}
  if kind == "png" then
    if #bytes < 24 or bytes:sub(1, 8) ~= "\137PNG\r\n\26\n" then return missing(item, path) end
    opts.width, opts.height = (">I4I4"):unpack(bytes, 17)
    opts.class = opts.class or opts.width > WIDE * opts.height and "wide"
  elseif kind ~= "svg" or not bytes:find "<svg" then
    return missing(item, path)
  end
  opts.src = ("data:%s;base64,%s"):format(MEDIA[kind], base64(bytes))
  return h.figure{scroll(title, h.img(opts)), h.figcaption{h.b{title, "."}, " ", item.caption or false}}
end

local function made_by(weights)
  local how = {}
  for _, name in ipairs{"recipe", "seed", "epochs", "data"} do
    if weights[name] then how[#how + 1] = ("%s %s"):format(name, tostring(weights[name])) end
  end
  return (weights.trained and "trained here" or "read")
    .. (#how > 0 and (weights.trained and "; " or "; made with ") .. table.concat(how, ", ") or "")
end

local function settings(record)
  local list = {}
  local function add(name, value)
    list[#list + 1] = h.dt{name}
    list[#list + 1] = h.dd{value}
  end
  for _, name in ipairs(sorted_keys(record.options)) do
    local value = record.options[name]
    if name == "recipe" or not HIDDEN[name] then
      add(name, type(value) == "number" and say.digits(value, 14) or tostring(value))
    end
  end
  for _, weights in ipairs(record.weights or {}) do add("weights of " .. tostring(weights.name), made_by(weights)) end
  if record.data then add("images", record.data) end
  add("threads", ("%s, instruction set %s"):format(tostring(record.threads), tostring(record.isa)))
  if record.git then
    add("commit", tostring(record.git.commit) .. (record.git.changed and ", with changes" or ""))
  end
  add("begun", os.date("!%Y-%m-%d %H:%M UTC", record.started))
  add("took", progress.duration(record.seconds))
  add("folder", record.folder)
  local recipe = record.options.recipe and ("%s recipe, "):format(record.options.recipe) or ""
  return h.details{h.summary{("Settings: %sseed %s, %s"):format(recipe, tostring(record.options.seed),
    progress.duration(record.seconds))}, h.dl(list)}
end

local function heading_of(record)
  local text = record.question or record.name
  local first, rest = text:match "^(.-[.?]) (.*)$"
  return first and first:gsub("%.$", "") or text:gsub("%.$", ""), rest
end

local function section(record, common)
  local heading, rest = heading_of(record)
  local parts = {id = record.name, h.h2{heading}, rest and h.p{class = "question", rest}}
  if record.data and not common then
    parts[#parts + 1] = h.p{class = "note", "Measured on ", records.measured_on(record), "."}
  end
  local status = folder.status(record)
  if status ~= "done" then
    parts[#parts + 1] = h.p{class = "note", ("This run is not complete: %s.%s"):format(status,
      record.error and " " .. record.error:match "^[^\n]*" or "")}
  end
  for _, part in ipairs(answers(record)) do parts[#parts + 1] = part end
  parts[#parts + 1] = numbers(record)
  for _, item in ipairs(of_kind(record, "table")) do parts[#parts + 1] = recorded_table(item) end
  for _, item in ipairs(of_kind(record, "figure")) do parts[#parts + 1] = figure(item, record) end
  parts[#parts + 1] = settings(record)
  return h.section(parts)
end

-- ---- around the sections ----

local function contents(list)
  local items = {}
  for i, record in ipairs(list) do
    local headline, claims, hold = nil, of_kind(record, "claim"), 0
    for _, item in ipairs(of_kind(record, "number")) do
      if type(item.value) == "number" then headline = item end
    end
    for _, claim in ipairs(claims) do hold = hold + (claim.holds and 1 or 0) end
    local heading = heading_of(record)
    items[i] = h.li{h.a{href = "#" .. record.name, heading}, h.span{
      #claims > 0 and ("%d of %d claims hold"):format(hold, #claims) or false,
      #claims > 0 and headline and "; " or false,
      headline and (headline.label or headline.name) .. ": " or false,
      headline and value_text(headline.value, headline.unit) or false}}
  end
  items[#items + 1] = h.li{h.a{href = "#machine", "Machine and versions"}}
  return h.nav{["aria-label"] = "Contents", h.ol(items)}
end

-- Machines and versions: one list where all runs ran alike.
local function machines(list)
  local groups, by_text = {}, {}
  for _, r in ipairs(list) do
    local machine, versions, lines = r.machine or {}, r.versions or {}, {}
    for _, entry in ipairs{{"processor", machine.cpu}, {"cores", machine.cores}, {"instruction set", r.isa},
      {"system", machine.system}, {"latent", versions.latent}, {"Lua", versions.lua}, {"BLAS", versions.blas},
      {"gnuplot", versions.gnuplot}} do
      lines[#lines + 1] = h.dt{entry[1]}
      lines[#lines + 1] = h.dd{tostring(entry[2] or "unknown")}
    end
    local drawn = h.dl(lines)
    local group = by_text[drawn.html]
    if not group then
      group = {drawn = drawn, names = {}}
      by_text[drawn.html], groups[#groups + 1] = group, group
    end
    table.insert(group.names, r.name)
  end
  local parts = {id = "machine", h.h2{"Machine and versions"}}
  for _, group in ipairs(groups) do
    parts[#parts + 1] = #groups > 1 and h.p{table.concat(group.names, ", ") .. ":"}
    parts[#parts + 1] = group.drawn
  end
  return h.section(parts)
end

local function lead(list, common)
  local first, last = list[1].started, list[1].started
  for _, record in ipairs(list) do
    first, last = math.min(first, record.started), math.max(last, record.started)
  end
  local function day(time) return h.time{os.date("!%Y-%m-%d", time)} end
  local same = os.date("!%F", first) == os.date("!%F", last)
  return h.p{class = "lead", "The newest run of each script, ", day(first), not same and " to ",
    not same and day(last), ".", common and (" Measured on %s."):format(common)}
end

-- The newest run of each script of a folder, by the scripts' names; damaged records are named.
local function newest_runs(out)
  local by_name, list, damaged = {}, {}, {}
  for _, path in ipairs(folder.list(out)) do
    local record, message = folder.read(path)
    if not record then
      damaged[#damaged + 1] = message
    else
      local known = by_name[record.name]
      if not known or record.started >= known.started then by_name[record.name] = record end
    end
  end
  for _, name in ipairs(sorted_keys(by_name)) do list[#list + 1] = by_name[name] end
  return list, damaged
end

--- The page of a folder of runs.
-- @tparam string out the folder
-- @tparam ?string title
-- @treturn ?string HTML; nil where the folder holds no run
-- @treturn int|string how many runs it shows; or the message
function M.page(out, title)
  local list, damaged = newest_runs(out)
  if #list == 0 then
    return nil, damaged[1] or ("%s: holds no run of an experiment"):format(out)
  end
  title = title or "Experiments"
  local common = records.common_images(list)
  local body = {h.h1{title}, lead(list, common), contents(list)}
  for _, message in ipairs(damaged) do body[#body + 1] = h.p{class = "note", "Left out: " .. message} end
  for _, record in ipairs(list) do body[#body + 1] = section(record, common) end
  body[#body + 1] = machines(list)
  body[#body + 1] = h.p{class = "foot", ("Made by latent %s from %s, "):format(lt._VERSION:match "%S+$", out),
    h.time{os.date "!%Y-%m-%d %H:%M UTC"}, "."}
  return html.page(title, body), #list
end

--- `latent report [folder] [--title TEXT]`: writes the page to folder/report.html.
-- @tparam {string,...} words
-- @treturn int the exit status
function M.main(words)
  local out, title, i = nil, nil, 1
  local function fail(message)
    io.stderr:write("latent: ", message, "\n")
    return 1
  end
  while words[i] do
    if words[i] == "" then
      return fail "report: expected a folder of runs, got an empty name"
    elseif words[i] == "--title" and words[i + 1] then
      title, i = words[i + 1], i + 1
    elseif words[i]:find "^%-" or out then
      return fail(("report: expected a folder of runs and --title TEXT, got %s"):format(words[i]))
    else
      out = words[i]
    end
    i = i + 1
  end
  out = out or "runs"
  local page, count = M.page(out, title)
  if not page then
    local below = files.join(out, "demo")
    return fail(count .. (files.is_dir(below) and (" (there is %s)"):format(below) or ""))
  end
  local path = files.join(out, "report.html")
  local ok, message = files.write_atomic(path, page)
  if not ok then return fail(message) end
  print(("%s: %d script%s, %.2f MB"):format(path, count, count == 1 and "" or "s", #page / 1e6))
  return 0
end

return M
