--- How a tensor reads: one line of facts, then a cut of its values that never floods the screen.
-- @module latent.format
local M = {}

local EDGE = 3 -- elements shown at each end of a long axis
local WHOLE = 8 -- an axis up to this long is shown whole

local function number(x)
  if x ~= x then return "nan" end
  if x == math.huge then return "inf" end
  if x == -math.huge then return "-inf" end
  if x == math.floor(x) and math.abs(x) < 1e6 then return ("%d"):format(x) end
  return ("%.4g"):format(x)
end

-- The positions of an axis that are shown; false stands for the gap.
local function shown(n)
  local list = {}
  for i = 1, n do
    if n <= WHOLE or i <= EDGE or i > n - EDGE then
      list[#list + 1] = i
    elseif i == EDGE + 1 then
      list[#list + 1] = false
    end
  end
  return list
end

-- Reads only the elements that are shown, as text.
local function cells(x, shape, index, depth, width)
  if depth > #shape then
    local text = number(x:get(table.unpack(index)))
    width[1] = math.max(width[1], #text)
    return text
  end
  local list = {}
  for _, i in ipairs(shown(shape[depth])) do
    if i then
      index[depth] = i
      list[#list + 1] = cells(x, shape, index, depth + 1, width)
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
  return "[" .. table.concat(parts, nested and ",\n" .. (" "):rep(indent + 1) or ", ") .. "]"
end

--- The text of a tensor.
-- @tparam Tensor x
-- @treturn string e.g. `tensor [2, 3] float32` and the values on the next lines
function M.tensor(x)
  local shape = x.shape
  local head = ("tensor [%s] %s%s"):format(table.concat(shape, ", "), x.dtype,
    x.requires_grad and ", wants gradient" or "")
  if x:numel() == 0 then return head .. ", empty" end
  local width = {0}
  local cell = cells(x:detach(), shape, {}, 1, width)
  -- A batch of pictures has many axes: the first two blocks of the outer ones are enough.
  return head .. "\n" .. render(cell, width[1], 0)
end

return M
