-- nn.LSTM in one op (c/ops/lstm.c) beside the same cells one after the other.
local core = require "latent.core"
local lt = require "latent"
local nn = require "latent.nn"
require "spec.support.close"
require "spec.support.misuse"

-- The layer's first direction as an LSTMCell of the same arrays, stepped through x; c and all h.
local function by_cells(layer, x, state, suffix)
  local cell = nn.LSTMCell(layer.inputs, layer.hidden, {bias = layer["bias_ih" .. suffix] ~= nil, dtype = x.dtype})
  for _, name in ipairs{"weight_ih", "weight_hh", "bias_ih", "bias_hh"} do cell[name] = layer[name .. suffix] end
  local time, list = x:size(2), {}
  for k = 1, time do
    local t = suffix:find "reverse" and time + 1 - k or k
    state = cell(x[{{}, t}], state)
    list[t] = state[1]
  end
  return lt.stack(list, 2), state
end

local function gradients(f, parts)
  local total = f()
  for _, p in ipairs(parts) do p:zero_grad() end
  total:backward()
  local list = {total:detach()}
  for i, p in ipairs(parts) do list[i + 1] = p.grad:clone() end
  return list
end

describe("a layer of LSTM", function()
  it("is its cells, one after the other, in values and gradients", function()
    lt.manual_seed(4)
    for _, case in ipairs{{3, 5, 4, 7}, {1, 1, 3, 2}, {2, 9, 16, 16}, {5, 4, 3, 33}, {1, 30, 40, 64}} do
      local batch, time, inputs, hidden = table.unpack(case)
      for _, dtype in ipairs{"float32", "float64"} do
        for _, bias in ipairs{true, false} do
          local layer = nn.LSTM(inputs, hidden, {bidirectional = true, bias = bias, dtype = dtype})
          local x = lt.param(lt.randn(batch, time, inputs, {dtype = dtype}))
          local h = lt.param(lt.randn(2, batch, hidden, {dtype = dtype}))
          local c = lt.param(lt.randn(2, batch, hidden, {dtype = dtype}))
          local dy = lt.randn(batch, time, 2 * hidden, {dtype = dtype})
          local dh, dc = lt.randn(2, batch, hidden, {dtype = dtype}), lt.randn(2, batch, hidden, {dtype = dtype})
          local all = layer:parameters()
          table.move({x, h, c}, 1, 3, #all + 1, all)
          local function loss(y, h_end, c_end) return (y * dy):sum() + (h_end * dh):sum() + (c_end * dc):sum() end
          local whole = gradients(function()
            local y, ends = layer(x, {h, c})
            return loss(y, ends[1], ends[2])
          end, all)
          local single = gradients(function()
            local a, first = by_cells(layer, x, {h[1], c[1]}, "_l0")
            local b, second = by_cells(layer, x, {h[2], c[2]}, "_l0_reverse")
            return loss(lt.cat({a, b}, 3), lt.stack({first[1], second[1]}, 1), lt.stack({first[2], second[2]}, 1))
          end, all)
          for i = 1, #whole do assert.close(whole[i], single[i], dtype == "float64" and 1e-12 or 2e-5) end
        end
      end
    end
  end)

  it("has the outputs of training without a graph", function()
    local layer, x = nn.LSTM(5, 9, {layers = 2, bidirectional = true}), lt.randn(3, 6, 5)
    local y, ends = layer(x)
    lt.no_grad(function()
      local again, last = layer(x)
      assert.equal(y:bytes(), again:bytes())
      for k = 1, 2 do assert.equal(ends[k]:bytes(), last[k]:bytes()) end
    end)
  end)

  it("gives gradients to what wants one alone", function()
    local layer, x = nn.LSTM(5, 9), lt.param(lt.randn(3, 6, 5))
    layer(x):sum():backward()
    local dx, dw = x.grad:clone(), layer.weight_hh_l0.grad:clone()
    layer:zero_grad()
    layer(x:detach()):sum():backward()
    assert.equal(dw:bytes(), layer.weight_hh_l0.grad:bytes())
    x.grad = nil
    layer:freeze()
    layer(x):sum():backward()
    assert.equal(dx:bytes(), x.grad:bytes())
  end)

  it("takes an empty batch", function()
    local layer = nn.LSTM(2, 3)
    local y, ends = layer(lt.zeros(0, 4, 2))
    assert.same({{0, 4, 3}, {1, 0, 3}}, {y.shape, ends[2].shape})
    y:sum():backward()
    assert.equal(0, layer.weight_hh_l0.grad:abs():max():item())
  end)
end)

describe("the op lstm", function()
  local lstm = core.ops.lstm
  for message, arguments in pairs{
    ["lstm: weight: expected %[hidden, 4 hidden%], got %[2, 7%]"] =
      {lt.ones(1, 1, 8), lt.ones(2, 1, 2), lt.ones(2, 7)},
    ["lstm: gates: expected %[time, batch, 8%], got %[1, 8%]"] = {lt.ones(1, 8), lt.ones(2, 1, 2), lt.ones(2, 8)},
    ["lstm: gates: expected %[time, batch, 8%], got %[0, 1, 8%]"] =
      {lt.ones(0, 1, 8), lt.ones(2, 1, 2), lt.ones(2, 8)},
    ["lstm: state: expected %[2, 3, 2%], got %[2, 1, 2%]"] = {lt.ones(1, 3, 8), lt.ones(2, 1, 2), lt.ones(2, 8)},
  } do
    it("refuses: " .. message, function()
      assert.misuse(function() return lstm(table.unpack(arguments)) end, message)
    end)
  end
end)
