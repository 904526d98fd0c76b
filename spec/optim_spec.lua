-- Optimisers: that they descend, resume to the bit, and refuse what makes no sense. That each follows its
-- rule, step by step, is what the golden values show.
local lt = require "latent"
local nn = require "latent.nn"
local optim = require "latent.optim"
require "spec.support.close"

local TARGET = lt.tensor {{1, -2}, {3, 0.5}}

local makers = {
  ["SGD"] = function(p) return optim.SGD(p, {lr = 0.1}) end,
  ["SGD with momentum"] = function(p) return optim.SGD(p, {lr = 0.05, momentum = 0.8}) end,
  ["SGD with Nesterov's momentum"] = function(p)
    return optim.SGD(p, {lr = 0.05, momentum = 0.8, nesterov = true})
  end,
  ["SGD with dampening"] = function(p) return optim.SGD(p, {lr = 0.1, momentum = 0.5, dampening = 0.1}) end,
  ["Adam"] = function(p) return optim.Adam(p, {lr = 0.1}) end,
  ["AdamW"] = function(p) return optim.AdamW(p, {lr = 0.1, weight_decay = 1e-4}) end,
  ["RMSprop"] = function(p) return optim.RMSprop(p, {lr = 0.02}) end,
}

local function descend(opt, w, steps)
  for _ = 1, steps do
    opt:zero_grad()
    lt.sub(w, TARGET):square():sum():backward()
    opt:step()
  end
end

local function error_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

for name, make in pairs(makers) do
  describe("optim." .. name, function()
    it("finds the bottom of a quadratic", function()
      local w = lt.param(lt.zeros(2, 2))
      local opt = make {w}
      descend(opt, w, 400)
      assert.close(w, TARGET, 1e-2)
      assert.equal(400, opt.steps)
    end)

    it("tells its settings and parameters", function()
      local w = lt.param(lt.zeros(2, 2))
      local opt = make {w}
      local settings = opt:settings()
      assert.equal(opt.name, settings.name)
      assert.equal(1, settings.parameters)
      assert.is_number(settings.weight_decay)
      assert.is_nil(settings.lr)
      assert.same({w}, opt:parameters())
    end)

    it("goes on from its state to the bit", function()
      local w = lt.param(lt.zeros(2, 2))
      local opt = make {w}
      descend(opt, w, 3)
      opt.lr = opt.lr / 2
      local copy, saved = lt.param(lt.tensor(w)), opt:state()
      for key, x in pairs(saved.arrays) do saved.arrays[key] = lt.tensor(x) end
      descend(opt, w, 5)

      local resumed = make {copy}
      resumed:load_state(saved)
      assert.equal(3, resumed.steps)
      descend(resumed, copy, 5)
      assert.equal(w:bytes(), copy:bytes())
      assert.equal(opt.lr, resumed.lr)
    end)

    it("leaves parameters without a gradient alone", function()
      local w, other = lt.param(lt.zeros(2, 2)), lt.param(lt.ones(3))
      local opt = make {other, w}
      descend(opt, w, 2)
      assert.close(other, {1, 1, 1}, 0)
      assert.is_nil(other.grad)
      assert.is_true(w:abs():min():item() > 0)
    end)
  end)
end

