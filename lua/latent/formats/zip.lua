--- Zip archives, as far as .npz and .pt files need them: stored and deflated members, zip64, checksums.
-- The central directory says what is there; every number in it is compared with the file's size before
-- anything is read, and with what stands before each member's data. The members and the directory must fill the
-- file: what overlaps or belongs to no member is damage, and no member grows beyond the size that it declares.
-- Names are names, never paths: nothing is unpacked to a disk.
-- @module latent.formats.zip

local core = require "latent.core"
local files = require "latent.base.files"
local options = require "latent.base.options"

local M = {}

local LOCAL, CENTRAL, FINISH = "PK\3\4", "PK\1\2", "PK\5\6"
local FINISH64, LOCATOR64, DESCRIPTOR = "PK\6\6", "PK\6\7", "PK\7\8"
local LOCAL_SIZE, CENTRAL_SIZE, FINISH_SIZE = 30, 46, 22
local FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF -- "look in the zip64 fields"
local STORED, DEFLATED = 0, 8
local MOST_DEFLATED = 1032 -- deflate packs no byte string more tightly than 1 to this
local BLOCK, PIECE = 1 << 16, 1 << 30 -- bytes that are looked at, and taken, at a time

--- An archive that is open for reading: `names` is the list of its members.
-- @type Archive
local Archive = {}
Archive.__index = Archive
Archive.__name = "archive" -- in messages

-- Bytes at a place of a file, or nil where it ends before.
local function read_at(file, at, count)
  if count == 0 then return "" end
  if not file:seek("set", at) then return nil end
  local bytes = file:read(count)
  return bytes and #bytes == count and bytes or nil
end

-- The record that ends an archive: a comment of up to 65,535 bytes may follow it.
local function find_finish(file, size)
  local tail = read_at(file, math.max(size - FINISH_SIZE - FULL16, 0), math.min(size, FINISH_SIZE + FULL16))
  if not tail then return nil end
  local at, found = tail:find(FINISH, 1, true), nil
  while at and at <= #tail - FINISH_SIZE + 1 do
    if ("<I2"):unpack(tail, at + 20) == #tail - at - FINISH_SIZE + 1 then found = at end
    at = tail:find(FINISH, at + 1, true)
  end
  if found then return tail:sub(found, found + FINISH_SIZE - 1), size - #tail + found - 1 end
end

-- What the zip64 record says where there is one, {here, count, bytes, place} as in the end record, and its own
-- place; or nil.
local function read_finish64(file, finish_at)
  local locator = finish_at >= 20 and read_at(file, finish_at - 20, 20)
  if not locator or locator:sub(1, 4) ~= LOCATOR64 then return nil end
  local at = ("<I8"):unpack(locator, 9)
  local record = at >= 0 and at <= finish_at - 76 and read_at(file, at, 56)
  if not record or record:sub(1, 4) ~= FINISH64 then return nil end
  local length, _, _, _, _, here, count, bytes, place = ("<I8I2I2I4I4I8I8I8I8"):unpack(record, 5)
  if length ~= finish_at - 20 - at - 12 then return nil end
  return {here, count, bytes, place}, at
end

-- The central directory as a string, where it stands and how many members it lists; or nil and a message.
local function read_directory(file, size)
  local finish, stop = find_finish(file, size)
  if not finish then return nil, "no zip archive, or one that is cut off: its end record is missing" end
  local disk, directory_disk, here, count, bytes, place = ("<I2I2I2I2I4I4"):unpack(finish, 5)
  if disk ~= 0 or directory_disk ~= 0 then return nil, "a zip archive in several parts is not supported" end
  local wide, wide_at = read_finish64(file, stop)
  if wide then -- PyTorch writes it always
    for i, n in ipairs{here, count, bytes, place} do
      if n ~= wide[i] and n ~= (i < 3 and FULL16 or FULL32) then
        return nil, "damaged zip archive: its zip64 record says another thing than its end record"
      end
    end
    here, count, bytes, place = table.unpack(wide)
    stop = wide_at
  elseif count == FULL16 or bytes == FULL32 or place == FULL32 then
    return nil, "damaged zip archive: its zip64 record is missing"
  end
  if here ~= count then
    return nil, ("damaged zip archive: its end record counts %d members and %d"):format(here, count)
  end
  if count < 0 or bytes < 0 or place < 0 or place > stop or bytes ~= stop - place
    or count > bytes // CENTRAL_SIZE then
    return nil, "damaged zip archive: its directory is not where its end record says"
  end
  local directory = read_at(file, place, bytes)
  if not directory then return nil, "damaged zip archive: its directory cannot be read" end
  return directory, place, count
end

