-- Writes annotations for editors that speak with the Lua language server, out of the same comments as the reference:
-- a file of `---@meta` for each public module. tools/annotations.lua FOLDER; `make install` calls it.
local api = require "tools.api"
local files = require "latent.base.files"
local options = require "latent.base.options"

local folder = assert(arg[1], "usage: tools/annotations.lua FOLDER")
local model = api.read()

-- ---- types ----

local WORDS = {int = "integer", ["function"] = "function", table = "table", ["..."] = "any"}
local OPERATORS = {"add", "sub", "mul", "div"}
-- What a class is besides its fields: its base, and what calling or indexing it gives.
local BASES = {Subset = "Set", Squared = "Module", Gaussian = "Module", Bernoulli = "Module",
  Likelihood = "Module"}
local CALLS = {Module = "fun(...: any): any", Loader = "fun(): table"}

-- Sizes and axes may be written without braces.
local LOOSE = {
  ["lt.zeros"] = "fun(...: integer): latent.Tensor", ["lt.ones"] = "fun(...: integer): latent.Tensor",
  ["lt.rand"] = "fun(...: integer|latent.lt.rand.opts): latent.Tensor",
  ["lt.randn"] = "fun(...: integer|latent.lt.randn.opts): latent.Tensor",
  ["lt.reshape"] = "fun(x: latent.Tensor, ...: integer): latent.Tensor",
  ["lt.permute"] = "fun(x: latent.Tensor, ...: integer): latent.Tensor",
  ["Tensor:reshape"] = "fun(self: latent.Tensor, ...: integer): latent.Tensor",
  ["Tensor:permute"] = "fun(self: latent.Tensor, ...: integer): latent.Tensor",
}

