-- Writes what LDoc reads: for each public module and class a Lua file of comments alone, sorted and under the names
-- that users know, and the chapters, with links that fit. `make docs` calls it: tools/reference.lua FOLDER
local api = require "tools.api"
local files = require "latent.base.files"

local folder = assert(arg[1], "usage: tools/reference.lua FOLDER")
local model = api.read()

-- ---- text ----

-- Comments are plain text with `code`; LDoc takes Markdown.
local function escape(text)
  text = text:gsub("[*_\\<>@\"'^~|$#]", function(c) return ("&#%d;"):format(c:byte()) end)
  return (text:gsub("%.%.%.", "&#46;&#46;&#46;"))
end

local function code(text)
  return "<code>" .. text:gsub("%p", function(c) return ("&#%d;"):format(c:byte()) end) .. "</code>"
end

local function marked(text)
  local parts, place = {}, 1
  for before, inside, after in text:gmatch "()`([^`]*)`()" do
    parts[#parts + 1] = escape(text:sub(place, before - 1)) .. code(inside)
    place = after
  end
  return table.concat(parts) .. escape(text:sub(place))
end

-- Indented lines are examples and stay as they are.
local function body(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    lines[#lines + 1] = line:find "^%s%s%s" and "-- " .. line or line == "" and "--" or "-- " .. marked(line)
  end
  return (table.concat(lines, "\n"):gsub("^%-%- ?", "--- ", 1))
end

-- ---- entries ----

local function item_line(tag, item)
  local kind = item.type and "@t" .. tag or "@" .. tag
  local optional = item.optional and tag == "param" and "[opt]" or ""
  local type_text = item.type and item.type .. " " or ""
  if item.optional and tag == "return" then type_text = "?" .. type_text end
  return ("-- %s%s %s%s"):format(kind, optional, type_text, (item.name and item.name .. " " or "") .. marked(item.text))
end

local function tags(lines, entry)
  for _, kind in ipairs{"param", "return"} do
    for _, item in ipairs(api.described(entry, kind)) do lines[#lines + 1] = item_line(kind, item) end
  end
  for _, tag in ipairs(entry.tags) do
    if tag[1] == "raise" then lines[#lines + 1] = "-- @raise " .. marked(tag[2]) end
    if tag[1] == "usage" then lines[#lines + 1] = "-- @usage " .. tag[2]:gsub("\n", "\n-- ") end
  end
end

local function add_function(lines, entry, owner)
  lines[#lines + 1] = body(entry.tags[1][2])
  tags(lines, entry)
  local names = table.concat(api.parameter_names(entry), ", ")
  lines[#lines + 1] = ("function %s%s(%s) end\n"):format(owner, entry.field, names)
end

local function section(lines, name, title) lines[#lines + 1] = ("--- %s\n-- @section %s\n"):format(title, name) end

-- Fields of a class or of the model of one, as a list in its text.
local function add_fields(lines, entry)
  local fields = api.described(entry, "field")
  if #fields == 0 then return end
  lines[#lines + 1] = "--\n-- Fields:\n--"
  for _, item in ipairs(fields) do
    local kind = (item.type or "") .. (item.optional and ", may be nil" or "")
    lines[#lines + 1] = ("-- * %s (%s) %s"):format(code(item.name), escape(kind), marked(item.text))
  end
end

local function write(name, lines)
  lines[#lines + 1] = "return {}\n"
  assert(files.write_atomic(files.join(folder, name .. ".lua"), table.concat(lines, "\n")))
end

local function write_module(module)
  local lines = {body(module.entry.tags[1][2])}
  for _, tag in ipairs(module.entry.tags) do
    if tag[1] == "usage" then lines[#lines + 1] = "-- @usage " .. tag[2]:gsub("\n", "\n-- ") end
  end
  lines[#lines + 1] = ("-- @module %s\nlocal %s = {}\n"):format(module.name, module.prefix)
  if #module.values > 0 then section(lines, "values", "Fields") end
  for _, entry in ipairs(module.values) do
    lines[#lines + 1] = ("%s\n%s.%s = nil\n"):format(body(entry.tags[1][2]), module.prefix, entry.field)
  end
  section(lines, "functions", "Functions")
  for _, entry in ipairs(module.functions) do
    if not entry.op then add_function(lines, entry, module.prefix .. ".") end
  end
  if module.name == "latent" then
    section(lines, "ops", "Ops: functions, and methods of tensors")
    for _, entry in ipairs(module.functions) do
      if entry.op then add_function(lines, entry, module.prefix .. ".") end
    end
  end
  write(module.name, lines)
end

local function write_class(class)
  local lines = {body(class.entry.tags[1][2])}
  add_fields(lines, class.entry)
  lines[#lines + 1] = ("-- @classmod %s\nlocal %s = {}\n"):format(class.name, class.name)
  section(lines, "methods", "Methods")
  for _, entry in ipairs(class.methods) do
    if not entry.op then add_function(lines, entry, class.name .. ":") end
  end
  if class.name == "Tensor" then
    section(lines, "ops", "Ops")
    for _, entry in ipairs(class.methods) do
      if entry.op then add_function(lines, entry, class.name .. ":") end
    end
  end
  write(class.name, lines)
end

-- ---- chapters ----

local CHAPTERS = {["README.md"] = "README", ["c/simd/README.md"] = "kernels"}

local function chapter_name(path) return CHAPTERS[path] or path:match "([^/]+)%.md$" end

-- "docs" and "../README.md" as "README.md"
local function normal(base, target)
  local path = base == "." and target or base .. "/" .. target
  local before
  repeat before, path = path, path:gsub("[^/.]+/%.%./", "", 1) until path == before
  return path
end

-- A link to a chapter leads to its page, one to a file of the sources up to them.
local function relink(text, path)
  return (text:gsub("%]%(([^)#:]+)%)", function(target)
    local goal = normal(files.dirname(path), target)
    return goal:find "%.md$" and ("](%s.md.html)"):format(chapter_name(goal)) or ("](../../../%s)"):format(goal)
  end))
end

local function write_chapters()
  assert(files.mkdir_p(files.join(folder, "topics")))
  local list = assert(files.capture "ls README.md docs/*.md c/simd/README.md 2>/dev/null; true")
  for path in list:gmatch "[^\n]+" do
    local text = relink(assert(files.read_all(path)), path)
    assert(files.write_atomic(files.join(folder, "topics", chapter_name(path) .. ".md"), text))
  end
end

assert(files.mkdir_p(folder))
for _, module in ipairs(model.modules) do write_module(module) end
for _, class in ipairs(model.classes) do write_class(class) end
write_chapters()
