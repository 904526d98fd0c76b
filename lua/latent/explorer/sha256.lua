--- SHA-256 (FIPS 180-4), for the hashes by which a page says which scripts and styles are its own.
-- @module latent.explorer.sha256

local ROUNDS = 64

-- The first 32 bits of the fractional parts of roots of the first primes: square roots of 8, cube roots of 64.
local function constants()
  local primes, n = {}, 2
  while #primes < ROUNDS do
    local is_prime = true
    for _, p in ipairs(primes) do is_prime = is_prime and n % p ~= 0 end
    if is_prime then primes[#primes + 1] = n end
    n = n + 1
  end
  local start, steps = {}, {}
  for i, p in ipairs(primes) do
    -- In whole numbers: 2^32 times a root, below the least number whose power is too large.
    local low, high = 0, 20 << 32
    while high - low > 1 do
      local middle = low + high >> 1
      local whole, part = middle >> 32, middle & 0xFFFFFFFF
      local root = whole + part / 2.0 ^ 32
      if root * root * root <= p then low = middle else high = middle end
    end
    steps[i] = low & 0xFFFFFFFF
    if i <= 8 then start[i] = (p ^ 0.5 % 1 * 2.0 ^ 32) // 1 | 0 end
  end
  return start, steps
end

local START, STEPS = constants()

local function rotate(x, n) return (x >> n | x << 32 - n) & 0xFFFFFFFF end

-- The 64 words that a block of 64 bytes grows to.
local function schedule(message, at)
  local w = {(">" .. ("I4"):rep(16)):unpack(message, at)}
  for i = 17, ROUNDS do
    local a, b = w[i - 15], w[i - 2]
    local s0 = rotate(a, 7) ~ rotate(a, 18) ~ a >> 3
    local s1 = rotate(b, 17) ~ rotate(b, 19) ~ b >> 10
    w[i] = w[i - 16] + s0 + w[i - 7] + s1 & 0xFFFFFFFF
  end
  return w
end

local function add_block(state, w)
  local a, b, c, d, e, f, g, h = table.unpack(state)
  for i = 1, ROUNDS do
    local s1 = rotate(e, 6) ~ rotate(e, 11) ~ rotate(e, 25)
    local t1 = h + s1 + (e & f ~ ~e & g) + STEPS[i] + w[i]
    local t2 = (rotate(a, 2) ~ rotate(a, 13) ~ rotate(a, 22)) + (a & b ~ a & c ~ b & c)
    a, b, c, d, e, f, g, h = t1 + t2 & 0xFFFFFFFF, a, b, c, d + t1 & 0xFFFFFFFF, e, f, g
  end
  for i, x in ipairs{a, b, c, d, e, f, g, h} do state[i] = state[i] + x & 0xFFFFFFFF end
end

--- The digest of a string: 32 bytes.
-- @tparam string text
-- @treturn string
return function(text)
  local padded = text .. "\x80" .. ("\0"):rep((55 - #text) % 64) .. (">I8"):pack(8 * #text)
  local state = table.move(START, 1, 8, 1, {})
  for at = 1, #padded, 64 do add_block(state, schedule(padded, at)) end
  return (">" .. ("I4"):rep(8)):pack(table.unpack(state))
end
