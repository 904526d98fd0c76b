-- Damage that needs no knowledge of a format: to bytes, and to text made of numbers, words and brackets.
local M = {}

local function splice(bytes, from, to, new) return bytes:sub(1, from - 1) .. new .. bytes:sub(to + 1) end

-- A place and how many bytes from it on, at most `most`.
local function range(r, bytes, most)
  local from = r:int(1, math.max(#bytes, 1))
  return from, math.min(from + r:int(0, most - 1), #bytes)
end

local WIDTHS = {"I1", "I2", "I4", "I8"}

local WAYS = {
  function(r, bytes) -- one bit
    local at = r:int(1, #bytes)
    return splice(bytes, at, at, string.char(bytes:byte(at) ~ 1 << r:int(0, 7)))
  end,
  function(r, bytes) -- one byte
    local at = r:int(1, #bytes)
    return splice(bytes, at, at, r:chance(0.5) and r:pick{"\0", "\255", "\127", "\128"} or r:bytes(1))
  end,
  function(r, bytes) -- a number
    local format = r:pick{"<", ">"} .. r:pick(WIDTHS)
    local size = format:packsize()
    local at = r:int(1, #bytes)
    local mask = size < 8 and (1 << 8 * size) - 1 or -1
    return splice(bytes, at, at + size - 1, format:pack(r:integer() & mask))
  end,
  function(r, bytes) return bytes:sub(1, r:int(0, #bytes - 1)) end,
  function(r, bytes) return bytes .. r:bytes(r:int(1, 20)) end,
  function(r, bytes) -- something less
    local from, to = range(r, bytes, 64)
    return splice(bytes, from, to, "")
  end,
  function(r, bytes) -- something more
    local at = r:int(1, #bytes)
    return splice(bytes, at, at - 1, r:bytes(r:int(1, 8)))
  end,
  function(r, bytes) -- something twice
    local from, to = range(r, bytes, 200)
    local at = r:int(1, #bytes)
    return splice(bytes, at, at - 1, bytes:sub(from, to))
  end,
  function(r, bytes) -- something else
    local from, to = range(r, bytes, 32)
    return splice(bytes, from, to, r:chance(0.5) and ("\0"):rep(to - from + 1) or r:bytes(to - from + 1))
  end,
}

--- Bytes with one to a few faults.
function M.damage(r, bytes)
  for _ = 1, r:chance(0.6) and 1 or r:int(2, 6) do
    if #bytes == 0 then return r:bytes(r:int(0, 8)) end
    bytes = r:pick(WAYS)(r, bytes)
  end
  return bytes
end

-- Text: tokens are numbers, words in quotes and single signs.

local NUMBERS = {"-0", "1e999", "1.5", "0x10", "01", "1e-400", "99999999999999999999999999", "-", "."}
local WORDS = {"null", "true", "NaN", "None", "{}", "[]", '""', "\\u0000", "\\ud800", "\255", "\0", "(", ")", ",", ":",
  "{", "}", "[", "]", '"', "'", "\\", "\n", " "}

local TEXT_WAYS = {
  function(r, text) -- another number
    local places = {}
    for from, to in text:gmatch "()%-?%d+()" do places[#places + 1] = {from, to - 1} end
    if #places == 0 then return text end
    local place = r:pick(places)
    return splice(text, place[1], place[2], r:chance(0.7) and tostring(r:integer()) or r:pick(NUMBERS))
  end,
  function(r, text) -- a word in the place of something in quotes
    local places = {}
    for from, to in text:gmatch "()[\"'][%w_.<>|]*[\"']()" do places[#places + 1] = {from, to - 1} end
    if #places == 0 then return text end
    local from, to = table.unpack(r:pick(places))
    local other = r:pick(places)
    return splice(text, from, to, r:chance(0.5) and text:sub(other[1], other[2]) or r:pick(WORDS))
  end,
  function(r, text)
    local at = r:int(1, #text + 1)
    return splice(text, at, at - 1, r:pick(WORDS))
  end,
  function(r, text) -- nested
    local at, deep = r:int(1, #text + 1), r:pick{2, 50, 127, 128, 129, 300, 20000}
    local open = r:pick{"[", "{", "(", '{"a":'}
    return splice(text, at, at - 1, open:rep(deep) .. (r:chance(0.5) and r:pick{"]", "}", ")"}:rep(deep) or ""))
  end,
  function(r, text) -- much of the same
    local from, to = range(r, text, 60)
    return splice(text, from, to, text:sub(from, to):rep(r:pick{2, 3, 100, 1000}))
  end,
  function(r, text)
    local at = r:int(1, #text + 1)
    return splice(text, at, at - 1, r:pick{" ", "\t", "9", "a", "[]", "\n"}:rep(r:pick{10, 1000, 100000}))
  end,
  function(r, text) return M.damage(r, text) end,
}

--- Text with one to a few faults.
function M.damage_text(r, text)
  for _ = 1, r:chance(0.6) and 1 or r:int(2, 5) do
    if #text == 0 then return r:pick(WORDS) end
    text = r:pick(TEXT_WAYS)(r, text)
  end
  return text
end

return M
