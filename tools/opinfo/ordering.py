"""Order, places, running sums, masks, triangles, padding, and linear algebra. Places count from 1 in latent."""
import torch

from case import (Case, Inexpressible, arguments, axis, boolean, channels_last, first_of_tuple, handles, listed, number,
                  same)

VALUES = first_of_tuple(same)
ALONE = "the values alone"


def along(dim):
    return "nil" if dim is None else axis(dim)


# ---- order ----

@handles("sort")
def sort(sample):
    values = arguments(sample, "dim", "descending", "stable")
    return Case("lt.sort(a, %s, %s)" % (along(values.get("dim", -1)), boolean(values.get("descending"))),
                [sample.input], VALUES, ALONE)


@handles("topk")
def topk(sample):
    values = arguments(sample, "k", "dim", "largest", "sorted")
    return Case("lt.topk(a, %d, %s, %s)" % (values["k"], along(values.get("dim", -1)),
                                            boolean(values.get("largest", True))), [sample.input], VALUES, ALONE)


@handles("kthvalue")
def kthvalue(sample):
    values = arguments(sample, "k", "dim", "keepdim")
    return Case("lt.kthvalue(a, %d, %s, %s)" % (values["k"], along(values.get("dim", -1)),
                                                boolean(values.get("keepdim"))), [sample.input], VALUES, ALONE)


@handles("median")
def median(sample):
    values = arguments(sample, "dim", "keepdim")
    return Case("lt.median(a, %s, %s)" % (along(values.get("dim")), boolean(values.get("keepdim"))),
                [sample.input], VALUES, ALONE)


# ---- running and whole products, truth ----

def typed(dtype):
    """The input as a type that PyTorch turns it into first; float32 is the sample's own."""
    return {None: "a", torch.float32: "a", torch.float64: "a:double()"}[dtype]


def scan(ours):
    def handler(sample):
        values = arguments(sample, "dim", "dtype")
        return Case("lt.%s(%s, %s)" % (ours, typed(values.get("dtype")), axis(values["dim"])), [sample.input])
    return handler


for name in ("cumsum", "cumprod"):
    handles(name)(scan(name))


def over_one(ours):
    def handler(sample):
        values = arguments(sample, "dim", "keepdim", "dtype")
        dim = values.get("dim")
        where = listed(map(axis, dim)) if isinstance(dim, (tuple, list)) else along(dim)
        return Case("lt.%s(%s, %s, %s)" % (ours, typed(values.get("dtype")), where, boolean(values.get("keepdim"))),
                    [sample.input])
    return handler


for name in ("prod", "any", "all"):
    handles(name)(over_one(name))


# ---- places ----

@handles("gather")
def gather(sample):
    dim, index = sample.args
    if index.dim() != sample.input.dim() and index.numel() == 0:
        shape = listed([0] * sample.input.dim())
        return Case("lt.reshape(lt.gather(a, %s, lt.reshape(b, %s)), %s)" % (axis(dim), shape, listed(index.shape)),
                    [sample.input, index], note="an empty index of other axes: reshaped")
    return Case("lt.gather(a, %s, lt.add(b, 1))" % axis(dim), [sample.input, index])


def scattered(ours):
    def handler(sample):
        dim, index, source = sample.args
        if sample.kwargs:
            raise Inexpressible("scatter: reduce")
        code = "lt.%s(a, %s, lt.add(b, 1), %%s)" % (ours, axis(dim))
        if torch.is_tensor(source):
            return Case(code % "c", [sample.input, index, source])
        return Case(code % number(source), [sample.input, index])
    return handler


handles("scatter")(scattered("scatter"))
handles("scatter_add")(scattered("scatter_add"))


@handles("take")
def take(sample):
    index = sample.args[0]
    return Case("lt.take(a, lt.add(b, 1))", [sample.input, index % max(sample.input.numel(), 1)])


