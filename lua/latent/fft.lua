--- Signals and their spectra: Fourier transforms, windows, spectrograms, long convolutions.
-- A complex number is two neighbours: a complex tensor [..., 2] has real and imaginary parts along its last axis, and
-- that axis is none of those that functions here count. Transforms take any length, run along any axis, and have
-- gradients.
-- @usage
-- local power = fft.abs(fft.rfft(x)):square()            -- x [..., n] -> [..., n // 2 + 1]
-- local S = fft.spectrogram(x, {n_fft = 256, hop = 64})  -- [frames, 129]
-- @module latent.fft
local M = {}
for _, part in ipairs{"transforms", "windows", "pieces"} do
  for name, f in pairs(require("latent.fft." .. part)) do M[name] = f end
end

return M
