-- Each exercise from its first line to its last, at small scale on the mini set, as a user runs it.
local files, json = require "latent.files", require "latent.json"
local safetensors = require "latent.safetensors"
local scratch = require "spec.support.scratch"

-- Training scripts with the settings that make them short; the others take weights as they find them.
local SMALL = " --data mini --epochs 1 --seed 2 --threads 1"
local BETA = " --side 4 --betas 3 --candidates 1 --seeds 1 --jobs 2"
local MAP = " --betas 3 --images 10 --map_steps 5 --draws 4 --restarts 1"
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
  {"09_beta_tuning", SMALL .. BETA, slow = " #slow",
    figures = {"09_rate_distortion", "09_against_beta", "09_latent_scatter", "09_generator"},
    answers = {"ex9.beta", "ex9.knn_mean", "ex9.knn1_mean", "ex9.knn_constant", "ex9.sigma_beta_2d",
      "ex9.sigma_beta_16d", "ex9.mse_sheet", "ex9.mse_beta1", "ex9.spread_sheet", "ex9.spread_beta1"}},
  {"10_map_beyond", SMALL .. MAP, slow = " #slow",
    figures = {"10_optimisers", "10_beta", "10_examples", "10_inpainting", "10_deblurring"},
    answers = {"ex10.map_sheet", "ex10.map_schedule", "ex10.map", "ex10.beta", "ex10.floor", "ex10.posterior",
      "ex10.bottleneck", "ex10.kept_bottleneck", "ex10.kept", "ex10.lbfgs_evaluations"}},
}

