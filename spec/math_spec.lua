-- The functions that are written out for vectors, over the whole range of single precision, against the C
-- library's in double precision.
local lt = require "latent"
local lt64 = require "spec.support.lt64"

local inf = math.huge

-- Bit patterns spread over all of the numbers: both signs, denormals, infinities and NaN among them.
local function everywhere()
  local words = {}
  for bits = 0, 0xffffffff, 214013 do words[#words + 1] = ("<I4"):pack(bits) end
  for _, bits in ipairs {0, 1, 0x7fffff, 0x800000, 0x3f800000, 0x7f7fffff, 0x7f800000, 0x7fc00000} do
    words[#words + 1] = ("<I4"):pack(bits)
    words[#words + 1] = ("<I4"):pack(bits | 0x80000000)
  end
  for x = -120, 120 do words[#words + 1] = ("<f"):pack(x * 0.87) end
  return lt.from_bytes(table.concat(words), {#words}, "float32")
end

-- The distance of neighbouring single precision numbers at x.
local function unit(x)
  local exponent = x == 0 and -149 or math.floor(math.log(math.abs(x), 2))
  return 2.0 ^ math.max(exponent - 23, -149)
end

local FUNCTIONS = {exp = 1.1, log = 1.1, tanh = 2.6, sigmoid = 2.6, softplus = 2.6, sqrt = 0.6, exp2 = 1.1, log2 = 1.6,
  expm1 = 1.6, log1p = 1.1, sinh = 2.6, cosh = 2.6, asinh = 1.6, acosh = 2.1, atanh = 1.6, rsqrt = 1.6}
local TOO_LARGE = (2 - 2.0 ^ -24) * 2.0 ^ 127 -- rounds to infinity

describe("functions of single precision", function()
  for name, limit in pairs(FUNCTIONS) do
    it(name .. " is right everywhere", function()
      local x = everywhere()
      local exact = lt64[name](lt64.tensor(x:table())):table()
      for i, y in ipairs(lt[name](x):table()) do
        local want = exact[i]
        if math.abs(want) >= TOO_LARGE then want = want > 0 and inf or -inf end
        local at = ("%s(%a) = %a, not %a"):format(name, x[i], y, want)
        if want ~= want then assert(y ~= y, at)
        elseif want == inf or want == -inf then assert(y == want, at)
        else assert(math.abs(y - want) <= limit * unit(want), at) end
      end
    end)
  end

  it("have the same value at every place of a tensor", function()
    for name in pairs(FUNCTIONS) do
      local x = everywhere():slice(1, 1, 37)
      local whole = lt[name](x)
      for i = 1, 37 do
        assert(lt[name](x:slice(1, i, i)):bytes() == whole:slice(1, i, i):bytes(), name)
      end
    end
  end)

  it("make gelu and elu agree with double precision", function()
    local x = lt.linspace(-12, 12, 4001)
    for _, name in ipairs {"gelu", "elu"} do
      local exact = lt64[name](lt64.tensor(x:table())):table()
      for i, y in ipairs(lt[name](x):table()) do
        assert(math.abs(y - exact[i]) <= 3 * unit(exact[i]) + 2e-7 * math.min(1, math.abs(x[i])), name)
      end
    end
  end)
end)
