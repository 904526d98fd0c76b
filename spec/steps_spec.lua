-- Training steps as a whole: what holds for all ops together.
local lt = require "latent"
local optim = require "latent.optim"
local models = require "exercises.models"

-- Trains the autoencoder on batches that repeat; returns a function for some steps, and the model.
local function trainer(batch)
  lt.manual_seed(5)
  local model = models.autoencoder()
  local opt = optim.Adam(model:parameters(), {lr = 1e-3})
  local batches = {}
  for i = 1, 4 do batches[i] = lt.rand(batch, 32, 32, 1) * 2 - 1 end
  local taken = 0
  return function(steps)
    for _ = 1, steps do
      local x = batches[taken % #batches + 1]
      taken = taken + 1
      opt:zero_grad()
      lt.mse_loss(model(x), x):backward()
      opt:step()
    end
  end, model
end

local function weights(model)
  local list = {}
  for _, entry in ipairs(model:named_parameters()) do list[#list + 1] = entry[1] .. entry[2]:bytes() end
  return table.concat(list)
end

describe("training steps", function()
  local before = lt.threads()
  after_each(function() lt.set_threads(before) end)

  it("leave the same bits after 200 of them with one thread and with two", function()
    local results = {}
    for threads = 1, 2 do
      lt.set_threads(threads)
      local train, model = trainer(12)
      local start = weights(model)
      train(200)
      results[threads] = weights(model)
      assert(results[threads] ~= start)
    end
    assert(results[1] == results[2], "weights differ")
  end)

  it("allocate nothing from the system after a warm-up", function()
    local train = trainer(16)
    collectgarbage()
    train(150)
    local allocated = lt.info().system_allocs
    train(150)
    assert.equal(allocated, lt.info().system_allocs)
  end)
end)
