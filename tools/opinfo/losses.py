"""Losses."""
import torch

from case import Case, arguments, axis, boolean, channels_last, handles, number, refuse_if_set


def options(values, *more):
    return "{%s}" % ", ".join(['reduction = "%s"' % values.get("reduction", "mean"), *more])


def named(inputs, values, *names):
    """The tensors among the options: words of the call; they are added to the inputs."""
    words = []
    for name in names:
        if values.get(name) is not None:
            words.append("%s = %s" % (name, "abcde"[len(inputs)]))
            inputs.append(values[name])
    return words


@handles("nn.functional.cross_entropy")
def cross_entropy(sample):
    values = arguments(sample, "target", "weight", "size_average", "ignore_index", "reduce", "reduction",
                       "label_smoothing")
    refuse_if_set("cross_entropy", values, "size_average", "reduce")
    target = values["target"]
    inputs = [(sample.input, channels_last),
              (target, channels_last) if torch.is_floating_point(target) else target]
    more = named(inputs, values, "weight")
    if values.get("ignore_index", -100) != -100 or not torch.is_floating_point(target) and bool((target < 0).any()):
        more.append("ignore_index = %d" % values.get("ignore_index", -100))
    if values.get("label_smoothing"):
        more.append("label_smoothing = %s" % number(values["label_smoothing"]))
    return Case("lt.cross_entropy(a, b, %s)" % options(values, *more), inputs)


@handles("nn.functional.binary_cross_entropy_with_logits")
def bce_with_logits(sample):
    values = arguments(sample, "target", "weight", "size_average", "reduce", "reduction", "pos_weight")
    refuse_if_set("bce_with_logits", values, "size_average", "reduce")
    inputs = [sample.input, values["target"]]
    more = named(inputs, values, "weight", "pos_weight")
    return Case("lt.bce_with_logits(a, b, %s)" % options(values, *more), inputs)


@handles("nn.functional.mse_loss")
def mse_loss(sample):
    values = arguments(sample, "target", "size_average", "reduce", "reduction", "weight")
    refuse_if_set("mse_loss", values, "size_average", "reduce")
    inputs = [sample.input, values["target"]]
    return Case("lt.mse_loss(a, b, %s)" % options(values, *named(inputs, values, "weight")), inputs)


def spread(tensors):
    """The tensors' names in one shape."""
    shape = torch.broadcast_shapes(*(x.shape for x in tensors))
    return ", ".join(name if x.shape == shape else "lt.broadcast_to(%s, {%s})" % (name, ", ".join(map(str, shape)))
                     for name, x in zip("abcde", tensors))


def pair(ours, option=None, fallback=None):
    """Losses of an input and a target with at most one number."""
    def handler(sample):
        names = ["target", "size_average", "reduce", "reduction", "weight"] + ([option] if option else [])
        values = arguments(sample, *names)
        refuse_if_set(ours, values, "size_average", "reduce", "weight")
        more = ["%s = %s" % (option, number(values.get(option, fallback)))] if option else []
        inputs = [sample.input, values["target"]]
        return Case("lt.%s(%s, %s)" % (ours, spread(inputs), options(values, *more)), inputs)
    return handler


handles("nn.functional.l1_loss")(pair("l1_loss"))
handles("nn.functional.smooth_l1_loss")(pair("smooth_l1_loss", "beta", 1.0))
handles("nn.functional.huber_loss")(pair("huber_loss", "delta", 1.0))
handles("nn.functional.hinge_embedding_loss")(pair("hinge_embedding_loss", "margin", 1.0))


@handles("nn.functional.binary_cross_entropy")
def binary_cross_entropy(sample):
    values = arguments(sample, "target", "weight", "size_average", "reduce", "reduction")
    refuse_if_set("binary_cross_entropy", values, "size_average", "reduce")
    inputs = [sample.input, values["target"]]
    return Case("lt.binary_cross_entropy(a, b, %s)" % options(values, *named(inputs, values, "weight")), inputs)


@handles("nn.functional.kl_div")
def kl_div(sample):
    values = arguments(sample, "target", "size_average", "reduce", "reduction", "log_target")
    refuse_if_set("kl_div", values, "size_average", "reduce")
    return Case("lt.kl_div(a, b, %s)" % options(values, "log_target = %s" % boolean(values.get("log_target"))),
                [sample.input, values["target"]])


@handles("nn.functional.nll_loss")
def nll_loss(sample):
    values = arguments(sample, "target", "weight", "size_average", "ignore_index", "reduce", "reduction")
    refuse_if_set("nll_loss", values, "size_average", "reduce")
    inputs, target = [sample.input, values["target"]], values["target"]
    words = named(inputs, values, "weight")
    if values.get("ignore_index", -100) != -100 or bool((target < 0).any()):
        words.append("ignore_index = %d" % values.get("ignore_index", -100))
    if sample.input.dim() == 1:
        code = "lt.nll_loss(lt.reshape(a, 1, -1), lt.reshape(b, 1), %s)" % options(values, *words)
        return Case("lt.reshape(%s, {})" % code, inputs, note="a single row: a batch of one")
    if sample.input.dim() == 2:
        return Case("lt.nll_loss(a, b, %s)" % options(values, *words), inputs)
    inputs[0] = (sample.input, channels_last)
    code = "lt.nll_loss(lt.reshape(a, -1, %d), lt.reshape(b, -1), %s)" % (sample.input.shape[1],
                                                                          options(values, *words))
    if values.get("reduction") == "none":
        code = "lt.reshape(%s, %s)" % (code, "{%s}" % ", ".join(map(str, target.shape)))
    return Case(code, inputs, note="further axes as rows")


