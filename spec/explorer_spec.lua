-- `latent explorer`: what the page is made of. `make explorer-test` uses the page itself in browsers.
local lt = require "latent"
local base64 = require "latent.base.base64"
local base85 = require "latent.explorer.base85"
local comments = require "latent.help.comments"
local data = require "latent.data"
local explorer = require "latent.explorer.command"
local files = require "latent.base.files"
local half = require "latent.explorer.half"
local json = require "latent.json"
local lab = require "latent.explorer.lab"
local models = require "exercises.models"
local page = require "latent.explorer.page"
local safetensors = require "latent.safetensors"
local scratch = require "spec.support.scratch"
local sha256 = require "latent.explorer.sha256"
local weights = require "latent.explorer.weights"
local wire = require "latent.explorer.wire"

local SHIPPED = "exercises/weights/"

local new_model = lab.maker(models)

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

describe("explorer: bytes", function()
  it("have the SHA-256 of FIPS 180-4's examples, and of lengths around a block's", function()
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", hex(sha256 ""))
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", hex(sha256 "abc"))
    assert.equal("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
      hex(sha256 "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))
    for size, digest in pairs{[55] = "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318",
      [64] = "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"} do
      assert.equal(digest, hex(sha256(("a"):rep(size))))
    end
  end)

  it("become five characters for four, which mean nothing to HTML", function()
    assert.equal("00000", base85.encode "\0\0\0\0")
    assert.equal("%nSc0", base85.encode "\255\255\255\255")
    assert.equal("HelloWorld", base85.encode "\x86\x4F\xD2\x6F\xB5\x59\xF7\x5B") -- ZeroMQ's example
    assert.is_nil(base85.alphabet:find "[<>&'\"\\`]")
    local value = {}
    for i = 1, 85 do value[base85.alphabet:sub(i, i)] = i - 1 end
    for size = 1, 9 do
      local bytes, back = ("\0\1\254\255\13\10\200\7\99"):sub(1, size), {}
      for word in base85.encode(bytes):gmatch "....." do
        local n = 0
        for c in word:gmatch "." do n = n * 85 + assert(value[c]) end
        back[#back + 1] = (">I4"):pack(n)
      end
      assert.equal(bytes, table.concat(back):sub(1, size))
    end
  end)
end)

describe("explorer: half precision", function()
  it("rounds to the nearest, ties to even", function()
    for _, case in ipairs{{0, 0x0000}, {1, 0x3C00}, {-2, 0xC000}, {0.1, 0x2E66}, {65504, 0x7BFF}, {1e6, 0x7BFF},
      {2049, 0x6800}, {2051, 0x6802}, {2.0 ^ -24, 0x0001}, {2.0 ^ -25, 0x0000}, {3 * 2.0 ^ -25, 0x0002},
      {2.0 ^ -14, 0x0400}, {1 - 2.0 ^ -12, 0x3C00}, {1 / 3, 0x3555}} do
      assert.equal(case[2], (half.bits(case[1])), tostring(case[1]))
    end
  end)

  it("makes files that safetensors reads, and says how far they are off", function()
    local folder, remove = scratch.folder()
    local state = {w = lt.randn(7, 5), b = lt.zeros(3), large = lt.randn(300)}
    local file, off = half.file(state)
    local path = scratch.write(folder, "half.safetensors", file)
    local back, sum, total = assert(safetensors.load(path)), 0, 0
    for name, tensor in pairs(state) do
      assert.same(tensor.shape, back[name].shape)
      sum = sum + (tensor - back[name]):square():sum():item()
      total = total + tensor:square():sum():item()
    end
    assert.near((sum / total) ^ 0.5, off, 1e-6)
    assert.is_true(off > 0 and off < 2 ^ -11)
    remove()
  end)
end)

describe("explorer: the Lua in the page", function()
  it("is the library's, line by line, without what nobody sees there", function()
    local saved = 0
    for _, path in ipairs(comments.sources()) do
      local text = assert(files.read_all(path))
      local stripped = page.stripped(text, saved % 2 == 0)
      -- Stripped of names of lines and locals, the code is the same; functions begin at the same lines.
      assert.equal(string.dump(assert(load(text, "=x")), true), string.dump(assert(load(stripped, "=x")), true), path)
      saved = saved + #text - #stripped
    end
    assert.is_true(saved > 100000)
  end)

  it("keeps comments that help shows", function()
    local text = "--- Says.\n-- @tparam int n\n  local x = 1 -- one\n  -- why\n  return x\n"
    assert.equal("--- Says.\n-- @tparam int n\nlocal x = 1\n\nreturn x\n", page.stripped(text, true))
    assert.equal("\n\nlocal x = 1\n\nreturn x\n", page.stripped(text))
    assert.equal("x = [[\n  a\n  -- b\n]]\ny = '--'\n", page.stripped("x = [[\n  a\n  -- b\n]]\n  y = '--'\n", true))
  end)
end)

describe("explorer: weights", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  local function choose(given, runs)
    return weights.choose(given, {runs = runs or folder, shipped = SHIPPED, new_model = new_model})
  end

  local function names(list)
    local out = {}
    for i, model in ipairs(list) do out[i] = model.name .. (model.beta and (" %g"):format(model.beta) or "") end
    return table.concat(out, ", ")
  end

  it("are those that come along, the plane's by their beta", function()
    assert.equal("autoencoder, vae2_beta0.001 0.001, vae2 0.01, vae2_beta0.1 0.1, vae2_beta1 1, vae16 0.01, classifier",
      names(assert(choose{})))
  end)

  it("are told by what is in them, and stand for those of their kind", function()
    local path = folder .. "/mine_beta3e-2.safetensors"
    safetensors.save(path, models.vae(2):state(), {metadata = {epochs = "7"}})
    local other = folder .. "/eight.safetensors"
    safetensors.save(other, models.vae(8):state())
    local list = assert(choose{path, other})
    assert.equal("autoencoder, mine_beta3e-2 0.03, eight 0.01, classifier", names(list))
    assert.equal("7", list[2].epochs)
    assert.equal(8, list[3].latent)
  end)

  it("of the newest run take the place of shipped ones, unless they are of other data", function()
    local function run(id, set, value)
      local where = ("%s/07_vae/%d"):format(folder, id)
      assert(files.mkdir_p(where))
      local model = models.vae(2)
      lt.no_grad(function() model:parameters()[1]:fill_(value) end)
      safetensors.save(where .. "/vae2.safetensors", model:state())
      assert(files.write_atomic(where .. "/record.json", json.encode{name = "07_vae", started = id, seconds = 1,
        status = "done", threads = 1, isa = "baseline", options = {data = set, beta = 0.25}, given = {}, items = {},
        weights = json.array{}, machine = {}, versions = {}}))
    end
    run(1, "mnist", 1)
    run(2, "mnist", 2)
    run(3, "fashion_mnist", 3)
    local list = assert(choose{})
    assert.equal("autoencoder, vae2_beta0.001 0.001, vae2_beta0.1 0.1, vae2 0.25, vae2_beta1 1, vae16 0.01, classifier",
      names(list))
    assert.matches("07_vae/2/vae2.safetensors$", list[4].path)
  end)

  it("that are damaged, of no known model, or two of a kind are refused by name", function()
    local path = scratch.write(folder, "damaged.safetensors", "no weights")
    local _, message = choose{path}
    assert.matches("damaged.safetensors", message)
    path = folder .. "/other.safetensors"
    safetensors.save(path, {weight = lt.ones(2)})
    _, message = choose{path}
    assert.matches("other.safetensors: expected weights of an autoencoder, a VAE or a classifier", message)
    path = folder .. "/cut.safetensors"
    local state = models.vae(2):state()
    state["mu.1.bias"] = nil
    safetensors.save(path, state)
    _, message = choose{path}
    assert.matches("cut.safetensors: .*mu.1.bias", message)
    _, message = choose{SHIPPED .. "classifier.safetensors", SHIPPED .. "classifier.safetensors"}
    assert.matches("room for one model of this kind", message)
  end)
end)

describe("explorer: requests", function()
  it("travel with their tensors", function()
    local head, tensors = wire.unpack(wire.pack({op = "x", list = {1, 2}}, {lt.tensor{{1, 2, 3}}, lt.tensor{7}}))
    assert.equal("x", head.op)
    assert.same({{1, 2, 3}}, tensors[1]:table())
    assert.same({7}, tensors[2]:table())
  end)

  it("that are none, or fail, are answered with an error", function()
    local serve = wire.server{fails = function() error("on purpose", 0) end}
    assert.equal("on purpose", (wire.unpack(serve(wire.pack{op = "fails"}))).error)
    assert.equal('no request "missing"', (wire.unpack(serve(wire.pack{op = "missing"}))).error)
  end)
end)

describe("explorer: the laboratory", function()
  local L, x
  local function mini(size) return data.mnist{split = "test", mini = true, size = size} end

  setup(function()
    local listed = {}
    for i, name in ipairs{"autoencoder", "vae2", "vae16", "classifier"} do
      local model = assert(weights.read(SHIPPED .. name .. ".safetensors", new_model))
      listed[i] = {name = name, kind = model.kind, latent = model.latent, beta = model.beta, file = model.path}
    end
    L = lab.new(listed, new_model, mini)
    x = (mini(32):batch{3})
  end)

  it("decodes and encodes as the models do", function()
    local vae = models.vae(2):load_state(assert(safetensors.load(SHIPPED .. "vae2.safetensors"))):eval()
    local _, tensors = L:decode{model = "vae2", codes = {{0.5, -1}, {0, 0}}}
    local expected = vae:pictures(lt.tensor{{0.5, -1}, {0, 0}})
    assert.equal(0, (tensors[1] - expected):abs():max():item())
    assert.same({2, 10}, tensors[2].shape)
    assert.near(2, tensors[2]:sum():item(), 1e-5)
    assert.equal("vae2", L:usual())
    assert.has_error(function() L:decode{model = "none", codes = {{0, 0}}} end, 'no model "none" in this page')
  end)

  it("sees a digit of 28 by 28 as the test set has it", function()
    local _, originals = L:original{index = 3}
    local _, tensors = L:digit({models = {"vae2"}}, originals[1])
    assert.equal(0, (tensors[1] - x):abs():max():item())
    assert.same({1, 2}, tensors[2].shape)
    assert.is_true(tensors[3]:min():item() > 0) -- deviations
    assert.equal(3, tensors[5]:argmax(2):item()) -- the third example is a 2
  end)

  it("restores a noisy image, better by searching than by the bottleneck", function()
    local found, shown = L:measure({model = "vae16", latent = 16, noise = 0.5, hidden = "none", seed = 1}, x)
    assert.near(0.25, found.noisy_mse, 0.03)
    assert.near(0.25 * 16 / 1024, found.beta, 1e-8)
    assert.same({1, 32, 32, 1}, shown[2].shape)
    L:begin_search{starts = 3, seed = 2}
    local first = L:search_on{steps = 1}.losses[1]
    local answer, pictures = L:search_on{steps = 150}
    assert.equal(151, answer.step)
    assert.equal(150, #answer.losses)
    for i = 1, 3 do assert.is_true(answer.losses[150][i] < first[i] + 1e-4) end
    assert.is_true(math.min(table.unpack(answer.errors)) < found.mse)
    assert.same({3, 32, 32, 1}, pictures[1].shape)
  end)

  it("hides a half, and draws from the posterior a slice at a time", function()
    local _, shown = L:measure({model = "vae16", latent = 16, noise = 0.3, hidden = "left", seed = 1}, x)
    assert.equal(-1, shown[1]:slice(3, 1, 16):max():item())
    assert.is_true(shown[1]:slice(3, 17, 32):max():item() > 0)
    L:begin_draws{seed = 1}
    local slices, last = 0, 0
    local function go_on()
      local answer, tensors = L:draw_on{ms = 0}
      assert.is_true(answer.share >= last)
      slices, last = slices + 1, answer.share
      return answer.done and tensors
    end
    local tensors
    repeat tensors = go_on() until tensors
    assert.is_true(slices > 3)
    assert.same({8, 32, 32, 1}, tensors[3].shape)
    local deviation = tensors[2]
    assert.is_true(deviation:slice(3, 1, 16):mean():item() > deviation:slice(3, 17, 32):mean():item())
  end)
end)

describe("explorer: the command", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  local function run(arguments)
    return assert(files.capture(("lua5.4 bin/latent explorer %s 2>&1; echo status $?"):format(arguments)))
  end

  it("says how it is used, and what is wrong", function()
    assert.matches("usage: latent explorer.*status 0", run "--help")
    assert.matches("unknown option %-%-nothing.*status 1", run "--nothing")
    assert.matches("%-%-out: expected a path.*status 1", run "--out")
    assert.matches("latent: explorer: missing.safetensors: .*status 1", run "missing.safetensors")
  end)

  it("writes one file that lets nothing in from elsewhere", function()
    local path = folder .. "/below/page.html"
    local said = run(("--runs %s --out %s"):format(folder, path))
    assert.matches("vae2_beta0.001%s+comes along.*below/page.html: 1.%d+ MB.*status 0", said)
    local html = assert(files.read_all(path))
    assert.is_true(#html <= page.MOST)
    assert.is_nil(html:find("{{%l+}}"))
    local policy = html:match 'Content%-Security%-Policy" content="([^"]+)"'
    assert.matches("default%-src 'none'", policy)
    for tag, directive in pairs{script = "script%-src", style = "style%-src"} do
      local own = html:match(("<%s>(.-)</%s>"):format(tag, tag))
      assert.equal("'sha256-" .. base64(sha256(own)) .. "'", policy:match(directive .. " ('[^']*')"))
    end
    assert.is_nil(html:find(' src="', 1, true))
    assert.is_nil(html:find(' style="', 1, true))
    assert.is_nil(html:find 'href="[^#]')
    for _, holder in ipairs{"PUC%-Rio", "Jean%-loup Gailly", "Leon Sorokin"} do assert.matches(holder, html) end
  end)

  it("writes the same page where the project lies in a folder called latent, and is called from elsewhere", function()
    run(("--runs %s --out %s/plain.html"):format(folder, folder))
    local link = folder .. "/latent"
    assert(files.capture(("ln -s %s %s"):format(files.quote(assert(files.capture "pwd")), link)))
    local command = "cd %s && env -u LUA_PATH -u LUA_CPATH lua5.4 %s/bin/latent explorer --out page.html 2>&1"
    local said = files.capture(command:format(folder, link))
    assert.matches("page.html: 1.%d+ MB", said)
    assert.is_true(files.read_all(folder .. "/plain.html") == files.read_all(folder .. "/page.html"))
  end)

  it("finds its parts", function()
    local where = explorer.places()
    assert.is_true(files.exists(files.join(where.web, "host.js")))
    assert.is_true(files.exists(where.wasm))
    assert.is_true(files.exists(files.join(where.exercises, "models.lua")))
    assert.is_true(files.exists(files.join(where.mini, "t10k-labels-idx1-ubyte.gz")))
  end)
end)
