--- Sound in WAV files. Samples are numbers from -1 to 1, a channel a row: [channels, samples].
-- @usage
-- local x, rate = audio.read "voice.wav"
-- local S = fft.spectrogram(assert(x, rate)[1], {n_fft = 512})
-- audio.write("quiet.wav", x / 2, rate)
-- @module latent.audio
local lt = require "latent"
local core = require "latent.core"
local dtypes = require "latent.base.dtypes"
local files = require "latent.base.files"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local M = {}

local MOST_CHANNELS = 256
local PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
local STREAMED = 0xFFFFFFFF -- the length that a program wrote that did not know it yet
local LARGEST = 0xFFFFFFFF - 100 -- bytes of samples that a file has room for

-- ---- reading ----

-- The data of the chunks "fmt " and "data", the first of each; what else a file has is passed over.
local function chunks(bytes)
  local at, found = 13, {}
  while at + 7 <= #bytes and not (found["fmt "] and found.data) do
    local name, length = bytes:sub(at, at + 3), ("<I4"):unpack(bytes, at + 4)
    local left = #bytes - at - 7
    if length == STREAMED and name == "data" then length = left end
    if length > left then
      return nil, ("ends after %d bytes of its part %q, expected %d"):format(left, options.shown(name), length)
    end
    found[name] = found[name] or {first = at + 8, length = length}
    at = at + 8 + length + length % 2
  end
  for _, name in ipairs{"fmt ", "data"} do
    if not found[name] then return nil, ("has no part %q"):format(name) end
  end
  return found
end

-- How the samples of each kind and width become numbers: the type in the file, what they are divided by.
local KINDS = {
  [PCM] = {[8] = {"U8", 128}, [16] = {"I16", 2.0 ^ 15}, [24] = {"I32", 2.0 ^ 31}, [32] = {"I32", 2.0 ^ 31}},
  [FLOAT] = {[32] = {"F32", 1}, [64] = {"F64", 1}},
}

