-- ONNX files: what stands in them, what is refused, and, where a Python has onnxruntime, that it computes what we do.
local cases = require "spec.support.onnx_cases"
local files = require "latent.base.files"
local lt, nn, onnx = require "latent", require "latent.nn", require "latent.onnx"
local npz = require "latent.npz"
local protobuf = require "spec.support.protobuf"
local scratch = require "spec.support.scratch"
local sorted_keys = require "latent.base.sorted_keys"
require "spec.support.close"
require "spec.support.misuse"

-- Random arrays everywhere, so that nothing stands at a constant.
local function randomise(model)
  for name, x in pairs(model:state()) do
    lt.no_grad(function() x:copy_(name:find "var" and lt.rand(x.shape) + 0.5 or lt.randn(x.shape) * 0.5) end)
  end
  return model
end

-- The inputs of a case: tensors as they are, random ones of a shape.
local function inputs_of(case)
  local list = {}
  for i, input in ipairs(case.inputs) do list[i] = lt.is_tensor(input) and input or lt.randn(input) end
  return list
end

local function outputs_of(model, inputs)
  local results = lt.no_grad(function() return table.pack(model:eval()(table.unpack(inputs))) end)
  local list = {}
  for i = 1, results.n do
    if not lt.is_tensor(results[i]) then break end
    list[i] = results[i]
  end
  return list
end

