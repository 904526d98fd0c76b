"""Values and gradients of PyTorch's layers, losses and optimisers for spec/layers_spec.lua and its neighbours.

    python3 spec/support/layers.py spec/fixtures     writes layers.safetensors anew

A case NAME has the arrays NAME/x (what goes in), NAME/y, NAME/dy, NAME/dx, and for each parameter NAME/state/P and
NAME/grad/P, as PyTorch keeps them. Pictures and sequences are written with the channels last.
"""
import json
import math
import struct
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(1)
arrays = {}


def put(name, tensor, dtype=torch.float32):
    arrays[name] = tensor.detach().contiguous().to(dtype)


def last(x):
    return x.movedim(1, -1)


def first(x):
    return x.movedim(-1, 1)


def jitter(module):
    """Parameters off their start, so that no weight of ones hides a mistake."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p) * 0.1)
        for b in module.buffers():
            if b.dtype.is_floating_point:
                b.add_(torch.rand_like(b) * 0.1)
    return module


def case(name, module, x, call=None, channels_first=False):
    """x is in our layout; `call(module, x)` returns the output."""
    jitter(module)
    for key, value in module.state_dict().items():
        if value.dtype.is_floating_point:
            put(f"{name}/state/{key}", value.clone())
    x = x.clone().requires_grad_(x.dtype.is_floating_point)
    inside = first(x) if channels_first else x
    y = call(module, inside) if call else module(inside)
    if channels_first and y.dim() > 2:
        y = last(y)
    dy = torch.randn_like(y)
    y.backward(dy)
    put(f"{name}/x", x)
    put(f"{name}/y", y)
    put(f"{name}/dy", dy)
    if x.grad is not None:
        put(f"{name}/dx", x.grad)
    for key, p in module.named_parameters():
        if p.grad is not None:
            put(f"{name}/grad/{key}", p.grad)


def sequences(name, kind, **options):
    """Outputs and last states of a recurrent layer, with a first state, and with lengths."""
    layer = kind(5, 4, batch_first=True, **options)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    h = torch.randn(count, 3, 4)
    c = torch.randn(count, 3, 4)
    put(f"{name}/h", h)
    put(f"{name}/c", c)
    lengths = torch.tensor([6, 2, 4])

    def packed(m, x):
        p = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, state = m(p, (h, c) if kind is nn.LSTM else h)
        y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
        state = state if kind is nn.LSTM else (state,)
        for i, s in enumerate(state):
            put(f"{name}/packed_end{i + 1}", s)
        return y

    def plain(m, x):
        y, state = m(x)
        state = state if kind is nn.LSTM else (state,)
        for i, s in enumerate(state):
            put(f"{name}/end{i + 1}", s)
        return y

    x = torch.randn(3, 6, 5)
    case(name, layer, x, plain)
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y = packed(layer, x)
    put(f"{name}/packed_y", y)
    y.backward(arrays[f"{name}/dy"])
    put(f"{name}/packed_dx", x.grad)
    put(f"{name}/packed_grad", layer.weight_hh_l0.grad)


def layers():
    case("conv1d", nn.Conv1d(3, 4, 3, stride=2, padding=2, dilation=2), torch.randn(2, 9, 3), channels_first=True)
    case("conv_transpose1d", nn.ConvTranspose1d(3, 4, 3, stride=2, padding=1, output_padding=1),
         torch.randn(2, 5, 3), channels_first=True)
    case("max_pool1d", nn.MaxPool1d(3, stride=2, padding=1), torch.randn(2, 8, 3), channels_first=True)
    case("avg_pool1d", nn.AvgPool1d(3, stride=2, padding=1), torch.randn(2, 8, 3), channels_first=True)
    case("global_avg", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.randn(2, 3, 4, 5),
         channels_first=True)
    case("global_max", nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), torch.randn(2, 3, 4, 5),
         channels_first=True)
    case("batch_norm1d", nn.BatchNorm1d(4), torch.randn(6, 4))
    case("batch_norm1d_sequences", nn.BatchNorm1d(4), torch.randn(2, 5, 4), channels_first=True)
    case("batch_norm1d_eval", nn.BatchNorm1d(4).eval(), torch.randn(6, 4))
    case("batch_norm2d_bare", nn.BatchNorm2d(3, affine=False, track_running_stats=False), torch.randn(2, 3, 4, 3),
         channels_first=True)
    case("group_norm", nn.GroupNorm(2, 6), torch.randn(2, 3, 4, 6), channels_first=True)
    case("group_norm_rows", nn.GroupNorm(2, 6), torch.randn(4, 6))
    case("instance_norm1d", nn.InstanceNorm1d(3, affine=True), torch.randn(2, 7, 3), channels_first=True)
    case("instance_norm2d", nn.InstanceNorm2d(3), torch.randn(2, 4, 3, 3), channels_first=True)
    case("rms_norm", nn.RMSNorm(5), torch.randn(2, 3, 5))
    case("prelu", nn.PReLU(4), torch.randn(2, 3, 4), channels_first=True)
    case("softmax", nn.Softmax(-1), torch.randn(2, 5))
    case("log_softmax", nn.LogSoftmax(-1), torch.randn(2, 5))
    case("embedding", nn.Embedding(7, 3), torch.tensor([[1, 4, 1], [0, 6, 1]]))
    case("embedding_padding", nn.Embedding(7, 3, padding_idx=1), torch.tensor([[1, 4, 1], [0, 6, 2]]))
    sequences("rnn", nn.RNN, nonlinearity="relu")
    sequences("lstm", nn.LSTM, num_layers=2, bidirectional=True)
    sequences("gru", nn.GRU, num_layers=2, bidirectional=True)
    sequences("lstm_plain", nn.LSTM, bias=False)


def attention():
    x = torch.randn(2, 5, 8)
    hidden = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True

    def attend(**options):
        def call(m, x):
            y, weights = m(x, x, x, **options)
            put(f"{name}/weights", weights)
            return y
        return call

    name = "attention"
    case(name, nn.MultiheadAttention(8, 2, batch_first=True), x, attend())
    name = "attention_masked"
    case(name, nn.MultiheadAttention(8, 2, batch_first=True), x, attend(attn_mask=hidden, key_padding_mask=padding))
    memory = torch.randn(2, 3, 8)
    put("attention_memory/memory", memory)
    case("attention_memory", nn.MultiheadAttention(8, 4, batch_first=True, bias=False), x,
         lambda m, x: m(x, memory, memory)[0])
    put("masks/padding", padding)
    case("encoder_layer", nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True), x)
    case("encoder", nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0, activation="gelu", batch_first=True, norm_first=True), 2,
        norm=nn.LayerNorm(8), enable_nested_tensor=False), x,
         lambda m, x: m(x, mask=hidden, src_key_padding_mask=padding))
    q, k, v = (torch.randn(2, 3, 4, 5, requires_grad=True), torch.randn(2, 3, 6, 5, requires_grad=True),
               torch.randn(2, 3, 6, 7, requires_grad=True))
    bias = torch.randn(4, 6)
    seen = torch.rand(2, 1, 4, 6) > 0.3
    seen[0, 0, 2] = False
    for name, options in {"plain": {}, "causal": {"is_causal": True}, "bias": {"attn_mask": bias, "scale": 0.3},
                          "seen": {"attn_mask": seen}}.items():
        q.grad = k.grad = v.grad = None
        y = F.scaled_dot_product_attention(q, k, v, **options)
        dy = torch.randn_like(y)
        y.backward(dy)
        for key, value in {"y": y, "dy": dy, "dq": q.grad, "dk": k.grad, "dv": v.grad}.items():
            put(f"sdpa_{name}/{key}", value)
    for key, value in {"q": q, "k": k, "v": v, "bias": bias, "seen": seen}.items():
        put(f"sdpa/{key}", value)


def losses():
    """Values and gradients of losses, of the functions' options."""
    def loss(name, f, *inputs):
        inputs = [x.clone().requires_grad_(x.dtype.is_floating_point) for x in inputs]
        y = f(*inputs)
        dy = torch.rand_like(y) + 0.5
        y.backward(dy)
        put(f"loss_{name}/y", y)
        put(f"loss_{name}/dy", dy)
        for i, x in enumerate(inputs):
            put(f"loss_{name}/in{i + 1}", x)
            if x.grad is not None:
                put(f"loss_{name}/d{i + 1}", x.grad)

    a, b, c = torch.randn(6, 4), torch.randn(6, 4), torch.randn(6, 4)
    labels, signs = torch.tensor([0, 3, 1, 1, 2, 0]), torch.tensor([1, -1, 1, -1, -1, 1])
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0])
    p, q = torch.rand(6, 4), torch.softmax(torch.randn(6, 4), 1)
    loss("l1", F.l1_loss, a, b)
    loss("smooth", lambda x, y: F.smooth_l1_loss(x, y, beta=0.5), a, b)
    loss("huber", lambda x, y: F.huber_loss(x, y, delta=0.5, reduction="none"), a, b)
    loss("nll", F.nll_loss, a, labels)
    loss("nll_weight", lambda x, y: F.nll_loss(x, y, weight), a, labels)
    loss("nll_ignore", lambda x, y: F.nll_loss(x, y, weight, ignore_index=1), a, labels)
    loss("kl", F.kl_div, a, q)
    loss("kl_batch", lambda x, y: F.kl_div(x, y, reduction="batchmean", log_target=True), a, torch.log(q))
    loss("bce", F.binary_cross_entropy, p, torch.rand(6, 4))
    loss("bce_weight", lambda x, y: F.binary_cross_entropy(x, y, weight), p, (b > 0).float())
    loss("cosine", lambda x, y: F.cosine_similarity(x, y), a, b)
    loss("cosine_embedding", lambda x, y, s: F.cosine_embedding_loss(x, y, s, margin=0.1), a, b, signs)
    loss("triplet", F.triplet_margin_loss, a, b, c)
    loss("triplet_swap", lambda x, y, z: F.triplet_margin_loss(x, y, z, margin=0.5, p=3, swap=True), a, b, c)
    loss("hinge", lambda x, s: F.hinge_embedding_loss(x, s, margin=0.7), a[:, 0], signs)
    loss("ranking", lambda x, y, s: F.margin_ranking_loss(x, y, s, margin=0.2), a[:, 0], b[:, 0], signs)


