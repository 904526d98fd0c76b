--- What the library's functions do, as text: from the table of ops and the comments of the installed sources.
-- @module latent.help
local comments = require "latent.help.comments"
local core = require "latent.core"
local guard = require "latent.tools.guard"
local indexing = require "latent.help.index"
local search = require "latent.help.search"
local options = require "latent.base.options"
require "latent" -- a core has its home, and errors the user's line

local M = {}

local WIDTH = 92
-- Short names come from the first of these that has them.
local ORDER = {"lt", "nn", "optim", "data", "plot", "schedule"}

-- ---- texts ----

local function wrap(text, indent)
  local lines = {}
  for paragraph in (text .. "\n"):gmatch "(.-)\n" do
    if paragraph:find "^%s%s%s" then
      lines[#lines + 1] = indent .. paragraph
    else
      local line = ""
      for word in paragraph:gmatch "%S+" do
        if line ~= "" and #line + #word + #indent >= WIDTH then
          lines[#lines + 1] = indent .. line
          line = ""
        end
        line = line == "" and word or line .. " " .. word
      end
      lines[#lines + 1] = line == "" and "" or indent .. line
    end
  end
  return table.concat(lines, "\n")
end

local function default_text(param)
  if param.choices then return '"' .. param.choices[param.default // 1 + 1] .. '"' end
  if param.kind == "bool" then return tostring(param.default ~= 0) end
  return core.plainly(string.format, "%g", param.default or 0)
end

local function op_signature(op)
  local words = {}
  for i, input in ipairs(op.inputs) do words[i] = input end
  local named = {}
  for _, param in ipairs(op.params) do
    if param.required or param.default == nil or param.kind == "axes" or param.kind == "ints"
      or (param.kind == "axis" and param.default == 0) then
      named[#named + 1] = param.name
    else
      named[#named + 1] = ("%s = %s"):format(param.name, default_text(param))
    end
  end
  if #named > 0 then words[#words + 1] = "{" .. table.concat(named, ", ") .. "}" end
  return ("lt.%s(%s)"):format(op.name, table.concat(words, ", "))
end

local function op_text(op)
  local lines = {op_signature(op), "", wrap(op.doc, "  "), ""}
  local notes = {}
  if not op.inputs[1]:find "%*" then notes[1] = ("Also a method: x:%s(...)."):format(op.name) end
  if #op.params > 0 then notes[#notes + 1] = "What stands in braces may also be given in its order, without names." end
  if op.elementwise then notes[#notes + 1] = ("In place: x:%s_(...)."):format(op.name) end
  if not op.differentiable then notes[#notes + 1] = "No gradient goes through it." end
  lines[#lines + 1] = wrap(table.concat(notes, " "), "  ")
  return table.concat(lines, "\n")
end

-- A line of a parameter or result, its text to the right of its name.
local function labelled(label, text)
  local lines = wrap(text, (" "):rep(14))
  return ("  %-11s %s"):format(label, (lines:gsub("^%s+", "")))
end

-- The lines of parameters, fields or results: name, type, text.
local function described(lines, entry, kind)
  for _, item in ipairs(comments.described(entry, kind)) do
    local head = (item.type or "") .. (item.optional and ", optional" or "")
    head = head:gsub("^, ", "") .. (head ~= "" and item.text ~= "" and ": " or "")
    if kind == "return" then head = (item.type or "") .. (item.text ~= "" and item.type and " " or "") end
    lines[#lines + 1] = labelled(item.name or "returns", head .. item.text)
    for _, row in ipairs(item.options or {}) do
      local name, text = options.said(row)
      lines[#lines + 1] = (wrap(name .. (text ~= "" and ": " or "") .. text, (" "):rep(16))
        :gsub("^" .. (" "):rep(16), (" "):rep(14)))
    end
  end
end

local function signature_of(entry)
  if entry.is_module then return "module " .. entry.module end
  if entry.is_class then return "class " .. entry.name end
  if entry.is_value then return entry.name end
  return ("%s(%s)"):format(entry.name, table.concat(comments.parameter_names(entry), ", "))
end

local function entry_text(entry)
  local lines = {signature_of(entry), "", wrap(entry.tags[1][2], "  ")}
  local rest = {}
  for _, kind in ipairs{"param", "field", "return"} do described(rest, entry, kind) end
  for _, tag in ipairs(entry.tags) do
    if tag[1] == "raise" then rest[#rest + 1] = labelled("raises", tag[2]) end
    if tag[1] == "usage" then rest[#rest + 1] = "\n  " .. tag[2]:gsub("\n", "\n  ") end
  end
  if #rest > 0 then
    lines[#lines + 1] = ""
    lines[#lines + 1] = table.concat(rest, "\n")
  end
  return table.concat(lines, "\n")
end

-- ---- the index ----

local index -- {entries = list, by_name = entries by name}

local function the_index()
  index = index or indexing.build()
  return index
end

-- The values that have public names, by value.
local function names_of_values()
  local names = {}
  local function note(value, name)
    local kind = type(value)
    if (kind == "function" or kind == "table") and not names[value] then names[value] = name end
  end
  for _, prefix in ipairs(ORDER) do
    local module = package.loaded[prefix == "lt" and "latent" or "latent." .. prefix]
    if module then
      note(module, prefix)
      for name, value in pairs(module) do note(value, prefix .. "." .. tostring(name)) end
    end
  end
  for name, value in pairs(core.methods) do note(value, "Tensor:" .. name) end
  for name, module in pairs(package.loaded) do
    local prefix = type(module) == "table" and name:match "^latent%.(.+)$"
    if prefix then
      note(module, prefix)
      for field, value in pairs(module) do note(value, prefix .. "." .. tostring(field)) end
    end
  end
  return names
end

--- The public name of a function or module of the library.
-- @param value
-- @treturn ?string e.g. "lt.conv2d"
function M.name_of(value) return names_of_values()[value] end

local function by_value(value)
  local known = the_index()
  local name = M.name_of(value)
  if name and known.by_name[name] then return known.by_name[name] end
  -- A method of tensors may be documented as the function of the same name; nn.Module is made elsewhere.
  local plain = name and known.by_name["lt." .. name:match "[^.:]+$"]
  if plain then return plain end
  for _, entry in ipairs(known.entries) do
    local module = package.loaded[entry.module]
    if entry.field and type(module) == "table" and rawequal(rawget(module, entry.field), value) then
      return setmetatable({name = name or entry.name}, {__index = entry})
    end
  end
  -- A layer: its class.
  local class = type(value) == "table" and debug.getmetatable(value)
  local kind = type(class) == "table" and rawget(class, "kind")
  return type(kind) == "string" and known.by_name["nn." .. kind] or nil
end

-- All entries whose last part is the word, those of the best known modules first.
local function by_short_name(word)
  local found, rank = {}, {}
  for i, prefix in ipairs(ORDER) do rank[prefix] = i end
  for i, entry in ipairs(the_index().entries) do
    if entry.name:match "[^.:]+$" == word then
      found[#found + 1] = {entry, (rank[entry.name:match "^[^.:]+"] or 99) * 10000 + i}
    end
  end
  table.sort(found, function(a, b) return a[2] < b[2] end)
  for i, item in ipairs(found) do found[i] = item[1] end
  return found
end

local function by_name(name)
  local known = the_index().by_name
  name = name:gsub("^latent%.", ""):gsub("%(.*$", "")
  if name == "latent" then name = "lt" end
  if known[name] then return known[name], {} end
  local found = by_short_name(name:match "[^.:]+$" or name)
  -- "x:relu" asks for any relu, "nn.relu" for one of nn.
  local prefix = name:match "^([%w_]+)%."
  if prefix and #prefix > 1 then return nil end
  return table.remove(found, 1), found
end

local function nearest(name)
  local words, seen = {}, {}
  for _, entry in ipairs(the_index().entries) do
    local word = entry.name:match "[^.:]+$"
    if not seen[word] then words[#words + 1] = word end
    seen[word] = true
  end
  local near = core.nearest(name:match "[^.:]+$" or name, words)
  local full = near and by_short_name(near)[1]
  return full and full.name
end

-- The names of a module's parts or a class's methods that are of a kind, as a paragraph.
local function members(entry, heading, is_of_kind)
  local names, prefix = {}, entry.name .. (entry.is_module and "." or ":")
  for name, other in pairs(the_index().by_name) do
    local rest = name:sub(1, #prefix) == prefix and name:sub(#prefix + 1)
    if rest and not other.is_module and not rest:find "[.:]" and is_of_kind(rest, other) then
      names[#names + 1] = rest
    end
  end
  table.sort(names)
  return #names > 0 and ("\n\n%s%s"):format(heading, wrap(table.concat(names, "  "), "  ")) or ""
end

local function all_members(entry)
  if entry.is_module then return members(entry, "", function() return true end) end
  if not the_index().classes[entry.name] then return "" end
  return members(entry, "  Methods:\n", function(_, other) return not other.op end)
    .. members(entry, "  Ops, each also a function of lt:\n", function(name, other)
      return other.op and not name:find "_$" end)
    .. members(entry, "  In place:\n", function(name, other) return other.op and name:find "_$" ~= nil end)
end

-- What is known of a name or value, and other entries of the name; or nil and a message with the nearest name.
local function entry_of(what)
  local entry, others
  if type(what) == "string" then
    entry, others = by_name(what)
  elseif what ~= nil then
    entry = by_value(what)
  end
  if entry then return entry, others or {} end
  if type(what) ~= "string" then return nil, "no help for " .. guard.text(what):match "[^\n]*" end
  local near = nearest(what)
  return nil, ('no help for "%s"%s'):format(what, near and (' (did you mean "%s"?)'):format(near) or "")
end

--- The help text of a function, method, layer or module.
-- @param what its name ("conv2d", "nn.Linear", "x:relu") or the value itself
-- @treturn ?string nil where nothing is known of it
-- @treturn ?string then a message with the nearest name
function M.text(what)
  local entry, others = entry_of(what)
  if not entry then return nil, others end
  local text = entry.op and op_text(entry.op) or entry_text(entry)
  text = text .. all_members(entry)
  local also = {}
  for _, other in ipairs(others) do
    if other.name ~= entry.name then also[#also + 1] = other.name end
  end
  return #also > 0 and text .. "\n\n  See also: " .. table.concat(also, ", ") or text
end

-- Paragraphs as they are, indented lines as code, which has blank lines around it.
local function as_paragraphs(text)
  local lines, was_code = {}, false
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local is_code = line:find "^%s%s%s" ~= nil
    if is_code ~= was_code then lines[#lines + 1] = "" end
    lines[#lines + 1] = is_code and "    " .. line or line:gsub("^%s+", "")
    was_code = is_code
  end
  return (table.concat(lines, "\n"):gsub("\n+$", ""))
end

local function listed(lines, entry, kind)
  for _, item in ipairs(comments.described(entry, kind)) do
    local head = (item.type and "`" .. item.type .. "`" or "") .. (item.optional and " (optional)" or "")
    lines[#lines + 1] = ("- **%s** %s %s"):format(item.name or "returns", head, item.text)
    for _, row in ipairs(item.options or {}) do
      local name, text = options.said(row)
      lines[#lines + 1] = ("  - `%s`%s"):format(name, text ~= "" and ": " .. text or "")
    end
  end
end

--- The help text as Markdown.
-- @param what as for `text`
-- @treturn ?string
-- @treturn ?string then a message with the nearest name
function M.markdown(what)
  local entry, message = entry_of(what)
  if not entry then return nil, message end
  local signature, text
  if entry.op then
    signature, text = op_text(entry.op):gsub("\n  ", "\n"):match "^([^\n]*)\n*(.*)$"
  else
    signature, text = signature_of(entry), as_paragraphs(entry.tags[1][2])
  end
  local lines = {("```lua\n%s\n```\n\n%s\n"):format(signature, text)}
  if not entry.op then
    for _, kind in ipairs{"param", "field", "return"} do listed(lines, entry, kind) end
    for _, tag in ipairs(entry.tags) do
      if tag[1] == "raise" then lines[#lines + 1] = "- **raises** " .. tag[2] end
      if tag[1] == "usage" then lines[#lines + 1] = ("\n```lua\n%s\n```"):format(tag[2]) end
    end
  end
  lines[#lines + 1] = (all_members(entry):gsub("\n  ", "\n"))
  return (table.concat(lines, "\n"):gsub("\n\n\n+", "\n\n"):gsub("%s+$", ""))
end

-- Functions come before methods, the best known modules first.
local function rank_of(name)
  local rank, prefix = #ORDER + 1, name:match "^[^.:]+"
  for i, known in ipairs(ORDER) do
    if prefix == known then rank = i end
  end
  return rank + (name:find ":" and 100 or 0)
end

--- Searches names and texts, also by what other libraries call a thing.
-- @tparam string word one or more, in any case
-- @treturn {table,...} each {name = "lt.max_pool2d", summary = one sentence}; the best comes first
function M.apropos(word)
  if type(word) ~= "string" then core.raise("help.apropos: expected a string, got " .. options.describe(word)) end
  return search.find(the_index().entries, word, rank_of)
end

-- The options of a function as they are declared, of an op as the core has them.
local function option_rows(what)
  local entry
  if type(what) == "string" then entry = by_name(what) else entry = by_value(what) end
  return entry and (entry.op and entry.op.params or entry.options) or {}
end

--- The names of the options that a function takes.
-- @param what its name or the function or class itself
-- @treturn ?{string,...} nil where it is not known to take any
function M.options(what)
  local names = {}
  for i, row in ipairs(option_rows(what)) do names[i] = row.name end
  return #names > 0 and names or nil
end

--- The values that an option takes, where these are few.
-- @param what the function's name, or the function or class itself
-- @tparam string option
-- @treturn ?table a list of strings, or true and false; nil where it takes others
function M.choices(what, option)
  for _, row in ipairs(option_rows(what)) do
    if row.name == option then
      if row.kind == "bool" then return {true, false} end
      return row.choices or type(row.kind) == "table" and row.kind.choices or nil
    end
  end
end

--- The names of all that `text` knows.
-- @treturn {string,...}
function M.names()
  local names = {}
  for name in pairs(the_index().by_name) do names[#names + 1] = name end
  return names
end

return M
