--- Random draws that are made of other functions. All follow the generator alone: the same bits for any number of
-- threads.
-- @module latent.base.ops.draws
local arguments = require "latent.base.arguments"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, like = core.ops, core.raise, core.tensor_like

  local GENERATOR = {name = "generator", kind = "generator"}

  local BERNOULLI = {GENERATOR}

  local function bernoulli(p, ...)
    local o = arguments.read("bernoulli", BERNOULLI, ...)
    if o.generator == nil then return ops.bernoulli(p) end
    p = like(p, "bernoulli: p")
    local least, _, greatest, nans = core.statistics(p)
    if p:numel() > 0 and (nans > 0 or least < 0 or greatest > 1) then
      raise(core.plainly(string.format, "bernoulli: p: expected probabilities in [0, 1], got %g",
        nans > 0 and 0 / 0 or least < 0 and least or greatest))
    end
    local draws = ops.lt(core.rand(p.shape, {generator = o.generator}), p)
    return ops.where(draws, core.ones(p), 0)
  end

  ---- places by weights ----

  local MULTINOMIAL = {{name = "n", kind = "int", required = true},
    {name = "replacement", kind = "bool", default = 0}, GENERATOR}

  -- The first place whose cumulative weight is above a number.
  local function place_above(sums, value)
    local low, high = 1, #sums
    while low < high do
      local middle = (low + high) // 2
      if sums[middle] > value then high = middle else low = middle + 1 end
    end
    return low
  end

  local function with_replacement(weights, draws)
    local sums, total = {}, 0
    for i, weight in ipairs(weights) do
      total = total + weight
      sums[i] = total
    end
    local places = {}
    for i, u in ipairs(draws) do places[i] = place_above(sums, u * total) end
    return places
  end

  -- The greatest of weight / exponential draw come first: as if drawn one after the other (Efraimidis and Spirakis,
  -- 2006).
  local function without_replacement(weights, draws, n)
    local keys, order = {}, {}
    for i, weight in ipairs(weights) do
      if weight > 0 then
        keys[i] = math.log(weight) - math.log(-math.log(draws[i] + 2.0 ^ -25))
        order[#order + 1] = i
      end
    end
    table.sort(order, function(a, b)
      if keys[a] ~= keys[b] then return keys[a] > keys[b] end
      return a < b
    end)
    return table.move(order, 1, n, 1, {})
  end

  local function check_row(row, weights, o)
    local total, above = 0, 0
    for i, weight in ipairs(weights) do
      if not (weight >= 0 and weight < math.huge) then
        raise(("multinomial: probs: expected finite numbers of at least 0, got %g at [%d, %d]"):format(weight, row, i))
      end
      total, above = total + weight, above + (weight > 0 and 1 or 0)
    end
    if o.n > 0 and (above == 0 or not o.replacement and o.n > above) then
      raise(("multinomial: n: expected at most %d, the places with a weight above 0 in row %d, got %d"):format(above,
        row, o.n))
    end
  end

  local function multinomial(probs, ...)
    probs = like(probs, "multinomial: probs")
    local o, shape = arguments.read("multinomial", MULTINOMIAL, ...), probs.shape
    if o.n < 0 then raise(("multinomial: n: expected at least 0, got %d"):format(o.n)) end
    if #shape < 1 or #shape > 2 then
      raise("multinomial: probs: expected [places] or [rows, places], got " .. shapes.text(probs))
    end
    local rows = #shape == 2 and probs:table() or {probs:table()}
    for row, weights in ipairs(rows) do check_row(row, weights, o) end
    local draws = core.rand({#rows, o.replacement and o.n or shape[#shape]}, {generator = o.generator}):table()
    local places = {}
    for row, weights in ipairs(rows) do
      local pick = o.replacement and with_replacement or without_replacement
      table.move(pick(weights, draws[row] or {}, o.n), 1, o.n, #places + 1, places)
    end
    local y = #places > 0 and core.tensor(places, {dtype = "i64"}) or core.zeros({0}, {dtype = "i64"})
    return ops.reshape(y, #shape == 2 and {shape[1], o.n} or {o.n})
  end

  --- Whole numbers from first to last, each as likely as the others; see `lt.randint` in latent.base.face.
  local function randint(first, last, shape, opts)
    local name = "randint"
    first, last = options.expect(name, "first", first, "integer"), options.expect(name, "last", last, "integer")
    if last < first then raise(("randint: last: expected at least %d, got %d"):format(first, last)) end
    if opts == nil then shape, opts = options.separate(shape) end
    opts = options.check(name, opts, {"generator"})
    if shape == nil then shape = {} end
    local n, sizes = 1, type(shape) == "table" and shape or {shape}
    core.check_list(sizes, "randint: shape")
    for i, size in ipairs(sizes) do n = n * options.expect(name, ("shape[%d]"):format(i), size, "size") end
    -- 48 random bits: of what a range leaves over nobody will notice.
    local words, list, count = core.rand({2, n}, {generator = opts.generator}):table(), {}, last - first + 1
    if count <= 0 or count > 1 << 48 then
      raise(("randint: last: expected a range of at most 2^48 numbers, got %d to %d"):format(first, last))
    end
    for i = 1, n do
      local bits = math.tointeger(words[1][i] * 2 ^ 24) << 24 | math.tointeger(words[2][i] * 2 ^ 24)
      list[i] = first + bits % count
    end
    local y = n > 0 and core.tensor(list, {dtype = "i64"}) or core.zeros({0}, {dtype = "i64"})
    return ops.reshape(y, sizes)
  end

  return {
    {name = "bernoulli", extends = true, params = BERNOULLI, f = bernoulli,
      doc = "1 with the probability that each element gives, else 0; generator: one made by lt.generator."},
    {name = "multinomial", inputs = {"probs"}, params = MULTINOMIAL, f = multinomial,
      doc = "n random places (from 1) of each row of weights [places] or [rows, places], with probabilities in their \z
        proportion; each place once, unless replacement = true. i64 [n] or [rows, n]."},
  }, randint
end
