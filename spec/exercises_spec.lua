-- Each exercise from its first line to its last, at small scale on the mini set, as a user runs it.
local files, json = require "latent.files", require "latent.json"
local scratch = require "spec.support.scratch"

-- Training scripts with the settings that make them short; the others take weights as they find them.
local SMALL = " --data mini --epochs 1 --seed 2 --threads 1"
local SCRIPTS = {
  {"04_classifier", SMALL, figures = {"04_loss"},
    answers = {"ex4.accuracy", "ex4.mean", "ex4.train_ce", "ex4.test_ce"}},
  {"01_autoencoder", SMALL, figures = {"01_loss", "01_reconstructions"},
    answers = {"ex1.train_loss", "ex1.test_mse"}},
  {"02_latent_scatter", " --data mini", figures = {"02_latent_scatter"}, answers = {}},
  {"03_nearest_neighbour", " --data mini", figures = {"03_accuracy"}, answers = {"ex3.accuracy", "ex3.mean"}},
  {"05_generator", " --data mini --side 4", figures = {"05_generator"}, answers = {}},
  {"06_denoise_bottleneck", " --data mini", figures = {"06_denoise"}, answers = {}},
  {"07_vae", SMALL .. " --sweep_epochs 1 --side 4",
    figures = {"07_loss", "07_reconstructions", "07_latent_scatter", "07_generator"},
    answers = {"ex7.test_mse", "ex7.kl", "ex7.knn_accuracy", "ex7.knn_mean"}},
  {"08_map_denoise", SMALL .. " --images 20 --map_steps 5", figures = {"08_bottleneck", "08_map", "08_map_loss"},
    answers = {"ex8.noisy_mse", "ex8.bottleneck_mse", "ex8.bottleneck_mean_mse", "ex8.map_mse", "ex8.map_loss_first",
      "ex8.map_loss_last", "ex8.knn_mean"}},
}

local function run(script, options)
  local command = ("LUA_PATH=%s LUA_CPATH=%s lua5.4 exercises/%s.lua%s 2>&1; echo exit $?"):format(
    files.quote(package.path), files.quote(package.cpath), script, options)
  local file = assert(io.popen(command))
  local output = file:read "a"
  file:close()
  return output, tonumber(output:match "exit (%d+)%s*$")
end

describe("the exercises", function()
  local out, remove

  setup(function() out, remove = scratch.folder() end)
  teardown(function() remove() end)

  for _, script in ipairs(SCRIPTS) do
    it("run: " .. script[1], function()
      local output, code = run(script[1], script[2] .. " --out " .. out)
      assert.equal(0, code, output)
      for _, name in ipairs(script.figures) do
        local picture = assert(files.read_all(("%s/plots/mini/%s.png"):format(out, name)))
        assert.equal("\137PNG", picture:sub(1, 4))
      end
      if #script.answers == 0 then return end
      local answers = assert(json.decode(assert(files.read_all(out .. "/runs/mini/answers.json"))))
      for _, key in ipairs(script.answers) do
        local value = answers[key]
        if type(value) == "table" then
          assert.equal(10, #value, key)
          value = value[1]
        end
        assert.is_true(type(value) == "number" and value == value and value >= 0, key)
      end
    end)
  end

  it("give the same numbers again for the same seed", function()
    local answers = {}
    for i = 1, 2 do
      local place = ("%s/again%d"):format(out, i)
      local output, code = run("04_classifier", SMALL .. " --out " .. place)
      assert.equal(0, code, output)
      answers[i] = files.read_all(place .. "/runs/mini/answers.json")
    end
    assert.equal(answers[1], answers[2])
  end)

  it("refuse options that do not exist, with the list of those that do", function()
    local output, code = run("01_autoencoder", " --epoch 3")
    assert.equal(1, code)
    assert.matches('unknown option "%-%-epoch"; options, with their defaults:.*%-%-epochs 10', output)
  end)

  it("refuse values that make no sense", function()
    local output, code = run("01_autoencoder", " --epochs many")
    assert.equal(1, code)
    assert.matches('%-%-epochs: expected a number, got "many"', output)
    output, code = run("01_autoencoder", " --data cifar")
    assert.equal(1, code)
    assert.matches('%-%-data: expected one of mnist, fashion, mini, got "cifar"', output)
    output, code = run("01_autoencoder", " --recipe bread")
    assert.equal(1, code)
    assert.matches('%-%-recipe: expected one of default, sheet, got "bread"', output)
  end)

  it("need no weights of one's own: the demo takes those that come along #slow", function()
    local output, code = run("all", " --demo --out " .. out)
    assert.equal(0, code, output)
    assert.matches("exercises/weights/autoencoder.safetensors", output)
  end)
end)