def losses_in_double():
    """Every criterion in double precision: the arrays of loss64_NAME are float64."""
    draw = torch.Generator().manual_seed(7)

    def real(*shape):
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    def share(*shape):
        return torch.rand(shape, generator=draw, dtype=torch.float64)

    def loss(name, f, *inputs):
        inputs = [x.clone().requires_grad_(x.dtype.is_floating_point) for x in inputs]
        y = f(*inputs)
        dy = share(*y.shape) + 0.5
        y.backward(dy)
        for key, value in {"y": y, "dy": dy}.items():
            put(f"loss64_{name}/{key}", value, torch.float64)
        for i, x in enumerate(inputs):
            put(f"loss64_{name}/in{i + 1}", x, torch.float64 if x.dtype.is_floating_point else torch.float32)
            if x.grad is not None:
                put(f"loss64_{name}/d{i + 1}", x.grad, torch.float64)

    a, b, c = real(6, 4), real(6, 4), real(6, 4)
    labels, signs = torch.tensor([0, 3, 1, 1, 2, 0]), torch.tensor([1, -1, 1, -1, -1, 1])
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    p, q = share(6, 4), torch.softmax(real(6, 4), 1)
    loss("mse", F.mse_loss, a, b)
    loss("mse_weight", lambda x, y: (weight * (x - y) ** 2).sum() / (6 * weight.sum()), a, b)
    loss("l1", F.l1_loss, a, b)
    loss("smooth", lambda x, y: F.smooth_l1_loss(x, y, beta=0.5), a, b)
    loss("huber", lambda x, y: F.huber_loss(x, y, delta=0.5, reduction="none"), a, b)
    loss("cross", F.cross_entropy, a, labels)
    loss("cross_all", lambda x, y: F.cross_entropy(x, y, weight, ignore_index=1, label_smoothing=0.1), a, labels)
    loss("cross_ignore", lambda x, y: F.cross_entropy(x, y, ignore_index=1, reduction="sum"), a, labels)
    loss("cross_shares", lambda x, y: F.cross_entropy(x, y, weight, label_smoothing=0.1), a, q)
    loss("nll", F.nll_loss, a, labels)
    loss("nll_weight", lambda x, y: F.nll_loss(x, y, weight), a, labels)
    loss("nll_ignore", lambda x, y: F.nll_loss(x, y, ignore_index=1), a, labels)
    loss("nll_all", lambda x, y: F.nll_loss(x, y, weight, ignore_index=1, reduction="none"), a, labels)
    loss("kl", lambda x, y: F.kl_div(x, y, reduction="batchmean"), a, q)
    loss("kl_log", lambda x, y: F.kl_div(x, y, reduction="sum", log_target=True), a, torch.log(q))
    loss("bce", F.binary_cross_entropy, p, share(6, 4))
    loss("bce_weight", lambda x, y: F.binary_cross_entropy(x, y, weight), p, (b > 0).double())
    loss("logits", F.binary_cross_entropy_with_logits, a, p)
    loss("logits_weight", lambda x, y: F.binary_cross_entropy_with_logits(x, y, weight, pos_weight=weight + 1), a, p)
    loss("gaussian", lambda m, v, t: F.gaussian_nll_loss(m, t, v.exp(), full=True, reduction="sum"), a, b, c)
    loss("cosine", lambda x, y: F.cosine_similarity(x, y), a, b)
    loss("cosine_wide", lambda x, y: F.cosine_similarity(x, y), a, b[:1])
    loss("cosine_embedding", lambda x, y, s: F.cosine_embedding_loss(x, y, s, margin=0.1), a, b, signs)
    loss("triplet", F.triplet_margin_loss, a, b, c)
    loss("triplet_swap", lambda x, y, z: F.triplet_margin_loss(x, y, z, margin=0.5, p=3, swap=True), a, b, c)
    loss("hinge", lambda x, s: F.hinge_embedding_loss(x, s, margin=0.7), a[:, 0], signs)
    loss("ranking", lambda x, y, s: F.margin_ranking_loss(x, y, s, margin=0.2), a[:, 0], b[:, 0], signs)


