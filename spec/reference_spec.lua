-- What is documented is there, and what is there is documented: names, parameters, types, help.
local api = require "tools.api"
local files = require "latent.base.files"
local help = require "latent.help"
local lt = require "latent"
local nn = require "latent.nn"
local options = require "latent.base.options"
local optim = require "latent.optim"
local data = require "latent.data"
require "spec.support.misuse"

local model = api.read()

-- One object of each class; a class that is documented and not here fails.
local OBJECTS = {
  Tensor = function() return lt.ones(1) end,
  Generator = function() return lt.generator(1) end,
  Module = function() return setmetatable({}, getmetatable(nn.ReLU)) end,
  Optimizer = function() return optim.SGD({lt.param(lt.ones(1))}, {lr = 1}) end,
  Average = function() return optim.average{lt.param(lt.ones(1))} end,
  Distribution = function() return require("latent.distributions").Normal(0, 1) end,
  Plateau = function() return optim.schedule.plateau(1) end,
  Set = function() return assert(data.mnist{split = "test", mini = true}) end,
  Subset = function() return (data.split(assert(data.mnist{split = "test", mini = true}), 5)) end,
  Table = function() return (assert(data.csv "docs/iris.csv")) end,
  Loader = function() return data.loader(assert(data.mnist{split = "test", mini = true})) end,
  Figure = function() return require("latent.plot").lines{{y = {1, 2}}} end,
  Bar = function() return require("latent.progress").new{terminal = false} end,
  Profile = function() return lt.profile(function() end, {quiet = true}) end,
  Squared = function() return require("latent.vae").squared() end,
  Gaussian = function() return require("latent.vae").gaussian() end,
  Likelihood = function() return require("latent.vae").distribution(print) end,
  Bernoulli = function() return require("latent.vae").bernoulli() end,
  Reader = function()
    local sources = require "latent.data.sources"
    local folder = assert(sources.mini())
    return assert(require("latent.idx").open(assert(sources.find(folder, sources.names.test.labels))))
  end,
  Problem = function()
    return require("latent.map").problem{decode = function(z) return z end, measured = lt.ones(1, 2), latent = 2,
      noise = 1}
  end,
}
OBJECTS.Runs = function() return require("latent.experiment.sweep").runs{} end
OBJECTS.Experiment = function()
  local out, remove = require("spec.support.scratch").folder()
  local e = require("latent.experiment").begin{arguments = {"--out", out}, name = "reference"}
  e:close()
  remove()
  return e
end
OBJECTS.Posterior = function()
  return require("latent.map").sample(OBJECTS.Problem(), {warmup = 2, draws = 4, chains = 1})
end
OBJECTS.Run = function()
  local layer = nn.Linear(2, 2)
  return require("latent.train").new{model = layer, optimizer = optim.SGD(layer:parameters(), {lr = 1}),
    loader = OBJECTS.Loader(), epochs = 1}
end

-- Those of a class of layers are what it adds to Module; init, forward and text make the class.
local HOOKS = {init = true, forward = true, text = true, __unknown = true}

local function methods_of(object)
  local class = getmetatable(object)
  local list = type(class.__index) == "table" and class.__index or require("latent.core").methods
  if type(object) == "userdata" and not lt.is_tensor(object) then list = class.__index end
  local names = {}
  for name, value in pairs(list) do
    local hook = HOOKS[name] and class.__name ~= "experiment" -- which says a text
    local plain = type(value) == "function" and not name:find "^__" and not hook
    if plain then names[name] = value end
  end
  return names
end

local function names_in(entries)
  local names = {}
  for _, entry in ipairs(entries) do names[entry.field] = entry end
  return names
end

-- The names of `have` that `documented` lacks.
local function lacking(have, documented)
  local list = {}
  for name in pairs(have) do
    if not documented[name] then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

local function exported(module)
  local functions, values = {}, {}
  for name, value in pairs(module) do
    local callable = type(value) == "function" or type(value) == "table" and rawget(value, "__index") == value
    if not tostring(name):find "^_" then (callable and functions or values)[name] = value end
  end
  return functions, values
end

