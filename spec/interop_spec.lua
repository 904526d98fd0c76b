-- Weights between PyTorch and here, both ways: by fixtures that a real PyTorch wrote, and live where one is found.
local files = require "latent.base.files"
local lt = require "latent"
local models = require "exercises.models"
local nn = require "latent.nn"
local npz = require "latent.npz"
local pt = require "latent.pt"
local safetensors = require "latent.safetensors"
local scratch = require "spec.support.scratch"
require "spec.support.close"
require "spec.support.misuse"

local FIXTURES = "spec/fixtures/interop/"
local SCRIPT = "spec/support/interop.py"

local OPTS = {layout = "torch", names = "zero-based"}

-- The models of interop.py, layer by layer.
local MODELS = {
  ae = models.autoencoder,
  mixed = function()
    return nn.Sequential {
      nn.Conv2d(2, 3, {3, 2}, {stride = 2, padding = 1}), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
      nn.LayerNorm(36), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 18), nn.Reshape(2, 3, 3),
      nn.ConvTranspose2d(3, 2, {3, 2}, {stride = 2, padding = 1, output_padding = 1}),
    }
  end,
}

local function outputs(model, x)
  return lt.no_grad(function() return model:eval()(x) end)
end

-- Random arrays everywhere, so that nothing stands at a constant.
local function randomise(model)
  for name, x in pairs(model:state()) do
    lt.no_grad(function() x:copy_(name:find "var" and lt.rand(x.shape) + 0.5 or lt.randn(x.shape) * 0.3) end)
  end
  return model
end

local function assert_same_state(expected, state)
  for name, x in pairs(expected) do
    assert.same(x.shape, state[name].shape, name)
    assert.equal(x:bytes(), state[name]:bytes(), name)
  end
  for name in pairs(state) do assert.is_truthy(expected[name], name) end
end

-- What a folder of interop.py holds is loaded into the equal models, which then compute the same.
local function assert_reads(folder, load, suffix)
  for name, make in pairs(MODELS) do
    local values = assert(npz.load(folder .. name .. "_values.npz"))
    local model = make():load_state(assert(load(folder .. name .. suffix)), OPTS)
    assert.close(outputs(model, values.x), values.y, 1e-5)
  end
end

describe("a state dict of PyTorch", function()
  before_each(function() lt.manual_seed(11) end)

  it("gives the equal model the same outputs", function() assert_reads(FIXTURES, pt.load, ".pt") end)

  it("comes back from our layout as it was, bit for bit", function()
    for name, make in pairs(MODELS) do
      local theirs = assert(pt.load(FIXTURES .. name .. ".pt"))
      local back = make():load_state(theirs, OPTS):state(OPTS)
      for key in pairs(theirs) do
        if key:find "num_batches_tracked" then theirs[key] = nil end
      end
      assert_same_state(theirs, back)
    end
  end)
end)

