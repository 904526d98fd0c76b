-- Calls that make no sense: an op with inputs and arguments that nothing chose to fit. Each must work or be refused
-- with a message at the caller's line that a user can read.
local json = require "latent.json"
local lt = require "latent"

local M = {}

-- Arguments, by name so that a call can be written to a file.
local VALUES = {
  ["nil"] = function() return nil end, yes = function() return true end, word = function() return "sum" end,
  nan = function() return 0 / 0 end, inf = function() return math.huge end, list = function() return {1, 2, 3} end,
  zeros = function() return {0, 0} end, odd = function() return {no_such_option = 1} end,
  none = function() return {} end, huge_list = function() return {1 << 40, 1 << 40} end,
  nested = function() return {{1, 2}, {3}} end, closure = function() return print end,
  stride0 = function() return {stride = 0} end, padding = function() return {padding = {1 << 31, -1}} end,
  dilation = function() return {dilation = 1 << 62} end, keepdim = function() return {keepdim = true} end,
  tensor = function() return lt.ones(2, 3) end, scalar = function() return lt.tensor(2) end,
  images = function() return lt.ones(2, 4, 4, 3) end, weight = function() return lt.ones(3, 3, 3, 2) end,
  empty = function() return lt.zeros(0, 3) end, bytes = function() return lt.zeros(2, 3):u8() end,
  param = function() return lt.param(lt.ones(3, 2)) end, graph = function() return lt.param(lt.ones(2, 3)) * 2 end,
  vector = function() return lt.ones(3) end, wide = function() return lt.ones(1, 1, 1, 1, 1, 1, 1, 1) end,
  closed = function()
    local x = lt.ones(2)
    x:close()
    return x
  end,
}
local TENSORS = {"tensor", "scalar", "images", "weight", "empty", "bytes", "param", "graph", "vector", "wide", "closed"}
local NUMBERS = {0, 1, 2, 3, 4, -1, -2, -9, 1.5, -0.5, 100, 1e300, -1e300, 1 << 31, 1 << 53, math.maxinteger,
  math.mininteger}

local NAMES = {}
for name in pairs(VALUES) do NAMES[#NAMES + 1] = name end
table.sort(NAMES)

local FUNCTIONS = {}
for _, op in ipairs(lt.ops()) do FUNCTIONS[#FUNCTIONS + 1] = op.name end
for _, name in ipairs{"zeros", "ones", "full", "eye", "arange", "linspace", "tensor", "randn", "rand", "knn",
  "resize_bilinear", "param", "is_tensor", "gather_scaled"} do
  if lt[name] then FUNCTIONS[#FUNCTIONS + 1] = name end
end

--- A call: {name, argument...}; an argument is a number or the name of a value.
function M.random(r)
  local call = json.array{r:pick(FUNCTIONS)}
  for i = 1, r:int(0, 4) do
    local p = r:real()
    call[i + 1] = p < 0.5 and r:pick(TENSORS) or p < 0.75 and r:pick(NUMBERS) or r:pick(NAMES)
  end
  return call
end

local UNFIT = {"attempt to ", "bad argument", "stack overflow", "%.lua:%d"}

--- Judges a call. @return nil, or what is wrong
function M.judge(call)
  local args, count = {}, #call - 1
  for i = 1, count do
    local a = call[i + 1]
    if type(a) == "string" then args[i] = VALUES[a]() else args[i] = a end
  end
  local ok, message = pcall(function()
    local y = lt[call[1]](table.unpack(args, 1, count)) -- no tail call: this line is the user's
    if lt.is_tensor(y) and y.requires_grad and y:numel() < 1e6 then y:sum():backward() end
    return y
  end)
  if ok then return nil end
  if type(message) ~= "string" then return "raises " .. tostring(message) end
  if message == "not enough memory" then return nil end -- Lua's own, of a list that was too long
  local place, text = message:match "^(.-):%d+: (.*)$"
  if place ~= debug.getinfo(1, "S").short_src then return "raises elsewhere than at the caller's line: " .. message end
  for _, word in ipairs(UNFIT) do
    if text:find(word) then return "raises what is not for users: " .. message end
  end
  if #text > 1000 then return "raises a long message: " .. text:sub(1, 300) end
end

return M
