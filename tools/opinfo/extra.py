"""The set "extra": extremes, infinities and NaN, ties, empty tensors, values far from zero, options of
convolutions and pools."""
import itertools
import math

import torch

from own_inputs import Collection, wants_gradient

INF, NAN = math.inf, math.nan
SPECIAL = torch.tensor([0., -0., 1., -1., .5, -.5, 1e-30, -1e-30, 1e-42, 3e38, -3e38, 88., -88., 104., -104., 20.,
                        -20., 1e4, -1e4, INF, -INF, NAN, 2.5, -2.5, 3.5, 1e-8])
UNARY = ("abs neg exp log sqrt square sin cos tanh sigmoid sign floor ceil round nn.functional.relu "
         "nn.functional.silu nn.functional.gelu nn.functional.elu nn.functional.leaky_relu "
         "nn.functional.softplus").split()
BINARY = "add sub mul div maximum minimum eq ne lt le gt ge".split()
REDUCTIONS = ("mean", "sum", "none")


def elementwise(c):
    moderate = SPECIAL[torch.isfinite(SPECIAL) & (SPECIAL.abs() < 1e5)]
    large = torch.tensor([1e5, 1e6, 1e7, -1e8, 1e10, 1e20, 3e38, INF, NAN])
    for op in UNARY:
        c.add(op, wants_gradient(moderate if op in ("sin", "cos") else SPECIAL))
        c.add(op, wants_gradient(c.normal(7, 1000) * 3))
        c.add(op, wants_gradient(c.normal(1000) * 30))
    for op in ("sin", "cos"):
        c.add(op, wants_gradient(large))
    for exponent in (0, 1, 2, 3, 4, -1, -2, .5, -.5, 2.5, 1 / 3, 0., -3.7):
        c.add("pow", wants_gradient(SPECIAL), exponent)
        c.add("pow", wants_gradient(c.normal(50).abs() + .1), exponent)
        c.add("pow", c.weights(50), exponent)
    for bounds in (dict(min=-.5, max=.5), dict(min=.5), dict(max=-.5), dict(min=1., max=-1.), dict(min=0),
                   dict(min=-INF, max=INF)):
        c.add("clamp", wants_gradient(SPECIAL), **bounds)
        c.add("clamp", c.weights(40), **bounds)
    # Not broadcast: what the gradient is at NaN shows at its place.
    left, right = torch.broadcast_tensors(SPECIAL[:, None], SPECIAL[None])
    for op in BINARY:
        c.add(op, wants_gradient(left), wants_gradient(right))
    condition = torch.tensor([0., 1., NAN, -0., 2., INF])
    c.add("where", c.weights(6), condition.bool(), c.weights(6))
    c.add("where", wants_gradient(torch.tensor([NAN, 1., INF])), torch.tensor([False, True, False]), c.weights(3))


def reductions(c):
    rows = torch.tensor([[1., 2.], [INF, 1.], [-INF, 1.], [-INF, -INF], [INF, INF], [NAN, 1.], [3e38, 3e38],
                         [-3e38, -3e38], [1e4, -1e4], [0., 0.]])
    for x in (rows, c.normal(5, 1000) * 50, c.normal(300, 2)):
        for op in ("softmax", "log_softmax", "logsumexp"):
            c.add(op, wants_gradient(x), 1)
            c.add(op, wants_gradient(x), 0)
        for op in ("sum", "mean", "amax", "amin", "var", "std"):
            c.add(op, wants_gradient(x), dim=1)
            c.add(op, wants_gradient(x), dim=0, keepdim=True)
            c.add(op, wants_gradient(x))
        for op in ("max", "min"):
            c.add(op, wants_gradient(x), 1)
            c.add(op, wants_gradient(x), 0, True)
            c.add(op, wants_gradient(x))
        places(c, x)
        c.add("norm", wants_gradient(x), 2, 1)
        c.add("norm", wants_gradient(x), 2, 0)
    ties = torch.tensor([[1., 1., 0.], [2., 2., 2.], [0., -0., 0.]])
    for op in ("amax", "amin", "max", "min"):
        c.add(op, wants_gradient(ties))
    for op in ("max", "min"):
        c.add(op, wants_gradient(ties), 1)
    places(c, ties)
    far_from_zero(c)
    for shape, value in (((3, 4), 0.), ((2, 3), 3e19), ((2, 3), 1e-25), ((2, 3), 1e30)):
        c.add("norm", wants_gradient(torch.full(shape, value)), 2, 1)


def places(c, x):
    for op in ("argmax", "argmin"):
        c.add(op, x, dim=1)
        c.add(op, x, dim=0)
        c.add(op, x)


