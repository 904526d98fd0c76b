"""The set "modules": PyTorch's database of layers, module_db. A sample's layer is made in Lua, its arrays become inputs
of the case, and so the gradients of all of them are compared too."""
import math

import torch
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.opinfo.core import SampleInput

from case import HANDLERS, NAMES, Case, Inexpressible, axis, boolean, channels_last, handles, listed, number, same
from layers import batched, sizes, windows

PREFIX = "nn."


def transposed(t):
    return t.t() if t.dim() == 2 else t


class Layer:
    """A sample as handlers read it: the layer, its call's arguments, and the Lua code that grows from them."""

    def __init__(self, sample):
        self.arguments, (self.module, self.options, self.arrays, self.buffers) = list(sample.input), sample.args
        self.inputs, self.fields = [], []

    def take(self, tensor, layout=same):
        """The name of a tensor that becomes an input, or is one."""
        for name, (have, its_layout) in zip(NAMES, self.inputs):
            if have is tensor and its_layout is layout:
                return name
        if len(self.inputs) == len(NAMES):
            raise Inexpressible("more than %d tensors" % len(NAMES))
        self.inputs.append((tensor, layout))
        return NAMES[len(self.inputs) - 1]

    def case(self, make, call="layer(a)", output=same, layout=transposed, note=None, buffers=False):
        """`layout` is that of the layer's arrays, or a function of their names."""
        for name, tensor in {**self.arrays, **(self.buffers if buffers else {})}.items():
            path = "layer" + "".join("[%d]" % (int(part) + 1) if part.isdigit() else "." + part
                                     for part in name.split("."))
            self.fields.append("%s = %s" % (path, self.take(tensor, layout)))
        mode = "" if self.module.training else " layer:eval()"
        return Case("(function() local layer = nn.%s %s%s return %s end)()" % (make, " ".join(self.fields), mode, call),
                    self.inputs, output, note)

    def plain(self, make, layout=same):
        """A layer called with one tensor."""
        self.take(self.arguments[0] if self.arguments else self.options["input"], layout)
        return self.case(make, output=layout)


def layer(*names):
    """Registers a handler of a Layer."""
    def register(handler):
        handles(*(PREFIX + name for name in names))(lambda sample: handler(Layer(sample)))
        return handler
    return register


# ---- activations and losses ----

for name in ("ReLU", "SiLU", "Sigmoid", "Tanh", "Identity", "SELU", "Mish", "Softsign", "LogSigmoid"):
    layer(name)(lambda s, ours=name: s.plain(ours + "()"))
layer("ELU")(lambda s: s.plain("ELU(%s)" % number(s.module.alpha)))
layer("LeakyReLU")(lambda s: s.plain("LeakyReLU(%s)" % number(s.module.negative_slope)))
layer("GELU")(lambda s: s.plain('GELU{approximate = "%s"}' % s.module.approximate))
layer("Softplus")(lambda s: s.plain("Softplus{beta = %s, threshold = %s}" % (
    number(s.module.beta), number(s.module.threshold))))
layer("Hardtanh")(lambda s: s.plain("Hardtanh(%s, %s)" % (number(s.module.min_val), number(s.module.max_val))))
for name in ("Softmax", "LogSoftmax"):
    layer(name)(lambda s, ours=name: s.plain("%s(%s)" % (ours, axis(s.module.dim))))


@layer("PReLU")
def prelu(s):
    slopes = s.arrays["weight"].numel()
    return s.plain("PReLU(%d)" % slopes, channels_last if slopes > 1 else same)


def criterion(s, name, *numbers, by_class=False):
    """A loss: its options by name, and its tensors, which for classes have these last."""
    module, words = s.module, ['reduction = "%s"' % s.module.reduction]
    for option in numbers:
        value = getattr(module, option)
        words.append("%s = %s" % (option, boolean(value) if isinstance(value, bool) else number(value)))
    tensors = [s.take(t, channels_last if by_class and (i == 0 or t.is_floating_point()) else same)
               for i, t in enumerate(s.arguments)]
    for option in ("weight", "pos_weight"):
        if getattr(module, option, None) is not None:
            words.append("%s = %s" % (option, s.take(getattr(module, option))))
    return words, tensors