def norms_of_weights():
    """The older functions, whose states have the names weight_orig, weight_u, weight_v and weight_g."""
    import warnings
    warnings.simplefilter("ignore")
    spectral, split = nn.utils.spectral_norm, nn.utils.weight_norm
    case("spectral_linear", spectral(nn.Linear(5, 3)).eval(), torch.randn(2, 5))
    case("spectral_conv", spectral(nn.Conv2d(2, 3, (2, 3))).eval(), torch.randn(2, 4, 5, 2), channels_first=True)
    case("spectral_transpose", spectral(nn.ConvTranspose2d(2, 3, (2, 3))).eval(), torch.randn(2, 3, 4, 2),
         channels_first=True)
    case("weight_linear", split(nn.Linear(5, 3)), torch.randn(2, 5))
    case("weight_conv", split(nn.Conv1d(2, 3, 3)), torch.randn(2, 6, 2), channels_first=True)
    # One step of the power method at a call in training.
    layer = spectral(nn.Linear(5, 3))
    x = torch.randn(2, 5)
    for key, value in layer.state_dict().items():
        put(f"spectral_step/state/{key}", value.clone())
    put("spectral_step/x", x)
    put("spectral_step/y", layer(x))
    put("spectral_step/u", layer.weight_u)


def optimisers():
    """Trajectories of 50 steps on sum(c (x - t)^2) + 0.1 sum(x^4), uphill on its negative."""
    c, t, x0 = torch.rand(6) + 0.2, torch.randn(6), torch.randn(6)
    put("optim/c", c)
    put("optim/t", t)
    put("optim/x0", x0)
    kinds = {
        "sgd_maximize": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.01}),
        "adam_amsgrad": (torch.optim.Adam, {"lr": 0.05, "amsgrad": True, "weight_decay": 0.01, "betas": (0.8, 0.9)}),
        "adamw_amsgrad": (torch.optim.AdamW, {"lr": 0.05, "amsgrad": True, "betas": (0.8, 0.9)}),
        "adamw_maximize": (torch.optim.AdamW, {"lr": 0.05}),
        "rmsprop_centered": (torch.optim.RMSprop, {"lr": 0.02, "centered": True}),
        "rmsprop_momentum": (torch.optim.RMSprop, {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.01}),
        "rmsprop_both": (torch.optim.RMSprop, {"lr": 0.02, "momentum": 0.5, "centered": True, "alpha": 0.9}),
        "rmsprop_maximize": (torch.optim.RMSprop, {"lr": 0.02, "momentum": 0.5, "centered": True}),
        "adagrad": (torch.optim.Adagrad, {"lr": 0.3, "lr_decay": 0.01, "weight_decay": 0.01,
                                          "initial_accumulator_value": 0.1}),
        "adagrad_maximize": (torch.optim.Adagrad, {"lr": 0.3}),
    }
    for name, (kind, options) in kinds.items():
        up = name.endswith("maximize")
        x = nn.Parameter(x0.clone())
        optimiser = kind([x], maximize=up, **options)
        losses = []
        for _ in range(50):
            optimiser.zero_grad()
            loss = (c * (x - t) ** 2).sum() + 0.1 * (x ** 4).sum()
            (-loss if up else loss).backward()
            losses.append(loss.item())
            optimiser.step()
        put(f"optim/{name}/losses", torch.tensor(losses))
        put(f"optim/{name}/x", x)
    groups()