describe("state with layout = torch", function()
  before_each(function() lt.manual_seed(12) end)

  it("is read back as the same state, bit for bit", function()
    for _, make in pairs(MODELS) do
      local model = randomise(make())
      assert_same_state(model:state(), make():load_state(model:state(OPTS), OPTS):state())
    end
    local model, opts = randomise(models.vae(3)), {layout = "torch", channels = {["mu.1"] = 16, ["log_var.1"] = 16}}
    assert_same_state(model:state(), models.vae(3):load_state(model:state(opts), opts):state())
    assert.misuse(function() model:state {layout = "torch"} end, "state: layout: .*log_var%.1 .*mu%.1 ")
  end)

  it("gives copies, and without options the model's own tensors", function()
    local layer = nn.Linear(2, 2)
    assert.equal(layer.bias, layer:state().bias)
    for _, opts in ipairs {{layout = "torch"}, {names = {b = "bias"}}} do
      local copy = layer:state(opts)
      copy = copy.bias or copy.b
      assert.is_false(copy.requires_grad)
      local before = layer.bias:bytes()
      copy:fill_(9)
      assert.equal(before, layer.bias:bytes())
    end
  end)

  it("permutes convolutions and linear weights to PyTorch's order", function()
    assert.same({5, 3, 2, 4}, nn.Conv2d(3, 5, {2, 4}):state {layout = "torch"}.weight.shape)
    assert.same({3, 5, 2, 4}, nn.ConvTranspose2d(3, 5, {2, 4}):state {layout = "torch"}.weight.shape)
    local linear = nn.Linear(3, 2)
    assert.same(linear.weight:detach():transpose():table(), linear:state {layout = "torch"}.weight:table())
  end)

  it("renames by the table that load_state takes, the other way round", function()
    local model = nn.Module {encoder = nn.Linear(2, 2), head = nn.Sequential {nn.Linear(2, 1)}, forward = print}
    local names = {enc = "encoder", fc = "head.1"}
    local state = model:state {names = names}
    local keys = {}
    for key in pairs(state) do keys[#keys + 1] = key end
    table.sort(keys)
    assert.same({"enc.bias", "enc.weight", "fc.bias", "fc.weight"}, keys)
    model:load_state(state, {names = names})
    assert.misuse(function() model:state {names = {a = "encoder", b = "encoder"}} end,
      "state: names: %a and %a both mean encoder")
    assert.misuse(function() model:state {names = {a = "encoder", ["a.weight"] = "head.1.weight"}} end,
      "state: names: encoder.weight would become a.weight, which means head.1.weight")
    assert.misuse(function() model:state {names = {["head.1"] = "encoder"}} end,
      "state: names: .*head.1")
  end)

  it("counts from zero only where a part of the name is a number", function()
    local model = nn.Module {conv2 = nn.Sequential {nn.Linear(1, 1, {bias = false})}, forward = print}
    model.list = nn.Sequential {nn.Sequential {nn.Linear(1, 1, {bias = false})}}
    local state = model:state {names = "zero-based"}
    assert.is_truthy(state["conv2.0.weight"] and state["list.0.0.weight"])
    model:load_state(state, {names = "zero-based"})
  end)

  it("refuses misuse at the caller's line", function()
    local model = nn.Linear(2, 2)
    assert.misuse(function() model:state {layout = "jax"} end, 'state: layout: expected "torch", got "jax"')
    assert.misuse(function() model:state {names = "one-based"} end, "state: names: expected a table")
    assert.misuse(function() model:state {layot = "torch"} end, 'state: unknown option "layot"')
    assert.misuse(function() model:state {names = {a = 1}} end, "state: names: a: expected a string, got 1")
    assert.misuse(function() model:state {layout = "torch", channels = {x = 2}} end,
      "state: channels: x: the model has no such linear layer")
  end)
end)

describe("beside a live PyTorch #slow", function()
  local folder, remove, python
  setup(function()
    folder, remove = scratch.folder()
    folder = folder .. "/"
    python = require("bench.peer").find "torch"
  end)
  teardown(function() remove() end)
  before_each(function() lt.manual_seed(13) end)

  local function run(command)
    return files.capture(("%s -W ignore %s %s %s 2>&1"):format(files.quote(python), SCRIPT, command, folder))
  end

  it("what it writes is read, and computes the same", function()
    if not python then pending "no Python with PyTorch" end
    assert(run "write")
    assert_reads(folder, pt.load, ".pt")
    if files.exists(folder .. "ae.safetensors") then assert_reads(folder, safetensors.load, ".safetensors") end
  end)

  it("what we write it loads with strict = True, and computes the same", function()
    if not python then pending "no Python with PyTorch" end
    for name, make in pairs(MODELS) do
      local model, shape = randomise(make()), name == "ae" and {3, 32, 32, 1} or {3, 5, 6, 2}
      local x, state = lt.randn(shape), model:state(OPTS)
      assert(npz.save(folder .. name .. "_values.npz", {x = x, y = outputs(model, x)}))
      assert(pt.save(folder .. name .. ".pt", state))
      assert(safetensors.save(folder .. name .. ".safetensors", state))
    end
    local ok, message, text = run "check"
    assert.is_truthy(ok, tostring(message) .. "\n" .. tostring(text))
    for name in pairs(MODELS) do assert.is_truthy(ok:find(name .. ".pt: error [^\n]*: good"), ok) end
    assert.is_nil(ok:find "BAD", ok)
  end)
end)
