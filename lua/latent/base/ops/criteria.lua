--- Losses that are made of other ops.
-- @module latent.base.ops.criteria
local arguments = require "latent.base.arguments"
local axes = require "latent.base.axes"
local one_type = require "latent.base.one_type"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, like = core.ops, core.raise, core.tensor_like

  local REDUCTION = {name = "reduction", kind = "choice", choices = {"mean", "sum", "none"}}

  local function reduce(terms, reduction)
    return reduction == "none" and terms or ops[reduction](terms)
  end

  -- Tensors of one shape: a loss that broadcasts hides a mistake.
  local function same_shapes(name, names, ...)
    local list = {...}
    local want
    for i = 1, #names do
      list[i] = like(list[i], ("%s: %s"):format(name, names[i]))
      local have = shapes.text(list[i])
      want = want or have
      if have ~= want then
        raise(("%s: %s: expected the shape of %s %s, got %s"):format(name, names[i], names[1], want, have))
      end
    end
    return table.unpack(list)
  end

  -- ... and of one floating type.
  local function alike(name, names, ...)
    local list = {same_shapes(name, names, ...)}
    one_type(name, names, table.unpack(list))
    return table.unpack(list)
  end

  local PAIR = {"input", "target"}

  local function l1_loss(input, target, ...)
    input, target = alike("l1_loss", PAIR, input, target)
    local o = arguments.read("l1_loss", {REDUCTION}, ...)
    return reduce(ops.abs(ops.sub(input, target)), o.reduction)
  end

  local function positive(name, option, value)
    if value <= 0 or value ~= value then
      raise(("%s: %s: expected above 0, got %g"):format(name, option, value))
    end
    return value
  end

  -- Quadratic up to a bound, linear beyond.
  local function huber_terms(input, target, bound)
    local distance = ops.abs(ops.sub(input, target))
    return ops.where(ops.lt(distance, bound), ops.mul(ops.square(distance), 0.5),
      ops.mul(ops.sub(distance, bound / 2), bound))
  end

  local SMOOTH = {REDUCTION, {name = "beta", kind = "number", default = 1}}

  local function smooth_l1_loss(input, target, ...)
    input, target = alike("smooth_l1_loss", PAIR, input, target)
    local o = arguments.read("smooth_l1_loss", SMOOTH, ...)
    if o.beta == 0 then return reduce(ops.abs(ops.sub(input, target)), o.reduction) end
    positive("smooth_l1_loss", "beta", o.beta)
    return reduce(ops.mul(huber_terms(input, target, o.beta), 1 / o.beta), o.reduction)
  end

  local HUBER = {REDUCTION, {name = "delta", kind = "number", default = 1}}

  local function huber_loss(input, target, ...)
    input, target = alike("huber_loss", PAIR, input, target)
    local o = arguments.read("huber_loss", HUBER, ...)
    return reduce(huber_terms(input, target, positive("huber_loss", "delta", o.delta)), o.reduction)
  end

  ---- labels and probabilities ----

  local NLL = {REDUCTION, {name = "weight", kind = "tensor"}, {name = "ignore_index", kind = "int"}}

  -- The labels' columns, and the weight of each row; nil where all have the same.
  local function chosen(input, labels, o)
    local classes, counts = input.shape[2], nil
    if o.ignore_index then
      local ignored = ops.eq(labels, o.ignore_index)
      counts = ops.where(ignored, 0, core.ones(labels.shape, {dtype = input.dtype}))
      labels = ops.where(ignored, 0, labels.dtype == "u8" and labels:float() or labels)
    end
    local hot = core.tensor(ops.one_hot(labels, classes), {dtype = input.dtype})
    if o.weight ~= nil then
      local weight = like(o.weight, "nll_loss: weight", input)
      if shapes.text(weight) ~= ("[%d]"):format(classes) then
        raise(("nll_loss: weight: expected [%d], got %s"):format(classes, shapes.text(weight)))
      end
      one_type("nll_loss", {"input", "weight"}, input, weight)
      local each = ops.reshape(ops.matmul(hot, ops.reshape(weight, {classes, 1})), {-1})
      counts = counts and ops.mul(counts, each) or each
    end
    -- Elsewhere a logarithm may be -inf.
    return ops.sum(ops.where(ops.eq(hot, 0), 0, input), 2), counts
  end

  local function nll_loss(input, labels, ...)
    input, labels = like(input, "nll_loss: input"), like(labels, "nll_loss: target")
    local o = arguments.read("nll_loss", NLL, ...)
    if input:dim() ~= 2 or labels:dim() ~= 1 or labels.shape[1] ~= input.shape[1] then
      raise(("nll_loss: expected log-probabilities [n, classes] and labels [n], got %s and %s"):format(
        shapes.text(input), shapes.text(labels)))
    end
    local picked, counts = chosen(input, labels, o)
    if not counts then return reduce(ops.neg(picked), o.reduction) end
    local terms = ops.neg(ops.mul(picked, counts))
    if o.reduction == "mean" then return ops.div(ops.sum(terms), ops.sum(counts)) end
    return reduce(terms, o.reduction)
  end

  local KL = {{name = "reduction", kind = "choice", choices = {"mean", "batchmean", "sum", "none"}},
    {name = "log_target", kind = "bool", default = 0}}

  local function kl_div(input, target, ...)
    input, target = alike("kl_div", PAIR, input, target)
    local o = arguments.read("kl_div", KL, ...)
    local terms
    if o.log_target then
      terms = ops.mul(ops.exp(target), ops.sub(target, input))
    else
      terms = ops.sub(ops.xlogy(target, target), ops.mul(target, input))
    end
    if o.reduction == "batchmean" then return ops.mul(ops.sum(terms), 1 / math.max(1, input.shape[1] or 1)) end
    return reduce(terms, o.reduction)
  end

  local BCE = {REDUCTION, {name = "weight", kind = "tensor"}}

  local function binary_cross_entropy(input, target, ...)
    local name = "binary_cross_entropy"
    input, target = alike(name, PAIR, input, target)
    local o = arguments.read(name, BCE, ...)
    local least, _, greatest, nans = core.statistics(input)
    if input:numel() > 0 and nans == 0 and not (least >= 0 and greatest <= 1) then
      raise(("%s: input: expected probabilities in [0, 1], got %g"):format(name, least < 0 and least or greatest))
    end
    -- A logarithm is at least -100, as in PyTorch: no loss is infinite.
    local yes, no = ops.clamp(ops.log(input), -100, math.huge), ops.clamp(ops.log(ops.sub(1, input)), -100, math.huge)
    local terms = ops.neg(ops.add(ops.mul(target, yes), ops.mul(ops.sub(1, target), no)))
    if o.weight ~= nil then
      local weight = like(o.weight, name .. ": weight", input)
      one_type(name, {"input", "weight"}, input, weight)
      terms = ops.mul(terms, weight)
    end
    return reduce(terms, o.reduction)
  end

  ---- distances ----

  local COSINE = {{name = "axis", kind = "int", default = -1}, {name = "eps", kind = "number", default = 1e-8}}

  local function cosine(a, b, axis, eps)
    local function square(x, y) return ops.sum(ops.mul(x, y), axis) end
    local lengths = ops.mul(ops.clamp(square(a, a), eps ^ 2, math.huge), ops.clamp(square(b, b), eps ^ 2, math.huge))
    return ops.mul(square(a, b), ops.rsqrt(lengths))
  end

  local function cosine_similarity(a, b, ...)
    local o = arguments.read("cosine_similarity", COSINE, ...)
    a, b = like(a, "cosine_similarity: a"), like(b, "cosine_similarity: b")
    local common = shapes.broadcast(a.shape, b.shape)
    if not common then
      raise(("cosine_similarity: shapes %s and %s do not fit together"):format(shapes.text(a), shapes.text(b)))
    end
    one_type("cosine_similarity", {"a", "b"}, a, b)
    local axis = axes.axis("cosine_similarity", o.axis, #common)
    local function wide(x)
      if not x.dtype:find "^float" then x = x:float() end
      return shapes.text(x) == shapes.text(common) and x or ops.add(x, core.zeros(common, {dtype = x.dtype}))
    end
    return cosine(wide(a), wide(b), axis, o.eps)
  end

  local COSINE_EMBEDDING = {{name = "margin", kind = "number", default = 0}, REDUCTION}

  local function cosine_embedding_loss(a, b, target, ...)
    local name = "cosine_embedding_loss"
    a, b = alike(name, {"a", "b"}, a, b)
    target = like(target, name .. ": target")
    local o = arguments.read(name, COSINE_EMBEDDING, ...)
    local near = cosine(a, b, -1, 1e-6)
    if shapes.text(target) ~= shapes.text(near) then
      raise(("%s: target: expected %s, got %s"):format(name, shapes.text(near), shapes.text(target)))
    end
    return reduce(ops.where(ops.gt(target, 0), ops.sub(1, near), ops.relu(ops.sub(near, o.margin))), o.reduction)
  end

  local TRIPLET = {{name = "margin", kind = "number", default = 1}, {name = "p", kind = "number", default = 2},
    {name = "eps", kind = "number", default = 1e-6}, {name = "swap", kind = "bool", default = 0}, REDUCTION}

  local function triplet_margin_loss(anchor, positive_one, negative_one, ...)
    local name = "triplet_margin_loss"
    anchor, positive_one, negative_one = alike(name, {"anchor", "positive", "negative"}, anchor, positive_one,
      negative_one)
    local o = arguments.read(name, TRIPLET, ...)
    positive(name, "p", o.p)
    local function distance(x, y)
      local difference = ops.add(ops.sub(x, y), o.eps)
      if o.p == 2 then return ops.sqrt(ops.sum(ops.square(difference), -1)) end
      return ops.pow(ops.sum(ops.pow(ops.abs(difference), o.p), -1), 1 / o.p)
    end
    local far = distance(anchor, negative_one)
    if o.swap then far = ops.minimum(far, distance(positive_one, negative_one)) end
    return reduce(ops.relu(ops.add(ops.sub(distance(anchor, positive_one), far), o.margin)), o.reduction)
  end

  local HINGE = {{name = "margin", kind = "number", default = 1}, REDUCTION}

  local function hinge_embedding_loss(input, target, ...)
    input, target = same_shapes("hinge_embedding_loss", PAIR, input, target)
    local o = arguments.read("hinge_embedding_loss", HINGE, ...)
    return reduce(ops.where(ops.gt(target, 0), input, ops.relu(ops.sub(o.margin, input))), o.reduction)
  end

  local RANKING = {{name = "margin", kind = "number", default = 0}, REDUCTION}

  local function margin_ranking_loss(a, b, target, ...)
    a, b, target = same_shapes("margin_ranking_loss", {"a", "b", "target"}, a, b, target)
    one_type("margin_ranking_loss", {"a", "b"}, a, b)
    if a.dtype == "float64" then target = target:double() end -- signs, of any type
    local o = arguments.read("margin_ranking_loss", RANKING, ...)
    return reduce(ops.relu(ops.add(ops.mul(target, ops.sub(b, a)), o.margin)), o.reduction)
  end

  local function row(name, inputs, params, f, doc)
    return {name = name, inputs = inputs, params = params, f = f, differentiable = true, doc = doc}
  end

  return {
    row("l1_loss", PAIR, {REDUCTION}, l1_loss, "|input - target|, averaged over all elements."),
    row("smooth_l1_loss", PAIR, SMOOTH, smooth_l1_loss,
      "(input - target)^2 / (2 beta) where that distance is below beta, else the distance - beta / 2, averaged."),
    row("huber_loss", PAIR, HUBER, huber_loss,
      "(input - target)^2 / 2 where that distance is below delta, else delta (distance - delta / 2), averaged."),
    row("nll_loss", PAIR, NLL, nll_loss,
      "-input[label] of log-probabilities [n, classes] and class labels [n] with values 0..classes-1, averaged; \z
        weight: of each class, and the average is weighted; labels that are ignore_index count for nothing."),
    row("kl_div", PAIR, KL, kl_div,
      "target (log target - input), the Kullback-Leibler divergence of probabilities from log-probabilities; averaged \z
        over all elements, over the first axis (batchmean) as it is defined; log_target: these are logarithms too."),
    row("binary_cross_entropy", PAIR, BCE, binary_cross_entropy,
      "-target log(input) - (1 - target) log(1 - input) of probabilities, averaged; no logarithm is below -100. \z
        bce_with_logits takes log-odds, and is better."),
    row("cosine_similarity", {"a", "b"}, COSINE, cosine_similarity,
      "a b / (|a| |b|) along an axis, the last unless given; lengths are at least eps."),
    row("cosine_embedding_loss", {"a", "b", "target"}, COSINE_EMBEDDING, cosine_embedding_loss,
      "1 - cos(a, b) of rows where the target is 1, max(0, cos(a, b) - margin) where it is -1, averaged."),
    row("triplet_margin_loss", {"anchor", "positive", "negative"}, TRIPLET, triplet_margin_loss,
      "max(0, |anchor - positive| - |anchor - negative| + margin) of rows, averaged; p is the norm's order; swap: the \z
        smaller of the negative's distances from anchor and positive."),
    row("hinge_embedding_loss", PAIR, HINGE, hinge_embedding_loss,
      "input where the target is 1, max(0, margin - input) where it is -1, averaged."),
    row("margin_ranking_loss", {"a", "b", "target"}, RANKING, margin_ranking_loss,
      "max(0, target (b - a) + margin): a should be greater where the target is 1, b where it is -1; averaged."),
  }
end
