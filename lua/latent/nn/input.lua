--- What a layer says of an input that does not fit.
-- @module latent.nn.input
local core = require "latent.core"
local shapes = require "latent.base.shapes"

local M = {}

local MOST = 8 -- axes of a tensor

--- The inputs that layers take: `text` is for the message (`%d` is the size of the last axis), `dims` the
-- number of axes, `least` the least number, `most` the greatest.
M.ANY = {text = "a float32 or float64 tensor"}
M.BATCH = {text = "[batch, ...]", least = 1}
M.ROWS = {text = "[*, %d]", least = 1}
M.ITEMS = {text = "[batch, %d]", dims = 2}
M.IMAGES = {text = "[batch, height, width, channels]", dims = 4}
M.MAPS = {text = "[batch, height, width, %d]", dims = 4}
M.VOLUMES = {text = "[batch, depth, height, width, %d]", dims = 5}
M.FRAMES = {text = "[batch, depth, height, width, channels]", dims = 5}
M.SEQUENCES = {text = "[batch, time, channels]", dims = 3}
M.STEPS = {text = "[batch, time, %d]", dims = 3}
M.CHANNELS = {text = "[batch, ..., %d]", least = 2}
M.PLACES = {text = "[batch, ..., channels]", least = 3}
M.ROWS_OR_SEQUENCES = {text = "[batch, %d] or [batch, time, %d]", least = 2, most = 3}
for _, pattern in pairs(M) do
  pattern[1], pattern[2] = pattern.dims or pattern.least or 0, pattern.dims or pattern.most or MOST
end

local function refuse(layer, x, pattern, size)
  core.check_tensor(x, layer:text())
  local shape = x.shape
  local fitting = #shape >= pattern[1] and #shape <= pattern[2] and (not size or shape[#shape] == size)
  local text = pattern.text:format(size, size)
  if fitting and pattern ~= M.ANY then text = "float32 " .. text end
  core.raise(("%s: expected %s, got %s%s"):format(layer:text(), text,
    fitting and x.dtype .. " " or "", shapes.text(shape)))
end

--- Raises `Linear(784 -> 400): expected [*, 784], got [128, 28, 28, 1]` unless an input fits.
-- @function check
-- @tparam Module layer
-- @param x
-- @tparam table pattern one of those above
-- @tparam ?int size of the last axis
-- @treturn Tensor x
M.check = core.input_check(refuse)

return M
