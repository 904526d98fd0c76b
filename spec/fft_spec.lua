-- Fourier transforms and what is made of them: values by PyTorch and NumPy, gradients, and wrong use.
require "spec.support.close"
require "spec.support.misuse"
local fft = require "latent.fft"
local fft64 = require "spec.support.in_double"(require "latent.fft")
local gradcheck = require "spec.support.gradcheck"
local lt = require "latent"
local lt64 = require "spec.support.lt64"
local rulecheck = require "spec.support.rulecheck"
local values = require "spec.support.values"

local X, H = lt.tensor{1, -2, 3, 0.5, 4, -1, 2}, lt.tensor{1, 0.5, -1}
local C = lt.tensor{{1, 2}, {0, -1}, {3, 0.5}, {-2, 1}, {1, 1}}
local M = lt.arange(1, 12):reshape(3, 4) * lt.tensor{1, -1, 2, 0.5}
local B = lt.tensor{{{1, 2, -1}, {0, 3, 1}}, {{2, -2, 1}, {4, 0, -3}}}
local SIG = (lt.arange(0, 19) * 0.7):sin() + lt.arange(0, 19) / 10

describe("fft", function()
  local by_others = {
    {fft.fft(C), {{3, 3.5}, {-1.696006, -1.201395}, {-0.2000422, 7.806593}, {1.200042, -2.879542}, {2.696006,
      2.774344}}},
    {fft.ifft(C), {{0.6, 0.7}, {0.5392011, 0.5548689}, {0.2400084, -0.5759085}, {-0.04000845, 1.561319},
      {-0.3392011, -0.240279}}},
    {fft.fft(C, {n = 3, norm = "ortho"}), {{2.309401, 0.8660254}, {-1.038675, 2.799038}, {0.4613249,
      -0.2009619}}},
    {fft.fft(C, 7, -1, "forward"), {{0.4285714, 0.5}, {0.1341484, -0.3085458}, {-0.5026095, 0.2821676},
      {0.3240273, 1.148279}, {0.5596843, -0.3575152}, {-0.1620752, 0.5804085}, {0.2182534, 0.1552064}}},
    {fft.rfft(X), {{7.5, 0}, {-3.499402, 0.7462074}, {2.003766, 2.898836}, {1.245635, 8.275109}}},
    {fft.rfft(M, {axis = 1}), {{{15, 0}, {-18, 0}, {42, 0}, {12, 0}}, {{-6, 3.464102}, {6, -3.464102}, {-12,
      6.928203}, {-3, 1.732051}}}},
    {fft.rfft(M, 6), {{{7, 0}, {-5, -3.464102}, {1, 6.928203}, {7, 0}}, {{17, 0}, {-9, -6.928203}, {5, 17.32051},
      {21, 0}}, {{27, 0}, {-13, -10.3923}, {9, 27.71281}, {35, 0}}}},
    {fft.irfft(C), {0.5, 0.2285534, 0, -0.2285534, 1.5, -0.4785534, -1, 0.4785534}},
    {fft.irfft(C, 9), {0.5555556, 0.005242244, 0.3932394, -0.6815527, 1.05644, 0.7087967, -0.8740028, -0.639032,
      0.4753142}},
    {fft.irfft(C, {n = 5}), {1.4, -0.5079548, 0.9961458, 0.145495, -1.033686}},
    {fft.fft2(fft.complex(M)), {{{51, 0}, {-27, 30}, {63, 0}, {-27, -30}}, {{-15, 8.660254}, {0.8038476,
      -12.4641}, {-21, 12.12436}, {11.19615, 5.535898}}, {{-15, -8.660254}, {11.19615, -5.535898}, {-21, -12.12436},
      {0.8038476, 12.4641}}}},
    {fft.ifft2(fft.complex(M), {s = {2, 5}}), {{{2.4, 0}, {-1.750658, 0.06205414}, {2.050658, -1.801707},
      {2.050658, 1.801707}, {-1.750658, -0.06205414}}, {{-1, 0}, {0.5326238, 0.02775146}, {-1.032624, 0.805748},
      {-1.032624, -0.805748}, {0.5326238, -0.02775146}}}},
    {fft.rfft2(M), {{{51, 0}, {-27, 30}, {63, 0}}, {{-15, 8.660254}, {0.8038476, -12.4641}, {-21, 12.12436}},
      {{-15, -8.660254}, {11.19615, -5.535898}, {-21, -12.12436}}}},
    {fft.irfft2(fft.rfft2(M)), {{1, -2, 6, 2}, {5, -6, 14, 4}, {9, -10, 22, 6}}},
    {fft.rfft2(M, {axes = {2, 1}}), {{{51, 0}, {-27, 30}, {63, 0}, {-27, -30}}, {{-15, 8.660254}, {0.8038476,
      -12.4641}, {-21, 12.12436}, {11.19615, 5.535898}}}},
    {fft.fft2(fft.complex(B), {axes = {1, 2, 3}}), {{{{8, 0}, {6.5, -4.330127}, {6.5, 4.330127}}, {{-2, 0}, {-0.5,
      4.330127}, {-0.5, -4.330127}}}, {{{4, 0}, {-9.5, -4.330127}, {-9.5, 4.330127}}, {{-2, 0}, {5.5, -6.062178}, {5.5,
      6.062178}}}}},
    {fft.fft2(fft.complex(M), {axes = 1}), fft.fft(fft.complex(M), {axis = 1}):table()},
    {fft.rfft2(B, {s = {3, 1, 2}, axes = {1, 2, 3}}), {{{{3, 0}, {3, 0}}}, {{{3, 0}, {-3, -3.464102}}}, {{{3, 0}, {-3,
      3.464102}}}}},
    {fft.irfft2(fft.rfft2(B, {axes = {3, 2, 1}}), {axes = {3, 2, 1}}), B:table()},
    {fft.fftfreq(5, 0.5), {0, 0.4, 0.8, -0.8, -0.4}},
    {fft.fftfreq(4), {0, 0.25, -0.5, -0.25}},
    {fft.rfftfreq(6), {0, 0.1666667, 0.3333333, 0.5}},
    {fft.fftshift(X), {4, -1, 2, 1, -2, 3, 0.5}},
    {fft.ifftshift(X), {0.5, 4, -1, 2, 1, -2, 3}},
    {fft.mul(C, C), {{-3, 4}, {-1, 0}, {8.75, 3}, {3, -4}, {0, 2}}},
    {fft.conj(C), {{1, -2}, {0, 1}, {3, -0.5}, {-2, -1}, {1, -1}}},
    {fft.abs(C), {2.236068, 1, 3.041381, 2.236068, 1.414214}},
    {fft.angle(C), {1.107149, -1.570796, 0.1651487, 2.677945, 0.7853982}},
    {fft.hann_window(5), {0, 0.3454915, 0.9045085, 0.9045085, 0.3454915}},
    {fft.hann_window(4, {periodic = false}), {0, 0.75, 0.75, 0}},
    {fft.hamming_window(5), {0.08, 0.3978522, 0.9121478, 0.9121478, 0.3978522}},
    {fft.hamming_window(4, {periodic = false}), {0.08, 0.77, 0.77, 0.08}},
    {fft.blackman_window(5), {0, 0.2007701, 0.8492299, 0.8492299, 0.2007701}},
    {fft.blackman_window(4, {periodic = false}), {0, 0.63, 0.63, 0}},
    {fft.bartlett_window(5), {0, 0.4, 0.8, 0.8, 0.4}},
    {fft.bartlett_window(4, {periodic = false}), {0, 0.6666667, 0.6666667, 0}},
    {fft.fftconvolve(X, H, "full"), {1, -1.5, 1, 4, 1.25, 0.5, -2.5, 2, -2}},
    {fft.correlate(X, H, "full"), {-1, 2.5, -3, -1, -0.75, 3.5, 1.5, 0, 2}},
    {fft.fftconvolve(X, H, "same"), {-1.5, 1, 4, 1.25, 0.5, -2.5, 2}},
    {fft.correlate(X, H, "same"), {2.5, -3, -1, -0.75, 3.5, 1.5, 0}},
    {fft.fftconvolve(X, H, "valid"), {1, 4, 1.25, 0.5, -2.5}},
    {fft.correlate(X, H, "valid"), {-3, -1, -0.75, 3.5, 1.5}},
    {fft.stft(SIG, {n_fft = 8, hop_length = 6}), {{{6.920742, 0}, {3.764383, 0}, {10.15822, 0}, {10.67519, 0}},
      {{1.327532, 0}, {3.022036, -1.045719}, {-3.420392, -1.164812}, {-2.178441, 2.59114}}, {{-1.635911, 0},
      {0.01015245, 0.1852739}, {-0.4671752, 0.1725602}, {0.4126986, -1.026148}}, {{0.1424444, 0}, {-0.107985,
      0.08679053}, {-0.3513389, 0.08211925}, {0.5782367, 0.1655381}}, {{-0.7089665, 0}, {-0.129192, 0}, {-0.330545, 0},
      {-0.03201054, 0}}}},
    {fft.stft(SIG, {n_fft = 6, win_length = 4, window = fft.hann_window(4), center = false, normalized = true,
      hop_length = 7}), {{{0.866886, 0}, {1.289851, 0}, {0.9426802, 0}}, {{-0.6708821, -0.07963111}, {-0.9831567,
      0.2070681}, {-0.6921745, 0.2143949}}, {{0.2788744, 0.07963111}, {0.3697672, -0.2070681}, {0.1911629,
      -0.2143949}}, {{-0.08287049, 0}, {-0.06307254, 0}, {0.05934288, 0}}}},
    {fft.spectrogram(SIG, {n_fft = 8, hop_length = 5}), {{7.820999, 1.400573, 30.5733, 15.62045, 41.30395},
      {0.4322295, 2.144371, 14.51456, 1.771254, 17.31784}, {1.405291, 0.5892463, 0.8177026, 0.635493, 1.813111},
      {0.4322295, 0.0001957502, 0.001858238, 0.0006094403, 0.1527438}, {0.1812251, 1.821223e-05, 6.388495e-05,
      0.0001145383, 0.09310042}}},
  }
  it("has PyTorch's and NumPy's values", function()
    for i, pair in ipairs(by_others) do
      assert.same(lt.tensor(pair[2]).shape, pair[1].shape, "case " .. i)
      assert.close(pair[1], pair[2], 1e-5)
    end
  end)

  -- The sum itself, in double.
  local function by_hand(x)
    local n, list = x:size(1), {}
    local re, im = fft64.real(x), fft64.imag(x)
    for k = 0, n - 1 do
      local turns = {}
      for j = 0, n - 1 do turns[j + 1] = -2 * math.pi * ((j * k) % n) / n end
      local angle = lt64.tensor(turns)
      list[k + 1] = {(re * angle:cos() - im * angle:sin()):sum():item(),
        (re * angle:sin() + im * angle:cos()):sum():item()}
    end
    return list
  end

  it("of any length is the sum that defines it", function()
    for _, n in ipairs{1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 25, 34, 49, 59, 60, 64, 97, 121, 128, 143, 169} do
      local x = values.tensor(lt64, {n, 2}, n)
      assert.close(fft64.fft(x), by_hand(x), 1e-12)
      assert.close(fft64.ifft(fft64.fft(x)), x, 1e-12)
      local y = x:slice(2, 1, 1):squeeze(2)
      assert.close(fft64.irfft(fft64.rfft(y), n), y, 1e-12)
      assert.close(fft.fft(values.tensor(lt, {n, 2}, n)), by_hand(x), 1e-6)
    end
  end)

  it("of long lines comes back, and is the same with any number of threads", function()
    for _, n in ipairs{1 << 17, 3 ^ 10 // 1 | 0, 100003} do
      local x = lt.randn(n, 2)
      assert.close(fft.ifft(fft.fft(x)), x, 1e-6)
    end
    local x, before = lt.randn(50, 360, 2), lt.threads()
    local want = fft.fft(x, {axis = 1})
    for threads = 1, 3 do
      lt.set_threads(threads)
      assert.equal(0, (fft.fft(x, {axis = 1}) - want):abs():max():item())
    end
    lt.set_threads(before)
  end)

  it("runs along any axis of a batch", function()
    local x = lt.randn(2, 5, 3, 2)
    local y = fft.fft(x, {axis = 2})
    for i = 1, 2 do
      for j = 1, 3 do
        assert.close(y[i]:slice(2, j, j):reshape(5, 2), fft.fft(x[i]:slice(2, j, j):reshape(5, 2)))
      end
    end
    assert.close(fft.fftconvolve(lt.randn(4, 9), H, {mode = "valid"}).shape, {4, 7})
    assert.same({3, 4, 6}, fft.fftconvolve(lt.randn(3, 4, 2), lt.randn(1, 4, 5)).shape)
  end)

  it("keeps the energy with the norm \"ortho\"", function()
    local x = lt.randn(77, 2)
    assert.close(fft.fft(x, {norm = "ortho"}):square():sum(), x:square():sum())
  end)

  it("gives a signal back from its pieces", function()
    local x = lt.randn(2, 200)
    for _, o in ipairs{{n_fft = 16}, {n_fft = 16, hop_length = 8, window = fft.hann_window(16)},
      {n_fft = 15, hop_length = 5, window = fft.hamming_window(15), normalized = true},
      {n_fft = 16, win_length = 12, hop_length = 3, window = fft.hann_window(12)},
      {n_fft = 20, hop_length = 20, center = false}} do
      local S = fft.stft(x, o)
      assert.same({2, o.n_fft // 2 + 1}, {S:size(1), S:size(2)})
      o.length = 200
      assert.close(fft.istft(S, o), x, 1e-5)
    end
    local o = {n_fft = 6, hop_length = 2, window = fft.hann_window(6), onesided = false}
    local whole, half = fft.stft(x, o), fft.stft(x, {n_fft = 6, hop_length = 2, window = o.window})
    assert.same({2, 6, 101, 2}, whole.shape)
    assert.close(whole:slice(2, 1, 4), half, 1e-5)
    assert.close(whole:slice(2, 5, 6), fft.conj(half:slice(2, 2, 3):flip(2)), 1e-5)
    assert.close(fft.istft(whole, o), x, 1e-5)
    assert.same({2, 192}, fft.istft(fft.stft(x, {n_fft = 16, hop_length = 16}), {n_fft = 16, hop_length = 16}).shape)
  end)
end)

describe("gradients of fft, and their own,", function()
  local f = fft64
  local cases = {
    {"fft", function(_, x) return f.fft(x) end, {2, 5, 2}},
    {"ifft", function(_, x) return f.ifft(x, 7, 1) end, {3, 2, 2}},
    {"fft of a large prime", function(_, x) return f.fft(x, {norm = "ortho"}) end, {17, 2}},
    {"rfft", function(_, x) return f.rfft(x, {axis = 1}) end, {5, 2}},
    {"rfft2", function(_, x) return f.rfft2(x) end, {3, 4}},
    {"irfft", function(_, x) return f.irfft(x) end, {2, 4, 2}},
    {"irfft odd", function(_, x) return f.irfft(x, 7) end, {4, 2}},
    {"fft2", function(_, x) return f.fft2(x) end, {2, 3, 2}},
    {"irfft2", function(_, x) return f.irfft2(x) end, {3, 3, 2}},
    {"rfft2 along three axes", function(_, x) return f.rfft2(x, {s = {2, 3, 2}, axes = {3, 1, 2}}) end, {2, 3, 2}},
    {"ifft2", function(_, x) return f.ifft2(x, {s = {2, 4}}) end, {3, 3, 2}},
    {"complex", function(_, x, y) return f.complex(x, y) end, {3}, {3}},
    {"real", function(_, x) return f.real(x) end, {3, 2}},
    {"imag", function(_, x) return f.imag(x) end, {3, 2}},
    {"fftshift", function(_, x) return f.fftshift(x) end, {2, 5}},
    {"ifftshift", function(_, x) return f.ifftshift(x, 1) end, {5, 2}},
    {"mul", function(_, x, y) return f.mul(x, y) end, {3, 2}, {2, 1, 2}},
    {"conj", function(_, x) return f.conj(x) end, {3, 2}},
    {"abs", function(_, x) return f.abs(x) end, {3, 2}},
    {"angle", function(_, x) return f.angle(x) end, {3, 2}},
    {"fftconvolve", function(_, x, y) return f.fftconvolve(x, y) end, {2, 6}, {3}},
    {"correlate", function(_, x, y) return f.correlate(x, y, "same") end, {6}, {3}},
    {"stft", function(_, x) return f.stft(x, {n_fft = 4, hop_length = 3}) end, {2, 10}},
    {"stft of both sides", function(_, x) return f.stft(x, {n_fft = 4, onesided = false}) end, {7}},
    {"istft", function(_, x) return f.istft(x, {n_fft = 4, hop_length = 2}) end, {3, 4, 2}},
    {"istft of both sides", function(_, x) return f.istft(x, {n_fft = 4, onesided = false}) end, {4, 3, 2}},
    {"spectrogram", function(_, x) return f.spectrogram(x, {n_fft = 6, hop_length = 4}) end, {12}},
  }
  it("are checked of every function of signals", function()
    local had = {}
    for _, case in ipairs(cases) do had[case[1]:match "^%S+"] = true end
    for name, value in pairs(fft) do
      local of_numbers = name:find "_window$" or name:find "freq$"
      assert(type(value) ~= "function" or of_numbers or had[name], "no case of fft." .. name)
    end
  end)
  for _, case in ipairs(cases) do
    it("of " .. case[1], function()
      local inputs = {}
      for i = 3, #case do inputs[i - 2] = lt64.param(values.tensor(lt64, case[i], i)) end
      gradcheck.check(case[2], inputs)
      rulecheck.check(case[2], inputs)
    end)
  end
end)

describe("wrong use of fft", function()
  local bad = {
    {"fft.fft: x: expected complex numbers %[%.%.%., 2%] of a floating type, got float32 %[7%]; fft.complex%(x%)",
      function() local _ = fft.fft(X) end},
    {"fft.rfft: x: expected a signal %[%.%.%., n%] of a floating type, got i64 %[7%]",
      function() local _ = fft.rfft(X:long()) end},
    {"fft.fft: axis: expected 1%.%.1 or %-1%.%.%-1, got 2", function() local _ = fft.fft(C, {axis = 2}) end},
    {"fft.fft: n: expected at least 1, got 0", function() local _ = fft.fft(C, 0) end},
    {"fft.fft: norm: expected one of backward ortho forward, got \"sum\"",
      function() local _ = fft.fft(C, {norm = "sum"}) end},
    {"fft.fft: n: expected at least 1, got 0", function() local _ = fft.fft(lt.zeros(3, 0, 2)) end},
    {"fft.rfft2: axes: 1 is given twice", function() local _ = fft.rfft2(M, {axes = {1, 1}}) end},
    {"fft.fft2: axes: expected 1%.%.1 or %-1%.%.%-1, got %-2", function() local _ = fft.fft2(C) end},
    {"fft.rfft2: s: expected one whole number for each of 2 axes, got 1",
      function() local _ = fft.rfft2(M, {s = 4}) end},
    {"fft.complex: im: expected float32 %[3, 4%], got float32 %[7%]", function() local _ = fft.complex(M, X) end},
    {"fft.fftconvolve: expected signals with elements, got 7 and 0",
      function() local _ = fft.fftconvolve(X, lt.zeros(0)) end},
    {"fft.stft: n_fft: expected a whole number of at least 1, got nil", function() local _ = fft.stft(SIG, {}) end},
    {"fft.stft: x: expected at least n_fft, 32, samples, got 20",
      function() local _ = fft.stft(SIG, {n_fft = 32, center = false}) end},
    {"fft.stft: x: expected more than n_fft // 2, 32, samples to reflect, got 20",
      function() local _ = fft.stft(SIG, {n_fft = 64}) end},
    {"fft.stft: window: expected float32 %[8%], got float32 %[4%]",
      function() local _ = fft.stft(SIG, {n_fft = 8, window = fft.hann_window(4)}) end},
    {"fft.stft: win_length: expected at most n_fft, 8, got 9",
      function() local _ = fft.stft(SIG, {n_fft = 8, win_length = 9}) end},
    {"fft.istft: x: expected %[%.%.%., 5, pieces, 2%], got %[3, 4, 2%]",
      function() local _ = fft.istft(lt.ones(3, 4, 2), {n_fft = 8}) end},
    {"fft.istft: x: expected %[%.%.%., 8, pieces, 2%], got %[5, 4, 2%]",
      function() local _ = fft.istft(lt.ones(5, 4, 2), {n_fft = 8, onesided = false}) end},
    {"fft.istft: window: expected one whose copies leave no sample out", function()
      local _ = fft.istft(lt.ones(5, 4, 2), {n_fft = 8, hop_length = 8, window = fft.hann_window(8), center = false})
    end},
    {"fft.fftfreq: d: expected a number above 0, got 0", function() local _ = fft.fftfreq(4, 0) end},
    {"fft.hann_window: n: expected a whole number of at least 1, got 0", function() local _ = fft.hann_window(0) end},
    {"fft.spectrogram: unknown option \"hop\"", function() local _ = fft.spectrogram(SIG, {n_fft = 8, hop = 2}) end},
  }
  for _, case in ipairs(bad) do
    it("is met with " .. case[1], function() assert.misuse(case[2], case[3] or case[1]) end)
  end
end)