local function run(script, options, lua)
  local command = ("LUA_PATH=%s LUA_CPATH=%s %s exercises/%s.lua%s 2>&1; echo exit $?"):format(
    files.quote(package.path), files.quote(package.cpath), lua or "lua5.4", script, options)
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
    it("run: " .. script[1] .. (script.slow or ""), function()
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

  -- words of the command line, and the one line that refuses them
  for _, case in ipairs{
    {"--epochs many", '--epochs: expected a whole number of at least 1, got "many"'},
    {"--epochs 0", '--epochs: expected a whole number of at least 1, got "0"'},
    {"--epochs 1.5", '--epochs: expected a whole number of at least 1, got "1.5"'},
    {"--epochs -3", '--epochs: expected a whole number of at least 1, got "-3"'},
    {"--epochs=", "--epochs: a value is missing"},
    {"--epochs", "--epochs: a value is missing"},
    {"--epochs --seed 3", "--epochs: a value is missing"},
    {"--batch 0", '--batch: expected a whole number of at least 1, got "0"'},
    {"--seed=-1", '--seed: expected a whole number of at least 0, got "-1"'},
    {"--threads 65", '--threads: expected a whole number from 0 to 64, got "65"'},
    {"--threads -1", '--threads: expected a whole number from 0 to 64, got "-1"'},
    {"--lr 0", '--lr: expected a number above 0, got "0"'},
    {"--lr -1e-3", '--lr: expected a number above 0, got "-1e-3"'},
    {"--lr 1e999", '--lr: expected a number above 0, got "1e999"'},
    {"--final_lr -1", '--final_lr: expected a number of at least 0, got "-1"'},
    {"--data cifar", '--data: expected one of mnist, fashion, mini, got "cifar"'},
    {"--recipe bread", '--recipe: expected one of default, sheet, got "bread"'},
    {"--demo=yes", '--demo: expected no value, got "yes"'},
    {"--demo --data fashion", '--data: expected mini with --demo, got "fashion"'},
    {"--side 1", '--side: expected a whole number of at least 2, got "1"', script = "05_generator"},
    {"--latent 0", '--latent: expected a whole number of at least 1, got "0"', script = "08_map_denoise"},
    {"--images 0", '--images: expected a whole number of at least 1, got "0"', script = "08_map_denoise"},
    {"--map_steps 0", '--map_steps: expected a whole number of at least 1, got "0"', script = "08_map_denoise"},
    {"--map_lr 0", '--map_lr: expected a number above 0, got "0"', script = "08_map_denoise"},
    {"--noise -1", '--noise: expected a number of at least 0, got "-1"', script = "06_denoise_bottleneck"},
    {"--noise 0", '--noise: expected a number above 0, got "0"', script = "10_map_beyond"},
    {"--map_beta 0", '--map_beta: expected a number above 0, got "0"', script = "10_map_beyond"},
    {"--betas 7", '--betas: expected one of 9, 5, 3, got "7"', script = "09_beta_tuning"},
    {"--seeds 0", '--seeds: expected a whole number of at least 1, got "0"', script = "09_beta_tuning"},
    {"--sweep_epochs 0", '--sweep_epochs: expected a whole number of at least 1, got "0"', script = "07_vae"},
  } do
    it("refuse " .. case[1], function()
      local output = run(case.script or "01_autoencoder", " " .. case[1])
      assert.equal(case[2] .. "\nexit 1\n", output)
    end)
  end

  it("refuse a value that is glued to its option", function()
    local output, code = run("01_autoencoder", " --epochs-3")
    assert.equal(1, code)
    assert.matches('^unknown option "%-%-epochs%-3"; options, with their defaults:', output)
  end)

  it("take a value after = too, and the last of several", function()
    local output, code = run("04_classifier", " --data=mini --epochs=9 --epochs=1 --out=" .. out .. "/equals")
    assert.equal(0, code, output)
    assert.matches("One epoch cannot tell", output)
  end)

  it("say that a short training underfits", function()
    local output, code = run("04_classifier", " --data mini --epochs 2 --out " .. out .. "/short")
    assert.equal(0, code, output)
    assert.matches("The network underfits: guessing costs 2%.30 nats", output)
  end)

  it("print how the weights were trained, if the file says so", function()
    local place = out .. "/made"
    local output = run("04_classifier", SMALL .. " --out " .. place)
    assert.matches("weights written to", output)
    output = run("01_autoencoder", SMALL .. " --out " .. place)
    assert.matches("classifier: weights from %S+ %(default recipe, seed 2, epochs 1, data mini%)", output)
    local path = place .. "/runs/mini/autoencoder.safetensors"
    local state = assert(safetensors.load(path))
    assert(safetensors.save(path, state)) -- without metadata
    local code
    output, code = run("02_latent_scatter", " --data mini --out " .. place)
    assert.equal(0, code, output)
    assert.matches("^autoencoder: weights from %S+autoencoder.safetensors\n", output)
  end)

  it("ask for the exercise that trains a missing model, before they train", function()
    local place = out .. "/none"
    local missing = place .. "/runs/fashion/%s.safetensors is missing: run exercise %d first\nexit 1\n"
    assert.equal(missing:format("classifier", 4), (run("01_autoencoder", " --data fashion --out " .. place)))
    assert.equal(missing:format("autoencoder", 1), (run("07_vae", " --data fashion --out " .. place)))
    assert.equal(missing:format("classifier", 4), (run("08_map_denoise", " --data fashion --out " .. place)))
  end)

  it("refuse a folder that cannot be made, in one line", function()
    local path = scratch.write(out, "file", "")
    local output = run("04_classifier", SMALL .. " --out " .. path)
    assert.matches("%-%-out: the folder " .. path .. "/runs/mini cannot be made: [^\n]+\nexit 1\n$", output)
  end)

  it("end a training whose loss is no longer finite, with one line", function()
    local output = run("04_classifier", SMALL .. " --lr 1e10 --out " .. out .. "/diverged")
    assert.matches("classifier: %w+ is not finite in epoch 1, step %d+: try a lower %-%-lr\nexit 1\n$", output)
  end)

  it("end on a signal with its status, and go on with --resume to the same weights", function()
    local place = {whole = out .. "/whole", cut = out .. "/cut"}
    local options = " --data mini --epochs 6 --threads 1 --out "
    local _, code = run("04_classifier", options .. place.whole)
    assert.equal(0, code)
    local runs = place.cut .. "/runs/mini/classifier"
    -- The signal comes when the log has its first line.
    local output = files.capture(([[LUA_PATH=%s LUA_CPATH=%s lua5.4 exercises/04_classifier.lua %s %s 2>&1 & child=$!
      while [ ! -s %s.jsonl ] && kill -0 $child 2>/dev/null; do sleep 0.01; done
      kill -TERM $child; wait $child; echo status $?]]):format(files.quote(package.path), files.quote(package.cpath),
      options, place.cut, runs))
    assert.matches("classifier: stopped by SIGTERM after step %d+ %(epoch %d of 6%); the same command with %-%-resume "
      .. "goes on from there\nstatus 143$", output)
    assert.is_false(files.exists(runs .. ".safetensors"))
    output, code = run("04_classifier", options .. place.cut .. " --resume")
    assert.equal(0, code, output)
    assert.matches("classifier: goes on after step %d+\n", output)
    for _, name in ipairs{"classifier.safetensors", "classifier.jsonl", "answers.json"} do
      assert.is_true(files.read_all(place.whole .. "/runs/mini/" .. name)
        == files.read_all(place.cut .. "/runs/mini/" .. name), name)
    end
    -- with another setting it is refused, in one line
    output, code = run("04_classifier", options .. place.cut .. " --resume --lr 0.1")
    assert.equal(1, code)
    assert.matches("classifier.ckpt: was made with other settings: schedule lr: 0.002 in step 1 in the checkpoint, "
      .. "0.1 here\nexit 1\n$", output)
  end)

  it("forget the answers of an earlier run, and miss those that do not come #slow", function()
    local place = out .. "/all"
    assert(files.mkdir_p(place .. "/runs/mini"))
    assert(files.write_atomic(place .. "/runs/mini/answers.json", '{"ex1.test_mse": 42, "stale": 1}'))
    local output, code = run("all", " --data mini --out " .. place)
    assert.equal(0, code, output)
    assert.not_matches("missing", output)
    local answers = json.decode(assert(files.read_all(place .. "/runs/mini/answers.json")))
    assert.is_nil(answers.stale)
    assert.is_true(answers["ex1.test_mse"] < 1)
  end)

  it("train a sweep side by side: done runs are kept, broken ones go on, other settings begin anew #slow", function()
    local options = SMALL .. BETA .. " --out " .. out .. "/sweep"
    local function measured(name) return assert(files.read_all(("%s/sweep/runs/mini/beta/%s"):format(out, name))) end
    local output, code = run("09_beta_tuning", options)
    assert.equal(0, code, output)
    assert.matches("\n8 trainings of 1 epochs %(0 of the 8 runs are done already%), 2 at a time", "\n" .. output)
    local before = measured "vae2_beta1_seed2.json"
    os.remove(out .. "/sweep/runs/mini/beta/vae2_beta1_seed2.json")
    output = run("09_beta_tuning", options)
    assert.matches("^1 trainings of 1 epochs %(7 of the 8 runs are done already%), 1 at a time", output)
    assert.matches("goes on after step 8", measured "vae2_beta1_seed2.txt")
    assert.equal(before, measured "vae2_beta1_seed2.json")
    assert.matches("^run,latent,beta,.*\nvae16_sigma_seed2,16,,0,2,", measured "table.csv")
    output = run("09_beta_tuning", options .. " --lr 1e-4")
    assert.matches("^8 trainings of 1 epochs %(0 of the 8 runs are done already%)", output)
    assert.not_matches("goes on", measured "vae2_beta1_seed2.txt")
  end)

  it("say which run of a sweep failed, and what it said last", function()
    local output, code = run("09_beta_tuning", SMALL .. BETA .. " --lr 1e10 --out " .. out .. "/failed")
    assert.equal(1, code)
    assert.matches("%[8/8%] %S+ failed", output)
    assert.matches("vae2_beta0.0001_seed2: %S+ loss is not finite in epoch 1, step %d+: try a lower %-%-lr\n", output)
  end)

  it("measure each method once: what is kept is taken, unless settings or weights differ #slow", function()
    local options = SMALL .. MAP .. " --latent 3 --out " .. out .. "/map" -- no weights come along: they are trained
    local output, code = run("10_map_beyond", options)
    assert.equal(0, code, output)
    assert.matches("4 VAEs to train, 4 epochs: about ", output)
    local path = out .. "/map/runs/mini/map/vae3_sheet_0.5_bottleneck.json"
    local kept = assert(json.decode(assert(files.read_all(path))))
    assert.equal(10, kept.pieces[1].n)
    kept.pieces[1].mse = 0.1234
    assert(files.write_atomic(path, json.encode(kept)))
    output = run("10_map_beyond", options)
    assert.not_matches("to train", output)
    assert.matches("the sheet's training +0.1234", output)
    output = run("10_map_beyond", options .. " --noise 0.5 --map_beta 0.02")
    assert.matches("the sheet's training +%d", output)
    assert.not_matches("0.1234", output)
  end)

  it("have no demo of the sweep, which has no weights to show", function()
    assert.matches('^unknown option "%-%-demo"', (run("09_beta_tuning", " --demo")))
  end)

  it("name the classes of Fashion-MNIST, and do not compare them with the sheet's digits #slow", function()
    if not files.exists "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz" then
      pending "dataset-fashion-mnist is not installed"
    end
    local output, code = run("04_classifier", " --data fashion --epochs 1 --out " .. out)
    assert.equal(0, code, output)
    assert.matches("mean T%-shirt/top Trouser Pullover", output)
    assert.not_matches("sheet", output)
    assert.matches("\n  ours +%d", output)
  end)

  it("forget only the answers of the exercises that they run", function()
    local place = out .. "/forget"
    assert(files.mkdir_p(place .. "/runs/mini"))
    assert(files.write_atomic(place .. "/runs/mini/answers.json", '{"ex1.a": 1, "ex8.b": 2, "ex9.c": 3, "stale": 4}'))
    local program = ("local s = require 'exercises.support' s.options() s.forget_answers(%d, %d)")
    local function answers_after(first, last)
      local command = ("LUA_PATH=%s LUA_CPATH=%s lua5.4 -e %s - --data mini --out %s </dev/null"):format(
        files.quote(package.path), files.quote(package.cpath), files.quote(program:format(first, last)), place)
      assert(os.execute(command))
      local text = files.read_all(place .. "/runs/mini/answers.json")
      return text and json.decode(text)
    end
    assert.same({["ex9.c"] = 3}, answers_after(1, 8))
    assert.is_nil(answers_after(9, 10))
  end)

  it("say in words that there is no answer where there may be none", function()
    local program = [[local support, runner = require "exercises.support", require "exercises.runner"
      support.options()
      support.answer{["ex10.lbfgs_evaluations"] = %s}
      runner.table{{"10", "evaluations", "ex10.lbfgs_evaluations", "", none = %s}}]]
    local function table_of(value, none)
      local command = "LUA_PATH=%s LUA_CPATH=%s lua5.4 -e %s - --data mini --out %s </dev/null 2>&1; echo exit $?"
      return files.capture(command:format(files.quote(package.path), files.quote(package.cpath),
        files.quote(program:format(value, none)), out .. "/words"))
    end
    assert.matches("\n10 +evaluations +36 .*\nexit 0", table_of(36, '"not reached"'))
    assert.matches("\n10 +evaluations +not reached .*\nexit 0", table_of(false, '"not reached"')) -- not 36
    assert.matches("\n10 +evaluations +missing .*\n1 answers are missing\nexit 1", table_of(false, "nil"))
  end)

  it("need no weights of one's own: the demo takes those that come along #slow", function()
    local output, code = run("all", " --demo --out " .. out, "lua5.4 -e 'x = 1'")
    assert.equal(0, code, output)
    assert.matches("exercises/weights/autoencoder.safetensors", output)
  end)
end)
