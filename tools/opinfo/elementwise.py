"""Elementwise operators: unary, binary, comparisons, activations, where."""
import torch

from case import Case, Inexpressible, arguments, boolean, handles, number

UNARY = {name: name for name in (
    "abs neg exp log sqrt square sin cos tanh sigmoid sign floor ceil trunc tan asin acos atan sinh cosh asinh acosh "
    "atanh log1p log2 log10 expm1 exp2 rsqrt reciprocal erf erfc erfinv lgamma digamma isnan isinf isfinite").split()}
UNARY.update({"sgn": "sign", "nn.functional.relu": "relu", "nn.functional.silu": "silu"})
BINARY = {name: name for name in (
    "add sub mul div maximum minimum eq ne lt le gt ge atan2 xlogy fmod remainder").split()}
BINARY["true_divide"] = "div"
REVERSED = {"__radd__": "add", "__rsub__": "sub", "__rmul__": "mul", "__rdiv__": "div", "__rmod__": "remainder",
            "__rpow__": "pow"}


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
        mode = values.get("rounding_mode")
        more = ', {rounding_mode = "%s"}' % mode if mode else ""
        alpha, x, y = values.get("alpha", 1), sample.input, values["other"]
        if torch.is_tensor(x) and torch.is_tensor(y):
            return Case("lt.%s(a, %s%s)" % (ours, scaled("b", alpha), more), [x, y])
        if torch.is_tensor(x):
            return Case("lt.%s(a, %s%s)" % (ours, number(y if alpha == 1 else y * alpha), more), [x])
        if torch.is_tensor(y) and alpha == 1:
            return Case("lt.%s(%s, a%s)" % (ours, number(x), more), [y])
        raise Inexpressible("two Python numbers")
    return handler


def reversed_binary(ours):
    def handler(sample):
        other = arguments(sample, "other")["other"]
        if torch.is_tensor(other):
            return Case("lt.%s(b, a)" % ours, [sample.input, other])
        # PyTorch has no gradient of a number's remainder.
        return Case("lt.%s(%s, a)" % (ours, number(other)), [sample.input], forward_only=ours == "remainder")
    return handler


for theirs, ours_name in UNARY.items():
    handles(theirs)(unary(ours_name))
for theirs, ours_name in BINARY.items():
    handles(theirs)(binary(ours_name))


@handles("floor_divide")
def floor_divide(sample):
    """It is made of steps, and PyTorch has no gradient for it."""
    case = binary("floor_divide")(sample)
    case.forward_only = True
    return case


for theirs, ours_name in REVERSED.items():
    handles(theirs)(reversed_binary(ours_name))


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
    if torch.is_tensor(exponent) and torch.is_tensor(sample.input):
        return Case("lt.pow(a, b)", [sample.input, exponent])
    if torch.is_tensor(exponent):
        return Case("lt.pow(%s, a)" % number(sample.input), [exponent])
    return Case("lt.pow(a, %s)" % number(exponent), [sample.input])


@handles("lerp")
def lerp(sample):
    end, weight = sample.args
    if torch.is_tensor(weight):
        return Case("lt.lerp(a, b, c)", [sample.input, end, weight])
    return Case("lt.lerp(a, b, %s)" % number(weight), [sample.input, end])


@handles("nan_to_num")
def nan_to_num(sample):
    given = arguments(sample, "nan", "posinf", "neginf")
    options = ", ".join("%s = %s" % (name, number(value)) for name, value in given.items() if value is not None)
    return Case("lt.nan_to_num(a, {%s})" % options, [sample.input])


def clamped(sample, bounds, between=None):
    """`between` is what PyTorch's function is of two tensors: at ties it shares the gradient, unlike clamp."""
    tensors = [bound for bound in bounds.values() if torch.is_tensor(bound)]
    if between and tensors:
        return Case("lt.%s(a, b)" % between, [sample.input, tensors[0]])
    inputs, words = [sample.input], []
    for name, bound in bounds.items():
        if torch.is_tensor(bound):
            words.append("%s = %s" % (name, "abc"[len(inputs)]))
            inputs.append(bound)
        elif bound is not None:
            words.append("%s = %s" % (name, number(bound)))
    return Case("lt.clamp(a, {%s})" % ", ".join(words), inputs)


@handles("clamp")
def clamp(sample):
    return clamped(sample, arguments(sample, "min", "max"))


@handles("clamp_min")
def clamp_min(sample):
    return clamped(sample, {"min": sample.args[0]}, "maximum")


@handles("clamp_max")
def clamp_max(sample):
    return clamped(sample, {"max": sample.args[0]}, "minimum")


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
    return Case('lt.gelu(a, "%s")' % arguments(sample, "approximate").get("approximate", "none"), [sample.input])


@handles("nn.functional.softplus")
def softplus(sample):
    values = arguments(sample, "beta", "threshold")
    return Case("lt.softplus(a, {beta = %s, threshold = %s})" % (
        number(values.get("beta", 1)), number(values.get("threshold", 20))), [sample.input])


@handles("round")
def rounded(sample):
    return Case("lt.round(a, %d)" % arguments(sample, "decimals").get("decimals", 0), [sample.input])


@handles("nn.functional.dropout")
def dropout(sample):
    values = arguments(sample, "p", "training", "inplace")
    p, training = values.get("p", 0.5), values.get("training", True)
    call = "lt.dropout(a, {p = %s, training = %s})" % (p, boolean(training))
    if training and p not in (0.0, 1.0):
        code = "(function() local y = %s return lt.where(lt.eq(y, 0), a, lt.mul(y, %s)) end)()" % (call, number(1 - p))
        return Case(code, [sample.input], note="random: what is kept, made small again",
                    instead=lambda _: lambda x, *_, **__: x.clone())
    return Case(call, [sample.input])


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


def verdict(out):
    return torch.tensor(float(out))


@handles("equal")
def equal(sample):
    return Case("lt.tensor(lt.equal(a, b) and 1 or 0)", [sample.input, sample.args[0]], verdict, "true as 1",
                forward_only=True)


@handles("allclose")
def allclose(sample):
    values = arguments(sample, "other", "rtol", "atol", "equal_nan")
    words = ["%s = %s" % (name, number(values[name])) for name in ("rtol", "atol") if values.get(name) is not None]
    words.append("equal_nan = %s" % boolean(values.get("equal_nan")))
    return Case("lt.tensor(lt.allclose(a, b, {%s}) and 1 or 0)" % ", ".join(words), [sample.input, values["other"]],
                verdict, "true as 1", forward_only=True)


@handles("polygamma", "special.polygamma")
def polygamma(sample):
    return Case("lt.polygamma(a, %d)" % arguments(sample, "n").get("n", 0), [sample.input])
