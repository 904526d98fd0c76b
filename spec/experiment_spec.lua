-- latent.experiment as scripts use it: each a process of its own, as a user runs them.
local core = require "latent.core"
local experiment = require "latent.experiment"
local compare, folder = require "latent.experiment.compare", require "latent.experiment.folder"
local files, json = require "latent.base.files", require "latent.json"
local locales, locks = require "spec.support.locales", require "latent.base.files.lock"
local records, sweep = require "latent.experiment.record", require "latent.experiment.sweep"
local scratch = require "spec.support.scratch"

local SCRIPT = "spec/fixtures/experiments/line.lua"
local PATHS = ("LUA_PATH=%s LUA_CPATH=%s"):format(files.quote(package.path), files.quote(package.cpath))

local function shell(command)
  local pipe = assert(io.popen(("{ %s; } 2>&1; echo exit $?"):format(command)))
  local output = pipe:read "a"
  pipe:close()
  return output, tonumber(output:match "exit (%d+)%s*$")
end

local function run(words, script)
  return shell(("%s lua5.4 %s --threads 1 %s"):format(PATHS, script or SCRIPT, words or ""))
end

local function latent(words) return shell(("%s lua5.4 bin/latent %s"):format(PATHS, words)) end

describe("an experiment", function()
  local out, remove

  before_each(function() out, remove = scratch.folder() end)
  after_each(function() remove() end)

  local function small(more) return (" --data mini --out %s %s"):format(out, more or "") end
  local function read(number) return assert(folder.read(("%s/line/%d"):format(out, number))) end

  -- Runs the script, which waits behind its first epoch for this signal. @return what it said, and its exit status
  local function signalled(name, words)
    return shell((("rm -f OUT/waits; WAITS=OUT/waits %s lua5.4 %s --threads 1 %s & job=$!\n"
      .. "until [ -e OUT/waits ] || ! kill -0 $job; do sleep 0.02; done; kill -%s $job; wait $job"):format(PATHS,
      SCRIPT, small(words), name):gsub("OUT/", out .. "/")))
  end

  it("keeps what it was given, what it found and what it printed, in a folder of its own", function()
    local output, code = run(small "--shift -0.25 --draw")
    assert.equal(0, code, output)
    local r = read(1)
    assert.equal("done", r.status)
    assert.equal("Does a line fit? The script of the specs of latent.experiment.", r.question)
    assert.same({shift = -0.25, draw = true, data = "mini", out = out, threads = 1}, r.given)
    assert.equal("MNIST (mini), 500 training and 500 test images", r.data)
    assert.equal(2, r.options.epochs)
    assert.equal("default", r.options.recipe)
    assert.equal(1, r.threads)
    for _, name in ipairs{"cpu", "cores", "system"} do assert.is_string(r.machine[name]) end
    for _, name in ipairs{"latent", "lua", "blas", "gnuplot"} do assert.is_string(r.versions[name]) end
    local kinds = {}
    for i, item in ipairs(r.items) do kinds[i] = item.kind end
    assert.same({"number", "number", "claim", "claim", "table", "text", "figure"}, kinds)
    assert.is_true(r.items[3].holds)
    assert.matches("^from [%d.]+ to [%d.]+$", r.items[3].evidence)
    assert.is_false(r.items[4].holds)
    assert.same({{"", "x"}, {"row", "1.5"}}, r.items[5].rows)
    assert.equal("A text of 5 words.", r.items[6].text)
    local numbers = records.numbers(r)
    assert.equal(numbers.loss, numbers.each[2])
    assert.matches("the loss: [%d.]+ nats  %(a guess: 0.1 nats%)", output)
    assert.matches("holds: %(a%) the loss falls %(from", output)
    assert.matches("DOES NOT HOLD: the loss rises", output)
    local printed = assert(files.read_all(r.folder .. "/output.txt"))
    assert.matches("written, not printed\n", printed)
    local _, lines = printed:gsub("the loss: ", "")
    assert.equal(1, lines)
    assert.matches("DOES NOT HOLD: the loss rises", printed)
    for _, name in ipairs{"line.jsonl", "line.ckpt", "line.safetensors", "loss.png"} do
      assert.is_true(files.exists(r.folder .. "/" .. name), name)
    end
  end)

  it("never writes into another run's folder", function()
    local command = ("%s lua5.4 %s --threads 1 %s"):format(PATHS, SCRIPT, small())
    local output = shell(("%s & %s & %s & wait"):format(command, command, command))
    assert.matches("exit 0", output)
    local list = folder.list(out)
    assert.equal(3, #list)
    for _, path in ipairs(list) do assert.equal("done", folder.read(path).status) end
  end)

  it("that fails has lost nothing, and says with what it failed", function()
    local output, code = run(small "--stop_at 2 --epochs 4")
    assert.equal(1, code)
    assert.matches("as asked", output)
    local r = read(1)
    assert.equal("failed", r.status)
    assert.matches("as asked", r.error)
    assert.matches("as asked", assert(files.read_all(r.folder .. "/output.txt")))
    assert.is_true(files.exists(r.folder .. "/line.ckpt"))
    assert.matches('"epoch":1', assert(files.read_all(r.folder .. "/line.jsonl")))
  end)

  it("that is stopped goes on to the same bits with --resume, in the same folder", function()
    run(small "--epochs 40")
    local whole = read(1)
    local output, code = signalled("INT", "--epochs 40 --lr 0.0100001")
    assert.equal(130, code, output)
    assert.equal("stopped", read(2).status)
    output, code = run(small "--epochs 40 --lr 0.0100001 --resume")
    assert.equal(0, code, output)
    assert.equal(2, #folder.list(out))
    assert.equal("done", read(2).status)
    run(small "--epochs 40 --lr 0.0100001")
    assert.equal(3, #folder.list(out))
    assert.same(records.numbers(read(3)), records.numbers(read(2)))
    assert.is_not.same(records.numbers(whole), records.numbers(read(2)))
  end)

  it("that was killed is told from one that runs", function()
    local output, code = signalled("KILL", "--epochs 50")
    assert.equal(137, code, output)
    assert.equal("running", read(1).status)
    assert.equal("died", folder.status(read(1)))
  end)

  it("takes weights of an earlier run with --reuse, and says so where there are none", function()
    local output, code = run(small "--reuse")
    assert.equal(1, code)
    assert.matches('no weights "line": neither a run in ', output)
    assert.equal("failed", read(1).status)
    run(small())
    output, code = run(small "--reuse")
    assert.equal(0, code, output)
    assert.is_truthy(output:find(("line: weights from %s/line/2/line.safetensors (default recipe, seed 1"):format(out),
      1, true), output)
  end)

  it("trains several models with a step of its own, and takes their weights with --reuse", function()
    local script = "spec/fixtures/experiments/pair.lua"
    local function pair(number) return assert(folder.read(("%s/pair/%d"):format(out, number))) end
    local output, code = run(small(), script)
    assert.equal(0, code, output)
    assert.equal("done", pair(1).items[2].text)
    output, code = run(small "--reuse", script)
    assert.equal(0, code, output)
    assert.equal("reused", pair(2).items[2].text)
    assert.equal(records.numbers(pair(1)).weight, records.numbers(pair(2)).weight)
  end)

  it("is written by one program at a time", function()
    run(small())
    local before = assert(files.read_all(out .. "/line/1/record.json"))
    local lock = assert(locks.take(out .. "/line/1/record.json", {started = true}))
    local output, code = run(small "--resume")
    assert.equal(1, code)
    assert.matches("%-%-resume: .*line/1/record.json: in use by process " .. core.pid(), output)
    assert.equal(before, assert(files.read_all(out .. "/line/1/record.json")))
    lock:release()
    assert.matches("%-%-resume: no run of line in .* has had these options; this one begins anew",
      (run(small "--resume --lr 0.5")))
    output, code = run(small "--resume")
    assert.equal(0, code, output)
    assert.is_false(files.exists(out .. "/line/1/record.json.lock"))
  end)

  it("that was killed has died, whoever has its number now", function()
    local record = locks.identity()
    record.status = "running"
    assert.equal("running", folder.status(record))
    record.born = "1"
    assert.equal("died", folder.status(record))
    record.born, record.pid = "", 1 << 29
    assert.equal("died", folder.status(record))
    record.host = "another"
    assert.equal("running", folder.status(record))
  end)

  it("that is not closed is not taken for done", function()
    scratch.write(out, "open.lua", [[
      local e = require "latent.experiment".begin{options = {lr = 1}}
      e:number("a", 1)
      if e.options.lr > 1 then error "late" end]])
    local ok, message = sweep.run(out .. "/open.lua", {{}}, {out = out, log = function() end})
    assert.is_nil(ok)
    assert.matches("never said how it ended", message)
    assert.equal("left", assert(folder.read(out .. "/open/1")).status)
    local output, code = run("--lr 2 --out " .. out, out .. "/open.lua")
    assert.equal(1, code)
    assert.matches("late", output)
    assert.equal("left", assert(folder.read(out .. "/open/2")).status)
  end)

  it("keeps texts that are no UTF-8, and the error that quotes one", function()
    scratch.write(out, "bytes.lua", [[
      local e <close> = require "latent.experiment".begin{options = {mode = "a"}}
      e:text "a\255b"
      error "odd \254 byte"]])
    local _, code = run("--out " .. out, out .. "/bytes.lua")
    assert.equal(1, code)
    local r = assert(folder.read(out .. "/bytes/1"))
    assert.equal("a\u{FFFD}b", r.items[1].text)
    assert.matches("odd \u{FFFD} byte", r.error)
    assert.matches("%-%-mode: expected a text in UTF%-8", (run("--mode '\255' --out " .. out, out .. "/bytes.lua")))
  end)

  it("whose figure cannot be written ends with a sentence", function()
    scratch.write(out, "fig.lua", [[
      local experiment, plot = require "latent.experiment", require "latent.plot"
      local e <close> = experiment.begin{}
      os.execute("mkdir " .. e:path "a.png")
      e:figure("a", plot.lines{{y = {1, 2}}})]])
    local output, code = run("--out " .. out, out .. "/fig.lua")
    assert.equal(1, code)
    assert.matches("a.png: is a folder", output)
    assert.is_nil(output:find("traceback", 1, true))
    assert.matches("a.png: is a folder", assert(folder.read(out .. "/fig/1")).error)
  end)

  it("writes the same numbers in any locale", function()
    local place = locales.path()
    if not place then pending "this system cannot make locales" end
    local output, code = shell(("%s LOCPATH=%s lua5.4 -e 'assert(os.setlocale \"de_DE.UTF-8\")' %s %s"):format(PATHS,
      files.quote(place), SCRIPT, small "--threads 1 --lr 0.25"))
    assert.equal(0, code, output)
    local r = read(1)
    assert.equal(0.25, r.options.lr)
    assert.same({{"", "x"}, {"row", "1.5"}}, r.items[5].rows)
    assert.matches("^from %d+%.%d+ to %d+%.%d+$", r.items[3].evidence)
  end)

  it("prints its help from the declaration", function()
    local output, code = run "--help"
    assert.equal(0, code)
    assert.matches("Does a line fit%?", output)
    assert.matches("%-%-epochs <number>%s+how often; a whole number from 1 to 50; default 2", output)
    assert.matches("%-%-kind <text>%s+one of plain, noisy; default plain", output)
    assert.matches("%-%-recipe <text>.-one of default, slow", output)
  end)

  it("tells its settings: the recipe's, and over them the command line's", function()
    local settings = json.decode((run "--settings --recipe slow --lr 0.5"):match "^[^\n]*")
    assert.equal(0.5, settings.lr)
    assert.equal(3, settings.epochs)
    assert.equal("slow", settings.recipe)
    assert.equal("runs", settings.out)
    assert.equal("runs/mini", json.decode((run "--settings --data mini"):match "^[^\n]*").out)
  end)

  for _, case in ipairs{
    {"--epoch 3", "unknown option '%-%-epoch'\nDid you mean '%-%-epochs'%?"},
    {"--epochs many", '%-%-epochs: expected a whole number from 1 to 50, got "many"'},
    {"--epochs 0", '%-%-epochs: expected a whole number from 1 to 50, got "0"'},
    {"--epochs 51", '%-%-epochs: expected a whole number from 1 to 50, got "51"'},
    {"--epochs 1.5", '%-%-epochs: expected a whole number from 1 to 50, got "1.5"'},
    {"--lr 0", '%-%-lr: expected a number above 0, got "0"'},
    {"--lr 1e999", '%-%-lr: expected a number above 0, got "1e999"'},
    {"--shift nan", '%-%-shift: expected a number, got "nan"'},
    {"--kind odd", '%-%-kind: expected one of plain, noisy, got "odd"'},
    {"--data cifar", '%-%-data: expected one of mnist, fashion, mini, got "cifar"'},
    {"--recipe bread", '%-%-recipe: expected one of default, slow, got "bread"'},
    {"--seed -1", '%-%-seed: expected a whole number of at least 0, got "%-1"'},
    {'--out ""', "^%-%-out: expected a folder\n"},
    {"--out=", "^%-%-out: expected a folder\n"},
    {"--draw=yes", "draw"},
    {"--epochs", "epochs"},
    {"more", "too many arguments"},
  } do
    it("refuses " .. case[1], function()
      local output, code = run(case[1] .. " --out " .. out)
      assert.equal(1, code)
      assert.matches(case[2], output)
      assert.same({}, folder.list(out))
    end)
  end

  -- what experiment.begin is given, and the message that it raises
  for _, case in ipairs{
    {{option = {}}, 'unknown option "option" %(did you mean "options"%?%)'},
    {{options = {["a b"] = 1}}, "options: expected names of letters, digits and _"},
    {{options = {x = {}}}, "options: x: expected a number, a text or a boolean as default, got nil"},
    {{options = {x = {1, least = 0}}}, 'options: x: unknown option "least"'},
    {{options = {x = {1, min = 2}}}, "options: x: the default: expected a whole number of at least 2, got 1"},
    {{options = {x = {"a", choices = {"b"}}}}, 'options: x: the default: expected one of b, got "a"'},
    {{options = {x = true}}, "options: x: a flag is false unless it is given"},
    {{recipes = {r = {y = 1}}}, 'recipes.r: no option is called "y"'},
    {{options = {x = 1}, recipes = {r = {x = 1.5}}}, "recipes.r.x: expected a whole number, got 1.5"},
    {{name = "a/b"}, "name: expected letters, digits"},
    {{options = {settings = 1}}, "options: settings: every script has an option of this name"},
    {{options = {x = {1, min = "a"}}}, 'options: x: min: expected a number, got "a"'},
    {{options = {x = {"a", min = 1}}}, "options: x: min: a limit of numbers, and the default is none"},
    {{options = {x = {1, choices = 5}}}, "options: x: choices: expected a list, got 5"},
    {{recipes = {{seed = 1}}}, "recipes: name: expected a string, got 1"},
    {{question = 5}, "question: expected a string, got 5"},
    {{arguments = 5}, "arguments: expected a list, got 5"},
  } do
    it("refuses a declaration: " .. case[2], function()
      local ok, message = pcall(experiment.begin, case[1])
      assert.is_false(ok)
      assert.matches("^spec/experiment_spec.lua:%d+: experiment.begin: ", message)
      assert.matches(case[2], message)
    end)
  end

  it("refuses what is no number, claim, table or figure", function()
    local e <close> = experiment.begin{arguments = {"--out", out}, name = "misuse"}
    for _, case in ipairs{
      {"number", {"x", "3"}, 'Experiment:number: x: expected a number, got "3"'},
      {"number", {"x", {}}, "Experiment:number: x: expected numbers, got an empty table"},
      {"number", {"x", {1, "2"}}, 'Experiment:number: x: expected a number in place 2, got "2"'},
      {"number", {"x", 1, {better = "more"}}, 'better: expected "higher" or "lower", got "more"'},
      {"number", {"x", 1, {reference = {}}}, "reference: expected a number or a text, got a table"},
      {"number", {"x", {1, 2}, {names = {"a"}}}, "names: expected a list of 2 names"},
      {"number", {"a b", 1}, "name: expected letters"},
      {"number", {"x", 1, {unit = 5}}, "Experiment:number: x: unit: expected a string, got 5"},
      {"train", {"f", {loss = print, callbacks = 4}}, "Experiment:train: callbacks: expected a table, got 4"},
      {"claim", {1, "x"}, "Experiment:claim: holds: expected true or false, got 1"},
      {"claim", {true, "x", "%d", "y"}, "Experiment:claim: evidence: "},
      {"table", {"t", {"", "a"}, {{"row"}}}, "Experiment:table: row 1: expected 2 cells, as the head has, got 1"},
      {"figure", {"f", {}}, "Experiment:figure: f: expected a figure, such as plot.lines{...}, got a table"},
      {"log", {"f"}, "Experiment:log: f: nothing of this name was trained here"},
      {"train", {"f", {}}, "Experiment:train: loss: expected a function, got nil"},
      {"run", {"f", {log = "x"}}, "Experiment:run: log: the experiment sets it"},
    } do
      local ok, message = pcall(e[case[1]], e, table.unpack(case[2]))
      assert.is_false(ok)
      assert.is_truthy(message:find(case[3], 1, true), message)
    end
  end)

  it("leaves print and io.write as they were", function()
    local before = {print, io.write}
    local e = experiment.begin{arguments = {"--out", out}, name = "quiet"}
    assert.are_not.equal(before[1], print)
    e:close()
    assert.equal(before[1], print)
    assert.equal(before[2], io.write)
    e:close()
    assert.equal("done", folder.read(e.folder).status)
  end)

  it("keeps the newest numbers of each script in answers.json, where it is asked to", function()
    local real = print
    finally(function() _G.print = real end)
    _G.print = function() end
    for value = 1, 2 do
      local e <close> = experiment.begin{arguments = {"--out", out}, name = "answers", answers = "ex1"}
      e:number("x", value)
      if value == 1 then e:number("y", 5) end
    end
    assert.same({["ex1.x"] = 2}, json.decode(assert(files.read_all(out .. "/answers.json"))))
  end)

  -- ---- sweeps and commands ----

  it("is swept over options and seeds; what is done is not done again", function()
    local lines = {}
    local list = {{lr = 0.01}, {lr = 0.1}, {lr = 0.1, seed = 2}}
    local opts = {jobs = 2, out = out, log = function(line) lines[#lines + 1] = line end}
    for i = 1, #list do list[i].data = "mini" end
    local results = assert(sweep.run(SCRIPT, list, opts))
    assert.equal(4, #lines)
    assert.equal(0.1, results[3].options.lr)
    assert.equal(2, results[3].options.seed)
    assert.is_number(results[1].numbers.loss)
    assert.are_not.equal(results[1].numbers.loss, results[2].numbers.loss)
    local again = assert(sweep.run(SCRIPT, list, opts))
    assert.equal(4, #lines)
    assert.equal(results[2].folder, again[2].folder)
    local rows, axes, groups = compare.sweep{folder.read(results[1].folder), folder.read(results[2].folder),
      folder.read(results[3].folder)}
    assert.same({"lr"}, axes)
    assert.equal(2, #groups)
    assert.same({"lr", "runs", "loss"}, rows[1])
    assert.matches("^[%d.]+ %([%d.]+ to [%d.]+%)$", rows[3][3])
  end)

  it("leaves nothing of a sweep behind, and may print before it begins", function()
    scratch.write(out, "loud.lua", [[
      print "hello"
      local e <close> = require "latent.experiment".begin{options = {lr = 1.5}}
      e:number("a", e.options.lr)]])
    local results = assert(sweep.run(out .. "/loud.lua", {{lr = 2.5}, {}, {lr = 1.5}}, {out = out .. "/runs/", jobs = 3,
      log = function() end}))
    assert.equal(2.5, results[1].numbers.a)
    assert.equal(results[2].folder, results[3].folder) -- the same options in other words
    assert.same({{}, {lr = 1.5}}, {results[2].settings, results[3].settings})
    assert.same({"loud"}, core.list(out .. "/runs", "o"))
    assert.same({}, core.list(out .. "/runs", "sweep"))
    assert.matches("\n  loud/1 ", (latent(("runs --out %s/runs/"):format(out))))
  end)

  it("is run again where its script was edited since", function()
    local script = scratch.write(out, "own.lua", assert(files.read_all(SCRIPT)))
    local list, said = {{data = "mini"}}, 0
    local opts = {jobs = 1, out = out, log = function() said = said + 1 end}
    assert(sweep.run(script, list, opts))
    assert(sweep.run(script, list, opts))
    assert.equal(2, said)
    scratch.write(out, "own.lua", assert(files.read_all(SCRIPT)) .. "\n-- edited\n")
    assert.matches("/own/2$", assert(sweep.run(script, list, opts))[1].folder)
  end)

  it("waits for another that writes answers.json, and leaves a damaged one as it is", function()
    local path = out .. "/answers.json"
    local command = ("%s lua5.4 -e %s"):format(PATHS, files.quote(([[
      local e = require("latent.experiment").begin{arguments = {"--out", %q}, name = "n" .. NUMBER,
        answers = "ex" .. NUMBER}
      e:number("x", NUMBER)
      e:close()]]):format(out)))
    local all = {}
    for i = 1, 6 do all[i] = command:gsub("NUMBER", tostring(i)) .. " >/dev/null &" end
    shell(table.concat(all, " ") .. " wait")
    local answers = json.decode(assert(files.read_all(path)))
    for i = 1, 6 do assert.equal(i, answers[("ex%d.x"):format(i)]) end
    scratch.write(out, "answers.json", "{")
    local output = shell((command:gsub("NUMBER", "1")))
    assert.matches("answers.json: JSON, line 1.*its numbers are in ", output)
    assert.equal("{", files.read_all(path))
  end)

  it("that fails in a sweep is named with its error", function()
    local ok, message = sweep.run(SCRIPT, {{data = "mini"}, {data = "mini", stop_at = 1}}, {jobs = 1, out = out,
      log = function() end})
    assert.is_nil(ok)
    assert.matches("^data mini, stop_at 1: .*as asked$", message)
    ok, message = sweep.run(SCRIPT, {{lr = -1}}, {out = out})
    assert.is_nil(ok)
    assert.matches("%-%-lr: expected a number above 0", message)
    ok, message = sweep.run(out .. "/none.lua", {{}}, {})
    assert.is_nil(ok)
    assert.matches("none.lua: no such file", message)
  end)

  it("grids of the command line", function()
    local o = assert(sweep.parse{"x.lua", "--beta", "1e-4,0.01", "--seed", "1..3", "--flag", "--jobs", "2"})
    assert.equal("x.lua", o.script)
    assert.equal(2, o.jobs)
    assert.same({{"beta", {"1e-4", "0.01"}}, {"seed", {"1", "2", "3"}}, {"flag", {true}}}, o.axes)
    local list = sweep.grid(o.axes)
    assert.equal(6, #list)
    assert.same({beta = "1e-4", seed = "2", flag = true}, list[2])
    assert.equal(4, #sweep.draw(list, 4, 1))
    assert.same(sweep.draw(list, 4, 1), sweep.draw(list, 4, 1))
    assert.matches("expected a script", select(2, sweep.parse{"--seed", "1"}))
    assert.matches("%-%-jobs: expected a whole number of at least 1, got 0", select(2, sweep.parse{"x", "--jobs", "0"}))
    assert.matches("%-%-seed: expected at most 100000 values", select(2, sweep.parse{"x", "--seed", "1..999999"}))
    assert.matches("%-%-out: expected a folder", select(2, sweep.parse{"x", "--out"}))
    assert.matches("%-%-resume: the sweep sets it", select(2, sweep.parse{"x", "--resume"}))
  end)

  it("is listed, compared and reported by the command latent", function()
    local output, code = latent(("sweep %s --data mini --lr 0.01,0.1 --out %s --jobs 2"):format(SCRIPT, out))
    assert.equal(0, code, output)
    assert.matches("lr=0.1 +1 +[%d.]+", output)
    assert.is_true(files.exists(out .. "/line/sweep_loss.png"))
    assert.matches("^run,lr,loss\nline/%d,0.01,%d+%.%d+\nline/%d,0.1,%d+%.%d+\n$",
      assert(files.read_all(out .. "/line/sweep.csv")))
    output, code = latent("runs --out " .. out)
    assert.equal(0, code, output)
    assert.matches("line/%d +%S+ %S+ +done +1/2 +data=mini lr=0.01 +loss [%d.]+", output)
    output, code = latent(("compare line/1 line/2 --out %s"):format(out))
    assert.equal(0, code, output)
    assert.matches("%-%-lr +[%d.]+ +[%d.]+", output)
    assert.is_true(files.exists(out .. "/compare.png"))
    output, code = latent(("report %s --title 'A & B'"):format(out))
    assert.equal(0, code, output)
    local page = assert(files.read_all(out .. "/report.html"))
    assert.matches("<title>A &amp; B</title>", page)
    assert.is_truthy(page:find("the loss rises &amp; &lt;b&gt;shines&lt;/b&gt;", 1, true))
    assert.is_truthy(page:find("Does not hold: ", 1, true))
    assert.is_nil(page:find("<script", 1, true))
    assert.is_nil(page:find "https?://")
    output, code = latent(("run %s --recipe slow --data mini --out %s/slow"):format(SCRIPT, out))
    assert.equal(0, code, output)
    assert.matches("line/1 +%S+ %S+ +done +1/2 +data=mini recipe=slow +loss", (latent("runs --out " .. out .. "/slow")))
    output, code = latent("runs --out " .. out .. "/none")
    assert.equal(1, code)
    assert.matches("latent: no runs in ", output)
    output, code = latent("runs " .. out)
    assert.equal(1, code)
    assert.is_truthy(output:find((" in runs (those of another folder: latent runs --out %s)"):format(out), 1, true))
    output, code = latent("compare line/1 line/9 --out " .. out)
    assert.equal(1, code)
    assert.matches("no run line/9", output)
    output, code = latent("report " .. out .. "/none")
    assert.equal(1, code)
    assert.matches("holds no run of an experiment", output)
  end)

  it("whose number is not finite shows it, also to a mean", function()
    local real = print
    finally(function() _G.print = real end)
    _G.print = function() end
    local e = experiment.begin{arguments = {"--out", out}, name = "odd"}
    e:number("x", 0 / 0)
    e:number("y", {1, math.huge})
    e:close()
    local numbers = records.numbers(assert(folder.read(e.folder)))
    assert.are_not.equal(numbers.x, numbers.x)
    assert.are_not.equal(numbers.y[2], numbers.y[2])
    assert.equal("nan", compare.sweep{folder.read(e.folder)}[2][3])
  end)

  it("of another time than this is damaged; names that are no numbers are no runs", function()
    run(small())
    local text = assert(files.read_all(out .. "/line/1/record.json"))
    for _, name in ipairs{"2", "9223372036854775807", "03", "1e3"} do
      assert(files.write_atomic(("%s/line/%s/record.json"):format(out, name),
        (text:gsub('"started": %d+', '"started": 1e300'))))
    end
    assert.same({out .. "/line/1", out .. "/line/2"}, folder.list(out))
    assert.matches("line/2 +damaged +.*started: expected seconds since 1970", (latent("runs --out " .. out)))
    assert.equal(out .. "/line/3", folder.create(out, "line"))
  end)

  it("whose record is damaged is left out of the page, by name", function()
    run(small())
    run(small())
    scratch.write(out .. "/line/2", "record.json", "{")
    assert.matches("line/2 +damaged", (latent("runs --out " .. out)))
    local output, code = latent("report " .. out)
    assert.equal(0, code, output)
    assert.is_truthy(assert(files.read_all(out .. "/report.html")):find("Left out: ", 1, true))
  end)
end)