-- Takes sizes and place from the zip64 field where the entry's own are full.
local function widen(entry, extra)
  local at = 1
  while at + 3 <= #extra do
    local id, length = ("<I2I2"):unpack(extra, at)
    at = at + 4
    if at + length - 1 > #extra then return end
    if id == 1 then
      local stop = at + length
      for _, key in ipairs{"size", "packed", "at"} do
        if entry[key] == FULL32 and at + 8 <= stop then entry[key], at = ("<I8"):unpack(extra, at) end
      end
      return
    end
    at = at + length
  end
end

-- The entry at a position of the directory and the position behind it, or nil and a message.
local function read_entry(directory, at)
  if directory:sub(at, at + 3) ~= CENTRAL or at + CENTRAL_SIZE - 1 > #directory then
    return nil, "damaged zip archive: its directory is cut off"
  end
  local _, _, flags, method, _, crc, packed, size, name_length, extra_length, comment_length, _, _, _, place =
    ("<I2I2I2I2I4I4I4I4I2I2I2I2I2I4I4"):unpack(directory, at + 4)
  local name_at = at + CENTRAL_SIZE
  local extra_at = name_at + name_length
  local next_at = extra_at + extra_length + comment_length
  if next_at - 1 > #directory then return nil, "damaged zip archive: its directory is cut off" end
  local entry = {name = directory:sub(name_at, extra_at - 1), flags = flags, method = method, crc = crc,
    packed = packed, size = size, at = place}
  widen(entry, directory:sub(extra_at, extra_at + extra_length - 1))
  return entry, next_at
end

local function check_entry(entry, directory_at)
  local known = entry.method == STORED or entry.method == DEFLATED
  if entry.flags & 1 ~= 0 then return nil, "is encrypted, which is not supported" end
  if not known then
    return nil, ("is packed by method %d, expected 0 (stored) or 8 (deflated)"):format(entry.method)
  end
  if entry.at < 0 or entry.packed < 0 or entry.size < 0 or entry.at > directory_at - LOCAL_SIZE
    or entry.packed > directory_at - LOCAL_SIZE - entry.at then
    return nil, "lies outside the file"
  end
  if entry.method == STORED and entry.size ~= entry.packed
    or entry.method == DEFLATED and entry.size // MOST_DEFLATED > entry.packed then
    return nil, ("claims %d bytes, which its %d cannot hold"):format(entry.size, entry.packed)
  end
  return true
end

-- Whether bytes are what may follow the data of a member whose header was written before them.
local function is_descriptor(bytes, entry)
  local sums = {("<I4I8I8"):pack(entry.crc, entry.packed, entry.size)}
  if entry.packed < FULL32 and entry.size < FULL32 then
    sums[2] = ("<I4I4I4"):pack(entry.crc, entry.packed, entry.size)
  end
  for _, sum in ipairs(sums) do
    if bytes == sum or bytes == DESCRIPTOR .. sum then return true end
  end
  return false
end

-- Compares the header before a member's data with the directory's entry and notes where the data begin; what
-- follows them is another member, which begins at `stop`. True, or nil and what is wrong.
local function check_local(file, entry, stop)
  local header = read_at(file, entry.at, LOCAL_SIZE)
  if not header or header:sub(1, 4) ~= LOCAL then return nil, "has no header where the directory says" end
  local flags, method, _, _, crc, packed, size, name_length, extra_length = ("<I2I2I2I2I4I4I4I2I2"):unpack(header, 7)
  local rest = read_at(file, entry.at + LOCAL_SIZE, name_length + extra_length)
  if not rest or rest:sub(1, name_length) ~= entry.name then return nil, "has another name before its data" end
  local here = {crc = crc, packed = packed, size = size}
  widen(here, rest:sub(name_length + 1))
  for key, value in pairs(here) do
    -- Flag 8: the numbers were not known yet, and follow the data.
    if value ~= entry[key] and not (flags & 8 ~= 0 and value == 0) then method = -1 end
  end
  if method ~= entry.method or flags & 1 ~= 0 then return nil, "has another header before its data" end
  entry.data_at = entry.at + LOCAL_SIZE + name_length + extra_length
  local gap = stop - entry.data_at - entry.packed
  if gap < 0 then return nil, "overlaps what follows it" end
  if gap == 0 then return true end
  if gap > 24 or flags & 8 == 0 or not is_descriptor(read_at(file, stop - gap, gap), entry) then
    return nil, ("is followed by %d bytes that belong to no member"):format(gap)
  end
  return true
end