-- The parts of a text between separators outside of braces.
local function split(text, separator)
  local parts, depth, first = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    depth = depth + (c:find "[{%[]" and 1 or c:find "[}%]]" and -1 or 0)
    if c == separator and depth == 0 then
      parts[#parts + 1] = text:sub(first, i - 1)
      first = i + 1
    end
  end
  parts[#parts + 1] = text:sub(first)
  return parts
end

-- "{int,...}|Tensor" as "integer[]|latent.Tensor"
local function type_of(text)
  local alternatives = split(text, "|")
  if #alternatives > 1 then
    for i, part in ipairs(alternatives) do alternatives[i] = type_of(part) end
    return table.concat(alternatives, "|")
  end
  local key, value = text:match "^{%[(.-)%]=(.+)}$"
  if key then return ("table<%s, %s>"):format(type_of(key), type_of(value)) end
  local inside = text:match "^{(.*)}$"
  if not inside then return model.classes[text] and "latent." .. text or WORDS[text] or text end
  local parts = split(inside, ",")
  if parts[#parts] == "..." then
    local element = type_of(parts[1])
    return (element:find "[|]" and "(" .. element .. ")" or element) .. "[]"
  end
  for i, part in ipairs(parts) do parts[i] = ("[%d]: %s"):format(i, type_of(part)) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- ---- entries ----

local function comment(lines, text)
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = ("--- " .. line):gsub("%s+$", "") end
end

local function one_line(text) return (text:gsub("%s+", " ")) end

-- An options table is a class of its own, written before the function that takes it.
local function options_class(lines, entry, item)
  if not item.options then return nil end
  local class = ("latent.%s.%s"):format(entry.name:gsub(":", "."), item.name)
  lines[#lines + 1] = "---@class " .. class
  for _, row in ipairs(item.options) do
    local head, text = options.said(row)
    local default = head ~= row.name and "default" .. head:sub(#row.name + 3) .. (text ~= "" and "; " or "") or ""
    lines[#lines + 1] = ("---@field %s%s %s %s"):format(row.name, row.required and "" or "?", type_of(row.kind.type),
      one_line(default .. text)):gsub("%s+$", "")
  end
  lines[#lines + 1] = ""
  return class
end

-- The parameters of an op may be given by name, in a table behind its tensors.
local function op_class(lines, entry)
  local params = entry.op.params
  if #params == 0 or entry.is_method then return end
  lines[#lines + 1] = ("---@class latent.%s.opts"):format(entry.op.name)
  for _, item in ipairs(api.described(entry, "param")) do
    for _, param in ipairs(params) do
      if param.name == item.name then
        lines[#lines + 1] = ("---@field %s%s %s%s"):format(item.name, param.required and "" or "?",
          type_of(item.type), " " .. item.text)
      end
    end
  end
  lines[#lines + 1] = ""
end

local function op_overload(lines, entry, owner)
  if #entry.op.params == 0 then return end
  local taken, named = {}, {}
  for _, param in ipairs(entry.op.params) do named[param.name] = true end
  if owner then taken[1] = "self: latent." .. owner end
  for _, item in ipairs(api.described(entry, "param")) do
    if not named[item.name] then
      taken[#taken + 1] = ("%s%s: %s"):format(item.name, item.optional and "?" or "", type_of(item.type))
    end
  end
  lines[#lines + 1] = ("---@overload fun(%s, opts?: latent.%s.opts): latent.Tensor"):format(
    table.concat(taken, ", "), entry.op.name)
end

local function add_function(lines, entry, name, owner)
  local types = {}
  for i, item in ipairs(api.described(entry, "param")) do
    types[i] = not entry.op and item.type and options_class(lines, entry, item) or item.type and type_of(item.type)
  end
  if entry.op then op_class(lines, entry) end
  comment(lines, entry.tags[1][2])
  for i, item in ipairs(api.described(entry, "param")) do
    lines[#lines + 1] = ("---@param %s%s %s %s"):format(item.name, item.optional and item.name ~= "..." and "?" or "",
      types[i] or "any", one_line(item.text)):gsub("%s+$", "")
  end
  for _, item in ipairs(api.described(entry, "return")) do
    local kind = item.type and type_of(item.type) or "any"
    lines[#lines + 1] = ("---@return %s%s # %s"):format(kind:find "|" and item.optional and "(" .. kind .. ")" or kind,
      item.optional and "?" or "", one_line(item.text)):gsub("[%s#]+$", "")
  end
  if entry.op then op_overload(lines, entry, owner) end
  if LOOSE[entry.name] then lines[#lines + 1] = "---@overload " .. LOOSE[entry.name] end
  lines[#lines + 1] = ("function %s(%s) end\n"):format(name, table.concat(api.parameter_names(entry), ", "))
end

local function add_class(lines, class)
  comment(lines, class.entry.tags[1][2])
  lines[#lines + 1] = ("---@class latent.%s%s"):format(class.name,
    BASES[class.name] and ": latent." .. BASES[class.name] or "")
  for _, item in ipairs(api.described(class.entry, "field")) do
    lines[#lines + 1] = ("---@field %s%s %s %s"):format(item.name, item.optional and "?" or "",
      type_of(item.type), one_line(item.text)):gsub("%s+$", "")
  end
  if class.name == "Tensor" then
    lines[#lines + 1] = "---@field [integer] latent.Tensor|number"
    for _, operator in ipairs(OPERATORS) do
      lines[#lines + 1] = ("---@operator %s(latent.Tensor|number): latent.Tensor"):format(operator)
    end
    lines[#lines + 1] = "---@operator pow(number): latent.Tensor\n---@operator unm: latent.Tensor"
    lines[#lines + 1] = "---@operator len: integer"
  elseif class.name == "Module" then
    lines[#lines + 1] = "---@field [any] any"
  end
  if CALLS[class.name] then lines[#lines + 1] = "---@overload " .. CALLS[class.name] end
  lines[#lines + 1] = ("local %s = {}\n"):format(class.name)
  for _, entry in ipairs(class.methods) do
    add_function(lines, entry, ("%s:%s"):format(class.name, entry.field), class.name)
  end
end

-- A module that a module hands on, such as optim.schedule, is named by its comment.
local function value_type(entry)
  local module = entry.tags[1][2]:match "^The module (latent[%w_.]*)"
  if module then return module .. ".module" end
  local value = require(entry.module)[entry.field]
  return type(value) == "table" and "table" or type(value)
end

local function write_module(module)
  local lines = {"---@meta " .. module.name, ""}
  for _, class in ipairs(model.classes) do
    if class.module == module then add_class(lines, class) end
  end
  comment(lines, module.entry.tags[1][2])
  lines[#lines + 1] = ("---@class %s.module"):format(module.name)
  for _, entry in ipairs(module.values) do
    lines[#lines + 1] = ("---@field %s %s %s"):format(entry.field, value_type(entry), one_line(entry.tags[1][2]))
  end
  lines[#lines + 1] = ("local %s = {}\n"):format(module.prefix)
  for _, entry in ipairs(module.functions) do
    add_function(lines, entry, module.prefix .. "." .. entry.field)
  end
  lines[#lines + 1] = ("return %s\n"):format(module.prefix)
  local path = files.join(folder, (module.name:gsub("%.", "/")) .. ".lua")
  assert(files.mkdir_p(files.dirname(path)))
  assert(files.write_atomic(path, table.concat(lines, "\n")))
end

for _, module in ipairs(model.modules) do write_module(module) end
