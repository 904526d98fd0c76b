"""Losses."""
import torch

from case import Case, Inexpressible, arguments, boolean, handles, refuse_if_set


def options(values, *more):
    return "{%s}" % ", ".join(['reduction = "%s"' % values.get("reduction", "mean"), *more])


@handles("nn.functional.cross_entropy")
def cross_entropy(sample):
    values = arguments(sample, "target", "weight", "size_average", "ignore_index", "reduce", "reduction",
                       "label_smoothing")
    refuse_if_set("cross_entropy", values, "weight", "size_average", "reduce", "label_smoothing")
    refuse_if_set("cross_entropy", values, "ignore_index", but=(-100,))
    if torch.is_floating_point(values["target"]):
        raise Inexpressible("cross_entropy: probabilities")
    if sample.input.dim() > 2:
        raise Inexpressible("cross_entropy: spatial axes")
    return Case("lt.cross_entropy(a, b, %s)" % options(values), [sample.input, values["target"]])


@handles("nn.functional.binary_cross_entropy_with_logits")
def bce_with_logits(sample):
    values = arguments(sample, "target", "weight", "size_average", "reduce", "reduction", "pos_weight")
    refuse_if_set("bce_with_logits", values, "weight", "size_average", "reduce", "pos_weight")
    return Case("lt.bce_with_logits(a, b, %s)" % options(values), [sample.input, values["target"]])


@handles("nn.functional.mse_loss")
def mse_loss(sample):
    values = arguments(sample, "target", "size_average", "reduce", "reduction", "weight")
    refuse_if_set("mse_loss", values, "size_average", "reduce", "weight")
    return Case("lt.mse_loss(a, b, %s)" % options(values), [sample.input, values["target"]])


@handles("nn.functional.gaussian_nll_loss")
def gaussian_nll(sample):
    """PyTorch takes the variance, latent its logarithm; and PyTorch clamps it at eps."""
    values = arguments(sample, "target", "var", "full", "eps", "reduction")
    variance = values["var"]
    if not torch.is_tensor(variance):
        raise Inexpressible("gaussian_nll: a number as variance")
    if float(variance.min()) <= values.get("eps", 1e-6):
        raise Inexpressible("gaussian_nll: variance below eps")
    constant = "constant = %s" % boolean(values.get("full", False))
    return Case("lt.gaussian_nll(a, lt.log(c), b, %s)" % options(values, constant),
                [sample.input, values["target"], variance])
