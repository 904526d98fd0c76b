--- The element types of safetensors files and how each becomes float32 (or stays u8).
-- Conversions work on strings of raw elements, block by block. Types of one or two bytes have at
-- most 65,536 values: a table that fills itself, handed to gsub, converts at C speed.
-- @module latent.safetensors.dtypes

local M = {}

local BLOCK = 1 << 16 -- elements converted at a time

-- A table from the bytes of an element to the bytes of the float32, filled as values occur.
local function memo(convert)
  return setmetatable({}, {
    __index = function(t, element)
      local bytes = ("<f"):pack(convert(element))
      t[element] = bytes
      return bytes
    end,
  })
end

local function by_table(pattern, convert)
  local lookup = memo(convert)
  return function(block) return (block:gsub(pattern, lookup)) end
end

-- Wider types: unpack and pack a few hundred at a time, as many as the stack takes without growing.
local function by_unpack(letter, size)
  local many = 240
  local unpack_many, pack_many = "<" .. letter:rep(many), "<" .. ("f"):rep(many)
  return function(block)
    local out, at, stop = {}, 1, #block + 1
    while at + many * size <= stop do
      out[#out + 1] = pack_many:pack(unpack_many:unpack(block, at))
      at = at + many * size
    end
    local rest = (stop - at) // size
    if rest > 0 then
      out[#out + 1] = ("<" .. ("f"):rep(rest)):pack(("<" .. letter:rep(rest)):unpack(block, at))
    end
    return table.concat(out)
  end
end

local function half_to_number(element)
  local bits = ("<I2"):unpack(element)
  local sign = bits < 0x8000 and 1.0 or -1.0
  local exponent, fraction = bits >> 10 & 31, bits & 1023
  if exponent == 0 then return sign * fraction * 2.0 ^ -24 end
  if exponent == 31 then return fraction == 0 and sign * math.huge or 0 / 0 end
  return sign * (1024 + fraction) * 2.0 ^ (exponent - 25)
end

local BOOLS = { ["\0"] = ("<f"):pack(0), ["\1"] = ("<f"):pack(1) }

local function bools(block)
  if block:find("[^\0\1]") then return nil, "a BOOL that is neither 0 nor 1" end
  return (block:gsub(".", BOOLS))
end

local function same(block) return block end

--- The types that can be read: `size` in bytes, `convert(block)` to the bytes of float32.
M.kinds = {
  F32 = { size = 4, convert = same },
  U8 = { size = 1, convert = same },
  F64 = { size = 8, convert = by_unpack("d", 8) },
  F16 = { size = 2, convert = by_table("..", half_to_number) },
  -- bfloat16 is the upper half of a float32.
  BF16 = { size = 2, convert = function(block) return (block:gsub("..", "\0\0%0")) end },
  I8 = { size = 1, convert = by_table(".", function(s) return (("<i1"):unpack(s)) end) },
  I16 = { size = 2, convert = by_table("..", function(s) return (("<i2"):unpack(s)) end) },
  I32 = { size = 4, convert = by_unpack("i4", 4) },
  I64 = { size = 8, convert = by_unpack("i8", 8) },
  BOOL = { size = 1, convert = bools },
}

--- The names of the types, for messages.
M.list = "F32, U8, F64, F16, BF16, I8, I16, I32, I64, BOOL"

--- Reads elements at a file's position and converts them.
-- @param file an open file
-- @tparam string dtype a name in `kinds`
-- @tparam integer bytes how many bytes to read
-- @return the converted elements as a string, or nil and a message
function M.read(file, dtype, bytes)
  local kind = M.kinds[dtype]
  -- What needs no conversion is read in one piece.
  local step = kind.convert == same and math.max(bytes, 1) or BLOCK * kind.size
  local out = {}
  for at = 0, bytes - 1, step do
    local want = math.min(step, bytes - at)
    local block = file:read(want)
    if not block or #block < want then return nil, "the file ends inside its data" end
    local converted, message = kind.convert(block)
    if not converted then return nil, message end
    out[#out + 1] = converted
  end
  return #out == 1 and out[1] or table.concat(out)
end

return M
