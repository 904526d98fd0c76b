--- Bytes as text, five characters for four bytes (base64 takes five and a third): for what a page carries. None of the
-- characters means anything to HTML or in a string of JavaScript.
-- @module latent.explorer.base85

local M = {}

--- The characters, for 0 to 84.
M.alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?_~|()[]{}@%$#"

local SQUARE, POWER = 85 * 85, 85 * 85 * 85 * 85

local pairs_of = {} -- of digits
for i = 0, SQUARE - 1 do
  local high, low = i // 85 + 1, i % 85 + 1
  pairs_of[i] = M.alphabet:sub(high, high) .. M.alphabet:sub(low, low)
end

--- @tparam string bytes; zeros are added up to a multiple of four, so their number is to be known otherwise
-- @treturn string
function M.encode(bytes)
  local padded, parts = bytes .. ("\0"):rep(-#bytes % 4), {}
  for at = 1, #padded, 4 do
    local word = (">I4"):unpack(padded, at)
    local first, rest = word // POWER, word % POWER
    parts[#parts + 1] = M.alphabet:sub(first + 1, first + 1) .. pairs_of[rest // SQUARE] .. pairs_of[rest % SQUARE]
  end
  return table.concat(parts)
end

return M
