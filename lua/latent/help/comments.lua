--- Reads the documentation comments of the library's own source files.
-- @module latent.help.comments
local files = require "latent.base.files"

local M = {}

-- What stands before the names of a module's functions.
local PREFIX = {["latent"] = "lt", ["latent.help.reference"] = "lt", ["latent.nn.initial"] = "init"}
for _, family in ipairs{"layers", "convolution", "pooling", "normalization", "activations", "recurrent",
  "attention", "losses", "reparameterize"} do
  PREFIX["latent.nn." .. family] = "nn"
end

--- What stands before the names of a module's functions: "nn" for latent.nn.
-- @tparam string name of a module
-- @treturn string
function M.prefix_of(name) return PREFIX[name] or (name:gsub("^latent%.", "")) end

-- The tags of a comment: {{"tparam", "int n the count"}, ...}; the text before them comes first, as "text".
local function parse_tags(lines)
  local tags = {{"text", ""}}
  for _, line in ipairs(lines) do
    local tag, rest = line:match "^%s*@(%w+)%s*(.*)$"
    if tag then
      local modifier = line:match "^%s*@%w+(%b[])"
      tags[#tags + 1] = {tag, modifier and rest:sub(#modifier + 1):gsub("^%s+", "") or rest,
        optional = modifier and modifier:find "opt" ~= nil or nil}
    else
      local last = tags[#tags]
      -- An indented line of the text is an example and keeps its place.
      local join = (last[1] == "usage" or line:find "^%s%s%s" or line == "") and "\n" or " "
      if last[1] ~= "text" then join, line = last[1] == "usage" and "\n" or " ", line:gsub("^%s+", "") end
      last[2] = last[2] == "" and line or last[2] .. join .. line:gsub(join == " " and "^%s+" or "^$", "")
    end
  end
  return tags
end

-- The name that a line of code defines, and its parameters; nil for what is local or no definition.
local function defined(line)
  local name, parameters = line:match "^%s*function ([%w_.:]+)(%b())"
  if name then return name, parameters end
  return line:match "^%s*([%w_]+%.[%w_.]+) =", nil
end

local function find_tag(tags, wanted)
  for _, tag in ipairs(tags) do
    if tag[1] == wanted then return tag[2] end
  end
end

-- "data.Loader:next" from what a line or @function says; fields of M and of the face's tables are the module's,
-- and a class belongs to the module whose folder its file is in.
local function public_name(prefix, name)
  local owner, separator, field = name:match "^([%w_]+)([.:])(.+)$"
  if not owner then return prefix .. "." .. name end
  if owner == "M" then return prefix .. "." .. field end
  if owner == "lt" or owner == "nn" then return name end
  if owner == "methods" or owner == "Tensor" then return "Tensor:" .. field end
  return ("%s.%s%s%s"):format(prefix:match "^[^.]+", owner, separator, field)
end

local function entry_of(comment, code, module)
  local tags = parse_tags(comment)
  local named = find_tag(tags, "function")
  local name, parameters = defined(code)
  if find_tag(tags, "module") then
    return {module = find_tag(tags, "module"), tags = tags, is_module = true}
  end
  local class = find_tag(tags, "type")
  if class then return {module = module, name = class, is_class = true, tags = tags} end
  if not named and (not name or find_tag(tags, "local")) then return nil end
  local entry = {module = module, name = named or name, parameters = not named and parameters or nil, tags = tags}
  entry.is_value = not named and not parameters and not find_tag(tags, "tparam") and not find_tag(tags, "treturn")
  return entry
end

local function add(entries, entry)
  local prefix = M.prefix_of(entry.module)
  if entry.is_module then
    -- Several files may make up one module; the one of its own name speaks for it.
    if not PREFIX[entry.module] or entry.module == "latent" or entry.module == "latent.nn.initial" then
      entry.name = prefix
      entries[#entries + 1] = entry
    end
    return
  end
  entry.field = entry.name:match "[^.:]+$"
  if entry.is_class then
    entry.name = entry.name == "Tensor" and "Tensor" or prefix:match "^[^.]+" .. "." .. entry.name
  else
    -- A method without use for its object is written with a dot and an underscore.
    local bare = entry.parameters and entry.parameters:match "^%(_,?%s*(.*)$"
    if entry.name:find "^%u%w+%." and entry.parameters == "()" then bare = entry.name:sub(1, 2) ~= "M." and ")" end
    if bare then entry.name, entry.parameters = entry.name:gsub("%.([%w_]+)$", ":%1"), "(" .. bare end
    entry.is_method = entry.name:find ":" ~= nil or nil
    entry.name = public_name(prefix, entry.name)
  end
  entries[#entries + 1] = entry
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

--- The documented names of one file.
-- @tparam string text of the file
-- @tparam {table,...} entries to which they are added: {name, module, field, parameters, tags, is_module}
function M.read(text, entries)
  local lines, i, module = lines_of(text), 1, "latent"
  while i <= #lines do
    local first = lines[i]:match "^%s*%-%-%-%s?([^-].*)$"
    i = i + 1
    if first then
      local comment = {first}
      while lines[i] and lines[i]:find "^%s*%-%-" and not lines[i]:find "^%s*%-%-%-" do
        comment[#comment + 1] = lines[i]:match "^%s*%-%-%s?(.*)$"
        i = i + 1
      end
      local entry = entry_of(comment, lines[i] or "", module)
      if entry then
        module = entry.module
        add(entries, entry)
      end
    end
  end
end

-- "{string,...} list the rest" as type and rest: a type ends at the first space outside of braces.
local function split_type(text)
  local depth = 0
  for i = 1, #text do
    local c = text:sub(i, i)
    depth = depth + (c == "{" and 1 or c == "}" and -1 or 0)
    if c == " " and depth == 0 then return text:sub(1, i - 1), text:sub(i + 1):gsub("^%s+", "") end
  end
  return text, ""
end

--- What a comment says of parameters, results or fields.
-- @tparam table entry of `read`
-- @tparam string kind "param", "return" or "field"
-- @treturn {table,...} each {type (nil where none is given), optional, name (not of results), text}; an options table
-- also `options`, its declaration
function M.described(entry, kind)
  local list = {}
  for _, tag in ipairs(entry.tags) do
    local typed = tag[1] == "t" .. kind
    if typed or tag[1] == kind then
      local item = {text = tag[2], optional = tag.optional}
      if typed then
        item.type, item.text = split_type(tag[2])
        if item.type:sub(1, 1) == "?" then item.type, item.optional = item.type:sub(2), true end
      end
      if kind ~= "return" then item.name, item.text = item.text:match "^([%w_.]+)%s*(.*)$" end
      if kind == "return" or item.name then list[#list + 1] = item end
    end
  end
  for i = #list, entry.options and kind == "param" and 1 or #list + 1, -1 do
    if list[i].type == "table" then
      list[i].options = entry.options
      break
    end
  end
  return list
end

--- The names of a function's parameters: those of its definition, else those of its comment.
-- @tparam table entry of `read`
-- @treturn {string,...}
function M.parameter_names(entry)
  local names = {}
  if entry.parameters then
    for name in entry.parameters:gmatch "[%w_.]+" do names[#names + 1] = name end
  else
    for i, item in ipairs(M.described(entry, "param")) do names[i] = item.name end
  end
  return names
end

--- The library's source files.
-- @treturn {string,...} paths; none where the shell is of no help
function M.sources()
  local main = package.searchpath("latent", package.path)
  if not main then return {} end
  local listing = files.capture("find " .. files.quote(files.dirname(main)) .. " -name '*.lua' 2>/dev/null") or ""
  local list = {}
  for path in listing:gmatch "[^\n]+" do list[#list + 1] = path end
  table.sort(list)
  return list
end

return M