def loss(name, *numbers, by_class=False):
    def handler(s):
        if getattr(s.module, "ignore_index", -100) != -100:
            words, tensors = criterion(s, name, *numbers, "ignore_index", by_class=by_class)
        else:
            words, tensors = criterion(s, name, *numbers, by_class=by_class)
        return s.case("%s{%s}" % (name, ", ".join(words)), "layer(%s)" % ", ".join(tensors))
    layer(name)(handler)


for name in ("L1Loss", "MSELoss", "BCELoss", "BCEWithLogitsLoss"):
    loss(name)
loss("SmoothL1Loss", "beta")
loss("HuberLoss", "delta")
loss("KLDivLoss", "log_target")
for name in ("HingeEmbeddingLoss", "MarginRankingLoss", "CosineEmbeddingLoss"):
    loss(name, "margin")
loss("CrossEntropyLoss", "label_smoothing", by_class=True)


@layer("NLLLoss")
def nll_loss(s):
    """Further axes as rows."""
    target = s.arguments[1]
    words, (x, y) = criterion(s, "NLLLoss", *(["ignore_index"] if s.module.ignore_index != -100 else []), by_class=True)
    if s.arguments[0].dim() == 2:
        return s.case("NLLLoss{%s}" % ", ".join(words), "layer(%s, %s)" % (x, y))
    call = "layer(lt.reshape(%s, -1, %d), lt.reshape(%s, -1))" % (x, s.arguments[0].shape[1], y)
    if s.module.reduction == "none":
        call = "lt.reshape(%s, %s)" % (call, listed(target.shape))
    return s.case("NLLLoss{%s}" % ", ".join(words), call, note="further axes as rows")


# ---- pools, convolutions, linear layers ----

def unbatched(s, n):
    return None if s.arguments[0].dim() == n + 2 else "a single one: a batch of one"


def pool(kind, n):
    def handler(s):
        module, words = s.module, []
        for option in ("stride", "padding", "dilation"):
            value = getattr(module, option, None)
            if value is not None:
                words.append("%s = %s" % (option, sizes(value, n)))
        for option in ("ceil_mode", "count_include_pad"):
            if n > 1 and hasattr(module, option):
                words.append("%s = %s" % (option, boolean(getattr(module, option))))
        if getattr(module, "divisor_override", None):
            words.append("divisor_override = %d" % module.divisor_override)
        if n == 1:
            words = [word.replace("{", "").replace("}", "") for word in words if not word.startswith("dilation")]
        s.take(s.arguments[0], batched(n))
        kernel = sizes(module.kernel_size, n)
        return s.case("%sPool%dd(%s, {%s})" % (kind, n, kernel.strip("{}") if n == 1 else kernel, ", ".join(words)),
                      output=lambda out: batched(n)(out[0] if isinstance(out, tuple) else out), note=(
                          "the values alone" if getattr(module, "return_indices", False) else unbatched(s, n)))
    return handler


def adaptive(name, n):
    def handler(s):
        wanted = windows(s.module.output_size, s.arguments[0], n)
        s.take(s.arguments[0], batched(n))
        return s.case("%s(%s)" % (name, wanted[0] if n == 1 else listed(wanted)), output=batched(n),
                      note=unbatched(s, n))
    layer(name)(handler)


def convolution(name, n, front):
    """`front` are PyTorch's axes of a weight that come last here."""
    def handler(s):
        module = s.module
        words = ["groups = %d" % module.groups, "bias = %s" % boolean(module.bias is not None)]
        for option in ("stride", "padding", "dilation") + (("output_padding",) if front == (0, 1) else ()):
            value = getattr(module, option)
            text = '"%s"' % value if isinstance(value, str) else sizes(value, n)
            words.append("%s = %s" % (option, text.strip("{}") if n == 1 else text))
        s.take(s.arguments[0], batched(n))
        kernel = sizes(module.kernel_size, n)

        def layout(t):
            return t.permute(*range(2, 2 + n), *front) if t.dim() > 1 else t
        return s.case("%s(%d, %d, %s, {%s})" % (name, module.in_channels, module.out_channels,
                                                kernel.strip("{}") if n == 1 else kernel, ", ".join(words)),
                      output=batched(n), layout=layout, note=unbatched(s, n))
    layer(name)(handler)


