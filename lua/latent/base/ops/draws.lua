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

  -- For each draw the first place whose cumulative weight, in double precision, is above that part of all.
  local function with_replacement(probs, draws)
    local places = probs:size(2)
    local sums = ops.cumsum(probs:double(), 2)
    local parts = ops.mul(draws:double(), ops.slice(sums, 2, places, places))
    return ops.minimum(ops.searchsorted(sums, parts, true), places)
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

  -- Whether no row is one that check_row refuses.
  local function all_will_do(list, o)
    if list:numel() == 0 then return false end
    local least, _, greatest, nans = core.statistics(list)
    if nans > 0 or least < 0 or greatest == math.huge then return false end
    local above = ops.sum(ops.gt(list, 0):long(), 2):min():item()
    return o.n == 0 or above > 0 and (o.replacement or o.n <= above)
  end

  local function multinomial(probs, ...)
    probs = like(probs, "multinomial: probs")
    local o, shape = arguments.read("multinomial", MULTINOMIAL, ...), probs.shape
    if o.n < 0 then raise(("multinomial: n: expected at least 0, got %d"):format(o.n)) end
    if #shape < 1 or #shape > 2 then
      raise("multinomial: probs: expected [places] or [rows, places], got " .. shapes.text(probs))
    end
    local list = ops.reshape(probs:detach(), {#shape == 2 and shape[1] or 1, shape[#shape]})
    if not all_will_do(list, o) then
      for row, weights in ipairs(list:table()) do check_row(row, weights, o) end
    end
    local draws = core.rand({list:size(1), o.replacement and o.n or shape[#shape]}, {generator = o.generator})
    local drawn = #shape == 2 and {shape[1], o.n} or {o.n}
    if list:size(1) * o.n == 0 then return core.zeros(drawn, {dtype = "i64"}) end
    if o.replacement then return ops.reshape(with_replacement(list, draws), drawn) end
    local places, uniform = {}, draws:table()
    for row, weights in ipairs(list:table()) do
      table.move(without_replacement(weights, uniform[row], o.n), 1, o.n, #places + 1, places)
    end
    return ops.reshape(core.tensor(places, {dtype = "i64"}), drawn)
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
    local words, count = core.rand({2, n}, {generator = opts.generator}), last - first + 1
    if count <= 0 or count > 1 << 48 then
      raise(("randint: last: expected a range of at most 2^48 numbers, got %d to %d"):format(first, last))
    end
    if n == 0 then return ops.reshape(core.zeros({0}, {dtype = "i64"}), sizes) end
    local halves = ops.mul(words, 2.0 ^ 24):long()
    local bits = ops.add(ops.mul(halves[1], 1 << 24), halves[2])
    return ops.reshape(ops.add(ops.remainder(bits, count), first), sizes)
  end

  return {
    {name = "bernoulli", extends = true, params = BERNOULLI, f = bernoulli,
      doc = "1 with the probability that each element gives, else 0; generator: one made by lt.generator."},
    {name = "multinomial", inputs = {"probs"}, params = MULTINOMIAL, f = multinomial,
      doc = "n random places (from 1) of each row of weights [places] or [rows, places], with probabilities in their \z
        proportion; each place once, unless replacement = true. i64 [n] or [rows, n]."},
  }, randint
end
