-- The engine: the tape, its memory, in-place changes, custom ops, and tensors' bytes in the sight of Lua's collector.
require "spec.support.close"
require "spec.support.misuse"
local lt = require "latent"

local function live() return lt.info().live_bytes end

local function settle()
  collectgarbage()
  collectgarbage()
end

describe("backward", function()
  it("adds up over diamonds, shared inputs and several uses", function()
    local x = lt.param(lt.tensor {2, 3})
    local a = x * 3
    local y = a * a + a -- 9 x^2 + 3 x
    y:sum():backward()
    assert.close(x.grad, {39, 57})

    x:zero_grad()
    local d = x
    for _ = 1, 20 do d = d + d end -- a million paths, each node visited once
    d:sum():backward()
    assert.close(x.grad, {2 ^ 20, 2 ^ 20})
  end)

  it("adds to the gradient that is there, until it is zeroed", function()
    local x = lt.param(lt.tensor {1, 2})
    assert.is_nil(x.grad)
    for i = 1, 3 do
      (x * x):sum():backward()
      assert.close(x.grad, {2 * i, 4 * i})
    end
    local grad = x.grad
    x:zero_grad()
    assert.close(grad, {0, 0}) -- in place
    x.grad = nil
    assert.is_nil(x.grad)
    x.grad = lt.tensor {5, 5}
    x:sum():backward()
    assert.close(x.grad, {6, 6})
  end)

  it("does not let two leaves share one gradient", function()
    local a, b = lt.param(lt.ones(2)), lt.param(lt.ones(2))
    local s = a + b
    s:backward(lt.tensor {1, 2})
    a:zero_grad()
    assert.close(b.grad, {1, 2})
    local seed = lt.tensor {3, 4}
    local c = lt.param(lt.ones(2))
    c:reshape(1, 2):reshape(2):backward(seed)
    c:zero_grad()
    assert.close(seed, {3, 4})
  end)

  it("takes a gradient for an output that is no scalar", function()
    local x = lt.param(lt.ones(2, 2))
    assert.misuse(function() (x * 2):backward() end,
      "backward: expected a scalar %(one element%), got shape %[2, 2%]")
    assert.misuse(function() (x * 2):backward(lt.ones(2)) end,
      "backward: gradient: expected shape %[2, 2%], got %[2%]")
    assert.misuse(function() (x * 2):backward(lt.zeros(2, 2):u8()) end,
      "backward: gradient: expected float32, got u8");
    (x * 2):backward(lt.tensor {{1, 2}, {3, 4}})
    assert.close(x.grad, {{2, 4}, {6, 8}})
  end)

  it("refuses what wants no gradient", function()
    assert.misuse(function() lt.ones(1):backward() end, "backward: nothing here wants a gradient")
    local x = lt.param(lt.ones(1))
    assert.misuse(function() lt.gt(x, 0):backward() end, "backward: nothing here wants a gradient")
    assert.misuse(function() x:detach():backward() end, "backward: nothing here wants a gradient")
  end)

  it("of a leaf itself is 1", function()
    local x = lt.param(lt.tensor(3))
    x:backward()
    assert.close(x.grad, 1)
  end)

  it("cannot run twice through one graph", function()
    local x = lt.param(lt.tensor {1, 2})
    local h = x:exp()
    local y, z = h:sum(), (h * h):sum()
    y:backward()
    assert.misuse(function() y:backward() end,
      "backward: sum: its part of the graph was freed by an earlier backward")
    assert.misuse(function() z:backward() end, "backward: exp: its part of the graph was freed")
  end)

  it("reaches only those who want a gradient", function()
    local x, w = lt.param(lt.ones(2, 2)), lt.ones(2, 2)
    x:matmul(w):sum():backward()
    assert.is_nil(w.grad)
    assert.close(x.grad, {{2, 2}, {2, 2}})
  end)

  it("works through a state in a coroutine", function()
    local x = lt.param(lt.tensor {1, 2})
    local co = coroutine.wrap(function()
      local y = (x * x):sum()
      coroutine.yield()
      y:backward()
      coroutine.yield()
    end)
    co()
    co()
    assert.close(x.grad, {2, 4})
  end)
end)

