-- What shares memory with a tensor may be changed in place, and changes it; a copy that looks as if it did may not.
require "spec.support.misuse"
local core = require "latent.core"
local data = require "latent.data"
local lt = require "latent"
local nn = require "latent.nn"
local optim = require "latent.optim"
local op_cases = require "spec.support.op_cases"

local function fresh() return lt.arange(1, 24):reshape(2, 3, 4) end

-- Each gives a part of x as a copy.
local COPIES = {
  slice = function(x) return x:slice(2, 1, 1) end,
  ["slice of all"] = function(x) return x:slice(3) end,
  permute = function(x) return x:permute{1, 2, 3} end,
  transpose = function(x) return x:transpose(1, 2) end,
  ["lt.transpose"] = function(x) return lt.transpose(x, 2, 3) end,
  diagonal = function(x) return x:diagonal{axis1 = 2, axis2 = 3} end,
  broadcast_to = function(x) return x:broadcast_to(2, 2, 3, 4) end,
  split = function(x) return x:split(1, 2)[3] end,
  chunk = function(x) return x:chunk(2, -1)[1] end,
  ["x[{...}]"] = function(x) return x[{{}, 2}] end,
  ["x[{...}] of a range"] = function(x) return x[{{}, {1, 2}}] end,
  ["x[list]"] = function(x) return x[lt.tensor({2, 1}, {dtype = "i64"})] end,
  ["x[mask]"] = function(x) return x[x:gt(3)] end,
  ["a view of one"] = function(x) return x:transpose(1, 2):reshape(-1) end,
  ["a row of one"] = function(x) return x:transpose(1, 2)[1] end,
  ["a detached one"] = function(x) return x:slice(2, 1, 2):detach() end,
}

-- Each gives elements of x in the memory of x.
local VIEWS = {
  row = function(x) return x[2] end,
  select = function(x) return x:select(2) end,
  ["rows"] = function(x) return x:slice(1, 2, 2) end,
  reshape = function(x) return x:reshape(6, 4) end,
  flatten = function(x) return x:flatten() end,
  unsqueeze = function(x) return x:unsqueeze(1) end,
  squeeze = function(x) return x:squeeze() end,
  split = function(x) return x:split(1)[2] end,
  ["x[{...}]"] = function(x) return x[{{1, 2}}] end,
  ["x[{...}] of a place"] = function(x) return x[{1}] end,
  detach = function(x) return x:detach() end,
}

-- Every way to change a tensor in place.
local CHANGES = {
  fill_ = function(y) y:fill_(7) end,
  zero_ = function(y) y:zero_() end,
  copy_ = function(y) y:copy_(lt.ones(y.shape)) end,
  normal_ = function(y) y:normal_() end,
  uniform_ = function(y) y:uniform_() end,
  set = function(y) y:set(table.unpack(lt.ones(y:dim() + 1):table())) end,
  ["x%[i%] = row"] = function(y) y:reshape(1, -1)[1] = lt.zeros(y:numel()) end,
  ["x%[i%] = value"] = function(y) y:reshape(-1)[1] = 7 end,
  ["x%[{...}%] = 7"] = function(y) y[{{}}] = 7 end,
}
local IN_PLACE = {pow = {2}, clamp = {{min = 100}}, polygamma = {1}}
for _, op in ipairs(core.registry()) do
  if op.elementwise then
    CHANGES[op.name .. "_"] = function(y)
      local more = IN_PLACE[op.name] or {}
      for i = 2, #op.inputs do more[i - 1] = 3 end
      y[op.name .. "_"](y, table.unpack(more))
    end
  end
end

