--- Values as a page shows them: bundles of representations by MIME type, of which the page takes the richest that it
-- can show. Tensors of one or two axes are HTML tables, images are PNG pictures, figures both PNG and SVG, and all of
-- them text as well.
-- @module latent.repl.mime
local lt = require "latent"
local core = require "latent.core"
local format = require "latent.base.format"
local guard = require "latent.tools.guard"
local png = require "latent.image.png"
local printer = require "latent.repl.print"

local M = {}

local is_tensor, text_of, number_text = core.is_tensor, printer.text, format.number
local user = guard.user

local ROWS, COLUMNS = 20, 12 -- of a table; of more, so many are left out in the middle
local PICTURES, IN_A_ROW = 32, 8 -- of a stack of images
local LEAST_SIDE = 8 -- pixels; what is smaller is taken for numbers
local ZOOMED = 128 -- pixels; a smaller picture is enlarged to about this
local BEYOND = 1.5 -- what a decoder gives may lie somewhat beyond [-1, 1]

-- ---- tables ----

-- The positions that are shown of n, false for the gap.
local function shown(n, most)
  local list = {}
  local edge = n <= most and n or (most - 1) // 2
  for i = 1, edge do list[i] = i end
  if n > most then
    list[#list + 1] = false
    for i = n - edge + 1, n do list[#list + 1] = i end
  end
  return list
end

local ESCAPES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;"}
local function escaped(text) return (text:gsub('[&<>"]', ESCAPES)) end

local function row_of(tag, heading, cells)
  return ("<tr><th>%s</th><%s>%s</%s></tr>"):format(heading, tag, table.concat(cells, ("</%s><%s>"):format(tag, tag)),
    tag)
end

-- A table for [columns] or [rows, columns].
local function table_html(x)
  local shape, lines = x.shape, {}
  local matrix = x:detach():reshape(-1, shape[#shape])
  local columns, heads = shown(shape[#shape], COLUMNS), {}
  for i, column in ipairs(columns) do heads[i] = column or "&hellip;" end
  lines[1] = row_of("th", "", heads)
  for _, row in ipairs(shown(matrix.shape[1], ROWS)) do
    local cells = {}
    for i, column in ipairs(columns) do
      cells[i] = row and column and number_text(matrix:get(row, column)) or "&hellip;"
    end
    lines[#lines + 1] = row_of("td", #shape == 1 and "" or row or "&hellip;", cells)
  end
  return ("<table>\n%s\n</table>"):format(table.concat(lines, "\n"))
end

-- The first line of a tensor's text: shape, type, statistics.
local function head_of(x) return text_of(x):match "^[^\n]*" end

-- ---- pictures ----

-- Bytes for pixels: what is never negative is from 0 to 1, else -1 is black.
local function pixels(x, least)
  if x.dtype == "u8" then return x end
  if least >= 0 then return (x * 255):u8() end
  return ((x + 1) * 127.5):u8()
end

-- Images [n, h, w, c] side by side in rows, white between them.
local function mosaic(x)
  local n, h, w, c = x:size(1), x:size(2), x:size(3), x:size(4)
  local across = math.min(n, IN_A_ROW)
  local rows = (n + across - 1) // across
  if n == 1 then return x:reshape(h, w, c) end
  local framed = lt.full({rows * across, h + 2, w + 2, c}, 255, {dtype = "u8"})
  framed:slice(1, 1, n):copy_(lt.pad(x, {0, 0, 1, 1, 1, 1}, {value = 255}))
  return framed:reshape(rows, across, h + 2, w + 2, c):permute(1, 3, 2, 4, 5)
    :reshape(rows * (h + 2), across * (w + 2), c)
end

local function enlarged(x)
  local h, w, c = x:size(1), x:size(2), x:size(3)
  local zoom = math.max(1, math.min(8, ZOOMED // math.max(h, w)))
  if zoom == 1 then return x end
  return x:reshape(h, 1, w, 1, c):broadcast_to(h, zoom, w, zoom, c):reshape(h * zoom, w * zoom, c)
end

-- The least element of a tensor whose shape and values are those of images; else nil.
local function least_of_images(x)
  local dims = x:dim()
  if dims ~= 3 and dims ~= 4 or x:numel() == 0 then return nil end
  local h, w, c = x:size(dims - 2), x:size(dims - 1), x:size(dims)
  if c ~= 1 and c ~= 3 or h < LEAST_SIDE or w < LEAST_SIDE then return nil end
  if x.dtype == "u8" then return 0 end
  if x.dtype ~= "float32" and x.dtype ~= "float64" then return nil end
  local least, _, greatest, nans = core.statistics(x:detach())
  return least and nans == 0 and least >= -BEYOND and greatest <= BEYOND and least or nil
end

local function picture_of(x)
  local least = least_of_images(x)
  if not least then return nil end
  local h, w, c = table.unpack(x.shape, x:dim() - 2)
  local stack = x:detach():reshape(-1, h, w, c)
  if stack:size(1) > PICTURES then stack = stack:slice(1, 1, PICTURES) end
  local picture = enlarged(mosaic(pixels(stack, least)))
  return png.encode(picture:bytes(), picture:size(1), picture:size(2), c)
end

local function tensor_bundle(x)
  local dims = x:dim()
  local picture = picture_of(x)
  if picture then
    local head = head_of(x)
    if dims == 4 and x:size(1) > PICTURES then head = ("%s  (the first %d above)"):format(head, PICTURES) end
    return {["image/png"] = picture, ["text/plain"] = head}, head
  end
  local bundle = {["text/plain"] = text_of(x)}
  if (dims == 1 or dims == 2) and x:numel() > 0 then
    bundle["text/html"] = ("<div><code>%s</code>\n%s</div>"):format(escaped(head_of(x)), table_html(x))
  end
  return bundle
end

-- ---- any value ----

-- Whether a table is a bundle already.
local function is_bundle(value)
  if type(value) ~= "table" or next(value) == nil or debug.getmetatable(value) then return false end
  for kind, content in next, value do
    if type(kind) ~= "string" or type(content) ~= "string" or not kind:find "^%l+/[%w.+-]+$" then return false end
  end
  return true
end

--- The bundle of a value. What has a metamethod `__mime` makes its own.
-- @param value
-- @tparam ?function name_of as for latent.repl.print
-- @treturn table texts, and bytes for pictures, by MIME type
-- @treturn ?string what is to stand below it, where that says more than the picture does
function M.bundle(value, name_of)
  local meta = debug.getmetatable(value)
  local make = type(meta) == "table" and rawget(meta, "__mime")
  if make then
    local ok, bundle = user(make, value)
    if ok and is_bundle(bundle) then return bundle end
    return {["text/plain"] = ("%s (%s)"):format(text_of(value, name_of),
      ok and "its __mime gives no texts by MIME type" or guard.error_text(bundle))}
  end
  if is_bundle(value) then return value end
  if is_tensor(value) then
    local ok, bundle, caption = pcall(tensor_bundle, value) -- it may be closed
    if ok then return bundle, caption end
  end
  return {["text/plain"] = text_of(value, name_of)}
end

return M