for axes_count in (1, 2, 3):
    for kind in ("Avg", "Max"):
        adaptive("Adaptive%sPool%dd" % (kind, axes_count), axes_count)
        layer("%sPool%dd" % (kind, axes_count))(pool(kind, axes_count))
    convolution("Conv%dd" % axes_count, axes_count, (1, 0))
    convolution("ConvTranspose%dd" % axes_count, axes_count, (0, 1))


def margin(name):
    def handler(s):
        left, right, top, bottom = s.module.padding
        s.take(s.arguments[0], batched(2))
        return s.case("%s{%d, %d, %d, %d}" % (name, left, right, top, bottom), output=batched(2), note=unbatched(s, 2))
    layer(name)(handler)


for name in ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d"):
    margin(name)


@layer("GaussianNLLLoss")
def gaussian_nll(s):
    """Of the logarithm of the variance, in another order."""
    module, (mean, target, variance) = s.module, s.arguments
    names = [s.take(t) for t in (mean, target, variance)]
    return s.case('GaussianNLLLoss{reduction = "%s", constant = %s}' % (module.reduction, boolean(module.full)),
                  "layer(%s, lt.log(lt.clamp(%s, {min = %s})), %s)" % (names[0], names[2], number(module.eps),
                                                                       names[1]))


@layer("Linear")
def linear(s):
    module = s.module
    return s.plain("Linear(%d, %d, {bias = %s})" % (module.in_features, module.out_features,
                                                    boolean(module.bias is not None)))


@layer("Embedding")
def embedding(s):
    s.take(s.arguments[0])
    return s.case("Embedding(%d, %d, {first = 0})" % (s.module.num_embeddings, s.module.embedding_dim), layout=same)


# ---- normalisation ----

