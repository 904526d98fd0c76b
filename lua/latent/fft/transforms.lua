--- Complex numbers, Fourier transforms and convolutions by them.
-- @module latent.fft.transforms
local arguments = require "latent.base.arguments"
local axis_tools = require "latent.base.axes"
local core = require "latent.core"
local lt = require "latent"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local M = {}

-- ---- complex numbers ----

local function real_signal(name, x)
  core.check_tensor(x, "fft." .. name)
  if x:dim() < 1 or x.dtype == "u8" or x.dtype == "i64" then
    core.raise(("fft.%s: x: expected a signal [..., n] of a floating type, got %s"):format(name, shapes.typed(x)))
  end
end

local function complex_signal(name, x, least)
  core.check_tensor(x, "fft." .. name)
  if x:dim() < (least or 1) or x:size(-1) ~= 2 or x.dtype == "u8" or x.dtype == "i64" then
    core.raise(("fft.%s: x: expected complex numbers [..., 2] of a floating type, got %s%s"):format(name,
      shapes.typed(x), x:dim() >= 1 and "; fft.complex(x) makes them of real ones" or ""))
  end
end

-- Real and imaginary parts.
local function halves(x)
  return x:slice(-1, 1, 1):squeeze(-1), x:slice(-1, 2, 2):squeeze(-1)
end

--- Complex numbers from their parts.
-- @tparam Tensor re
-- @tparam ?Tensor im zeros unless given
-- @treturn Tensor [..., 2]
function M.complex(re, im)
  core.check_tensor(re, "fft.complex: re")
  if im == nil then im = lt.zeros(re.shape, {dtype = re.dtype}) end
  core.check_tensor(im, "fft.complex: im")
  if shapes.typed(re) ~= shapes.typed(im) then
    core.raise(("fft.complex: im: expected %s, got %s"):format(shapes.typed(re), shapes.typed(im)))
  end
  return lt.stack({re, im}, -1)
end

--- The real part.
-- @tparam Tensor x [..., 2]
-- @treturn Tensor [...]
function M.real(x)
  complex_signal("real", x)
  return (halves(x))
end

--- The imaginary part.
-- @tparam Tensor x [..., 2]
-- @treturn Tensor [...]
function M.imag(x)
  complex_signal("imag", x)
  return (select(2, halves(x)))
end

--- The product of complex numbers; the shapes broadcast.
-- @tparam Tensor x [..., 2]
-- @tparam Tensor y [..., 2]
-- @treturn Tensor [..., 2]
function M.mul(x, y)
  complex_signal("mul", x)
  complex_signal("mul", y)
  local a, b = halves(x)
  local c, d = halves(y)
  return lt.stack({a * c - b * d, a * d + b * c}, -1)
end

--- The conjugate.
-- @tparam Tensor x [..., 2]
-- @treturn Tensor [..., 2]
function M.conj(x)
  complex_signal("conj", x)
  local a, b = halves(x)
  return lt.stack({a, -b}, -1)
end

--- The absolute value; its gradient at 0 is 0.
-- @tparam Tensor x [..., 2]
-- @treturn Tensor [...]
function M.abs(x)
  complex_signal("abs", x)
  return x:norm(-1)
end

--- The angle, from -pi to pi.
-- @tparam Tensor x [..., 2]
-- @treturn Tensor [...]
function M.angle(x)
  complex_signal("angle", x)
  local a, b = halves(x)
  return lt.atan2(b, a)
end

-- ---- transforms ----

local NORMS = {"backward", "ortho", "forward"}
local AXIS, NORM = {name = "axis", kind = "axis", default = -1}, {name = "norm", kind = "choice", choices = NORMS}
local ONE = {{name = "n", kind = "int"}, AXIS, NORM}
local TWO = {{name = "s", kind = "ints"}, {name = "axes", kind = "axes"}, NORM}

