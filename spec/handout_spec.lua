-- The exercises as students get them: what is theirs to write is gone, and what they get runs once it is written.
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"

local SCRIPTS = {"models", "01_autoencoder", "02_latent_scatter", "03_nearest_neighbour", "04_classifier",
  "05_generator", "06_denoise_bottleneck", "07_vae", "08_map_denoise"}

local function words(text) return (text:gsub("%s+", " ")) end

-- The pieces of a script between its marks: each {code, words = of the code, without the spaces around it}.
local function pieces(text)
  local list = {}
  for piece in text:gmatch "%-%- %(task%) (.-)%s+%-%- %(end%)" do
    -- The task itself may have several lines.
    local code = piece:gsub("^[^\n]*\n", ""):gsub("^%s*%-%- [^\n]*\n", "")
    list[#list + 1] = {code = code, words = words(code):match "^ ?(.-) ?$"}
  end
  return list
end

describe("the handout", function()
  local folder, remove, scripts
  setup(function()
    folder, remove = scratch.folder()
    assert(files.capture(("lua5.4 tools/handout.lua %s 2>&1"):format(files.quote(folder))))
    scripts = {}
    for _, name in ipairs(SCRIPTS) do
      scripts[name] = {ours = assert(files.read_all(("exercises/%s.lua"):format(name))),
        theirs = assert(files.read_all(("%s/exercises/%s.lua"):format(folder, name)))}
    end
  end)
  teardown(function() remove() end)

  for _, name in ipairs(SCRIPTS) do
    it(("of %s parses, and what was cut is gone"):format(name), function()
      local script = scripts[name]
      assert(load(script.theirs, "@" .. name))
      local cut = pieces(script.ours)
      assert.is_true(#cut >= 1)
      for i, piece in ipairs(cut) do
        assert.is_truthy(words(script.ours):find(piece.words, 1, true))
        assert.is_nil(words(script.theirs):find(piece.words, 1, true))
        assert.is_truthy(script.theirs:find(("TASK %d: "):format(i), 1, true))
        assert.is_truthy(script.theirs:find(('error "task %d is yours"'):format(i), 1, true))
      end
      assert.is_nil(script.theirs:find(("TASK %d"):format(#cut + 1), 1, true))
      assert.is_nil(script.theirs:find("(task)", 1, true))
    end)

    it(("of %s has no answer"):format(name), function()
      local script = scripts[name]
      local answers = select(2, script.ours:gsub("e:claim%(", "")) + select(2, script.ours:gsub("e:text[%[%(]", ""))
      local places = select(2, script.theirs:gsub("YOUR ANSWER", ""))
      assert.is_true(places <= answers and (places > 0) == (answers > 0))
      assert.equal(places, select(2, script.theirs:gsub("e:claim", "")))
      assert.is_nil(script.theirs:find("e:text", 1, true))
      assert.is_nil(script.theirs:match "%-%-   lua5%.4[^\n]*expect")
      for statement in script.ours:gmatch 'e:claim%([^\n]-, "([^"]+)"' do
        assert.is_nil(script.theirs:find(statement, 1, true))
      end
    end)
  end

  -- In the folder, whose own exercises.models comes first.
  local function run(script, options)
    return assert(files.capture(("cd %s && LUA_PATH=%s LUA_CPATH=%s lua5.4 exercises/%s.lua %s --out runs 2>&1; "
      .. "echo exit $?"):format(files.quote(folder), files.quote("./?.lua;" .. package.path),
      files.quote(package.cpath), script, options)))
  end

  it("stops at the first open task, and says its line", function()
    local before = scripts["06_denoise_bottleneck"].theirs:match '^(.-)error "task 1'
    local line = 1 + select(2, before:gsub("\n", ""))
    assert.matches(("exercises/06_denoise_bottleneck.lua:%d: task 1 is yours"):format(line),
      run("06_denoise_bottleneck", "--recipe demo"))
  end)

  -- Does the tasks of a script as we did them.
  local function fill(name)
    local text = scripts[name].theirs
    for i, piece in ipairs(pieces(scripts[name].ours)) do
      local first, last = text:find(('error "task %d is yours"'):format(i), 1, true)
      text = text:sub(1, first - 1) .. piece.code .. text:sub(last + 1)
    end
    scratch.write(folder .. "/exercises", name .. ".lua", text)
  end

  it("runs to its end once the tasks are done", function()
    local OPTIONS = {["03_nearest_neighbour"] = "", ["04_classifier"] = "--epochs 1", ["06_denoise_bottleneck"] = "",
      ["08_map_denoise"] = "--epochs 1 --images 10 --map_steps 3"}
    local short = "--data mini --seed 2 --threads 1 "
    for name in pairs(OPTIONS) do fill(name) end
    assert.matches("exercises/models.lua:%d+: task 1 is yours",
      run("08_map_denoise", short .. OPTIONS["08_map_denoise"]))
    fill "models"
    for name, options in pairs(OPTIONS) do
      local output = run(name, short .. options)
      assert.matches("exit 0%s*$", output)
      assert.matches("figure ", output)
      assert.not_matches("holds: ", output) -- the answers are not there
    end
  end)

  it("names every task in its README", function()
    local readme = words(assert(files.read_all(folder .. "/README.md")))
    for _, name in ipairs(SCRIPTS) do
      assert.is_truthy(readme:find(("### %s.lua"):format(name), 1, true))
      for task in scripts[name].ours:gmatch "%-%- %(task%) ([^\n]+)" do
        assert.is_truthy(readme:find(task, 1, true))
      end
    end
  end)
end)
