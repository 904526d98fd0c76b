-- The annotations for editors: Lua that loads, every public name with its parameters, every type defined.
local api = require "tools.api"
local declared = require("latent.base.options").declared
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"

local model = api.read()
local BUILT_IN = {string = true, number = true, integer = true, boolean = true, table = true, any = true,
  ["function"] = true, ["nil"] = true, fun = true, self = true}

describe("the annotations", function()
  local folder, remove
  local texts, classes = {}, {}

  setup(function()
    folder, remove = scratch.folder()
    assert(files.capture("lua5.4 tools/annotations.lua " .. files.quote(folder)))
    for _, module in ipairs(model.modules) do
      local path = files.join(folder, (module.name:gsub("%.", "/")) .. ".lua")
      texts[module.name] = assert(files.read_all(path))
      for class in texts[module.name]:gmatch "%-%-%-@class ([%w_.]+)" do
        assert(not classes[class], class .. " is defined twice")
        classes[class] = true
      end
    end
  end)
  teardown(function() remove() end)

  -- The functions of a file: {[name] = names of its parameters}, checked against the @param lines above each.
  local function functions_of(text)
    local found, params = {}, {}
    for line in text:gmatch "[^\n]+" do
      local param = line:match "^%-%-%-@param ([%w_.]+)"
      local name, list = line:match "^function ([%w_.:]+)(%b()) end$"
      if param then params[#params + 1] = param end
      if name then
        local names = {}
        for word in list:gmatch "[%w_.]+" do names[#names + 1] = word end
        assert.same(names, params, name)
        assert(not found[name], name .. " is annotated twice")
        found[name], params = names, {}
      end
    end
    return found
  end

  for _, module in ipairs(model.modules) do
    it("are Lua, and have all of " .. module.name, function()
      local text = texts[module.name]
      assert.equal("---@meta " .. module.name, text:match "^[^\n]+")
      local result = assert(load(text, "@" .. module.name, "t", {}))()
      local found = functions_of(text)
      for name in pairs(require(module.name)) do
        local here = result[name] ~= nil or text:find("---@field " .. name .. " ", 1, true)
        assert(here or name:find "^_", module.prefix .. "." .. name .. " is not annotated")
      end
      for _, entry in ipairs(module.functions) do
        assert.same(api.parameter_names(entry), found[module.prefix .. "." .. entry.field], entry.name)
      end
      for _, class in ipairs(model.classes) do
        for _, entry in ipairs(class.module == module and class.methods or {}) do
          assert.same(api.parameter_names(entry), found[class.name .. ":" .. entry.field], entry.name)
        end
      end
    end)
  end

  it("name no type that is not defined", function()
    for name, text in pairs(texts) do
      for line in text:gmatch "[^\n]+" do
        local kind, rest = line:match "^%-%-%-@(%a+) (.*)$"
        local typed = kind == "overload" and rest:match "^fun%b()" or kind == "return" and rest:match "^([^#]+)"
          or (kind == "param" or kind == "field") and rest:match "^[^%s]+ (%b{}%S*)" or
          (kind == "param" or kind == "field") and rest:match "^[^%s]+ (%S+)" or ""
        -- Names in front of a colon are parameters and keys; quoted words are types of their own.
        typed = typed:gsub("[%w_.]+%??:", " "):gsub('"[^"]*"', " ")
        for word in typed:gmatch "%a[%w_.]*" do
          assert(BUILT_IN[word] or classes[word], ("%s: %s is not defined in: %s"):format(name, word, line))
        end
      end
    end
  end)

  it("let sizes be written without braces", function()
    for _, name in ipairs{"lt.zeros", "lt.ones", "lt.rand", "lt.randn", "lt.reshape", "Tensor:reshape",
      "Tensor:permute"} do
      local above = texts["latent"]:match("(%-%-%-@overload [^\n]*)\nfunction " .. name .. "%(")
      assert.matches("%.%.%.: integer", above or "", name)
    end
  end)

  it("give options tables the fields that the functions check", function()
    local fields = texts["latent.optim"]:match "@class latent%.optim%.Adam%.opts\n(.-)\n\n"
    for _, option in ipairs(declared["optim.Adam"]) do
      assert.matches("@field " .. option.name .. "%? ", fields)
    end
    assert.matches("@field betas%? { %[1%]: number, %[2%]: number } default {0.9, 0.999}; {beta1, beta2}\n", fields)
    assert.matches("@field epochs integer a whole number of at least 1\n", texts["latent.train"])
    assert.matches("@field stride%? integer|{ %[1%]: integer, %[2%]: integer } default 1", texts["latent"])
    assert.is_truthy(texts["latent"]:find("---@overload fun(x: latent.Tensor, weight: latent.Tensor, "
      .. "bias?: latent.Tensor, opts?: latent.conv2d.opts): latent.Tensor", 1, true))
  end)
end)
