-- What README and the chapters say is true: their code runs, the names and files in them exist.
local files = require "latent.base.files"
local lt = require "latent"
local markdown = require "spec.support.markdown"
local scratch = require "spec.support.scratch"

local modules = {lt = lt, nn = require "latent.nn", optim = require "latent.optim", data = require "latent.data",
  plot = require "latent.plot", schedule = require "latent.schedule", safetensors = require "latent.safetensors"}

-- Runs a block as a script of its own, without its output; whatever it sets is put back. What it writes into /tmp goes
-- into a folder of the spec's.
local function run(path, block, folder)
  local environment = setmetatable({print = function(...) return select("#", ...) end}, {__index = _G})
  local threads, state = lt.threads(), lt.rng_state()
  collectgarbage() -- blocks that measure memory count what is theirs
  collectgarbage()
  local text = ("\n"):rep(block.line) .. block.code:gsub("/tmp/", folder .. "/")
  local code = assert(load(text, "@" .. path, "t", environment))
  local ok, message = pcall(code)
  lt.set_threads(threads)
  lt.set_rng_state(state)
  assert(ok, message)
  for name in pairs(environment) do
    assert(name == "print", ("%s:%d sets the global %s"):format(path, block.line, name))
  end
end

-- A block that is an experiment is a script: it runs as one, in a folder of its own.
local function run_experiment(block)
  local folder, remove = scratch.folder()
  local script = scratch.write(folder, "flowers.lua", block.code)
  local command = ("LUA_PATH=%s LUA_CPATH=%s lua5.4 %s --out %s 2>&1; echo exit $?"):format(files.quote(package.path),
    files.quote(package.cpath), files.quote(script), files.quote(folder))
  local output = files.capture(command)
  local made = files.exists(folder .. "/flowers/1/record.json")
  remove()
  assert(made and output:find "exit 0%s*$" and output:find "holds: ", output)
end

describe("the documents", function()
  local place, remove
  setup(function() place, remove = scratch.folder() end)
  teardown(function() remove() end)

  for _, path in ipairs(markdown.documents()) do
    for _, block in ipairs(markdown.blocks(path)) do
      if block.info == "lua" then
        it(("code at %s:%d runs"):format(path, block.line), function()
          if block.code:find("experiment.begin", 1, true) then run_experiment(block) else run(path, block, place) end
        end)
      end
    end

    it(path .. " names functions that exist", function()
      -- The first column of a table holds another library's names.
      local text = assert(files.read_all(path)):gsub("\n|[^|]+|", "\n|")
      local tensor = lt.ones(1)
      for module, name in text:gmatch "%f[%w_]([%w_]+)%.([%w_]+)" do
        if modules[module] and not (module == "safetensors" and name == "safetensors") then
          assert(modules[module][name] ~= nil or name == "lua", ("%s.%s is not there"):format(module, name))
        end
      end
      for name in text:gmatch "`x:([%w_]+)" do
        assert(pcall(function() return tensor[name] end), ("x:%s is not there"):format(name))
      end
    end)

    it(path .. " links to files that exist, and names targets of the Makefile", function()
      local text, folder = markdown.prose(path), files.dirname(path)
      for target in text:gmatch "%]%(([^)#:]+)%)" do
        assert(files.exists(files.join(folder, target)), target .. " does not exist")
      end
      local makefile = assert(files.read_all "Makefile")
      for target in text:gmatch "`make (%l[%w-]*)" do
        assert(makefile:find("\n" .. target:gsub("%-", "%%-") .. ":"), "no target " .. target)
      end
    end)
  end

  it("show C code as it stands in the sources", function()
    local sources, shown = assert(files.capture "cat c/*/*.[ch]"), 0
    for _, path in ipairs(markdown.documents()) do
      for _, block in ipairs(markdown.blocks(path)) do
        if block.info == "c as it stands" then
          assert(sources:find(block.code, 1, true), ("%s:%d"):format(path, block.line))
          shown = shown + 1
        end
      end
    end
    assert(shown > 0)
  end)
end)