def groups():
    """Two groups under a schedule that falls by a tenth each step."""
    a, b = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([3.0]))
    optimiser = torch.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.1, "weight_decay": 0.5}], lr=0.01,
                                momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.9)
    for _ in range(20):
        optimiser.zero_grad()
        ((a ** 2).sum() + (b ** 2).sum()).backward()
        optimiser.step()
        scheduler.step()
    put("optim/groups/a", a)
    put("optim/groups/b", b)


def schedules():
    """Learning rates of the first steps."""
    def rates(make, steps=30, metrics=None):
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = make(optimiser)
        list_ = []
        for i in range(steps):
            list_.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step(metrics[i]) if metrics else scheduler.step()
        return torch.tensor(list_, dtype=torch.float64)

    s = torch.optim.lr_scheduler
    put("schedule/one_cycle", rates(lambda o: s.OneCycleLR(o, 0.5, total_steps=30)))
    put("schedule/one_cycle_linear", rates(lambda o: s.OneCycleLR(o, 0.5, total_steps=30, anneal_strategy="linear",
                                                                  pct_start=0.4, div_factor=10, final_div_factor=50)))
    put("schedule/exponential", rates(lambda o: s.ExponentialLR(o, 0.9)))
    put("schedule/multistep", rates(lambda o: s.MultiStepLR(o, [3, 7, 20], 0.5)))
    put("schedule/sequence", rates(lambda o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9)],
                                                            [5])))
    metrics = [1.0, 0.9, 0.9, 0.89999, 0.9, 0.8, 0.85, 0.8, 0.81, 0.8, 0.82, 0.8, 0.8, 0.8, 0.8, 0.1, 0.1, 0.1, 0.1,
               0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    put("schedule/metrics", torch.tensor(metrics))
    put("schedule/plateau", rates(lambda o: s.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1, min_lr=0.1),
                                  metrics=metrics))


