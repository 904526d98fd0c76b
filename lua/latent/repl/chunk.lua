--- What is typed at the prompt, made to a function. An expression gives its values; a `local` outside of
-- blocks stays visible in the lines that follow.
--
-- For that, the word `local` is taken out (blanks keep the columns) and its names go into the session's own
-- scope, which lies over the globals: see latent.repl.scope. A constant (`<const>`, `<close>`) that an input
-- mentions is a true constant of its chunk: Lua itself refuses to assign to it.
-- @module latent.repl.chunk
local tokens_of = require("latent.repl.lexer").tokens

local M = {}

local OPENS = {["function"] = 1, ["do"] = 1, ["if"] = 1, ["repeat"] = 1, ["end"] = -1, ["until"] = -1}

-- The tokens that mean something to Lua.
local function code_tokens(source)
  local list = {}
  for _, token in ipairs(tokens_of(source)) do
    if token.kind ~= "comment" then list[#list + 1] = token end
  end
  return list
end

-- Reads `a <const>, b` behind token `i` (the word local). Returns the declared names, each {name, attribute},
-- the attributes' tokens, and the position of the last token.
local function name_list(tokens, i)
  local names, attributes = {}, {}
  repeat
    i = i + 1
    if not tokens[i] or tokens[i].kind ~= "name" then return nil end
    local declared = {name = tokens[i].text}
    names[#names + 1] = declared
    if tokens[i + 1] and tokens[i + 1].text == "<" then
      for k = i + 1, math.min(i + 3, #tokens) do attributes[#attributes + 1] = tokens[k] end
      declared.attribute = tokens[i + 2] and tokens[i + 2].text
      i = i + 3
    end
    i = i + 1
  until not tokens[i] or tokens[i].text ~= ","
  return names, attributes, i - 1
end

-- What the text of a `local` at tokens[i] becomes: the edits {first, last, replacement} and the names.
local function declaration(tokens, i)
  local word, following = tokens[i], tokens[i + 1]
  local drop = {word.first, word.last, (" "):rep(5)}
  if following and following.text == "function" then
    local name = tokens[i + 2]
    return name and {drop} or {}, name and {{name = name.text}} or {}
  end
  local names, attributes, last = name_list(tokens, i)
  if not names then return {}, {} end
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

-- Takes the word `local` out wherever it stands outside of blocks. Returns the source with every line where it
-- was, and what was declared, each {name, attribute = "const", "close" or nil}.
local function share_locals(source)
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
M.share_locals = share_locals

-- The declaration of the session's constants that a source mentions, but for some: "local a <const> = a ".
local function constants_of(source, scope, except)
  local names, values = {}, {}
  local seen = {}
  for _, declared in ipairs(except) do seen[declared.name] = true end
  for _, token in ipairs(code_tokens(source)) do
    local name = token.kind == "name" and token.text
    if name and not seen[name] and scope.is_constant(name) then
      seen[name] = true
      names[#names + 1] = name .. " <const>"
      values[#values + 1] = scope.own(name) ~= nil and name or "nil"
    end
  end
  if #names == 0 then return "" end
  return ("local %s = %s "):format(table.concat(names, ", "), table.concat(values, ", "))
end

-- A quoted string ends with its line, whatever follows.
local function is_incomplete(message)
  return message:find("near <eof>", 1, true) ~= nil and not message:find("unfinished string", 1, true)
end

local function itself(f) return f end

-- Behind `nil` the line is no tail call, and keeps its place in messages; the nil is dropped. What another function
-- gives has no name in tracebacks, as a main chunk has none.
local function valued(f)
  return function(...) return select(2, itself(f)(...)) end
end

local function as_expression(source, name, scope)
  return load(constants_of(source, scope, {}) .. "return nil," .. source, name, "t", scope.environment)
end

local function is_silent(source)
  local tokens = code_tokens(source)
  return #tokens > 0 and tokens[#tokens].text == ";"
end

local ENDS = {[")"] = true, ["]"] = true, ["}"] = true, [";"] = true, ["..."] = true, ["end"] = true, ["nil"] = true,
  ["true"] = true, ["false"] = true}
local BEGINS = {["not"] = true, ["nil"] = true, ["true"] = true, ["false"] = true, ["function"] = true, ["#"] = true}
local BRACKETS = {["("] = 1, ["{"] = 1, ["["] = 1, [")"] = -1, ["}"] = -1, ["]"] = -1}

-- Whether a statement, or an expression in its place, begins with a token: where it could go on with what stands
-- before (a bracket, a minus, a string), Lua lets it.
local function begins(token, before)
  local kind = before.kind
  if before.text == ";" then return true end
  if not (kind == "name" or kind == "number" or kind == "string" or ENDS[before.text]) then return false end
  return token.kind == "name" or token.kind == "number" or BEGINS[token.text] == true
end

-- The source with `return nil,` before its last statement, which may be an expression; nil where it has but one.
local function with_last_value(source)
  local tokens, depth, start = code_tokens(source), 0, nil
  for i, token in ipairs(tokens) do
    if i > 1 and depth == 0 and begins(token, tokens[i - 1]) then start = token.first end
    depth = depth + (token.kind == "keyword" and OPENS[token.text] or token.kind == "operator" and BRACKETS[token.text]
      or 0)
  end
  return start and source:sub(1, start - 1) .. "return nil," .. source:sub(start)
end

-- A name whose value cannot be told from that of another of its name, which is not to be closed.
local function declared_twice(names)
  local attributes = {}
  for _, declared in ipairs(names) do
    local this, other = declared.attribute or "plain", attributes[declared.name] or declared.attribute or "plain"
    if this ~= other and (this == "close" or other == "close") then return declared.name end
    attributes[declared.name] = this
  end
end

-- As it stands, so that Lua looks at its attributes; then as it runs.
local function as_statements(source, name, scope)
  local f, message = load(constants_of(source, scope, {}) .. source, name, "t", scope.environment)
  if not f then return nil, message, is_incomplete(message) end
  local shared, names = share_locals(source)
  if #names == 0 then return f end
  local twice = declared_twice(names)
  if twice then
    return nil, ("%s:1: '%s' is declared twice in one input, once <close>"):format(name:sub(2), twice), false
  end
  f, message = load(constants_of(source, scope, names) .. shared, name, "t", scope.environment)
  if not f then return nil, message, false end
  return function(...)
    scope.declare(names)
    return f(...)
  end
end

-- Loads the modules that it mentions and that are not there yet.
local function provide(source, scope)
  local before
  for _, token in ipairs(code_tokens(source)) do
    if token.kind == "name" and before ~= "." and before ~= ":" then scope.provide(token.text) end
    before = token.text
  end
end

--- Compiles an input: an expression, or statements, the last of which may be an expression.
-- @tparam string source one or several lines
-- @tparam string name of the chunk, for messages
-- @tparam table scope of latent.repl.scope
-- @treturn ?function whose values are to be printed; nil where the source is wrong or not finished
-- @treturn ?string message
-- @treturn ?boolean with a function, true where a semicolon at the end asks for silence; else, true where more
-- lines could complete the source
function M.compile(source, name, scope)
  scope.settle()
  source = source:gsub("^%s*=", " ")
  if not source:find "%S" then return function() end end
  provide(source, scope)
  name = "=" .. name
  local f = as_expression(source, name, scope)
  if f then return valued(f), nil, is_silent(source) end
  local last = with_last_value(source)
  f = last and as_statements(last, name, scope)
  if f then return valued(f), nil, is_silent(source) end
  return as_statements(source, name, scope)
end

--- Compiles a script that came through a pipe: as Lua does, with its locals its own. One that is an expression, or
-- ends with one, gives its values.
-- @tparam string source
-- @tparam string name of the chunk
-- @tparam table scope
-- @treturn ?function
-- @treturn ?string message
-- @treturn ?boolean with a message, whether more lines could complete the source
function M.compile_script(source, name, scope)
  source, name = source:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", ""), "=" .. name
  if source:sub(1, 1) == "\27" then return load(source, name, "b", scope.environment) end
  provide(source, scope)
  local f = source:find "%S" and as_expression(source, name, scope)
  if f then return valued(f) end
  local message
  f, message = load(source, name, "t", scope.environment)
  if f then return f end
  local last = with_last_value(source)
  f = last and load(last, name, "t", scope.environment)
  if f then return valued(f) end
  return nil, message, is_incomplete(message)
end

return M
