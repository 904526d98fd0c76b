"""Losses."""
import torch

from case import Case, arguments, boolean, channels_last, handles, number, refuse_if_set


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
    refuse_if_set("mse_loss", values, "size_average", "reduce", "weight")
    return Case("lt.mse_loss(a, b, %s)" % options(values), [sample.input, values["target"]])


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
