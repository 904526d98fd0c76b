--- Reading and writing parts of a tensor: x[{...}], x[mask], x[list].
-- A table has one entry for each axis, from the first on: a number takes a place and the axis away, {first, last} a
-- range (both ends counted), {} all, a tensor a list of places or a mask. A tensor in the brackets itself is a mask
-- over the first axes (u8) or a list of places along the first.
-- @module latent.base.subscript
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core or latent.core64
return function(core)
  local ops, raise = core.ops, core.raise
  local methods = core.methods

  local function place(value, size, axis)
    local i = math.tointeger(value)
    if not i or i == 0 or i < -size or i > size then
      raise(("index: axis %d: expected 1..%d or -%d..-1, got %s"):format(axis, size, size, options.describe(value)))
    end
    return i > 0 and i or size + 1 + i
  end

  -- The places of a list, or of a mask over an axis.
  local function places(list, size, axis)
    if list.dtype ~= "u8" then return list end
    if list:dim() ~= 1 or list:numel() ~= size then
      raise(("index: axis %d: expected a mask [%d], got %s"):format(axis, size, shapes.text(list)))
    end
    return ops.nonzero(list):reshape(-1)
  end

  -- One axis of x narrowed by an entry, and the axis that the next entry is about.
  local function narrow(x, entry, axis, number)
    local size = x:size(axis)
    if core.is_tensor(entry) then return ops.gather_rows(x, places(entry, size, number), axis), axis + 1 end
    if type(entry) == "number" then
      local i = place(entry, size, number)
      local shape = x.shape
      table.remove(shape, axis)
      return ops.reshape(ops.slice(x, axis, i, i), {table.unpack(shape)}), axis
    end
    if type(entry) ~= "table" or #entry == 1 or #entry > 2 then
      raise(("index: axis %d: expected a number, {first, last}, {} or a tensor of places, got %s"):format(number,
        options.describe(entry)))
    end
    core.check_list(entry, "index: axis " .. number)
    if #entry == 0 then return x, axis + 1 end
    local first, last = place(entry[1], size, number), place(entry[2], size, number)
    if first > last then
      raise(("index: axis %d: expected a range {first, last}, got {%d, %d}"):format(number, first, last))
    end
    return ops.slice(x, axis, first, last), axis + 1
  end

  local function part(x, entries)
    core.check_list(entries, "index")
    if #entries > x:dim() then
      raise(("index: expected at most %d entries for shape %s, got %d"):format(x:dim(), shapes.text(x), #entries))
    end
    local y, axis = x, 1
    for number = 1, #entries do y, axis = narrow(y, entries[number], axis, number) end
    return y
  end

  -- The rows of x, with the first axes that a mask has made one, and the places where it is not 0.
  local function masked(x, mask)
    local shape, have = x.shape, mask.shape
    for d, size in ipairs(have) do
      if shape[d] ~= size then
        raise(("index: expected a mask of the first sizes of %s, got %s"):format(shapes.text(x), shapes.text(mask)))
      end
    end
    local rows = {-1, table.unpack(shape, #have + 1)}
    return ops.reshape(x, rows), ops.nonzero(ops.reshape(mask, -1)):reshape(-1)
  end

  --- x[key], where the key is no number.
  function methods.__part(x, key)
    if type(key) == "table" then return part(x, key) end
    if key.dtype ~= "u8" then return ops.gather_rows(x, key, 1) end
    local rows, found = masked(x, key)
    return ops.gather_rows(rows, found)
  end

  -- A value for the part, of its shape and type.
  local function fitted(value, like)
    if type(value) == "number" then return core.full({table.unpack(like.shape)}, value, {dtype = like.dtype}) end
    if not core.is_tensor(value) then
      raise("index: value: expected a number or a tensor, got " .. options.describe(value))
    end
    if value.dtype ~= like.dtype then
      raise(("index: value: expected %s, got %s"):format(shapes.typed(like), shapes.typed(value)))
    end
    if shapes.text(value) == shapes.text(like) then return value end
    local ok, wide = pcall(value.broadcast_to, value, like.shape)
    if not ok then
      raise(("index: value: expected %s, or what broadcasts to it, got %s"):format(shapes.typed(like),
        shapes.typed(value)))
    end
    return wide
  end

  -- Whether the part is one stretch of memory, and so shares it with x: numbers, and then at most one range.
  local function is_stretch(key)
    if type(key) ~= "table" then return false end
    for i = 1, #key do
      if type(key[i]) ~= "number" then return i == #key and type(key[i]) == "table" end
    end
    return true
  end

  -- Writes into the part itself: the time is that of the part, however large x is.
  local function put_stretch(x, key, value)
    local target = methods.__part(x, key) -- of a graph, where x is: copy_ raises
    local source = fitted(value, target)
    target:copy_(core.is_tensor(value) and source:clone() or source) -- they may overlap
  end

  --- x[key] = value: into the part, or by its places among all elements.
  function methods.__put(x, key, value)
    if x:numel() == 0 then
      methods.__part(x, key)
      return
    end
    local wants = core.is_tensor(value) and value.requires_grad and core.is_recording()
    local refused = x.requires_grad and core.is_recording() -- below, in copy_
    if is_stretch(key) and not wants and not refused then return put_stretch(x, key, value) end
    local all = core.no_grad(function()
      return ops.reshape(core.arange(1, x:numel(), {dtype = "i64"}), {table.unpack(x.shape)})
    end)
    local where = methods.__part(all, key)
    if where:numel() == 0 then return end
    local target = core.no_grad(function() return methods.__part(x, key) end)
    local source = fitted(value, target)
    if wants then
      raise "index: in-place changes record nothing, and the value wants a gradient; use its :detach(), or no_grad"
    end
    local fresh = core.no_grad(function()
      return ops.index_put(ops.reshape(x, -1), where:reshape(-1), source:reshape(-1), 1)
    end)
    x:copy_(ops.reshape(fresh, {table.unpack(x.shape)}))
  end
end