@handles("masked_fill")
def masked_fill(sample):
    mask, value = sample.args
    if torch.is_tensor(value):
        return Case("lt.where(b, c, a)", [sample.input, mask, value], note="a tensor as value: where")
    if torch.broadcast_shapes(mask.shape, sample.input.shape) != sample.input.shape:
        return Case("lt.where(b, %s, a)" % number(value), [sample.input, mask], note="x is broadcast: where")
    return Case("lt.masked_fill(a, b, %s)" % number(value), [sample.input, mask])


@handles("masked_select")
def masked_select(sample):
    return Case("lt.masked_select(a, b)", [sample.input, sample.args[0]])


# ---- triangles, diagonals, copies ----

for name in ("tril", "triu", "diag"):
    handles(name)(lambda sample, ours=name: Case("lt.%s(a, %d)" % (
        ours, arguments(sample, "diagonal").get("diagonal", 0)), [sample.input]))


@handles("diagonal")
def diagonal(sample):
    values = arguments(sample, "offset", "dim1", "dim2")
    return Case("lt.diagonal(a, %d, %s, %s)" % (values.get("offset", 0), axis(values.get("dim1", 0)),
                                                axis(values.get("dim2", 1))), [sample.input])


@handles("trace")
def trace(sample):
    return Case("lt.trace(a)", [sample.input])


@handles("roll")
def roll(sample):
    values = arguments(sample, "shifts", "dims")
    shifts, dims = values["shifts"], values.get("dims")
    shifts = shifts if isinstance(shifts, (tuple, list)) else [shifts]
    if dims is None or dims == ():
        return Case("lt.roll(a, %s)" % listed(shifts), [sample.input])
    dims = dims if isinstance(dims, (tuple, list)) else [dims]
    return Case("lt.roll(a, %s, %s)" % (listed(shifts), listed(map(axis, dims))), [sample.input])


@handles("tile")
def tile(sample):
    repeats = sample.args[0] if isinstance(sample.args[0], (tuple, list)) else sample.args
    if not repeats:
        return Case("lt.clone(a)", [sample.input])
    return Case("lt.tile(a, %s)" % listed(repeats), [sample.input])


@handles("nn.functional.pad")
def pad(sample):
    values = arguments(sample, "pad", "mode", "value")
    options = ['pad = %s' % listed(values["pad"]), 'mode = "%s"' % values.get("mode", "constant")]
    if values.get("value") is not None:
        options.append("value = %s" % number(values["value"]))
    return Case("lt.pad(a, {%s})" % ", ".join(options), [sample.input])


# ---- counts, edges, quantiles ----

@handles("argsort")
def argsort(sample):
    values = arguments(sample, "dim", "descending", "stable")
    return Case("lt.sub(lt.argsort(a, %s, %s), 1)" % (along(values.get("dim", -1)), boolean(values.get("descending"))),
                [sample.input])


@handles("quantile")
def quantile(sample):
    values = arguments(sample, "q", "dim", "keepdim", "interpolation")
    q, dim = values["q"], values.get("dim")
    share = listed(map(number, q.tolist())) if torch.is_tensor(q) and q.dim() else number(float(q))
    options = ['q = %s' % share, 'keepdim = %s' % boolean(values.get("keepdim"))]
    if dim is not None:
        options.append("axis = %s" % axis(dim))
    options.append('interpolation = "%s"' % values.get("interpolation", "linear"))
    return Case("lt.quantile(a, {%s})" % ", ".join(options), [sample.input])


@handles("histc")
def histc(sample):
    values = arguments(sample, "bins", "min", "max")
    return Case("lt.histc(a, %d, %s, %s)" % (values.get("bins", 100), number(float(values.get("min", 0))),
                                             number(float(values.get("max", 0)))), [sample.input], forward_only=True)


