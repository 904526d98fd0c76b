--- What the Tab key offers: names, fields, methods, option names, files in strings.
-- @module latent.repl.complete
local core = require "latent.core"
local files = require "latent.base.files"
local help = require "latent.help"
local modules = require("latent.help.index").modules
local of_modules = require("latent.base.foreign").of_modules
local lexer = require "latent.repl.lexer"

local M = {}

local is_tensor, zeros, methods = core.is_tensor, core.zeros, core.methods
local capture, quote, tokens_of = files.capture, files.quote, lexer.tokens
local name_of, options_of, choices_of, help_names = help.name_of, help.options, help.choices, help.names

local TENSOR_FIELDS = {"shape", "dtype", "grad", "requires_grad", "is_leaf"}
local DEEP = 20 -- metatables are followed no further

-- ---- words ----

-- The words that begin with a prefix, sorted, once each. Names with an underscore in front are shown
-- only to who types it.
local function matching(words, prefix)
  local list, seen = {}, {}
  for _, word in ipairs(words) do
    if not seen[word] and word:sub(1, #prefix) == prefix and (word:sub(1, 1) ~= "_" or prefix ~= "") then
      seen[word] = true
      list[#list + 1] = word
    end
  end
  table.sort(list)
  return list
end

-- Visits the string keys of a value and of what its metatables' __index tables lead to.
local function each_field(value, visit)
  if is_tensor(value) then
    for _, name in ipairs(TENSOR_FIELDS) do visit(name, false) end
    for name, method in next, methods do visit(name, method) end
    return
  end
  for _ = 1, DEEP do
    if type(value) == "table" then
      for key, field in next, value do
        if type(key) == "string" and key:find "^[%a_][%w_]*$" then visit(key, field) end
      end
    end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and meta ~= of_modules and rawget(meta, "__index") or nil
    if type(value) ~= "table" then return end
  end
end

-- A field as the tables and metatables have it: no function of the user's runs.
local function read(value, key)
  if is_tensor(value) then
    for _, name in ipairs(TENSOR_FIELDS) do
      if name == key then
        local ok, field = pcall(function() return value[key] end) -- it may be closed
        return ok and field or nil
      end
    end
    return methods[key]
  end
  for _ = 1, DEEP do
    local field = type(value) == "table" and rawget(value, key)
    if field then return field end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(value) ~= "table" then return nil end
  end
end

local function is_callable(value)
  local meta = type(value) ~= "function" and not is_tensor(value) and debug.getmetatable(value)
  return type(value) == "function" or (type(meta) == "table" and rawget(meta, "__call") ~= nil)
end

local function fields(value, methods_only)
  local words = {}
  each_field(value, function(name, field)
    if name:sub(1, 2) ~= "__" and (not methods_only or is_callable(field)) then words[#words + 1] = name end
  end)
  return words
end

local function names(scope)
  local words = {}
  for _, name in ipairs(scope.names()) do
    if type(name) == "string" and name:find "^[%a_][%w_]*$" then words[#words + 1] = name end
  end
  for word in pairs(lexer.keywords) do words[#words + 1] = word end
  return words
end

-- ---- values of what stands before the cursor ----

local function string_of(text) return text:match [[^["'](.*)["']$]] end

-- Finds where the chain `a.b[1]:c` begins whose last token is tokens[i]; nil where it is no plain chain.
local function chain_start(tokens, i)
  while i >= 1 do
    local token = tokens[i]
    if token.text == "]" then
      local index, bracket = tokens[i - 1], tokens[i - 2]
      local constant = index and (index.kind == "number" or index.kind == "string")
      if not (constant and bracket and bracket.text == "[") then return nil end
      i = i - 3
    elseif token.kind == "name" then
      local before = tokens[i - 1]
      if not (before and (before.text == "." or before.text == ":")) then return i end
      i = i - 2
    else
      return nil
    end
  end
end

-- The value of the chain tokens[first..last]; nothing is called.
local function chain_value(tokens, first, last, scope)
  local value = scope.value(tokens[first].text)
  local i = first + 1
  while i <= last do
    local token = tokens[i]
    if token.text == "[" then
      local key = tokens[i + 1]
      value = read(value, key.kind == "number" and tonumber(key.text) or string_of(key.text))
      i = i + 3
    else
      value = read(value, tokens[i + 1] and tokens[i + 1].text)
      i = i + 2
    end
  end
  return value
end

local function value_before(tokens, last, scope)
  local first = chain_start(tokens, last)
  return first and chain_value(tokens, first, last, scope)
end

-- The position of the bracket that the one at `i` closes.
local function opening(tokens, i)
  local depth = 0
  for k = i, 1, -1 do
    local text = tokens[k].text
    if text == ")" or text == "}" or text == "]" then depth = depth + 1 end
    if text == "(" or text == "{" or text == "[" then depth = depth - 1 end
    if depth == 0 then return k end
  end
end

-- ---- the cases ----

-- After "." or ":". What a call gives is not known without calling; from the library's functions it is
-- mostly a tensor, or a layer.
local function member_words(tokens, i, scope)
  local methods_only = tokens[i].text == ":"
  local before = tokens[i - 1]
  if not before then return {} end
  if before.kind == "string" then return fields("", methods_only) end
  if before.text == ")" or before.text == "}" then
    local open = opening(tokens, i - 1)
    local called = open and open > 1 and value_before(tokens, open - 1, scope)
    local name = called and name_of(called)
    if not name then return {} end
    local nn = package.loaded["latent.nn"]
    if name:find "^nn%." and nn then return fields(nn.Sequential{}, methods_only) end
    local gives_tensor = name:find "^lt%." or name:find "^Tensor:"
    return gives_tensor and fields(zeros(1), methods_only) or {}
  end
  return fields(value_before(tokens, i - 1, scope), methods_only)
end

-- The known function that is given the braces in which a key may stand behind tokens[n]: `f{`, `f(x, {a = 1,`.
local function called_at(tokens, n, scope)
  local last = tokens[n]
  if not last or not (last.text == "{" or last.text == "," or last.text == ";") then return nil end
  local depth, brace = 0, nil
  for i = n, 1, -1 do
    local text = tokens[i].text
    if text == ")" or text == "}" or text == "]" then depth = depth + 1 end
    if text == "(" or text == "{" or text == "[" then
      depth = depth - 1
      if depth < 0 and not brace then
        if text ~= "{" then return nil end
        brace, depth = i, 0
        local called = value_before(tokens, i - 1, scope) -- f{
        if called then return called end
      elseif depth < 0 then -- f(x, {
        return text == "(" and value_before(tokens, i - 1, scope) or nil
      end
    end
  end
end

local function option_words(tokens, scope)
  local called = called_at(tokens, #tokens, scope)
  return called and options_of(called) or {}
end

-- The values of the option whose `name =` ends at tokens[n].
local function option_values(tokens, n, scope)
  local name, equals = tokens[n - 1], tokens[n]
  if not (name and equals.text == "=" and name.kind == "name") then return nil end
  local called = called_at(tokens, n - 2, scope)
  return called and choices_of(called, name.text)
end

-- Files whose path begins with the text; folders end in "/".
local function file_words(path)
  local folder, prefix = path:match "^(.*/)([^/]*)$"
  folder, prefix = folder or "", prefix or path
  local home = os.getenv "HOME"
  local real = folder:gsub("^~/", (home or "~"):gsub("%%", "%%%%") .. "/")
  local listing = capture("ls -1Ap -- " .. quote(real == "" and "." or real) .. " 2>/dev/null") or ""
  local words = {}
  for name in listing:gmatch "[^\n]+" do
    if name:sub(1, 1) ~= "." or prefix:sub(1, 1) == "." then words[#words + 1] = folder .. name end
  end
  return words
end

-- What may stand in the quotes that the last token opens, by what stands before them.
local function quoted_words(tokens, path, scope)
  local n = #tokens - 1
  local choices = n > 1 and option_values(tokens, n, scope)
  if choices then
    local words = {}
    for _, choice in ipairs(choices) do words[#words + 1] = type(choice) == "string" and choice or nil end
    return words
  end
  if n > 1 and tokens[n].text == "(" then n = n - 1 end
  local before = n > 0 and tokens[n].kind == "name" and tokens[n].text
  if before == "require" then return modules end
  if before == "help" then return help_names() end
  return file_words(path)
end

--- The name that a text ends with, and its value.
-- @tparam string text
-- @tparam table scope of the session
-- @treturn ?string the chain, such as "nn.Linear"; nil where it ends with none
-- @return its value, nil where there is none
function M.last(text, scope)
  local tokens = tokens_of(text)
  local last = tokens[#tokens]
  if not last or last.kind ~= "name" then return nil end
  local first = chain_start(tokens, #tokens)
  if not first then return nil end
  local name = text:sub(tokens[first].first, last.last):gsub("%s", "")
  return name, chain_value(tokens, first, #tokens, scope)
end

--- Makes the function that completes.
-- @tparam table scope of the session, as latent.repl.scope makes it
-- @treturn function complete(text up to the cursor): the list of words, sorted, and the position in the text
-- from which they stand
function M.new(scope)
  return function(text)
    local tokens = tokens_of(text)
    local last = tokens[#tokens]
    if last and last.open then
      if last.kind == "comment" or last.text:find "^%[" then return {}, #text + 1 end
      local path = last.text:sub(2)
      return matching(quoted_words(tokens, path, scope), path), last.first + 1
    end
    local word, start = "", #text + 1
    if last and last.last == #text and (last.kind == "name" or last.kind == "keyword") then
      word, start = last.text, last.first
      table.remove(tokens)
      last = tokens[#tokens]
    elseif last and last.last == #text and last.kind == "number" then
      return {}, start
    end
    if last and (last.text == "." or last.text == ":") then
      return matching(member_words(tokens, #tokens, scope), word), start
    end
    local options = matching(option_words(tokens, scope), word)
    if #options > 0 then
      for i, name in ipairs(options) do options[i] = name .. " = " end
      return options, start
    end
    local values = last and last.text == "=" and option_values(tokens, #tokens, scope)
    if values then
      local texts = {}
      for i, value in ipairs(values) do
        texts[i] = type(value) == "string" and ('"%s"'):format(value) or tostring(value)
      end
      texts = matching(texts, word)
      if #texts > 0 then return texts, start end
    end
    if word == "" then return {}, start end
    return matching(names(scope), word), start
  end
end

return M
