--- Elements moved about: rolled, padded, repeated, cut into pieces, windows and triangles.
-- @module latent.base.ops.arranging
local arguments = require "latent.base.arguments"
local axes = require "latent.base.axes"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local MOST_PIECES = 1 << 24 -- of a list of tensors

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, check = core.ops, core.raise, core.check_tensor
  local axis_of, whole_numbers, pair = axes.axis, axes.whole_numbers, axes.pair

  -- first, first + step, ... as places.
  local function range(first, last, step) return core.arange(first, last, step or 1, {dtype = "i64"}) end

  local ROLL = {{name = "shifts", kind = "ints", required = true}, {name = "axes", kind = "axes"}}
  local function roll(x, ...)
    local shape = check(x, "roll").shape
    local o = arguments.read("roll", ROLL, ...)
    local shifts = whole_numbers("roll", "shifts", o.shifts)
    if o.axes == nil then
      if #shifts > 1 then raise(("roll: axes: expected %d, as there are shifts, got none"):format(#shifts)) end
      return ops.reshape(roll(ops.reshape(x, -1), shifts, 1), shape)
    end
    local along = whole_numbers("roll", "axes", o.axes)
    if #along ~= #shifts then
      raise(("roll: axes: expected %d, as there are shifts, got %d"):format(#shifts, #along))
    end
    for i, axis in ipairs(along) do
      axis = axis_of("roll", axis, #shape, "axes")
      local n = shape[axis]
      local shift = n > 0 and shifts[i] % n or 0
      if shift > 0 then
        x = ops.cat({ops.slice(x, axis, n - shift + 1, n), ops.slice(x, axis, 1, n - shift)}, axis)
      end
    end
    return x
  end

  -- The last two axes; other than these are a batch.
  local function matrices(name, x)
    local shape = check(x, name).shape
    if #shape < 2 then raise(("%s: x: expected [..., rows, columns], got %s"):format(name, shapes.text(shape))) end
    return shape[#shape - 1], shape[#shape]
  end

  local DIAGONAL = {name = "diagonal", kind = "int", default = 0}
  local function triangle(name, compare)
    return function(x, ...)
      local rows, columns = matrices(name, x)
      local k = arguments.read(name, {DIAGONAL}, ...).diagonal
      local kept = ops[compare](range(1, columns), ops.add(range(1, rows):reshape(-1, 1), k))
      return ops.where(kept, x, 0)
    end
  end

  local OFFSET = {{name = "offset", kind = "int", default = 0}, {name = "axis1", kind = "axis", default = 1},
    {name = "axis2", kind = "axis", default = 2}}
  local function diagonal(x, ...)
    local dims = check(x, "diagonal"):dim()
    local o = arguments.read("diagonal", OFFSET, ...)
    local a = axis_of("diagonal", o.axis1, dims, "axis1")
    local b = axis_of("diagonal", o.axis2, dims, "axis2")
    if a == b then raise(("diagonal: axis2: expected another axis than axis1, got %d"):format(b)) end
    local order = {}
    for d = 1, dims do if d ~= a and d ~= b then order[#order + 1] = d end end
    table.move({a, b}, 1, 2, #order + 1, order)
    x = ops.permute(x, order)
    local shape = x.shape
    local columns, rows = table.remove(shape), table.remove(shape)
    local n = math.min(rows + math.min(o.offset, 0), columns - math.max(o.offset, 0))
    local first = o.offset >= 0 and o.offset + 1 or -o.offset * columns + 1
    shape[#shape + 1] = rows * columns
    n = math.max(n, 0)
    return ops.gather_rows(ops.reshape(x, shape), range(first, first + (n - 1) * (columns + 1), columns + 1), #shape)
  end

  local function diag_embed(x, ...)
    local shape = check(x, "diag_embed").shape
    local offset = arguments.read("diag_embed", {OFFSET[1]}, ...).offset
    if #shape < 1 then raise "diag_embed: x: expected at least one axis, got a scalar" end
    local n = table.remove(shape)
    local size = n + math.abs(offset)
    local first = offset >= 0 and offset + 1 or -offset * size + 1
    local square = {table.unpack(shape)}
    table.move({size, size}, 1, 2, #square + 1, square)
    shape[#shape + 1] = size * size
    local zeros = core.full(shape, 0, x.dtype)
    return ops.index_put(zeros, range(first, first + (n - 1) * (size + 1), size + 1), x, #shape):reshape(square)
  end

  local function diag(x, ...)
    local dims = check(x, "diag"):dim()
    local k = arguments.read("diag", {DIAGONAL}, ...).diagonal
    if dims == 1 then return diag_embed(x, k) end
    if dims == 2 then return diagonal(x, k) end
    raise(("diag: x: expected a list [n] or a matrix, got %s"):format(shapes.text(x.shape)))
  end

  local function trace(x, ...)
    check(x, "trace")
    arguments.read("trace", {}, ...)
    if x:dim() ~= 2 then
      raise(("trace: x: expected a matrix, got %s"):format(shapes.text(x.shape)))
    end
    return ops.sum(diagonal(x))
  end

  -- ---- pad ----

  -- The places, in an axis of n, of what stands in it when it goes on for `before` and `after` more.
  local MODES = {}
  function MODES.reflect(n, before, after)
    return ops.cat{range(before + 1, 2, -1), range(1, n), range(n - 1, n - after, -1)}
  end
  function MODES.replicate(n, before, after)
    return ops.cat{core.full({before}, 1, "i64"), range(1, n), core.full({after}, n, "i64")}
  end
  function MODES.circular(n, before, after)
    return ops.cat{range(n - before + 1, n), range(1, n), range(1, after)}
  end
  local REACH = {reflect = function(n) return n - 1 end, circular = function(n) return n end,
    replicate = function(n) return n > 0 and math.huge or 0 end}

  local function pad_constant(x, axis, before, after, value)
    local parts, shape = {x}, x.shape
    for i, n in ipairs{before, after} do
      if n > 0 then
        shape[axis] = n
        table.insert(parts, i == 1 and 1 or #parts + 1, core.full(shape, value, x.dtype))
      end
    end
    return #parts > 1 and ops.cat(parts, axis) or x
  end

  local PAD = {{name = "pad", kind = "ints", required = true},
    {name = "mode", kind = "choice", choices = {"constant", "reflect", "replicate", "circular"}},
    {name = "value", kind = "number", default = 0}}
  local function pad(x, ...)
    local shape = check(x, "pad").shape
    local o = arguments.read("pad", PAD, ...)
    local list = whole_numbers("pad", "pad", o.pad)
    if #list % 2 == 1 or #list > 2 * #shape then
      raise(("pad: pad: expected two numbers for each of up to %d axes, got %d"):format(#shape, #list))
    end
    for i = 1, #list, 2 do
      local axis, before, after = #shape - i // 2, list[i], list[i + 1]
      local n = shape[axis]
      local first, last = 1 - math.min(before, 0), n + math.min(after, 0)
      if last - first + 1 < 0 then
        raise(("pad: pad: %d and %d leave nothing of axis %d, of size %d"):format(before, after, axis, n))
      end
      if first > 1 or last < n then x = ops.slice(x, axis, first, last) end
      before, after, n = math.max(before, 0), math.max(after, 0), last - first + 1
      if o.mode == "constant" then
        x = pad_constant(x, axis, before, after, o.value)
      elseif before + after > 0 then
        local reach = REACH[o.mode](n)
        if math.max(before, after) > reach then
          raise(('pad: pad: "%s" reaches at most %d beyond axis %d, of size %d, got %d'):format(o.mode, reach, axis, n,
            math.max(before, after)))
        end
        x = ops.gather_rows(x, MODES[o.mode](n, before, after), axis)
      end
    end
    return x
  end

  -- ---- repeating ----

  local TILE = {{name = "repeats", kind = "ints", required = true}}
  local function tile(x, ...)
    local shape = check(x, "tile").shape
    local given = math.type((...)) == "integer" and {{...}} or {...}
    local repeats = whole_numbers("tile", "repeats", arguments.read("tile", TILE, table.unpack(given)).repeats)
    for _ = #shape + 1, #repeats do table.insert(shape, 1, 1) end
    for _ = #repeats + 1, #shape do table.insert(repeats, 1, 1) end
    x = ops.reshape(x, shape)
    for d, times in ipairs(repeats) do
      if times < 0 then raise(("tile: repeats: expected whole numbers of at least 0, got %d"):format(times)) end
      if times ~= 1 then
        local n = x:size(d)
        x = ops.gather_rows(x, range(1, n):reshape(1, n):broadcast_to(times, n):reshape(-1), d)
      end
    end
    return x
  end

  local INTERLEAVE = {{name = "repeats", kind = "tensor", required = true}, {name = "axis", kind = "axis"}}
  local function repeat_interleave(x, ...)
    check(x, "repeat_interleave")
    local o = arguments.read("repeat_interleave", INTERLEAVE, ...)
    if o.axis == nil then x = ops.reshape(x, -1) end
    local axis = axis_of("repeat_interleave", o.axis or 1, x:dim())
    local n = x:size(axis)
    local repeats = core.tensor_like(o.repeats, "repeat_interleave: repeats"):long()
    if repeats:numel() == 1 then repeats = repeats:reshape(1):broadcast_to(n) end
    if repeats:dim() ~= 1 or repeats:numel() ~= n or n > 0 and repeats:min():item() < 0 then
      raise(("repeat_interleave: repeats: expected %d whole numbers of at least 0, got %s"):format(n,
        options.describe(o.repeats)))
    end
    local ends = ops.cumsum(repeats, 1)
    local total = n > 0 and ends:get(n) or 0
    return ops.gather_rows(x, ops.searchsorted(ends, range(1, total)), axis)
  end

  -- ---- pieces ----

  local function pieces(x, axis, sizes)
    local list, first = {}, 1
    for i, size in ipairs(sizes) do
      list[i] = ops.slice(x, axis, first, first + size - 1)
      first = first + size
    end
    return list
  end

  local function sizes_of(name, n, size)
    local count = math.max(1, (n + size - 1) // size)
    if count > MOST_PIECES then raise(("%s: expected at most %d pieces, got %d"):format(name, MOST_PIECES, count)) end
    local sizes = {}
    for i = 1, count do sizes[i] = math.min(size, n - (i - 1) * size) end
    return sizes
  end

  local SPLIT = {{name = "size", kind = "ints", required = true}, {name = "axis", kind = "axis", default = 1}}
  local function split(x, ...)
    local shape = check(x, "split").shape
    local o = arguments.read("split", SPLIT, ...)
    local axis = axis_of("split", o.axis, #shape)
    local n = shape[axis]
    local sizes = whole_numbers("split", "size", o.size)
    local total = 0
    for _, size in ipairs(sizes) do
      total = size < 0 and math.mininteger or total + size
    end
    if type(o.size) == "table" then
      if total ~= n then
        raise(("split: size: expected sizes that add up to %d, got {%s}"):format(n, table.concat(sizes, ", ")))
      end
      return pieces(x, axis, sizes)
    end
    if o.size < 1 then raise(("split: size: expected at least 1, got %d"):format(o.size)) end
    return pieces(x, axis, sizes_of("split", n, o.size))
  end

  local CHUNK = {{name = "chunks", kind = "int", required = true}, {name = "axis", kind = "axis", default = 1}}
  local function chunk(x, ...)
    local shape = check(x, "chunk").shape
    local o = arguments.read("chunk", CHUNK, ...)
    local axis = axis_of("chunk", o.axis, #shape)
    if o.chunks < 1 then raise(("chunk: chunks: expected at least 1, got %d"):format(o.chunks)) end
    local size = math.max(1, (shape[axis] + o.chunks - 1) // o.chunks)
    return pieces(x, axis, sizes_of("chunk", shape[axis], size))
  end

  -- ---- windows ----

  local WINDOWS = {{name = "dilation", kind = "pair", default = 1}, {name = "padding", kind = "pair", default = 0},
    {name = "stride", kind = "pair", default = 1}}
  local KERNEL = {name = "kernel", kind = "pair", required = true}
  local UNFOLD = {KERNEL, table.unpack(WINDOWS)}
  local FOLD = {{name = "output_size", kind = "pair", required = true}, KERNEL, table.unpack(WINDOWS)}

  -- The windows over an image [height, width] as places in it padded, row by row, window by window.
  local function windows(name, o, height, width)
    local w = {}
    w.kh, w.kw = pair(name, "kernel", o.kernel, 1)
    w.ph, w.pw = pair(name, "padding", o.padding, 0)
    local dh, dw = pair(name, "dilation", o.dilation, 1)
    local sh, sw = pair(name, "stride", o.stride, 1)
    w.height, w.width = height + 2 * w.ph, width + 2 * w.pw
    local rows = (w.height - dh * (w.kh - 1) - 1) // sh + 1
    local columns = (w.width - dw * (w.kw - 1) - 1) // sw + 1
    if rows < 1 or columns < 1 then
      raise(("%s: kernel: %dx%d does not fit into an image of %dx%d"):format(name, w.kh, w.kw, w.height, w.width))
    end
    local y = ops.add(ops.mul(range(0, rows - 1), sh):reshape(rows, 1, 1, 1),
      ops.mul(range(0, w.kh - 1), dh):reshape(1, 1, w.kh, 1))
    local x = ops.add(ops.mul(range(0, columns - 1), sw):reshape(1, columns, 1, 1),
      ops.mul(range(0, w.kw - 1), dw):reshape(1, 1, 1, w.kw))
    w.count = rows * columns
    w.places = ops.add(ops.add(ops.mul(y, w.width), x), 1):reshape(-1)
    return w
  end

  local function unfold(x, ...)
    local shape = check(x, "unfold").shape
    local o = arguments.read("unfold", UNFOLD, ...)
    if #shape ~= 4 then
      raise(("unfold: x: expected [n, height, width, channels], got %s"):format(shapes.text(shape)))
    end
    local w = windows("unfold", o, shape[2], shape[3])
    x = pad(x, {0, 0, w.pw, w.pw, w.ph, w.ph}):reshape(shape[1], w.height * w.width, shape[4])
    return ops.gather_rows(x, w.places, 2):reshape(shape[1], w.count, w.kh * w.kw * shape[4])
  end

  local function fold(x, ...)
    local shape = check(x, "fold").shape
    local o = arguments.read("fold", FOLD, ...)
    local height, width = pair("fold", "output_size", o.output_size, 1)
    local w = windows("fold", o, height, width)
    if #shape ~= 3 or shape[2] ~= w.count or shape[3] % (w.kh * w.kw) ~= 0 then
      raise(("fold: x: expected [n, %d, %d * channels], got %s"):format(w.count, w.kh * w.kw, shapes.text(shape)))
    end
    local channels = shape[3] // (w.kh * w.kw)
    local image = core.full({shape[1], w.height * w.width, channels}, 0, x.dtype)
    local y = ops.index_put(image, w.places, x:reshape(shape[1], w.count * w.kh * w.kw, channels), 2, true)
    return pad(y:reshape(shape[1], w.height, w.width, channels), {0, 0, -w.pw, -w.pw, -w.ph, -w.ph})
  end

  local MESHGRID = {{name = "indexing", kind = "choice", choices = {"ij", "xy"}}}
  local function meshgrid(list, ...)
    local got = options.describe(list)
    if got ~= "a table" or #list == 0 then
      raise("meshgrid: expected a list of tensors, such as {x, y}, got " .. (got == "a table" and "an empty " ..
        "table" or got))
    end
    local swap = arguments.read("meshgrid", MESHGRID, ...).indexing == "xy" and #list > 1
    local shape, axes_of, grids = {}, {}, {}
    for i, x in ipairs(core.check_list(list, "meshgrid")) do
      if check(x, "meshgrid: item " .. i):dim() > 1 then
        raise(("meshgrid: item %d: expected a list [*], got %s"):format(i, shapes.text(x.shape)))
      end
      axes_of[i] = swap and i <= 2 and 3 - i or i
      shape[axes_of[i]] = x:numel()
    end
    for i, x in ipairs(list) do
      local own = {}
      for d in ipairs(shape) do own[d] = d == axes_of[i] and x:numel() or 1 end
      grids[i] = ops.reshape(x, own):broadcast_to(shape)
    end
    return table.unpack(grids)
  end

  local function op(name, params, f, doc)
    return {name = name, inputs = {"x"}, params = params, f = f, differentiable = true, doc = doc}
  end
  return {
    op("roll", ROLL, roll, "The elements moved on along axes, what falls off coming back at the other end; without " ..
      "axes, x seen as one list."),
    op("tril", {DIAGONAL}, triangle("tril", "le"), "The last two axes with 0 above the diagonal (or one beside it)."),
    op("triu", {DIAGONAL}, triangle("triu", "ge"), "The last two axes with 0 below the diagonal (or one beside it)."),
    op("diagonal", OFFSET, diagonal, "The diagonal of two axes, as the last axis; offset is how far above it."),
    op("diag_embed", {OFFSET[1]}, diag_embed, "Matrices with the last axis of x as their diagonal, and 0 elsewhere."),
    op("diag", {DIAGONAL}, diag, "The diagonal of a matrix, or of a list the matrix that has it as its diagonal."),
    op("trace", {}, trace, "The sum of a matrix's diagonal."),
    op("pad", PAD, pad, "More elements around: two numbers an axis, before and after, the last axis first; negative " ..
      'ones take away. mode = "constant" (a value), "reflect", "replicate" or "circular".'),
    op("tile", TILE, tile, "x repeated along each axis as often as a list of numbers says, the last for the " ..
      "last axis."),
    op("repeat_interleave", INTERLEAVE, repeat_interleave,
      "Each row of an axis repeated, by a number or one for each; without an axis, each element."),
    op("split", SPLIT, split, "A list of pieces along an axis, of one size (the last may be smaller) or of " ..
      "given sizes."),
    op("chunk", CHUNK, chunk, "A list of at most so many pieces along an axis, all of one size but the last."),
    op("unfold", UNFOLD, unfold, "The windows of images x [n, height, width, channels] as rows [n, windows, kernel " ..
      "height * width * channels]: times a weight of as many rows they are a convolution."),
    op("fold", FOLD, fold, "Images [n, height, width, channels] from rows as unfold makes them; what overlaps " ..
      "is added."),
    {name = "meshgrid", inputs = {"xs*"}, params = MESHGRID, f = meshgrid, differentiable = true,
      doc = "For each list of a list of them a grid over all, as several results: of a and b g1[i][j] = a[i], " ..
        'g2[i][j] = b[j], or transposed with indexing = "xy".'},
  }
end