local function read_format(bytes, chunk)
  if chunk.length < 16 then return nil, ("its format has %d bytes, expected at least 16"):format(chunk.length) end
  local tag, channels, rate, _, frame, bits = ("<I2I2I4I4I2I2"):unpack(bytes, chunk.first)
  if tag == EXTENSIBLE and chunk.length >= 26 then tag = ("<I2"):unpack(bytes, chunk.first + 24) end
  local kind = KINDS[tag] and KINDS[tag][bits]
  if not kind then
    return nil, ("samples of format %d with %d bits; expected PCM (1) of 8, 16, 24 or 32 bits or floats (3) of " ..
      "32 or 64")
      :format(tag, bits)
  end
  if channels < 1 or channels > MOST_CHANNELS then
    return nil, ("%d channels; expected 1 to %d"):format(channels, MOST_CHANNELS)
  end
  if rate < 1 then return nil, "a rate of 0 samples a second" end
  if frame ~= channels * bits // 8 then
    return nil, ("%d bytes for a sample of all channels; expected %d"):format(frame, channels * bits // 8)
  end
  return {kind = kind, bits = bits, channels = channels, rate = rate, frame = frame}
end

local function decode(bytes)
  if #bytes < 12 or bytes:sub(1, 4) ~= "RIFF" or bytes:sub(9, 12) ~= "WAVE" then return nil, "expected a WAV file" end
  local found, message = chunks(bytes)
  if not found then return nil, message end
  local format
  format, message = read_format(bytes, found["fmt "])
  if not format then return nil, message end
  local data = found.data
  if data.length % format.frame ~= 0 then
    return nil, ("its %d bytes of samples end within one of %d"):format(data.length, format.frame)
  end
  local raw = bytes:sub(data.first, data.first + data.length - 1)
  if format.bits == 24 then raw = raw:gsub("...", "\0%0") end -- the upper three bytes of four
  local n = data.length // format.frame
  local shape = {n, format.channels}
  local dtype, divisor = table.unpack(format.kind)
  local x
  if dtype == "U8" then
    x = core.from_bytes(raw, shape, "u8"):float() - 128
  else
    local converted
    converted, message = dtypes.convert(raw, dtype, 1, #raw)
    if not converted then return nil, message end
    local made = dtypes.tensor_dtype(dtype)
    x = core.from_bytes(converted, shape, made)
    if made ~= "float32" then x = x:float() end
  end
  if divisor ~= 1 then x = x / divisor end
  return x:transpose(1, 2), format.rate
end

--- Reads a WAV file: PCM of 8, 16, 24 or 32 bits, or floats.
-- @tparam string path
-- @treturn ?Tensor [channels, samples], float32, PCM in -1..1; nil where the file cannot be read
-- @treturn int|string samples a second; the message where there is no tensor
function M.read(path)
  options.expect("audio.read", "path", path, "string")
  local bytes, message = files.read_all(path)
  if not bytes then return nil, message end
  local x, rate = decode(bytes)
  if not x then return nil, ("%s: %s"):format(path, rate) end
  return x, rate
end

-- ---- writing ----

-- Numbers from -1 to 1, interleaved, as whole numbers of so many bits, the low byte first.
local function pcm(x, bits)
  local half = 1 << (bits - 1)
  local whole = (x:clamp(-1, 1) * half):round():long():minimum(half - 1)
  if bits == 8 then return (whole + half):byte():bytes() end
  whole = whole % (1 << bits) -- negative ones as their complement
  local parts = {}
  for i = 1, bits // 8 do parts[i] = (whole // (1 << 8 * (i - 1)) % 256):byte() end
  return lt.stack(parts, -1):bytes()
end

local BITS = options.kind("8|16|24|32", "8, 16, 24 or 32", function(value)
  return KINDS[PCM][value] and value or nil
end)
local read_options = options.declare("audio.write", {
  {"bits", BITS, nil, "of a sample; 16 unless given, 32 of floats"},
  {"format", options.one_of{"pcm", "float"}, "pcm", "whole numbers, or floats as they are"},
})

local function header(rate, channels, bits, tag, length)
  local frame = channels * bits // 8
  local fmt = ("<I2I2I4I4I2I2"):pack(tag, channels, rate, rate * frame, frame, bits)
  local fact = ""
  if tag == FLOAT then
    fmt = fmt .. "\0\0"
    fact = "fact" .. ("<I4I4"):pack(4, length // frame)
  end
  local body = "WAVEfmt " .. ("<I4"):pack(#fmt) .. fmt .. fact .. "data" .. ("<I4"):pack(length)
  return "RIFF" .. ("<I4"):pack(#body + length + length % 2) .. body
end

--- Writes a WAV file, atomically.
-- @tparam string path
-- @tparam Tensor x [channels, samples] or [samples]; for PCM what lies outside of -1..1 is cut off
-- @tparam int rate samples a second
-- @tparam ?table opts
-- @treturn boolean true
-- @raise where the file cannot be written, the shape is no sound's, or PCM would have to hold NaN
function M.write(path, x, rate, opts)
  options.expect("audio.write", "path", path, "string")
  core.check_tensor(x, "audio.write: x")
  options.expect("audio.write", "rate", rate, "count")
  local o = read_options(opts)
  local shape = x.shape
  local channels = #shape == 1 and 1 or shape[1]
  if #shape < 1 or #shape > 2 or channels < 1 or channels > MOST_CHANNELS or x.dtype == "u8" or x.dtype == "i64" then
    core.raise(("audio.write: x: expected float32 [channels, samples] or [samples], with 1 to %d channels, got %s")
      :format(MOST_CHANNELS, shapes.typed(x)))
  end
  local float = o.format == "float"
  local bits = o.bits or (float and 32 or 16)
  if float and bits ~= 32 then core.raise(("audio.write: bits: expected 32 of floats, got %d"):format(bits)) end
  if x:numel() * bits // 8 > LARGEST or rate > 0xFFFFFFFF // (channels * bits // 8) then
    core.raise(("audio.write: x: %s at %d samples a second is more than a WAV file can hold"):format(shapes.typed(x),
      rate))
  end
  x = x:detach():float()
  if #shape == 2 then x = x:transpose(1, 2) end
  if not float and x:isnan():any():item() == 1 then core.raise "audio.write: x: PCM has no NaN" end
  local data = float and x:bytes() or pcm(x, bits)
  return files.save(path, header(rate, channels, bits, float and FLOAT or PCM, #data) .. data ..
    ("\0"):rep(#data % 2))
end

return M
