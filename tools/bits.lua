-- The bits of all cases: outputs and gradients of each case of spec/support/op_cases.lua in both floating types, and
-- what the golden cases compute.
--   lua5.4 tools/bits.lua >file          a line a result: its name, its shape, and a checksum of its bits
--   lua5.4 tools/bits.lua file other     which of them differ; exit status 1 where one does that may not
-- Two machines may differ where the C library's functions are taken, for these are its own; nowhere else.
local core = require "latent.core"
local lt = require "latent"
local golden = require "spec.support.golden"
local lt64 = require "spec.support.lt64"
local op_cases = require "spec.support.op_cases"
local values = require "spec.support.values"

local LIBRARY = {
  float32 = "acos asin asinh atan atan2 cos erfc erfinv log10 sin tan",
  float64 = "acos asin asinh atan atan2 atanh cos cosh erf erfc erfinv exp expm1 gaussian_kl gelu log log10 log1p "
    .. "polygamma pow sin sinh tan tanh",
}

-- ---- writing ----

local function say(name, t)
  local x = lt.is_tensor(t) and t:detach() or lt.tensor(t, {dtype = "float64"})
  print(("%s\t%s %08x"):format(name, table.concat(x.shape, "x"), core.crc32(x:bytes())))
end

local function say_case(library, type_name, case)
  local inputs = op_cases.inputs(library, case)
  local y = case.f(library, table.unpack(inputs))
  y:backward(values.tensor(library, y.shape, 11))
  local name = op_cases.label(case) .. " " .. type_name
  say(name, y)
  for i, x in ipairs(inputs) do
    if x.grad then say(name .. ", gradient of input " .. i, x.grad) end
  end
end

local function say_golden()
  local case_name
  local Result = getmetatable(golden.result())
  local compare = Result.compare
  function Result:compare(what, got, ...)
    say(("golden %s, %s"):format(case_name, what), got)
    return compare(self, what, got, ...)
  end
  for _, case in ipairs(golden.cases(assert(golden.load "spec/fixtures/golden"))) do
    case_name = case.name
    golden.run(case)
  end
end

local function say_all()
  local names = {}
  for name in pairs(op_cases.cases) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    for _, case in ipairs(op_cases.cases[name]) do
      say_case(lt, "float32", case)
      say_case(lt64, "float64", case)
    end
  end
  say_golden()
end

-- ---- comparing ----

-- What a file has; cases of one name are told apart by their order.
local function read(path)
  local list, count = {}, {}
  for line in io.lines(path) do
    local name, bits = line:match "^(.*)\t(.*)$"
    count[name] = (count[name] or 0) + 1
    list[count[name] == 1 and name or ("%s (%d)"):format(name, count[name])] = bits
  end
  return list
end

-- Whether this result, such as "atan2 [5] [1] float32, gradient of input 1", may be another.
local function may_differ(name)
  local op = name:match "^(%S+)"
  for dtype, ops in pairs(LIBRARY) do
    if name:find(" " .. dtype, 1, true) and (" " .. ops .. " "):find(" " .. op .. " ", 1, true) then return true end
  end
  return false
end

local function compare(path, other_path)
  local list, other = read(path), read(other_path)
  local same, allowed, wrong = 0, {}, {}
  for name, bits in pairs(list) do
    if other[name] == bits then same = same + 1
    elseif other[name] and may_differ(name) then allowed[#allowed + 1] = name
    else wrong[#wrong + 1] = name end
  end
  for name in pairs(other) do
    if not list[name] then wrong[#wrong + 1] = name end
  end
  table.sort(wrong)
  for _, name in ipairs(wrong) do
    print(("%s: %s and %s"):format(name, list[name] or "missing", other[name] or "missing"))
  end
  local summary = "bits: %d results are the same, %d are of functions of the C library and differ, %d should not differ"
  print(summary:format(same, #allowed, #wrong))
  return same > 0 and #wrong == 0
end

if arg[2] then os.exit(compare(arg[1], arg[2]), true) end
say_all()
