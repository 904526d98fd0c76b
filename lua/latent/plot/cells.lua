--- Pictures in a terminal that has colours and no graphics: each character cell is a half block, so that it has two
-- pixels, one above the other.
-- @module latent.plot.cells

local M = {}

local UPPER_HALF = "\xE2\x96\x80" -- drawn in the foreground's colour, over the background's
local SAMPLES = 4 -- a side, of what becomes one pixel
local MOST_ZOOM = 2 -- small pictures are enlarged to this

--- The colours that the terminal has, as the environment says it.
-- @tparam[opt=os.getenv] function getenv
-- @treturn ?string "24 bit" or "256"; nil where it has none
function M.colors(getenv)
  getenv = getenv or os.getenv
  local term, color = getenv "TERM" or "", getenv "COLORTERM" or ""
  if term == "" or term == "dumb" or term == "linux" or term:find "^vt%d" then
    return nil
  end
  return (color:find "truecolor" or color:find "24bit" or term:find "direct") and "24 bit" or "256"
end

-- The average of some pixels of the source box, as red, green, blue.
local function average(picture, x0, x1, y0, y1)
  local r, g, b, n = 0, 0, 0, 0
  local across, down = math.min(SAMPLES, math.ceil(x1 - x0)), math.min(SAMPLES, math.ceil(y1 - y0))
  for j = 1, down do
    local y = math.min(picture.h - 1, math.floor(y0 + (j - 0.5) * (y1 - y0) / down))
    for i = 1, across do
      local x = math.min(picture.w - 1, math.floor(x0 + (i - 0.5) * (x1 - x0) / across))
      local red, green, blue = picture.bytes:byte((y * picture.w + x) * 3 + 1, (y * picture.w + x) * 3 + 3)
      r, g, b, n = r + red, g + green, b + blue, n + 1
    end
  end
  return r // n, g // n, b // n
end

local LEVELS = {[0] = 0, 95, 135, 175, 215, 255} -- of the colour cube

local function nearest_level(v)
  local best = 0
  for i = 1, 5 do
    if math.abs(LEVELS[i] - v) < math.abs(LEVELS[best] - v) then
      best = i
    end
  end
  return best
end

-- The nearest of xterm's 256 colours: of the cube of 6 x 6 x 6, or of the 24 greys 8, 18 .. 238.
local function indexed(r, g, b)
  local i, j, k = nearest_level(r), nearest_level(g), nearest_level(b)
  local function distance(x, y, z)
    return (x - r) ^ 2 + (y - g) ^ 2 + (z - b) ^ 2
  end
  local grey = math.max(0, math.min(23, ((r + g + b) // 3 - 3) // 10))
  local level = 8 + 10 * grey
  if distance(level, level, level) < distance(LEVELS[i], LEVELS[j], LEVELS[k]) then
    return 232 + grey
  end
  return 16 + 36 * i + 6 * j + k
end

local function code(place, colors, r, g, b)
  if colors == "256" then
    return ("%d;5;%d"):format(place, indexed(r, g, b))
  end
  return ("%d;2;%d;%d;%d"):format(place, r, g, b)
end

--- A picture as lines of half blocks.
-- @tparam table picture {w, h, bytes} RGB, top row first
-- @tparam int columns it takes
-- @tparam int rows of pixels, twice the lines
-- @tparam string colors "24 bit" or "256"
-- @treturn {string,...} the lines
function M.lines(picture, columns, rows, colors)
  local dx, dy, lines = picture.w / columns, picture.h / rows, {}
  for y = 0, rows - 1, 2 do
    local parts, before = {}, nil
    for x = 0, columns - 1 do
      local upper = code(38, colors, average(picture, x * dx, (x + 1) * dx, y * dy, (y + 1) * dy))
      local lower = y + 1 < rows
        and code(48, colors, average(picture, x * dx, (x + 1) * dx, (y + 1) * dy, (y + 2) * dy)) or "49"
      local both = upper .. ";" .. lower
      parts[#parts + 1] = both ~= before and "\27[" .. both .. "m" .. UPPER_HALF or UPPER_HALF
      before = both
    end
    lines[#lines + 1] = table.concat(parts) .. "\27[0m"
  end
  return lines
end

-- As large as fits: small pictures by a whole factor, large ones smaller.
local function fitted(picture, columns, rows)
  local scale = math.min(columns / picture.w, rows / picture.h)
  if picture.zoom and scale * picture.zoom >= 1 then -- of the images' own pixels
    scale = math.min(MOST_ZOOM, math.floor(scale * picture.zoom)) / picture.zoom
  end
  return math.max(1, math.floor(picture.w * scale + 0.5)), math.max(1, math.floor(picture.h * scale + 0.5))
end

local function padded(text, width)
  return text .. (" "):rep(width - (utf8.len(text) or #text))
end

local function cut(text, width)
  local last = utf8.len(text) and utf8.offset(text, width + 1) or width + 1
  return last and text:sub(1, last - 1) or text
end

-- The titles of columns, each over its own.
local function heading(titles, count, left, width)
  local parts = {(" "):rep(left)}
  for i, text in ipairs(titles) do
    local cells = (i * width) // count - ((i - 1) * width) // count
    parts[#parts + 1] = padded(cut(text, cells - 1), cells)
  end
  return (table.concat(parts):gsub(" +$", ""))
end

--- The text of a figure of images: title, picture with the rows' labels to its left, and what is said below it.
-- @tparam table figure one of latent.plot.images
-- @tparam table size {columns, lines} of the terminal
-- @tparam string colors "24 bit" or "256"
-- @treturn string
function M.text(figure, size, colors)
  local o, left = figure.in_cells, 0
  local labels, titles, picture = o.labels or {}, o.titles or {}, o.picture
  for _, label in ipairs(labels) do
    left = math.max(left, (utf8.len(label) or #label) + 1)
  end
  left = left > 1 and math.min(left, size.columns // 3) or 0
  local extra = (figure.title and 1 or 0) + (o.below and 1 or 0) + (#titles > 0 and 1 or 0)
  local columns, rows = fitted(picture, size.columns - left, 2 * math.max(4, size.lines - extra))
  local out = {figure.title}
  if #titles > 0 then
    out[#out + 1] = heading(titles, o.columns, left, columns)
  end
  local lines, margin = M.lines(picture, columns, rows, colors), {}
  for i, label in ipairs(labels) do
    margin[math.ceil((i - 0.5) / #labels * #lines)] = cut(label, left - 1)
  end
  for i, line in ipairs(lines) do
    out[#out + 1] = padded(margin[i] or "", left) .. line
  end
  out[#out + 1] = o.below
  return table.concat(out, "\n") .. "\n"
end

return M
