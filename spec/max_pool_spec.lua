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
    padding = case[3] and case[3].padding, dilation = case[3] and case[3].dilation,
    ceil_mode = case[3] and case[3].ceil_mode, return_indices = true})
  return {output = y:bytes(), gradient = x.grad:bytes(), places = places:bytes(),
    plain = lt.max_pool2d(x:detach(), case[2], case[3]):bytes()}
end

local function pair(value) return type(value) == "table" and value or {value or 1, value or 1} end

-- The places of the maxima in their planes, by the definition: the first of equals, but the last of what is none.
local function defined(x, y, case)
  local n, height, width, channels = table.unpack(x.shape)
  local o = case[3] or {}
  local kernel, padding, dilation = pair(case[2]), pair(o.padding or 0), pair(o.dilation)
  local stride = o.stride and pair(o.stride) or kernel
  local from, places, values_at = x:reshape(-1):table(), {}, {}
  local function winner(plane, i, j, c)
    local best, place = -math.huge, 0
    for u = 0, kernel[1] - 1 do
      for v = 0, kernel[2] - 1 do
        local row = (i - 1) * stride[1] - padding[1] + u * dilation[1]
        local column = (j - 1) * stride[2] - padding[2] + v * dilation[2]
        if row >= 0 and row < height and column >= 0 and column < width then
          local value = from[((plane * height + row) * width + column) * channels + c]
          if place == 0 or value > best or value ~= value then best, place = value, row * width + column + 1 end
        end
      end
    end
    return best, place
  end
  for plane = 0, n - 1 do
    for i = 1, y:size(2) do
      for j = 1, y:size(3) do
        for c = 1, channels do values_at[#values_at + 1], places[#places + 1] = winner(plane, i, j, c) end
      end
    end
  end
  return lt.tensor(values_at):reshape(y.shape):bytes(), lt.tensor(places, {dtype = "i64"}):reshape(y.shape):bytes()
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
      local x = image(case[1])
      local y, places = defined(x, lt.max_pool2d(x, case[2], case[3]), case)
      assert.equal(y, got.output)
      assert.equal(places, got.places)
      assert.equal(lt.max_pool2d(x:double(), case[2], case[3]):float():bytes(), got.output)
    end)
  end
end)
