--- Cuts Lua source into tokens, also source that is not finished yet.
-- @module latent.repl.lexer
local M = {}

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return
  then true until while]]):gmatch "%a+" do KEYWORDS[word] = true end

--- The words that Lua reserves.
M.keywords = KEYWORDS

local OPERATORS = {"...", "<<", ">>", "//", "==", "~=", "<=", ">=", "::", ".."}

-- The end of a long bracket that begins at `i` ("[[" or "[==["), or nil where none begins; the length of
-- the source and true where it is not closed.
local function long_bracket(source, i)
  local level = source:match("^%[(=*)%[", i)
  if not level then return nil end
  local _, last = source:find("]" .. level .. "]", i + #level + 2, true)
  return last or #source, last == nil
end

-- The end of a quoted string that begins at `i`, and whether it is open.
local function quoted(source, i)
  local quote, at = source:sub(i, i), i + 1
  while at <= #source do
    local c = source:sub(at, at)
    if c == quote then return at, false end
    if c == "\n" then return at - 1, true end
    at = at + (c == "\\" and 2 or 1)
  end
  return #source, true
end

local function comment(source, i)
  local last, open = long_bracket(source, i + 2)
  if last then return last, open end
  last = (source:find("\n", i, true) or #source + 1) - 1
  -- One that a line end would finish is open for what is written behind it.
  return last, last == #source
end

-- Kind, end and openness of the token at `i`.
local function token_at(source, i)
  local c = source:sub(i, i)
  if source:sub(i, i + 1) == "--" then
    return "comment", comment(source, i)
  elseif c == '"' or c == "'" then
    return "string", quoted(source, i)
  elseif c:find "[%a_\128-\255]" then
    local last = select(2, source:find("^[%w_\128-\255]+", i))
    return KEYWORDS[source:sub(i, last)] and "keyword" or "name", last
  elseif source:find("^%.?%d", i) then
    local hexadecimal = source:find("^0[xX]", i)
    local pattern = hexadecimal and "^0[xX][%x%.pP]*" or "^[%d%.]+"
    local last = select(2, source:find(pattern, i))
    if not hexadecimal then last = select(2, source:find("^[eE][+-]?%d*", last + 1)) or last end
    return "number", last
  end
  local last, open = long_bracket(source, i)
  if last then return "string", last, open end
  for _, operator in ipairs(OPERATORS) do
    if source:sub(i, i + #operator - 1) == operator then return "operator", i + #operator - 1 end
  end
  return "operator", i
end

--- The tokens of a piece of source, comments included.
-- @tparam string source
-- @treturn {table,...} each with `kind` ("name", "keyword", "number", "string", "comment" or "operator"), `text`,
-- `first` and `last` (positions in the source), and `open` where a string or comment is not finished
function M.tokens(source)
  local list, i = {}, 1
  while true do
    i = source:find("%S", i)
    if not i then return list end
    local kind, last, open = token_at(source, i)
    list[#list + 1] = {kind = kind, text = source:sub(i, last), first = i, last = last, open = open or nil}
    i = last + 1
  end
end

return M
