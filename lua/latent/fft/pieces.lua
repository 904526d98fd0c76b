--- Spectra of short pieces of a signal, and the signal from them.
-- @module latent.fft.pieces
local core = require "latent.core"
local lt = require "latent"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local transforms = require "latent.fft.transforms"
local windows = require "latent.fft.windows"

local M = {}

local SIZES = {
  {"n_fft", "count", nil, "samples of a piece", required = true},
  {"hop_length", "count", nil, "samples from one piece to the next; n_fft // 4 unless given"},
  {"win_length", "count", nil, "samples of the window, which stands in the middle of the piece; n_fft unless given"},
  {"window", "tensor", nil, "[win_length]; ones unless given"},
  {"center", "boolean", true, "whether pieces have their middles at samples 1, 1 + hop_length, ..."},
  {"normalized", "boolean", false, "whether spectra are divided by the root of n_fft"},
}

local function with(rows, ...)
  local list = {table.unpack(rows)}
  for _, row in ipairs{...} do list[#list + 1] = row end
  return list
end

-- Checks what depends on several options, and fills in the rest; the window gets n_fft samples.
local function settle(name, o, x, default)
  o.hop_length = o.hop_length or math.max(1, o.n_fft // 4)
  o.win_length = o.win_length or o.n_fft
  if o.win_length > o.n_fft then
    core.raise(("fft.%s: win_length: expected at most n_fft, %d, got %d"):format(name, o.n_fft, o.win_length))
  end
  local window = o.window or default(o.win_length, x.dtype)
  if window:dim() ~= 1 or window:numel() ~= o.win_length or window.dtype ~= x.dtype then
    core.raise(("fft.%s: window: expected %s [%d], got %s"):format(name, x.dtype, o.win_length, shapes.typed(window)))
  end
  local missing = o.n_fft - o.win_length
  o.window = missing > 0 and window:pad{missing // 2, missing - missing // 2} or window
  o.norm = o.normalized and "ortho" or "backward"
  return o
end

local function ones(n, dtype) return lt.ones(n, {dtype = dtype}) end
local function hann(n, dtype) return windows.hann_window(n, {dtype = dtype}) end

-- The places of the samples of all pieces, one after the other.
local function places(count, o)
  local first = lt.arange(0, count - 1, 1, {dtype = "i64"}) * o.hop_length
  return (first:reshape(count, 1) + lt.arange(1, o.n_fft, 1, {dtype = "i64"})):reshape(-1)
end

local function spectra(name, x, o)
  core.check_tensor(x, "fft." .. name)
  if x:dim() < 1 or x.dtype == "u8" or x.dtype == "i64" then
    core.raise(("fft.%s: x: expected a signal [..., n] of a floating type, got %s"):format(name, shapes.typed(x)))
  end
  local n = x:size(-1) + (o.center and o.n_fft // 2 * 2 or 0)
  if n < o.n_fft then
    core.raise(("fft.%s: x: expected at least n_fft, %d, samples, got %d"):format(name, o.n_fft, n))
  end
  if o.center then
    if o.pad_mode ~= "constant" and x:size(-1) <= o.n_fft // 2 then
      core.raise(("fft.%s: x: expected more than n_fft // 2, %d, samples to reflect, got %d"):format(name,
        o.n_fft // 2, x:size(-1)))
    end
    x = x:pad({o.n_fft // 2, o.n_fft // 2}, o.pad_mode)
  end
  local count = (n - o.n_fft) // o.hop_length + 1
  local shape = x.shape
  shape[#shape] = count
  shape[#shape + 1] = o.n_fft
  local windowed = x:gather_rows(places(count, o), -1):reshape(shape) * o.window
  if o.onesided == false then return transforms.fft(transforms.complex(windowed), {norm = o.norm}) end
  return transforms.rfft(windowed, {norm = o.norm})
end

local PAD = {"pad_mode", options.one_of{"reflect", "replicate", "constant"}, "reflect",
  "what stands before and behind the signal where pieces reach beyond it"}
local ONESIDED = {"onesided", "boolean", true,
  "whether only the first n_fft // 2 + 1 numbers of a spectrum are kept, whose others are their mirror image"}
local read_stft = options.declare("fft.stft", with(SIZES, PAD, ONESIDED))

--- The transforms of pieces of a signal, each times a window.
-- @tparam Tensor x [..., n]
-- @tparam table opts
-- @treturn Tensor complex [..., n_fft // 2 + 1, pieces, 2]; with onesided = false [..., n_fft, pieces, 2]
function M.stft(x, opts)
  core.check_tensor(x, "fft.stft")
  local o = settle("stft", read_stft(opts), x, ones)
  return spectra("stft", x, o):transpose(-3, -2)
end

local read_istft = options.declare("fft.istft", with(SIZES, {"length", "count", nil, "of the signal"}, ONESIDED))

--- The signal from the transforms of its pieces: what they say of a sample is averaged, by their windows.
-- @tparam Tensor x complex [..., n_fft // 2 + 1, pieces, 2]
-- @tparam table opts those of stft
-- @treturn Tensor [..., n]
-- @raise where the windows leave a sample out
function M.istft(x, opts)
  core.check_tensor(x, "fft.istft")
  local o = settle("istft", read_istft(opts), x, ones)
  local numbers = o.onesided and o.n_fft // 2 + 1 or o.n_fft
  if x:dim() < 3 or x:size(-1) ~= 2 or x:size(-3) ~= numbers or x:size(-2) < 1 then
    core.raise(("fft.istft: x: expected [..., %d, pieces, 2], got %s"):format(numbers, shapes.text(x)))
  end
  if not o.onesided then x = x:slice(-3, 1, o.n_fft // 2 + 1) end
  local count = x:size(-2)
  local pieces = transforms.irfft(x:transpose(-3, -2), {n = o.n_fft, norm = o.norm}) * o.window
  local shape, total = pieces.shape, o.n_fft + (count - 1) * o.hop_length
  shape[#shape] = nil
  shape[#shape] = count * o.n_fft
  local index = places(count, o)
  local flat = pieces:reshape(shape)
  shape[#shape] = total
  local sums = lt.zeros(shape, {dtype = x.dtype}):index_add(-1, index, flat)
  local squares = (o.window * o.window):reshape(1, -1):broadcast_to(count, o.n_fft):reshape(-1)
  local weights = lt.zeros(total, {dtype = x.dtype}):index_add(1, index, squares)
  local first = o.center and o.n_fft // 2 + 1 or 1
  local last = o.length and math.min(first + o.length - 1, total) or o.center and total - o.n_fft // 2 or total
  if last < first then core.raise "fft.istft: x: expected pieces that leave samples, got too few" end
  sums, weights = sums:slice(-1, first, last), weights:slice(1, first, last)
  if weights:min():item() < 1e-11 then
    core.raise "fft.istft: window: expected one whose copies leave no sample out, got weights of 0"
  end
  local y = sums / weights
  local missing = (o.length or 0) - y:size(-1)
  return missing > 0 and y:pad{0, missing} or y
end

local read_spectrogram = options.declare("fft.spectrogram", with(SIZES, PAD,
  {"power", "positive", 2, "of the absolute value: 2 for power, 1 for magnitude"}))

--- How strong each frequency is in each piece of a signal: a power of the absolute value of stft, with Hann's window
-- unless another is given.
-- @tparam Tensor x [..., n]
-- @tparam table opts
-- @treturn Tensor [..., n_fft // 2 + 1, pieces]
function M.spectrogram(x, opts)
  core.check_tensor(x, "fft.spectrogram")
  local o = settle("spectrogram", read_spectrogram(opts), x, hann)
  local S = spectra("spectrogram", x, o)
  local y = o.power == 2 and S:square():sum(-1) or transforms.abs(S):pow(o.power)
  return y:transpose(-2, -1)
end

return M
