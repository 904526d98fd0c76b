-- Every rule by which a gradient is recorded: against the core's own, and its gradient against differences.
local rulecheck = require "spec.support.rulecheck"
local lt = require "latent"
local lt64 = require "spec.support.lt64"
local op_cases = require "spec.support.op_cases"

-- Of many cases that differ in sizes alone, enough that each rule meets all of its branches.
local MOST = 40

describe("the recorded gradient", function()
  for _, op in ipairs(lt.ops()) do
    if op.differentiable then
      it("of " .. op.name, function()
        local cases, checked = assert(op_cases.cases[op.name], "no case in spec/support/op_cases.lua"), 0
        local small = {}
        for _, case in ipairs(cases) do
          if not case.wide then small[#small + 1] = case end
        end
        local every = math.max(1, #small // MOST)
        for i = 1, #small, every do
          local case = small[i]
          local ok, message = pcall(rulecheck.check, case.f, op_cases.inputs(lt64, case))
          assert(ok, ("%s: %s"):format(op_cases.label(case), tostring(message)))
          checked = checked + 1
        end
        assert(checked > 0, "no case small enough")
      end)
    end
  end
end)
