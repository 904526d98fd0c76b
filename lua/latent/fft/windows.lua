--- Windows: weights that let pieces of a signal begin and end softly.
-- @module latent.fft.windows
local lt = require "latent"
local options = require "latent.base.options"

local M = {}

local ROWS = {
  {"periodic", "boolean", true, "one period of an endless window, as spectra want it; else symmetric"},
  {"dtype", "string", nil, "the type of the elements"},
}

-- A sum of cosines: a_1 - a_2 cos(2 pi k / N) + a_3 cos(4 pi k / N) - ...
local function cosines(name, ...)
  local read, factors = options.declare("fft." .. name, ROWS), {...}
  return function(n, opts)
    options.expect("fft." .. name, "n", n, "count")
    local o = read(opts)
    if n == 1 then return lt.ones(1, {dtype = o.dtype}) end
    local turn = lt.arange(0, n - 1, 1, {dtype = o.dtype}) * (2 * math.pi / (o.periodic and n or n - 1))
    local window = lt.full({n}, factors[1], {dtype = o.dtype})
    for i = 2, #factors do
      window = window + (turn * (i - 1)):cos() * (i % 2 == 0 and -factors[i] or factors[i])
    end
    return window
  end
end

--- Hann's window, a raised cosine: 1/2 - 1/2 cos(2 pi k / n).
-- @function M.hann_window
-- @tparam int n
-- @tparam ?table opts
-- @treturn Tensor [n]
M.hann_window = cosines("hann_window", 0.5, 0.5)

--- Hamming's window: 0.54 - 0.46 cos(2 pi k / n).
-- @function M.hamming_window
-- @tparam int n
-- @tparam ?table opts
-- @treturn Tensor [n]
M.hamming_window = cosines("hamming_window", 0.54, 0.46)

--- Blackman's window: 0.42 - 0.5 cos(2 pi k / n) + 0.08 cos(4 pi k / n).
-- @function M.blackman_window
-- @tparam int n
-- @tparam ?table opts
-- @treturn Tensor [n]
M.blackman_window = cosines("blackman_window", 0.42, 0.5, 0.08)

local read_bartlett = options.declare("fft.bartlett_window", ROWS)

--- Bartlett's window, a triangle.
-- @tparam int n
-- @tparam ?table opts
-- @treturn Tensor [n]
function M.bartlett_window(n, opts)
  options.expect("fft.bartlett_window", "n", n, "count")
  local o = read_bartlett(opts)
  if n == 1 then return lt.ones(1, {dtype = o.dtype}) end
  local k = lt.arange(0, n - 1, 1, {dtype = o.dtype}) * (2 / (o.periodic and n or n - 1))
  return 1 - (k - 1):abs()
end

return M