describe("an ONNX file", function()
  local folder, remove, path
  before_each(function()
    lt.manual_seed(4)
    folder, remove = scratch.folder()
    path = folder .. "/model.onnx"
  end)
  after_each(function() remove() end)

  local function saved(model, opts)
    assert.is_true(onnx.save(path, model, opts))
    return protobuf.model(assert(files.read_all(path)))
  end

  it("holds nodes, weights and what goes in and out", function()
    local model = nn.Sequential{nn.Linear(3, 2), nn.LeakyReLU(0.5), nn.Linear(2, 1, {bias = false})}
    local file = saved(model, {input = {4, 3}, opset = 19})
    assert.equal(8, file.version)
    assert.equal("latent", file.producer)
    assert.equal(19, file.opset)
    assert.same({{name = "input", type = 1, shape = {4, 3}}}, file.inputs)
    assert.same({{name = "output", type = 1, shape = {4, 1}}}, file.outputs)
    assert.same({
      {op = "MatMul", name = "1/MatMul", inputs = {"input", "1.weight"}, outputs = {"1/MatMul"}, attributes = {}},
      {op = "Add", name = "1/Add", inputs = {"1/MatMul", "1.bias"}, outputs = {"1/Add"}, attributes = {}},
      {op = "LeakyRelu", name = "2/LeakyRelu", inputs = {"1/Add"}, outputs = {"2/LeakyRelu"},
        attributes = {alpha = 0.5}},
      {op = "MatMul", name = "3/MatMul", inputs = {"2/LeakyRelu", "3.weight"}, outputs = {"3/MatMul"}, attributes = {}},
      {op = "Identity", name = "output", inputs = {"3/MatMul"}, outputs = {"output"}, attributes = {}},
    }, file.nodes)
    local weight = file.constants["1.weight"]
    assert.same({3, 2}, weight.shape)
    assert.equal(model[1].weight:bytes(), weight.bytes)
    assert.equal(1, weight.type)
  end)

  it("has channels first only where ONNX wants them, with two transpositions in all", function()
    local model = nn.Sequential{nn.Conv2d(2, 4, 3, {padding = 1, stride = {1, 2}}), nn.ReLU(), nn.BatchNorm2d(4),
      nn.MaxPool2d(2), nn.Residual(nn.Conv2d(4, 4, 1)), nn.Flatten(), nn.Linear(8, 3)}
    local file = saved(model, {input = {1, 4, 4, 2}})
    local ops = {}
    for i, node in ipairs(file.nodes) do ops[i] = node.op end
    assert.equal("Transpose Conv Relu BatchNormalization MaxPool Conv Add Transpose Flatten MatMul Add Identity",
      table.concat(ops, " "))
    assert.same({0, 3, 1, 2}, file.nodes[1].attributes.perm)
    assert.same({0, 2, 3, 1}, file.nodes[8].attributes.perm)
    assert.same({kernel_shape = {3, 3}, strides = {1, 2}, pads = {1, 1, 1, 1}, dilations = {1, 1}, group = 1},
      file.nodes[2].attributes)
    assert.same({4, 2, 3, 3}, file.constants["1.weight"].shape)
    assert.equal(model[1].weight:detach():permute(4, 3, 1, 2):bytes(), file.constants["1.weight"].bytes)
  end)

  it("has a name of its own for each constant and node", function()
    local model = nn.Module{inner = nn.Linear(2, 2), forward = function(self, x)
      return self.inner(self.inner(x)) * self.inner_2(x)
    end, inner_2 = nn.Linear(2, 2)}
    local file, seen = saved(model, {input = {1, 2}}), {}
    for _, node in ipairs(file.nodes) do
      assert.is_nil(seen[node.outputs[1]])
      seen[node.outputs[1]] = true
    end
    assert.equal(model.inner.weight:bytes(), file.constants["inner.weight_2"].bytes)
    model = nn.Module{forward = function(_, x) return x * lt.ones(1, 2) + lt.zeros(1, 2) end}
    file = saved(model, {input = {1, 2}, output_names = {"constant"}})
    assert.same({"constant_2", "constant_3"}, sorted_keys(file.constants))
  end)

  it("leaves out what leads to no output", function()
    local model = nn.Module{used = nn.Linear(2, 2), unused = nn.Linear(2, 2), forward = function(self, x)
      local _ = self.unused(x)
      return self.used(x)
    end}
    local file = saved(model, {input = {1, 2}})
    assert.is_nil(file.constants["unused.weight"])
    assert.equal(3, #file.nodes)
  end)

  it("is the same, byte for byte, when it is written again", function()
    local model = nn.Sequential{nn.LSTM(4, 3, {bidirectional = true}), nn.LayerNorm(6)}
    saved(model, {input = {2, 5, 4}})
    local bytes = files.read_all(path)
    saved(model, {input = {2, 5, 4}})
    assert.equal(bytes, files.read_all(path))
  end)

  it("names inputs and outputs, whose first size may be any", function()
    local model = nn.Module{inner = nn.Linear(3, 2), forward = function(self, x, c) return self.inner(x) + c, c * 2 end}
    local file = saved(model, {input = {{4, 3}, lt.ones(4, 2)}, dynamic_batch = true, input_names = {"x", "c"},
      output_names = {"y", "twice"}})
    assert.same({{name = "x", type = 1, shape = {"batch", 3}}, {name = "c", type = 1, shape = {"batch", 2}}},
      file.inputs)
    assert.same({{name = "y", type = 1, shape = {"batch", 2}}, {name = "twice", type = 1, shape = {"batch", 2}}},
      file.outputs)
  end)

  it("is written of the model in evaluation mode, which stays in its own", function()
    local model = nn.Sequential{nn.Linear(2, 2), nn.Dropout(0.5), nn.Linear(2, 2)}
    model[3]:eval()
    local before = lt.rng_state()
    local file = saved(model, {input = {1, 2}})
    for _, node in ipairs(file.nodes) do assert.not_equal("Dropout", node.op) end
    assert.same({true, true, false}, {model.training, model[2].training, model[3].training})
    assert.same(before, lt.rng_state())
  end)

  it("heeds arguments that are given by name as those that stand in their places", function()
    local function same(by_name, by_place)
      local function written(f) return saved(nn.Module{forward = function(_, x) return f(x) end}, {input = {2, 4}}) end
      local a, b = written(by_name), written(by_place)
      assert.same(b.outputs, a.outputs)
      assert.same(b.nodes, a.nodes)
      assert.same(b.constants, a.constants)
    end
    same(function(x) return x:sum{axis = 1} end, function(x) return x:sum(1) end)
    same(function(x) return x:mean(2, {keepdim = true}) end, function(x) return x:mean(2, true) end)
    same(function(x) return x:softmax{axis = 1} end, function(x) return x:softmax(1) end)
    same(function(x) return lt.cat({x, x}, {axis = 2}) end, function(x) return lt.cat({x, x}, 2) end)
    same(function(x) return x:slice{axis = 2, first = 2, last = 3} end, function(x) return x:slice(2, 2, 3) end)
    same(function(x) return lt.gelu(x, {approximate = "tanh"}) end, function(x) return lt.gelu(x, "tanh") end)
    same(function(x) return x:squeeze(1) end, function(x) return x end) -- of two rows
    same(function(x)
      local sum = x
      for _ = 1, #x do sum = sum + x end
      return sum
    end, function(x) return x + x + x end)
  end)

  it("names the layer that cannot be written, and its path", function()
    local function refused(pattern, model, opts)
      opts = opts or {input = {2, 4}}
      local ok, message = pcall(onnx.save, path, model, opts)
      assert.is_false(ok)
      assert.matches("^spec/onnx_spec.lua:%d+: onnx.save: " .. pattern, message)
      assert.is_false(files.exists(path))
    end
    local function inside(layer) return nn.Sequential{nn.Identity(), nn.Sequential{nn.Identity(), layer}} end
    local images, steps = {input = {1, 4, 4, 2}}, {input = {1, 4, 2}}
    refused("2.2: Upsample%(2, area%): the mode area is none of ONNX's", inside(nn.Upsample(2, {mode = "area"})),
      images)
    refused("2.2: AvgPool2d%(2%): ONNX has no divisor_override", inside(nn.AvgPool2d(2, {divisor_override = 3})),
      images)
    refused("2.2: BatchNorm1d%(4%): without running statistics it depends on the batch",
      inside(nn.BatchNorm1d(4, {track_running_stats = false})))
    refused("2.2: Linear: its weights are computed at each call", inside(nn.spectral_norm(nn.Linear(4, 4))))
    refused("lstm: LSTM%(2 %-> 3%): with a first state or lengths it cannot be exported",
      nn.Module{lstm = nn.LSTM(2, 3), forward = function(self, x) return (self.lstm(x, nil, {2})) end}, steps)
    local hooked = nn.Linear(4, 4)
    hooked:register_forward_hook(function() end)
    refused("2.2: Linear: has hooks", inside(hooked))
    refused("inner: a value in the graph has no cumsum; it has operators and abs, add, cat",
      nn.Module{inner = nn.Module{forward = function(_, x) return x:cumsum(1) end},
        forward = function(self, x) return self.inner(x) end})
    refused("model: Module: its function cannot be followed: .*cumsum: expected a tensor.*it may call layers",
      nn.Module{forward = function(_, x) return lt.cumsum(x, 1) end})
    local taken = {relu = lt.relu}
    refused("model: Module: its function calls a relu that was taken out of latent before, which cannot be followed; \z
      write lt.relu%(...%)", nn.Module{forward = function(_, x) return taken.relu(x) end})
    refused("expected a model that computes a tensor from its input, got 3",
      nn.Module{forward = function() return 3 end})
    for _, key in ipairs{1, {1}} do
      refused("model: parts of a value in the graph cannot be written", nn.Module{forward = function(_, x)
        local y = x * 2
        y[key] = 0
        return y
      end})
    end
    local exp = lt.exp
    local function follows(x) return exp(x) end
    onnx.save(path, nn.Sequential{nn.Linear(4, 4), follows}, {input = {1, 4}})
    assert.equal(lt.exp, exp) -- put back
    assert.equal(exp, select(2, debug.getupvalue(follows, 1)))
    assert.close(lt.exp(lt.zeros(1)), {1})
  end)

  it("follows an op that several functions hold, and puts it back", function()
    local relu, x = lt.relu, lt.tensor{{-1, 2, 3}}
    local function twice(v) return relu(v) + relu(v) end
    local function more(v) return relu(v) - 1 end
    local function held(f) return select(2, debug.getupvalue(f, 1)) end
    local part = nn.Module{forward = function(_, v) return more(v) end}
    local outer = nn.Module{part = part, forward = function(self, v) return self.part(relu(v)) end}
    local function ops_of(model)
      local names = {}
      for _, node in ipairs(saved(model, {input = x}).nodes) do names[#names + 1] = node.op end
      assert.equal(lt.relu, relu)
      assert.equal(relu, held(twice))
      return table.concat(names, " ")
    end
    for _ = 1, 2 do
      assert.equal("Relu Relu Add Relu Sub Identity", ops_of(nn.Sequential{twice, more}))
      assert.equal("Relu Relu Sub Identity", ops_of(outer))
      assert.equal("Relu Sub Relu Sub Identity", ops_of(nn.Sequential{part, part}))
    end
    assert.is_false(pcall(onnx.save, path, nn.Sequential{twice, more, function(v) return v:cumsum(1) end}, {input = x}))
    assert.equal(lt.relu, relu)
    assert.equal(relu, held(more))
  end)

  it("leaves what a followed function has kept", function()
    local relu, kept = lt.relu, nil
    local function keeps(x)
      kept = lt.relu
      local y = relu(x)
      relu = math.abs
      return y
    end
    onnx.save(path, nn.Sequential{keeps}, {input = {1, 3}})
    assert.equal(math.abs, relu)
    assert.close(kept(lt.tensor{-1, 2}), {0, 2}, 0)
    local held = kept
    assert.equal("Relu", saved(nn.Sequential{function(x) return held(x) end}, {input = {1, 3}}).nodes[1].op)
    assert.equal(kept, held)
  end)

  it("asks for an input, and for a known opset", function()
    local model = nn.Linear(2, 2)
    local function refused(pattern, opts)
      assert.misuse(function() onnx.save(path, model, opts) end, "onnx.save: " .. pattern)
    end
    refused("input: expected a shape, a tensor, or a list of those, got nil", {})
    refused("input: size 1: expected a whole number of at least 1, got %-1", {input = {-1, 2}})
    refused("input: expected a shape or a tensor, got an empty table", {input = {}})
    refused("opset: expected a whole number from 17 to 21, got 9", {input = {1, 2}, opset = 9})
    refused('unknown option "optset" %(did you mean "opset"%?%)', {input = {1, 2}, optset = 17})
    refused('output_names: "input" comes again', {input = {1, 2}, output_names = {"input"}})
    refused("input_names: expected 1 names, got 2", {input = {1, 2}, input_names = {"a", "b"}})
    assert.misuse(function() onnx.save(path, model, {input = {1, 3}}) end, "Linear%(2 %-> 2%): expected ")
    assert.misuse(function() onnx.save(path, nn.Linear, {input = {1, 2}}) end, "onnx.save: model: expected a module")
    scratch.write(folder, "plain", "")
    assert.misuse(function() onnx.save(folder .. "/plain/x.onnx", model, {input = {1, 2}}) end,
      ".*plain/x.onnx: cannot be written")
  end)
end)

describe("onnxruntime", function()
  local python = require("bench.peer").find "onnx"

  local function run(list, opset, dynamic)
    if not python then pending "no Python with onnxruntime" end
    lt.manual_seed(5)
    local folder, remove = scratch.folder()
    finally(remove)
    local expected = {}
    for i, case in ipairs(list) do
      local model, inputs = randomise(case.make()), inputs_of(case)
      local stem, arrays = ("%s/%02d"):format(folder, i), {}
      onnx.save(stem .. ".onnx", model, {input = inputs, opset = opset, dynamic_batch = dynamic})
      if dynamic then -- another batch than the file was made with
        for k, x in ipairs(inputs) do inputs[k] = lt.cat({x, x}, 1):slice(1, 1, 2 * x:size(1) - 1) end
      end
      for k, x in ipairs(inputs) do arrays[#inputs > 1 and "input" .. k or "input"] = x end
      npz.save(stem .. "_in.npz", arrays)
      expected[i] = outputs_of(model, inputs)
    end
    local said = files.capture(("%s -W ignore spec/support/onnx_run.py %s 2>&1"):format(files.quote(python),
      files.quote(folder)))
    local wrong = {said ~= "" and said or nil}
    for i, case in ipairs(list) do
      local got = npz.load(("%s/%02d_out.npz"):format(folder, i))
      for k, want in ipairs(expected[i]) do
        local y = got and got[#expected[i] > 1 and "output" .. k or "output"]
        local off = y and lt.no_grad(function()
          return table.concat(y.shape, " ") == table.concat(want.shape, " ")
            and (y - want):abs():max():item() / math.max(want:abs():max():item(), 1e-3) or math.huge
        end)
        if not off or off > 2e-5 or off ~= off then
          wrong[#wrong + 1] = ("%02d %s, output %d: %s"):format(i, case.name, k, off and ("off by %g"):format(off)
            or "not there")
        end
      end
    end
    assert(#wrong == 0, table.concat(wrong, "\n"))
  end

  it("computes what every layer does", function() run(cases, 17, false) end)
  it("computes it by other opsets, with another batch", function()
    -- Their own functions have the batch's size in them.
    local fixed = {["a model of two inputs"] = true, ["a model of ops"] = true, ["Embedding first"] = true}
    local free = {}
    for _, case in ipairs(cases) do
      if not fixed[case.name] then free[#free + 1] = case end
    end
    run(free, 18, true)
    run(free, 21, true)
  end)
end)

describe("the cases of ONNX", function()
  it("hold every layer of the library that is not refused", function()
    local seen, losses = {}, require "latent.nn.losses"
    for _, case in ipairs(cases) do
      for _, entry in ipairs(case.make():modules()) do seen[entry[2].kind] = true end
    end
    for name, class in pairs(nn) do
      local is_class = type(class) == "table" and class.kind == name and not losses[name]
      assert(not is_class or seen[name], name .. " is in no case of spec/support/onnx_cases.lua")
    end
  end)
end)
