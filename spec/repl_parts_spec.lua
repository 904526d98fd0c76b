-- The parts of the prompt by themselves: inputs, completion, printing, history, help.
local lt = require "latent"
local nn = require "latent.nn"
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"

describe("repl.lexer", function()
  local lexer = require "latent.repl.lexer"

  it("cuts any source into tokens", function()
    local texts, kinds = {}, {}
    for i, token in ipairs(lexer.tokens 'local x <const> = 0x1F + 1e-3 .. "a\\"b" -- c\nreturn [==[ ]] ]==]') do
      texts[i], kinds[i] = token.text, token.kind:sub(1, 2)
    end
    assert.same({"local", "x", "<", "const", ">", "=", "0x1F", "+", "1e-3", "..", '"a\\"b"', "-- c", "return",
      "[==[ ]] ]==]"}, texts)
    assert.same({"ke", "na", "op", "na", "op", "op", "nu", "op", "nu", "op", "st", "co", "ke", "st"}, kinds)
  end)

  it("marks what is not finished", function()
    for source, open in pairs{["'a"] = true, ["[[a"] = true, ["--[[a"] = true, ["'a'"] = false, ["--a\n"] = false} do
      assert.equal(open, lexer.tokens(source)[1].open == true, source)
    end
  end)
end)

