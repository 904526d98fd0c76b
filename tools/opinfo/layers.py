"""Products, convolutions, pooling, normalisation and resizing. Images here are NHWC, convolution weights
[kernel height, kernel width, in, out], linear weights [in, out]."""
import math

from case import (Case, Inexpressible, arguments, boolean, channels_last, first_of_tuple, handles, listed, number,
                  same)


@handles("matmul", "mm", "bmm")
def matmul(sample):
    return Case("lt.matmul(a, b)", [sample.input, sample.args[0]])


@handles("__rmatmul__")
def reversed_matmul(sample):
    return Case("lt.matmul(b, a)", [sample.input, sample.args[0]])


@handles("nn.functional.linear")
def linear(sample):
    values = arguments(sample, "weight", "bias")
    weight = (values["weight"], lambda t: t.t() if t.dim() == 2 else t)
    if values.get("bias") is None:
        return Case("lt.linear(a, b)", [sample.input, weight])
    return Case("lt.linear(a, b, c)", [sample.input, weight, values["bias"]])


# ---- convolutions and pools ----

def batched(layout_axes):
    """Channels last; a sample without a batch becomes a batch of one."""
    return lambda t: channels_last(t if t.dim() == layout_axes + 2 else t.unsqueeze(0))


def unbatched(sample, n):
    return None if sample.input.dim() == n + 2 else "a single one: a batch of one"


def sizes(value, n):
    """A number for all axes, or a list."""
    if isinstance(value, (tuple, list)):
        return listed(value if len(value) == n else [value[0]] * n)
    return str(value)


def convolution(name, n, names, weight_layout):
    def handler(sample):
        values, ours = arguments(sample, "weight", "bias", *names), "conv%s%dd" % (name, n)
        options = []
        for option in names:
            value = values.get(option)
            if isinstance(value, str):
                options.append('%s = "%s"' % (option, value))
            elif value is not None:
                options.append("%s = %s" % (option, value if option == "groups" else sizes(value, n)))
        inputs, bias = [(sample.input, batched(n)), (values["weight"], weight_layout)], values.get("bias")
        if bias is not None:
            inputs.append(bias)
        return Case("lt.%s(a, b, %s, {%s})" % (ours, "nil" if bias is None else "c", ", ".join(options)), inputs,
                    batched(n), unbatched(sample, n))
    return handler


for axes_count in (1, 2, 3):
    spatial = tuple(range(2, 2 + axes_count))
    handles("nn.functional.conv%dd" % axes_count)(convolution(
        "", axes_count, ("stride", "padding", "dilation", "groups"), lambda t, s=spatial: t.permute(*s, 1, 0)))
    handles("nn.functional.conv_transpose%dd" % axes_count)(convolution(
        "_transpose", axes_count, ("stride", "padding", "output_padding", "groups", "dilation"),
        lambda t, s=spatial: t.permute(*s, 0, 1)))


def pool(kind, n, names):
    def handler(sample):
        values = arguments(sample, "kernel_size", "stride", *names)
        stride = values.get("stride")
        options = ["kernel = %s" % sizes(values["kernel_size"], n)]
        if stride is not None and stride != () and stride != []:
            options.append("stride = %s" % sizes(stride, n))
        for option in ("padding", "dilation"):
            if values.get(option) is not None:
                options.append("%s = %s" % (option, sizes(values[option], n)))
        for option in ("ceil_mode", "count_include_pad"):
            if values.get(option) is not None:
                options.append("%s = %s" % (option, boolean(values[option])))
        if values.get("divisor_override"):
            options.append("divisor_override = %d" % values["divisor_override"])
        return Case("lt.%s_pool%dd(a, {%s})" % (kind, n, ", ".join(options)), [(sample.input, batched(n))],
                    first_of_tuple(batched(n)), unbatched(sample, n) or (
                        "the values alone" if values.get("return_indices") else None))
    return handler


for axes_count in (1, 2, 3):
    handles("nn.functional.avg_pool%dd" % axes_count)(pool("avg", axes_count, (
        "padding", "ceil_mode", "count_include_pad", "divisor_override")))
    handles("nn.functional.max_pool%dd" % axes_count)(pool("max", axes_count, (
        "padding", "dilation", "ceil_mode", "return_indices")))


def windows(size, x, n):
    """The sizes of what an adaptive pool gives; None keeps an axis."""
    wanted = list(size) if isinstance(size, (tuple, list)) else [size] * n
    return [have if want is None else want for want, have in zip(wanted, x.shape[-n:])]


