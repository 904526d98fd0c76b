"""Parts of a tensor by their places, what occurs in it, and tensors that are made of numbers. Places count from 1 in
latent, and ends of ranges are counted in."""
import math

import torch

from case import Case, Inexpressible, arguments, axis, boolean, handles, listed, number, same


# ---- what occurs ----

def joined(out):
    """Several results as one list of numbers."""
    return torch.cat([t.detach().reshape(-1).double() for t in out]) if isinstance(out, tuple) else out


def unique_in_order(sample, dim):
    """PyTorch's results in ascending order, which sorted=False leaves open."""
    def output(out):
        if not isinstance(out, tuple):
            return out.sort().values if dim is None else out
        values, more = out[0], list(out[1:])
        if dim is None:
            values, order = values.sort()
            if sample.kwargs.get("return_inverse"):
                more[0] = order.argsort()[more[0]]
            if sample.kwargs.get("return_counts"):
                more[-1] = more[-1][order]
        return joined((values, *more))
    return output


@handles("unique")
def unique(sample):
    values = arguments(sample, "sorted", "return_inverse", "return_counts", "dim")
    inverse, counts, dim = (values.get(name) for name in ("return_inverse", "return_counts", "dim"))
    call = "lt.unique(a, {return_inverse = %s, return_counts = %s%s})" % (
        boolean(inverse), boolean(counts), "" if dim is None else ", axis = %s" % axis(dim))
    # Whole numbers become values' type beside one of them.
    parts = ["values:reshape(-1)"] + (["lt.sub(first, 1):reshape(-1) + 0 * values:sum()"] if inverse else []) + (
        ["%s + 0 * values:sum()" % ("second" if inverse else "first")] if counts else [])
    if len(parts) == 1:
        return Case("(%s)" % call, [sample.input], unique_in_order(sample, dim), forward_only=True)
    names = ["values", "first", "second"][:len(parts)]
    return Case("(function() local %s = %s return lt.cat{%s} end)()" % (", ".join(names), call, ", ".join(parts)),
                [sample.input], unique_in_order(sample, dim), "values, places and counts as one list", True)


@handles("bincount")
def bincount(sample):
    values = arguments(sample, "weights", "minlength")
    inputs, words = [sample.input], ["minlength = %d" % values.get("minlength", 0)]
    if values.get("weights") is not None:
        inputs.append(values["weights"])
        words.append("weights = b")
    return Case("lt.bincount(a, {%s})" % ", ".join(words), inputs, forward_only=True)


@handles("histogram")
def histogram(sample):
    values = arguments(sample, "bins", "range", "weight", "density")
    inputs, words = [sample.input], ["density = %s" % boolean(values.get("density"))]
    for name in ("bins", "weight"):
        value = values.get(name)
        if torch.is_tensor(value):
            words.append("%s = %s" % (name, "abc"[len(inputs)]))
            inputs.append(value)
        elif value is not None:
            words.append("%s = %d" % (name, value))
    if values.get("range") is not None:
        words.append("range = %s" % listed(map(number, values["range"])))
    return Case("(function() local y, edges = lt.histogram(a, {%s}) return lt.cat{y, edges} end)()" % ", ".join(words),
                inputs, joined, "counts and edges as one list", True)


@handles("nonzero", "argwhere")
def nonzero(sample):
    listed_apart = arguments(sample, "as_tuple").get("as_tuple")
    x = "lt.reshape(a, 1)" if listed_apart and sample.input.dim() == 0 else "a"
    return Case("lt.sub(lt.nonzero(%s), 1)" % x, [sample.input],
                lambda out: torch.stack(out, -1) if isinstance(out, tuple) else out, forward_only=True)


# ---- parts ----

