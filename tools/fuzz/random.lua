-- Random choices that a seed and a number fix, apart from the library's own generator and from Lua's.
local Random = {}
Random.__index = Random

-- splitmix64 (Steele, Lea and Flood 2014): any seed is a good one.
local function next_bits(self)
  self.state = self.state + 0x9E3779B97F4A7C15
  local z = self.state
  z = (z ~ z >> 30) * 0xBF58476D1CE4E5B9
  z = (z ~ z >> 27) * 0x94D049BB133111EB
  return z ~ z >> 31
end

--- The choices for input number `index` under a seed.
function Random.new(seed, index)
  local self = setmetatable({state = seed * 0x2545F4914F6CDD1D + index}, Random)
  next_bits(self)
  return self
end

--- A whole number from `low` to `high`.
function Random:int(low, high) return low + (next_bits(self) >> 1) % (high - low + 1) end

--- A number from 0 to 1.
function Random:real() return (next_bits(self) >> 11) * 2.0 ^ -53 end

function Random:chance(p) return self:real() < p end

function Random:pick(list) return list[self:int(1, #list)] end

-- Sizes, counts and offsets at which readers err.
local INTEGERS = {0, 1, 2, 3, 4, 7, 8, 16, 64, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 1 << 20, 1 << 24,
  (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 36, 1 << 53, 1 << 62, math.maxinteger, -1, -2, -128,
  -(1 << 31), math.mininteger}

--- A whole number as damage and malice choose it.
function Random:integer()
  if self:chance(0.3) then return self:int(0, 300) end
  return self:pick(INTEGERS)
end

function Random:bytes(count)
  local out = {}
  for i = 1, count do out[i] = string.char(self:int(0, 255)) end
  return table.concat(out)
end

return Random
