"""Products, convolutions, pooling, normalisation and resizing. Images here are NHWC, convolution weights
[kernel height, kernel width, in, out], linear weights [in, out]."""
import math

from case import (Case, Inexpressible, arguments, channels_last, first_of_tuple, handles, image, number,
                  pair, refuse_if_set, same)


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

def unbatched(sample):
    return None if sample.input.dim() == 4 else "a single image: a batch of one"


def convolution(sample, ours, names, weight_layout, defaults):
    values = arguments(sample, "weight", "bias", *names)
    if values.get("groups", 1) != 1:
        raise Inexpressible("%s: groups" % ours)
    if values.get("padding") == "valid":
        values["padding"] = 0
    if isinstance(values.get("padding"), str):
        raise Inexpressible("%s: padding = same" % ours)
    options = ", ".join("%s = %s" % (name, pair(values.get(name, value))) for name, value in defaults.items())
    inputs, bias = [(sample.input, image), (values["weight"], weight_layout)], values.get("bias")
    if bias is not None:
        inputs.append(bias)
    return Case("lt.%s(a, b, %s, {%s})" % (ours, "nil" if bias is None else "c", options), inputs, image,
                unbatched(sample))


@handles("nn.functional.conv2d")
def conv2d(sample):
    return convolution(sample, "conv2d", ("stride", "padding", "dilation", "groups"),
                       lambda t: t.permute(2, 3, 1, 0), {"stride": 1, "padding": 0, "dilation": 1})


@handles("nn.functional.conv_transpose2d")
def conv_transpose2d(sample):
    return convolution(sample, "conv_transpose2d", ("stride", "padding", "output_padding", "groups", "dilation"),
                       lambda t: t.permute(2, 3, 0, 1),
                       {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1})


def pool(sample, ours, values, note=None):
    stride = values.get("stride")
    if stride is None or stride == ():
        stride = values["kernel_size"]
    code = "lt.%s(a, {kernel = %s, stride = %s, padding = %s})" % (
        ours, pair(values["kernel_size"]), pair(stride), pair(values.get("padding", 0)))
    return Case(code, [(sample.input, image)], first_of_tuple(image), unbatched(sample) or note)


@handles("nn.functional.avg_pool2d")
def avg_pool2d(sample):
    values = arguments(sample, "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad",
                       "divisor_override")
    refuse_if_set("avg_pool2d", values, "ceil_mode", "divisor_override")
    if values.get("count_include_pad") is False and values.get("padding", 0) not in (0, (0, 0)):
        raise Inexpressible("avg_pool2d: count_include_pad")
    return pool(sample, "avg_pool2d", values)


@handles("nn.functional.max_pool2d")
def max_pool2d(sample):
    values = arguments(sample, "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    refuse_if_set("max_pool2d", values, "ceil_mode")
    refuse_if_set("max_pool2d", values, "dilation", but=(1, (1, 1)))
    return pool(sample, "max_pool2d", values, "the values alone" if values.get("return_indices") else None)


# ---- normalisation ----

def affine(inputs, weight, bias, size, layout=same):
    """The Lua words of weight and bias; absent ones are 1 and 0."""
    words = ["lt.ones(%d)" % size, "lt.zeros(%d)" % size]
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
    weight, bias = affine(inputs, values.get("weight"), values.get("bias"), channels)
    if values.get("training"):
        return Case("lt.batch_norm_train(a, %s, %s, {eps = %s})" % (weight, bias, eps), inputs, channels_last)
    if values["running_mean"] is None:
        raise Inexpressible("batch_norm: evaluation without statistics")
    mean, variance = "abcde"[len(inputs)], "abcde"[len(inputs) + 1]
    inputs += [values["running_mean"], values["running_var"]]
    code = ("(function() local m = nn.BatchNorm2d(%d, {eps = %s}) m.weight, m.bias = %s, %s "
            "m.running_mean, m.running_var = %s, %s m:eval() return m(x4(a)) end)()"
            % (channels, eps, weight, bias, mean, variance))
    return Case(code, inputs, lambda t: four_axes(channels_last(t)))


@handles("nn.functional.layer_norm")
def layer_norm(sample):
    values = arguments(sample, "normalized_shape", "weight", "bias", "eps")
    shape = values["normalized_shape"]
    size, kept = math.prod(shape), sample.input.dim() - len(shape)

    def flat(t):
        return t.reshape(tuple(t.shape[:kept]) + (size,))
    inputs = [(sample.input, flat)]
    weight, bias = affine(inputs, values.get("weight"), values.get("bias"), size, lambda t: t.reshape(-1))
    return Case("lt.layer_norm(a, %s, %s, {eps = %s})" % (weight, bias, number(values.get("eps", 1e-5))), inputs, flat,
                None if len(shape) == 1 else "several axes normalised: reshaped to one")


# ---- resizing ----

RESIZE = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")


def both(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


@handles("nn.functional.upsample_nearest")
def upsample_nearest(sample):
    values = arguments(sample, *RESIZE)
    if sample.input.dim() != 4:
        raise Inexpressible("upsample_nearest: %d spatial axes" % (sample.input.dim() - 2))
    have = sample.input.shape[2:]
    if values.get("size") is None:
        factors = both(values["scale_factor"])
    else:
        factors = [wanted / size for wanted, size in zip(both(values["size"]), have)]
    if any(factor != int(factor) or factor < 1 for factor in factors):
        raise Inexpressible("upsample_nearest: no whole factor")
    return Case("lt.upsample_nearest(a, {%d, %d})" % tuple(factors), [(sample.input, image)], image)


@handles("nn.functional.upsample_bilinear")
def upsample_bilinear(sample):
    raise Inexpressible("bilinear: align_corners")


def resize_bilinear(sample):
    values = arguments(sample, *RESIZE)
    refuse_if_set("bilinear", values, "align_corners", "antialias")
    if values.get("size") is None:
        raise Inexpressible("bilinear: scale_factor")
    return Case("lt.resize_bilinear(a, %d, %d)" % both(values["size"]), [(sample.input, image)], image,
                "resize_bilinear has no gradient: values alone", forward_only=True)


@handles("nn.functional.interpolate")
def interpolate(sample):
    mode = arguments(sample, *RESIZE).get("mode", "nearest")
    if mode == "nearest":
        return upsample_nearest(sample)
    if mode == "bilinear":
        return resize_bilinear(sample)
    raise Inexpressible("interpolate: %s" % mode)
