-- What users of PyTorch, NumPy and Torch7 type first: told what to write here, at their own line.
local core = require "latent.core"
local foreign = require "latent.base.foreign"
local lt = require "latent"
local nn, optim, data = require "latent.nn", require "latent.optim", require "latent.data"
local plot = require "latent.plot"
require "spec.support.close"
require "spec.support.misuse"

local function plain(text) return (text:gsub("%p", "%%%0")) end

describe("a name of another library", function()
  local model = nn.Linear(2, 3)
  local OWNERS = {
    tensor = {lt.ones(2), "a tensor", core.methods}, lt = {lt, "lt", lt}, nn = {nn, "nn", nn},
    data = {data, "data", data}, optim = {optim, "optim", optim}, plot = {plot, "plot", plot},
    schedule = {optim.schedule, "schedule", optim.schedule},
    module = {model, "a module", getmetatable(nn.Sequential).__index},
    optimiser = {optim.SGD(model:parameters(), {lr = 1}), "an optimiser",
      getmetatable(optim.SGD(model:parameters(), {lr = 1}))},
  }

  it("is answered with what to write", function()
    local count = 0
    for which, owner in pairs(OWNERS) do
      for name, text in pairs(foreign[which]) do
        assert.misuse(which == "module" and function() owner[1][name](owner[1]) end
          or function() local _ = owner[1][name] end,
          ('%s has no "%s"; .*%s'):format(owner[2], name, plain(text)))
        assert.is_nil(rawget(owner[3], name), ("%s has %s by now: nothing foreign"):format(which, name))
        count = count + 1
      end
    end
    assert.is_true(count > 250)
  end)

  it("is answered with names that exist", function()
    local function check(text, pattern, where, what)
      for name in text:gmatch(pattern) do
        assert(rawget(where, name) ~= nil, ("%q: there is no %s%s"):format(text, what, name))
      end
    end
    for which in pairs(OWNERS) do
      for _, text in pairs(foreign[which]) do
        check(text, "%f[%w]lt%.([%w_]+)", lt, "lt.")
        check(text, "%f[%w]nn%.([%w_]+)", nn, "nn.")
        check(text, "%f[%w]optim%.([%w_]+)", optim, "optim.")
        check(text, "%f[%w]data%.([%w_]+)", data, "data.")
        check(text, "%f[%w]plot%.([%w_]+)", plot, "plot.")
        check(text, "%f[%w]schedule%.([%w_]+)", optim.schedule, "schedule.")
        check(text, "%f[%w][xyp]:([%w_]+)", core.methods, "Tensor:")
        check(text, "%):([%w_]+)", core.methods, "Tensor:")
        check(text, "model:([%w_]+)", getmetatable(nn.Sequential).__index, "Module:")
        check(text, "opt:([%w_]+)", OWNERS.optimiser[3], "Optimizer:")
        for name in text:gmatch 'require ?%(?"([%w.]+)"' do assert.is_table(require(name)) end
      end
    end
  end)

  it("is answered with what computes the same", function()
    local nan = 0 / 0
    local function computes(which, name, arguments, expected)
      local code = foreign[which][name]:gsub(", which .*", ""):gsub(", or .*", "")
      local env = setmetatable(arguments, {__index = {lt = lt, nn = nn}})
      assert.close(assert(load("return " .. code, code, "t", env))(), expected, 1e-6)
    end
    computes("lt", "relu6", {x = lt.tensor{-2, 3, 7}}, {0, 3, 6})
    computes("lt", "hardtanh", {x = lt.tensor{-2, 0.5, 7}}, {-1, 0.5, 1})
    computes("lt", "percentile", {x = lt.tensor{1, 2, 3}, q = 50}, 2)
    computes("lt", "nanquantile", {x = lt.tensor{1, nan, 4}, q = 0.5}, 2.5)
    computes("lt", "digitize", {x = lt.tensor{0, 1, 1.5}, boundaries = lt.tensor{1, 2}}, {1, 2, 2}) -- NumPy: 0, 1, 1
    computes("tensor", "isclose", {x = lt.tensor{1, 2}, y = lt.tensor{1 + 1e-6, 2.1}}, {1, 0})
    computes("tensor", "bernoulli_", {x = lt.zeros(2), p = 1}, {1, 1})
    computes("tensor", "random_", {x = lt.zeros(2), first = 3, last = 3}, {3, 3})
    local drawn = lt.zeros(4000)
    computes("tensor", "exponential_", {x = drawn, rate = 2}, drawn)
    assert.close(drawn:mean(), 0.5, 0.05)
    local x, y = lt.arange(1, 6):reshape(2, 3), lt.arange(1, 3):reshape(1, 3)
    assert.close(x:matmul(y:transpose()), {{14}, {32}}, 0) -- what `inner` says of matrices
    assert.close(lt.einsum("ik,jk->ij", x, y), {{14}, {32}}, 0)
  end)

  it("does not hide that another name is nil", function()
    for _, owner in ipairs{lt, nn, optim, data, plot, optim.schedule, model} do assert.is_nil(owner.no_such_name) end
    assert.is_nil(lt[1])
    assert.misuse(function() local _ = lt.ones(1).reshap end, 'a tensor has no method or field "reshap" %(did you mean')
  end)
end)