describe("long chains", function()
  local function chain(n)
    local x = lt.param(lt.tensor {1})
    local y = x
    for _ = 1, n do y = y + 1 end
    return x, y
  end

  it("of 100,000 nodes run back", function()
    local x, y = chain(100000)
    assert.equal(100001, y:item())
    y:backward()
    assert.close(x.grad, {1})
  end)

  it("of 100,000 nodes are dropped without backward", function()
    settle()
    local before = live()
    do
      local _, y = chain(100000)
      assert(y.requires_grad)
    end
    settle()
    assert(live() <= before + 1024, "bytes stay behind")
  end)

  it("of views run back and are dropped", function()
    local x = lt.param(lt.ones(4))
    local y = x
    for _ = 1, 20000 do y = y:reshape(2, 2):reshape(4) end
    y:sum():backward()
    assert.close(x.grad, {1, 1, 1, 1})
  end)
end)

describe("memory", function()
  it("stays flat when graphs are dropped in a loop", function()
    local w = lt.param(lt.ones(64, 64))
    local function round(n, finish)
      for _ = 1, n do
        local h = lt.ones(64, 64):matmul(w):relu():softmax(2):max(2):sum()
        if finish then h:backward() end
      end
      settle()
      return live()
    end
    round(3, true)
    for _, finish in ipairs {true, false} do
      local before = round(20, finish)
      assert.equal(before, round(100, finish))
    end
  end)

  it("stays flat when a backward fails", function()
    local fails = lt.op {
      name = "fails", forward = function(_, x) return x * 2 end, backward = function() error "no gradient today" end,
    }
    local w = lt.param(lt.ones(100))
    local function round()
      for _ = 1, 20 do assert.has_error(function() fails(w * w):sum():backward() end) end
      settle()
      return live()
    end
    local before = round()
    assert.equal(before, round())
  end)

  it("does not hold what a result does not need", function()
    settle()
    local before = live()
    local x = lt.param(lt.ones(1000))
    local y = (x + 1 + 1 + 1):sum()
    settle()
    assert(live() - before < 3 * 4000, "addition keeps its inputs")
    y:backward()
  end)

  -- In a process of its own: when collections come depends on all that other specs left behind.
  it("reuses buffers: after a few collections a training step allocates nothing from the system", function()
    local script = [[
      local lt = require "latent"
      local w = lt.param(lt.ones(100, 100))
      local function steps()
        for _ = 1, 1000 do
          w:zero_grad()
          local y = (lt.ones(100, 100) * w):relu():mean()
          y:backward()
        end
        return lt.info().system_allocs
      end
      print(steps(), steps())]]
    local pipe <close> = assert(io.popen("lua5.4 -e '" .. script .. "' 2>&1"))
    local first, second = pipe:read("n", "n")
    assert(first and first > 10, "no count")
    assert.equal(first, second)
  end)

  it("of large tensors that have grown old is given back though young ones keep being freed", function()
    for _, mode in ipairs {"incremental", "generational"} do
      local before = collectgarbage(mode)
      settle()
      local start, old = live(), lt.zeros(2e7)
      settle()
      assert(live() - start >= 80e6 and old)
      old = nil
      for _ = 1, 12000 do local _ = lt.zeros(100000) end
      local held = live() - start
      collectgarbage(before)
      assert(old == nil and held < 60e6, ("%s: %.0f MB are held"):format(mode, held / 1e6))
    end
  end)

  -- In a process of its own: how full the moments before were decides how much is kept.
  it("of sizes that nobody uses any more does not pile up in the pool", function()
    local script = [[
      local lt = require "latent"
      local most = 0
      for size = 12, 20, 0.25 do
        local n = 2 ^ size // 1 | 0
        for _ = 1, 10000000 // n do local _ = lt.zeros(n) end
        most = math.max(most, lt.info().pooled_bytes)
      end
      print(most, lt.info().peak_bytes)]]
    for _, mode in ipairs {"incremental", "generational"} do
      local pipe <close> = assert(io.popen(("lua5.4 -e 'collectgarbage %q %s' 2>&1"):format(mode, script)))
      local pooled, peak = pipe:read("n", "n")
      assert(pooled and pooled > 0, "no count")
      assert(pooled < 40e6 and peak < 40e6, ("%s: pooled %.0f of %.0f"):format(mode, pooled, peak))
    end
  end)

  for _, mode in ipairs {"incremental", "generational"} do
    it("of dropped tensors is given back in " .. mode .. " mode", function()
      settle()
      lt.trim()
      local before = collectgarbage(mode)
      local start, highest = live(), 0
      for _ = 1, 5000 do
        local t = lt.zeros(100000) -- 400 kB
        highest = math.max(highest, live())
        assert.equal(100000, #t)
      end
      collectgarbage(before)
      assert(highest - start < 100e6, ("%.0f MB live"):format((highest - start) / 1e6))
    end)
  end

  it("comes back in generational mode while it still lies in the cache", function()
    settle()
    local before = collectgarbage("generational")
    local start, highest = live(), 0
    for round = 1, 4000 do
      local t = lt.zeros(100000)
      assert.equal(100000, #t)
      if round > 3900 then highest = math.max(highest, live()) end
    end
    collectgarbage(before)
    assert(highest - start < 20e6, ("%.0f MB live"):format((highest - start) / 1e6))
  end)

  -- In a process of its own: when the collector runs depends on all that lives.
  local STEPS = [[
    local lt = require "latent"
    local w = lt.param(lt.ones(1000000))
    local function steps(count)
      for _ = 1, count do
        w:zero_grad()
        local y = w
        for _ = 1, 12 do y = y:tanh() end -- 48 MB
        y:mean():backward()
      end
    end
    steps(5)
    local seen = false
    do
      local old = setmetatable({}, {__gc = function() seen = true end})
      collectgarbage()
      assert(old)
    end
    steps(20)
    print(lt.info().live_bytes, lt.info().peak_bytes, seen)]]

  it("of training steps comes back behind backward, without full collections", function()
    for _, mode in ipairs {"incremental", "generational"} do
      local pipe <close> = assert(io.popen(("lua5.4 -e 'collectgarbage %q %s' 2>&1"):format(mode, STEPS)))
      local held, peak, full = pipe:read("n", "n", "l")
      assert(held, pipe:read "a")
      assert(peak < 120e6, ("%s: at most %.0f MB"):format(mode, peak / 1e6))
      if mode == "generational" then
        assert(held < 20e6, ("%.0f MB live"):format(held / 1e6))
        assert.matches("false", full)
      end
    end
  end)

  it("is given back at once by close and <close>", function()
    settle()
    local before = live()
    do
      local t <close> = lt.zeros(250000)
      assert(live() >= before + 1000000)
      assert.equal(250000, t:numel())
    end
    assert.equal(before, live())
    local t = lt.zeros(250000)
    local view = t:slice(1, 1, 10)
    t:close()
    t:close() -- twice is allowed
    assert(live() >= before + 1000000) -- the view holds the storage
    assert.equal(0, view:get(10))
    view:close()
    assert.equal(before, live())
  end)

  it("of a closed tensor's graph stays until the graph is done", function()
    local x = lt.param(lt.tensor {1, 2})
    local h = x:exp()
    local y = (h * h):sum()
    h:close()
    y:backward()
    assert.close(x.grad, {2 * math.exp(2), 2 * math.exp(4)})
  end)
end)

describe("a closed tensor", function()
  local t = lt.ones(2, 2)
  t:close()

  it("raises whatever is done with it", function()
    for _, f in ipairs {
      function() return t + 1 end, function() return 1 - t end, function() return -t end,
      function() return t:sum() end, function() return t.shape end, function() return t.grad end,
      function() return t[1] end, function() t[1] = 2 end, function() return #t end,
      function() return t:get(1, 1) end, function() return t:table() end, function() return t:bytes() end,
      function() return t:reshape(4) end, function() local _ = t:clone() end, function() return t:detach() end,
      function() return t:backward() end, function() return t:zero_grad() end, function() return lt.param(t) end,
      function() return lt.cat {t, t} end, function() return t:add_(1) end,
      function() return t:copy_(lt.ones(2, 2)) end,
      function() return lt.ones(2, 2):copy_(t) end, function() return lt.tensor(t) end,
      function() local _ = t:rows() end,
      function() return lt.knn(t, t) end, function() return t:float() end, function() return t:fill_(1) end,
      function() return t:requires_grad_() end, function() return lt.zeros(t) end, function() return t:item() end,
    } do
      assert.misuse(f, ".*closed tensor")
    end
  end)

  it("still prints and says what it is", function()
    local ok, text = pcall(tostring, t)
    assert(ok and text:find "closed" or not ok and tostring(text):find "closed")
    assert.is_true(lt.is_tensor(t))
  end)
end)

describe("no_grad, detach and requires_grad_", function()
  it("record nothing", function()
    local x = lt.param(lt.tensor {1, 2})
    local y = lt.no_grad(function() return x * 2 end)
    assert.is_false(y.requires_grad)
    assert.is_false((x:detach() * 2).requires_grad)
    assert.is_true((x * 2).requires_grad)
    assert.is_false(lt.eq(x, 1).requires_grad)
  end)

  it("return all results of the function and pass its errors on", function()
    assert.same({1, nil, 3}, {lt.no_grad(function(a, b) return a, nil, b end, 1, 3)})
    local ok, message = pcall(lt.no_grad, function() error({code = 7}) end)
    assert.is_false(ok)
    assert.equal(7, message.code)
    assert.is_true(lt.is_recording())
    assert.has_error(function() lt.no_grad(3) end)
  end)

  it("nest", function()
    lt.no_grad(function()
      lt.no_grad(function() end)
      assert.is_false(lt.is_recording())
    end)
    assert.is_true(lt.is_recording())
  end)

  it("freeze a leaf", function()
    local a, b = lt.param(lt.ones(2)), lt.param(lt.ones(2))
    a:requires_grad_(false);
    (a * b):sum():backward()
    assert.is_nil(a.grad)
    assert.close(b.grad, {1, 1})
    a:requires_grad_(true);
    (a * b):sum():backward()
    assert.close(a.grad, {1, 1})
    assert.misuse(function() (a * b):requires_grad_(false) end, "requires_grad_: expected a leaf")
    assert.misuse(function() lt.zeros(2):u8():requires_grad_() end, "requires_grad_: expected float32, got u8")
  end)
end)

describe("in-place changes", function()
  it("are refused on parameters and results of a graph", function()
    local x = lt.param(lt.ones(2))
    local y = x * 2
    for _, f in ipairs {
      function() x:add_(1) end, function() x:fill_(0) end, function() x[1] = 3 end, function() x:copy_(y) end,
      function() x:set(1, 3) end, function() x:zero_() end, function() x:relu_() end,
    } do
      assert.misuse(f, "[^:]+: a tensor that wants a gradient cannot be changed in place; do it inside no_grad, or on "
        .. "a copy")
    end
    assert.misuse(function() y:mul_(2) end, "mul_: a tensor that is part of a graph cannot be changed in place")
  end)

  it("are allowed inside no_grad", function()
    local x = lt.param(lt.ones(2))
    lt.no_grad(function() x:add_(1) end)
    assert.close(x, {2, 2})
    assert.is_true(x.requires_grad)
  end)

  it("are noticed by a backward that needs the old value, which names the op", function()
    local function through(make, change, op)
      local x = lt.param(lt.tensor {1, 2})
      local other = lt.tensor {3, 4}
      local y = make(x, other)
      lt.no_grad(function() change(x, other, y) end)
      local ok, message = pcall(function() y:sum():backward() end)
      assert(not ok, "the change went unnoticed")
      assert.matches("spec/graph_spec.lua:%d+: backward: " .. op
        .. ": a value that its gradient needs was changed in place", message)
    end
    through(function(x, o) return x * o end, function(_, o) o:add_(1) end, "mul")
    through(function(x, o) return x * o end, function(_, o) o[1] = 7 end, "mul")
    through(function(x, o) return x * o end, function(_, o) o:reshape(1, 2)[1][2] = 7 end, "mul")
    through(function(x, o) return x * o end, function(_, o) o:copy_(lt.zeros(2)) end, "mul")
    through(function(x, o) return x * o end, function(_, o) o:detach():fill_(2) end, "mul")
    through(function(x) return x:exp() end, function(_, _, y) y:mul_(2) end, "exp")
    through(function(x) return x:square() end, function(x) x:add_(1) end, "square")
  end)

  it("do not disturb a backward that does not need the value", function()
    local x, o = lt.param(lt.tensor {1, 2}), lt.tensor {3, 4}
    local y = x + o
    o:mul_(2)
    y:sum():backward()
    assert.close(x.grad, {1, 1})
  end)

  it("keep the shape and the dtype", function()
    assert.misuse(function() lt.ones(2):add_(lt.ones(3, 2)) end,
      "add_: the result has shape %[3, 2%] and does not fit into %[2%] in place")
    assert.misuse(function() lt.zeros(2):u8():add_(1) end, "add_: the result is i64 and does not fit into u8 in place")
    assert.misuse(function() lt.ones(2):copy_(lt.ones(3)) end, "copy_: expected float32 %[2%], got float32 %[3%]")
    assert.misuse(function() lt.ones(2):copy_(lt.ones(2):u8()) end, "copy_: expected float32 %[2%], got u8 %[2%]")
    assert.misuse(function() lt.ones(2).add_(1, 2) end, "add_: expected a tensor, got 1")
  end)
end)

describe("ops written in Lua", function()
  local cube = lt.op {
    name = "cube",
    forward = function(ctx, x)
      ctx:save(x, 3)
      return x * x * x
    end,
    backward = function(ctx, dy)
      local x, n = ctx:saved()
      return dy * x * x * n
    end,
  }

  it("take part in graphs", function()
    local x = lt.param(lt.tensor {1, 2})
    cube(x * 2):sum():backward()
    assert.close(x.grad, {24, 96})
    assert.close(cube(lt.tensor {3}), {27})
    assert.is_false(cube(lt.tensor {3}).requires_grad)
  end)

  it("take several tensors and plain values, and may leave a gradient out", function()
    local f = lt.op {
      name = "f",
      forward = function(_, a, factor, b) return a * factor + b * 0 end,
      backward = function(_, dy) return dy * 5, nil end,
    }
    local a, b = lt.param(lt.ones(2)), lt.param(lt.ones(2))
    f(a, 5, b):sum():backward()
    assert.close(a.grad, {5, 5})
    assert.close(b.grad, {0, 0})
  end)

  it("say what is wrong with them", function()
    local function op(forward, backward) return lt.op {name = "bad", forward = forward, backward = backward} end
    local x = lt.param(lt.ones(2))
    assert.misuse(function() op(function() return 3 end, function() end)(x) end,
      "bad: forward: expected to get a tensor back, got 3")
    local long = op(function(_, t) return t + 1 end, function() return lt.ones(3) end)
    assert.misuse(function() long(x):sum():backward() end,
      "backward: [^:]+:%d+: bad: backward: expected a gradient float32 %[2%] for input 1, got float32 %[3%]")
    local bytes = op(function(_, t) return t + 1 end, function() return lt.ones(2):u8() end)
    assert.misuse(function() bytes(x):sum():backward() end,
      "backward: [^:]+:%d+: bad: backward: expected a gradient float32 %[2%] for input 1, got u8 %[2%]")
    for expected, gradients in pairs {
      ["input 1: expected a gradient or nil, got \"x\""] = {"x", n = 1},
      ["input 1: expected a gradient or nil, got a table"] = {{x, x}, n = 1},
      ["input 2: expected a gradient or nil, got 0"] = {x, 0, n = 2}, -- of one that wants none, too
      ["expected a gradient or nil for each of 2 inputs, got 3 values"] = {x, x, x, n = 3},
      ["expected a gradient or nil for each of 2 inputs, got 0 values"] = {n = 0},
    } do
      local f = op(function(_, a, b) return a + b end, function() return table.unpack(gradients, 1, gradients.n) end)
      assert.misuse(function() f(x, lt.ones(2)):sum():backward() end,
        "backward: [^:]+:%d+: bad: backward: " .. expected .. "$")
    end
    local short = op(function(_, a, b) return a + b end, function(_, dy) return dy end)
    short(x, lt.ones(2)):sum():backward() -- the second wants none
    assert.misuse(function() short(lt.ones(2), x):sum():backward() end,
      "backward: [^:]+:%d+: bad: backward: expected a gradient or nil for each of 2 inputs, got 1 value$")
    local spare = op(function(_, t) return t + 1 end, function(_, dy) return dy, nil, nil end)
    spare(x):sum():backward()
    assert.misuse(function() op(function() error "broken forward" end, function() end)(x) end, "broken forward")
    assert.misuse(function()
      op(function(_, t) return t + 1 end, function() error "broken backward" end)(x):sum():backward()
    end, "backward: .*broken backward")
    assert.misuse(function() op(function(ctx) ctx:save "x" end, function() end)(x) end, "ctx:save: expected a tensor")
    assert.misuse(function() lt.op {forward = print} end, "op: backward: expected a function, got nil")
    assert.misuse(function() lt.op(3) end, "op: expected a table")
    assert.is_true(lt.is_recording())
  end)

  it("may return their input, or a view of it", function()
    local same = lt.op {name = "same", forward = function(_, x) return x end, backward = function(_, dy) return dy end}
    local x = lt.param(lt.tensor {1, 2})
    same(x):sum():backward()
    assert.close(x.grad, {1, 1})
    assert.is_true(x.requires_grad)
  end)

  it("leave nothing behind", function()
    local x = lt.param(lt.ones(1000))
    local function round(finish)
      for _ = 1, 50 do
        local y = cube(x):sum()
        if finish then y:backward() end
      end
      settle()
      return live()
    end
    round(true)
    local before = round(true)
    assert.equal(before, round(true))
    assert.equal(before, round(false))
  end)
end)
