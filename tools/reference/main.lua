-- Writes the reference as HTML: a page for each public module, class and chapter, made of the same comments as help and
-- annotations, and an index that a page can be searched by. `make docs` calls it: tools/reference/main.lua FOLDER
-- Each page is put together as Markdown and made HTML by cmark-gfm (github.com/github/cmark-gfm).
local api = require "tools.api"
local explorer = require "latent.explorer.command"
local files = require "latent.base.files"
local html = require "latent.experiment.html"
local json = require "latent.json"
local options = require "latent.base.options"
local page_of = require "latent.explorer.page"
local weights = require "latent.explorer.weights"

local folder = assert(arg[1], "usage: tools/reference/main.lua FOLDER")
local model = api.read()
local index = {} -- of the search: {name, address, sentence, words}

-- ---- text ----

-- What is plain text in Markdown and in HTML alike.
local function escape(text)
  return (text:gsub("[][*_\\<>@\"'&~|$#()!`]", function(c) return ("&#%d;"):format(c:byte()) end))
end

local function code(text) return "<code>" .. escape(text) .. "</code>" end

-- Comments are plain text with `code`.
local function marked(text)
  local parts, place = {}, 1
  for before, inside, after in text:gmatch "()`([^`]*)`()" do
    parts[#parts + 1] = escape(text:sub(place, before - 1)) .. code(inside)
    place = after
  end
  return table.concat(parts) .. escape(text:sub(place))
end

local function add(page, ...)
  for _, line in ipairs{...} do page.lines[#page.lines + 1] = line end
end

local function example(page, text) add(page, "", "```lua", text, "```", "") end

-- The text of a comment; its indented lines are examples.
local function body(page, text)
  local block = {}
  local function flush()
    while block[#block] == "" do table.remove(block) end
    local least = math.huge
    for _, line in ipairs(block) do least = line ~= "" and math.min(least, #line:match "^ *") or least end
    for i, line in ipairs(block) do block[i] = line:sub(least + 1) end
    if #block > 0 then example(page, table.concat(block, "\n")) end
    block = {}
  end
  for line in (text .. "\n"):gmatch "(.-)\n" do
    if line:find "^%s%s%s" and not line:find "^%s+%- " or line == "" and #block > 0 then
      block[#block + 1] = line
    else
      flush()
      add(page, marked(line), "")
    end
  end
  flush()
  add(page, "")
end

local function sentence(text)
  text = text:gsub("%s+", " ")
  return text:match "^(.-[.:;]) " or text
end

-- Takes up an entry for the search; what its options say is found too.
local function note(name, address, text, rows)
  local words = {(text:gsub("%s+", " "))}
  for _, row in ipairs(rows or {}) do words[#words + 1] = row.name .. " " .. row.text end
  index[#index + 1] = json.array{name, address, sentence(text), table.concat(words, " "):lower()}
end

-- ---- pages ----

local CHAPTERS = {["README.md"] = "README", ["c/simd/README.md"] = "kernels"}

local function chapter_name(path) return CHAPTERS[path] or path:match "([^/]+)%.md$" end

local chapters = {}
for path in assert(files.capture "ls README.md docs/*.md c/simd/README.md 2>/dev/null; true"):gmatch "[^\n]+" do
  chapters[#chapters + 1] = {path = path, name = chapter_name(path)}
end

local function address_of(name) return name .. ".html" end
local function class_address(class) return address_of("class." .. class.name) end

local function links(heading, list)
  local h, items = html.tag, {}
  for i, item in ipairs(list) do items[i] = h.li{h.a{href = item[2], item[1]}} end
  return tostring(h.h2{heading}) .. tostring(h.ul(items))
end

local function navigation()
  local modules, classes, texts = {}, {}, {}
  for i, module in ipairs(model.modules) do modules[i] = {module.name, address_of(module.name)} end
  for i, class in ipairs(model.classes) do classes[i] = {class.name, class_address(class)} end
  for i, chapter in ipairs(chapters) do texts[i] = {chapter.name, address_of(chapter.name)} end
  return links("Chapters", texts) .. links("Modules", modules) .. links("Classes", classes)
end
local NAVIGATION = navigation()

-- Markdown as HTML; raw HTML in it stays.
local function rendered(markdown)
  local path = files.join(folder, "page.md")
  assert(files.write_atomic(path, markdown))
  local text = assert(files.capture("cmark-gfm --unsafe -e table -e autolink " .. files.quote(path)))
  os.remove(path)
  return text
end

local PAGE = [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s - latent</title><link rel="stylesheet" href="style.css"></head>
<body><nav><a class="home" href="README.html">latent</a>
<input id="search" type="search" placeholder="Search (/)" aria-label="Search"><ul id="found"></ul>
%s</nav>
<main>
%s</main>
<script src="index.js"></script><script src="search.js"></script>%s</body></html>
]]

local function write(address, title, content, scripts)
  assert(files.write_atomic(files.join(folder, address), PAGE:format(html.escape(title), NAVIGATION, content,
    scripts or "")))
end

-- ---- entries ----

-- Types lead to the pages of their classes.
local function type_text(text)
  local parts, place = {}, 1
  for first, word, after in text:gmatch "()([%a_][%w_]*)()" do
    local class = model.classes[word]
    parts[#parts + 1] = escape(text:sub(place, first - 1))
    parts[#parts + 1] = class and ('<a href="%s">%s</a>'):format(class_address(class), word) or escape(word)
    place = after
  end
  return "<span class=\"type\">" .. table.concat(parts) .. escape(text:sub(place)) .. "</span>"
end

local function item_line(item, head)
  local kind = item.type and type_text(item.type) .. (item.optional and ", optional" or "") or ""
  return ("- %s %s %s"):format(head, kind, marked(item.text))
end

local function items(page, entry, kind, heading, optional)
  local list = api.described(entry, kind)
  if #list == 0 then return end
  add(page, "", heading, "")
  for _, item in ipairs(list) do
    if optional and item.optional then item.type, item.optional = (item.type or "") .. optional, nil end
    add(page, item_line(item, item.name and code(item.name) or ""))
    for _, row in ipairs(item.options or {}) do
      local head, text = options.said(row)
      add(page, ("  - %s%s %s"):format(code(head), row.required and " needed;" or "", marked(text)))
    end
  end
  add(page, "")
end

local function add_function(page, entry, name)
  local signature = ("%s(%s)"):format(name, table.concat(api.parameter_names(entry), ", "))
  add(page, "", ('<h3 id="%s"><code>%s</code></h3>'):format(html.escape(name), html.escape(signature)), "")
  local text = entry.tags[1][2]
  note(name, page.address .. "#" .. name, text, entry.options)
  body(page, text)
  items(page, entry, "param", "Takes")
  items(page, entry, "return", "Returns", " or nil")
  for _, tag in ipairs(entry.tags) do
    if tag[1] == "raise" then add(page, "", "Raises " .. marked(tag[2]), "") end
    if tag[1] == "usage" then example(page, tag[2]) end
  end
end

local function section(page, heading, list, owner)
  if #list == 0 then return end
  add(page, "", "## " .. heading, "")
  for _, entry in ipairs(list) do add_function(page, entry, owner .. entry.field) end
end

-- The entries that are no ops, and the ops.
local function parted(list)
  local own, ops = {}, {}
  for _, entry in ipairs(list) do table.insert(entry.op and ops or own, entry) end
  return own, ops
end

local function write_module(module)
  local page = {address = address_of(module.name), lines = {"# " .. module.name, ""}}
  local text = module.entry.tags[1][2]
  note(module.name, page.address, text)
  body(page, text)
  for _, tag in ipairs(module.entry.tags) do
    if tag[1] == "usage" then example(page, tag[2]) end
  end
  if #module.values > 0 then add(page, "", "## Fields", "") end
  for _, entry in ipairs(module.values) do
    local name = module.prefix .. "." .. entry.field
    note(name, page.address .. "#" .. name, entry.tags[1][2])
    add(page, ('- <code id="%s">%s</code> %s'):format(html.escape(name), escape(name), marked(entry.tags[1][2])))
  end
  local own, ops = parted(module.functions)
  section(page, "Functions", own, module.prefix .. ".")
  section(page, "Ops: functions, and methods of tensors", ops, module.prefix .. ".")
  write(page.address, module.name, rendered(table.concat(page.lines, "\n")))
end

local function write_class(class)
  local page = {address = class_address(class), lines = {"# " .. class.name, ""}}
  note(class.name, page.address, class.entry.tags[1][2])
  body(page, class.entry.tags[1][2])
  items(page, class.entry, "field", "Fields")
  local own, ops = parted(class.methods)
  section(page, "Methods", own, class.name .. ":")
  section(page, "Ops", ops, class.name .. ":")
  write(page.address, class.name, rendered(table.concat(page.lines, "\n")))
end

-- ---- chapters ----

-- "docs" and "../README.md" as "README.md"
local function normal(base, target)
  local path = base == "." and target or base .. "/" .. target
  local before
  repeat before, path = path, path:gsub("[^/.]+/%.%./", "", 1) until path == before
  return path
end

-- A link to a chapter leads to its page, one to a file of the sources up to them.
local function relink(text, path)
  return (text:gsub("%]%(([^)#:]+)(#?[^)]*)%)", function(target, place)
    if not place:find "^#" and place ~= "" then return nil end -- "https" of an address
    local goal = normal(files.dirname(path), target)
    for _, chapter in ipairs(chapters) do
      if chapter.path == goal then return ("](%s%s)"):format(address_of(chapter.name), place) end
    end
    return ("](../../%s%s)"):format(goal, place)
  end))
end

-- Headings get the names that they have on the forges: "#how-it-is-laid-out".
local function anchored(content, address)
  return (content:gsub("<h([1-6])>(.-)</h%1>", function(level, inside)
    local plain = inside:gsub("<[^>]*>", "")
    local id = plain:gsub("&%w+;", ""):lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")
    note(plain:gsub("&amp;", "&"):gsub("&quot;", '"'):gsub("&lt;", "<"):gsub("&gt;", ">"), address .. "#" .. id, plain)
    return ('<h%s id="%s">%s</h%s>'):format(level, id, inside, level)
  end))
end

local function write_chapter(chapter)
  local text = relink(assert(files.read_all(chapter.path)), chapter.path)
  local address = address_of(chapter.name)
  local content = anchored(rendered(text), address)
  -- The pieces of a chapter can be run on its page.
  write(address, chapter.name, content, content:find "language%-lua" and '<script src="run.js"></script>')
end

-- ---- all ----

assert(files.mkdir_p(folder))
for _, chapter in ipairs(chapters) do write_chapter(chapter) end
for _, module in ipairs(model.modules) do write_module(module) end
for _, class in ipairs(model.classes) do write_class(class) end
assert(files.write_atomic(files.join(folder, "index.html"), [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=README.html">
<title>latent</title></head><body><a href="README.html">latent</a></body></html>
]]))
assert(files.write_atomic(files.join(folder, "index.js"), "const INDEX = " .. json.encode(json.array(index)) .. ";\n"))
local where = explorer.places()
local shipped = assert(weights.choose({}, {runs = folder, shipped = files.join(where.exercises, "weights"),
  new_model = explorer.models(where)}))
local laboratory, charts = page_of.laboratory(shipped, where)
assert(files.write_atomic(files.join(folder, "laboratory.js"), laboratory))
for _, name in ipairs{"style.css", "search.js", "run.js"} do
  local text = assert(files.read_all("tools/reference/" .. name))
  assert(files.write_atomic(files.join(folder, name), name == "style.css" and text .. charts or text))
end