describe("a copy of a part of a tensor", function()
  it("may not be changed in place, in whatever way", function()
    for name, take in pairs(COPIES) do
      for change, apply in pairs(CHANGES) do
        local x = fresh()
        local y = take(x)
        local ok, message = pcall(apply, y)
        local said = not ok and message:find("copied these elements, and the tensor they came from would not", 1, true)
        assert(said, ("%s of %s: %s"):format(change, name, tostring(message)))
        assert.is_true(x:equal(fresh()), name)
        assert.is_true(take(fresh()):equal(y), name .. " " .. change)
      end
    end
  end)

  it("says what to write", function()
    local x = fresh()
    assert.misuse(function() x:slice(2, 1, 1):fill_(5) end, "fill_: slice copied these elements, and the tensor they "
      .. "came from would not change; write x%[{%.%.%.}%] = value for that, or :clone%(%) for a tensor of your own")
    assert.misuse(function() x:transpose():normal_() end, "normal_: transpose copied")
    assert.misuse(function() x[{{}, 1}]:mul_(2) end, "mul_: x%[...%] copied")
    local _, y = pcall(x.transpose, x)
    assert.misuse(function() y:mul_(2) end, "mul_: transpose copied")
    x[{{}, 1}] = 5
    assert.equal(5, x:get(2, 1, 4))
    y = x:transpose():clone():fill_(5)
    assert.same({3, 2, 4}, {table.unpack(y.shape)})
  end)

  it("is a tensor like others where it becomes a parameter or a gradient", function()
    local x = fresh()
    lt.no_grad(function()
      lt.param(x:transpose()):fill_(1)
      x:slice(2, 1, 1):requires_grad_():fill_(1)
    end)
    local turn = lt.op{name = "turn", forward = function(_, a) return a:transpose(1, 2):clone() end,
      backward = function(_, dy)
        local g = dy:transpose(1, 2)
        return g
      end}
    local p = lt.param(lt.ones(2, 3))
    turn(p):sum():backward()
    p.grad:mul_(2)
    assert.equal(2, p.grad:get(1, 1))
  end)

  it("is a tensor like others as a gradient that is asked for", function()
    local turn = lt.op{name = "turned", forward = function(_, a) return a:transpose(1, 2):clone() end,
      backward = function(_, dy)
        local g = dy:transpose(1, 2)
        return g
      end}
    local p, seed = lt.param(lt.ones(2, 3)), lt.arange(1, 6):reshape(3, 2):transpose(1, 2)
    local hooked = lt.param(lt.ones(2, 3))
    hooked:register_hook(function(g)
      local y = g:transpose(1, 2):transpose(1, 2)
      return y
    end)
    for name, g in pairs{
      custom = lt.grad(turn(p):sum(), p), recorded = lt.grad(turn(p):sum(), p, {create_graph = true}),
      seed = lt.grad(p:reshape(2, 3), p, {grad_outputs = seed}),
      ["recorded seed"] = lt.grad(p + 0, p, {grad_outputs = seed, create_graph = true}),
      hook = lt.grad(hooked:sum(), hooked), vjp = select(2, lt.vjp(function(x) return x + 0 end, p, seed)),
    } do
      local before = g:detach():clone()
      lt.no_grad(function() g:mul_(2) end)
      assert.is_true(g:detach():equal(before * 2), name)
    end
    assert.same({{1, 3, 5}, {2, 4, 6}}, seed:table())
    assert.misuse(function() seed:mul_(2) end, "mul_: transpose copied")
  end)

  it("is a tensor like others as a buffer, whenever it becomes one", function()
    local whole = fresh()[1]
    local function counter(run)
      return nn.Module{w = lt.param(lt.ones(3)), run = run, buffers = {run = true}, forward = function(self, x)
        self.run:add_(1)
        return x * self.w
      end}
    end
    local model, later = counter(whole:slice(2, 1, 2)), counter()
    later.run = whole:slice(2, 1, 2)
    local want = whole:slice(2, 1, 2) + 1
    local opt = optim.SGD(later:parameters(), {lr = 0.1})
    for _, each in ipairs{model, later} do
      each(lt.ones(3)):sum():backward()
      assert.is_true(each.run:equal(want))
      each:load_state{w = lt.zeros(3), run = lt.zeros(3, 2)}
      assert.equal(0, each.run:max():item())
    end
    opt:step()
    assert.is_true(whole:equal(fresh()[1]))
    later.run = whole:slice(2, 2, 3)
    assert.is_true(later:double().run:equal(whole:slice(2, 2, 3):double()))
    local layer = nn.Linear(2, 2)
    layer.weight = lt.tensor{{1, 2}, {3, 4}}:transpose() -- frozen: no parameter of an optimiser, and yet one
    layer:load_state{weight = lt.zeros(2, 2), bias = lt.zeros(2)}
    assert.equal(0, layer.weight:max():item())
  end)

  it("is a tensor like others in a batch", function()
    local x = lt.arange(1, 12):reshape(4, 3)
    local set = data.tensors{x = x, y = x}
    local mapped = data.map(set, function(a, b)
      local part = a:slice(2, 1, 2)
      return part, b:slice(2, 3, 3)
    end)
    local own = setmetatable({batch = function(_, index)
      local part = x:gather_rows(index):slice(2, 1, 2)
      return part, lt.zeros(#index)
    end}, {__len = function() return 4 end})
    for _, each in ipairs{mapped, own} do
      local batch = data.loader(each, {batch = 2, shuffle = false}):next()
      batch.x:add_(1)
      batch.y:add_(1)
      assert.same({{2, 3}, {5, 6}}, batch.x:table())
    end
    mapped:batch(lt.tensor({1}, {dtype = "i64"})):fill_(0)
    assert.equal(1, x:get(1, 1))
  end)

  it("is none where an op of another kind arranges its result so", function()
    for _, name in ipairs{"cumsum", "sort", "gather_rows", "softmax", "einsum", "roll", "repeat_interleave", "tril",
      "index_select"} do
      for _, case in ipairs(op_cases.cases[name]) do
        local y = lt.no_grad(function() return (case.f(lt, table.unpack(op_cases.inputs(lt, case)))) end)
        if core.is_tensor(y) then y:detach():fill_(3) end
      end
    end
  end)
end)

describe("a view of a part of a tensor", function()
  it("may be changed in place, and changes the tensor", function()
    for name, take in pairs(VIEWS) do
      local x = fresh()
      take(x):fill_(-1)
      assert.is_true(x:min():item() == -1, name)
    end
  end)
end)
