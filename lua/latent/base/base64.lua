--- Bytes in base64 (RFC 4648), in one line: for pictures within a page, and for terminals.
-- @module latent.base.base64

local PAIRS -- two digits for each 12 bits

local function make_pairs()
  local digits, pairs_of = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", {}
  for i = 0, 4095 do
    local high, low = (i >> 6) + 1, (i & 63) + 1
    pairs_of[i] = digits:sub(high, high) .. digits:sub(low, low)
  end
  return pairs_of
end

--- @tparam string bytes
-- @treturn string
return function(bytes)
  PAIRS = PAIRS or make_pairs()
  local parts, n = {}, #bytes
  for i = 1, n, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local word = a << 16 | (b or 0) << 8 | (c or 0)
    parts[#parts + 1] = PAIRS[word >> 12] .. PAIRS[word & 4095]
  end
  local text, missing = table.concat(parts), -n % 3
  return text:sub(1, #text - missing) .. ("="):rep(missing)
end