-- Members must not share bytes, for small files that unpack to very large ones are made so, nor leave any out.
local function check_layout(file, entries, directory_at)
  local sorted = table.move(entries, 1, #entries, 1, {})
  table.sort(sorted, function(a, b) return a.at < b.at end)
  local first = sorted[1] and sorted[1].at or directory_at
  if first ~= 0 then return nil, ("damaged zip archive: %d bytes before its first member"):format(first) end
  for i, entry in ipairs(sorted) do
    local stop = sorted[i + 1] and sorted[i + 1].at or directory_at
    local ok, message = nil, "overlaps what follows it"
    if entry.at + LOCAL_SIZE + #entry.name + entry.packed <= stop then ok, message = check_local(file, entry, stop) end
    if not ok then return nil, ('member "%s" %s'):format(options.shown(entry.name), message) end
  end
  return true
end

local function read_entries(file, size)
  local directory, directory_at, count = read_directory(file, size)
  if not directory then return nil, directory_at end
  local entries, by_name, at = {}, {}, 1
  for i = 1, count do
    local entry, next_at = read_entry(directory, at)
    if not entry then return nil, next_at end
    local ok, message = check_entry(entry, directory_at)
    if ok and by_name[entry.name] then ok, message = nil, "is there twice" end
    if not ok then return nil, ('member "%s" %s'):format(options.shown(entry.name), message) end
    entries[i], by_name[entry.name], at = entry, entry, next_at
  end
  if at <= #directory then
    return nil, ("damaged zip archive: its directory lists more than the %d members of its end record"):format(count)
  end
  local ok, message = check_layout(file, entries, directory_at)
  if not ok then return nil, message end
  return entries, by_name
end

--- Opens an archive and checks its directory. Close it when done.
-- @tparam string path
-- @return an Archive, or nil and a message
function M.open(path)
  local file, size = files.open(path)
  if not file then return nil, size end
  local entries, by_name = read_entries(file, size)
  if not entries then
    file:close()
    return nil, ("%s: %s"):format(path, by_name)
  end
  local names = {}
  for i, entry in ipairs(entries) do names[i] = entry.name end
  return setmetatable({names = names, path = path, _file = file, _entries = by_name}, Archive)
end

--- The size of a member's content in bytes, as the archive declares it, and the bytes that it takes in the file.
-- @tparam string name
-- @treturn ?int nil where there is no such member
-- @treturn ?int
function Archive:size(name)
  local entry = self._entries[name]
  if not entry then return nil end
  return entry.size, entry.packed
end

-- A function(count) that gives a member's next bytes, fewer at the end; or nil and a message.
local function stream_of(file, entry)
  if entry.method == STORED then
    local at, left = entry.data_at, entry.packed
    return function(count)
      count = math.min(count, left)
      at, left = at + count, left - count
      local bytes = read_at(file, at - count, count)
      if not bytes then return nil, "cannot be read" end
      return bytes
    end
  end
  if entry.packed > FULL32 then return nil, "is deflated and larger than 4 GB" end
  local packed = read_at(file, entry.data_at, entry.packed)
  if not packed then return nil, "cannot be read" end
  local stream = core.inflater(packed, "raw")
  return function(count)
    local bytes, message = stream:read(count)
    if not bytes then return nil, "is damaged: " .. message end
    return bytes
  end
end

-- Hands a member to `take` in blocks of at most `step` bytes and compares its size and checksum: true, or nil and
-- what is wrong.
local function walk(file, entry, step, take)
  local read, message = stream_of(file, entry)
  if not read then return nil, message end
  local sum, got = 0, 0
  while true do
    local want = math.min(step, entry.size - got + 1) -- one more than there should be
    local bytes
    bytes, message = read(want)
    if not bytes then return nil, message end
    got, sum = got + #bytes, core.crc32(bytes, sum)
    if got > entry.size then return nil, ("holds more than the %d bytes that it declares"):format(entry.size) end
    take(bytes)
    if #bytes < want then break end
  end
  if got < entry.size then return nil, ("holds %d bytes, expected %d"):format(got, entry.size) end
  if sum ~= entry.crc then return nil, "is damaged: its checksum is wrong" end
  return true
end

-- The entry of a name, or nil and a message.
local function find(archive, name)
  local entry = archive._entries[name]
  if not entry then return nil, ('%s: no member "%s"'):format(archive.path, options.shown(name)) end
  return entry
end

local function explain(archive, name, message)
  return nil, ('%s: member "%s" %s'):format(archive.path, options.shown(name), message)
end

--- The content of a member.
-- @tparam string name
-- @return the bytes; or nil and a message that names the file and the member
function Archive:read(name)
  local entry, message = find(self, name)
  if not entry then return nil, message end
  local parts, ok = {}
  ok, message = walk(self._file, entry, PIECE, function(bytes) parts[#parts + 1] = bytes end)
  if not ok then return explain(self, name, message) end
  return #parts == 1 and parts[1] or table.concat(parts)
end

--- The first bytes of a member, without a look at the rest: its checksum is not compared.
-- @tparam string name
-- @tparam int count
-- @return at most so many bytes; or nil and a message
function Archive:peek(name, count)
  local entry, message = find(self, name)
  if not entry then return nil, message end
  local read, bytes
  read, message = stream_of(self._file, entry)
  if read then bytes, message = read(math.min(count, entry.size)) end
  if not bytes then return explain(self, name, message) end
  return bytes
end

--- Compares a member's size and checksum, keeping nothing in memory.
-- @tparam string name
-- @return true, or nil and a message
function Archive:check(name)
  local entry, message = find(self, name)
  if not entry then return nil, message end
  local ok
  ok, message = walk(self._file, entry, BLOCK, function() end)
  if not ok then return explain(self, name, message) end
  return true
end

--- Closes the archive's file.
function Archive:close()
  if io.type(self._file) == "file" then self._file:close() end
end

Archive.__close = Archive.close

-- Writing.

local NO_TIME, NO_DATE = 0, 33 -- 1 January 1980: equal content gives equal files

-- A zip64 field of those of the given numbers that need one, and the numbers as they stand outside it.
local function narrow(...)
  local numbers, wide = {...}, ""
  for i, n in ipairs(numbers) do
    if n >= FULL32 then numbers[i], wide = FULL32, wide .. ("<I8"):pack(n) end
  end
  return wide ~= "" and ("<I2I2"):pack(1, #wide) .. wide or "", table.unpack(numbers)
end

-- A field that readers skip, so long that the data begin at a multiple of `align`.
local function padding(at, align)
  local length = align > 1 and -(at + 4) % align or 0
  return align > 1 and ("<I2I2"):pack(0x4246, length) .. ("\0"):rep(length) or ""
end

local function flags_of(name) return name:find "[\128-\255]" and 0x800 or 0 end

local function pack_local(entry, align)
  local extra = narrow(entry.size, entry.packed)
  local _, size, packed = narrow(entry.size, entry.packed)
  if extra ~= "" then -- both or none in this header
    size, packed, extra = FULL32, FULL32, ("<I2I2I8I8"):pack(1, 16, entry.size, entry.packed)
  end
  extra = extra .. padding(entry.at + LOCAL_SIZE + #entry.name + #extra, align)
  return LOCAL .. ("<I2I2I2I2I2I4I4I4I2I2"):pack(extra:sub(1, 2) == "\1\0" and 45 or 20, flags_of(entry.name),
    entry.method, NO_TIME, NO_DATE, entry.crc, packed, size, #entry.name, #extra) .. entry.name .. extra
end

local function pack_central(entry)
  local extra, size, packed, at = narrow(entry.size, entry.packed, entry.at)
  local version = extra ~= "" and 45 or 20
  return CENTRAL .. ("<I2I2I2I2I2I2I4I4I4I2I2I2I2I2I4I4"):pack(version, version, flags_of(entry.name), entry.method,
    NO_TIME, NO_DATE, entry.crc, packed, size, #entry.name, #extra, 0, 0, 0, 0, at) .. entry.name .. extra
end

local function pack_finish(count, bytes, at)
  local record = ""
  if count >= FULL16 or bytes >= FULL32 or at >= FULL32 then
    record = FINISH64 .. ("<I8I2I2I4I4I8I8I8I8"):pack(44, 45, 45, 0, 0, count, count, bytes, at)
      .. LOCATOR64 .. ("<I4I8I4"):pack(0, at + bytes, 1)
  end
  return record .. FINISH .. ("<I2I2I2I2I4I4I2"):pack(0, 0, math.min(count, FULL16), math.min(count, FULL16),
    math.min(bytes, FULL32), math.min(at, FULL32), 0)
end

--- Writes an archive into a file that is open and empty.
-- @param file as `latent.base.files.write_atomic` hands it out
-- @tparam {{string,string|function},...} members pairs of a name and its content, or a function that gives it
-- @tparam ?boolean compress whether members are deflated where that makes them smaller
-- @tparam ?int align members' data begin at multiples of so many bytes (unless said 1)
-- @return true, or nil and a message
function M.write(file, members, compress, align)
  local at, directory = 0, {}
  for i, member in ipairs(members) do
    local name, bytes = member[1], member[2]
    if type(bytes) == "function" then bytes = bytes() end
    local packed = compress and #bytes < FULL32 and core.deflate(bytes, "raw") or bytes
    local smaller = #packed < #bytes
    packed = smaller and packed or bytes
    local entry = {name = name, at = at, size = #bytes, packed = #packed, crc = core.crc32(bytes),
      method = smaller and DEFLATED or STORED}
    local header = pack_local(entry, align or 1)
    local ok, message = file:write(header, packed)
    if not ok then return nil, message end
    at = at + #header + #packed
    directory[i] = pack_central(entry)
  end
  local text = table.concat(directory)
  return file:write(text, pack_finish(#members, #text, at))
end

return M
