--- Pictures from files and into files: PNG, PGM and PPM.
-- A picture is a tensor [height, width] in 0..1, 0 black and 1 white, or [height, width, 3] (red, green, blue), as the
-- file stores it (no gamma is undone).
-- Digits of one's own, dark on white paper, become what the models of the exercises expect so:
-- @usage
-- local x = assert(image.read "seven.png")                                   -- [h, w], ink is 0
-- x = lt.resize_bilinear(x:reshape(1, x:size(1), x:size(2), 1), 32, 32)      -- [1, 32, 32, 1]
-- x = (1 - x) * 2 - 1                                                        -- ink is 1, paper is -1, like MNIST
-- print(model:encode(x))
-- @module latent.image

require "latent" -- tensors get their methods
local core = require "latent.core"
local files = require "latent.base.files"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local pgm = require "latent.image.pgm"
local png = require "latent.image.png"

local M = {}

-- Grey as red, green and blue, or these as grey: Rec. 601 luma.
local function with_channels(x, color)
  local h, w = x:size(1), x:size(2)
  if color == (x:dim() == 3) then return x end
  if color then return x:reshape(h, w, 1):broadcast_to(h, w, 3) end
  return x:matmul(core.tensor({{0.299}, {0.587}, {0.114}}, {dtype = x.dtype})):reshape(h, w)
end

--- Reads a PNG, PGM or PPM file; its content tells which. Colours become grey as 0.299 R + 0.587 G + 0.114 B unless
-- they are asked for, and what is transparent lies on white.
-- @tparam string path
-- @tparam ?table opts `color` (false): red, green and blue, of a grey picture too
-- @treturn ?Tensor [height, width], or in colour [height, width, 3], float32 in 0..1; nil where the file cannot be read
-- @treturn ?string the message then
function M.read(path, opts)
  options.expect("image.read", "path", path, "string")
  opts = options.check("image.read", opts, {"color"})
  local color = options.expect("image.read", "color", opts.color or false, "boolean")
  local bytes, message = files.read_all(path)
  if not bytes then return nil, message end
  local kind = png.is(bytes) and png or pgm.is(bytes) and pgm
  if not kind then return nil, path .. ": expected a PNG, PGM or PPM picture (P2, P3, P5, P6)" end
  local tensor
  tensor, message = kind.decode(bytes, color)
  if not tensor then return nil, ("%s: %s"):format(path, message) end
  return with_channels(tensor, color)
end

-- Height, width and channels of a tensor that can be a picture.
local function picture_shape(tensor)
  core.check_tensor(tensor, "image.write")
  local shape = tensor.shape
  local channels = #shape == 2 and 1 or shape[3]
  if #shape < 2 or #shape > 3 or channels ~= 1 and channels ~= 3 or tensor:numel() == 0 then
    core.raise(("image.write: tensor: expected [height, width], [height, width, 1] or [height, width, 3], got %s")
      :format(shapes.text(shape)))
  end
  return shape[1], shape[2], channels
end

-- A byte a sample: of float32 0..1 rounded to 0..255, of u8 as it is.
local function samples_of(tensor)
  if tensor.dtype == "u8" then return tensor:bytes() end
  local x = tensor:detach()
  local nan = x:ne(x):sum():item()
  if nan > 0 then core.raise(("image.write: tensor: %d of its elements are NaN"):format(nan)) end
  return (x * 255):u8():bytes()
end

--- Writes a picture, atomically; the name's ending says which kind: .png (grey or in colour), .pgm (grey) or .ppm.
-- @tparam string path
-- @tparam Tensor tensor [height, width] or [height, width, 1], in colour [height, width, 3] (red, green, blue);
-- float32 in 0..1 (what lies outside is cut off) or u8 in 0..255
-- @treturn boolean true
-- @raise where the file cannot be written, the shape is no picture's, the ending is another or the tensor holds NaN
function M.write(path, tensor)
  options.expect("image.write", "path", path, "string")
  local height, width, channels = picture_shape(tensor)
  local ending = (path:match "%.(%w+)$" or ""):lower()
  if ending ~= "png" and ending ~= "pgm" and ending ~= "ppm" then
    core.raise(("image.write: path: expected a name ending in .png, .pgm or .ppm, got %q"):format(path))
  end
  if ending == "ppm" and channels ~= 3 then
    core.raise "image.write: tensor: PPM is in colour, expected [height, width, 3]"
  end
  if ending == "pgm" and channels ~= 1 then
    core.raise "image.write: tensor: PGM is grey, expected [height, width] or [height, width, 1]"
  end
  local encode = ending == "png" and png.encode or pgm.encode
  return files.save(path, encode(samples_of(tensor), height, width, channels))
end

return M
