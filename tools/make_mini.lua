-- Makes the mini set, lua/latent/data/mini, from the real MNIST. Its files were made by
--     LATENT_DATA=folder lua5.4 tools/make_mini.lua
-- and are in the repository; run this only to make them anew (the same bytes come out).
--
-- Each split has 50 images of every digit. Train: the first 50 of each digit, in MNIST's order.
-- Test: first the ten examples, one of each digit, 0 to 9 (so that they stand at positions 1 to
-- 10), then the first others in MNIST's order until there are 50 of each digit.

local files = require "latent.base.files"
local idx = require "latent.idx"
local sources = require "latent.data.sources"

local EACH = 50
local TARGET = "lua/latent/data/mini"

local function must(value, message)
  if not value then
    io.stderr:write("make_mini: ", message, "\n")
    os.exit(1)
  end
  return value
end

-- A file's first-axis rows as strings.
local function rows(folder, name)
  local reader = must(idx.open(must(sources.find(folder, name))))
  local out = {}
  for i = 1, reader.shape[1] do out[i] = must(reader:read(1)) end
  reader:close()
  return out
end

-- Positions in the set: those in `first`, then others in order until every digit has EACH.
local function choose(labels, first)
  local chosen, taken, count = {}, {}, {}
  local function take(i)
    local digit = labels[i]
    if taken[i] or (count[digit] or 0) == EACH then return end
    taken[i], count[digit] = true, (count[digit] or 0) + 1
    chosen[#chosen + 1] = i
  end
  for _, i in ipairs(first) do take(i) end
  for i = 1, #labels do take(i) end
  return chosen
end

local function write_gzip(path, header, list, chosen)
  local raw = os.tmpname()
  local parts = {header}
  for _, i in ipairs(chosen) do parts[#parts + 1] = list[i] end
  must(files.write_atomic(raw, table.concat(parts)))
  -- -n: no name and no time in the file, so that equal content gives equal bytes.
  must(files.capture(("gzip -9 -n < %s > %s"):format(files.quote(raw), files.quote(path))))
  os.remove(raw)
end

local folder = must(sources.locate_mnist())
must(files.mkdir_p(TARGET))
for split, names in pairs(sources.names) do
  for _, name in pairs(names) do
    must(sources.verify(must(sources.find(folder, name)), sources.sets.mnist.sha256[name]))
  end
  local images, labels = rows(folder, names.images), rows(folder, names.labels)
  local chosen = choose(labels, split == "test" and sources.sets.mnist.examples or {})
  write_gzip(files.join(TARGET, names.images .. ".gz"),
    (">I4I4I4I4"):pack(0x803, #chosen, 28, 28), images, chosen)
  write_gzip(files.join(TARGET, names.labels .. ".gz"),
    (">I4I4"):pack(0x801, #chosen), labels, chosen)
  print(("%s: %d images"):format(split, #chosen))
end