def added():
    """Cases that came later: behind the others, which keep their random numbers."""
    case("conv1d_groups", nn.Conv1d(4, 6, 4, padding="same", dilation=3, groups=2), torch.randn(2, 9, 4),
         channels_first=True)
    case("conv_transpose1d_groups", nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, groups=2), torch.randn(2, 5, 4),
         channels_first=True)
    h, c = torch.randn(3, 4), torch.randn(3, 4)
    put("cells/h", h)
    put("cells/c", c)
    case("rnn_cell", nn.RNNCell(5, 4, nonlinearity="relu"), torch.randn(3, 5), lambda m, x: m(x, h))
    case("gru_cell", nn.GRUCell(5, 4), torch.randn(3, 5), lambda m, x: m(x, h))
    case("lstm_cell", nn.LSTMCell(5, 4), torch.randn(3, 5), lambda m, x: torch.cat(m(x, (h, c)), 1))
    case("lstm_cell_fresh", nn.LSTMCell(5, 4, bias=False), torch.randn(3, 5), lambda m, x: m(x)[0])
    norm = nn.BatchNorm2d(3, momentum=None)
    case("batch_norm2d_mean", norm, torch.randn(2, 4, 4, 3), channels_first=True)
    norm(torch.arange(96.0).reshape(2, 4, 4, 3).sin().movedim(-1, 1))
    for key in ("running_mean", "running_var"):
        put("batch_norm2d_mean/after/" + key, getattr(norm, key))