def adaptive(kind, n):
    def handler(sample):
        values = arguments(sample, "output_size", "return_indices")
        size = listed(windows(values["output_size"], sample.input, n))
        return Case("(lt.adaptive_%s_pool%dd(a, %s))" % (kind, n, size), [(sample.input, batched(n))],
                    first_of_tuple(batched(n)), unbatched(sample, n) or (
                        "the values alone" if values.get("return_indices") else None))
    return handler


for axes_count in (1, 2, 3):
    for pooled in ("avg", "max"):
        handles("nn.functional.adaptive_%s_pool%dd" % (pooled, axes_count))(adaptive(pooled, axes_count))


def unpool(n):
    def handler(sample):
        values = arguments(sample, "indices", "kernel_size", "stride", "padding", "output_size")
        options = ["kernel = %s" % sizes(values["kernel_size"], n)]
        for option in ("stride", "padding"):
            value = values.get(option)
            if value is not None and value != () and value != []:
                options.append("%s = %s" % (option, sizes(value, n)))
        if values.get("output_size") is not None:
            options.append("output_size = %s" % listed(list(values["output_size"])[-n:]))
        # Of two that write to one place PyTorch gives each the gradient; here the one that is not there gets none.
        twice = any(len(set(places)) < len(places) for places in values["indices"].flatten(-n).flatten(0, -2).tolist())
        return Case("lt.max_unpool%dd(a, lt.add(b, 1), {%s})" % (n, ", ".join(options)), [
            (sample.input, batched(n)), (values["indices"], batched(n))], batched(n), unbatched(sample, n), twice)
    return handler


for axes_count in (1, 2, 3):
    handles("nn.functional.max_unpool%dd" % axes_count)(unpool(axes_count))


def pictures(t):
    """[..., channels, height, width] as a list of pictures."""
    return channels_last(t.reshape(math.prod(t.shape[:-3]), *t.shape[-3:]))


def shuffle(ours, option):
    def handler(sample):
        factor = arguments(sample, option)[option]
        return Case("lt.%s(a, %d)" % (ours, factor), [(sample.input, pictures)], pictures,
                    None if sample.input.dim() == 4 else "the axes before as one batch")
    return handler


handles("nn.functional.pixel_shuffle")(shuffle("pixel_shuffle", "upscale_factor"))
handles("nn.functional.pixel_unshuffle")(shuffle("pixel_unshuffle", "downscale_factor"))


# ---- normalisation ----

def affine(inputs, weight, bias, layout=same):
    """The Lua words of weight and bias."""
    words = ["nil", "nil"]
    for i, tensor in enumerate((weight, bias)):
        if tensor is not None:
            words[i] = "abc"[len(inputs)]
            inputs.append((tensor, layout))
    return words


def four_axes(t):
    while t.dim() < 4:
        t = t.unsqueeze(1)
    return t