@handles("index_put")
def index_put(sample):
    values = arguments(sample, "indices", "values", "accumulate")
    inputs, words = [sample.input], []
    for index in values["indices"]:
        name = "abcdef"[len(inputs)]
        words.append("%s:byte()" % name if index.dtype == torch.bool else "lt.add(%s, 1)" % name)
        inputs.append(index)
    name = "abcdef"[len(inputs)]
    return Case("lt.index_put(a, {%s}, %s, %s)" % (", ".join(words), name, boolean(values.get("accumulate"))),
                inputs + [values["values"]])


@handles("repeat_interleave")
def repeat_interleave(sample):
    values = arguments(sample, "repeats", "dim", "output_size")
    repeats, dim = values["repeats"], values.get("dim")
    where, inputs = "nil" if dim is None else axis(dim), [sample.input]
    if torch.is_tensor(repeats):
        return Case("lt.repeat_interleave(a, b, %s)" % where, inputs + [repeats])
    return Case("lt.repeat_interleave(%s, %d, %s)" % ("lt.reshape(a, 1)" if sample.input.dim() == 0 else "a", repeats,
                                                      where), inputs)


@handles("take_along_dim")
def take_along_dim(sample):
    values = arguments(sample, "indices", "dim")
    index, dim, x = values["indices"], values.get("dim"), sample.input
    index = index % max(x.numel() if dim is None else x.shape[dim], 1)  # negative ones count from the end
    if dim is None:
        return Case("lt.take(a, lt.add(lt.reshape(b, -1), 1))", [x, index])
    shape = list(torch.broadcast_shapes([1 if i == dim % x.dim() else n for i, n in enumerate(x.shape)],
                                        [1 if i == dim % x.dim() else n for i, n in enumerate(index.shape)]))
    words = []
    for name, t in (("a", x), ("b", index)):
        shape[dim] = t.shape[dim]
        words.append(name if list(t.shape) == shape else "lt.broadcast_to(%s, %s)" % (name, listed(shape)))
    return Case("lt.gather(%s, %s, lt.add(%s, 1))" % (words[0], axis(dim), words[1]), [x, index],
                note="gather, of what is broadcast first")


@handles("unbind")
def unbind(sample):
    dim = arguments(sample, "dim").get("dim", 0)
    return Case("lt.squeeze(lt.slice(a, %s, 1, 1), %s)" % (axis(dim), axis(dim)), [sample.input], lambda out: out[0],
                "the first part alone")


@handles("meshgrid")
def meshgrid(sample):
    tensors = list(sample.input) if isinstance(sample.input, (tuple, list)) else [sample.input, *sample.args]
    case = Case("", tensors, lambda out: torch.stack(out), "the results as one")
    words = ["lt.reshape(%s, 1)" % name if t.dim() == 0 else name for name, t in zip(case.names(), tensors)]
    case.code = 'lt.stack{lt.meshgrid(%s, {indexing = "%s"})}' % (listed(words), sample.kwargs.get("indexing", "ij"))
    return case


def ranged(item, size):
    """A range of Python as one of ours; a step has no word here."""
    first, stop, step = item.indices(size)
    if step != 1:
        raise Inexpressible("a range with a step")
    if stop <= first:
        raise Inexpressible("an empty range")
    return "{%d, %d}" % (first + 1, stop)


@handles("slice")
def sliced(sample):
    values = arguments(sample, "dim", "start", "end", "step")
    dim = values.get("dim", 0)
    first, stop, step = slice(values.get("start"), values.get("end"), values.get("step")).indices(
        sample.input.shape[dim])
    if step == 1:
        return Case("lt.slice(a, %s, %d, %d)" % (axis(dim), first + 1, stop), [sample.input])
    return Case("lt.index_select(a, %s, lt.arange(%d, %d, %d))" % (axis(dim), first + 1, stop, step), [sample.input],
                note="a step: the places listed")


def places(item):
    """A list of places, or None where the item is something else."""
    if torch.is_tensor(item) and item.dtype != torch.bool:
        return item.tolist()
    return item if isinstance(item, list) else None


