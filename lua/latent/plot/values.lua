--- Numbers for plots: reads tensors and nested Lua tables into flat arrays with a shape.
-- Knows nothing of gnuplot. Everything wrong with the data is raised here, naming the argument.
-- @module latent.plot.values

local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

local ELEMENT = {u8 = {"B", 1}, i64 = {"<j", 8}, float32 = {"<f", 4}, float64 = {"<d", 8}}
local SCALAR = {}
local UNPACK_AT_ONCE = 128 -- string.unpack returns its values on the stack
local MOST_GAPS = 1e7 -- a table whose last key is beyond is no list

--- Whether `v` is a tensor: anything with a shape and a `bytes` method.
-- @param v any value
-- @return boolean
function M.is_tensor(v)
  if type(v) ~= "table" and type(v) ~= "userdata" then
    return false
  end
  local ok, yes = pcall(function()
    return v.shape ~= nil and v.bytes ~= nil
  end)
  return ok and yes
end

local function append_tensor(name, t, out)
  local element = ELEMENT[t.dtype]
  if not element then
    raise(("%s: cannot read a tensor of dtype %s"):format(name, tostring(t.dtype)))
  end
  local code, size = element[1], element[2]
  local letter = code:sub(-1)
  local bytes = t:bytes()
  local count, done = #bytes // size, 0
  while done < count do
    local n = math.min(UNPACK_AT_ONCE, count - done)
    local chunk = table.pack(string.unpack("<" .. letter:rep(n), bytes, done * size + 1))
    table.move(chunk, 1, n, #out + 1, out)
    done = done + n
  end
  return {table.unpack(t.shape)}
end

local function same_shape(a, b)
  if #a ~= #b then
    return false
  end
  for i = 1, #a do
    if a[i] ~= b[i] then
      return false
    end
  end
  return true
end

--- The last whole number among a table's keys: `#` may stop at any nil.
local function last_key(name, v)
  local last = #v
  for key, value in pairs(v) do
    if math.type(key) ~= "integer" and key ~= "n" then -- that of table.pack
      core.check_list({[key] = value}, name)
    elseif key ~= "n" and key > last then
      last = key
    end
  end
  if last > MOST_GAPS + #v then
    raise(("%s: expected a list, got a table with the key %d"):format(name, last))
  end
  return last
end

local function append_table(name, v, out, gaps)
  local first
  local count = last_key(name, v)
  for i = 1, count do
    local element, shape = v[i], SCALAR
    if element == nil and gaps then
      element = 0 / 0
    end
    if type(element) == "number" then
      out[#out + 1] = element
    elseif M.is_tensor(element) then
      shape = append_tensor(name, element, out)
    elseif type(element) == "table" then
      shape = append_table(name, element, out)
    else
      raise(("%s: expected numbers, got %s at position %d"):format(name, options.describe(element), i))
    end
    first = first or shape
    if not same_shape(first, shape) then
      raise(("%s: element %d has shape %s, but element 1 has %s"):format(
        name, i, shapes.text(shape), shapes.text(first)))
    end
  end
  return {count, table.unpack(first or SCALAR)}
end

--- Reads a tensor or nested tables of numbers.
-- @tparam string name what to call the argument in messages, "plot.lines: y"
-- @param v tensor, nested Lua table, or Lua table of tensors
-- @param ?gaps true for a list in which nil stands for NaN
-- @treturn {number,...} the values, row-major
-- @treturn {int,...} the shape
function M.read(name, v, gaps)
  local out = {}
  if M.is_tensor(v) then
    return out, append_tensor(name, v, out)
  elseif type(v) ~= "table" then
    raise(("%s: expected a tensor or a table of numbers, got %s"):format(
      name, v == nil and "nothing" or options.describe(v)))
  end
  return out, append_table(name, v, out, gaps)
end

--- Reads a list of numbers: shape [n], or [n, 1].
-- @tparam string name
-- @param v tensor or table
-- @param ?gaps true where nil stands for NaN
-- @treturn {number,...}
function M.list(name, v, gaps)
  local out, shape = M.read(name, v, gaps)
  if #out == 0 then
    raise(name .. ": is empty")
  elseif #shape > 2 or (#shape == 2 and shape[2] ~= 1) then
    raise(("%s: expected shape [n], got %s"):format(name, shapes.text(shape)))
  end
  return out
end

--- Whether a number can be drawn.
-- @tparam number v
-- @treturn boolean
function M.is_finite(v)
  return v == v and v ~= math.huge and v ~= -math.huge
end

--- Smallest and largest finite value.
-- @tparam {number,...} list
-- @tparam ?boolean positive leave out what a logarithmic axis cannot show
-- @treturn ?number smallest, nil when there is none
-- @treturn ?number largest
function M.extent(list, positive)
  local lo, hi
  for i = 1, #list do
    local v = list[i]
    if M.is_finite(v) and not (positive and v <= 0) then
      lo = (not lo or v < lo) and v or lo
      hi = (not hi or v > hi) and v or hi
    end
  end
  return lo, hi
end

local function is_channels(n)
  return n == 1 or n == 3
end

--- Reads images of one size.
-- @tparam string name
-- @param v [..., H, W] or [..., H, W, C] with C = 1 or 3; a last dimension of 1 or 3 counts as C
-- @tparam int lead_max how many dimensions may precede H
-- @treturn table {values, n, h, w, c, lead = shape before H, bytes = true for u8 tensors}
function M.images(name, v, lead_max)
  local values, shape = M.read(name, v)
  local c = 1
  if #shape > 2 and is_channels(shape[#shape]) then
    c = table.remove(shape)
  end
  if #values == 0 then
    raise(("%s: is empty (shape %s)"):format(name, shapes.text(shape)))
  elseif #shape < 2 or #shape - 2 > lead_max then
    local lead = ("n, "):rep(lead_max)
    raise(("%s: expected images [%sH, W] or [%sH, W, 1 or 3], got %s"):format(name, lead, lead, shapes.text(shape)))
  end
  local w, h = table.remove(shape), table.remove(shape)
  return {
    values = values, n = #values // (h * w * c), h = h, w = w, c = c, lead = shape,
    bytes = M.is_tensor(v) and v.dtype == "u8",
  }
end

--- Packs columns of numbers as rows of little-endian doubles, the way gnuplot reads them.
-- What is not finite becomes NaN, which gnuplot leaves out.
-- @tparam {number,...} ... columns of equal length
-- @treturn string
function M.pack(...)
  local columns, out = {...}, {}
  local format = "<" .. ("d"):rep(#columns)
  local row = {}
  for i = 1, #columns[1] do
    for j, column in ipairs(columns) do
      local v = column[i]
      row[j] = M.is_finite(v) and v or 0 / 0
    end
    out[i] = string.pack(format, table.unpack(row))
  end
  return table.concat(out)
end

--- A number as a format of the user's writes it; what is not finite in words.
-- @tparam string fname of the function, for the message
-- @tparam string format such as "%.1f"
-- @tparam number v
-- @treturn string
function M.number_text(fname, format, v)
  if not M.is_finite(v) then
    return v ~= v and "NaN" or v > 0 and "inf" or "-inf"
  end
  local ok, text = pcall(string.format, format, v)
  if not ok then
    raise(fname .. ': format: expected one for a number, as "%.1f"')
  elseif text:find("\0", 1, true) then
    raise(fname .. ": format: expected text, got a string with a zero byte")
  end
  return text
end

return M
