-- Where data sets come from: files under several names, mirrors, archives, caches.
local core = require "latent.core"
local data = require "latent.data"
local data_files = require "spec.support.data_files"
local fetch = require "latent.data.fetch"
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"
local sources = require "latent.data.sources"

local fails, mini_bytes, with_env = data_files.fails, data_files.mini_bytes, data_files.with_env
local folder, remove

describe("data sets that are fetched", function()
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("finds MNIST however its files are named and wherever torchvision put them", function()
    local names = {images = "t10k-images-idx3-ubyte", labels = "t10k-labels-idx1-ubyte"}
    for i, layout in ipairs {
      {"", "%s"}, {"", "%s.gz"}, {"", "%s", dots = true}, {"", "%s.gz", dots = true}, {"MNIST/raw", "%s"},
      {"MNIST/raw", "%s.gz", dots = true}, {"raw", "%s"},
    } do
      local root = ("%s/names%d"):format(folder, i)
      assert(files.mkdir_p(files.join(root, layout[1])))
      for _, name in pairs(names) do
        local spelling = layout[2]:format(layout.dots and name:gsub("%-idx", ".idx") or name)
        local bytes = mini_bytes(name)
        if spelling:find "gz$" then bytes = core.deflate(bytes, "gzip") end
        scratch.write(files.join(root, layout[1]), spelling, bytes)
      end
      local set = assert(data.mnist {dir = root, split = "test", size = 8, verify = false})
      assert.equal(500, #set)
      set:close()
      -- Its digest is looked up under the listed name.
      fails("t10k%-images.idx3%-ubyte[.gz]*: wrong content: expected SHA%-256 0fa7",
        data.mnist {dir = root, split = "test"})
      fails("train%-images%-idx3%-ubyte: missing", data.mnist {dir = root})
      if layout[1] == "MNIST/raw" then
        fails("t10k%-images%-idx3%-ubyte: missing", data.fashion_mnist {dir = root, split = "test"})
        assert(os.rename(root .. "/MNIST", root .. "/FashionMNIST"))
        assert(data.fashion_mnist {dir = root, split = "test", size = 8, verify = false}):close()
      end
    end
  end)

  local digests, mirror = {}, nil

  setup(function()
    mirror = folder .. "/a mirror"
    assert(files.mkdir_p(mirror))
    for _, name in ipairs(sources.all) do
      local path = scratch.write(mirror, name, mini_bytes(name))
      digests[name] = assert(files.sha256(path))
    end
  end)

  local function get(name, url, extra)
    local opts = {dir = folder .. "/" .. name, url = url, npm = false, sha256 = digests}
    for key, value in pairs(extra or {}) do opts[key] = value end
    return fetch.fetch(opts)
  end

  local function url_of(path) return "file://" .. path:gsub(" ", "%%20") end

  it("takes plain and packed files from a file:// URL", function()
    for name, url in pairs {one = url_of(mirror), two = url_of(mirror) .. "/"} do
      local dir = assert(get(name, url))
      assert.equal(4, #scratch.list(dir))
      assert.equal(500, #assert(data.mnist {dir = dir, verify = false}))
    end
    local base = sources.mini()
    if base:sub(1, 1) ~= "/" then base = files.capture "pwd" .. "/" .. base end
    local dir = assert(get("packed", url_of(base)))
    assert.same({"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte",
      "train-labels-idx1-ubyte"}, scratch.list(dir))
  end)

  it("clears what a killed one left", function()
    local dir = folder .. "/killed"
    assert(files.mkdir_p(dir .. "/fetch.tmp-4194304-1"))
    scratch.write(dir .. "/fetch.tmp-4194304-1", "half", "x")
    assert(get("killed", url_of(mirror)))
    assert.equal(4, #scratch.list(dir))
  end)

  it("leaves alone what is complete, and replaces what is damaged", function()
    local dir = assert(get("again", url_of(mirror)))
    assert.equal(dir, get("again", "file:///nowhere"))
    local name = "train-labels-idx1-ubyte"
    scratch.write(dir, name, "damaged")
    assert.equal(dir, get("again", url_of(mirror)))
    assert.equal(digests[name], files.sha256(dir .. "/" .. name))
  end)

  it("writes nothing when a digest is wrong", function()
    local bad = folder .. "/bad mirror"
    assert(files.mkdir_p(bad))
    for _, name in ipairs(sources.all) do scratch.write(bad, name, mini_bytes(name)) end
    scratch.write(bad, "t10k-labels-idx1-ubyte", "other bytes")
    fails("t10k%-labels%-idx1%-ubyte: wrong content: expected SHA%-256 %x+, found %x+",
      get("never", url_of(bad)))
    assert.same({}, scratch.list(folder .. "/never"))
  end)

  it("says what was tried and what helps when nothing works", function()
    local dir, message = get("nothing", "file:///nowhere")
    fails("MNIST could not be fetched", dir, message)
    for _, part in ipairs {"file:///nowhere: train-images-idx3-ubyte", "LATENT_DATA",
      "LATENT_MNIST_URL", "No such file"} do
      assert.is_truthy(message:find(part, 1, true), part)
    end
    assert.same({}, scratch.list(folder .. "/nothing"))
    fails("expected a URL that begins with", get("nothing", "--output=/etc/passwd"))
    fails("damaged gzip file", get("nothing", url_of((function()
      local broken = folder .. "/broken"
      assert(files.mkdir_p(broken))
      scratch.write(broken, "train-images-idx3-ubyte.gz", "\31\139 nonsense")
      return broken
    end)())))
  end)

  it("checks the folder LATENT_DATA and touches nothing else", function()
    with_env({LATENT_DATA = mirror}, function()
      assert.equal(mirror, fetch.fetch {sha256 = digests})
      fails("LATENT_DATA: .*wrong content", fetch.fetch {})
    end)
  end)

  it("finds the cache by XDG_CACHE_HOME, else in the home folder", function()
    with_env({XDG_CACHE_HOME = "/x", HOME = "/h"}, function()
      assert.equal("/x/latent/mnist", sources.cache "mnist")
    end)
    with_env({XDG_CACHE_HOME = false, HOME = "/h"}, function()
      assert.equal("/h/.cache/latent/mnist", sources.cache "mnist")
    end)
    with_env({XDG_CACHE_HOME = false, HOME = false}, function()
      fails("neither XDG_CACHE_HOME nor HOME", sources.cache "mnist")
    end)
  end)
end)
