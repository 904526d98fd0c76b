--- How texts and tables are printed. Numbers have a decimal point in any locale, as they go into files too.
-- @module latent.experiment.say
local core = require "latent.core"

local M = {}

local WIDTH = 100

local out = print

--- Prints as Lua's print does, and to where `redirect` says.
function M.print(...) out(...) end

--- Sends what is printed somewhere else.
-- @tparam function f as print
-- @treturn function where it went before
function M.redirect(f)
  local before = out
  out = f
  return before
end

--- Prints a paragraph, broken into lines.
-- @tparam string text
-- @tparam ?string indent of the lines after the first
function M.paragraph(text, indent)
  local line = ""
  for word in text:gmatch "%S+" do
    if utf8.len(line) and utf8.len(line) + (utf8.len(word) or #word) + 1 > WIDTH and line:find "%S" then
      M.print(line)
      line = indent or ""
      line = line .. word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  M.print(line)
end

--- A number with so many digits.
-- @tparam number value
-- @tparam int count
-- @treturn string
function M.digits(value, count) return core.plainly(string.format, "%." .. count .. "g", value) end

--- A number as it is printed: with as many digits as tell it apart, integers in full.
-- @tparam number value
-- @treturn string
function M.number(value)
  if math.type(value) == "integer" then return ("%d"):format(value) end
  return value ~= value and "nan" or M.digits(value, 4)
end

--- The single numbers of a run, each after its name, in one line.
-- @tparam {table,...} items of its record
-- @tparam ?int most how many of them
-- @treturn string
function M.numbers(items, most)
  local parts = {}
  for _, item in ipairs(items) do
    if item.kind == "number" and type(item.value) == "number" then
      parts[#parts + 1] = ("%s %s"):format(item.name, M.number(item.value))
    end
  end
  return table.concat(parts, "  ", 1, math.min(#parts, most or #parts))
end

--- A cell of a table as text: numbers with four digits.
function M.cell(value)
  return type(value) == "number" and M.number(value) or tostring(value)
end

--- Prints rows of texts under a title; the first row is the head.
-- @tparam string title
-- @tparam {{string,...},...} rows
function M.table(title, rows)
  local width = {}
  for _, row in ipairs(rows) do
    for i, text in ipairs(row) do width[i] = math.max(width[i] or 0, utf8.len(text) or #text) end
  end
  M.print("\n" .. title)
  for _, row in ipairs(rows) do
    local parts = {}
    for i, text in ipairs(row) do
      local gap = (" "):rep(width[i] - (utf8.len(text) or #text))
      parts[i] = i == 1 and text .. gap or gap .. text
    end
    M.print("  " .. table.concat(parts, "  "))
  end
  M.print()
end

return M
