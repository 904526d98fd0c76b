--- Protocol buffers, as far as a writer of ONNX needs them: fields of a message as bytes.
-- @module latent.onnx.protobuf
local M = {}

local VARINT, BYTES, FIXED32 = 0, 2, 5 -- wire types

-- A whole number, seven bits a byte, the lowest first; a negative one as its 64 bits.
local function varint(n)
  local bytes = {}
  repeat
    local low = n & 0x7f
    n = n >> 7
    bytes[#bytes + 1] = string.char(n ~= 0 and low | 0x80 or low)
  until n == 0
  return table.concat(bytes)
end

local function key(field, wire) return varint(field << 3 | wire) end

--- A field that is a whole number.
-- @tparam int field its number
-- @tparam int n
-- @treturn string
function M.int(field, n) return key(field, VARINT) .. varint(n) end

--- A field that is a float32.
-- @tparam int field its number
-- @tparam number x
-- @treturn string
function M.float(field, x) return key(field, FIXED32) .. ("<f"):pack(x) end

--- A field that is text, bytes or a message.
-- @tparam int field its number
-- @tparam string s
-- @treturn string
function M.bytes(field, s) return key(field, BYTES) .. varint(#s) .. s end

--- Whole numbers in one field, packed.
-- @tparam int field its number
-- @tparam {int,...} list
-- @treturn string
function M.ints(field, list)
  local parts = {}
  for i, n in ipairs(list) do parts[i] = varint(n) end
  return M.bytes(field, table.concat(parts))
end

--- Fields, or what makes one, for each item of a list.
-- @tparam function make (field, item), as those above
-- @tparam int field its number
-- @tparam table list
-- @treturn string
function M.each(make, field, list)
  local parts = {}
  for i, item in ipairs(list) do parts[i] = make(field, item) end
  return table.concat(parts)
end

return M
