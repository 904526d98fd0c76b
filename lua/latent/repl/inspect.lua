--- What is known of the thing at a place in the source: the text behind a page's tooltip.
-- @module latent.repl.inspect
local complete = require "latent.repl.complete"
local help = require "latent.help"
local lexer = require "latent.repl.lexer"
local printer = require "latent.repl.print"

local M = {}

-- Source up to the end of the name that the cursor is at, or behind.
local function up_to_name(source, cursor)
  local rest = source:sub(cursor + 1):match "^[%w_]*"
  return source:sub(1, cursor + #rest)
end

-- The text up to the bracket that is open at its end, of a call; nil where none is.
local function before_open_bracket(text)
  local tokens, depth = lexer.tokens(text), 0
  for i = #tokens, 1, -1 do
    local token = tokens[i].text
    if token == ")" or token == "}" or token == "]" then depth = depth + 1 end
    if token == "(" or token == "{" or token == "[" then depth = depth - 1 end
    if depth < 0 then return text:sub(1, tokens[i].first - 1) end
  end
end

-- The help and its Markdown for what a text ends with, else what the value is.
local function known_of(text, scope)
  local name, value = complete.last(text, scope)
  if not name then return nil end
  local what = value ~= nil and value or name
  local said = help.text(what)
  if said then return said, help.markdown(what) end
  if value == nil then return nil end
  local kind, shown = type(value), printer.text(value, help.name_of)
  return ("%s, a %s\n%s"):format(name, kind, shown), ("`%s`, a %s\n\n```\n%s\n```"):format(name, kind, shown)
end

--- What there is to say about a place.
-- @tparam string source
-- @tparam int cursor how many bytes stand before it
-- @tparam table scope of latent.repl.scope
-- @treturn ?string text; nil where nothing is known
-- @treturn ?string the same as Markdown
function M.at(source, cursor, scope)
  local text = up_to_name(source, cursor)
  for _ = 1, 20 do -- within brackets it is the function that is called
    local said, markdown = known_of(text, scope)
    if said then return said, markdown end
    text = before_open_bracket(text)
    if not text then return nil end
  end
end

return M
