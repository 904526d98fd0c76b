--- For specs of readers: a file cut off at every length, and with bytes changed at every place.

local assert = require "luassert"
local scratch = require "spec.support.scratch"

local M = {}

--- Hands a reader every damaged form of a file: each must give a value, or nil and a message.
-- Cut off, it must give a message.
-- @tparam function load path -> value, or nil and a message
-- @tparam string whole the file's bytes
-- @tparam string folder
-- @tparam ?int step only every so many places (unless said each)
function M.try(load, whole, folder, step)
  local function answer(bytes)
    os.remove(folder .. "/damaged") -- a file that is overwritten is flushed to the disk, which takes long
    local value, message = load(scratch.write(folder, "damaged", bytes))
    assert.is_string(value == nil and message or "fine")
    return value
  end
  for i = 1, #whole, step or 1 do
    assert.is_nil(answer(whole:sub(1, i - 1)), i - 1)
    for _, byte in ipairs {"\0", "\255", "9", string.char(whole:byte(i) ~ 1), string.char(whole:byte(i) ~ 128)} do
      answer(whole:sub(1, i - 1) .. byte .. whole:sub(i + 1))
    end
  end
end

return M
