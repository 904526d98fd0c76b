-- Damage by someone who knows the format: it goes into one part, and half of the time what guards that part (a
-- length, a checksum, the packing) is put right again, so that it reaches what lies behind.
local bytes = require "tools.fuzz.bytes"
local core = require "latent.core"
local zip = require "latent.formats.zip"

local M = {}

--- Text and plain bytes have no guard.
function M.text(r, whole) return bytes.damage_text(r, whole) end
function M.raw(r, whole) return bytes.damage(r, whole) end

-- NumPy: magic, version, the header's length, the header, the elements.
function M.npy(r, whole)
  local length = ("<I2"):unpack(whole, 9)
  local header, data = whole:sub(11, 10 + length), whole:sub(11 + length)
  if r:chance(0.8) then header = bytes.damage_text(r, header) else data = bytes.damage(r, data) end
  if r:chance(0.1) then data = data .. ("\0"):rep(1 << r:int(10, 22)) end
  if r:chance(0.2) then
    local stated = r:chance(0.5) and #header or r:integer() & 0xFFFFFFFF
    return "\147NUMPY" .. r:pick{"\2\0", "\3\0", "\9\0"} .. ("<I4"):pack(stated) .. header .. data
  end
  local stated = r:chance(0.7) and #header or r:integer()
  return "\147NUMPY\1\0" .. ("<I2"):pack(stated & 0xFFFF) .. header .. data
end