describe("an option of another library", function()
  it("is answered with its name here", function()
    local x, set = lt.ones(2, 2), data.tensors{x = lt.ones(2, 2)}
    local parameters = nn.Linear(1, 1):parameters()
    for expected, f in pairs{
      ['sum: unknown option "dim" %(did you mean "axis"%?%)'] = function() x:sum{dim = 2} end,
      ['flip: unknown option "dims" %(did you mean "axis"%?%)'] = function() x:flip{dims = {1}} end,
      ['data.loader: unknown option "batch_size" %(did you mean "batch"%?%)'] = function()
        data.loader(set, {batch_size = 2})
      end,
      ['data.split: unknown option "random_state" %(did you mean "seed"%?%)'] = function()
        data.split(set, 1, {random_state = 1})
      end,
      ['optim.Adam: unknown option "learning_rate" %(did you mean "lr"%?%)'] = function()
        optim.Adam(parameters, {learning_rate = 1})
      end,
      ['plot.lines: unknown option "xlim" %(did you mean "xrange"%?%)'] = function()
        plot.lines{{y = {1, 2}}, xlim = {0, 1}}
      end,
      ['randn: unknown option "requires_grad"; .*; lt.param%(x%) wants a gradient'] = function()
        lt.randn(2, {requires_grad = true})
      end,
      ['a tensor has no field "requires_grad" to assign to; write x:requires_grad_%(...%), or lt.param'] = function()
        x.requires_grad = true
      end,
    } do assert.misuse(f, expected) end
  end)
end)

describe("an operator that tensors do not have", function()
  local x, y = lt.ones(2), lt.ones(2)

  it("is answered with the method", function()
    for expected, f in pairs{
      ["< or > has one answer, a tensor one for each element; write x:gt%(0%)"] = function() return x > 0 end,
      ["< or > has one answer, a tensor one for each element; write x:lt%(0.5%)"] = function() return x < 0.5 end,
      ["< or > has one answer, a tensor one for each element; write x:lt%(y%)"] = function() return x < y end,
      ["<= or >= has one answer, a tensor one for each element; write x:ge%(3%)"] = function() return 3 <= x end,
      ["<= or >= has one answer, a tensor one for each element; write x:le%(3%)"] = function() return x <= 3 end,
      ['< or > has one answer, a tensor one for each element; write x:lt%("a"%)'] = function() return x < "a" end,
      ["a tensor has no ..; write tostring%(x%) or x:item%(%)"] = function() return "loss " .. x end,
      ["a tensor has no call; write x%[i%], x:get%(i, j%)"] = function() local _ = x(1) end,
      ["a tensor has no &; write x %* y"] = function() return x & y end,
      ["a tensor has no |; write lt.maximum%(x, y%)"] = function() return x | 1 end,
      ["a tensor has no ~; write x:ne%(y%)"] = function() return x ~ y end,
      ["a tensor has no ~; write x:eq%(0%)"] = function() return ~x end,
      ["a tensor has no <<; write x %* 2"] = function() return x << 1 end,
      ["a tensor has no >>; write %(x / 2"] = function() return x >> 1 end,
      ["size: axis: expected a whole number, got nil; x.shape has the sizes"] = function() local _ = x:size() end,
      ["shape: a field and no method; write x.shape"] = function() local _ = x:shape() end,
      ["index: expected at most 1 entries for shape %[2%], got 2"] = function() return x[{1, 2}] end,
    } do assert.misuse(f, expected) end
    assert.equal(2, #x)
    assert.is_false(x == y)
  end)

  it("leaves a shape a plain list", function()
    assert.same({2, 3}, lt.ones(2, 3).shape)
    assert.equal("{2, 3}", require("latent.repl.print").text(lt.ones(2, 3).shape))
    assert.equal("[2,3]", require("latent.json").encode(lt.ones(2, 3).shape))
    assert.same({2, 3}, lt.zeros(lt.ones(2, 3).shape).shape)
  end)
end)
