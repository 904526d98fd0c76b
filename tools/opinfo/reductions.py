"""Sums, means, extrema, variances, norms, and the softmax family."""
import torch

from case import Case, Inexpressible, arguments, axes, axis, boolean, first_of_tuple, handles, number


def over(dim, several=None):
    """The axis argument: nil, an axis or a list; `several` names an operator that takes one alone."""
    if dim is None or (isinstance(dim, (tuple, list)) and len(dim) == 0):
        return "nil"
    if not isinstance(dim, (tuple, list)):
        return axis(dim)
    if several is None:
        return axes(dim)
    if len(dim) > 1:
        raise Inexpressible("%s: several axes" % several)
    return axis(dim[0])


def reduction(ours, several=None, code="lt.%s(a, %s, %s)"):
    def handler(sample):
        values = arguments(sample, "dim", "keepdim")
        text = code % (ours, over(values.get("dim"), several), boolean(values.get("keepdim")))
        return Case(text, [sample.input], first_of_tuple(lambda t: t))
    return handler


for name in ("sum", "mean"):
    handles(name)(reduction(name))
handles("logsumexp")(reduction("logsumexp"))
for name in ("amax", "amin"):
    handles(name)(reduction(name))
for name in ("argmax", "argmin"):  # places count from 1
    handles(name)(reduction(name, name, "lt.sub(lt.%s(a, %s, %s), 1)"))


def extremum(ours, elementwise):
    """torch.max: of one tensor along an axis, or of two elementwise."""
    reduce = reduction(ours, ours)

    def handler(sample):
        if sample.args and torch.is_tensor(sample.args[0]):
            return Case("lt.%s(a, b)" % elementwise, [sample.input, sample.args[0]])
        return reduce(sample)
    return handler


handles("max")(extremum("max", "maximum"))
handles("min")(extremum("min", "minimum"))


def correction_of(values):
    """What is subtracted from the count."""
    if values.get("unbiased") is not None:
        return 1 if values["unbiased"] else 0
    correction = values.get("correction")
    return 1 if correction is None else correction


def spread(ours):
    def handler(sample):
        names = ("unbiased",) if sample.args and isinstance(sample.args[0], bool) else ("dim", "unbiased")
        values = arguments(sample, *names, "keepdim", "correction", "dim", "unbiased")
        return Case("lt.%s(a, %s, {correction = %s, keepdim = %s})" % (
            ours, over(values.get("dim")), number(correction_of(values)), boolean(values.get("keepdim"))),
            [sample.input])
    return handler


handles("var")(spread("var"))
handles("std")(spread("std"))


def norm(order_name):
    def handler(sample):
        values = arguments(sample, order_name, "dim", "keepdim")
        order, dim = values.get(order_name, 2), values.get("dim")
        if order == "nuc":
            return Case('linalg.matrix_norm(a, {ord = "nuc"})', [sample.input])
        order = 2 if order in ("fro", None) else float(order)
        return Case("lt.norm(a, %s, %s, %s)" % (over(dim), boolean(values.get("keepdim")), number(order)),
                    [sample.input])
    return handler


handles("norm")(norm("p"))
handles("linalg.vector_norm")(norm("ord"))


def softmax(ours):
    def handler(sample):
        values = arguments(sample, "dim", "dtype")
        dtype = {None: "", torch.float32: "", torch.float64: ', {dtype = "float64"}'}.get(
            values.get("dtype"))
        if dtype is None:
            raise Inexpressible("%s: a type without fractions, or a short one" % ours)
        return Case("lt.%s(a, %s%s)" % (ours, axis(values["dim"]), dtype), [sample.input])
    return handler


handles("softmax")(softmax("softmax"))
handles("log_softmax")(softmax("log_softmax"))
