-- The Lua side of the notebook's kernel, without Python: `latent kernel serve` between two files, and its parts.
local lt = require "latent"
local files = require "latent.base.files"
local image = require "latent.image"
local input = require "latent.repl.input"
local json = require "latent.json"
local kernel = require "latent.repl.kernel"
local mime = require "latent.repl.mime"
local moment, scratch = require "spec.support.moment", require "spec.support.scratch"

local folder, remove
before_each(function() folder, remove = scratch.folder() end)
after_each(function() remove() end)

local function framed(text) return (">s4"):pack(text) end

local function run(requests, redirected)
  local path, quote = scratch.write(folder, "requests", requests), files.quote
  assert(os.execute(("lua5.4 bin/latent kernel serve 3 4 3<%s 4>%s >%s 2>&1 %s"):format(quote(path),
    quote(folder .. "/answers"), quote(folder .. "/output"), redirected or "</dev/null")))
  local bytes, list, at = assert(files.read_all(folder .. "/answers")), {}, 1
  while at <= #bytes do
    local text
    text, at = (">s4"):unpack(bytes, at)
    list[#list + 1] = assert(json.decode(text))
  end
  return list, (files.read_all(folder .. "/output"))
end

-- Serves messages that are all there at once; what the program asks meanwhile is answered by the next of them.
local function serve(messages)
  local parts = {}
  for i, message in ipairs(messages) do parts[i] = framed(json.encode(message)) end
  return run(table.concat(parts))
end

local function execute(code, count) return {type = "execute", code = code, count = count or 1} end

describe("latent kernel serve", function()
  it("says who it is, as Jupyter's side expects it", function()
    local answers = serve{}
    assert.equal(1, #answers)
    assert.same({type = "hello", protocol = kernel.PROTOCOL, version = lt._VERSION}, answers[1])
    local python = assert(files.read_all "tools/jupyter/latent_kernel/process.py")
    assert.equal(tostring(kernel.PROTOCOL), python:match "\nPROTOCOL = (%d+)")
  end)

  it("runs cells", function()
    local answers, output = serve{execute "local x = 2 x + 1", execute "print(x) x;", execute("error 'bad'", 7),
      execute "exit"}
    assert.same({type = "done", status = "ok", result = {["text/plain"] = "3"}}, answers[2])
    assert.same({type = "done", status = "ok"}, answers[3])
    assert.equal("2\n", output)
    assert.equal("In[7]:1: bad", answers[4].message)
    assert.same({"In[7]:1: bad", "     1 | error 'bad'"}, setmetatable(answers[4].traceback, nil))
    assert.same({type = "done", status = "ok", leaving = true}, answers[5])
    assert.equal(5, #answers)
  end)

  it("asks for what a cell shows and reads", function()
    local answers = serve{execute "display 'a' display(2, {id = 'x'}) display(3, {id = 'x'}) io.read()", {}, {}, {},
      {text = "typed"}, execute "io.read()", {message = "nobody is there"}}
    local function asked(i) return answers[i].type, answers[i].id, answers[i].update end
    assert.same({"display"}, {asked(2)})
    assert.equal('"a"', answers[2].bundle["text/plain"])
    assert.same({"display", "x", false}, {asked(3)})
    assert.same({"display", "x", true}, {asked(4)})
    assert.same({"input"}, {asked(5)})
    assert.equal('"typed"', answers[6].result["text/plain"])
    assert.equal("In[1]:1: io.read: nobody is there", answers[8].message)
  end)

  it("completes, inspects, and says whether a cell is whole", function()
    local answers = serve{{type = "complete", code = "nn.Lin"},
      {type = "inspect", code = "nn.Linear(2, 3)", cursor = 12},
      {type = "inspect", code = "1 + ", cursor = 4}, {type = "is_complete", code = "if x then"},
      {type = "is_complete", code = "%time"}, {type = "is_complete", code = "x = = 1"}}
    assert.same({"Linear"}, setmetatable(answers[2].words, nil))
    assert.equal(4, answers[2].first)
    assert.matches("^nn%.Linear%(inputs", answers[3].text)
    assert.matches("^```lua\nnn%.Linear%(inputs", answers[3].markdown)
    assert.same({type = "done"}, answers[4])
    assert.equal("incomplete", answers[5].status)
    assert.equal("complete", answers[6].status)
    assert.equal("invalid", answers[7].status)
  end)

  it("refuses what it does not understand, and ends where a message is cut off", function()
    local answers = run(framed "{" .. framed '{"type":"dance"}' .. framed(json.encode(execute "1")) .. "\0\0\0\9half")
    assert.matches("^JSON, line 1", answers[2].message)
    assert.equal("unknown request", answers[3].message)
    assert.equal("1", answers[4].result["text/plain"])
    assert.equal(4, #answers)
    assert.matches("expected the numbers of two open files", files.capture "lua5.4 bin/latent kernel serve 2>&1; true")
    assert.matches("unknown word dance", files.capture "lua5.4 bin/latent kernel dance 2>&1; true")
    assert.matches("channel: file 77: ", files.capture "lua5.4 bin/latent kernel serve 77 78 2>&1; true")
  end)

  it("gives what it starts neither of its pipes", function()
    local _, output = serve{execute "os.execute 'ls -l /proc/self/fd'"}
    assert.matches(" 0 %->", output)
    assert.not_matches("requests", output)
    assert.not_matches("answers", output)
  end)
end)

describe("messages", function()
  it("are not broken by a signal, which is told where none has begun", function()
    local script = scratch.write(folder, "waits.lua", [[
      local core = require "latent.core"
      core.trap "INT"
      core.send(4, "ready")
      local first = core.receive(3)
      local pending = core.pending()
      core.clear_signal()
      core.send(4, tostring(first) .. " " .. tostring(pending))
      core.send(4, tostring(core.exchange(4, 3, "question")))
      core.send(4, tostring(core.receive(3)))
    ]])
    local pipe = folder .. "/pipe"
    assert(files.capture("mkfifo " .. files.quote(pipe)))
    -- Signals meet it where it waits for a message, or for more of one.
    local lines = ([[
      lua5.4 SCRIPT 3<PIPE 4>ANSWERS & pid=$!
      exec 5>PIPE; until [ -s ANSWERS ]; do sleep 0.01; done
      ASLEEP kill -INT $pid; until [ $(wc -c <ANSWERS) -gt SAID ]; do sleep 0.01; done
      ASLEEP printf '\000\000' >&5; ASLEEP kill -INT $pid
      ASLEEP printf '\000\006an' >&5; ASLEEP kill -INT $pid
      ASLEEP printf 'swer\000' >&5; exec 5>&-; wait $pid]]):gsub("%u%u%u+", {SCRIPT = files.quote(script),
      PIPE = files.quote(pipe), ANSWERS = files.quote(folder .. "/answers"), ASLEEP = moment.asleep "$pid",
      SAID = #framed "ready" + #framed "false INT"})
    assert(os.execute(lines))
    assert.equal(framed "ready" .. framed "false INT" .. framed "question" .. framed "answer" .. framed "nil",
      (files.read_all(folder .. "/answers")))
  end)
end)

describe("input that is asked for", function()
  local methods, kept = getmetatable(io.stdin).__index, {}
  before_each(function() kept.read, kept.lines = methods.read, methods.lines end)
  after_each(function() methods.read, methods.lines = kept.read, kept.lines end)

  local function installed(lines)
    local theirs = {stdin = io.stdin, lines = io.lines, input = function() return io.stdin end}
    input.install(theirs, function() return table.remove(lines, 1) end)
    return theirs
  end

  it("reads as a file does", function()
    local theirs = installed{"one", "", " 12 0x1F.8 -3e2x", "rest", "last"}
    assert.equal("one", theirs.read())
    assert.equal("\n", theirs.read "L")
    assert.same({12, 31.5, -300.0}, {theirs.read("n", "*n", "n")})
    assert.equal("x\nr", theirs.read(3))
    assert.equal("est", io.stdin:read "l")
    assert.equal("last\n", theirs.read "a")
    assert.is_nil(theirs.read())
    assert.is_nil(theirs.read(1))
    assert.equal("", theirs.read "a")
    assert.has_error(function() theirs.read "q" end, "bad argument #1 to 'read' (invalid format)")
  end)

  it("iterates, ends all at an empty line, and leaves other files alone", function()
    local theirs = installed{"a", "b", "", "word", "c", "d"}
    assert.equal("a\nb\n", theirs.read "a")
    assert.same({n = 1}, table.pack(theirs.read("n", "l")))
    local seen = {}
    for line in theirs.lines() do seen[#seen + 1] = line end
    assert.same({"word", "c", "d"}, seen)
    local path = scratch.write(folder, "file", "x\ny\n")
    local file = assert(io.open(path))
    assert.equal("x", file:read())
    assert.equal("y", file:lines()())
    file:close()
    assert.equal("x", theirs.lines(path)())
  end)
end)

describe("what a page shows", function()
  it("of tensors is a table, and text", function()
    local bundle = mime.bundle(lt.tensor{{1, 2.5}, {-3, 4}})
    assert.matches("^tensor %[2, 2%]", bundle["text/plain"])
    assert.matches("<tr><th></th><th>1</th><th>2</th></tr>\n<tr><th>1</th><td>1</td><td>2.5</td></tr>\n"
      .. "<tr><th>2</th><td>%-3</td><td>4</td></tr>", bundle["text/html"])
    assert.matches("<td>1</td><td>2</td></tr>\n</table>", mime.bundle(lt.tensor({1, 2}, {dtype = "i64"}))["text/html"])
    assert.is_nil(mime.bundle(lt.ones(2, 2, 2))["text/html"])
    assert.is_nil(mime.bundle(lt.zeros(0))["text/html"])
    local param = lt.param(lt.ones(2))
    assert.matches("wants gradient", mime.bundle(param)["text/html"])
    local closed = lt.ones(2)
    closed:close()
    assert.same({["text/plain"] = "closed tensor"}, mime.bundle(closed))
  end)

  local function picture(x)
    local bundle, caption = mime.bundle(x)
    assert.is_nil(bundle["text/html"])
    local colored = x.shape[#x.shape] == 3
    return assert(image.read(scratch.write(folder, "x.png", bundle["image/png"]), {color = colored})), caption
  end

  it("of images is a picture, enlarged where it is small", function()
    local x = lt.arange(0, 63):reshape(8, 8, 1) / 63
    local shown, caption = picture(x)
    assert.same({64, 64}, shown.shape)
    assert.matches("^tensor %[8, 8, 1%]", caption)
    for _, at in ipairs{{1, 1}, {8, 8}, {3, 5}} do
      for _, shift in ipairs{0, 7} do
        assert.near(x:get(at[1], at[2], 1), shown:get(8 * at[1] - shift, 8 * at[2] - shift), 1 / 254)
      end
    end
    shown = picture(x * 2 - 1)
    assert.near(x:get(3, 5, 1), shown:get(24, 40), 1 / 254)
    shown = picture(lt.full({40, 8, 8, 3}, 128, {dtype = "u8"}))
    assert.same({4 * 10, 8 * 10, 3}, shown.shape)
    assert.equal(1, shown:get(1, 1, 1))
    assert.near(128 / 255, shown:get(2, 2, 2), 1e-6)
    assert.matches("the first 32 above", select(2, picture(lt.zeros({40, 8, 8, 1}, {dtype = "u8"}))))
  end)

  it("is a picture for nothing else", function()
    for _, x in ipairs{lt.ones(8, 8), lt.ones(8, 8, 2), lt.ones(7, 8, 1), lt.full({8, 8, 1}, 2),
      lt.ones(8, 8, 1) * 0 / 0, lt.zeros({8, 8, 1}, {dtype = "i64"}), lt.zeros(0, 8, 8, 1)} do
      assert.is_nil(mime.bundle(x)["image/png"])
    end
  end)

  it("of an object is what it makes, or says what is wrong", function()
    local function with(f) return setmetatable({}, {__mime = f}) end
    assert.same({["text/html"] = "x"}, mime.bundle(with(function() return {["text/html"] = "x"} end)))
    assert.matches("^{} %(its __mime gives no texts by MIME type%)", mime.bundle(with(function() end))["text/plain"])
    assert.matches("^{} %(.*bad%)", mime.bundle(with(function() error "bad" end))["text/plain"])
    assert.same({["text/latex"] = "$x$"}, mime.bundle{["text/latex"] = "$x$"})
    assert.same({["text/plain"] = '{["text/html"] = 1}'}, mime.bundle{["text/html"] = 1})
    assert.same({["text/plain"] = "{}"}, mime.bundle{})
  end)
end)

