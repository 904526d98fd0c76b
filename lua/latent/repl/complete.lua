--- What the Tab key offers: names, fields, methods, option names, files in strings.
-- @module latent.repl.complete
local core = require "latent.core"
local files = require "latent.files"
local help = require "latent.help"
local lexer = require "latent.repl.lexer"

local M = {}

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
  if core.is_tensor(value) then
    for _, name in ipairs(TENSOR_FIELDS) do visit(name, false) end
    for name, method in next, core.methods do visit(name, method) end
    return
  end
  for _ = 1, DEEP do
    if type(value) == "table" then
      for key, field in next, value do
        if type(key) == "string" and key:find "^[%a_][%w_]*$" then visit(key, field) end
      end
    end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(value) ~= "table" then return end
  end
end

local function is_callable(value)
  local meta = type(value) ~= "function" and debug.getmetatable(value)
  return type(value) == "function" or (type(meta) == "table" and rawget(meta, "__call") ~= nil)
end

local function fields(value, methods_only)
  local words = {}
  each_field(value, function(name, field)
    if name:sub(1, 2) ~= "__" and (not methods_only or is_callable(field)) then words[#words + 1] = name end
  end)
  return words
end

local function names(environment, globals)
  local words = {}
  for _, scope in ipairs{environment, globals} do
    for name in next, scope do
      if type(name) == "string" and name:find "^[%a_][%w_]*$" then words[#words + 1] = name end
    end
  end
  for word in pairs(lexer.keywords) do words[#words + 1] = word end
  return words
end

-- ---- values of what stands before the cursor ----

local function string_of(text) return text:match [[^["'](.*)["']$]] end

-- A field, without running anything but a tensor's or table's own way of reading.
local function read(value, key)
  if type(value) ~= "table" and not core.is_tensor(value) and type(value) ~= "string" then return nil end
  local ok, field = pcall(function() return value[key] end)
  return ok and field or nil
end

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
local function chain_value(tokens, first, last, environment)
  local value = environment[tokens[first].text]
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

local function value_before(tokens, last, environment)
  local first = chain_start(tokens, last)
  return first and chain_value(tokens, first, last, environment)
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
local function member_words(tokens, i, environment)
  local methods_only = tokens[i].text == ":"
  local before = tokens[i - 1]
  if not before then return {} end
  if before.kind == "string" then return fields("", methods_only) end
  if before.text == ")" or before.text == "}" then
    local open = opening(tokens, i - 1)
    local called = open and open > 1 and value_before(tokens, open - 1, environment)
    local name = called and help.name_of(called)
    if not name then return {} end
    local nn = package.loaded["latent.nn"]
    if name:find "^nn%." and nn then return fields(nn.Sequential{}, methods_only) end
    local gives_tensor = name:find "^lt%." or name:find "^Tensor:"
    return gives_tensor and fields(core.zeros(1), methods_only) or {}
  end
  return fields(value_before(tokens, i - 1, environment), methods_only)
end

-- Where the cursor stands at the place of a key in braces that a known function is given: its options.
local function option_words(tokens, environment)
  local last = tokens[#tokens]
  if not last or not (last.text == "{" or last.text == "," or last.text == ";") then return {} end
  local depth, brace = 0, nil
  for i = #tokens, 1, -1 do
    local text = tokens[i].text
    if text == ")" or text == "}" or text == "]" then depth = depth + 1 end
    if text == "(" or text == "{" or text == "[" then
      depth = depth - 1
      if depth < 0 and not brace then
        if text ~= "{" then return {} end
        brace, depth = i, 0
        local called = value_before(tokens, i - 1, environment) -- f{
        if called then return help.options(called) or {} end
      elseif depth < 0 then -- f(x, {
        local called = text == "(" and value_before(tokens, i - 1, environment)
        return called and help.options(called) or {}
      end
    end
  end
  return {}
end

-- Files whose path begins with the text; folders end in "/".
local function file_words(path)
  local folder, prefix = path:match "^(.*/)([^/]*)$"
  folder, prefix = folder or "", prefix or path
  local home = os.getenv "HOME"
  local real = folder:gsub("^~/", (home or "~"):gsub("%%", "%%%%") .. "/")
  local listing = files.capture("ls -1Ap -- " .. files.quote(real == "" and "." or real) .. " 2>/dev/null") or ""
  local words = {}
  for name in listing:gmatch "[^\n]+" do
    if name:sub(1, 1) ~= "." or prefix:sub(1, 1) == "." then words[#words + 1] = folder .. name end
  end
  return words
end

--- Makes the function that completes.
-- @tparam table environment of the session: names of the prompt over the globals
-- @tparam[opt=_G] table globals
-- @treturn function complete(text up to the cursor): the list of words, sorted, and the position in the text
-- from which they stand
function M.new(environment, globals)
  globals = globals or _G
  return function(text)
    local tokens = lexer.tokens(text)
    local last = tokens[#tokens]
    if last and last.open then
      if last.kind == "comment" or last.text:find "^%[" then return {}, #text + 1 end
      local path = last.text:sub(2)
      return matching(file_words(path), path), last.first + 1
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
      return matching(member_words(tokens, #tokens, environment), word), start
    end
    local options = matching(option_words(tokens, environment), word)
    if #options > 0 then
      for i, name in ipairs(options) do options[i] = name .. " = " end
      return options, start
    end
    if word == "" then return {}, start end
    return matching(names(environment, globals), word), start
  end
end

return M
