-- Each exercise from its first line to its last, at small scale on the mini set, as a user runs it.
local files, folder = require "latent.base.files", require "latent.experiment.folder"
local json = require "latent.json"
local scratch = require "spec.support.scratch"

-- Training scripts with the settings that make them short; the others take weights as they find them.
local SMALL = " --data mini --epochs 1 --seed 2 --threads 1"
local BETA = " --side 4 --betas 3 --candidates 1 --seeds 1 --jobs 2"
local MAP = " --betas 3 --images 10 --map_steps 5 --draws 4 --restarts 1"
local SCRIPTS = {
  {"04_classifier", SMALL, figures = {"loss"},
    answers = {"ex4.accuracy", "ex4.mean", "ex4.train_ce", "ex4.test_ce"}},
  {"01_autoencoder", SMALL, figures = {"loss", "reconstructions"}, answers = {"ex1.train_loss", "ex1.test_mse"}},
  {"02_latent_scatter", " --data mini", figures = {"latent_scatter"}, answers = {}},
  {"03_nearest_neighbour", " --data mini", figures = {"accuracy"}, answers = {"ex3.accuracy", "ex3.mean"}},
  {"05_generator", " --data mini --side 4", figures = {"generator"}, answers = {}},
  {"06_denoise_bottleneck", " --data mini", figures = {"denoise"}, answers = {}},
  {"07_vae", SMALL .. " --sweep_epochs 1 --side 4",
    figures = {"loss", "reconstructions", "latent_scatter", "generator"},
    answers = {"ex7.test_mse", "ex7.kl", "ex7.knn_accuracy", "ex7.knn_mean"}},
  {"08_map_denoise", SMALL .. " --images 20 --map_steps 5", figures = {"bottleneck", "map", "map_loss"},
    answers = {"ex8.noisy_mse", "ex8.bottleneck_mse", "ex8.bottleneck_mean_mse", "ex8.map_mse", "ex8.map_loss_first",
      "ex8.map_loss_last", "ex8.knn_mean"}},
  {"09_beta_tuning", SMALL .. BETA, slow = " #slow",
    figures = {"rate_distortion", "against_beta", "latent_scatter", "generator"},
    answers = {"ex9.beta", "ex9.knn_mean", "ex9.knn1_mean", "ex9.knn_constant", "ex9.sigma_beta_2d",
      "ex9.sigma_beta_16d", "ex9.mse_sheet", "ex9.mse_beta1", "ex9.spread_sheet", "ex9.spread_beta1"}},
  {"10_map_beyond", SMALL .. MAP, slow = " #slow",
    figures = {"optimisers", "beta", "examples", "inpainting", "deblurring"},
    answers = {"ex10.map_sheet", "ex10.map_schedule", "ex10.map", "ex10.beta", "ex10.floor", "ex10.posterior",
      "ex10.bottleneck", "ex10.kept_bottleneck", "ex10.kept", "ex10.lbfgs_evaluations"}},
}

local PATHS = ("LUA_PATH=%s LUA_CPATH=%s"):format(files.quote(package.path), files.quote(package.cpath))

local function run_file(path, options)
  local pipe = assert(io.popen(("%s lua5.4 %s %s 2>&1; echo exit $?"):format(PATHS, path, options)))
  local output = pipe:read "a"
  pipe:close()
  return output, tonumber(output:match "exit (%d+)%s*$")
end

local function run(script, options) return run_file(("exercises/%s.lua"):format(script), options) end

