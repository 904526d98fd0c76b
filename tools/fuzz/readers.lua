-- What reads files, and real files for it.
local audio = require "latent.audio"
local core = require "latent.core"
local data = require "latent.data"
local files = require "latent.base.files"
local formats = require "tools.fuzz.formats"
local idx = require "latent.idx"
local image = require "latent.image"
local json = require "latent.json"
local lt = require "latent"
local npy = require "latent.npy"
local npz = require "latent.npz"
local pt = require "latent.pt"
local safetensors = require "latent.safetensors"
local train = require "latent.train"
local checkpoint = require "latent.train.checkpoint"

local M = {}

local INTEROP = "spec/fixtures/interop/"

local function fixtures(...)
  local names = {...}
  return function()
    local list = {}
    for i, name in ipairs(names) do list[i] = assert(files.read_all(INTEROP .. name)) end
    return list
  end
end

-- Seeds that the library writes itself: `write(path)` for each.
local function written(...)
  local writers = {...}
  return function(folder)
    local list = {}
    for i, write in ipairs(writers) do
      local path = folder .. "/seed"
      assert(write(path))
      list[i] = assert(files.read_all(path))
      os.remove(path)
    end
    return list
  end
end

local function texts(...)
  local list = {...}
  return function() return list end
end

local function arrays()
  lt.manual_seed(1)
  return {w = lt.randn(3, 4), b = lt.zeros(5), u = lt.from_bytes("abc", {3}, "u8"), empty = lt.zeros(0, 2)}
end

local function idx_bytes(shape, fill)
  local head, count = "\0\0\8" .. string.char(#shape), 1
  for _, n in ipairs(shape) do head, count = head .. (">I4"):pack(n), count * n end
  return head .. fill:rep(count)
end

--- Each: `load(path)` gives a value, or nil and a message; `format`, one of tools.fuzz.formats; `seeds(folder)`.
M.list = {
  npy = {load = npy.load, format = "npy", seeds = fixtures("f_f8.npy", "version2.npy", "big_endian.npy")},
  npz = {load = npz.load, format = "zip", seeds = written(
    function(path) return npz.save(path, arrays()) end,
    function(path) return npz.save(path, arrays(), {compress = true}) end)},
  npz_numpy = {load = npz.load, format = "zip", seeds = fixtures("arrays.npz", "arrays_packed.npz")},
  pt = {load = pt.load, format = "zip", seeds = fixtures("checkpoint2.pt", "checkpoint4.pt", "mixed.pt")},
  pt_own = {load = pt.load, format = "zip", seeds = written(function(path)
    return pt.save(path, {state = arrays(), epoch = 3, list = {1, json.null, "x"}})
  end)},
  npy_open = {load = npy.open, format = "npy", seeds = written(
    function(path) return npy.save(path, lt.rand(5, 3)) end,
    function(path) return npy.save(path, lt.full({4, 2}, 7, "u8")) end)},
  safetensors_open = {load = safetensors.open, format = "safetensors", seeds = written(
    function(path) return safetensors.save(path, arrays(), {metadata = {made = "here"}}) end)},
  safetensors = {load = safetensors.load, format = "safetensors", seeds = written(
    function(path) return safetensors.save(path, arrays(), {metadata = {made = "here"}}) end,
    function(path) return safetensors.save(path, {}) end)},
  checkpoint = {load = checkpoint.load, format = "checkpoint", seeds = written(function(path)
    return checkpoint.save(path, arrays(), {epoch = 3, lines = {'{"epoch":1}'}})
  end)},
  idx = {load = idx.read, format = "idx", seeds = function()
    local images, labels = idx_bytes({3, 4, 5}, "\7"), idx_bytes({9}, "\1")
    return {images, labels, core.deflate(images, "gzip"), core.deflate(labels, "gzip")}
  end},
  png = {load = image.read, format = "png", seeds = function()
    local list, names = {}, {"palette4_interlaced", "rgba8", "grey16", "rgb16_interlaced", "grey1", "clear_rgb"}
    for _, name in ipairs(names) do list[#list + 1] = assert(files.read_all(INTEROP .. "png/" .. name .. ".png")) end
    return list
  end},
  pgm = {load = image.read, format = "text",
    seeds = texts("P5\n# by hand\n3 2\n255\n\0\51\102\153\204\255", "P2 2 2 255\n1 2 # c\n3 4\n",
      "P5 2 1 65535\n\51\51\255\255", "P6 1 2 255\n\0\51\102\153\204\255", "P3 1 1 9\n1 2 3\n")},
  wav = {load = audio.read, format = "wav", seeds = written(
    function(path) return audio.write(path, lt.rand(2, 9) - 0.5, 8000) end,
    function(path) return audio.write(path, lt.rand(1, 7) - 0.5, 44100, {bits = 24}) end,
    function(path) return audio.write(path, lt.rand(5), 16000, {bits = 8}) end,
    function(path) return audio.write(path, lt.rand(3, 4), 16000, {bits = 32, format = "float"}) end)},
  csv = {load = data.csv, format = "text",
    seeds = texts('a,"b, c"\r\n1,"x ""y"""\r\n-2e3,\r\n', "1;2\n3;4\n", "\239\187\191n,m\nNA,inf\n0.5,.5\n")},
  json = {format = "text", seeds = texts('{"a":[1,2.5e3,{"b":null}],"c":"\\u00e9\\ud83d\\ude00","d":true}', "[[],{}]"),
    load = function(path) return json.decode(assert(files.read_all(path))) end},
  log = {load = train.read_log, format = "text",
    seeds = texts('{"epoch":1,"loss":0.5}\n{"epoch":2,"loss":0.25,"val":1}\n', '{"step":1,"lr":1}\n{"epoch":1}\n')},
}

--- Their names, in a fixed order.
M.names = {}
for name in pairs(M.list) do M.names[#M.names + 1] = name end
table.sort(M.names)

local seeds = {}

-- A reader's real files: {bytes, path}. The mutator of archives reads them once.
local function seeds_of(name, folder)
  if not seeds[name] then
    local list = {}
    for i, bytes in ipairs(M.list[name].seeds(folder)) do
      local path = ("%s/seed-%s-%d"):format(folder, name, i)
      assert(files.write_atomic(path, bytes))
      list[i] = {bytes = bytes, path = path}
    end
    assert(#list > 0, name)
    seeds[name] = list
  end
  return seeds[name]
end

--- A damaged file for a reader.
function M.damaged(r, name, folder)
  local reader = M.list[name]
  local seed = r:pick(seeds_of(name, folder))
  if r:chance(0.25) then return formats.raw(r, seed.bytes) end
  return formats[reader.format](r, seed.bytes, seed)
end

return M