describe("each optimiser of the core", function()
  local core = require "latent.core"
  local declared = require("latent.base.options").declared

  for _, row in ipairs(core.optimizers()) do
    it("is offered, with the defaults of its declaration, and keeps what its row says: " .. row.name, function()
      local w = lt.param(lt.tensor {1, -2})
      local opt = optim[row.name] {w}
      local settings, told = opt:settings(), {}
      for _, option in ipairs(declared["optim." .. row.name]) do told[option.name] = option.default end
      for _, number in ipairs(row.numbers) do
        local value = number.fallback
        if number.kind == "flag" or number.kind == "fixed" then value = value ~= 0 end
        local own = settings[number.name]
        if number.name == "lr" then own = opt.lr end
        assert.equal(value, own, number.name)
        if number.kind ~= "fixed" then
          local default = told[number.option]
          assert(default ~= nil, number.option)
          local found = default == value
          for _, part in ipairs(type(default) == "table" and default or {}) do found = found or part == value end
          assert.is_true(found, number.option)
        end
      end
      (w * w):sum():backward()
      opt:step()
      local after = w:detach():table()
      assert.is_true(after[1] < 1 and after[2] > -2)
      local names = {}
      for name in pairs(opt:state().arrays) do names[#names + 1] = name:match "^[^.]*" end
      table.sort(names)
      local wanted = {}
      for _, array in ipairs(row.arrays) do
        if not row.needs[array] then wanted[#wanted + 1] = array end
      end
      table.sort(wanted)
      assert.same(wanted, names)
    end)
  end
end)

describe("a step", function()
  -- One parameter at 2 with gradient 0.5.
  local function one(make)
    local w = lt.param(lt.tensor {2})
    w.grad = lt.tensor {0.5}
    make({w}):step()
    return w:get(1)
  end

  it("is the rule's, worked out by hand", function()
    assert.close(one(function(p) return optim.SGD(p, {lr = 0.1}) end), 1.95)
    assert.close(one(function(p) return optim.SGD(p, {lr = 0.1, weight_decay = 0.5}) end), 1.85)
    assert.close(one(function(p) return optim.SGD(p, {lr = 0.1, momentum = 0.5, nesterov = true}) end), 1.925)
    assert.close(one(function(p) return optim.Adam(p, {lr = 0.1}) end), 1.9)
    assert.close(one(function(p) return optim.AdamW(p, {lr = 0.1, weight_decay = 0.5}) end), 1.8)
    assert.close(one(function(p) return optim.RMSprop(p, {lr = 0.1, alpha = 0.75}) end), 1.8)
  end)

  it("takes the learning rate of the moment", function()
    local w = lt.param(lt.tensor {1})
    local opt = optim.SGD({w}, {lr = 1})
    w.grad = lt.tensor {1}
    opt.lr = 0.25
    opt:step()
    assert.equal(0.75, w:get(1))
    opt.lr = 0
    opt:step()
    assert.equal(0.75, w:get(1))
    for _, lr in ipairs {-1, 0 / 0, "fast"} do
      opt.lr = lr
      assert.matches("optim.SGD: lr: expected a number of at least 0, got ", error_of(opt.step, opt))
    end
    opt.lr = nil
    assert.matches("got nil", error_of(opt.step, opt))
    assert.equal(2, opt.steps)
  end)

  it("is noticed by a backward through the old weights", function()
    local w = lt.param(lt.tensor {1})
    local loss = w:square():sum()
    w.grad = lt.tensor {1}
    optim.SGD({w}):step()
    assert.error(function() loss:backward() end)
  end)

  it("does not follow the list that it was made from", function()
    local w = lt.param(lt.tensor {1})
    local list = {w}
    local opt = optim.SGD(list, {lr = 1})
    list[1], list[2] = nil, 5
    w.grad = lt.tensor {1}
    opt:step()
    opt:zero_grad()
    assert.equal(0, w:get(1))
    assert.equal(0, w.grad:get(1))
  end)

  it("goes over parameters that share memory one after the other", function()
    local before = lt.threads()
    local function trained(threads)
      lt.set_threads(threads)
      lt.manual_seed(1)
      local p = lt.param(lt.randn(200000))
      local q = p:detach():requires_grad_(true)
      local opt = optim.SGD({p, q}, {lr = 0.1, momentum = 0.9})
      for _ = 1, 5 do
        opt:zero_grad()
        local loss = p:square():sum() + q:sin():sum()
        loss:backward()
        opt:step()
      end
      return p:detach()
    end
    local alone = trained(1)
    for _ = 1, 3 do assert.is_true(lt.equal(alone, trained(4))) end
    lt.set_threads(before)
  end)

  it("passes over a frozen parameter, though it has a gradient and momentum from before", function()
    local w = lt.param(lt.tensor {1})
    local opt = optim.SGD({w}, {lr = 0.5, momentum = 0.9})
    w.grad = lt.tensor {1}
    opt:step()
    w:requires_grad_(false)
    opt:step()
    assert.equal(0.5, w:get(1))
  end)
end)

describe("a gradient that is zeroed", function()
  local function bits(t) return t:bytes() end
  local function zeroed(values)
    local w = lt.param(lt.tensor{1, -2, 3, 4})
    ;(w * lt.tensor(values)):sum():backward()
    optim.SGD({w}):zero_grad()
    return w
  end

  it("is zeros for who looks at it, steps by it or measures it, also where no backward followed", function()
    local zeros = bits(lt.zeros(4))
    assert.equal(zeros, bits(zeroed{5, 6, 7, 8}.grad))
    local w = zeroed{5, 6, 7, 8}
    assert.equal(0, optim.clip_grad_norm({w}, 1))
    w = zeroed{5, 6, 7, 8}
    optim.SGD({w}, {lr = 0.5, weight_decay = 1}):step()
    assert.close(w, {0.5, -1, 1.5, 2})
    w = zeroed{5, 6, 7, 8}
    w.grad = lt.ones(4)
    w:sum():backward()
    assert.close(w.grad, {2, 2, 2, 2})
  end)

  it("takes the next one as a sum with zeros, and those after it on top", function()
    local w = zeroed{5, 6, 7, 8}
    local minus = lt.tensor{-0.0, 0, 1, -1};
    (w * minus):sum():backward()
    assert.equal(bits(lt.zeros(4) + minus), bits(w.grad))
    w = zeroed{5, 6, 7, 8}
    for _ = 1, 2 do (w * minus):sum():backward() end
    assert.equal(bits(minus + minus + 0), bits(w.grad))
  end)

  it("is its leaf's alone, also where two get the same one", function()
    local a, b = zeroed{5, 6, 7, 8}, zeroed{5, 6, 7, 8}
    ;(a + b):backward(lt.tensor{1, 2, 3, 4})
    a.grad:add_(1)
    assert.close(a.grad, {2, 3, 4, 5})
    assert.close(b.grad, {1, 2, 3, 4})
    local seed = lt.tensor{1, 2, 3, 4}
    a:zero_grad()
    a:reshape(2, 2):reshape(4):backward(seed)
    a.grad:add_(1)
    assert.close(a.grad, {2, 3, 4, 5})
    assert.close(seed, {1, 2, 3, 4})
  end)

  it("is zeroed at once where somebody holds it", function()
    local w = lt.param(lt.ones(3))
    w:sum():backward()
    local held = w.grad
    w:zero_grad()
    assert.close(held, {0, 0, 0})
    w:sum():backward()
    assert.close(held, {1, 1, 1})
  end)

  it("goes through hooks of its leaf, and is asked for at a leaf itself", function()
    local w = zeroed{5, 6, 7, 8}
    local handle = w:register_hook(function(g) return g * 3 end)
    w:sum():backward()
    assert.close(w.grad, {3, 3, 3, 3})
    handle:remove()
    local x = lt.param(lt.tensor(2))
    x:backward()
    x:zero_grad()
    x:backward()
    assert.close(x.grad, 1)
  end)
end)

describe("load_state", function()
  local function fresh() return optim.Adam {lt.param(lt.zeros(2)), lt.param(lt.zeros(3))} end

  it("refuses what does not fit, and changes nothing then", function()
    local opt = fresh()
    local function try(change)
      local state = {steps = 4, lr = 0.5, arrays = {}}
      for key, x in pairs(opt:state().arrays) do state.arrays[key] = lt.ones(x) end
      change(state)
      local message = error_of(opt.load_state, opt, state)
      for _, x in pairs(opt:state().arrays) do assert.equal(0, x:sum():item()) end
      assert.equal(0, opt.steps)
      assert.equal(1e-3, opt.lr)
      return message
    end
    assert.matches("optim.Adam: load_state: square.2 is missing",
      try(function(s) s.arrays["square.2"] = nil end))
    assert.matches("load_state: mean.1: expected float32 %[2%], got float32 %[3%]",
      try(function(s) s.arrays["mean.1"] = lt.ones(3) end))
    assert.matches("load_state: unexpected mean.3", try(function(s) s.arrays["mean.3"] = lt.ones(3) end))
    assert.matches("load_state: steps: expected a whole number of at least 0, got nil",
      try(function(s) s.steps = nil end))
    assert.matches("load_state: lr: expected a number of at least 0, got %-1", try(function(s) s.lr = -1 end))
    assert.matches("load_state: arrays: expected a table, got nil", try(function(s) s.arrays = nil end))
    assert.matches('unknown option "step" %(did you mean "steps"%?%)', try(function(s) s.step = 1 end))
    assert.matches("load_state: state: expected a table, got 3", error_of(opt.load_state, opt, 3))
  end)
end)

describe("optimisers follow PyTorch's trajectories:", function()
  local values = assert(require("latent.safetensors").load "spec/fixtures/layers.safetensors")
  local kinds = {
    sgd_maximize = {"SGD", {lr = 0.02, momentum = 0.9, weight_decay = 0.01, maximize = true}},
    adam_amsgrad = {"Adam", {lr = 0.05, amsgrad = true, weight_decay = 0.01, betas = {0.8, 0.9}}},
    adamw_amsgrad = {"AdamW", {lr = 0.05, amsgrad = true, betas = {0.8, 0.9}}},
    adamw_maximize = {"AdamW", {lr = 0.05, maximize = true}},
    rmsprop_centered = {"RMSprop", {lr = 0.02, centered = true}},
    rmsprop_momentum = {"RMSprop", {lr = 0.02, momentum = 0.5, weight_decay = 0.01}},
    rmsprop_both = {"RMSprop", {lr = 0.02, momentum = 0.5, centered = true, alpha = 0.9}},
    rmsprop_maximize = {"RMSprop", {lr = 0.02, momentum = 0.5, centered = true, maximize = true}},
    adagrad = {"Adagrad", {lr = 0.3, lr_decay = 0.01, weight_decay = 0.01, initial_accumulator_value = 0.1}},
    adagrad_maximize = {"Adagrad", {lr = 0.3, maximize = true}},
  }
  local c, t = values["optim/c"], values["optim/t"]
  local function loss_of(x) return (c * (x - t):square()):sum() + 0.1 * x:pow(4):sum() end

  for name, kind in pairs(kinds) do
    local function make(x) return optim[kind[1]]({x}, kind[2]) end
    local sign = name:find "maximize" and -1 or 1

    it(name .. ", 50 steps", function()
      local x, losses = lt.param(values["optim/x0"]:clone()), {}
      local opt = make(x)
      for step = 1, 50 do
        opt:zero_grad()
        local loss = loss_of(x)
        losses[step] = loss:item();
        (loss * sign):backward()
        opt:step()
      end
      assert.close(losses, values["optim/" .. name .. "/losses"], 1e-5)
      assert.close(x, values["optim/" .. name .. "/x"], 1e-4)
    end)

    it(name .. ", and goes on from its state to the bit", function()
      local x = lt.param(values["optim/x0"]:clone())
      local opt = make(x)
      local function go(o, w, steps)
        for _ = 1, steps do
          o:zero_grad();
          (loss_of(w) * sign):backward()
          o:step()
        end
      end
      go(opt, x, 5)
      local y, saved = lt.param(lt.tensor(x)), opt:state()
      for key, array in pairs(saved.arrays) do saved.arrays[key] = lt.tensor(array) end
      go(opt, x, 5)
      local other = make(y)
      other:load_state(saved)
      go(other, y, 5)
      assert.equal(x:bytes(), y:bytes())
    end)
  end

  it("two groups, whose rates fall together", function()
    local a, b = lt.param(lt.tensor {1, -2}), lt.param(lt.tensor {3})
    local opt = optim.SGD({{params = {a}}, {params = {b}, lr = 0.1, weight_decay = 0.5}}, {lr = 0.01, momentum = 0.9})
    local rate = optim.schedule.exponential(0.01, {factor = 0.9})
    for step = 1, 20 do
      opt.lr = rate(step)
      opt:zero_grad();
      (a:square():sum() + b:square():sum()):backward()
      opt:step()
    end
    assert.close(a, values["optim/groups/a"])
    assert.close(b, values["optim/groups/b"])
    assert.close(opt:rates()[2] / opt:rates()[1], 10)
  end)
end)

describe("groups of parameters", function()
  local function pair() return lt.param(lt.ones(2)), lt.param(lt.ones(3)) end

  it("are told in settings, and number their arrays through", function()
    local a, b = pair()
    local opt = optim.Adam({{params = {a}}, {params = {b}, lr = 0.01, amsgrad = true}}, {lr = 0.1})
    local settings, names = opt:settings(), {}
    assert.same({2, 1, false, true}, {settings.parameters, settings["group 2 parameters"], settings.amsgrad,
      settings["group 2 amsgrad"]})
    assert.close(settings["group 2 scale"], 0.1)
    for name in pairs(opt:state().arrays) do names[#names + 1] = name end
    table.sort(names)
    assert.same({"mean.1", "mean.2", "most.2", "square.1", "square.2"}, names)
    assert.same({a, b}, opt:parameters())
  end)

  it("are refused where they make no sense", function()
    local a, b = pair()
    for pattern, groups in pairs {
      ["optim: group 2: expected {params = list, ...}, got a table"] = {{params = {a}}, {b}},
      ["optim.SGD: parameter 2: is parameter 1 again"] = {{params = {a}}, {params = {a}}},
      ["optim.SGD: expected a list of parameters.*, got an empty table"] = {{params = {}}},
      ['optim.SGD: unknown option "momentun"'] = {{params = {a}, momentun = 1}},
      ["optim.SGD: lr: expected a number of at least 0, got %-1"] = {{params = {a}, lr = -1}},
    } do
      assert.matches(pattern, error_of(optim.SGD, groups))
    end
    assert.matches("optim.SGD: lr: expected above 0 where a group has another one, got 0",
      error_of(optim.SGD, {{params = {a}, lr = 1}}, {lr = 0}))
  end)
end)

describe("optim.average", function()
  local function step(w, value)
    lt.no_grad(function() w:fill_(value) end)
  end

  it("is the mean of all updates, or forgets the older ones", function()
    local w = lt.param(lt.zeros(2))
    local swa, ema = optim.average({w}), optim.average({w}, {decay = 0.75})
    for _, value in ipairs {1, 3, 5} do
      step(w, value)
      swa:update()
      ema:update()
    end
    assert.equal(3, swa.updates)
    swa:swap()
    assert.close(w, {3, 3})
    swa:swap()
    assert.close(w, {5, 5})
    assert.close(ema:with(function() return w:get(1) end), (1 * 0.75 + 3 * 0.25) * 0.75 + 5 * 0.25)
    assert.close(w, {5, 5})
    assert.has_error(function() ema:with(function() error "lost" end) end)
    assert.close(w, {5, 5})
  end)

  it("goes on from its state", function()
    local w = lt.param(lt.zeros(2))
    local one, two = optim.average({w}), optim.average({w})
    step(w, 4)
    one:update()
    two:set_state(one:state())
    step(w, 1)
    one:update()
    two:update()
    assert.equal(one:state().arrays["mean.1"]:bytes(), two:state().arrays["mean.1"]:bytes())
    assert.matches("set_state: mean.1 is missing", error_of(two.set_state, two, {updates = 1, arrays = {}}))
    assert.matches("set_state: mean.1: expected float32 %[2%], got float32 %[3%]",
      error_of(two.set_state, two, {updates = 1, arrays = {["mean.1"] = lt.ones(3)}}))
    assert.matches("optim.average: decay: expected a number in %[0, 1%), got 1",
      error_of(optim.average, {w}, {decay = 1}))
    assert.matches("optim.average: expected a list of parameters", error_of(optim.average, nn.Linear(1, 1)))
  end)
end)

describe("optimisers refuse", function()
  local w = lt.param(lt.ones(2))
  local cases = {
    {"optim.Adam: expected a list of parameters, such as model:parameters%(%), got nil", optim.Adam},
    {"optim.SGD: expected a list of parameters.*, got an empty table", optim.SGD, {}},
    {"optim.SGD: expected a list of parameters.*, got a tensor %[2%]", optim.SGD, w},
    {"optim.Adam: expected a list of .*, such as model:parameters%(%), got a module", optim.Adam, nn.Linear(1, 1)},
    {"optim.SGD: expected a list of parameters.*, got a module", optim.SGD, nn.Sequential {nn.ReLU()}},
    {"optim.AdamW: expected a list of parameters.*, got nn.ReLU; write nn.ReLU", optim.AdamW, nn.ReLU},
    {"optim.RMSprop: expected a list of parameters.*, got a table with names", optim.RMSprop, {weight = w}},
    {"optim.clip_grad_norm: expected a list of parameters.*, got a module", optim.clip_grad_norm, nn.ReLU(), 1},
    {"clip_grad_norm: expected a list of parameters.*, got a module", lt.clip_grad_norm, nn.ReLU(), 1},
    {"clip_grad_norm: expected a list of parameters.*, got a table", lt.clip_grad_norm, {}, 1},
    {"optim.SGD: parameter 2: expected a tensor, got 3", optim.SGD, {w, 3}},
    {"optim.SGD: parameter 1: .*, got the result of an op", optim.SGD, {w * 2}},
    {"optim.SGD: parameter 1: .*, got u8", optim.SGD, {lt.ones(1):u8()}},
    {"optim.SGD: parameter 2: is parameter 1 again", optim.SGD, {w, w}},
    {'optim.Adam: unknown option "rl" %(did you mean "lr"%?%)', optim.Adam, {w}, {rl = 1}},
    {'optim.SGD: unknown option "momentun" %(did you mean "momentum"%?%)', optim.SGD, {w}, {momentun = 1}},
    {"optim.Adam: lr: expected a number of at least 0, got %-1", optim.Adam, {w}, {lr = -1}},
    {"optim.SGD: lr: expected a finite number of at least 0, got inf", optim.SGD, {w}, {lr = math.huge}},
    {'optim.RMSprop: lr: expected a number of at least 0, got "1"', optim.RMSprop, {w}, {lr = "1"}},
    {"optim.AdamW: betas: expected {beta1, beta2}, got 0.9", optim.AdamW, {w}, {betas = 0.9}},
    {"optim.AdamW: betas: expected {beta1, beta2}, got a table", optim.AdamW, {w}, {betas = {0.9}}},
    {"optim.Adam: betas: expected a number in %[0, 1%), got 1", optim.Adam, {w}, {betas = {0.9, 1}}},
    {"optim.RMSprop: alpha: expected a number in %[0, 1%), got 2", optim.RMSprop, {w}, {alpha = 2}},
    {"optim.SGD: nesterov: expected momentum above 0", optim.SGD, {w}, {nesterov = true}},
    {"optim.SGD: nesterov: expected a boolean, got 1", optim.SGD, {w}, {nesterov = 1}},
  }
  for _, case in ipairs(cases) do
    it(case[1], function() assert.matches(case[1], error_of(case[2], case[3], case[4])) end)
  end
end)

describe("optim.clip_grad_norm", function()
  local function parameters()
    local a, b, c = lt.param(lt.zeros(2)), lt.param(lt.zeros(1)), lt.param(lt.zeros(1))
    a.grad, b.grad = lt.tensor {3, 0}, lt.tensor {-4}
    return {a, b, c}
  end

  it("scales all gradients together and returns the norm before", function()
    local list = parameters()
    assert.equal(5, optim.clip_grad_norm(list, 1))
    assert.close(list[1].grad, {0.6, 0})
    assert.close(list[2].grad, {-0.8})
    assert.is_nil(list[3].grad)
  end)

  it("leaves short gradients alone", function()
    local list = parameters()
    assert.equal(5, optim.clip_grad_norm(list, 6))
    assert.close(list[1].grad, {3, 0}, 0)
    assert.equal(5, optim.clip_grad_norm(list, math.huge))
    assert.close(list[2].grad, {-4}, 0)
  end)

  it("refuses nonsense", function()
    assert.matches("clip_grad_norm: max_norm: expected above 0, got 0",
      error_of(optim.clip_grad_norm, parameters(), 0))
    assert.matches("clip_grad_norm: max_norm: expected a number, got nil",
      error_of(optim.clip_grad_norm, parameters()))
    assert.matches("optim.clip_grad_norm: expected a list of parameters", error_of(optim.clip_grad_norm, nil, 1))
  end)
end)
