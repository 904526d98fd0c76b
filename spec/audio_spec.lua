-- WAV files: those that Python's wave module wrote, our own, and damaged ones.
require "spec.support.close"
require "spec.support.misuse"
local audio = require "latent.audio"
local files = require "latent.base.files"
local lt = require "latent"
local scratch = require "spec.support.scratch"

local INTEROP = "spec/fixtures/interop/"

describe("audio", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  local function path_of(bytes)
    local path = folder .. "/x.wav"
    assert(files.write_atomic(path, bytes))
    return path
  end

  it("reads what Python's wave module writes", function()
    for _, bits in ipairs{8, 16, 24} do
      local x, rate = audio.read(("%spcm%d.wav"):format(INTEROP, bits))
      local one = 2.0 ^ (1 - bits)
      assert.equal(8000, rate)
      assert.same({2, 3}, x.shape)
      assert.close(x, {{0, -1, -one}, {0.5, 1 - one, one}}, 1e-9)
    end
  end)

  it("reads what it writes", function()
    for _, shape in ipairs{{2, 50}, {1, 7}, {3, 1}, {1, 0}} do
      local x = lt.rand(shape) * 2 - 1
      for _, bits in ipairs{8, 16, 24, 32} do
        local path = folder .. "/own.wav"
        assert.is_true(audio.write(path, x, 44100, {bits = bits}))
        local y, rate = audio.read(path)
        assert.equal(44100, rate)
        assert.same(x.shape, y.shape)
        if x:numel() > 0 then assert((x - y):abs():max():item() <= 2.0 ^ (1 - math.min(bits, 24))) end
      end
      audio.write(folder .. "/float.wav", x * 3, 8000, {format = "float"})
      assert.same((x * 3):table(), (audio.read(folder .. "/float.wav")):table())
    end
  end)

  it("is the same bytes as Python's", function()
    for _, bits in ipairs{8, 16, 24} do
      local from, to = ("%spcm%d.wav"):format(INTEROP, bits), folder .. "/again.wav"
      audio.write(to, assert(audio.read(from)), 8000, {bits = bits})
      assert.equal(files.read_all(from), files.read_all(to))
    end
  end)

  it("cuts off what is too loud, and takes a list as one channel", function()
    audio.write(folder .. "/loud.wav", lt.tensor{2, -3, 0.5}, 8000)
    assert.same({{1 - 2.0 ^ -15, -1, 0.5}}, (audio.read(folder .. "/loud.wav")):table())
  end)

  it("reads extensible formats, further parts, and lengths that were not known", function()
    local data = ("<i2i2"):pack(16384, -16384)
    local fmt = ("<I2I2I4I4I2I2I2I2I4I2"):pack(0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4, 1) .. ("x"):rep(14)
    local function part(name, content, length)
      return name .. ("<I4"):pack(length or #content) .. content .. ("\0"):rep(#content % 2)
    end
    local bytes = "RIFF\0\0\0\0WAVE" .. part("LIST", "odd") .. part("fmt ", fmt) .. part("data", data, 0xFFFFFFFF)
    assert.same({{0.5, -0.5}}, (audio.read(path_of(bytes))):table())
  end)

  it("answers nil and a message where a file is damaged or missing", function()
    local whole = assert(files.read_all(INTEROP .. "pcm16.wav"))
    local function changed(at, format, value)
      return whole:sub(1, at - 1) .. format:pack(value) .. whole:sub(at + format:packsize())
    end
    for message, bytes in pairs{
      ["expected a WAV file"] = "RIFX", ["has no part \"fmt \""] = whole:sub(1, 12),
      ["has no part \"data\""] = whole:sub(1, 36),
      ["ends after 8 bytes of its part \"fmt \", expected 16"] = whole:sub(1, 28),
      ["ends after 5 bytes of its part \"data\", expected 12"] = whole:sub(1, 49),
      ["samples of format 7 with 16 bits"] = changed(21, "<I2", 7),
      ["samples of format 1 with 12 bits"] = changed(35, "<I2", 12),
      ["0 channels; expected 1 to 256"] = changed(23, "<I2", 0),
      ["60000 channels"] = changed(23, "<I2", 60000), ["a rate of 0"] = changed(25, "<I4", 0),
      ["3 bytes for a sample of all channels; expected 4"] = changed(33, "<I2", 3),
      ["its 11 bytes of samples end within one of 4"] = changed(41, "<I4", 11),
      ["its format has 4 bytes"] = "RIFF\0\0\0\0WAVEfmt \4\0\0\0\1\0\1\0data\0\0\0\0",
    } do
      local x, text = audio.read(path_of(bytes))
      assert.is_nil(x)
      assert(text:find(message, 1, true) and text:find("x.wav", 1, true), text)
    end
    assert.is_nil((audio.read(folder .. "/none.wav")))
  end)

  it("refuses what is no sound", function()
    local path = folder .. "/refused.wav"
    for pattern, f in pairs{
      ["audio.write: x: expected float32 %[channels, samples%] or %[samples%], .* got float32 %[1, 1, 1%]"] =
        function() audio.write(path, lt.ones(1, 1, 1), 8000) end,
      ["audio.write: x: expected .* got i64 %[2%]"] = function() audio.write(path, lt.ones(2):long(), 8000) end,
      ["audio.write: x: expected .* got float32 %[300, 1%]"] = function() audio.write(path, lt.ones(300, 1), 8000) end,
      ["audio.write: rate: expected a whole number of at least 1, got 0"] =
        function() audio.write(path, lt.ones(2), 0) end,
      ["audio.write: bits: expected 8, 16, 24 or 32, got 12"] =
        function() audio.write(path, lt.ones(2), 8000, {bits = 12}) end,
      ["audio.write: bits: expected 32 of floats, got 16"] =
        function() audio.write(path, lt.ones(2), 8000, {bits = 16, format = "float"}) end,
      ["audio.write: x: PCM has no NaN"] = function() audio.write(path, lt.tensor{0 / 0}, 8000) end,
      ["audio.write: x: float32 %[1%] at 4294967296 samples"] = function() audio.write(path, lt.ones(1), 1 << 32) end,
      ["audio.read: path: expected a string, got nil"] = function() audio.read() end,
    } do assert.misuse(f, pattern) end
    assert.is_false(files.exists(path))
  end)
end)