@layer("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
def batch_norm(s):
    module, name = s.module, type(s.module).__name__
    affine, bias = module.affine, module.bias is not None
    if affine and not bias:
        words = "bias = false"
    else:
        words = "affine = %s" % boolean(affine)
    momentum = "false" if module.momentum is None else number(module.momentum)
    s.take(s.arguments[0], channels_last)
    s.buffers.pop("num_batches_tracked", None)
    return s.case("%s(%d, {eps = %s, momentum = %s, track_running_stats = %s, %s})" % (
        name, module.num_features, number(module.eps), momentum, boolean(module.track_running_stats), words),
        output=channels_last, buffers=not module.training)


def affine_words(module):
    return "eps = %s, affine = %s" % (number(module.eps), boolean(module.affine))


def without_bias(s):
    """A weight alone: the bias that the layer has is taken away."""
    if "weight" in s.arrays and "bias" not in s.arrays:
        s.fields.append("layer.bias = lt.zeros(%d)" % s.arrays["weight"].numel())


@layer("GroupNorm")
def group_norm(s):
    without_bias(s)
    return s.plain("GroupNorm(%d, %d, {%s})" % (s.module.num_groups, s.module.num_channels, affine_words(s.module)),
                   channels_last)


def dense_gradient(out):
    """PyTorch 2.15's gradient of a picture without a batch is wrong where the one that comes in lies in another
    order of axes."""
    if out.requires_grad:
        out.register_hook(torch.Tensor.contiguous)
    return out


@layer("InstanceNorm1d", "InstanceNorm2d")
def instance_norm(s):
    module, n = s.module, int(type(s.module).__name__[-2])
    if module.track_running_stats and not module.training:
        raise Inexpressible("InstanceNorm: running statistics")
    without_bias(s)
    s.take(s.arguments[0], batched(n))
    return s.case("InstanceNorm%dd(%d, {%s})" % (n, module.num_features, affine_words(module)),
                  output=lambda out: batched(n)(dense_gradient(out)), note=unbatched(s, n))


@layer("LayerNorm")
def layer_norm(s):
    module = s.module
    bias = module.bias is not None or not module.elementwise_affine
    return s.plain("LayerNorm(%s, {eps = %s, elementwise_affine = %s, bias = %s})" % (
        listed(module.normalized_shape), number(module.eps), boolean(module.elementwise_affine), boolean(bias)))


@layer("RMSNorm")
def rms_norm(s):
    module, x = s.module, s.arguments[0]
    features = math.prod(module.normalized_shape)
    s.take(x)
    words = "affine = %s" % boolean(module.elementwise_affine)
    if module.eps is not None:
        words += ", eps = %s" % number(module.eps)
    flat = listed(tuple(x.shape[:x.dim() - len(module.normalized_shape)]) + (features,))
    return s.case("RMSNorm(%d, {%s})" % (features, words), "lt.reshape(layer(lt.reshape(a, %s)), %s)" % (
        flat, listed(x.shape)), layout=lambda t: t.reshape(-1),
        note="several axes as one" if len(module.normalized_shape) > 1 else None)


# ---- sequences ----

def sequence(module):
    """[batch, time, features], also of a sequence without a batch."""
    def layout(t):
        return t.unsqueeze(0) if t.dim() == 2 else t if module.batch_first else t.transpose(0, 1)
    return layout


@layer("RNN", "GRU", "LSTM")
def recurrent(s):
    module, name, layout = s.module, type(s.module).__name__, sequence(s.module)
    if getattr(module, "proj_size", 0):
        raise Inexpressible("LSTM: proj_size")
    words = ["layers = %d" % module.num_layers, "bias = %s" % boolean(module.bias),
             "bidirectional = %s" % boolean(module.bidirectional)]
    if name == "RNN":
        words.append('nonlinearity = "%s"' % module.nonlinearity)
    s.take(s.arguments[0], layout)
    call, state = "(layer(a))", s.arguments[1] if len(s.arguments) > 1 else s.options.get("hx")
    if state is not None:
        parts = [s.take(t, lambda t: t.unsqueeze(1) if t.dim() == 2 else t)
                 for t in (state if isinstance(state, tuple) else (state,))]
        call = "(layer(a, %s))" % (listed(parts) if len(parts) > 1 else parts[0])
    return s.case("%s(%d, %d, {%s})" % (name, module.input_size, module.hidden_size, ", ".join(words)), call,
                  lambda out: layout(out[0]), note="what comes out of all steps, without the last state")


@layer("RNNCell", "GRUCell", "LSTMCell")
def cell(s):
    module, name = s.module, type(s.module).__name__
    words = ["bias = %s" % boolean(module.bias)]
    if name == "RNNCell":
        words.append('nonlinearity = "%s"' % module.nonlinearity)

    def layout(t):
        return t.unsqueeze(0) if t.dim() == 1 else t
    s.take(s.arguments[0], layout)
    call, state = "layer(a)", s.arguments[1] if len(s.arguments) > 1 else s.options.get("hx")
    if state is not None:
        parts = [s.take(t, layout) for t in (state if isinstance(state, tuple) else (state,))]
        call = "layer(a, %s)" % (listed(parts) if len(parts) > 1 else parts[0])
    if name == "LSTMCell":
        return s.case("LSTMCell(%d, %d, {%s})" % (module.input_size, module.hidden_size, words[0]),
                      "lt.cat(%s, 2)" % call, lambda out: torch.cat([layout(t) for t in out], 1),
                      note="both states side by side")
    return s.case("%s(%d, %d, {%s})" % (name, module.input_size, module.hidden_size, ", ".join(words)), call, layout)


def masks(s, names, layout=same):
    """Words of the masks of a call; those of truth values as bytes."""
    words = []
    for ours, theirs in names:
        mask = s.options.get(theirs)
        if mask is not None:
            name = s.take(mask, layout if ours == "key_padding_mask" else same)
            words.append("%s = %s" % (ours, name + ":byte()" if mask.dtype == torch.bool else name))
    if s.options.get("is_causal"):
        words.append("is_causal = true")
    return words


def padding(mask):
    return mask.unsqueeze(0) if mask.dim() == 1 else mask


@layer("MultiheadAttention")
def attention(s):
    module, layout = s.module, sequence(s.module)
    if module.bias_k is not None or module.add_zero_attn:
        raise Inexpressible("MultiheadAttention: add_bias_kv, add_zero_attn")
    if not module._qkv_same_embed_dim:
        raise Inexpressible("MultiheadAttention: keys of other sizes")
    tensors = [s.take(t, layout) for t in s.arguments]
    words = masks(s, (("attn_mask", "attn_mask"), ("key_padding_mask", "key_padding_mask")), padding)
    return s.case("MultiheadAttention(%d, %d, {bias = %s})" % (module.embed_dim, module.num_heads,
                                                              boolean(module.in_proj_bias is not None)),
                  "(layer(%s, {%s}))" % (", ".join(tensors), ", ".join(words)), lambda out: layout(out[0]),
                  note="what comes out, without the weights")


def encoder_words(layer):
    relu = layer.activation in (torch.nn.functional.relu, torch.relu) or isinstance(layer.activation, torch.nn.ReLU)
    return ('dim_feedforward = %d, dropout = %s, activation = "%s", norm_first = %s, layer_norm_eps = %s, bias = %s' % (
        layer.linear1.out_features, number(float(layer.dropout.p)), "relu" if relu else "gelu",
        boolean(layer.norm_first), number(layer.norm1.eps), boolean(layer.linear1.bias is not None)))


@layer("TransformerEncoderLayer")
def encoder_layer(s):
    module, layout = s.module, sequence(s.module.self_attn)
    s.take(s.arguments[0], layout)
    words = masks(s, (("attn_mask", "src_mask"), ("key_padding_mask", "src_key_padding_mask")), padding)
    return s.case("TransformerEncoderLayer(%d, %d, {%s})" % (module.linear1.in_features, module.self_attn.num_heads,
                                                             encoder_words(module)),
                  "layer(a, {%s})" % ", ".join(words), layout)


@layer("TransformerEncoder")
def encoder(s):
    module, first = s.module, s.module.layers[0]
    layout = sequence(first.self_attn)
    if module.norm is not None and not isinstance(module.norm, torch.nn.LayerNorm):
        raise Inexpressible("TransformerEncoder: another norm")
    s.take(s.arguments[0], layout)
    words = masks(s, (("attn_mask", "mask"), ("key_padding_mask", "src_key_padding_mask")), padding)
    return s.case("TransformerEncoder(%d, %d, %d, {%s, norm = %s})" % (
        first.linear1.in_features, first.self_attn.num_heads, len(module.layers), encoder_words(first),
        boolean(module.norm is not None)), "layer(a, {%s})" % ", ".join(words), layout)


# ---- the samples ----

def call(arguments, module, options, arrays, buffers):
    return torch.func.functional_call(module, {**arrays, **buffers}, arguments, options)


class Operator:
    """A layer as the writer reads an operator."""
    variant_test_name, op = "", staticmethod(call)

    def __init__(self, info):
        self.info, self.name = info, PREFIX + info.module_cls.__name__

    def sample_inputs(self, device, dtype, requires_grad):
        samples = []
        for training in (True, False) if self.info.train_and_eval_differ else (True,):
            for made in self.info.module_inputs_func(self.info, device=device, dtype=dtype, requires_grad=requires_grad,
                                                     training=training):
                if made.forward_input is None:
                    continue
                module = self.info.module_cls(*made.constructor_input.args, **made.constructor_input.kwargs)
                module.train(training)
                with torch.no_grad():
                    buffers = {name: t.clone() for name, t in module.named_buffers()}
                samples.append(SampleInput(tuple(made.forward_input.args), args=(
                    module, made.forward_input.kwargs, dict(module.named_parameters()), buffers)))
        return samples


def operators():
    return [Operator(info) for info in module_db if PREFIX + info.module_cls.__name__ in HANDLERS]
