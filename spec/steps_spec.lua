-- Training steps as a whole: what holds for all ops together.
local lt = require "latent"
local trainer = require "spec.support.training"

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

  -- In a process of its own: what other specs left to the collector would be part of the count.
  it("allocate nothing from the system after a warm-up", function()
    local script = [[
      local lt = require "latent"
      local train = require("spec.support.training")(64)
      train(100)
      local allocated = lt.info().system_allocs
      train(100)
      print(allocated, lt.info().system_allocs)]]
    local pipe <close> = assert(io.popen("lua5.4 -e '" .. script .. "' 2>&1"))
    local first, second = pipe:read("n", "n")
    assert(first and first > 50, "no count")
    assert.equal(first, second)
  end)
end)
