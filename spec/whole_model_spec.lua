-- Whole models in files: made again without their script, and nothing in a file executed.
local files = require "latent.base.files"
local lt = require "latent"
local nn = require "latent.nn"
local safetensors = require "latent.safetensors"
local scratch = require "spec.support.scratch"
require "spec.support.misuse"

local folder, remove

local function encoder()
  return nn.Sequential{
    nn.Conv2d(1, 4, 3, {padding = 1, stride = 2, bias = false}), nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.Upsample(2),
    nn.MaxPool2d({2, 1}), nn.Flatten(),
    nn.Sequential{nn.Linear(32, 6), nn.Tanh(), nn.Dropout(0.5), nn.Reshape(2, 3)},
  }
end

-- A file that says of itself what it likes.
local function written(description, tensors)
  local path = folder .. "/odd.model"
  safetensors.save(path, tensors or {x = lt.ones(1)}, {metadata = {format = "latent.model.1", model = description}})
  return path
end

local function refused(path, pattern)
  local model, message = nn.load(path)
  assert.is_nil(model)
  assert(message:find(pattern), message)
end

describe("a whole model", function()
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("is made again from its file, weights and running statistics too", function()
    local model, x = encoder(), lt.randn(3, 4, 4, 1)
    for _ = 1, 3 do model(x) end
    model:eval()
    assert(nn.save(folder .. "/a.model", model))
    local again = assert(nn.load(folder .. "/a.model")):eval()
    assert.equal(tostring(model), tostring(again))
    assert.equal(0, (again(x) - model(x)):abs():max():item())
    assert.not_equal(model[1].weight, again[1].weight)
  end)

  it("of every layer that the library has can be made again", function()
    for _, layer in ipairs{nn.Linear(2, 3), nn.ConvTranspose2d(2, 3, {3, 2}, {output_padding = 1, stride = 2}),
      nn.AvgPool2d(2), nn.LayerNorm(4), nn.ELU(2), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Softplus(), nn.ReLU(),
      nn.LSTM(3, 4, {bidirectional = true}), nn.GRU(3, 4), nn.Embedding(5, 3), nn.MultiheadAttention(4, 2)} do
      assert(nn.save(folder .. "/l.model", layer), tostring(layer))
      assert.equal(tostring(layer), tostring(assert(nn.load(folder .. "/l.model"))))
    end
  end)

  it("is a file whose weights others read", function()
    nn.save(folder .. "/a.model", nn.Sequential{nn.Linear(2, 3)})
    assert.same({2, 3}, assert(safetensors.load(folder .. "/a.model"))["1.weight"].shape)
  end)

  it("cannot be saved where it has code of its own", function()
    local own = nn.Module{a = nn.Linear(2, 2), forward = function(self, x) return self.a(x) end}
    assert.misuse(function() nn.save(folder .. "/b.model", own) end,
      "nn.save: model %(Module%) is no layer of the library but code of its own; save the weights, model:state%(%)")
    assert.misuse(function() nn.save(folder .. "/b.model", nn.Sequential{nn.Linear(2, 2), own}) end,
      "nn.save: model: argument 1: 2 %(Module%) is no layer of the library but .* model:state%(%)$")
    assert.misuse(function() nn.save(folder .. "/b.model", nn.Sequential{lt.tanh}) end, "nn.save: model: argument 1: 1")
    local changed = nn.Tanh()
    changed.forward = function(_, x) return x end
    assert.misuse(function() nn.save(folder .. "/b.model", changed) end, "nn.save: model: its forward was replaced")
    assert.misuse(function() nn.save(folder .. "/b.model", {}) end, "nn.save: model: expected a module, got a table")
    assert.misuse(function() nn.save(3, changed) end, "nn.save: path: expected a string, got 3")
    assert.is_false(files.exists(folder .. "/b.model"))
  end)

  it("is refused where its file is damaged or odd", function()
    refused(folder .. "/none.model", "No such file")
    safetensors.save(folder .. "/w.safetensors", {x = lt.ones(1)})
    refused(folder .. "/w.safetensors", "holds no whole model, as nn.save writes one")
    refused(written "{", "odd.model: ")
    refused(written "3", "its description is none")
    refused(written '{"layer":"Exec","arguments":["rm"]}', 'there is no layer called "Exec"')
    refused(written '{"layer":"save","arguments":["x"]}', 'there is no layer called "save"')
    refused(written '{"layer":"Linear"}', "Linear: its arguments are missing")
    refused(written '{"layer":"Linear","arguments":["x",2]}', "nn.Linear: inputs: expected")
    refused(written '{"layer":"Linear","arguments":[2,2]}', "missing")
    refused(written('{"layer":"Linear","arguments":[' .. ("2,"):rep(1200000) .. '2]}'), "too many results to unpack")
    local deep = '{"layer":"Sequential","arguments":[[' .. ("["):rep(150) .. ("]"):rep(150) .. "]]}"
    refused(written(deep), "odd.model: ")
  end)
end)
