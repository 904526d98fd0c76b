--- Losses with more arguments than the core's rows, whose work they are where none of these is given.
-- @module latent.base.ops.losses
local arguments = require "latent.base.arguments"
local one_type = require "latent.base.one_type"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local REDUCTION = {name = "reduction", kind = "choice", choices = {"mean", "sum", "none"}}

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, like = core.ops, core.raise, core.tensor_like
  local is_tensor, dim = core.is_tensor, core.methods.dim

  -- Whether the arguments behind the tensors are those of a row: a reduction, by place or by name.
  local function is_plain(given, ...)
    if select("#", ...) > 0 then return false end
    if type(given) ~= "table" then return true end
    local key = next(given)
    return key == nil or key == "reduction" and next(given, key) == nil
  end

  local function reduce(terms, reduction)
    return reduction == "none" and terms or ops[reduction](terms)
  end

  ---- cross-entropy with weights of classes, smoothed or uncertain labels, further axes ----

  local CROSS_ENTROPY = {REDUCTION, {name = "weight", kind = "tensor"}, {name = "ignore_index", kind = "int"},
    {name = "label_smoothing", kind = "number", default = 0}}

  -- The weights of the logarithms, and what the terms are averaged over: of labels.
  local function by_labels(labels, classes, o, dtype)
    local counts
    if o.ignore_index then
      local ignored = ops.eq(labels, o.ignore_index)
      counts = ops.where(ignored, 0, core.ones(1, {dtype = dtype}))
      labels = ops.where(ignored, 0, labels.dtype:find "^float" and labels or labels:float())
    end
    local hot = core.tensor(ops.one_hot(labels, classes), {dtype = dtype})
    local target = hot
    if o.label_smoothing > 0 then
      target = ops.add(ops.mul(hot, 1 - o.label_smoothing), o.label_smoothing / classes)
    end
    local shares = o.weight and ops.matmul(hot, ops.reshape(o.weight, {classes, 1}))
    if o.weight then
      target = ops.mul(target, o.weight)
      shares = ops.reshape(shares, {-1})
    end
    if counts then
      target = ops.mul(target, ops.reshape(counts, {-1, 1}))
      shares = shares and ops.mul(shares, counts) or counts
    end
    return target, shares and ops.sum(shares) or labels:numel()
  end

  local function by_probabilities(target, classes, o)
    if o.ignore_index then raise "cross_entropy: ignore_index: expected labels as target, got probabilities" end
    local rows = target.shape[1]
    if o.label_smoothing > 0 then
      target = ops.add(ops.mul(target, 1 - o.label_smoothing), o.label_smoothing / classes)
    end
    return o.weight and ops.mul(target, o.weight) or target, rows
  end

  local function check_cross_entropy(x, target, classes, o)
    if o.weight ~= nil then
      o.weight = like(o.weight, "cross_entropy: weight", x)
      if o.weight:dim() ~= 1 or o.weight.shape[1] ~= classes then
        raise(("cross_entropy: weight: expected [%d], got %s"):format(classes, shapes.text(o.weight)))
      end
    end
    if not (o.label_smoothing >= 0 and o.label_smoothing <= 1) then
      raise("cross_entropy: label_smoothing: expected a number from 0 to 1, got "
        .. options.describe(o.label_smoothing))
    end
    if x.shape[x:dim()] < 1 then raise("cross_entropy: x: expected at least one class, got " .. shapes.text(x)) end
    one_type("cross_entropy", {"x", "weight"}, x, o.weight)
    if shapes.text(target) == shapes.text(x) then one_type("cross_entropy", {"x", "target"}, x, target) end
  end

  local function is_labels_of(labels, shape)
    local have = labels.shape
    for d = 1, #shape - 1 do
      if have[d] ~= shape[d] then return false end
    end
    return #have == #shape - 1
  end

  local function general_cross_entropy(x, target, ...)
    x, target = like(x, "cross_entropy: x"), like(target, "cross_entropy: labels")
    local o, shape = arguments.read("cross_entropy", CROSS_ENTROPY, ...), x.shape
    local classes = shape[#shape]
    if not classes then raise "cross_entropy: x: expected logits [..., classes], got a scalar" end
    check_cross_entropy(x, target, classes, o)
    local uncertain = shapes.text(target) == shapes.text(x)
    if not uncertain and not is_labels_of(target, shape) then
      raise(("cross_entropy: labels: expected the shape of x %s, or that without its last axis, got %s"):format(
        shapes.text(x), shapes.text(target)))
    end
    local logs = ops.log_softmax(ops.reshape(x, {-1, classes}), 2)
    local weights, count = (uncertain and by_probabilities or by_labels)(
      ops.reshape(target, uncertain and {-1, classes} or {-1}), classes, o, x.dtype)
    -- A weight of 0 silences a logit of -inf.
    local terms = ops.neg(ops.sum(ops.where(ops.eq(weights, 0), 0, ops.mul(weights, logs)), 2))
    if o.reduction == "mean" then return ops.div(ops.sum(terms), count) end
    if o.reduction == "sum" then return ops.sum(terms) end
    shape[#shape] = nil
    return ops.reshape(terms, shape)
  end

  local function cross_entropy(x, labels, given, ...)
    if is_plain(given, ...) and not (is_tensor(x) and dim(x) ~= 2) and not (is_tensor(labels) and dim(labels) > 1) then
      return ops.cross_entropy(x, labels, given)
    end
    local loss = general_cross_entropy(x, labels, given, ...) -- no tail call: errors are to speak of cross_entropy
    return loss
  end

  ---- binary cross-entropy with weights ----

  local BCE = {REDUCTION, {name = "weight", kind = "tensor"}, {name = "pos_weight", kind = "tensor"}}

  -- log(1 + e^-x) for each 1 of the target, log(1 + e^x) for each 0; the row has checked shapes and probabilities.
  local function bce_terms(x, target, pos_weight)
    local terms = ops.bce_with_logits(x, target, "none")
    if pos_weight == nil then return terms end
    local ones = ops.mul(ops.mul(ops.softplus(ops.neg(x)), target), pos_weight)
    return ops.add(ones, ops.mul(ops.softplus(x), ops.sub(1, target)))
  end

  local function bce_with_logits(x, target, given, ...)
    if is_plain(given, ...) then return ops.bce_with_logits(x, target, given) end
    local o = arguments.read("bce_with_logits", BCE, given, ...)
    x, target = like(x, "bce_with_logits: x"), like(target, "bce_with_logits: target")
    for _, key in ipairs{"weight", "pos_weight"} do
      if o[key] ~= nil then o[key] = like(o[key], "bce_with_logits: " .. key, x) end
      one_type("bce_with_logits", {"x", key}, x, o[key])
    end
    local terms = bce_terms(x, target, o.pos_weight)
    if o.weight ~= nil then terms = ops.mul(terms, o.weight) end
    return reduce(terms, o.reduction)
  end

  ---- Gaussian likelihood of what broadcasts ----

  local function same(a, b)
    if #a ~= #b then return false end
    for d = 1, #a do
      if a[d] ~= b[d] then return false end
    end
    return true
  end

  local function broadcast(x, shape)
    return same(x.shape, shape) and x or ops.add(x, core.zeros(shape, {dtype = x.dtype}))
  end

  local function gaussian_nll(mu, log_var, target, ...)
    mu, log_var, target = like(mu, "gaussian_nll: mu"), like(log_var, "gaussian_nll: log_var"),
      like(target, "gaussian_nll: target")
    local a, b, c = mu.shape, log_var.shape, target.shape
    if not (same(a, b) and same(a, c)) then
      local shape = shapes.broadcast(a, b)
      shape = shape and shapes.broadcast(shape, c)
      if shape then
        mu, log_var, target = broadcast(mu, shape), broadcast(log_var, shape), broadcast(target, shape)
      end
    end
    return ops.gaussian_nll(mu, log_var, target, ...)
  end

  ---- squared error with weights ----

  local MSE = {REDUCTION, {name = "weight", kind = "tensor"}}

  local function mse_loss(input, target, given, ...)
    if given == nil and select("#", ...) == 0 then return ops.mse_loss(input, target) end
    if is_plain(given, ...) then return ops.mse_loss(input, target, given) end
    local o = arguments.read("mse_loss", MSE, given, ...)
    local terms = ops.mse_loss(input, target, "none")
    if o.weight == nil then return reduce(terms, o.reduction) end
    local weight = like(o.weight, "mse_loss: weight", terms)
    one_type("mse_loss", {"input", "weight"}, terms, weight)
    if not same(weight.shape, terms.shape) then
      raise(("mse_loss: weight: expected shape %s, got %s"):format(shapes.text(terms), shapes.text(weight)))
    end
    terms = ops.mul(terms, weight)
    return o.reduction == "mean" and ops.div(ops.sum(terms), ops.sum(weight)) or reduce(terms, o.reduction)
  end

  return {
    {name = "mse_loss", extends = true, f = mse_loss, params = {MSE[2]},
      more = "weight, in the same shape, multiplies the terms, and the average is weighted."},
    {name = "cross_entropy", extends = true, f = cross_entropy, params = {table.unpack(CROSS_ENTROPY, 2)},
      doc = "-log softmax(x)[label] for logits x [..., classes] and class labels [...] with values 0..classes-1, or \z
        probabilities in x's shape; averaged. weight: of each class, [classes], and the average is weighted; \z
        labels that are ignore_index count for nothing; label_smoothing: the share that all classes get alike."},
    {name = "bce_with_logits", extends = true, f = bce_with_logits, params = {table.unpack(BCE, 2)},
      more = "weight multiplies the terms, pos_weight the part of them that is the target's."},
    {name = "gaussian_nll", extends = true, f = gaussian_nll, more = "The three are broadcast."},
  }
end