def together(a, code, lists, first):
    """Places of several axes, which stand together from `first` on, as places of one."""
    shape, sizes = list(a), a[first:first + len(lists)]
    flat = "lt.tensor(%s)" % listed(i + 1 for i in lists[0])
    for item, size in zip(lists[1:], sizes[1:]):
        flat = "lt.add(lt.mul(lt.sub(%s, 1), %d), lt.tensor(%s))" % (flat, size, listed(i + 1 for i in item))
    rows = listed(shape[:first] + [math.prod(sizes)] + shape[first + len(lists):])
    return "lt.index_select(lt.reshape(%s, %s), %d, %s)" % (code, rows, first + 1, flat)


@handles("__getitem__")
def getitem(sample):
    x, key = sample.input, sample.args[0]
    if torch.is_tensor(key) and key.dtype == torch.bool:
        return Case("a[b:byte()]", [x, key])
    items = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in [item for item in items if item is Ellipsis]:
        at = next(i for i, item in enumerate(items) if item is Ellipsis)
        items[at:at + 1] = [slice(None)] * (x.dim() - len(items) + 1)
    lists = [(i, places(item)) for i, item in enumerate(items) if places(item) is not None]
    if len(lists) <= 1:
        words = ["lt.tensor(%s)" % listed(i + 1 for i in places(item)) if places(item) is not None
                 else ("%d" % (item + 1 if item >= 0 else item)) if isinstance(item, int)
                 else ranged(item, x.shape[i]) for i, item in enumerate(items)]
        return Case("a[%s]" % listed(words), [x])
    if any(isinstance(item, int) or (isinstance(item, slice) and item != slice(None)) for item in items):
        raise Inexpressible("places of several axes, and ranges")
    code, shape, axes_of = "a", list(x.shape), [i for i, _ in lists]
    first = axes_of[0]
    if axes_of != list(range(first, first + len(axes_of))):  # apart: to the front
        order = axes_of + [i for i in range(x.dim()) if i not in axes_of]
        code, shape, first = "lt.permute(a, %s)" % listed(i + 1 for i in order), [shape[i] for i in order], 0
    return Case(together(shape, code, [item for _, item in lists], first), [x],
                note="places of several axes: as places of one")


# ---- tensors of numbers ----

def made(code, output=same):
    return Case(code, [], output, forward_only=True)


@handles("arange")
def arange(sample):
    given = arguments(sample, "end", "step", "dtype", "device")
    start, end, step = (sample.input, given["end"], given.get("step", 1)) if "end" in given else (0, sample.input, 1)
    count = max(0, math.ceil((end - start) / step))
    if count == 0:
        return made("lt.zeros(0)")
    return made("lt.arange(%s, %s, %s)" % (number(start), number(start + (count - 1) * step), number(step)))


@handles("linspace")
def linspace(sample):
    values, inputs = [sample.input, *sample.args[:2]], []
    words = []
    for value in values:
        if torch.is_tensor(value):
            words.append("%s:item()" % "abc"[len(inputs)])
            inputs.append(value)
        else:
            words.append(number(value))
    return Case("lt.linspace(%s)" % ", ".join(words), inputs, forward_only=True,
                note="tensors as numbers" if inputs else None)


@handles("eye")
def eye(sample):
    n = sample.input
    m = sample.args[0] if sample.args else n
    if m == n:
        return made("lt.eye(%d)" % n)
    return made("lt.slice(lt.eye(%d), %d, 1, %d)" % (max(n, m), 1 if m > n else 2, min(n, m)))


for name in ("zeros", "ones"):
    handles(name)(lambda sample, ours=name: made("lt.%s(%s)" % (ours, listed(sample.input))))

for theirs, ours in (("bartlett", "bartlett_window"), ("blackman", "blackman_window"), ("hamming", "hamming_window"),
                     ("hann", "hann_window")):
    handles("signal.windows." + theirs)(lambda sample, ours=ours: made("fft.%s(%d, {periodic = %s})" % (
        ours, sample.input, boolean(not sample.kwargs.get("sym", True)))))