@handles("searchsorted")
def searchsorted(sample):
    values = arguments(sample, "boundary", "right", "out_int32", "side", "sorter")
    right = values.get("right") or values.get("side") == "right"
    sought, inputs = values["boundary"], [sample.input]
    if torch.is_tensor(sought):
        inputs.append(sought)
    rows, sorter = "a", values.get("sorter")
    if sorter is not None:
        rows = "lt.gather(a, -1, lt.add(%s, 1))" % "abc"[len(inputs)]
        inputs.append(sorter)
    return Case("lt.sub(lt.searchsorted(%s, %s, %s), 1)" % (
        rows, "b" if torch.is_tensor(sought) else number(sought), boolean(right)), inputs,
        note="sorter: gathered first" if sorter is not None else None)


@handles("bucketize")
def bucketize(sample):
    values = arguments(sample, "boundaries", "right", "out_int32")
    return Case("lt.sub(lt.bucketize(a, b, %s), 1)" % boolean(values.get("right")),
                [sample.input, values["boundaries"]])


# ---- rows put and added, pieces ----

def put(ours):
    def handler(sample):
        values = arguments(sample, "dim", "index", "source", "alpha")
        source = values["source"]
        # PyTorch says nothing of an index twice, and gives each of the rows the whole gradient; here the later counts.
        twice = ours == "index_copy" and values["index"].unique().numel() < values["index"].numel()
        code = "c" if values.get("alpha") in (None, 1) else "lt.mul(c, %s)" % number(values["alpha"])
        return Case("lt.%s(a, %s, lt.add(b, 1), %s)" % (ours, axis(values["dim"]), code),
                    [sample.input, values["index"], source], forward_only=twice)
    return handler


handles("index_add")(put("index_add"))
handles("index_copy")(put("index_copy"))


@handles("repeat")
def repeat(sample):
    return tile(sample)


@handles("diag_embed")
def diag_embed(sample):
    values = arguments(sample, "offset", "dim1", "dim2")
    code = "lt.diag_embed(a, %d)" % values.get("offset", 0)
    dims, first, second = sample.input.dim() + 1, values.get("dim1", -2), values.get("dim2", -1)
    first, second = first % dims, second % dims
    if (first, second) != (dims - 2, dims - 1):
        order = list(range(dims - 2))
        for place, source in sorted([(first, dims - 2), (second, dims - 1)]):
            order.insert(place, source)
        code = "lt.permute(%s, %s)" % (code, listed(map(axis, order)))
    return Case(code, [sample.input], note="other axes: permuted" if "permute" in code else None)


def first_piece(out):
    return out[0]


def pieces(ours):
    def handler(sample):
        size = sample.args[0] if sample.args else list(sample.kwargs.values())[0]
        dim = sample.args[1] if len(sample.args) > 1 else sample.kwargs.get("dim", 0)
        text = listed(size) if isinstance(size, (tuple, list)) else "%d" % size
        return Case("lt.%s(a, %s, %s)[1]" % (ours, text, axis(dim)), [sample.input], first_piece,
                    "the first piece alone")
    return handler


for name in ("split", "chunk", "split_with_sizes"):
    handles(name)(pieces(name.split("_")[0]))


@handles("nn.functional.unfold")
def unfold(sample):
    values = arguments(sample, "kernel_size", "dilation", "padding", "stride")
    x = sample.input
    if x.dim() != 4:
        raise Inexpressible("unfold: an image without a batch")

    def both(value):
        return listed(value) if isinstance(value, (tuple, list)) else "%d" % value
    channels = x.shape[1]

    def rows(out):  # [n, channels * kernel, windows]: here [n, windows, kernel * channels]
        n, width, windows = out.shape
        return out.reshape(n, channels, width // channels, windows).permute(0, 3, 2, 1).reshape(n, windows, width)
    return Case("lt.unfold(a, %s, {dilation = %s, padding = %s, stride = %s})" % (
        both(values["kernel_size"]), both(values.get("dilation", 1)), both(values.get("padding", 0)),
        both(values.get("stride", 1))), [(x, channels_last)], rows)
