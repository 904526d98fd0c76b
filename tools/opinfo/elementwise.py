"""Elementwise operators: unary, binary, comparisons, activations, where."""
import torch

from case import Case, Inexpressible, arguments, boolean, handles, number

UNARY = {name: name for name in "abs neg exp log sqrt square sin cos tanh sigmoid sign floor ceil".split()}
UNARY.update({"sgn": "sign", "nn.functional.relu": "relu", "nn.functional.silu": "silu"})
BINARY = {name: name for name in "add sub mul div maximum minimum eq ne lt le gt ge".split()}
BINARY["true_divide"] = "div"


def unary(ours):
    def handler(sample):
        arguments(sample)
        return Case("lt.%s(a)" % ours, [sample.input])
    return handler


def scaled(text, alpha):
    return text if alpha == 1 else "lt.mul(%s, %s)" % (text, number(alpha))


def binary(ours):
    def handler(sample):
        values = arguments(sample, "other", "alpha", "rounding_mode")
        if values.get("rounding_mode"):
            raise Inexpressible("rounding_mode")
        alpha, x, y = values.get("alpha", 1), sample.input, values["other"]
        if torch.is_tensor(x) and torch.is_tensor(y):
            return Case("lt.%s(a, %s)" % (ours, scaled("b", alpha)), [x, y])
        if torch.is_tensor(x):
            return Case("lt.%s(a, %s)" % (ours, number(y if alpha == 1 else y * alpha)), [x])
        if torch.is_tensor(y) and alpha == 1:
            return Case("lt.%s(%s, a)" % (ours, number(x)), [y])
        raise Inexpressible("two Python numbers")
    return handler


for theirs, ours_name in UNARY.items():
    handles(theirs)(unary(ours_name))
for theirs, ours_name in BINARY.items():
    handles(theirs)(binary(ours_name))


@handles("rsub")
def reversed_sub(sample):
    values = arguments(sample, "other", "alpha")
    other, x = values["other"], scaled("a", values.get("alpha", 1))
    if torch.is_tensor(other):
        return Case("lt.sub(b, %s)" % x, [sample.input, other])
    return Case("lt.sub(%s, %s)" % (number(other), x), [sample.input])


@handles("pow")
def power(sample):
    exponent = sample.args[0]
    if torch.is_tensor(exponent):
        raise Inexpressible("pow: a tensor as exponent")
    return Case("lt.pow(a, %s)" % number(exponent), [sample.input])


def clamped(sample, bounds):
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    if any(torch.is_tensor(bound) for bound in bounds.values()):
        raise Inexpressible("clamp: tensors as bounds")
    options = ", ".join("%s = %s" % (name, number(bound)) for name, bound in bounds.items())
    return Case("lt.clamp(a, {%s})" % options, [sample.input])


@handles("clamp")
def clamp(sample):
    return clamped(sample, arguments(sample, "min", "max"))


@handles("clamp_min")
def clamp_min(sample):
    return clamped(sample, {"min": sample.args[0]})


@handles("clamp_max")
def clamp_max(sample):
    return clamped(sample, {"max": sample.args[0]})


@handles("nn.functional.leaky_relu")
def leaky_relu(sample):
    values = arguments(sample, "negative_slope", "inplace")
    return Case("lt.leaky_relu(a, %s)" % number(values.get("negative_slope", 0.01)), [sample.input])


@handles("nn.functional.elu")
def elu(sample):
    values = arguments(sample, "alpha", "inplace")
    return Case("lt.elu(a, %s)" % number(values.get("alpha", 1.0)), [sample.input])


@handles("nn.functional.gelu")
def gelu(sample):
    if arguments(sample, "approximate").get("approximate", "none") != "none":
        raise Inexpressible("gelu: approximate")
    return Case("lt.gelu(a)", [sample.input])


@handles("nn.functional.softplus")
def softplus(sample):
    values = arguments(sample, "beta", "threshold")
    if values.get("beta", 1) != 1 or values.get("threshold", 20) != 20:
        raise Inexpressible("softplus: beta, threshold")
    return Case("lt.softplus(a)", [sample.input])


@handles("round")
def rounded(sample):
    if arguments(sample, "decimals").get("decimals", 0):
        raise Inexpressible("round: decimals")
    return Case("lt.round(a)", [sample.input])


@handles("nn.functional.dropout")
def dropout(sample):
    values = arguments(sample, "p", "training", "inplace")
    p, training = values.get("p", 0.5), values.get("training", True)
    if training and p not in (0.0, 1.0):
        raise Inexpressible("dropout: random")
    return Case("lt.dropout(a, {p = %s, training = %s})" % (p, boolean(training)), [sample.input])


@handles("where")
def where(sample):
    """The sample's input is the first choice; its arguments are the condition and the other."""
    x, (condition, y) = sample.input, sample.args
    inputs, words = [condition], ["a"]
    for value in (x, y):
        if torch.is_tensor(value):
            inputs.append(value)
            words.append("abc"[len(inputs) - 1])
        else:
            words.append(number(value))
    return Case("lt.where(%s)" % ", ".join(words), inputs)
