-- Convolutions to few channels with vectors along the pixels: the same bits as without.
local core, lt = require "latent.core", require "latent"
local values = require "spec.support.values"

-- Batch, height, width, channels, kernel, outputs, options.
local CASES = {}
for outputs = 1, 8 do
  CASES[#CASES + 1] = {3, 9, 21, 1, {5, 5}, outputs, {padding = 2}}
  CASES[#CASES + 1] = {2, 6, 16, outputs, {3, 3}, 9 - outputs, {padding = 1}}
  CASES[#CASES + 1] = {2, 5, 34, 3, {4, 2}, outputs, {stride = {2, 1}, dilation = {1, 2}, padding = {0, 1}}}
end
for _, case in ipairs {
  {35, 14, 14, 5, {3, 3}, 5, {padding = 1}}, -- images in groups, the last one smaller
  {1, 300, 260, 1, {3, 3}, 6, {padding = 1}}, -- one image in bands
  {35, 7, 7, 4, {7, 7}, 7, {padding = 3}},
  {2, 1, 40, 4, {3, 3}, 6, {padding = 1}}, {2, 40, 1, 4, {3, 3}, 6, {padding = 1}},
  {2, 9, 17, 20, {3, 1}, 7, {}}, {1, 5, 5, 2, {1, 1}, 3, {padding = 2}},
} do CASES[#CASES + 1] = case end

local function results(op, case)
  local n, h, w, inputs, kernel, outputs, options = table.unpack(case)
  local x = lt.param(values.tensor(lt, {n, h, w, inputs}, 1))
  local weight = lt.param(values.tensor(lt, {kernel[1], kernel[2], inputs, outputs}, 2))
  local bias = values.tensor(lt, {outputs}, 3)
  local y = lt[op](x, weight, bias, options)
  y:backward(values.tensor(lt, y.shape, 4))
  return {output = y:bytes(), plain = lt[op](x:detach(), weight:detach(), options):bytes(), x = x.grad:bytes()}
end

describe("vectors along the pixels", function()
  after_each(function() core.set_shortcut("conv along", true) end)

  for _, op in ipairs {"conv2d", "conv_transpose2d"} do
    for _, case in ipairs(CASES) do
      local name = ("%s of [%d, %d, %d, %d], kernel %d x %d, to %d"):format(op, case[1], case[2], case[3], case[4],
        case[5][1], case[5][2], case[6])
      it("gives the same bits in " .. name, function()
        local got = results(op, case)
        core.set_shortcut("conv along", false)
        for what, bytes in pairs(results(op, case)) do assert(bytes == got[what], what) end
      end)
    end
  end

  it("keeps what is no number to its pixels", function()
    local x, w = lt.zeros(1, 6, 20, 1), lt.ones(3, 3, 1, 6)
    x[{1, 3, 10}] = 0 / 0
    local y = lt.conv2d(x, w, {padding = 1})
    assert.equal(9 * 6, y:isnan():sum():item())
  end)
end)
