-- Max pooling with several windows in a vector, and gradients that are written and not added: the same bits as without.
local core, lt = require "latent.core", require "latent"
local values = require "spec.support.values"

-- Shape, kernel, options.
local CASES = {}
for channels = 1, 9 do
  CASES[#CASES + 1] = {{2, 6, 20, channels}, 2}
  CASES[#CASES + 1] = {{2, 5, 7, channels}, {2, 3}, {stride = {2, 2}}}
end
for _, case in ipairs {
  {{3, 28, 28, 6}, 2}, {{3, 7, 3, 5}, 2}, {{1, 2, 2, 1}, 2}, {{2, 4, 9, 3}, 2, {ceil_mode = true}}, {{2, 9, 9, 4}, 3},
  {{2, 9, 11, 3}, 3, {stride = 2}}, {{2, 9, 11, 3}, 3, {stride = 1}}, {{2, 8, 8, 3}, 2, {padding = 1}},
  {{2, 8, 8, 3}, 2, {dilation = 2}}, {{2, 8, 8, 3}, {1, 2}, {dilation = {1, 3}}}, {{2, 6, 6, 16}, 2},
  {{2, 7, 6, 21}, {3, 2}}, {{2, 7, 9, 40}, 3}, {{5, 10, 10, 16}, 2}, {{2, 6, 6, 5}, {4, 2}},
  {{2, 6, 6, 5}, {2, 4}}, {{1, 1, 40, 2}, {1, 2}},
} do CASES[#CASES + 1] = case end

-- Few different numbers, so that many are equal; zeros of both signs, infinities and what is none.
local function image(shape)
  local x = (values.tensor(lt, shape, 1) * 2):round() / 2
  local odd = values.tensor(lt, shape, 2)
  x = lt.where(x:eq(0) * odd:gt(0), lt.full(shape, -0.0), x)
  x = lt.where(odd:gt(1.3), lt.full(shape, 0 / 0), x)
  return lt.where(odd:lt(-1.2), lt.full(shape, -math.huge), x)
end

local function results(case)
  local x = lt.param(image(case[1]))
  local y = lt.max_pool2d(x, case[2], case[3])
  local dy = values.tensor(lt, y.shape, 4)
  y:backward(lt.where(dy:gt(0.5), lt.full(y.shape, -0.0), dy))
  local _, places = lt.max_pool2d(x:detach(), case[2], {stride = case[3] and case[3].stride,
    padding = case[3] and case[3].padding, dilation = case[3] and case[3].dilation, return_indices = true})
  return {output = y:bytes(), gradient = x.grad:bytes(), places = places:bytes(),
    plain = lt.max_pool2d(x:detach(), case[2], case[3]):bytes()}
end

describe("max pooling in its special forms", function()
  local NAMES = {"pool shared", "pool apart"}
  after_each(function() for _, name in ipairs(NAMES) do core.set_shortcut(name, true) end end)

  for _, case in ipairs(CASES) do
    local kernel = type(case[2]) == "table" and table.concat(case[2], " x ") or case[2]
    it(("gives the same bits for [%s], kernel %s"):format(table.concat(case[1], ", "), kernel), function()
      local got = results(case)
      for _, name in ipairs(NAMES) do core.set_shortcut(name, false) end
      for what, bytes in pairs(results(case)) do assert(bytes == got[what], what) end
    end)
  end
end)