describe("the exercises", function()
  local out, remove

  setup(function() out, remove = scratch.folder() end)
  teardown(function() remove() end)

  -- Runs one of the scripts into `out`, the first time; what it said.
  local said = {}
  local function run_once(script)
    if not said[script] then
      local output, code = run(script[1], script[2] .. " --out " .. out)
      assert.equal(0, code, output)
      said[script] = output
    end
    return said[script]
  end

  for _, script in ipairs(SCRIPTS) do
    it("run: " .. script[1] .. (script.slow or ""), function()
      run_once(script)
      local record = folder.newest(out, script[1], function(r) return r.status == "done" end)
      for _, name in ipairs(script.figures) do
        local picture = assert(files.read_all(("%s/%s.png"):format(record.folder, name)))
        assert.equal("\137PNG", picture:sub(1, 4))
        assert.equal(picture, files.read_all(("%s/plots/%s_%s.png"):format(out, script[1]:sub(1, 2), name)))
      end
      local claims = 0
      for _, item in ipairs(record.items) do
        if item.kind == "figure" then assert.is_truthy(item.caption) end
        if item.kind == "claim" then claims = claims + 1 end
      end
      assert.is_true(claims >= 2)
      assert.is_truthy(record.question:find("^Exercise " .. math.tointeger(tonumber(script[1]:sub(1, 2))) .. ": "))
      if #script.answers == 0 then return end
      local answers = assert(json.decode(assert(files.read_all(out .. "/answers.json"))))
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
      answers[i] = files.read_all(place .. "/answers.json")
    end
    assert.equal(answers[1], answers[2])
  end)

  -- words of the command line, and the line that refuses them
  for _, case in ipairs{
    {"--epoch 3", "unknown option '--epoch'"},
    {"--epochs 0", '--epochs: expected a whole number of at least 1, got "0"'},
    {"--batch 0", '--batch: expected a whole number of at least 1, got "0"'},
    {"--lr 0", '--lr: expected a number above 0, got "0"'},
    {"--final_lr -1", '--final_lr: expected a number of at least 0, got "-1"'},
    {"--recipe bread", '--recipe: expected one of default, demo, sheet, got "bread"'},
    {"--side 1", '--side: expected a whole number of at least 2, got "1"', script = "05_generator"},
    {"--latent 0", '--latent: expected a whole number of at least 1, got "0"', script = "08_map_denoise"},
    {"--images 0", '--images: expected a whole number of at least 1, got "0"', script = "08_map_denoise"},
    {"--map_lr 0", '--map_lr: expected a number above 0, got "0"', script = "08_map_denoise"},
    {"--noise -1", '--noise: expected a number of at least 0, got "-1"', script = "06_denoise_bottleneck"},
    {"--noise 0", '--noise: expected a number above 0, got "0"', script = "10_map_beyond"},
    {"--map_beta 0", '--map_beta: expected a number above 0, got "0"', script = "10_map_beyond"},
    {"--betas 7", '--betas: expected one of 9, 5, 3, got "7"', script = "09_beta_tuning"},
    {"--seeds 0", '--seeds: expected a whole number of at least 1, got "0"', script = "09_beta_tuning"},
    {"--starts -1", '--starts: expected a whole number of at least 0, got "-1"'},
    {"--sweep_epochs 0", '--sweep_epochs: expected a whole number of at least 1, got "0"', script = "07_vae"},
    {"--recipe demo", '--recipe: expected one of default, sheet, got "demo"', script = "09_beta_tuning"},
  } do
    it("refuse " .. case[1], function()
      local output, code = run(case.script or "01_autoencoder", " " .. case[1])
      assert.equal(1, code)
      assert.equal(case[2], output:match "^[^\n]*")
    end)
  end

  it("print how the weights were trained, if the file says so", function()
    local safetensors = require "latent.safetensors"
    assert.matches("weights written to", run_once(SCRIPTS[1]))
    assert.matches("classifier: weights from %S+ %(default recipe, seed 2, epochs 1, data mini%)", run_once(SCRIPTS[2]))
    local path = out .. "/01_autoencoder/1/autoencoder.safetensors"
    local state = assert(safetensors.load(path))
    assert(safetensors.save(path, state)) -- without metadata
    local output, code = run("02_latent_scatter", " --data mini --out " .. out)
    assert.equal(0, code, output)
    assert.matches("^autoencoder: weights from %S+autoencoder.safetensors\n", output)
  end)

  it("say which weights are missing before they train", function()
    local fashion = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
    if not files.exists(fashion) then pending "dataset-fashion-mnist is not installed" end
    local output, code = run("01_autoencoder", " --data fashion --out " .. out .. "/none")
    assert.equal(1, code)
    assert.matches('no weights "classifier": neither a run in ', output)
    assert.not_matches("epoch", output)
  end)

  it("refuse a folder that cannot be made, in one line", function()
    local path = scratch.write(out, "file", "")
    local output, code = run("04_classifier", SMALL .. " --out " .. path)
    assert.equal(1, code)
    assert.matches("^%-%-out: [^\n]+\nexit 1\n$", output)
  end)

  it("end a training whose loss is no longer finite, and say so", function()
    local output = run("04_classifier", SMALL .. " --lr 1e10 --out " .. out .. "/diverged")
    assert.matches("classifier: %w+ is not finite in epoch 1, step %d+: try a lower learning rate\nexit 1\n$", output)
  end)

  -- The second of them makes some starts first, which have to end as they did.
  for _, case in ipairs{{"04_classifier", "classifier"}, {"01_autoencoder", "autoencoder"}} do
    local script, name = case[1], case[2]
    it("end on a signal with its status, and go on with --resume to the same weights: " .. script, function()
      local place = {whole = out .. "/whole", cut = out .. "/cut"}
      local options = " --data mini --epochs 6 --threads 1 --out "
      local _, code = run(script, options .. place.whole)
      assert.equal(0, code)
      local runs = ("%s/%s/1/"):format(place.cut, script)
      local stop = files.quote(('require "spec.support.stop_at_line" "%s"'):format(name))
      local output = files.capture(("%s lua5.4 -e %s exercises/%s.lua %s %s 2>&1; echo status $?"):format(PATHS, stop,
        script, options, place.cut))
      assert.matches(name .. ": stopped by SIGTERM after step %d+ %(epoch %d of 6%); the same command with %-%-resume "
        .. "goes on from there\nstatus 143$", output)
      assert.equal("stopped", folder.read(runs:sub(1, -2)).status)
      assert.is_false(files.exists(runs .. name .. ".safetensors"))
      output, code = run(script, options .. place.cut .. " --resume")
      assert.equal(0, code, output)
      assert.matches(name .. ": goes on after step %d+\n", output)
      for _, ending in ipairs{".safetensors", ".jsonl"} do
        local file = name .. ending
        assert.is_true(files.read_all(("%s/%s/1/%s"):format(place.whole, script, file))
          == files.read_all(runs .. file), file)
      end
      assert.equal(files.read_all(place.whole .. "/answers.json"), files.read_all(place.cut .. "/answers.json"))
    end)
  end

  it("begin with several starts, of which one goes on", function()
    local place = out .. "/starts"
    local output, code = run("01_autoencoder", SMALL .. " --starts 2 --out " .. place)
    assert.equal(0, code, output)
    local trained = {}
    for _, weights in ipairs(folder.read(place .. "/01_autoencoder/1").weights) do
      if weights.trained then trained[#trained + 1] = weights.name end
    end
    assert.same({"start1", "start2", "autoencoder"}, trained)
  end)

  it("train a sweep side by side: done runs stay, other settings begin anew, a failure is told #slow", function()
    local script
    for _, one in ipairs(SCRIPTS) do script = one[1] == "09_beta_tuning" and one or script end
    local options = script[2] .. " --out " .. out
    assert.matches("^8 runs of exercises/one_vae.lua, 0 of them done already, 2 at a time", run_once(script))
    assert.not_matches("runs of exercises/one_vae", (run("09_beta_tuning", options)))
    local output, code = run("09_beta_tuning", options .. " --lr 1e10")
    assert.matches("^8 runs of exercises/one_vae.lua, 0 of them done already", output)
    assert.equal(1, code)
    assert.matches("beta 0.0001, latent 2: vae: loss is not finite in epoch 1, step %d+: try a lower learning rate\n",
      output)
  end)

  it("name the classes of Fashion-MNIST, and do not compare them with the sheet's digits #slow", function()
    if not files.exists "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz" then
      pending "dataset-fashion-mnist is not installed"
    end
    local output, code = run("04_classifier", " --data fashion --epochs 1 --out " .. out)
    assert.equal(0, code, output)
    assert.matches("T%-shirt/top  Trouser  Pullover", output)
    assert.not_matches("the sheet", output)
  end)

  it("run one after another, refuse at once what not all of them know, and sum up their numbers #slow", function()
    local output, code = run_file("tools/exercises.lua", "sheet --recipe demo --side 4")
    assert.equal(1, code)
    assert.matches("^unknown option '%-%-side'", output)
    output, code = run_file("tools/exercises.lua", "sheet --recipe demo --out " .. out .. "/demo")
    assert.equal(0, code, output)
    assert.matches("\nWhat the exercises found on MNIST %(mini%), 500 training and 500 test images, with weights "
      .. "trained on mnist\n", output)
    assert.matches("\n +08 +MAP, MSE +[%d.]+ +0.093 %(the course's weights%)\n", output)
    assert.matches("\n%d+ of %d+ claims hold; all in [%d.]+ minutes", output)
  end)
end)