def far_from_zero(c):
    for op in ("var", "std"):
        c.add(op, wants_gradient(torch.zeros(3, 4) + 2), dim=1)
        c.add(op, c.weights(3, 1), dim=1)
        c.add(op, wants_gradient(1e4 + c.normal(4, 1000) * .1), dim=1)
        c.add(op, wants_gradient(1e4 + c.normal(4, 1000) * .1), dim=0)
        c.add(op, c.weights(5, 6, 7), dim=(0, 2))
        c.add(op, c.weights(5, 6, 7), dim=(0, 2), correction=0, keepdim=True)
    big = 1e4 + c.normal(200, 3000)
    for op in ("sum", "mean"):
        c.add(op, wants_gradient(big[:30]))
        c.add(op, wants_gradient(big[:30]), dim=0)
        c.add(op, wants_gradient(big[:30]), dim=1)


def losses(c):
    labels = torch.randint(0, 7, (20,), generator=c.generator)
    bce = "nn.functional.binary_cross_entropy_with_logits"
    for reduction in REDUCTIONS:
        def add(op, *args, kind=reduction, **more):
            c.add(op, *args, reduction=kind, **more)
        add("nn.functional.cross_entropy", wants_gradient(c.normal(20, 7) * 5), labels)
        add("nn.functional.cross_entropy", wants_gradient(c.normal(20, 7) * 1e4), labels)
        add(bce, wants_gradient(torch.tensor([1e4, -1e4, 100., -100., 0., 1e-9, 40., -40.])),
            wants_gradient(torch.tensor([1., 0., 0., 1., .5, .3, .9, .1])))
        add(bce, wants_gradient(c.normal(11, 13) * 4), wants_gradient(c.uniform(11, 13)))
        add(bce, wants_gradient(torch.tensor([INF, -INF, NAN])), torch.tensor([1., 0., 0.]))
        add("nn.functional.mse_loss", wants_gradient(c.normal(11, 13) * 4), c.weights(11, 13))
        add("nn.functional.gaussian_nll_loss", wants_gradient(c.normal(11, 13) * 4), c.weights(11, 13),
            wants_gradient(c.normal(11, 13).exp()), full=True)
        add("nn.functional.gaussian_nll_loss", wants_gradient(c.normal(11, 13) * 4), c.weights(11, 13),
            wants_gradient((c.normal(11, 13) * 3).exp() + 1e-4))
    rows = torch.tensor([[INF, 1., 2.], [-INF, 1., 2.], [NAN, 1., 2.], [-INF, -INF, -INF]])
    c.add("nn.functional.cross_entropy", wants_gradient(rows), torch.tensor([1, 1, 1, 0]), reduction="none")


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def fits(shape, kernel, padding, dilation=(1, 1)):
    return all(size + 2 * p >= d * (k - 1) + 1 for size, k, p, d in zip(shape[2:], kernel, padding, dilation))


def convolutions(c, shape, kernel, stride, padding):
    channels = shape[1]
    for dilation in (1, 2, (1, 3)):
        if not fits(shape, kernel, both(padding), both(dilation)):
            continue
        for out in (4, 1, 33):
            c.add("nn.functional.conv2d", c.weights(*shape), c.weights(out, channels, *kernel),
                  c.weights(out) if out > 1 else None, stride=stride, padding=padding, dilation=dilation)
    for more, dilation in itertools.product((0, 1), (1, 2)):
        result = [(shape[2 + i] - 1) * both(stride)[i] - 2 * both(padding)[i] + dilation * (kernel[i] - 1) + more + 1
                  for i in (0, 1)]
        if more < max(min(both(stride)), dilation) and min(result) >= 1:
            c.add("nn.functional.conv_transpose2d", c.weights(*shape), c.weights(channels, 6, *kernel), c.weights(6),
                  stride=stride, padding=padding, output_padding=more, dilation=dilation)