-- The header's length, JSON, the elements.
function M.safetensors(r, whole)
  local length = ("<I8"):unpack(whole)
  local header, data = whole:sub(9, 8 + length), whole:sub(9 + length)
  if r:chance(0.85) then header = bytes.damage_text(r, header) else data = bytes.damage(r, data) end
  return ("<i8"):pack(r:chance(0.8) and #header or r:integer()) .. header .. data
end

-- safetensors with the sum of all bytes at its end.
function M.checkpoint(r, whole)
  local damaged = M.safetensors(r, whole)
  if #damaged < 4 or r:chance(0.3) then return damaged end
  local body = damaged:sub(1, -5)
  return body .. ("<I4"):pack(core.crc32(body))
end

-- PNG: chunks of length, type, data, sum; the pixels are packed.

local function chunks_of(whole)
  local list, at = {}, 9
  while at + 11 <= #whole do
    local length = (">I4"):unpack(whole, at)
    list[#list + 1] = {kind = whole:sub(at + 4, at + 7), data = whole:sub(at + 8, at + 7 + length)}
    at = at + 12 + length
  end
  return list
end

local function damage_chunk(r, chunk)
  if chunk.kind == "IHDR" and r:chance(0.7) then
    local at = r:pick{1, 5}
    local side = r:chance(0.5) and r:int(0, 5000) or r:integer() & 0xFFFFFFFF
    if r:chance(0.6) then return chunk.data:sub(1, at - 1) .. (">I4"):pack(side) .. chunk.data:sub(at + 4) end
    at = r:int(9, 13)
    return chunk.data:sub(1, at - 1) .. string.char(r:int(0, 17)) .. chunk.data:sub(at + 1)
  end
  local rows = chunk.kind == "IDAT" and r:chance(0.8) and core.inflate(chunk.data, "zlib")
  if not rows then return bytes.damage(r, chunk.data) end
  rows = r:chance(0.1) and rows .. ("\0"):rep(1 << r:int(10, 24)) or bytes.damage(r, rows)
  return core.deflate(rows, "zlib", 1)
end

function M.png(r, whole)
  local list = chunks_of(whole)
  local at = r:int(1, #list)
  local way = r:int(1, 8)
  if way == 1 then table.remove(list, at)
  elseif way == 2 then table.insert(list, r:int(1, #list), list[at])
  elseif way == 3 then list[at].kind = r:pick{"PLTE", "tRNS", "IDAT", "IEND", "IHDR", "zTXt", "ABCD", r:bytes(4)}
  else list[at].data = damage_chunk(r, list[at]) end
  local out, sound = {whole:sub(1, 8)}, r:chance(0.8)
  for i, chunk in ipairs(list) do
    local sum = core.crc32(chunk.kind .. chunk.data)
    if i == at and not sound then sum = sum ~ r:int(0, 0xFFFFFFFF) end
    out[#out + 1] = (">I4"):pack(#chunk.data) .. chunk.kind .. chunk.data .. (">I4"):pack(sum)
  end
  return table.concat(out)
end

-- WAV: chunks of a name, a length and data; numbers of the format, or a length that says another thing.
function M.wav(r, whole)
  local at, list = 13, {}
  while at + 8 <= #whole do
    local length = ("<I4"):unpack(whole, at + 4)
    list[#list + 1] = {whole:sub(at, at + 3), whole:sub(at + 8, at + 7 + length)}
    at = at + 8 + length + length % 2
  end
  local chosen, way = r:pick(list), r:int(1, 6)
  if way == 1 then table.insert(list, r:int(1, #list), chosen)
  elseif way == 2 then chosen[1] = r:pick{"fmt ", "data", "fact", "LIST", r:bytes(4)}
  elseif way <= 4 and #list[1][2] >= 16 then
    local field = r:pick{{1, "<I2"}, {3, "<I2"}, {5, "<I4"}, {13, "<I2"}, {15, "<I2"}}
    local value = r:pick{0, 1, 2, 3, 8, 24, 32, 64, 0xFFFE, 0xFFFF, r:int(0, 0xFFFF)}
    local fmt = list[1][2]
    list[1][2] = fmt:sub(1, field[1] - 1) .. field[2]:pack(value) .. fmt:sub(field[1] + field[2]:packsize())
  else chosen[2] = bytes.damage(r, chosen[2]) end
  local out = {"RIFF" .. ("<I4"):pack(r:chance(0.8) and #whole - 8 or r:integer() & 0xFFFFFFFF) .. "WAVE"}
  for _, chunk in ipairs(list) do
    local length = r:chance(0.85) and #chunk[2] or r:pick{0, 1, 0xFFFFFFFF, r:integer() & 0xFFFFFFFF}
    out[#out + 1] = chunk[1] .. ("<I4"):pack(length) .. chunk[2] .. ("\0"):rep(#chunk[2] % 2)
  end
  return table.concat(out)
end

-- IDX: sizes of four bytes, plain or in gzip.
function M.idx(r, whole)
  local plain = whole:sub(1, 2) == "\31\139" and assert(core.inflate(whole)) or whole
  local axes = plain:byte(4)
  if r:chance(0.7) then
    local at = 1 + 4 * r:int(0, axes)
    plain = plain:sub(1, at - 1) .. (">I4"):pack(r:integer() & 0xFFFFFFFF) .. plain:sub(at + 4)
  else
    plain = bytes.damage(r, plain)
  end
  if r:chance(0.1) then plain = plain .. ("\0"):rep(1 << r:int(10, 23)) end
  if r:chance(0.5) then return plain end
  local packed = core.deflate(plain, "gzip")
  return r:chance(0.7) and packed or bytes.damage(r, packed)
end

-- Pickles: bits of programs between the instructions of a real one.

local PIECES = {"(", "0", "1", "2", "N", "\136", "\137", "K\1", "M\0\1", "J\255\255\255\255", "G\127\240\0\0\0\0\0\0",
  "\138\1\5", "\139\2\0\0\0\1\1", "X\1\0\0\0a", "X\255\255\255\127a", "\140\1b", "\141\255\255\255\255\255\255\255\127",
  "\149\0\0\0\0\0\0\0\0", ")", "]", "}", "\143", "t", "l", "d", "\133", "\134", "\135", "a", "e", "\144", "s", "u",
  "q\0", "q\1", "h\0", "h\1", "r\255\255\255\255", "j\0\0\0\0", "\148", "cbuiltins\nset\n", "ctorch\nFloatStorage\n",
  "ccollections\nOrderedDict\n", "ctorch._utils\n_rebuild_tensor_v2\n", "cos\nsystem\n", "ctorch\nSize\n", "R",
  "\129", "b", "Q", ".", "](K\1K\2e", "}q\2X\1\0\0\0kK\1s", "cbuiltins\nset\n](K\1K\1etR"}

function M.pickle(r, whole)
  for _ = 1, r:int(1, 4) do
    if r:chance(0.4) or #whole < 4 then
      whole = bytes.damage(r, whole)
    else
      local pieces, at = {}, r:int(3, #whole)
      for i = 1, r:int(1, 4) do pieces[i] = r:pick(PIECES) end
      whole = whole:sub(1, at - 1) .. table.concat(pieces):rep(r:pick{1, 1, 1, 2, 100, 5000}) .. whole:sub(at)
    end
  end
  return whole
end

-- Zip archives: members made anew, or fields of the records that describe them.

local function members_of(archive_path)
  local archive = assert(zip.open(archive_path))
  local list = {}
  for i, name in ipairs(archive.names) do list[i] = {name, assert(archive:read(name))} end
  archive:close()
  return list
end

local function write_zip(members, compress)
  local parts = {}
  local sink = {}
  function sink.write(_, ...)
    for _, piece in ipairs{...} do parts[#parts + 1] = piece end
    return true
  end
  assert(zip.write(sink, members, compress))
  return table.concat(parts)
end

local function damage_member(r, member)
  local name, content = member[1], member[2]
  local format = name:find "%.npy$" and M.npy or name:find "%.pkl$" and M.pickle or M.raw
  if r:chance(0.1) then content = content .. ("\0"):rep(1 << r:int(10, 23)) end
  return format(r, content)
end

local function rebuild(r, members)
  local list = {}
  for i, member in ipairs(members) do list[i] = {member[1], member[2]} end
  local at = r:int(1, #list)
  local way = r:int(1, 10)
  if way == 1 then table.remove(list, at)
  elseif way == 2 then table.insert(list, {r:pick{"x.npy", "archive/data/9", "", "../up"}, list[at][2]})
  elseif way == 3 then list[at][1] = r:pick{"note.txt", "a/data.pkl", list[r:int(1, #list)][1], r:bytes(3) .. ".npy"}
  elseif way == 4 then list[at][2] = list[r:int(1, #list)][2]
  else list[at][2] = damage_member(r, list[at]) end
  return write_zip(list, r:chance(0.5))
end

-- Where records begin, and their fields: {offset, size}.
local RECORDS = {["PK\1\2"] = {{8, 2}, {10, 2}, {16, 4}, {20, 4}, {24, 4}, {28, 2}, {30, 2}, {32, 2}, {42, 4}},
  ["PK\3\4"] = {{6, 2}, {8, 2}, {14, 4}, {18, 4}, {22, 4}, {26, 2}, {28, 2}},
  ["PK\5\6"] = {{8, 2}, {10, 2}, {12, 4}, {16, 4}, {20, 2}}}

local function damage_record(r, whole)
  local places = {}
  for signature, fields in pairs(RECORDS) do
    local at = whole:find(signature, 1, true)
    while at do
      places[#places + 1] = {at, fields}
      at = whole:find(signature, at + 1, true)
    end
  end
  table.sort(places, function(a, b) return a[1] < b[1] end) -- pairs has no order that a seed would fix
  local place = r:pick(places)
  local field = r:pick(place[2])
  local at, size = place[1] + field[1], field[2]
  if at + size - 1 > #whole then return whole end
  local format = "<I" .. size
  local value = format:unpack(whole, at)
  local new = r:chance(0.5) and value ~ 1 << r:int(0, 8 * size - 1) or r:integer() & ((1 << 8 * size) - 1)
  return whole:sub(1, at - 1) .. format:pack(new) .. whole:sub(at + size)
end

--- `seed` is the file as the worker keeps it: its path, and what was found in it once.
function M.zip(r, whole, seed)
  if r:chance(0.6) then
    seed.members = seed.members or members_of(seed.path)
    return rebuild(r, seed.members)
  end
  for _ = 1, r:chance(0.7) and 1 or 2 do whole = damage_record(r, whole) end
  return r:chance(0.2) and bytes.damage(r, whole) or whole
end

return M
