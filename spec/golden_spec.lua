-- The golden values, made by PyTorch, through the public API: ops with their gradients, optimisers,
-- models (whose weights arrive in PyTorch's layout), the MAP estimate.
local files = require "latent.base.files"
local golden = require "spec.support.golden"
local scratch = require "spec.support.scratch"

local DIR = "spec/fixtures/golden"

describe("golden values", function()
  for _, case in ipairs(golden.cases(assert(golden.load(DIR)))) do
    it(case.name, function()
      local result = golden.run(case)
      assert(result.passed, result.message)
      assert(result.arrays > 0)
    end)
  end
end)

describe("the golden tool", function()
  local folder, remove

  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  -- The tool's exit status and output on a folder with the given golden.json.
  local function run(json)
    scratch.write(folder, "golden.json", json)
    scratch.write(folder, "golden.safetensors", assert(files.read_all(DIR .. "/golden.safetensors")))
    local pipe = io.popen(("LUA_PATH='%s' LUA_CPATH='%s' lua5.4 tools/golden.lua %s 2>&1"):format(package.path,
      package.cpath, folder))
    local text = pipe:read "a"
    local ok = pipe:close()
    return ok == true, text
  end

  local NEG = '{"cases": [{"id": "n", "op": "%s", "attrs": {}, "inputs": {"x": "016_neg/x"}, "output": "%s"}]}'

  it("passes what agrees", function()
    local ok, text = run(NEG:format("neg", "016_neg/y"))
    assert.is_true(ok)
    assert.matches("1 passed, 0 failed\n$", text)
  end)

  it("fails on a wrong value", function()
    local ok, text = run(NEG:format("neg", "016_neg/x"))
    assert.is_false(ok)
    assert.matches("FAIL n .*output differs by 2", text)
    assert.matches("0 passed, 1 failed\n$", text)
  end)

  it("fails on an op that it does not know", function()
    local ok, text = run(NEG:format("frobnicate", "016_neg/y"))
    assert.is_false(ok)
    assert.matches("unknown op frobnicate", text)
  end)

  it("fails on a folder that is not there or is damaged", function()
    assert.is_nil((golden.load "/nonexistent"))
    local ok, text = run "{"
    assert.is_false(ok)
    assert.matches("golden.json", text)
  end)
end)