@handles("nn.functional.batch_norm")
def batch_norm(sample):
    values = arguments(sample, "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    if sample.input.dim() < 2:
        raise Inexpressible("batch_norm: one axis")
    channels, eps = sample.input.shape[1], number(values.get("eps", 1e-5))
    inputs = [(sample.input, channels_last)]
    weight, bias = affine(inputs, values.get("weight"), values.get("bias"))
    if values.get("training"):
        return Case("lt.batch_norm_train(a, %s, %s, {eps = %s})" % (weight, bias, eps), inputs, channels_last)
    if values["running_mean"] is None:
        raise Inexpressible("batch_norm: evaluation without statistics")
    mean, variance = "abcde"[len(inputs)], "abcde"[len(inputs) + 1]
    inputs += [values["running_mean"], values["running_var"]]
    code = ("(function() local m = nn.BatchNorm2d(%d, {eps = %s}) m.weight = %s or lt.ones(%d) "
            "m.bias = %s or lt.zeros(%d) m.running_mean, m.running_var = %s, %s m:eval() return m(x4(a)) end)()"
            % (channels, eps, weight, channels, bias, channels, mean, variance))
    return Case(code, inputs, lambda t: four_axes(channels_last(t)))


@handles("nn.functional.layer_norm")
def layer_norm(sample):
    values = arguments(sample, "normalized_shape", "weight", "bias", "eps")
    inputs = [sample.input]
    weight, bias = affine(inputs, values.get("weight"), values.get("bias"))
    return Case("lt.layer_norm(a, %s, %s, {eps = %s, normalized_shape = %s})" % (
        weight, bias, number(values.get("eps", 1e-5)), listed(values["normalized_shape"])), inputs)


def layer(make, fields, call="m(a)"):
    """A layer whose arrays are inputs of the case: (name, word) in `fields`."""
    return "(function() local m = nn.%s %s return %s end)()" % (
        make, " ".join("m.%s = %s" % (name, word) for name, word in fields if word != "nil"), call)


for theirs, kind in (("selu", "SELU"), ("mish", "Mish"), ("softsign", "Softsign"), ("logsigmoid", "LogSigmoid")):
    handles("nn.functional." + theirs)(lambda sample, ours=kind: Case("nn.%s()(a)" % ours, [sample.input]))


@handles("nn.functional.hardtanh")
def hardtanh(sample):
    values = arguments(sample, "min_val", "max_val", "inplace")
    least, greatest = values.get("min_val", -1.0), values.get("max_val", 1.0)
    return Case("nn.Hardtanh(%s, %s)(a)" % (number(least), number(greatest)), [sample.input])


@handles("nn.functional.group_norm")
def group_norm(sample):
    values = arguments(sample, "num_groups", "weight", "bias", "eps")
    inputs = [(sample.input, channels_last)]
    words = affine(inputs, values.get("weight"), values.get("bias"))
    make = "GroupNorm(%d, %d, {eps = %s})" % (values["num_groups"], sample.input.shape[1],
                                              number(values.get("eps", 1e-5)))
    return Case(layer(make, zip(("weight", "bias"), words)), inputs, channels_last)


@handles("nn.functional.instance_norm")
def instance_norm(sample):
    """Without its statistics in evaluation; that training updates some says nothing of what comes out."""
    values = arguments(sample, "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    if values.get("use_input_stats") is False:
        raise Inexpressible("instance_norm: statistics that are given")
    inputs, channels = [(sample.input, channels_last)], sample.input.shape[1]
    words = affine(inputs, values.get("weight"), values.get("bias"))
    make = "InstanceNorm%dd(%d, {affine = true, eps = %s})" % (sample.input.dim() - 2, channels,
                                                                number(values.get("eps", 1e-5)))
    return Case(layer(make, zip(("weight", "bias"), words)), inputs, channels_last)


@handles("nn.functional.rms_norm")
def rms_norm(sample):
    values = arguments(sample, "normalized_shape", "weight", "eps")
    shape, inputs = values["normalized_shape"], [sample.input]
    features = math.prod(shape)
    words = affine(inputs, values.get("weight"), None, lambda t: t.reshape(-1))[:1]
    eps = values.get("eps")
    make = "RMSNorm(%d%s)" % (features, "" if eps is None else ", {eps = %s}" % number(eps))
    flat = "lt.reshape(a, %s)" % listed(tuple(sample.input.shape[:sample.input.dim() - len(shape)]) + (features,))
    code = layer(make, zip(("weight",), words), "lt.reshape(m(%s), %s)" % (flat, listed(sample.input.shape)))
    return Case(code, inputs, note="several axes as one" if len(shape) > 1 else None)


@handles("nn.functional.prelu")
def prelu(sample):
    values = arguments(sample, "weight")
    weight, x = values["weight"], sample.input
    one_channel = weight.numel() == 1
    layout = same if one_channel or x.dim() < 2 else channels_last
    code = layer("PReLU(%d)" % weight.numel(), [("weight", "b")])
    return Case(code, [(x, layout), (weight, lambda t: t.reshape(-1))], layout)


# ---- resizing ----

RESIZE = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")


def resized(sample, values, mode):
    n, have = sample.input.dim() - 2, sample.input.shape[2:]
    options, note, values = ['mode = "%s"' % mode], None, dict(values)
    if values.get("recompute_scale_factor"):
        factors = values.pop("scale_factor")
        factors = factors if isinstance(factors, (tuple, list)) else [factors] * n
        values["size"] = [int(size * factor) for size, factor in zip(have, factors)]
        note = "a factor as the size it gives"
    for name in ("size", "scale_factor"):
        value = values.get(name)
        if value is not None:
            options.append("%s = %s" % (name, listed(map(number, value)) if isinstance(value, (tuple, list))
                                        else number(value)))
    for name in ("align_corners", "antialias"):
        if values.get(name):
            options.append("%s = true" % name)
    return Case("lt.interpolate(a, {%s})" % ", ".join(options), [(sample.input, batched(n))], batched(n), note)


@handles("nn.functional.interpolate")
def interpolate(sample):
    values = arguments(sample, *RESIZE)
    return resized(sample, values, values.get("mode", "nearest"))


@handles("nn.functional.upsample_nearest")
def upsample_nearest(sample):
    return resized(sample, arguments(sample, "size", "scale_factor"), "nearest")


@handles("nn.functional.upsample_bilinear")
def upsample_bilinear(sample):
    values = arguments(sample, "size", "scale_factor")
    return resized(sample, {**values, "align_corners": True}, "bilinear")