-- An axis cut off or filled with zeros to n.
local function fitted(name, x, axis, n)
  local have = x:size(axis)
  n = n or have
  if n < 1 then core.raise(("fft.%s: n: expected at least 1, got %d"):format(name, n)) end
  if n < have then return x:slice(axis, 1, n) end
  if n == have then return x end
  local shape = x.shape
  shape[axis] = n - have
  return lt.cat({x, lt.zeros(shape, {dtype = x.dtype})}, axis)
end

local function transform(x, axis, inverse, norm)
  local n = x:size(axis)
  local whole = norm == "ortho" and n ^ -0.5 or (norm == "forward") ~= inverse and 1 / n or 1
  return core.ops.fft(x, axis, {inverse = inverse, scale = whole})
end

local function complex_transform(name, inverse, x, ...)
  complex_signal(name, x, 2)
  local o = arguments.read("fft." .. name, ONE, ...)
  local axis = axis_tools.axis("fft." .. name, o.axis, x:dim() - 1)
  local y = transform(fitted(name, x, axis, o.n), axis, inverse, o.norm)
  return y
end

--- The discrete Fourier transform: y_k = sum over j of x_j exp(-2 pi i jk / n).
-- @tparam Tensor x complex [..., n, 2]
-- @tparam ?int n cut off or filled with zeros to this length first
-- @tparam ?int axis default -1, the last one before the parts
-- @tparam ?string norm what is divided by n: "backward" (default) nothing here, "forward" this, "ortho" by its root
-- @treturn Tensor complex, of x's shape but for the length
function M.fft(x, n, axis, norm)
  local y = complex_transform("fft", false, x, n, axis, norm)
  return y
end

--- The inverse of fft: x_j = 1/n sum over k of y_k exp(2 pi i jk / n).
-- @tparam Tensor x complex [..., n, 2]
-- @tparam ?int n see fft
-- @tparam ?int axis default -1
-- @tparam ?string norm "backward" (default) divides by n here, "forward" not, "ortho" by its root
-- @treturn Tensor complex
function M.ifft(x, n, axis, norm)
  local y = complex_transform("ifft", true, x, n, axis, norm)
  return y
end