-- The names of a Lua function's parameters; nil for a C function.
local function parameters_of(value, is_method)
  if type(value) == "table" then value, is_method = value.init, true end
  local info = debug.getinfo(value, "uS")
  if info.what == "C" then return nil end
  local names = {}
  for i = 1, info.nparams do names[i] = debug.getlocal(value, i) end
  if info.isvararg then names[#names + 1] = "..." end
  if is_method then table.remove(names, 1) end
  return names
end

local TYPES = {string = true, number = true, int = true, boolean = true, table = true, ["function"] = true,
  ["..."] = true, ["nil"] = true}

local function check_types(entry)
  for _, kind in ipairs{"param", "return", "field"} do
    for _, item in ipairs(api.described(entry, kind)) do
      for word in (item.type or ""):gmatch "[%w_.]+" do
        assert(TYPES[word] or model.classes[word], ("%s: the type %s is not known"):format(entry.name, word))
      end
    end
  end
end

local function check_entry(entry, value)
  assert(#entry.tags[1][2] > 1, entry.name .. " has no sentence")
  local documented = {}
  for i, item in ipairs(api.described(entry, "param")) do documented[i] = item.name end
  -- The activations share an init, whose parameter has no name of its own.
  if entry.module == "latent.nn.activations" then value = nil end
  local actual = value and parameters_of(value, entry.is_method) or api.parameter_names(entry)
  -- The rest of a list such as nn.Reshape(2, 2, 16) is one documented name.
  if documented[#documented] == "..." and actual[#actual] == "..." then
    for i = #actual - 1, #documented, -1 do table.remove(actual, i) end
  end
  assert.same(actual, documented, entry.name)
  check_types(entry)
  assert(help.text(entry.name), "no help for " .. entry.name)
end

describe("the reference", function()
  for _, module in ipairs(model.modules) do
    it("has what " .. module.name .. " exports, and nothing else", function()
      local functions, values = exported(require(module.name))
      assert.is_table(module.entry)
      assert.same({}, lacking(functions, names_in(module.functions)))
      assert.same({}, lacking(names_in(module.functions), functions))
      assert.same({}, lacking(values, names_in(module.values)))
      assert.same({}, lacking(names_in(module.values), values))
      for _, entry in ipairs(module.functions) do check_entry(entry, not entry.op and functions[entry.field]) end
    end)
  end

  for _, class in ipairs(model.classes) do
    it("has the methods of " .. class.name .. ", and nothing else", function()
      local methods = methods_of(assert(OBJECTS[class.name], "no example of the class")())
      local base = (class.name == "Gaussian" or class.name == "Bernoulli" or class.name == "Squared"
        or class.name == "Likelihood")
        and names_in(model.classes.Module.methods) or {}
      local documented = names_in(class.methods)
      assert.same({}, lacking(methods, setmetatable(documented, {__index = base})))
      assert.same({}, lacking(names_in(class.methods), methods))
      for _, entry in ipairs(class.methods) do check_entry(entry, not entry.op and methods[entry.field]) end
    end)
  end

  for _, class in ipairs(model.classes) do
    it("has methods of " .. class.name .. " that say so when they are called with a dot", function()
      for name, method in pairs(methods_of(OBJECTS[class.name]())) do
        assert.misuse(function() method(nil) end, name .. ": .*got n") -- "nil", or "no value"
        assert.misuse(function() method "x" end, name .. ": .*got ")
      end
    end)
  end

  it("has the declared options of a function where its options table stands", function()
    local documented = {}
    for _, module in ipairs(model.modules) do
      for _, entry in ipairs(module.functions) do documented[entry.name] = entry end
    end
    for _, class in ipairs(model.classes) do
      for _, entry in ipairs(class.methods) do documented[entry.name] = entry end
    end
    local count = 0
    for name, rows in pairs(options.declared) do
      local entry = assert(documented[name], name .. " declares options, and is not documented")
      local params = api.described(entry, "param")
      local found
      for _, item in ipairs(params) do found = found or item.options end
      assert.equal(rows, found, name .. " documents no options table")
      local text = help.text(name)
      for _, row in ipairs(rows) do
        local head, said = options.said(row)
        assert.is_truthy(text:find(head, 1, true), name .. ": " .. head)
        assert(said ~= "" or type(row.default) == "boolean", ("%s: %s says nothing"):format(name, row.name))
        count = count + 1
      end
    end
    assert(count > 50)
  end)

  it("would tell of a function without a comment, and of a comment without a function", function()
    local functions = exported{save = print, load = print, extra = print, _private = print, limit = 3}
    local documented = {save = {}, load = {}, gone = {}}
    assert.same({"extra"}, lacking(functions, documented))
    assert.same({"gone"}, lacking(documented, functions))
    assert.has_error(function()
      check_entry({name = "lt.zeros", parameters = "(shape, dtype)", tags = {{"text", "A sentence."},
        {"tparam", "int shape"}}})
    end)
    assert.has_error(function()
      check_entry({name = "lt.zeros", parameters = "(shape)", tags = {{"text", "A sentence."},
        {"tparam", "Shape shape"}}})
    end)
  end)
end)

describe("make docs", function()
  local folder, remove = require("spec.support.scratch").folder()
  local pages = {}
  setup(function()
    if not files.has_program "cmark-gfm" then return end
    local command = "lua5.4 tools/reference/main.lua %s && cd %s && ls *.html"
    command = ("LUA_PATH=%s LUA_CPATH=%s "):format(files.quote(package.path), files.quote(package.cpath))
      .. command:format(files.quote(folder), files.quote(folder))
    for name in assert(files.capture(command)):gmatch "[^\n]+" do
      pages[name] = assert(files.read_all(files.join(folder, name)))
    end
  end)
  teardown(function() remove() end)

  -- Without the program there is nothing to look at.
  local function page_it(name, f)
    it(name, function()
      if not files.has_program "cmark-gfm" then pending "cmark-gfm is not installed" end
      f()
    end)
  end

  -- Whether a link within the reference leads to a page, and on it to a place.
  local function leads(link)
    local name, place = link:match "^([^#]+)#?(.*)$"
    local page = pages[name]
    return page and (place == "" or page:find(('id="%s"'):format(place), 1, true))
  end

  page_it("makes a page for each module, class and chapter", function()
    for _, module in ipairs(model.modules) do assert(pages[module.name .. ".html"], module.name) end
    for _, class in ipairs(model.classes) do assert(pages["class." .. class.name .. ".html"], class.name) end
    assert.matches("the kernel is not flipped", pages["latent.html"])
    assert.matches("<li><code>beta = 1</code> a number of at least 0; the weight of the KL divergence</li>",
      pages["latent.vae.html"])
    assert.matches('<a href="memory.html">', pages["from-pytorch.html"])
    assert.matches("<table>", pages["from-pytorch.html"])
  end)

  page_it("makes links that lead somewhere, in pages and in the index of the search", function()
    local count = 0
    for name, page in pairs(pages) do
      for link in page:gmatch 'href="([^"]+)"' do
        local outside = link:find "^https?:" or link:find "^%.%./%.%./"
        local source = link:match "^%.%./%.%./([^#]*)"
        assert(not source or files.exists(source), name .. ": " .. link)
        local there = outside or link == "style.css" or leads(link:find "^#" and name .. link or link)
        assert(there, ("%s: %s leads nowhere"):format(name, link))
        count = count + 1
      end
    end
    assert(count > 1000)
    local text = assert(files.read_all(files.join(folder, "index.js"))):match "^const INDEX = (.*);\n$"
    local index = assert(require("latent.json").decode(text))
    local names = {}
    for _, entry in ipairs(index) do
      names[entry[1]] = true
      assert(leads(entry[2]), ("%s: %s leads nowhere"):format(entry[1], entry[2]))
    end
    assert(names["lt.conv2d"] and names["vae.elbo"] and names["Tensor:relu_"] and names["Beta tuning"])
  end)

  page_it("makes pages that find what is typed, in a browser's script", function()
    if not files.has_program "node" then pending "node is not installed" end
    local program = [[
      const fs = require("fs"), folder = process.argv[1];
      const of = () => ({on: {}, addEventListener(kind, f) { (this.on[kind] ??= []).push(f); },
        fire(kind, event) { for (const f of this.on[kind]) f({preventDefault() {}, ...event}); },
        focus() { document.activeElement = this; }});
      const field = {value: "", ...of()};
      const found = {items: [], ...of(), replaceChildren() { this.items = []; },
        append(item) { this.items.push(item); },
        querySelectorAll() { return this.items.map((item) => item.parts[0]).filter((part) => part.href); },
        querySelector() { return this.querySelectorAll()[0]; }};
      globalThis.document = {
        getElementById: (id) => (id === "search" ? field : found), addEventListener() {}, activeElement: field,
        createElement: () => ({parts: [], append(...parts) { this.parts.push(...parts); }, ...of()}),
      };
      const script = ["index.js", "search.js"].map((name) => fs.readFileSync(folder + "/" + name, "utf8")).join("\n");
      new Function(script)();
      for (const text of ["conv2d", "free bits", "nothing-of-this-name", " "]) {
        field.value = text;
        field.fire("input");
        const part = (found.items[0] ?? {parts: ["-"]}).parts[0];
        console.log(text + ": " + (part.href ? part.textContent + " " + part.href : part));
      }
      field.value = "conv2d";
      field.fire("input");
      const walked = [];
      for (const key of ["Down", "Down", "Up", "Up", "Up"]) {
        (document.activeElement === field ? field : found).fire("keydown", {key: "Arrow" + key});
        walked.push(document.activeElement === field ? "field" : document.activeElement.textContent);
      }
      console.log(walked.join(" "));]]
    local said = files.capture(("node -e %s %s"):format(files.quote(program), files.quote(folder)))
    assert.equal("conv2d: lt.conv2d latent.html#lt.conv2d\nfree bits: vae.elbo latent.vae.html#vae.elbo\n"
      .. "nothing-of-this-name: nothing found\n : -\nlt.conv2d nn.Conv2d lt.conv2d field field", said)
  end)
end)