def volumes_and_pixels():
    """Layers of three axes, of pixels, and more activations."""
    def volume(channels, *sizes):
        return torch.randn(2, *(sizes or (4, 5, 3)), channels)

    def image(channels, height=4, width=6):
        return torch.randn(2, height, width, channels)

    for name, module, x in [
        ("conv3d", nn.Conv3d(3, 4, (3, 2, 1), stride=(1, 2, 1), padding=(1, 0, 2), dilation=(2, 1, 1)), volume(3)),
        ("conv3d_groups", nn.Conv3d(4, 6, (2, 3, 4), padding="same", groups=2), volume(4)),
        ("conv_transpose3d", nn.ConvTranspose3d(3, 2, (2, 3, 2), stride=(2, 1, 3), padding=(0, 1, 1),
                                                output_padding=(1, 0, 2)), volume(3)),
        ("conv_transpose3d_groups", nn.ConvTranspose3d(4, 6, 2, stride=2, groups=2, bias=False), volume(4)),
        ("max_pool3d", nn.MaxPool3d((2, 3, 2), stride=(2, 1, 1), padding=(1, 1, 0)), volume(3)),
        ("avg_pool3d", nn.AvgPool3d(2, stride=1, padding=1, count_include_pad=False), volume(3)),
        ("batch_norm3d", nn.BatchNorm3d(3), volume(3)),
        ("volumes", nn.Sequential(nn.Conv3d(2, 3, 2), nn.ReLU(), nn.MaxPool3d((1, 2, 2)), nn.Flatten(),
                                  nn.Linear(18, 4)), volume(2, 4, 5, 3)),
        ("pixel_shuffle", nn.PixelShuffle(2), image(8)),
        ("pixel_unshuffle", nn.PixelUnshuffle(2), image(3)),
        ("shuffled", nn.Sequential(nn.Conv2d(2, 8, 1), nn.PixelShuffle(2), nn.Flatten(), nn.Linear(48, 3)),
         image(2, 2, 3)),
        ("zero_pad2d", nn.ZeroPad2d((1, 2, 0, 3)), image(2)),
        ("reflection_pad2d", nn.ReflectionPad2d((1, 2, 3, 0)), image(2)),
        ("replication_pad2d", nn.ReplicationPad2d(2), image(2)),
    ]:
        case(name, module, x, channels_first=True)
    for name, module in [("selu", nn.SELU()), ("mish", nn.Mish()), ("softsign", nn.Softsign()),
                         ("log_sigmoid", nn.LogSigmoid()), ("hardtanh", nn.Hardtanh(-0.5, 0.75))]:
        case(name, module, torch.randn(4, 5) * 3)
    for n, sizes, options in [(1, (7,), {"kernel_size": 3, "stride": 2, "padding": 1}),
                              (2, (5, 7), {"kernel_size": 2, "stride": (2, 3)}), (3, (4, 5, 3), {"kernel_size": 2})]:
        x = torch.randn(2, 3, *sizes)
        y, places = getattr(F, f"max_pool{n}d")(x, return_indices=True, **options)
        y = y.detach().requires_grad_()
        z = getattr(F, f"max_unpool{n}d")(y, places, output_size=sizes, **options)
        dz = torch.randn_like(z)
        z.backward(dz)
        for key, value in {"x": x, "y": y, "places": places + 1.0, "z": z, "dz": dz, "dy": y.grad}.items():
            put(f"unpool{n}/{key}", last(value))


def adaptive_pools():
    """Pools into so many windows, of values among which some are equal."""
    for n, shape, sizes in [(1, (2, 7, 3), (3,)), (2, (2, 5, 7, 2), (3, 4)), (3, (1, 4, 5, 3, 2), (2, 3, 2))]:
        for kind in ("Avg", "Max"):
            name = f"adaptive_{kind.lower()}{n}"
            module = getattr(nn, f"Adaptive{kind}Pool{n}d")(sizes if n > 1 else sizes[0])
            x = torch.randn(*shape) if kind == "Avg" else torch.randint(0, 9, shape).float()
            case(name, module, x, channels_first=True)
            if kind == "Max":
                places = getattr(F, f"adaptive_max_pool{n}d")(first(x), sizes if n > 1 else sizes[0], return_indices=True)[1]
                put(f"{name}/places", last(places) + 1)


def write(path):
    header, offset = {}, 0
    for name, x in arrays.items():
        size = x.element_size() * x.numel()
        header[name] = {"dtype": f"F{8 * x.element_size()}", "shape": list(x.shape),
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for x in arrays.values():
            file.write(x.numpy().astype(f"<f{x.element_size()}").tobytes())


if __name__ == "__main__":
    layers()
    attention()
    losses()
    norms_of_weights()
    optimisers()
    schedules()
    added()
    losses_in_double()
    volumes_and_pixels()
    adaptive_pools()
    write(sys.argv[1] + "/layers.safetensors")