-- The half of a real signal's spectrum that is not the other half's mirror image.
local function real_forward(name, x, axis, n, norm)
  x = fitted(name, x, axis, n)
  local y = transform(M.complex(x), axis, false, norm)
  return y:slice(axis, 1, x:size(axis) // 2 + 1)
end

-- The real signal of n elements whose half of a spectrum is x.
local function real_inverse(name, x, axis, n, norm)
  n = n or 2 * (x:size(axis) - 1)
  local half = fitted(name, x, axis, n // 2 + 1)
  local mirrored = n - half:size(axis)
  if mirrored > 0 then half = lt.cat({half, M.conj(half:slice(axis, 2, mirrored + 1)):flip(axis)}, axis) end
  return (halves(transform(half, axis, true, norm)))
end

--- The transform of a real signal: the first n // 2 + 1 numbers of fft, whose others are their mirror image.
-- @tparam Tensor x real [..., n]
-- @tparam ?int n see fft
-- @tparam ?int axis default -1
-- @tparam ?string norm see fft
-- @treturn Tensor complex [..., n // 2 + 1, 2]
function M.rfft(x, n, axis, norm)
  real_signal("rfft", x)
  local o = arguments.read("fft.rfft", ONE, n, axis, norm)
  return real_forward("rfft", x, axis_tools.axis("fft.rfft", o.axis, x:dim()), o.n, o.norm)
end

--- The inverse of rfft.
-- @tparam Tensor x complex [..., n // 2 + 1, 2]
-- @tparam ?int n the length of the signal; 2 (numbers - 1) unless given, which an odd length has to be
-- @tparam ?int axis default -1
-- @tparam ?string norm see ifft
-- @treturn Tensor real [..., n]
function M.irfft(x, n, axis, norm)
  complex_signal("irfft", x, 2)
  local o = arguments.read("fft.irfft", ONE, n, axis, norm)
  return real_inverse("irfft", x, axis_tools.axis("fft.irfft", o.axis, x:dim() - 1), o.n, o.norm)
end

-- Axes, the last two unless given, and their sizes (nil: as they are).
local function several(name, dims, o)
  local axes = o.axes == nil and {-2, -1} or axis_tools.whole_numbers("fft." .. name, "axes", o.axes)
  local sizes = o.s == nil and {} or axis_tools.whole_numbers("fft." .. name, "s", o.s)
  if o.s ~= nil and #sizes ~= #axes then
    core.raise(("fft.%s: s: expected one whole number for each of %d axes, got %d"):format(name, #axes, #sizes))
  end
  local seen = {}
  for i, axis in ipairs(axes) do
    axis = axis_tools.axis("fft." .. name, axis, dims, "axes")
    if seen[axis] then core.raise(("fft.%s: axes: %d is given twice"):format(name, axis)) end
    axes[i], seen[axis] = axis, true
  end
  return axes, sizes
end

-- Along axes `first` and those before it.
local function along(name, y, axes, sizes, first, inverse, norm)
  for i = first, 1, -1 do y = transform(fitted(name, y, axes[i], sizes[i]), axes[i], inverse, norm) end
  return y
end

local function complex_transform2(name, inverse, x, ...)
  complex_signal(name, x, 2)
  local o = arguments.read("fft." .. name, TWO, ...)
  local axes, sizes = several(name, x:dim() - 1, o)
  return along(name, x, axes, sizes, #axes, inverse, o.norm)
end

--- The transform along two axes, or as many as are given.
-- @tparam Tensor x complex [..., m, n, 2]
-- @tparam ?{int,...} s the sizes that the axes are cut off or filled to
-- @tparam ?int|{int,...} axes the last two before the parts unless given
-- @tparam ?string norm see fft
-- @treturn Tensor complex
function M.fft2(x, s, axes, norm)
  local y = complex_transform2("fft2", false, x, s, axes, norm)
  return y
end

--- The inverse of fft2.
-- @tparam Tensor x complex [..., m, n, 2]
-- @tparam ?{int,...} s see fft2
-- @tparam ?int|{int,...} axes see fft2
-- @tparam ?string norm see ifft
-- @treturn Tensor complex
function M.ifft2(x, s, axes, norm)
  local y = complex_transform2("ifft2", true, x, s, axes, norm)
  return y
end

--- The transform of a real signal along two axes, or as many as are given; of the last one half is left, as in rfft.
-- @tparam Tensor x real [..., m, n]
-- @tparam ?{int,...} s see fft2
-- @tparam ?int|{int,...} axes see fft2
-- @tparam ?string norm see fft
-- @treturn Tensor complex [..., m, n // 2 + 1, 2]
function M.rfft2(x, s, axes, norm)
  real_signal("rfft2", x)
  local o = arguments.read("fft.rfft2", TWO, s, axes, norm)
  local list, sizes = several("rfft2", x:dim(), o)
  local last = #list
  return along("rfft2", real_forward("rfft2", x, list[last], sizes[last], o.norm), list, sizes, last - 1, false, o.norm)
end

--- The inverse of rfft2.
-- @tparam Tensor x complex [..., m, n // 2 + 1, 2]
-- @tparam ?{int,...} s the sizes of the signal; an odd last one has to be given
-- @tparam ?int|{int,...} axes see fft2
-- @tparam ?string norm see ifft
-- @treturn Tensor real [..., m, n]
function M.irfft2(x, s, axes, norm)
  complex_signal("irfft2", x, 2)
  local o = arguments.read("fft.irfft2", TWO, s, axes, norm)
  local list, sizes = several("irfft2", x:dim() - 1, o)
  local last = #list
  local y = along("irfft2", x, list, sizes, last - 1, true, o.norm)
  return real_inverse("irfft2", y, list[last], sizes[last], o.norm)
end

-- ---- what the numbers of a spectrum stand for ----

-- n and the time that a whole signal takes.
local function period(name, n, d)
  options.expect("fft." .. name, "n", n, "count")
  return n * (d == nil and 1 or options.expect("fft." .. name, "d", d, "positive"))
end

--- The frequencies of fft's numbers, in cycles a unit of time: 0, 1, ..., -2, -1 divided by n d.
-- @tparam int n the length
-- @tparam ?number d the time between samples, default 1
-- @treturn Tensor [n]
function M.fftfreq(n, d)
  local whole = period("fftfreq", n, d)
  local k = lt.arange(0, n - 1)
  return lt.where(k:gt((n - 1) // 2), k - n, k) / whole
end

--- The frequencies of rfft's numbers.
-- @tparam int n the length of the signal
-- @tparam ?number d the time between samples, default 1
-- @treturn Tensor [n // 2 + 1]
function M.rfftfreq(n, d)
  local whole = period("rfftfreq", n, d)
  return lt.arange(0, n // 2) / whole
end

local function shift(name, x, axis, direction)
  core.check_tensor(x, "fft." .. name)
  axis = axis_tools.axis("fft." .. name, axis or -1, x:dim())
  local n = x:size(axis)
  return x:roll(direction > 0 and n // 2 or -(n // 2), axis)
end

--- Moves frequency 0 to the middle of an axis.
-- @tparam Tensor x
-- @tparam ?int axis default -1; of a complex tensor its parts count here
-- @treturn Tensor
function M.fftshift(x, axis) return shift("fftshift", x, axis, 1) end

--- The inverse of fftshift.
-- @tparam Tensor x
-- @tparam ?int axis default -1
-- @treturn Tensor
function M.ifftshift(x, axis) return shift("ifftshift", x, axis, -1) end

-- ---- long signals ----

local CONVOLVE = {{name = "mode", kind = "choice", choices = {"full", "same", "valid"}}, AXIS}

local function convolve(name, x, y, reversed, ...)
  real_signal(name, x)
  real_signal(name, y)
  local o = arguments.read("fft." .. name, CONVOLVE, ...)
  local dims = math.max(x:dim(), y:dim())
  local axis = axis_tools.axis("fft." .. name, o.axis, dims)
  for _ = x:dim() + 1, dims do x = x:unsqueeze(1) end
  for _ = y:dim() + 1, dims do y = y:unsqueeze(1) end
  local n, m = x:size(axis), y:size(axis)
  if n == 0 or m == 0 then core.raise(("fft.%s: expected signals with elements, got %d and %d"):format(name, n, m)) end
  if reversed then y = y:flip(axis) end
  local full = n + m - 1
  local size = 1
  while size < full do size = size * 2 end
  local product = M.mul(real_forward(name, x, axis, size), real_forward(name, y, axis, size))
  local result = real_inverse(name, product, axis, size):slice(axis, 1, full)
  if o.mode == "same" then return result:slice(axis, (m - 1) // 2 + 1, (m - 1) // 2 + n) end
  if o.mode == "valid" then return result:slice(axis, math.min(n, m), math.max(n, m)) end
  return result
end

--- The convolution of signals, by their spectra: y_k = sum over j of x_j h_(k - j). Other axes broadcast.
-- @tparam Tensor x real [..., n]
-- @tparam Tensor y real [..., m]
-- @tparam ?string mode "full" (default, n + m - 1 elements), "same" (the middle, of n) or "valid" (where one lies
-- wholly within the other)
-- @tparam ?int axis default -1
-- @treturn Tensor
function M.fftconvolve(x, y, mode, axis)
  local z = convolve("fftconvolve", x, y, false, mode, axis)
  return z
end

--- The correlation of signals: fftconvolve with y back to front; in mode "full" the shift 0 is at place m.
-- @tparam Tensor x real [..., n]
-- @tparam Tensor y real [..., m]
-- @tparam ?string mode see fftconvolve
-- @tparam ?int axis default -1
-- @treturn Tensor
function M.correlate(x, y, mode, axis)
  local z = convolve("correlate", x, y, true, mode, axis)
  return z
end

return M