describe("repl.chunk", function()
  local chunk = require "latent.repl.chunk"
  local globals, scope

  before_each(function()
    globals = {lt = lt, print = print, error = error, pairs = pairs, setmetatable = setmetatable, shadowed = 1}
    scope = require("latent.repl.scope").new(globals)
  end)

  local function run(source)
    local f, message = chunk.compile(source, "prompt", scope)
    if not f then error(message, 0) end
    return f()
  end

  local function refuses(source, pattern)
    local ok, message = pcall(run, source)
    assert.is_false(ok, source)
    assert.matches(pattern, message)
  end

  it("gives the values of expressions", function()
    assert.same({1, nil, 3, n = 3}, table.pack(run "1, nil, 3"))
    assert.equal(4, run "= 2 + 2")
    assert.equal(5, run "5;")
    assert.equal(6, run "return 6")
    assert.equal(0, select("#", run ""))
    assert.equal(0, select("#", run "-- nothing"))
    assert.equal(0, select("#", run "x = 1"))
  end)

  it("gives the value of the last statement where it is an expression", function()
    for source, expected in pairs{["local a = 5; a"] = 5, ["x = 2 x + 1"] = 3, ["x = 1; -x"] = -1,
      ["t = {n = 1}; (t).n"] = 1, ["local f = function() return 7 end f()"] = 7, ["if true then x = 6 end x"] = 6,
      ["x = 'a'; #x"] = 1, ["x = 1; not x, 2"] = false, ["for _ = 1, 2 do x = 8 end x"] = 8, ["x = 3; x - 1"] = 2,
      ["x = 4; 'x'"] = "x", ["return 9"] = 9} do
      assert.equal(expected, run(source), source)
    end
    -- These are one statement, whatever their ends would be alone.
    for _, source in ipairs{"y = error == (2)", "f = pairs {3}", "f = pairs \n {3}", "x = 1; y, z = 3, 4", "x = 2 - 1",
      "function g() return 1 end", "local h = 1"} do
      assert.equal(0, select("#", run(source)), source)
    end
    local f, _, silent = chunk.compile("x = 1; x;", "prompt", scope)
    assert.equal(1, f())
    assert.is_true(silent)
    assert.same({false, 2}, {run "x = 1; not x, 2"})
    refuses("local u = 1\n-u", "arithmetic") -- Lua's own reading: local u = 1 - u
  end)

  it("loads a module when it is first mentioned", function()
    scope = require("latent.repl.scope").new(globals, {metrics = "latent.metrics", json = "latent.json"})
    run "local t = {metrics = 1} return t.json"
    assert.is_nil(globals.json)
    assert.equal(require "latent.metrics", run "metrics")
    assert.equal(require "latent.json", scope.value "json")
    run "local metrics = 5"
    assert.equal(5, run "metrics")
  end)

  it("keeps locals that stand outside of blocks, and leaves the globals alone", function()
    run "local a, b <const> = 1, 2"
    run "local function f(n) if n == 0 then local hidden = 1 return a end return f(n - 1) end"
    run "if true then local inner = 1 end for _ = 1, 1 do local other end"
    assert.equal(1, run "f(3)")
    assert.equal(3, run "a + b")
    assert.same({nil, nil, n = 2}, table.pack(run "inner, other"))
    assert.same({"error", "lt", "pairs", "print", "setmetatable", "shadowed"}, (function()
      local names = {}
      for name in pairs(globals) do names[#names + 1] = name end
      table.sort(names)
      return names
    end)())
  end)

  it("reads the old value in `local x = x`, and writes to a declared name stay in the session", function()
    run "local shadowed = shadowed + 1"
    run "shadowed = shadowed + 1"
    assert.equal(3, run "shadowed")
    assert.equal(1, globals.shadowed)
    run "local empty"
    run "empty = 4"
    assert.is_nil(globals.empty)
    run "new = 5"
    assert.equal(5, globals.new)
  end)

  it("keeps lines and columns", function()
    local source, names = chunk.share_locals "local x <const>, y = 1, 2 -- local\nlocal z\nlocal c <close> = nil"
    assert.equal("      x        , y = 1, 2 -- local\n      z = nil\n      c         = nil", source)
    assert.same({{name = "x", attribute = "const"}, {name = "y"}, {name = "z"}, {name = "c", attribute = "close"}},
      names)
    assert.same({"local = 3"}, {(chunk.share_locals "local = 3")})
  end)

  it("keeps a <const> variable as it is until its name is declared again", function()
    local refused = "^prompt:1: attempt to assign to const variable 'q'$"
    run "function earlier() q = 9 end"
    run "local q <const>, r = 3, 4"
    for _, source in ipairs{"q = 4", "r, q = 1, 2", "f = function() q = 4 end", "print(function() q = 4 end)",
      "local q <const> = 5 q = 6", "local s = 1 function q() end"} do
      refuses(source, refused)
    end
    refuses("earlier()", refused)
    assert.same({3, 4}, {run "q, r"})
    run "local q <const> = q + 1"
    assert.equal(4, run "q")
    run "local q = q + 1"
    run "q = q + 1"
    assert.equal(6, run "q")
    run "local q <const> = nil"
    globals.q = 1
    assert.is_nil(run "q")
    refuses("local x <constant> = 1", "^prompt:1: unknown attribute 'constant'$")
    assert.is_false(pcall(run, "error() local never <const> = 1"))
    run "never = 2"
    assert.equal(2, globals.never)
  end)

  it("keeps a <close> variable open, for the session's end", function()
    run "local function closable(name) return setmetatable({name = name}, {__close = print}) end"
    run "local a <close>, b = closable 'a', 1"
    run "local c <close> = closable 'c'"
    run "local none <close> = nil"
    assert.equal("a", run "a.name")
    refuses("a = 1", "^prompt:1: attempt to assign to const variable 'a'$")
    refuses("\nlocal d <close> = 5", "^prompt:2: variable 'd' got a non%-closable value$")
    run "local a <close> = closable(a.name .. '2')"
    local names = {}
    for i, value in ipairs(scope.closing()) do names[i] = value.name end
    assert.same({"a", "c", "a2"}, names)
    refuses("local e <close> = closable 'e' local e = 1",
      "^prompt:1: 'e' is declared twice in one input, once <close>$")
    assert.is_false(pcall(run, "local e <close> = closable 'e' error()"))
    assert.equal("e", run "e.name")
    assert.equal(4, #scope.closing())
  end)

  it("declares a local where the globals raise for unknown names", function()
    setmetatable(globals, {__index = function() error "strict" end, __newindex = function() error "strict" end})
    run "local fresh = 1"
    assert.equal(1, run "fresh")
  end)

  it("knows what more lines would complete", function()
    for source, more in pairs{["for i = 1, 2 do"] = true, ["x = {1,"] = true, ["f("] = true, ["x = [[a"] = true,
      ["--[[ x"] = true, ["x = = 1"] = false, ["f)"] = false, ["'a"] = false, ["1) + (2"] = false} do
      local f, message, incomplete = chunk.compile(source, "prompt", scope)
      assert.is_nil(f)
      assert.matches("^prompt:1: ", message)
      assert.equal(more, incomplete, source)
    end
  end)

  it("keeps the line of an expression in messages", function()
    local ok, message = pcall(run, "\nerror('here')")
    assert.is_false(ok)
    assert.equal("prompt:2: here", message)
    assert.matches("^prompt:1: ", select(2, pcall(run, "lt.ones(3)[5]")))
    assert.matches("^prompt:1: ", select(2, pcall(run, "lt.ones(3)[5] -- a comment")))
  end)
end)

describe("repl.complete", function()
  local globals = {lt = lt, nn = nn, x = lt.ones(2), model = nn.Sequential{nn.Linear(2, 3)}, text = "a",
    list = {{alpha = 1, run = print}, ["key"] = {beta = 2}}, loud = setmetatable({}, {__index = error})}
  local scope = require("latent.repl.scope").new(globals)
  rawset(scope.environment, "own", 1)
  local complete = require("latent.repl.complete").new(scope)

  local function offered(text, expected, rest)
    local words, first = complete(text)
    assert.same(expected, words, text)
    if rest then assert.equal(rest, text:sub(first), text) end
  end

  it("offers globals, names of the prompt and Lua's words", function()
    offered("y = mod", {"model"}, "mod")
    offered("ow", {"own"})
    offered("whi", {"while"})
    offered("", {})
    offered("1.5", {})
    offered("-- mod", {})
  end)

  it("offers fields and methods", function()
    offered("lt.max_pool2", {"max_pool2d"}, "max_pool2")
    offered("(x:resh", {"reshape"}, "resh")
    offered("x.requires_grad", {"requires_grad", "requires_grad_"})
    offered("x:requires_grad", {"requires_grad_"})
    offered("model:load", {"load_state"})
    offered("model:state_d", {})
    offered("model[1].wei", {"weight"})
    offered("model[1]:wei", {})
    offered("list[1].", {"alpha", "run"})
    offered("list[1]:", {"run"})
    offered("list['key'].b", {"beta"})
    offered("text:up", {"upper"})
    offered("('a'):up", {})
    offered("nope.a.b", {})
    offered("loud.a.b", {})
  end)

  it("offers what a call of the library most likely gives", function()
    offered("lt.randn(3, {1}):resh", {"reshape"})
    offered("nn.Sequential{nn.ReLU()}:param", {"parameters"})
    offered("print(3):resh", {})
  end)

  it("offers the names of options where a key may stand", function()
    offered("lt.conv2d(x, x, nil, {", {"dilation = ", "groups = ", "padding = ", "stride = "})
    offered("lt.conv2d(x, x, nil, {stride = {1, 2}, pa", {"padding = "}, "pa")
    offered("x:conv2d(x, nil, {pa", {"padding = "})
    offered("nn.Linear(1, 2, {b", {"bias = "})
    offered("nn.Linear(1, 2, {bias = mod", {"model"})
    offered("print({mod", {"model"})
  end)

  it("offers the values of an option, modules to require, and what help knows", function()
    globals.data = require "latent.data"
    offered('data.mnist{split = "t', {"test", "train"}, "t")
    offered("data.mnist{mini = true, split = 'te", {"test"}, "te")
    offered("data.mnist{split = ", {'"test"', '"train"'}, "")
    offered("data.mnist{mini = tru", {"true"}, "tru")
    offered("nn.Linear(1, 2, {bias = ", {"false", "true"})
    offered('lt.mse_loss(x, x, {reduction = "', {"mean", "none", "sum"})
    offered('require "latent.lin', {"latent.linalg"}, "latent.lin")
    offered('require("latent.np', {"latent.npy", "latent.npz"})
    offered('help "nn.Linea', {"nn.Linear"}, "nn.Linea")
    offered("help('lt.conv_transpose2", {"lt.conv_transpose2d"})
  end)

  it("offers files within strings", function()
    local folder, remove = scratch.folder()
    finally(remove)
    scratch.write(folder, "one file.txt", "")
    scratch.write(folder, ".hidden", "")
    assert(files.mkdir_p(folder .. "/other"))
    offered(('io.open("%s/o'):format(folder), {folder .. "/one file.txt", folder .. "/other/"}, folder .. "/o")
    offered(("dofile '%s/one f"):format(folder), {folder .. "/one file.txt"})
    offered(("dofile '%s/.h"):format(folder), {folder .. "/.hidden"})
    offered("'/no/such/folder/", {})
    offered("[[/tm", {})
  end)
end)

describe("repl.print", function()
  local text = require("latent.repl.print").text

  it("quotes strings and cuts long ones", function()
    assert.equal([["a\"b\\\n\0é"]], text 'a"b\\\n\0é')
    assert.equal([["\xFF"]], text "\255")
    assert.matches('^"x+"%.%.%. %(5000 bytes%)$', text(("x"):rep(5000)))
    assert.equal("[[\none\n\ttwo]]", text "one\n\ttwo")
    assert.equal('{"one\\ntwo"}', text{"one\ntwo"})
    assert.equal('"one\\n]]"', text "one\n]]")
    assert.equal("1000", tostring(#text(("x"):rep(5000)):match "x+"))
  end)

  it("nests tables, the list first, with limits and without running into cycles", function()
    assert.equal('{1, 2, [10] = "z", a = true, ["b c"] = {}}', text{1, 2, [10] = "z", a = true, ["b c"] = {}})
    local cycle = {}
    cycle.self = cycle
    assert.equal("{self = <cycle>}", text(cycle))
    local shared = {}
    assert.equal("{{1}, {1}}", text{{1}, {1}})
    assert.equal("{_own = 1}", text{_own = 1})
    assert.equal("{open = 2}", text(setmetatable({_own = 1, open = 2}, {})))
    assert.equal("{{}, {}}", text{shared, shared})
    assert.equal("{{{{{...}}}}}", text{{{{{1}}}}})
    local long = {}
    for i = 1, 1000 do long[i] = {i, ("name"):rep(10)} end
    assert.matches("\n  %.%.%. 976 more\n}$", text(long))
    local numbers = {}
    for i = 1, 2000 do numbers[i] = i end
    local shown = text(numbers)
    assert.matches("^{\n  1, 2, 3, .* 99,\n  100, %.%.%. 1900 more\n}$", shown)
        for line in shown:gmatch "[^\n]+" do assert.is_true(#line <= 100) end
    for depth = 1, 3 do long = {long, long, long, long, depth} end
    assert.is_true(select(2, text(long):gsub("\n", "")) <= 60)
  end)

  it("shows tensors with statistics, and short within tables", function()
    assert.equal("tensor [3] float32  min -1  mean 0.5  max 2  NaN 1\n[ -1,   2, nan]", text(lt.tensor{-1, 2, 0 / 0}))
    assert.equal("tensor [2] float32  NaN 2\n[nan, nan]", text(lt.tensor{0 / 0, 0 / 0}))
    assert.equal("tensor [2] u8  min 3  mean 4  max 5  NaN 0\n[3, 5]", text(lt.tensor{3, 5}:u8()))
    assert.equal("tensor [0, 2] float32, empty", text(lt.zeros(0, 2)))
    assert.equal("tensor [] float32\n3", text(lt.tensor(3)))
    assert.equal("{tensor 3, x = tensor [2, 2] float32}", text{lt.tensor(3), x = lt.ones(2, 2)})
    local closed = lt.ones(2)
    closed:close()
    assert.equal("closed tensor", text(closed))
    assert.equal("{closed tensor}", text{closed})
  end)

  it("shows layers as a tree, and functions by their names", function()
    local model = nn.Sequential{nn.Linear(2, 3), nn.Sequential{nn.ReLU()}}
    assert.equal("Sequential(\n  1: Linear(2 -> 3)\n  2: Sequential(\n    1: ReLU\n  )\n)\n9 parameters", text(model))
    assert.equal("{Sequential (9 parameters), l = Linear(2 -> 3)}", text{model, l = model[1]})
    assert.equal("function lt.conv2d", text(lt.conv2d, require("latent.help").name_of))
    assert.matches("^function %(spec/repl_parts_spec.lua:%d+%)$", text(function() end))
    assert.matches("^function: ", text(print))
  end)
end)

describe("repl.print of values that defend themselves", function()
  local text = require("latent.repl.print").text
  local function with(meta) return setmetatable({}, meta) end

  it("gives a text whatever they raise or return", function()
    assert.equal("a table whose __tostring raises: no", text(with{__tostring = function() error("no", 0) end}))
    assert.equal("a table whose __tostring raises: a table", text(with{__tostring = function() error{} end}))
    assert.equal("a table whose __tostring raises: '__tostring' must return a string",
      text(with{__tostring = function() return {} end}))
    assert.matches("^{a table whose __tostring raises: ", text{with{__tostring = 5}})
    assert.equal("{}", text(with{__name = 5, __index = error, __pairs = error, __len = error, __eq = error}))
    assert.equal("hidden", text(with{__metatable = 5, __tostring = function() return "hidden" end}))
    assert.equal("{}", text(with{__metatable = {__tostring = print}}))
    local layer = nn.Linear(1, 2)
    layer.text = error
    layer.count = error
    assert.matches("^a table whose __tostring raises: ", text(layer))
    assert.matches("^{a table whose __tostring raises: ", text{layer})
  end)

  it("sorts keys of any kind, and ends", function()
    local t = {[0.5] = 1, [true] = 2, [print] = 3}
    for i = 1, 20 do t[with{__tostring = function() return tostring(math.random()) end}] = i end
    assert.matches("^{\n  %[0%.5%] = 1,\n  %[true%] = 2,\n", text(t))
    local large = {}
    for i = 1, 20000 do large["key" .. i] = i end
    assert.matches("%.%.%. 19976 more", text(large))
    assert.is_true(#text(with{__tostring = function() return ("x"):rep(1e6) end}) < 21000)
  end)
end)

describe("repl.history", function()
  local history = require "latent.repl.history"

  it("appends inputs and reads them back", function()
    local folder, remove = scratch.folder()
    finally(remove)
    local path = folder .. "/deep/history"
    assert.same({}, history.load(path))
    assert.is_true(history.append(path, "x = 1"))
    assert.is_true(history.append(path, "for i = 1, 2 do\n  print('\\n')\nend"))
    assert.same({"x = 1", "for i = 1, 2 do\n  print('\\n')\nend"}, history.load(path))
  end)

  it("cuts a long file, and does without one", function()
    local folder, remove = scratch.folder()
    finally(remove)
    local path = scratch.write(folder, "history", ("line\n"):rep(10000) .. "last\n")
    local lines = history.load(path)
    assert.equal(5000, #lines)
    assert.equal("last", lines[5000])
    assert.equal(5000, #history.load(path))
    assert.same({}, history.load(nil))
    assert.is_true(history.append(nil, "x"))
    local ok, message = history.append("/proc/nowhere/history", "x")
    assert.is_nil(ok)
    assert.matches("/proc/nowhere", message)
  end)
end)

describe("help", function()
  local help = require "latent.help"

  it("knows ops, layers, methods and modules by name and by value", function()
    for _, what in ipairs{"conv2d", "lt.conv2d", "x:conv2d", lt.conv2d, lt.ones(1).conv2d} do
      assert.matches("^lt%.conv2d%(x, weight, bias%?, {stride = 1, padding = 0, dilation = 1, groups = 1}%)\n",
        help.text(what))
    end
    for _, what in ipairs{"nn.Linear", nn.Linear, nn.Linear(1, 2)} do
      assert.matches("^nn%.Linear%(inputs, outputs, opts%)\n.*bias = true", help.text(what))
    end
    assert.matches("^nn%.Module:load_state%(state, opts%)", help.text "load_state")
    assert.matches("^module latent%.nn\n.*Conv2d", help.text(nn))
    assert.matches("one_hot", help.text(lt))
    assert.matches("See also", help.text "load_state")
  end)

  it("suggests the nearest name", function()
    local text, message = help.text "conv2"
    assert.is_nil(text)
    assert.equal('no help for "conv2" (did you mean "lt.conv2d"?)', message)
    assert.same({nil, 'no help for "qqqqqqqq"'}, {help.text "qqqqqqqq"})
    assert.same({nil, "no help for 5"}, {help.text(5)})
  end)

  it("has a text for every op and every layer", function()
    for _, op in ipairs(lt.ops()) do assert.is_string(help.text("lt." .. op.name), op.name) end
    for name, class in pairs(nn) do
      if type(class) == "table" and rawget(class, "kind") then
        assert.matches("^nn%." .. name .. "%(", help.text(class) or "nothing for " .. name)
      end
    end
  end)

  it("has a text for every function and method of the core", function()
    for name, value in pairs(lt) do
      if type(value) == "function" and name ~= "ops" then
        assert.is_string(help.text(value), "lt." .. name)
      end
    end
    for name in pairs(require("latent.core").methods) do
      local plain = name:gsub("_$", "")
      if not name:find "^__" and not rawget(lt, plain) then assert.is_string(help.text("Tensor:" .. name), name) end
    end
  end)

  it("searches names and texts", function()
    local names = {}
    for i, entry in ipairs(help.apropos "POOL") do
      names[i] = entry.name
      assert.is_string(entry.summary)
    end
    assert.same({"lt.adaptive_avg_pool1d", "lt.adaptive_avg_pool2d", "lt.adaptive_avg_pool3d",
      "lt.adaptive_max_pool1d", "lt.adaptive_max_pool2d", "lt.adaptive_max_pool3d", "lt.avg_pool1d", "lt.avg_pool2d"},
      {table.unpack(names, 1, 8)})
    assert.same({}, help.apropos "qqqqqqqq")
    assert.error_matches(function() help.apropos(1) end, "apropos: expected a string, got 1$")
  end)

  it("finds what people ask for, the best first", function()
    for asked, expected in pairs{concat = "lt.cat", csv = "train.read_log", denoise = "data.noisy",
      initial = "init", confusion = "lt.one_hot", ["gradient clipping"] = "lt.clip_grad_norm",
      ["learning rate"] = "schedule", ["early stopping"] = "train.new", AlphaDropout = "nn.Dropout",
      Dropout2d = "nn.Dropout2d", tile = "lt.tile", lr_scheduler = "schedule", gpu = "lt.set_threads",
      nan = "lt.check_finite",
      posterior = "map.sample", hist = "plot.histogram", ["save weights"] = "safetensors.save",
      crossentropy = "lt.cross_entropy", MSELoss = "lt.mse_loss", reproducible = "lt.manual_seed",
      state_dict = "nn.Module:state", ["images grid"] = "plot.image_grid", reshaping = "lt.reshape",
      checkpoint = "train.Run:save"} do
      local place
      for i, entry in ipairs(help.apropos(asked)) do
        if entry.name == expected then place = i end
      end
      assert(place and place <= 6, ("%s: %s at %s"):format(asked, expected, place))
    end
  end)

  it("lists and finds only what is public", function()
    for _, what in ipairs{"plot.chart.labels_of", "labels_of", "latent.plot.chart", "files.read_all", "guard",
      "Script"} do
      assert.is_nil((help.text(what)), what)
    end
    local model = require("tools.api").read()
    local public = {}
    for _, module in ipairs(model.modules) do
      public[module.prefix] = true
      for _, entry in ipairs(module.functions) do public[entry.name] = true end
      for _, entry in ipairs(module.values) do public[entry.name] = true end
    end
    for _, class in ipairs(model.classes) do
      if class.entry then public[class.entry.name] = true end
      for _, entry in ipairs(class.methods) do public[entry.name] = true end
    end
    for _, entry in ipairs(help.apropos "a e i o u") do assert(public[entry.name], entry.name) end
    assert.same({}, help.apropos "labels_of")
  end)

  it("lists the methods of every class", function()
    for _, class in ipairs(require("tools.api").read().classes) do
      local text = help.text(class.entry and class.entry.name or class.name)
      for _, method in ipairs(class.methods) do
        assert(text:find("[^%w_]" .. method.field .. "[^%w_]") or text:find("[^%w_]" .. method.field .. "$"),
          class.name .. ": " .. method.field)
      end
    end
    assert.matches("\n  Methods:\n  allclose backward ", help.text "Tensor")
    assert.matches("\n  Methods:\n  load_state parameters rates settings state step zero_grad$", help.text "Optimizer")
    assert.is_nil(help.text "Tensor":find "[^%w]cat[^%w]")
  end)

  it("knows option names", function()
    assert.same({"stride", "padding", "dilation", "groups"}, help.options(lt.conv2d))
    assert.same({"bias", "dtype"}, help.options "nn.Linear")
    assert.same({"split", "dir", "size", "mini", "verify"}, help.options(require("latent.data").mnist))
    assert.is_nil(help.options(lt.relu))
    assert.is_nil(help.options(print))
  end)
end)
