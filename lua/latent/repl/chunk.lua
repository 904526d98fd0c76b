--- What is typed at the prompt, made to a function. An expression gives its values; a `local` outside of
-- blocks stays visible in the lines that follow.
--
-- For that, the word `local` is taken out (blanks keep the columns) and its names go into the session's own
-- environment, which lies over the globals: `local x = 1` does not touch `_G.x`, loaded modules do not see it,
-- and `local print = print` reads the old value. The differences to a true local: functions made earlier see
-- the new value when a name is declared again, attributes such as `<const>` are dropped, and one declared
-- without a value reads as the global of its name until it has one. A `<close>` variable stays as it is, and
-- is closed at the end of the input.
-- @module latent.repl.chunk
local lexer = require "latent.repl.lexer"

local M = {}

local OPENS = {["function"] = 1, ["do"] = 1, ["if"] = 1, ["repeat"] = 1, ["end"] = -1, ["until"] = -1}

-- The tokens that mean something to Lua.
local function code_tokens(source)
  local list = {}
  for _, token in ipairs(lexer.tokens(source)) do
    if token.kind ~= "comment" then list[#list + 1] = token end
  end
  return list
end

-- Reads `a <const>, b` behind token `i` (the word local). Returns the names, the attributes' tokens, the
-- position of the last token, and whether one of them is <close>.
local function name_list(tokens, i)
  local names, attributes, closes = {}, {}, false
  repeat
    i = i + 1
    if not tokens[i] or tokens[i].kind ~= "name" then return nil end
    names[#names + 1] = tokens[i].text
    if tokens[i + 1] and tokens[i + 1].text == "<" then
      for k = i + 1, math.min(i + 3, #tokens) do attributes[#attributes + 1] = tokens[k] end
      closes = closes or (tokens[i + 2] and tokens[i + 2].text == "close")
      i = i + 3
    end
    i = i + 1
  until not tokens[i] or tokens[i].text ~= ","
  return names, attributes, i - 1, closes
end

-- What the text of a `local` at tokens[i] becomes: the edits {first, last, replacement} and the names.
local function declaration(tokens, i)
  local word, following = tokens[i], tokens[i + 1]
  local drop = {word.first, word.last, (" "):rep(5)}
  if following and following.text == "function" then
    local name = tokens[i + 2]
    return name and {drop} or {}, {name and name.text}
  end
  local names, attributes, last, closes = name_list(tokens, i)
  if not names or closes then return {}, {} end
  local edits = {drop}
  for _, token in ipairs(attributes) do
    edits[#edits + 1] = {token.first, token.last, (" "):rep(#token.text)}
  end
  if not (tokens[last + 1] and tokens[last + 1].text == "=") and tokens[last] then
    local at = tokens[last].last
    edits[#edits + 1] = {at + 1, at, " = nil"}
  end
  return edits, names
end

--- Takes the word `local` out wherever it stands outside of blocks.
-- @tparam string source
-- @treturn string the source with every line where it was
-- @treturn {string,...} the names that were declared
function M.share_locals(source)
  local tokens, depth, edits, names = code_tokens(source), 0, {}, {}
  for i, token in ipairs(tokens) do
    if token.kind == "keyword" then
      depth = depth + (OPENS[token.text] or 0)
      if token.text == "local" and depth == 0 then
        local more, declared = declaration(tokens, i)
        table.move(more, 1, #more, #edits + 1, edits)
        table.move(declared, 1, #declared, #names + 1, names)
      end
    end
  end
  for i = #edits, 1, -1 do
    local first, last, text = table.unpack(edits[i])
    source = source:sub(1, first - 1) .. text .. source:sub(last + 1)
  end
  return source, names
end

--- The environment of a session.
-- @tparam table globals
-- @treturn table reads names of the prompt, then globals; writes globals, unless the name was declared
-- @treturn function declare(names): makes them the session's own, with the values that they have now
function M.environment(globals)
  local declared = {}
  local environment = setmetatable({}, {
    __index = globals,
    __newindex = function(self, name, value)
      if declared[name] then rawset(self, name, value) else globals[name] = value end
    end,
  })
  return environment, function(names)
    for _, name in ipairs(names) do
      if not declared[name] then
        declared[name] = true
        rawset(environment, name, globals[name])
      end
    end
  end
end

-- A quoted string ends with its line, whatever follows.
local function is_incomplete(message)
  return message:find("near <eof>", 1, true) ~= nil and not message:find("unfinished string", 1, true)
end

-- A comment at the end would swallow what is put behind it.
local function without_comment(source)
  local tokens = lexer.tokens(source)
  local last = tokens[#tokens]
  return last and last.kind == "comment" and source:sub(1, last.first - 1) or source
end

local function pass(...) return ... end

-- The values go through a function, so that the line is no tail call and keeps its place in messages.
local function as_expression(source, name, environment)
  local plain = load("return " .. source, name, "t", environment)
  local f = plain and load("return (...)(" .. without_comment(source) .. ")", name, "t", environment)
  if f then return function() return f(pass) end, nil, false end
  return plain, nil, true
end

--- Compiles an input.
-- @tparam string source one or several lines
-- @tparam string name of the chunk, for messages
-- @tparam table environment
-- @tparam function declare as `environment` gave it
-- @treturn ?function whose values are to be printed; nil where the source is wrong or not finished
-- @treturn ?string message
-- @treturn ?boolean with a function, true where a semicolon at the end asks for silence; else, true where more
-- lines could complete the source
function M.compile(source, name, environment, declare)
  source = source:gsub("^%s*=", " ")
  if not source:find "%S" then return function() end end
  local f, _, silent = as_expression(source, "=" .. name, environment)
  if f then return f, nil, silent end
  local shared, names = M.share_locals(source)
  local message
  f, message = load(shared, "=" .. name, "t", environment)
  if not f then return nil, message, is_incomplete(message) end
  return function()
    declare(names)
    return f()
  end
end

return M
