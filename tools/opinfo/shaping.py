"""Operators that move values: shapes, axes, joins, rows."""
import torch

from case import Case, Inexpressible, arguments, axes, axis, handles, listed


def sizes(sample):
    """A shape, given as one argument or as several."""
    return sample.args[0] if isinstance(sample.args[0], (tuple, list)) else sample.args


@handles("reshape", "view")
def reshape(sample):
    return Case("lt.reshape(a, %s)" % listed(sizes(sample)), [sample.input])


@handles("broadcast_to", "expand")
def broadcast(sample):
    shape = sizes(sample)
    have = (1,) * (len(shape) - sample.input.dim()) + tuple(sample.input.shape)
    full = [kept if size == -1 else size for size, kept in zip(shape, have)]
    return Case("lt.broadcast_to(a, %s)" % listed(full), [sample.input],
                note="-1, which keeps a size, as that size" if -1 in tuple(shape) else None)


@handles("flatten")
def flatten(sample):
    values = arguments(sample, "start_dim", "end_dim")
    return Case("lt.flatten(a, %s, %s)" % (axis(values.get("start_dim", 0)), axis(values.get("end_dim", -1))),
                [sample.input])


@handles("squeeze")
def squeeze(sample):
    if not sample.args:
        return Case("lt.squeeze(a)", [sample.input])
    dim = sample.args[0]
    if dim == ():
        return Case("lt.clone(a)", [sample.input], note="no axes: as it is")
    return Case("lt.squeeze(a, %s)" % (axes(dim) if isinstance(dim, (tuple, list)) else axis(dim)), [sample.input])


@handles("unsqueeze")
def unsqueeze(sample):
    return Case("lt.unsqueeze(a, %s)" % axis(sample.args[0]), [sample.input])


@handles("permute")
def permute(sample):
    return Case("lt.permute(a, %s)" % axes(sizes(sample)), [sample.input])


@handles("transpose")
def transpose(sample):
    return Case("lt.transpose(a, %s, %s)" % (axis(sample.args[0]), axis(sample.args[1])), [sample.input])


@handles("flip")
def flip(sample):
    dims = arguments(sample, "dims")["dims"]
    code = "a"
    for dim in (dims,) if isinstance(dims, int) else dims:
        code = "lt.flip(%s, %s)" % (code, axis(dim))
    return Case("lt.clone(a)" if code == "a" else code, [sample.input],
                note="flip: several axes, nested" if code.count("flip") > 1 else None)


@handles("clone")
def clone(sample):
    arguments(sample, "memory_format")
    return Case("lt.clone(a)", [sample.input])


def join(ours):
    def handler(sample):
        dim = arguments(sample, "dim").get("dim", 0)
        case = Case("", list(sample.input))
        case.code = "lt.%s({%s}, %s)" % (ours, ", ".join(case.names()), axis(dim))
        return case
    return handler


handles("cat")(join("cat"))
handles("stack")(join("stack"))


@handles("select")
def select(sample):
    dim, index = sample.args
    place, dim = axis(index), dim % sample.input.dim()
    if dim == 0:
        return Case("lt.select(a, %s)" % place, [sample.input])
    return Case("lt.squeeze(lt.slice(a, {0}, {1}, {1}), {0})".format(axis(dim), place), [sample.input],
                note="select on an inner axis: slice and squeeze")


@handles("narrow")
def narrow(sample):
    dim, start, length = sample.args
    first = int(start) % max(sample.input.shape[dim], 1)
    return Case("lt.slice(a, %s, %d, %d)" % (axis(dim), first + 1, first + length), [sample.input])


@handles("index_select")
def index_select(sample):
    dim, index = sample.args
    return Case("lt.index_select(a, %s, lt.add(b, 1))" % axis(dim), [sample.input, index])


@handles("nn.functional.embedding")
def embedding(sample):
    for name, value in sample.kwargs.items():
        if value not in (None, False):
            raise Inexpressible("embedding: %s" % name)
    index = sample.args[0]
    code = "lt.reshape(lt.gather_rows(a, lt.reshape(lt.add(b, 1), -1)), %s)" % listed(
        tuple(index.shape) + tuple(sample.input.shape[1:]))
    return Case(code, [sample.input, index], note="an index of several axes: flat, and reshaped")


@handles("nn.functional.one_hot")
def one_hot(sample):
    classes = arguments(sample, "num_classes").get("num_classes", -1)
    if classes == -1:
        return Case("lt.one_hot(a)", [sample.input.to(torch.int64)])
    return Case("lt.one_hot(a, %d)" % classes, [sample.input.to(torch.int64)])
