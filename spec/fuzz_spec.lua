-- What `make fuzz` found stays mended, and it finds what is wrong.
local files = require "latent.base.files"
local judge = require "tools.fuzz.judge"
local lt = require "latent"
local programs = require "tools.fuzz.programs"
local Random = require "tools.fuzz.random"
local readers = require "tools.fuzz.readers"
local scratch = require "spec.support.scratch"
local shrink = require "tools.fuzz.shrink"
local steps = require "tools.fuzz.steps"

local CORPUS = "spec/fixtures/fuzz"

describe("fuzz", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("finds nothing wrong any more with what once failed", function()
    local paths = {}
    for i, name in ipairs(scratch.list(CORPUS)) do paths[i] = files.quote(CORPUS .. "/" .. name) end
    assert.is_true(#paths > 10)
    -- The seconds only end what would hang: how long a machine takes is none of a spec's business.
    local out, _, failed = files.capture("LATENT_FUZZ_SECONDS=60 lua5.4 tools/fuzz/worker.lua --replay "
      .. table.concat(paths, " ") .. " 2>&1")
    assert(out, failed)
    assert.is_truthy(out:find(#paths .. " replayed, 0 failed", 1, true), out)
  end)

  describe("of readers", function()
    local path, seconds
    setup(function() path, seconds = scratch.write(folder, "file", "content"), judge.seconds end)
    after_each(function() readers.list.planted, judge.seconds = nil, seconds end)

    local function verdict(load, refuse)
      readers.list.planted = {load = load}
      return judge.read("planted", path, 7, refuse)
    end

    it("sees each way in which a reader can fail", function()
      assert.is_nil(verdict(function() return {lt.ones(2), a = "b"} end))
      assert.is_nil(verdict(function() return nil, "is damaged" end, true))
      assert.matches("^raised: .*oops", verdict(function() error "oops" end))
      assert.matches("^nil without a message", verdict(function() return nil end))
      assert.matches("^a message of 5000 bytes", verdict(function() return nil, ("x"):rep(5000) end))
      assert.matches("not for users", verdict(function() return nil, "attempt to index a nil value" end))
      assert.matches("should be refused", verdict(function() return 1 end, true))
      local json = require "latent.json"
      local null = json.null
      assert.matches("json.null was changed", verdict(function()
        json.null = setmetatable({}, {})
        return 1
      end))
      json.null = null
      judge.seconds = 0.05
      assert.matches("^took 0%.%d s", verdict(function() while true do local _ = 1 end end))
    end)

    it("damages real files in ways that a seed fixes, some of which can still be read", function()
      for _, name in ipairs(readers.names) do
        local read, refused, seen = 0, 0, {}
        for i = 1, 40 do
          local bytes = readers.damaged(Random.new(3, i), name, folder)
          assert.equal(bytes, readers.damaged(Random.new(3, i), name, folder), name)
          seen[bytes] = true
          local value = readers.list[name].load(scratch.write(folder, "damaged", bytes))
          if value == nil then refused = refused + 1 else read = read + 1 end
        end
        assert(read > 0 and refused > 0, name)
        local different = 0
        for _ in pairs(seen) do different = different + 1 end
        assert(different > 25, name)
      end
    end)

    it("makes a file small that fails", function()
      local function fails(bytes) return bytes:find("b.*d") ~= nil end
      assert.equal("bd", shrink.bytes(("a"):rep(500) .. "bcd" .. ("e"):rep(300), fails, 2000))
    end)
  end)

  describe("of programs", function()
    it("knows a step for every op that has a gradient", function()
      for _, op in ipairs(lt.ops()) do
        assert(steps.choose[op.name] or not op.differentiable,
          op.name .. " has no step in tools/fuzz/steps.lua")
      end
    end)

    it("writes programs down as they are, the same for the same seed", function()
      local used = {}
      for i = 1, 150 do
        local program = programs.random(Random.new(5, i))
        local text = programs.text(program)
        assert.equal(text, programs.text(programs.random(Random.new(5, i))))
        assert.equal(text, programs.text(assert(programs.parse(text))))
        for _, step in ipairs(program.steps or {}) do used[step.op] = true end
      end
      local count = 0
      for _ in pairs(used) do count = count + 1 end
      assert.is_true(count > 40)
    end)

    it("finds an op with a wrong value, one with a wrong gradient and one that raises", function()
      local function first_failure()
        for i = 1, 400 do
          local program = programs.random(Random.new(6, i))
          local problem = not program.wild and programs.judge(program)
          if problem then return problem, programs.text(program) end
        end
      end
      local right = lt.square
      finally(function() lt.square = right end)
      lt.square = function(x) return right(x) * 1.001 end
      local problem, text = first_failure()
      assert.matches("in float64", problem)
      local small = programs.parse(shrink.program(text, function(candidate)
        return programs.judge(programs.parse(candidate)) ~= nil
      end))
      assert.equal("square", small.steps[#small.steps].op)
      lt.square = function(x) return x * x:detach() end
      assert.matches("^gradient of input", (first_failure()))
      lt.square = function() error "out of order" end
      assert.matches("float32 raises, float64 does not: .*out of order", (first_failure()))
    end)

    it("finds what is raised elsewhere than at the caller's line, or in the words of Lua", function()
      local right = lt.square
      finally(function() lt.square = right end)
      local function verdict() return programs.judge{wild = {"square", "word"}} end
      assert.is_nil(verdict())
      lt.square = function(x) return x.y.z end
      assert.matches("elsewhere than at the caller's line", verdict())
      lt.square = function() error("attempt to do something", 2) end
      assert.matches("not for users", verdict())
      lt.square = function() error{} end
      assert.matches("raises table", verdict())
    end)
  end)
end)
