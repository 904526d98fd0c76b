-- Every rule by which a gradient is recorded: against the core's own, and its gradient against differences.
local core = require "latent.core"
local fft64 = require "spec.support.in_double"(require "latent.fft")
local lt = require "latent"
local lt64 = require "spec.support.lt64"
local op_cases = require "spec.support.op_cases"
local rulecheck = require "spec.support.rulecheck"

-- Of many cases that differ in sizes alone, enough that each rule meets all of its branches.
local MOST = 40
-- Rules of what no function of latent is alone; the cases are given here.
local BENEATH = {
  fft = {function(_, x) return fft64.fft(x) end, {4, 2}},
  conv_block = {function(_, x, w) return core.ops.conv_block(x, w, nil, {activation = "relu", pool = 2}) end,
    {1, 4, 4, 2}, {3, 3, 2, 2}},
  distances = {function(_, a, b) return core.ops.distances(a, b) end, {2, 3, 2}, {2, 4, 2}},
  lstm = {function(_, gates, state, weight) return core.ops.lstm(gates, state, weight, true) end,
    {3, 2, 8}, {2, 2, 2}, {2, 8}},
}

describe("the recorded gradient", function()
  local rules, plain, met = require "latent.base.grad.walk"(core).rules(), {}, {}

  -- The walk asks about a node before it takes the rule of its name.
  lazy_setup(function()
    plain.node_read = core.node_read
    core.node_read = function(node)
      local n = plain.node_read(node)
      met[n.name] = true
      return n
    end
  end)
  lazy_teardown(function() core.node_read = plain.node_read end)

  local function check(name, case, f, inputs)
    local ok, second = pcall(rulecheck.check, f, inputs)
    assert(ok, ("%s: %s"):format(case and op_cases.label(case) or name, tostring(second)))
    return second
  end

  for _, op in ipairs(lt.ops()) do
    if op.differentiable then
      it("of " .. op.name, function()
        local cases, second = assert(op_cases.cases[op.name], "no case in spec/support/op_cases.lua"), nil
        local small = {}
        for _, case in ipairs(cases) do
          if not case.wide then small[#small + 1] = case end
        end
        local every = math.max(1, #small // MOST)
        for i = 1, #small, every do
          second = check(op.name, small[i], small[i].f, op_cases.inputs(lt64, small[i])) or second
        end
        assert(second ~= nil, "no case small enough")
        assert(second, "no gradient of the gradient")
      end)
    end
  end

  for name, case in pairs(BENEATH) do
    it("of " .. name, function()
      local inputs = {}
      for i = 2, #case do inputs[i - 1] = {case[i]} end
      assert.is_true(check(name, nil, case[1], op_cases.inputs(lt64, {inputs = inputs})))
    end)
  end

  it("is that of every differentiable row of the core, each of which the cases above meet", function()
    for _, row in ipairs(core.registry()) do
      assert.equal(row.differentiable, rules[row.name] ~= nil, row.name)
    end
    for name in pairs(rules) do assert(met[name], name .. ": no case meets its rule") end
  end)
end)