@handles("nn.functional.cosine_similarity")
def cosine_similarity(sample):
    values = arguments(sample, "x2", "dim", "eps")
    return Case("lt.cosine_similarity(a, b, %s, %s)" % (axis(values.get("dim", 1)), number(values.get("eps", 1e-8))),
                [sample.input, values["x2"]])


@handles("nn.functional.cosine_embedding_loss")
def cosine_embedding(sample):
    values = arguments(sample, "input2", "target", "margin", "size_average", "reduce", "reduction")
    refuse_if_set("cosine_embedding_loss", values, "size_average", "reduce")
    return Case("lt.cosine_embedding_loss(a, b, c, %s)" % options(
        values, "margin = %s" % number(float(values.get("margin", 0)))),
        [sample.input, values["input2"], values["target"]])


@handles("nn.functional.margin_ranking_loss")
def margin_ranking(sample):
    values = arguments(sample, "input2", "target", "margin", "size_average", "reduce", "reduction")
    refuse_if_set("margin_ranking_loss", values, "size_average", "reduce")
    inputs = [sample.input, values["input2"], values["target"]]
    return Case("lt.margin_ranking_loss(%s, %s)" % (spread(inputs), options(
        values, "margin = %s" % number(float(values.get("margin", 0))))), inputs)


@handles("nn.functional.triplet_margin_loss")
def triplet_margin(sample):
    values = arguments(sample, "positive", "negative", "margin", "p", "eps", "swap", "size_average", "reduce",
                       "reduction")
    refuse_if_set("triplet_margin_loss", values, "size_average", "reduce")
    return Case("lt.triplet_margin_loss(a, b, c, %s)" % options(
        values, "margin = %s" % number(float(values.get("margin", 1))), "p = %s" % number(float(values.get("p", 2))),
        "eps = %s" % number(values.get("eps", 1e-6)), "swap = %s" % boolean(values.get("swap"))),
        [sample.input, values["positive"], values["negative"]])


# What comes out is the kept weights times the values; these weights made small again, with those of no dropout where
# one was dropped, give the attention without it.
DROPPED = """(function()
  local y, w = %s
  local _, whole = %s
  local v = %s
  if not lt.allclose(y, lt.matmul(w, v), {rtol = 1e-5, atol = 1e-6}) then error "not the weights times the values" end
  return lt.matmul(lt.where(lt.eq(w, 0), whole, lt.mul(w, %s)), v)
end)()"""


@handles("nn.functional.scaled_dot_product_attention")
def attention(sample):
    values = arguments(sample, "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
    inputs = [sample.input, values["key"], values["value"]]
    words = named(inputs, values, "attn_mask")
    if values.get("scale") is not None:
        words.append("scale = %s" % number(values["scale"]))
    words.append("is_causal = %s" % boolean(values.get("is_causal")))
    if values.get("enable_gqa"):
        words.append("enable_gqa = true")
    batch = torch.broadcast_shapes(*(x.shape[:-2] for x in inputs[:3]))
    names = ["lt.broadcast_to(%s, {%s})" % (name, ", ".join(map(str, (*batch, *x.shape[-2:]))))
             if x.shape[:-2] != batch else name for name, x in zip("abc", inputs)]
    call = "lt.scaled_dot_product_attention(%s, {%s%%s})" % (", ".join(names), ", ".join(words))
    dropped = values.get("dropout_p")
    if dropped:
        return Case(DROPPED % (call % (", dropout_p = %s" % dropped), call % "", names[2], number(1 - dropped)), inputs,
                    note="random: the weights that are kept, made small again", instead=lambda operator: (
                        lambda *args, **kwargs: operator(*args, **{**kwargs, "dropout_p": 0.0})))
    return Case("(%s)" % call % "", inputs,
                note="batches that are broadcast first" if names != list("abc") else None)


@handles("nn.functional.gaussian_nll_loss")
def gaussian_nll(sample):
    """PyTorch takes the variance, clamped at eps, and may leave its last axis out; latent takes its logarithm."""
    values = arguments(sample, "target", "var", "full", "eps", "reduction")
    variance, eps = values["var"], values.get("eps", 1e-6)
    constant = "constant = %s" % boolean(values.get("full", False))
    if not torch.is_tensor(variance):
        code = "lt.gaussian_nll(a, lt.full({1}, math.log(%s)), b, %s)"
        return Case(code % (number(max(float(variance), eps)), options(values, constant)),
                    [sample.input, values["target"]])
    short = variance.shape == sample.input.shape[:-1] and variance.shape != sample.input.shape
    log = "lt.log(lt.clamp(%s, {min = %s}))" % ("lt.unsqueeze(c, -1)" if short else "c", number(eps))
    return Case("lt.gaussian_nll(a, %s, b, %s)" % (log, options(values, constant)),
                [sample.input, values["target"], variance])
