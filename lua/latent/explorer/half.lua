--- Weights as half precision numbers, for pages that would be too large otherwise. Numbers are rounded to the nearest,
-- ties to even (IEEE 754).
-- @module latent.explorer.half
local json = require "latent.json"
local sorted_keys = require "latent.base.sorted_keys"

local M = {}

local AT_ONCE = 128 -- string.unpack returns its values on the stack
local LARGEST = 65504

-- Rounded to a whole number, ties to even.
local function round(x)
  local low = x // 1 | 0
  local rest = x - low
  if rest > 0.5 or (rest == 0.5 and low % 2 == 1) then low = low + 1 end
  return low
end

--- The 16 bits of a number, and the number that they stand for. What is too large becomes the largest.
-- @tparam number x finite
-- @treturn int
-- @treturn number
function M.bits(x)
  local sign, a = 0, math.abs(x)
  if x < 0 then sign = 0x8000 end
  if a >= LARGEST then return sign | 0x7BFF, x < 0 and -LARGEST or LARGEST end
  local exponent = -14 -- of the least normal number; below it the steps are all 2^-24
  while a >= 2.0 ^ (exponent + 1) do exponent = exponent + 1 end
  local step = 2.0 ^ (exponent - 10)
  local steps = round(a / step)
  local value = steps * step
  local bits = steps < 1024 and steps or (exponent + 14 << 10) + steps -- a carry goes into the exponent
  return sign | bits, x < 0 and -value or value
end

-- Float32 elements as float16, and the sums of the squares of errors and values.
local function halved(bytes)
  local out, error, total = {}, 0, 0
  for at = 1, #bytes, 4 * AT_ONCE do
    local n = math.min(AT_ONCE, (#bytes - at + 1) // 4)
    local list = {("<" .. ("f"):rep(n)):unpack(bytes, at)}
    for i = 1, n do
      local bits, value = M.bits(list[i])
      error, total = error + (value - list[i]) ^ 2, total + list[i] ^ 2
      list[i] = bits
    end
    out[#out + 1] = ("<" .. ("H"):rep(n)):pack(table.unpack(list, 1, n))
  end
  return table.concat(out), error, total
end

--- A safetensors file with a state in half precision.
-- @tparam table state of tensors
-- @treturn string
-- @treturn number the root of the mean squared error, as a share of the weights' own
function M.file(state)
  local head, parts, at, error, total = {}, {}, 0, 0, 0
  for i, name in ipairs(sorted_keys(state)) do
    local tensor = state[name]
    local bytes, wrong, sum = halved(tensor:float():bytes())
    head[name] = {dtype = "F16", shape = json.array(tensor.shape), data_offsets = json.array{at, at + #bytes}}
    parts[i], at, error, total = bytes, at + #bytes, error + wrong, total + sum
  end
  return ("<s8"):pack(json.encode(head)) .. table.concat(parts), (error / math.max(total, 1e-300)) ^ 0.5
end

return M