def images(c):
    for shape in ((2, 3, 5, 7), (1, 1, 1, 1), (3, 17, 8, 8)):
        for factor in (2, 3, (2, 1), (1, 4), (3, 2)):
            c.add("nn.functional.upsample_nearest", c.weights(*shape), scale_factor=factor)
        for size, stride, padding in ((2, 2, 0), (3, 2, 1), ((3, 2), (1, 2), (1, 0)), (2, 1, 1), ((1, 3), 1, (0, 1)),
                                      (5, 3, 2), (1, 1, 0), (3, 5, 0)):
            if fits(shape, both(size), both(padding)):
                c.add("nn.functional.avg_pool2d", c.weights(*shape), size, stride, padding)
                pool = dict(kernel_size=size, stride=stride, padding=padding)
                c.add("nn.functional.max_pool2d", c.weights(*shape), **pool)
                c.add("nn.functional.max_pool2d", wants_gradient((c.normal(*shape) * 1.5).round()), **pool)
                convolutions(c, shape, both(size), stride, padding)
    special = c.normal(1, 2, 6, 6)
    special[0, 0, 2, 2], special[0, 1, 1, 1], special[0, 1, 4, 4] = NAN, INF, -INF
    c.add("nn.functional.max_pool2d", wants_gradient(special), kernel_size=2)
    c.add("nn.functional.max_pool2d", wants_gradient(special), kernel_size=3, stride=1, padding=1)
    c.add("nn.functional.avg_pool2d", wants_gradient(special), 2, 2, 0)
    c.add("nn.functional.max_pool2d", wants_gradient(torch.full((1, 1, 4, 4), -INF)), kernel_size=2)
    bilinear = dict(scale_factor=None, mode="bilinear", align_corners=False)
    for size in ((3, 3), (7, 9), (4, 5), (1, 1), (8, 2)):
        c.add("nn.functional.interpolate", c.normal(2, 3, 4, 5), size, **bilinear)
        c.add("nn.functional.interpolate", c.normal(1, 1, 28, 28), size, **bilinear)
    c.add("nn.functional.interpolate", c.normal(1, 1, 28, 28), (32, 32), **bilinear)


def layers(c):
    for x in (torch.full((3, 5, 4), 1e4) + c.normal(3, 5, 4), c.normal(16, 8, 3, 3), c.normal(2, 1, 2, 2) * 1e-3,
              c.normal(64, 3, 9, 9) + 100):
        n = x.shape[1]
        c.add("nn.functional.batch_norm", wants_gradient(x), torch.zeros(n), torch.ones(n), c.weights(n), c.weights(n),
              training=True)
        c.add("nn.functional.batch_norm", wants_gradient(x), c.normal(n), c.normal(n).abs() + .1, c.weights(n),
              c.weights(n), training=False)
    for x in (c.normal(3, 5, 40), c.normal(7, 16) * 1e-3, c.normal(4, 300) + 1e3, c.normal(2, 3, 4, 5) * 1e3):
        n = x.shape[-1]
        c.add("nn.functional.layer_norm", wants_gradient(x), (n,), c.weights(n), c.weights(n))
    for left, right in (((24, 4096), (4096, 24)), ((1, 1), (1, 1)), ((3, 4, 5, 6), (3, 4, 6, 7)),
                        ((2, 3, 4), (4, 5)), ((0, 3), (3, 4)), ((3, 0), (0, 4)), ((2, 0, 3), (2, 3, 4)),
                        ((129, 65), (65, 257)), ((7, 2, 2), (7, 2, 2))):
        c.add("matmul", c.weights(*left), c.weights(*right))
    with_nan = c.normal(3, 3)
    with_nan[1, 1] = NAN
    c.add("matmul", wants_gradient(with_nan), c.weights(3, 3))
    c.add("matmul", wants_gradient(torch.zeros(2, 2)), wants_gradient(torch.tensor([[INF, 1.], [NAN, 1.]])))


def empty(c):
    for shape in ((0,), (0, 3), (3, 0), (2, 0, 4)):
        def x(size=shape):
            return c.weights(*size)
        for op in ("sum", "mean"):
            c.add(op, x())
            c.add(op, x(), dim=0)
            c.add(op, x(), dim=-1)
        c.add("softmax", x(), -1)
        c.add("log_softmax", x(), 0)
        c.add("nn.functional.relu", x())
        c.add("add", x(), c.weights(1))
        c.add("var", x(), dim=0)
        c.add("norm", x(), 2, -1)
        c.add("logsumexp", x(), -1)
        c.add("nn.functional.mse_loss", x(), c.normal(*shape))
        c.add("flip", x(), dims=(0,))
        c.add("permute", x(), tuple(range(len(shape)))[::-1])
        c.add("cat", [x(), x()], dim=0)
        c.add("stack", [x(), x()], dim=0)
        c.add("unsqueeze", x(), 0)
    c.add("nn.functional.conv2d", c.weights(0, 3, 5, 5), c.weights(4, 3, 3, 3), c.weights(4))
    c.add("nn.functional.conv_transpose2d", c.weights(0, 3, 5, 5), c.weights(3, 4, 3, 3), c.weights(4))
    c.add("nn.functional.linear", c.weights(0, 3), c.weights(4, 3), c.weights(4))
    c.add("nn.functional.linear", c.weights(5, 0), c.weights(4, 0), c.weights(4))
    c.add("nn.functional.max_pool2d", c.weights(0, 3, 4, 4), kernel_size=2)
    c.add("nn.functional.batch_norm", c.weights(4, 3, 0, 2), torch.zeros(3), torch.ones(3), c.weights(3), c.weights(3),
          training=False)


def operators():
    collection = Collection(seed=5)
    for part in (elementwise, reductions, losses, images, layers, empty):
        part(collection)
    return collection.operators()
