--- Sums of products over named axes, and distances between points.
-- @module latent.base.ops.contraction
local arguments = require "latent.base.arguments"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

-- An operand is {x, labels}: one label, a letter or a place in "..." ("~1" is its last axis), for each axis.

local function position(labels, label)
  for d, l in ipairs(labels) do if l == label then return d end end
end

local function set_of(...)
  local set = {}
  for _, labels in ipairs{...} do
    for _, l in ipairs(labels) do set[l] = true end
  end
  return set
end

-- "ij...k" as labels, for so many axes in "..."; nil where it is no such text.
local function labels_of(text, hidden)
  local labels, at = {}, 1
  while at <= #text do
    if text:sub(at, at + 2) == "..." then
      for k = hidden, 1, -1 do labels[#labels + 1] = "~" .. k end
      at = at + 3
    else
      local letter = text:match("^%a", at)
      if not letter then return nil end
      labels[#labels + 1], at = letter, at + 1
    end
  end
  return labels
end

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, check = core.ops, core.raise, core.check_tensor

  -- x with the axes of these labels, in this order.
  local function arrange(operand, wanted)
    local order, same = {}, true
    for i, label in ipairs(wanted) do
      order[i] = position(operand[2], label)
      same = same and order[i] == i
    end
    return same and operand[1] or ops.permute(operand[1], order)
  end

  -- Without the labels that are not in a set, over which it is summed.
  local function summed(operand, kept)
    local away, labels = {}, {}
    for d, l in ipairs(operand[2]) do
      if kept[l] then labels[#labels + 1] = l else away[#away + 1] = d end
    end
    if #away == 0 then return operand end
    return {ops.sum(operand[1], away), labels}
  end

  -- A label that an axis has twice becomes the diagonal.
  local function without_repeats(operand)
    local x, labels = operand[1], operand[2]
    for d = 1, #labels do
      for other = d + 1, #labels do
        if labels[d] == labels[other] then
          if x:size(d) ~= x:size(other) then
            raise(("einsum: %s: expected axes of one size, got %d and %d"):format(labels[d], x:size(d), x:size(other)))
          end
          local rest = {}
          for k, l in ipairs(labels) do if k ~= d and k ~= other then rest[#rest + 1] = l end end
          rest[#rest + 1] = labels[d]
          return without_repeats{x:diagonal(0, d, other), rest}
        end
      end
    end
    return operand
  end

  -- An axis of size 1 whose label is longer in the other operand is none: it broadcasts.
  local function without_single(operand, other)
    local x, labels, shape = operand[1], {}, {}
    for d, l in ipairs(operand[2]) do
      local n = position(other[2], l) and other[1]:size(position(other[2], l))
      if n and n ~= x:size(d) and n ~= 1 and x:size(d) ~= 1 then
        raise(("einsum: %s: expected axes of one size, got %d and %d"):format(l:find "~" and "..." or l, x:size(d), n))
      end
      if not n or n == x:size(d) or n == 1 then labels[#labels + 1], shape[#shape + 1] = l, x:size(d) end
    end
    return {#labels < #operand[2] and ops.reshape(x, shape) or x, labels}
  end

  -- Sorts a's labels: those b has too and that stay, those b has and that go, its own; and their sizes.
  local function parted(a, b, kept)
    local batch, gone, own, of_b = {}, {}, {}, set_of(b[2])
    for _, l in ipairs(a[2]) do
      local list = not of_b[l] and own or kept[l] and batch or gone
      list[#list + 1] = l
    end
    return batch, gone, own
  end

  local function count(operand, labels)
    local n, sizes = 1, {}
    for i, l in ipairs(labels) do
      sizes[i] = operand[1]:size(position(operand[2], l))
      n = n * sizes[i]
    end
    return n, sizes
  end

  local function joined(...)
    local list = {}
    for _, part in ipairs{...} do table.move(part, 1, #part, #list + 1, list) end
    return list
  end

  -- Two operands as one, by a product of matrices.
  local function product(a, b, kept)
    local wanted_a, wanted_b = set_of(b[2]), set_of(a[2])
    for l in pairs(kept) do wanted_a[l], wanted_b[l] = true, true end
    a, b = summed(a, wanted_a), summed(b, wanted_b)
    a, b = without_single(a, b), without_single(b, a)
    local batch, gone, left = parted(a, b, kept)
    local _, _, right = parted(b, a, kept)
    local batches, batch_sizes = count(a, batch)
    local inner = count(a, gone)
    local rows, row_sizes = count(a, left)
    local columns, column_sizes = count(b, right)
    local x = arrange(a, joined(batch, left, gone)):reshape(batches, rows, inner)
    local y = arrange(b, joined(batch, gone, right)):reshape(batches, inner, columns)
    return {ops.matmul(x, y):reshape(joined(batch_sizes, row_sizes, column_sizes)), joined(batch, left, right)}
  end

  -- The labels of the result where the equation names none: those of "...", then what occurs once, in its order.
  local function implied(inputs, hidden)
    local seen, labels = {}, {}
    for l in inputs:gmatch "%a" do seen[l] = (seen[l] or 0) + 1 end
    for l, n in pairs(seen) do if n == 1 then labels[#labels + 1] = l end end
    table.sort(labels)
    for k = 1, hidden do table.insert(labels, 1, "~" .. k) end
    return labels
  end

  local function read_equation(equation, list)
    local text = equation:gsub("%s", "")
    local inputs, output = text:match "^(.-)%->(.*)$"
    inputs = inputs or text
    local operands, most = {}, 0
    local function refuse()
      raise(('einsum: equation: expected a text such as "ij,jk->ik", got %s'):format(options.describe(equation)))
    end
    for part in (inputs .. ","):gmatch "(.-)," do
      local i = #operands + 1
      local x = list[i]
      if not x then raise(("einsum: equation: %q has more operands than the %d given"):format(equation, #list)) end
      local bare, dots = part:gsub("%.%.%.", "")
      local hidden = x:dim() - #bare
      if dots > 1 then refuse() end
      local labels = labels_of(part, math.max(hidden, 0)) or refuse()
      if hidden < 0 or dots == 0 and hidden > 0 then
        raise(("einsum: item %d: expected %s%d axes for %q, got %s"):format(i, dots == 1 and "at least " or "", #bare,
          part, shapes.text(x.shape)))
      end
      if dots == 1 then most = math.max(most, hidden) end
      operands[i] = without_repeats{x, labels}
    end
    if #operands < #list then
      raise(("einsum: equation: %q has %d operands, and %d are given"):format(equation, #operands, #list))
    end
    return operands, output and (labels_of(output, most) or refuse()) or implied(inputs, most)
  end

  local EQUATION = {{name = "equation", kind = "text", required = true}}

  local function check_output(equation, operands, output)
    local seen = {}
    for _, l in ipairs(output) do
      local found = false
      for _, operand in ipairs(operands) do found = found or position(operand[2], l) end
      if not found or seen[l] then
        raise(("einsum: equation: %s of %q stands %s"):format(l, equation,
          found and "twice behind the arrow" or "in no operand"))
      end
      seen[l] = true
    end
  end

  -- einsum(equation, a, b, ...), einsum(equation, {a, b, ...}) or einsum({a, b, ...}, equation)
  local function einsum(first, ...)
    local second = ...
    local named = type(first) == "string"
    local list = not named and first or type(second) == "table" and second or {...}
    if type(list) ~= "table" or #list == 0 then
      raise("einsum: expected an equation and tensors, got " .. options.describe(list))
    end
    for i, x in ipairs(core.check_list(list, "einsum")) do check(x, "einsum: item " .. i) end
    local equation = named and first or arguments.read("einsum", EQUATION, ...).equation
    options.expect("einsum", "equation", equation, "string")
    local operands, output = read_equation(equation, list)
    check_output(equation, operands, output)
    local result = operands[1]
    for i = 2, #operands do
      local kept = set_of(output)
      for k = i + 1, #operands do
        for _, l in ipairs(operands[k][2]) do kept[l] = true end
      end
      result = product(result, operands[i], kept)
    end
    return arrange(summed(result, set_of(output)), output)
  end

  local CDIST = {{name = "p", kind = "number", default = 2}}
  local function is_real(x) return x.dtype == "float32" or x.dtype == "float64" end

  -- Euclidean distances of lists of points whose leading sizes are the same: no differences are kept.
  local function euclidean(x, y)
    local shape = x.shape
    local n, m, d = x:size(-2), y:size(-2), x:size(-1)
    local batch = 1
    for k = 1, #shape - 2 do batch = batch * shape[k] end
    shape[#shape] = m
    return ops.reshape(ops.distances(ops.reshape(x, {batch, n, d}), ops.reshape(y, {batch, m, d})), shape)
  end

  local function alike(x, y)
    if x:dim() ~= y:dim() or x.dtype ~= y.dtype or not is_real(x) then return false end
    for k = 1, x:dim() - 2 do
      if x:size(k) ~= y:size(k) then return false end
    end
    return true
  end

  local function cdist(x, y, ...)
    check(x, "cdist")
    check(y, "cdist: y")
    local p = arguments.read("cdist", CDIST, ...).p
    if x:dim() < 2 or y:dim() < 2 or x:size(-1) ~= y:size(-1) then
      raise(("cdist: expected points [..., n, d] and [..., m, d], got %s and %s"):format(shapes.text(x),
        shapes.text(y)))
    end
    if p < 0 or p ~= p then raise(("cdist: p: expected a number of at least 0, got %.14g"):format(p)) end
    if p == 2 and alike(x, y) then return euclidean(x, y) end
    local difference = ops.sub(x:unsqueeze(-2), y:unsqueeze(y:dim() - 1))
    if p == 2 then return ops.norm(difference, -1) end
    local size = ops.abs(difference)
    if p == 0 then return ops.sum(ops.ne(size, 0):float(), -1) end
    if p == 1 then return ops.sum(size, -1) end
    if p == math.huge then return ops.max(size, -1) end
    -- away from 0, where powers below 1 have no slope
    local sum = ops.sum(ops.where(ops.eq(size, 0), 0, ops.pow(ops.where(ops.eq(size, 0), 1, size), p)), -1)
    local zero = ops.eq(sum, 0)
    return ops.where(zero, 0, ops.pow(ops.where(zero, 1, sum), 1 / p))
  end

  return {
    {name = "einsum", inputs = {"xs*"}, params = EQUATION, f = einsum, differentiable = true,
      doc = "Sums of products over axes named by letters, as Einstein wrote them; also lt.einsum(\"ij,jk->ik\", " ..
        "a, b). " ..
        "A letter behind the arrow stays, others are summed over; \"...\" stands for axes that broadcast, and " ..
        "without " ..
        "an arrow what occurs once stays, in the order of the alphabet."},
    {name = "cdist", inputs = {"x", "y"}, params = CDIST, f = cdist, differentiable = true,
      doc = "The distances between points x [..., n, d] and y [..., m, d], [..., n, m]: the norm p of x_i - y_j. " ..
        "Leading sizes broadcast."},
  }
end
