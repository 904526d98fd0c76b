--- A random order of a set that lies in blocks, of which few are open at a time: the blocks in a random order, some of
-- them together, the window, and the rows of a window in a random order. It needs memory for the window alone, and
-- any place in it can be found at once.
-- @module latent.data.windows
local core = require "latent.core"
local lt = require "latent"

local M = {}

local Order = {}
Order.__index = Order

-- The window that a place lies in: its number, and how many rows come before it.
local function window_at(self, place)
  local low, high = 1, #self.ends
  while low < high do
    local middle = (low + high) // 2
    if self.ends[middle] >= place then high = middle else low = middle + 1 end
  end
  return low, low > 1 and self.ends[low - 1] or 0
end

-- The rows of a window in their order, as places within it; made once, for the latest window alone.
local function rows_of(self, window, count)
  if self.current ~= window then
    if self.rows then self.rows:close() end
    self.current = window
    self.rows = lt.randperm(count, {generator = lt.generator(self.seed ~ (window * 0x632BE59BD9B4E019 >> 1))})
  end
  return self.rows
end

--- The positions in the set, from 1, that stand in some places of the order.
-- @tparam int first
-- @tparam int last
-- @treturn {int,...}
function Order:positions(first, last)
  local list = {}
  while first <= last do
    local window, before = window_at(self, first)
    local stop = math.min(last, self.ends[window])
    local rows = rows_of(self, window, self.ends[window] - before):slice(1, first - before, stop - before):table()
    for _, row in ipairs(rows) do
      row = math.tointeger(row)
      for block = (window - 1) * self.width + 1, #self.blocks do
        local size = self.sizes[self.blocks[block]]
        if row <= size then
          list[#list + 1] = self.begins[self.blocks[block]] + row
          break
        end
        row = row - size
      end
    end
    first = stop + 1
  end
  return list
end

--- Frees its memory at once.
function Order:close()
  if self.rows then self.rows:close() end
  self.rows, self.current = nil, nil
end

--- Makes an order.
-- @tparam {int,...} sizes rows of each block
-- @tparam int width blocks in a window
-- @tparam int seed
-- @treturn table
function M.new(sizes, width, seed)
  local self = setmetatable({sizes = sizes, width = width, seed = seed, blocks = {}, begins = {}, ends = {}}, Order)
  local begin = 0
  for i, size in ipairs(sizes) do
    self.begins[i] = begin
    begin = begin + size
  end
  local rows = 0
  for i, block in ipairs(lt.randperm(#sizes, {generator = lt.generator(seed)}):table()) do
    self.blocks[i] = math.tointeger(block)
    rows = rows + sizes[self.blocks[i]]
    if i % width == 0 or i == #sizes then self.ends[#self.ends + 1] = rows end
  end
  return self
end

--- What two orders have in common where their blocks and windows are the same.
-- @tparam {int,...} sizes
-- @tparam int width
-- @treturn string
function M.mark(sizes, width)
  return ("%d:%d:%08x"):format(#sizes, width, core.crc32(table.concat(sizes, ",")))
end

return M
