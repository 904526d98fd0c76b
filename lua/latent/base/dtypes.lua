--- The element types of other programs' files and what becomes of each: uint8 stays u8 and so do truth values, float64
-- and int64 stay what they are, other whole numbers become i64, and floating ones float32. So does uint64, which i64
-- does not hold, and is rounded to the nearest; `exact = true` makes what float32 cannot hold an error instead.
-- Conversions work on strings of raw elements, block by block. Types of one or two bytes have at
-- most 65,536 values: a table that fills itself, handed to gsub, converts at C speed.
-- @module latent.base.dtypes

local core = require "latent.core"

local M = {}

local BLOCK = 1 << 16 -- elements converted at a time

-- A table from the bytes of an element to those of what it becomes, filled as values occur.
local function memo(convert, to)
  return setmetatable({}, {
    __index = function(t, element)
      local bytes = to:pack(convert(element))
      t[element] = bytes
      return bytes
    end,
  })
end

local function by_table(pattern, convert, to)
  local lookup = memo(convert, to)
  return function(block) return (block:gsub(pattern, lookup)) end
end

-- Wider types: unpack and pack a few hundred at a time, as many as the stack takes without growing.
-- `to` is the letter of what they become, "f" unless it is said.
-- `wide` is the letter of 64-bit integers: from those Lua rounds twice, to a double and to a float.
-- A sticky bit in the double makes the second rounding the right one.
local function by_unpack(order, letter, size, to, wide)
  local many = 240
  to = to or "f"
  local unpack_many, pack_many = order .. letter:rep(many), "<" .. to:rep(many)
  local function pack(format, ...)
    if not wide then return format:pack(...) end
    local values = {...}
    for i = 1, #format - 1 do values[i] = M.double(values[i], wide) end
    return format:pack(table.unpack(values, 1, #format - 1))
  end
  return function(block)
    local out, at, stop = {}, 1, #block + 1
    while at + many * size <= stop do
      out[#out + 1] = pack(pack_many, unpack_many:unpack(block, at))
      at = at + many * size
    end
    local rest = (stop - at) // size
    if rest > 0 then
      out[#out + 1] = pack("<" .. to:rep(rest), (order .. letter:rep(rest)):unpack(block, at))
    end
    return table.concat(out)
  end
end

--- The double that leads from a 64-bit integer to the nearest float32: the nearest double, or beside a tie the
-- one on the integer's side.
-- @tparam int v
-- @tparam string letter "i8", or "I8" where v's bits mean an unsigned number
-- @treturn number
function M.double(v, letter)
  local scale = 1.0
  if letter == "I8" and v < 0 then v, scale = v >> 1 | v & 1, 2.0 end
  if v >= 1 << 53 or v <= -(1 << 53) then
    local low = v & 0x7FF
    if low ~= 0 then v = v - low | 0x800 end
  end
  return v * scale
end

local function half_to_number(bits)
  local sign = bits < 0x8000 and 1.0 or -1.0
  local exponent, fraction = bits >> 10 & 31, bits & 1023
  if exponent == 0 then return sign * fraction * 2.0 ^ -24 end
  if exponent == 31 then return fraction == 0 and sign * math.huge or 0 / 0 end
  return sign * (1024 + fraction) * 2.0 ^ (exponent - 25)
end

local function bools(block)
  if block:find("[^\0\1]") then return nil, "a BOOL that is neither 0 nor 1" end
  return block
end

local function same(block) return block end

-- Elements of eight bytes, the last byte first.
local function turned(block) return (block:gsub("(.)(.)(.)(.)(.)(.)(.)(.)", "%8%7%6%5%4%3%2%1")) end

-- For `exact`: the letter of types that hold more than float32 does.
local WIDE = {U64 = "I8"}

-- Numbers of two bytes: whole ones as i64, or what `convert` makes of them as float32.
local function by_pair(order, letter, convert)
  local format = order .. letter
  return by_table("..", function(s)
    local value = format:unpack(s)
    return convert and convert(value) or value
  end, convert and "<f" or "<j")
end

-- The types whose elements are numbers in a byte order, "<" or ">".
local function ordered(order)
  return {
    F32 = {size = 4, convert = order == "<" and same or by_unpack(order, "f", 4)},
    F64 = {size = 8, tensor = "float64", convert = order == "<" and same or turned},
    F16 = {size = 2, convert = by_pair(order, "I2", half_to_number)},
    I16 = {size = 2, tensor = "i64", convert = by_pair(order, "i2")},
    I32 = {size = 4, tensor = "i64", convert = by_unpack(order, "i4", 4, "j")},
    I64 = {size = 8, tensor = "i64", convert = order == "<" and same or turned},
    U16 = {size = 2, tensor = "i64", convert = by_pair(order, "I2")},
    U32 = {size = 4, tensor = "i64", convert = by_unpack(order, "I4", 4, "j")},
    U64 = {size = 8, convert = by_unpack(order, "i8", 8, "f", "I8")},
  }
end

--- The types that can be read: `size` in bytes, the type of the `tensor` (float32 where none is said), and
-- `convert(block)` to the bytes of its elements.
M.kinds = ordered "<"
M.kinds.U8 = {size = 1, tensor = "u8", convert = same}
M.kinds.I8 = {size = 1, tensor = "i64", convert = by_table(".", function(s) return (("<i1"):unpack(s)) end, "<j")}
M.kinds.BOOL = {size = 1, tensor = "u8", convert = bools}
-- bfloat16 is the upper half of a float32.
M.kinds.BF16 = {size = 2, convert = function(block) return (block:gsub("..", "\0\0%0")) end}

-- Those whose bytes come high one first.
local BIG = ordered ">"

--- The names of the types, for messages.
M.list = "F32, U8, F64, F16, BF16, I8, I16, I32, I64, U16, U32, U64, BOOL"

-- The first value of a block that float32 cannot hold, or nil.
local function first_inexact(block, order, letter)
  local format, size = order .. letter, ("<" .. letter):packsize()
  for at = 1, #block, size do
    local v = format:unpack(block, at)
    if letter == "I8" and v < 0 then -- 2^63 or more: float32 holds the upper 24 bits
      if v & (1 << 40) - 1 ~= 0 then return ("0x%X"):format(v) end
    elseif ("<f"):unpack(("<f"):pack(v)) ~= v and v == v then
      return tostring(v) -- Lua compares an integer with a float exactly; NaN is no loss
    end
  end
end

-- Converts the elements that next_block(bytes) hands out; `total` bytes in all.
local function convert_blocks(dtype, total, exact, big, next_block)
  local kind = big and BIG[dtype] or M.kinds[dtype]
  -- What needs no conversion is taken in one piece.
  local step = kind.convert == same and math.max(total, 1) or BLOCK * kind.size
  local out = {}
  for at = 0, total - 1, step do
    local want = math.min(step, total - at)
    local block = next_block(want)
    if not block or #block < want then return nil, "the file ends inside its data" end
    local odd = exact and WIDE[dtype] and first_inexact(block, big and ">" or "<", WIDE[dtype])
    if odd then return nil, ("%s of %s cannot be held by float32 (exact = true asks for that)"):format(odd, dtype) end
    local converted, message = kind.convert(block)
    if not converted then return nil, message end
    out[#out + 1] = converted
  end
  return #out == 1 and out[1] or table.concat(out)
end

--- Reads elements at a file's position and converts them.
-- @param file an open file
-- @tparam string dtype a name in `kinds`
-- @tparam integer bytes how many bytes to read
-- @tparam ?boolean exact whether a value that float32 cannot hold is an error
-- @return the converted elements as a string, or nil and a message
function M.read(file, dtype, bytes, exact)
  return convert_blocks(dtype, bytes, exact, false, function(want) return file:read(want) end)
end

--- Converts elements that are in a string.
-- @tparam string bytes
-- @tparam string dtype a name in `kinds`
-- @tparam int from position of the first byte
-- @tparam int count bytes to convert
-- @tparam ?boolean exact whether a value that float32 cannot hold is an error
-- @tparam ?boolean big whether the numbers come high byte first
-- @return the converted elements as a string, or nil and a message
function M.convert(bytes, dtype, from, count, exact, big)
  local at = from
  return convert_blocks(dtype, count, exact, big, function(want)
    at = at + want
    return bytes:sub(at - want, at - 1)
  end)
end

--- The dtype of the tensor that elements become.
-- @tparam string dtype a name in `kinds`
-- @treturn string "float32", "float64", "u8" or "i64"
function M.tensor_dtype(dtype) return M.kinds[dtype].tensor or "float32" end

--- The types that tensors are written as, by their own names.
M.written = {float32 = "F32", float64 = "F64", u8 = "U8", i64 = "I64"}

--- The types of files whose elements are those of a tensor as they stand, and the tensor's.
M.kept = {}
for dtype, name in pairs(M.written) do M.kept[name] = dtype end

--- The number of bytes of a shape; more than `limit`, or a shape that no tensor can have (a zero among its sizes
-- does not make the others small), is math.huge, before anything overflows.
-- @tparam {int,...} shape
-- @tparam int size bytes of an element
-- @tparam int limit
-- @treturn number
function M.shape_bytes(shape, size, limit)
  local bytes, empty = size, false
  for _, n in ipairs(shape) do empty = empty or n == 0 end
  if empty then limit = core.most_elements * size end
  for _, n in ipairs(shape) do
    if n > limit // bytes then return math.huge end
    bytes = bytes * math.max(n, 1)
  end
  return empty and 0 or bytes
end

return M