describe("the short programs", function()
  it("have at most sixty lines, check what they found, and are in the list", function()
    local list, count = assert(files.read_all "docs/programs/README.md"), 0
    for _, path in ipairs(markdown.documents()) do
      local name = path:match "^docs/programs/(%l+%.md)$"
      if name then
        count = count + 1
        assert(list:find("](" .. name .. ")", 1, true), name .. " is not in docs/programs/README.md")
        local blocks = markdown.blocks(path)
        assert.equal(1, #blocks, path)
        local _, lines = blocks[1].code:gsub("\n", "")
        assert(lines <= 60, ("%s has %d lines"):format(path, lines))
        assert(blocks[1].code:find "\n *assert%([^\n]*%)\n", path .. " checks nothing")
      end
    end
    assert.equal(10, count)
  end)
end)

describe("the chapter of results", function()
  it("has what the sheet says", function()
    local sheet, compared = require "exercises.sheet", 0
    local rows, exercise = {}, nil -- of each exercise, the last cells of its rows, one after the other
    local text = assert(files.read_all "docs/results.md"):match "\n| exercise |[^\n]*\n|[-|]+\n(.-)\n\n"
    for line in text:gmatch "[^\n]+" do
      exercise = line:match "^| %[(%d+)%]" or exercise
      rows[exercise] = (rows[exercise] or "") .. line:match "|([^|]*)|$" .. ";"
    end
    for number, cells in pairs(rows) do
      for _, found in pairs(sheet.numbers("ex" .. number, {options = {data = "mnist"}}, {})) do
        if type(found.reference) == "number" then
          local value = ("%.6g"):format(found.reference):gsub("%.", "%%.")
          assert.matches("%f[%d.]" .. value .. "0*%f[^%d]", cells)
          compared = compared + 1
        end
      end
    end
    assert.is_true(compared > 10)
  end)
end)

describe("the chapter on ops in C #slow", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  -- Replaces the one place where a text stands in a file of the copy.
  local function replace(name, old, new)
    local path = files.join(folder, name)
    local text = assert(files.read_all(path))
    local first, last = text:find(old, 1, true)
    assert(first, old .. " is not in " .. name)
    scratch.write(folder, name, text:sub(1, first - 1) .. new .. text:sub(last + 1))
  end

  it("leads to an op that passes its gradient check", function()
    local blocks = {}
    for _, block in ipairs(markdown.blocks "docs/op-in-c.md") do blocks[block.info] = block.code end
    assert(files.capture(("cp -r c lua tools spec Makefile %s"):format(files.quote(folder))))
    local table_head = "const Op *const ISA_NAME(ops_elementwise)[] = {\n"
    replace("c/ops/elementwise.c", table_head, blocks.c .. "\n" .. table_head .. "    &op_softsign,\n")
    replace("spec/support/op_cases.lua", 'unary("log", "positive")\n', blocks["lua op_cases"] ..
      'unary("log", "positive")\n')
    local last_rule = "    dropout = function"
    replace("lua/latent/base/grad/elementwise.lua", last_rule, blocks["lua rule"] .. last_rule)
    local command = ("cd %s && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS "
      .. "make -s build ISAS=baseline X86= OPTIMIZE=-O0 2>&1 && "
      .. "LUA_PATH='lua/?.lua;lua/?/init.lua;?.lua;;' LUA_CPATH='build/?.so;;' lua5.4 -e '%s' 2>&1")
    local program = [[
      local gradcheck, cases = require "spec.support.gradcheck", require "spec.support.op_cases"
      for _, case in ipairs(cases.cases.softsign) do
        if not case.wide then gradcheck.check(case.f, cases.inputs(require "spec.support.lt64", case)) end
        if not case.wide then
          require("spec.support.rulecheck").check(case.f, cases.inputs(require "spec.support.lt64", case))
        end
        assert(require "spec.support.precision".compare(case))
      end
      print(require("latent").tensor{-3, 0, 1}:softsign():table()[1])]]
    local out = assert(files.capture(command:format(files.quote(folder), program:gsub("\n%s+", " "))))
    assert.matches("%-0%.75%s*$", out)
  end)
end)
