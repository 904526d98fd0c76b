"""The set "fuzz": random shapes and options, seeded."""
import random

import torch

from own_inputs import Collection, wants_gradient

WORK = 4e7  # multiply-adds of the largest convolution
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 32, 33, 48, 64, 70)


class Fuzz(Collection):
    def __init__(self, seed):
        super().__init__(seed)
        self.random = random.Random(seed)
        self.whole = self.random.randint

    def channels(self):
        return self.random.choice(SIZES)

    def likely(self, share):
        return self.random.random() < share

    def two(self, low, high):
        return self.whole(low, high), self.whole(low, high)

    def kernel(self, largest, squares):
        return self.two(1, largest) if self.likely(.5) else (self.random.choice(squares),) * 2


def conv2d(f):
    while True:
        n, (h, w), i, o = f.whole(1, 5), f.two(1, 20), f.channels(), f.channels()
        kernel, stride, padding = f.kernel(7, (1, 2, 3, 5)), f.two(1, 4), f.two(0, 4)
        dilation = f.two(1, 3) if f.likely(.4) else (1, 1)
        fits = all(size + 2 * p >= d * (k - 1) + 1 for size, p, d, k in zip((h, w), padding, dilation, kernel))
        if fits and n * h * w * i * o * kernel[0] * kernel[1] <= WORK:
            break
    f.add("nn.functional.conv2d", f.weights(n, i, h, w), f.weights(o, i, *kernel),
          f.weights(o) if f.likely(.7) else None, stride=stride, padding=padding, dilation=dilation)


def conv_transpose2d(f):
    while True:
        n, (h, w), i, o = f.whole(1, 4), f.two(1, 12), f.channels(), f.channels()
        kernel, stride, padding = f.kernel(6, (1, 2, 3, 4)), f.two(1, 4), f.two(0, 3)
        dilation = f.two(1, 3) if f.likely(.4) else (1, 1)
        more = tuple(f.whole(0, max(s, d) - 1) for s, d in zip(stride, dilation))
        result = [(size - 1) * s - 2 * p + d * (k - 1) + m + 1
                  for size, s, p, d, k, m in zip((h, w), stride, padding, dilation, kernel, more)]
        if min(result) >= 1 and n * h * w * i * o * kernel[0] * kernel[1] <= WORK:
            break
    f.add("nn.functional.conv_transpose2d", f.weights(n, i, h, w), f.weights(i, o, *kernel),
          f.weights(o) if f.likely(.7) else None, stride=stride, padding=padding, output_padding=more,
          dilation=dilation)


def pools(f):
    while True:
        n, channels, (h, w), kernel, stride = f.whole(1, 4), f.channels(), f.two(1, 15), f.two(1, 5), f.two(1, 4)
        padding = tuple(f.whole(0, k // 2) for k in kernel)
        if all(size + 2 * p >= k for size, p, k in zip((h, w), padding, kernel)):
            break
    x = f.normal(n, channels, h, w)
    x = (x * 2).round() if f.likely(.4) else x  # ties
    f.add("nn.functional.max_pool2d", wants_gradient(x), kernel_size=kernel, stride=stride, padding=padding)
    f.add("nn.functional.avg_pool2d", wants_gradient(x), kernel, stride, padding)
    f.add("nn.functional.upsample_nearest", f.weights(n, min(channels, 9), h, w), scale_factor=f.two(1, 4))


def products(f):
    m, k, n = f.whole(0, 70), f.whole(0, 90), f.whole(0, 70)
    batch = tuple(f.whole(1, 4) for _ in range(f.whole(0, 3)))
    f.add("matmul", f.weights(*batch, m, k), f.weights(*batch, k, n) if f.likely(.6) else f.weights(k, n))
    f.add("nn.functional.linear", f.weights(*batch, k), f.weights(n, k), f.weights(n))


def along_axes(f, x, dim):
    shape = x.shape
    dims, keep = tuple(f.random.sample(range(len(shape)), f.whole(1, len(shape)))), f.likely(.5)
    for op in ("sum", "mean"):
        f.add(op, x, dim=dims, keepdim=keep)
    if all(shape[i] > 1 for i in dims):
        for op in ("var", "std"):
            f.add(op, x, dim=dims, keepdim=keep, correction=f.whole(0, 1))
    f.add("norm", x, 2, dims, keep)
    for op in ("softmax", "log_softmax"):
        f.add(op, x, dim)
    for op in ("logsumexp", "amax", "amin"):
        f.add(op, x, dim=dim, keepdim=keep)
    for op in ("argmax", "argmin"):
        f.add(op, x.detach(), dim=dim, keepdim=keep)


def moved(f, x, dim):
    shape = x.shape
    n = len(shape)
    f.add("permute", x, tuple(f.random.sample(range(n), n)))
    f.add("flip", x, dims=(dim,))
    f.add("transpose", x, dim, f.whole(0, n - 1))
    other = f.weights(*[f.whole(0, 5) if i == dim % n else size for i, size in enumerate(shape)])
    f.add("cat", [x, other, wants_gradient(x.detach())], dim=dim)
    f.add("stack", [x, f.weights(*shape)], dim=f.whole(0, n))
    i = f.whole(0, n - 1)
    first = f.whole(0, shape[i] - 1)
    f.add("narrow", x, i, first, f.whole(1, shape[i] - first))


def broadcast(f, x):
    shape = x.shape
    other = tuple(size if f.likely(.6) else 1 for size in shape)[f.whole(0, len(shape) - 1):]
    y = wants_gradient(f.normal(*other) * 2)
    for op in ("add", "sub", "mul", "div", "maximum", "minimum"):
        f.add(op, x, y)
    for op in ("eq", "ne", "lt", "le", "gt", "ge"):
        f.add(op, x.detach().round(), y.detach().round())
    f.add("where", x, f.normal(*other) > 0, f.weights(*shape[f.whole(0, len(shape) - 1):]))


def normalised(f):
    n, channels = f.channels(), max(f.channels(), 3)
    f.add("nn.functional.batch_norm", wants_gradient(f.normal(f.whole(1, 6), n, f.whole(1, 6), f.whole(2, 6)) * 3 + 1),
          torch.zeros(n), torch.ones(n), f.weights(n), f.weights(n), training=True)
    f.add("nn.functional.layer_norm", wants_gradient(f.normal(f.whole(1, 9), channels) * 3 + 1), (channels,),
          f.weights(channels), f.weights(channels))


def operators():
    f = Fuzz(seed=77)
    for part, times in ((conv2d, 400), (conv_transpose2d, 250), (pools, 200), (products, 200), (normalised, 200)):
        for _ in range(times):
            part(f)
    for _ in range(200):
        shape = tuple(f.whole(1, 9) for _ in range(f.whole(1, 5)))
        x, dim = wants_gradient(f.normal(*shape) * 5), f.whole(-len(shape), len(shape) - 1)
        along_axes(f, x, dim)
        moved(f, x, dim)
        broadcast(f, x)
    return f.operators()
