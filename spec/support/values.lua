-- Numbers for the specs: the same on every machine and in both precisions (multiples of 2^-12, exact in
-- float32), shuffled, and apart from each other, so that no maximum has a tie and no kink is near.
local M = {}

local function shuffle(list, seed)
  local state = seed * 7919 + 12345
  for i = #list, 2, -1 do
    state = (state * 1103515245 + 12345) % 2147483648
    local j = state // 65536 % i + 1
    list[i], list[j] = list[j], list[i]
  end
  return list
end

local function spread(n, seed, first, last)
  local list, offset = {}, (0.37 + 0.171 * seed) % 1
  for i = 1, n do
    local v = first + (i - 1 + offset) * (last - first) / n
    list[i] = math.floor(v * 4096 + 0.5) / 4096
  end
  return shuffle(list, seed)
end

local kinds = {}

function kinds.any(n, seed) return spread(n, seed, -2, 2) end
function kinds.small(n, seed) return spread(n, seed, -0.5, 0.5) end
function kinds.positive(n, seed) return spread(n, seed, 0.3, 2.3) end
kinds["above one"] = function(n, seed) return spread(n, seed, 1.1, 3) end
function kinds.unit(n, seed) return spread(n, seed, 0.05, 0.95) end
-- 0 or 1
function kinds.condition(n, seed)
  local list = spread(n, seed, -1, 1)
  for i, v in ipairs(list) do list[i] = v > 0 and 1 or 0 end
  return list
end

local function count(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

--- n numbers as a list.
function M.list(n, seed, kind) return kinds[kind or "any"](n, seed or 1) end

--- A tensor of the given library (latent or its twin).
function M.tensor(lt, shape, seed, kind)
  local n = count(shape)
  if n == 0 then return lt.zeros(shape) end
  return lt.tensor(M.list(n, seed, kind)):reshape(shape)
end

return M
