-- What an op says of arguments that do not fit begins with the name by which it was called, whichever ops it is made
-- of: every case of spec/support/op_cases.lua is called once more with each of its tensors of another type, of another
-- shape, or no tensor at all.
local lt = require "latent"
local op_cases = require "spec.support.op_cases"

local SPOILED = {
  i64 = function(x) return x:long() end,
  u8 = function(x) return x:abs():byte() end,
  float64 = function(x) return x:double() end,
  ["an axis more"] = function(x) return x:unsqueeze(1) end,
  ["one axis"] = function(x) return x:reshape(-1) end,
  ["another shape"] = function() return lt.zeros(3, 7) end,
  ["no elements"] = function() return lt.zeros(0) end,
  ["a text"] = function() return "text" end,
}

-- The library as a case sees it, with one function that says what its errors begin with.
local function watched(name, faults, label)
  local f = lt[name]
  local function call(...)
    local result = table.pack(f(...)) -- no tail call: this line is the user's
    return result
  end
  return setmetatable({[name] = function(...)
    local ok, result = pcall(call, ...)
    if ok then return table.unpack(result, 1, result.n) end
    local text = tostring(result):gsub("^[^:]*:%d+: ", "")
    if text:sub(1, #name + 1) ~= name .. ":" then faults[#faults + 1] = ("%s of %s: %s"):format(name, label, text) end
    error(result, 0)
  end}, {__index = lt})
end

local function inputs_of(case)
  local list = op_cases.inputs(lt, case)
  for i, x in ipairs(list) do list[i] = lt.is_tensor(x) and x:detach() or x end
  return list
end

-- Calls a case with the inputs that `choose(i)` names spoiled; false where the core would not even make them.
local function try(case, name, faults, what, choose)
  local list = inputs_of(case)
  for i, x in ipairs(list) do
    if choose(i) and lt.is_tensor(x) then list[i] = SPOILED[what](x) end
  end
  return (pcall(case.f, watched(name, faults, what), table.unpack(list)))
end

describe("an op's message begins with its name:", function()
  local names = {}
  for name in pairs(op_cases.cases) do names[#names + 1] = name end
  table.sort(names)
  for what in pairs(SPOILED) do
    it("where it is given " .. what, function()
      local faults, refused = {}, 0
      for _, name in ipairs(names) do
        for _, case in ipairs(op_cases.cases[name]) do
          local count = #inputs_of(case)
          for one = 0, count do
            local ok = try(case, name, faults, what, function(i) return one == 0 or i == one end)
            refused = refused + (ok and 0 or 1)
          end
        end
      end
      assert(refused > 50, ("%d calls were refused: no test"):format(refused))
      assert(#faults == 0, ("%d of %d:\n"):format(#faults, refused) .. table.concat(faults, "\n"))
    end)
  end
end)
