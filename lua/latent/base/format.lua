--- How a tensor reads: one line of facts, then a cut of its values that never floods the screen.
-- @module latent.base.format
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local M = {}

local LINES = 20 -- a tensor takes no more, but for rows that are broken
local SHORT = 10 -- elements of an axis that is never cut for its own length

local print_options = options.declare("lt.set_print_options", {
  {"precision", "count", 4, "significant digits of a number"},
  {"threshold", "size", 100, "a tensor of at most so many elements is shown whole, if it takes no more than 20 lines"},
  {"edgeitems", "count", 3, "elements that are shown at each end of an axis that is cut: one of more than ten"},
  {"linewidth", "count", 80, "characters after which a row is broken"},
})
local set = print_options({}, "set_print_options")
local EXACT = 1e10 -- whole numbers below it are written in full

--- How tensors are printed from now on; what is not given becomes the default again.
-- @function lt.set_print_options
-- @tparam ?table opts
function M.set_print_options(opts) set = print_options(opts, "set_print_options") end

local function plain_number(x)
  if math.type(x) == "integer" then return ("%d"):format(x) end
  if x ~= x then return "nan" end
  if x == math.huge then return "inf" end
  if x == -math.huge then return "-inf" end
  if x == math.floor(x) and math.abs(x) < EXACT then return ("%d"):format(x) end
  return ("%." .. set.precision .. "g"):format(x)
end

-- With a decimal point, in any locale.
local function number(x) return core.plainly(plain_number, x) end

-- The positions of an axis that are shown, so many at each end; false stands for the gap. With none at
-- the ends, the first alone; all of them where there are no limits.
local function shown(n, edge)
  local list, whole = {}, edge == 0 and 1 or edge == set.edgeitems and math.max(SHORT, 2 * edge + 1) or 2 * edge + 1
  if edge == math.huge then whole = n end
  for i = 1, n <= whole and n or math.max(edge, 1) do list[i] = i end
  if n > whole then
    list[#list + 1] = false
    for i = n - edge + 1, n do list[#list + 1] = i end
  end
  return list
end

-- The lines that a tensor takes with so many rows at each end of the outer axes.
local function lines(shape, edge)
  local count = 1
  for d = #shape - 1, 1, -1 do
    local list, gaps = shown(shape[d], edge), 0
    for _, i in ipairs(list) do gaps = gaps + (i and 0 or 1) end
    count = (#list - gaps) * count + gaps
  end
  return count
end

-- Reads only the elements that are shown, as text.
local function cells(x, shape, edge, index, depth, width)
  if depth > #shape then
    local text = number(x:get(table.unpack(index)))
    width[1] = math.max(width[1], #text)
    return text
  end
  local list = {}
  for _, i in ipairs(shown(shape[depth], depth < #shape and edge or (edge == math.huge and edge or set.edgeitems))) do
    if i then
      index[depth] = i
      list[#list + 1] = cells(x, shape, edge, index, depth + 1, width)
    else
      list[#list + 1] = "..."
    end
  end
  index[depth] = nil
  return list
end

local function render(cell, width, indent)
  if type(cell) == "string" then return cell == "..." and cell or (" "):rep(width - #cell) .. cell end
  local parts, nested = {}, false
  for i, part in ipairs(cell) do
    nested = nested or type(part) == "table"
    parts[i] = render(part, width, indent + 1)
  end
  local pad = (" "):rep(indent + 1)
  if nested then return "[" .. table.concat(parts, ",\n" .. pad) .. "]" end
  local lines_of, each = {}, math.max((set.linewidth - indent) // (width + 2), 1)
  for i = 1, #parts, each do lines_of[#lines_of + 1] = table.concat(parts, ", ", i, math.min(i + each - 1, #parts)) end
  return "[" .. table.concat(lines_of, ",\n" .. pad) .. "]"
end

--- A number in few digits, as within a tensor.
-- @tparam number x
-- @treturn string
M.number = number

--- Least, mean and greatest element and how many are NaN, which the others leave out.
-- @tparam Tensor x
-- @treturn string e.g. `min -1.3  mean 0.02  max 2.1  NaN 0`
function M.statistics(x)
  local least, mean, greatest, nans = core.statistics(x)
  if not least then return ("NaN %d"):format(nans) end
  return ("min %s  mean %s  max %s  NaN %d"):format(number(least), number(mean), number(greatest), nans)
end

--- The text of a tensor.
-- @tparam Tensor x
-- @tparam ?boolean statistics true: they stand in the first line
-- @treturn string e.g. `tensor [2, 3] float32` and the values on the next lines
function M.tensor(x, statistics)
  local shape = x.shape
  local head = ("tensor %s %s%s"):format(shapes.text(shape), x.dtype,
    x.requires_grad and ", wants gradient" or "")
  if x:numel() == 0 then return head .. ", empty" end
  if statistics and x:numel() > 1 then head = head .. "  " .. M.statistics(x:detach()) end
  local edge, width = math.huge, {0}
  if x:numel() > set.threshold or lines(shape, edge) > LINES then edge = set.edgeitems end
  while edge > 0 and lines(shape, edge) > LINES do edge = edge - 1 end
  local cell = cells(x:detach(), shape, edge, {}, 1, width)
  return head .. "\n" .. render(cell, width[1], 0)
end

return M
