-- The tool behind `make opinfo`, on cases written by hand: what agrees passes, and whatever does not is seen.
local lt = require "latent"
local files, json, npz = require "latent.base.files", require "latent.json", require "latent.npz"
local report, verdicts = require "tools.opinfo.report", require "tools.opinfo.verdicts"
local scratch = require "spec.support.scratch"

describe("opinfo", function()
  local folder, remove

  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  -- Writes the set "extra" of one operator with one case: -x of {1, -2}, whose output's gradient is {1, 3}. `changes`
  -- replaces what is expected, or the operator's name, or the call.
  local function write(changes)
    local op, code = changes.op or "neg", changes.code or "lt.neg(a)"
    local prefix = ("%s/extra_%s"):format(folder, op)
    local expected = {["0000_y"] = lt.tensor{-1, 2}, ["0000_ga"] = lt.tensor{-1, -3}}
    for name, t in pairs(changes.expected or {}) do expected[name] = t or nil end
    local sample = {op = op, case = "0000", desc = "by hand", code = code, grads = json.array{"a"}}
    for key, value in pairs(changes.sample or {}) do sample[key] = value end
    scratch.write(folder, "extra.json", json.encode(json.array{sample}))
    scratch.write(folder, ("extra_%s.lua"):format(op), ('return {{id = "0000", ins = {"a"}, grads = {true}, dy = true, '
      .. "f = function(lt, nn, x4, a) return %s end}}"):format(code))
    assert(npz.save(prefix .. ".npz", {["0000_a"] = changes.input or lt.tensor{1, -2}, ["0000_dy"] = lt.tensor{1, 3}}))
    assert(npz.save(prefix .. ".expect.npz", expected))
  end

  local function judge(changes, double)
    write(changes)
    local results = assert(verdicts.of(folder, "extra", nil, {}, double))
    assert.equal(1, #results)
    return results[1]
  end

  it("passes what agrees", function()
    local result = judge{}
    assert.equal("passed", result.verdict)
    assert.equal(0, result.error)
    assert.equal("passed", judge{expected = {["0000_y"] = lt.tensor{-1.000008, 2}}}.verdict)
  end)

  it("takes float64 to 1e-10, or what is left of PyTorch's float32 there", function()
    local function off(by, single)
      local y = lt.tensor({-1 + by, 2}, {dtype = "float64"})
      -- Zeros of the default type: another than a's would raise.
      return {code = "lt.sub(lt.zeros(2), a)", expected = {["0000_y"] = y,
        ["0000_y32"] = lt.tensor{-1 + single, 2}}}
    end
    assert.equal("passed", judge(off(1e-11, 0), true).verdict)
    assert.equal("failed", judge(off(1e-9, 0), true).verdict)
    assert.equal("rounding", judge(off(1e-9, 0.5), true).verdict)
    assert.equal("failed", judge(off(1e-7, 0.5), true).verdict)
    assert.equal("passed", judge(off(1e-9, 0)).verdict)
  end)

  it("fails on a wrong value, gradient, shape, and on what is missing", function()
    local result = judge{expected = {["0000_y"] = lt.tensor{-1.00004, 2}}}
    assert.equal("failed", result.verdict)
    assert.matches("^y: 2e%-05 at {1}: %-1, expected %-1.00004", result.text)
    result = judge{expected = {["0000_ga"] = lt.tensor{-1, 3}}}
    assert.equal("failed", result.verdict)
    assert.matches("^ga: 2 at {2}: %-3, expected 3", result.text)
    result = judge{expected = {["0000_y"] = lt.tensor{{-1, 2}}}}
    assert.matches("shape %[2%], expected %[1, 2%]", result.text)
    assert.matches("ga: nothing was expected", judge{expected = {["0000_ga"] = false}}.text)
    result = judge{sample = {grads = json.array{"a", "b"}}, expected = {["0000_gb"] = lt.tensor{0, 0}}}
    assert.equal("failed", result.verdict)
    assert.matches("gb: the array was not computed", result.text)
  end)

  it("fails where one is NaN or infinite and the other is not", function()
    local nan, inf = 0 / 0, math.huge
    for _, pair in ipairs{{nan, 2}, {-1, nan}, {inf, 2}, {-1, -inf}} do
      local result = judge{expected = {["0000_y"] = lt.tensor(pair)}}
      assert.equal("failed", result.verdict)
      assert.equal(inf, result.error)
    end
    assert.equal("failed", judge{input = lt.tensor{nan, -2}}.verdict)
    assert.equal("failed", judge{input = lt.tensor{inf, -2}, expected = {["0000_y"] = lt.tensor{inf, 2}}}.verdict)
    assert.equal("passed", judge{input = lt.tensor{nan, inf}, expected = {["0000_y"] = lt.tensor{nan, -inf}}}.verdict)
  end)

  it("takes as rounding what PyTorch's float32 does no better", function()
    local y = lt.tensor{-1.0001, 2}
    assert.equal("rounding", judge{expected = {["0000_y"] = y, ["0000_y32"] = lt.tensor{-1.00003, 2}}}.verdict)
    assert.equal("failed", judge{expected = {["0000_y"] = y, ["0000_y32"] = lt.tensor{-1.00008, 2}}}.verdict)
    -- A gradient that nearly cancels: wrong by less than a rounding of the output's, but only if PyTorch's is off too.
    local g = {expected = {["0000_ga"] = lt.tensor{1e-6, 0}, ["0000_ga32"] = lt.tensor{1.01e-6, 0}},
      code = "lt.mul(lt.neg(a), 0)", sample = {code = ""}}
    g.expected["0000_y"] = lt.tensor{0, 0}
    assert.equal("rounding", judge(g).verdict)
    g.expected["0000_ga32"] = lt.tensor{1e-6, 0}
    assert.equal("failed", judge(g).verdict)
    -- Beyond float32 only where PyTorch's is the same.
    local far = {input = lt.tensor{math.huge, -2}, expected = {["0000_y"] = lt.tensor{-3e38, 2},
      ["0000_y32"] = lt.tensor{-math.huge, 2}}}
    assert.equal("rounding", judge(far).verdict)
    far.expected["0000_y32"] = lt.tensor{math.huge, 2}
    assert.equal("failed", judge(far).verdict)
  end)

  it("refuses only what is known to be refused, and what is excused only for its operator", function()
    local result = judge{code = "lt.sum(lt.sum(a), 1)"}
    assert.equal("refused", result.verdict)
    assert.equal("a scalar has no axis", result.text)
    result = judge{code = "lt.reshape(a, 7)"}
    assert.equal("failed", result.verdict)
    assert.matches("raised: reshape: ", result.text)
    result = judge{code = "lt.argmax(a)"}
    assert.equal("failed", result.verdict)
    assert.matches("no gradient was recorded", result.text)
    local nan = {input = lt.tensor{0 / 0, -2}, code = "lt.sign(a)", op = "sign",
      expected = {["0000_y"] = lt.tensor{0, -1}, ["0000_ga"] = lt.tensor{0, 0}}}
    assert.equal("passed", judge(nan).verdict)
    nan.op = "neg"
    assert.equal("failed", judge(nan).verdict)
  end)

  it("counts every sample once", function()
    local list = {}
    for i, verdict in ipairs{"passed", "passed", "rounding", "failed", "refused", "inexpressible", "inexpressible"} do
      list[i] = {verdict = verdict, op = i < 4 and "neg" or "exp", set = "extra", error = 1e-6, text = "why",
        sample = {case = "0000", desc = "by hand", code = "lt.neg(a)"}}
    end
    local lines = {}
    local total = report.write(list, function(line) lines[#lines + 1] = line end)
    assert.same({7, 4, 2, 1, 1, 1, 2}, {total.samples, total.run, total.passed, total.rounding, total.failed,
      total.refused, total.inexpressible})
    local text = table.concat(lines, "\n")
    assert.matches("\nneg +3 +3 +2 +1 +0 +0 +0 ", text)
    assert.matches("\ninexpressible:\n +2  why\n", text)
    assert.matches("\n2 operators, of 1 of them at least 95 %% can be expressed, but of\n  exp +50%.0 %%  why\n", text)
    assert.matches("\ntotal +7 +4 +2 +1 +1 +1 +2 [^\n]*$", text)
  end)

  -- The tool's exit status and output.
  local function tool(arguments, environment)
    local pipe = io.popen(("%s LUA_PATH='%s' LUA_CPATH='%s' lua5.4 tools/opinfo/main.lua %s 2>&1"):format(
      environment or "", package.path, package.cpath, arguments))
    local text = pipe:read "a"
    local _, _, status = pipe:close()
    return status, text
  end

  it("tells by its exit status", function()
    local arguments = "--cases " .. files.quote(folder) .. " --set extra"
    write{}
    local status, text = tool(arguments)
    assert.equal(0, status)
    assert.matches("total +1 +1 +1 +0 +0 +0 +0 ", text)
    write{expected = {["0000_y"] = lt.tensor{1, 2}}}
    status, text = tool(arguments)
    assert.equal(1, status)
    assert.matches("failed:\n  extra neg 0000  y: 1 at {1}: %-1, expected 1", text)
    -- A run that shows nothing is no success.
    assert.equal(2, (tool(arguments .. " --op exp")))
    assert.equal(2, (tool "--cases /nonexistent"))
    assert.equal(2, (tool "--cases"))
    assert.equal(2, (tool "--set nonsense"))
  end)

  it("is skipped where no Python has PyTorch", function()
    local status, text = tool("--out " .. files.quote(folder), "PYTHON=/nonexistent")
    assert.equal(0, status)
    assert.equal("skipped: no Python with PyTorch and NumPy (PYTHON=... names one)\n", text)
  end)
end)
