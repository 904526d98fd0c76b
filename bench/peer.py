"""The same work in PyTorch (and scikit-learn, and plain CBLAS), told case by case through a pipe (peer_pipe.py).

Data lies in memory before the clock starts, nothing records gradients that nobody wants, models are in eval mode
where they are not trained, and the number of threads is that of the other side.
"""
import argparse
import ctypes
import ctypes.util
import resource
import time

import torch
from torch import nn
import torch.nn.functional as F

from peer_models import MODELS
from peer_pipe import serve


class Reshape(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(x.shape[0], *self.shape)


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def deconv(inputs, outputs):
    return nn.ConvTranspose2d(inputs, outputs, 3, padding=1)


def four_blocks():
    layers = []
    for inputs in (1, 16, 16, 16):
        layers += [conv(inputs, 16), nn.ReLU(), nn.MaxPool2d(2)]
    return layers


def four_up():
    layers = []
    for outputs in (16, 16, 16):
        layers += [nn.Upsample(scale_factor=2), deconv(16, outputs), nn.ReLU()]
    return layers + [nn.Upsample(scale_factor=2), deconv(16, 1)]


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(*four_blocks(), conv(16, 1), nn.ReLU(), nn.MaxPool2d((1, 2)), nn.Flatten())
        self.decoder = nn.Sequential(
            Reshape(1, 2, 1), nn.Upsample(scale_factor=(1, 2)), deconv(1, 16), nn.ReLU(), *four_up())

    def forward(self, x):
        return self.decoder(self.encoder(x))


class VAE(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.body = nn.Sequential(*four_blocks(), nn.Flatten())
        self.mu = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, latent))
        self.log_var = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), Reshape(16, 2, 2), *four_up())

    def forward(self, x):
        h = self.body(x)
        mu, log_var = self.mu(h), self.log_var(h)
        z = mu + (log_var / 2).exp() * torch.randn_like(mu)
        return self.decoder(z), mu, log_var


def classifier():
    return nn.Sequential(*four_blocks(), nn.Flatten(), nn.Linear(64, 10))


class Bench:
    def __init__(self, compile_models):
        self.compile_models = compile_models
        self.version = versions()

    def prepare(self, spec):
        return getattr(self, spec["kind"])(spec)

    def built(self, model):
        return torch.compile(model) if self.compile_models else model

    # Each method named after a kind takes the case's fields and returns variants.

    def train(self, model, loss_of):
        model = self.built(model.train())
        opt = torch.optim.Adam(model.parameters(), lr=1e-3)

        def step():
            opt.zero_grad(set_to_none=True)
            loss_of(model).backward()
            opt.step()
        return {"torch": step}

    def model(self, spec):
        variants = {}
        for name, layout in (("nchw", torch.contiguous_format), ("channels_last", torch.channels_last)):
            model, x, loss = MODELS[spec["model"]]()
            if x.dim() == 4:
                model, x = model.to(memory_format=layout), x.contiguous(memory_format=layout)
            elif variants:
                break
            else:
                name = "torch"
            variants[name] = self.train(model, lambda model, loss=loss, x=x: loss(model, x))["torch"]
        return variants

    def ae(self, spec):
        x = torch.rand(spec["batch"], 1, 32, 32) * 2 - 1
        return self.train(Autoencoder(), lambda model: F.mse_loss(model(x), x))

    def classifier(self, spec):
        x = torch.rand(spec["batch"], 1, 32, 32) * 2 - 1
        y = torch.randint(0, 10, (spec["batch"],))
        return self.train(classifier(), lambda model: F.cross_entropy(model(x), y))

    def vae(self, spec):
        x = torch.rand(spec["batch"], 1, 32, 32) * 2 - 1

        def loss_of(model):
            r, mu, log_var = model(x)
            kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1).mean()
            return F.mse_loss(r, x) + 0.01 * kl
        return self.train(VAE(spec["latent"]), loss_of)

    def map(self, spec):
        decoder = VAE(spec["latent"]).decoder.eval().requires_grad_(False)
        decoder = self.built(decoder)
        noisy = torch.randn(spec["codes"], 1, 32, 32)
        z = nn.Parameter(torch.randn(spec["codes"], spec["latent"]))
        opt = torch.optim.Adam([z], lr=0.01)

        def step():
            opt.zero_grad(set_to_none=True)
            loss = F.mse_loss(decoder(z), noisy) + 0.01 * z.square().mean()
            loss.backward()
            opt.step()
        return {"torch": step}

    def encode(self, spec):
        x = torch.rand(spec["images"], 1, 32, 32) * 2 - 1
        encoder = self.built(Autoencoder().encoder.eval())
        batch = spec["batch"]

        @torch.no_grad()
        def encode():
            torch.cat([encoder(x[i:i + batch]) for i in range(0, len(x), batch)])
        return {"torch": encode}

    def knn(self, spec):
        try:
            from sklearn.neighbors import NearestNeighbors
        except ImportError:
            raise RuntimeError("scikit-learn not found")
        train = torch.randn(spec["train"], spec["dims"]).numpy()
        query = torch.randn(spec["queries"], spec["dims"]).numpy()
        algorithm = "kd_tree" if spec["dims"] <= 4 else "brute"

        def search():
            NearestNeighbors(n_neighbors=1, algorithm=algorithm, n_jobs=torch.get_num_threads()).fit(
                train).kneighbors(query)
        return {"scikit-learn " + algorithm: search}

    def epoch(self, spec):
        x = torch.rand(spec["images"], 1, 32, 32) * 2 - 1
        batch = spec["batch"]
        model = self.built(Autoencoder())
        opt = torch.optim.Adam(model.parameters(), lr=1e-3)

        def epoch():
            order = torch.randperm(len(x))
            for i in range(0, len(x), batch):
                b = x[order[i:i + batch]]
                opt.zero_grad(set_to_none=True)
                loss = F.mse_loss(model(b), b)
                loss.backward()
                opt.step()
                loss.item()
        return {"torch": epoch}

    def conv(self, spec):
        n, c, k, s = spec["batch"], spec["channels"], spec["kernel"], spec["size"]
        layer = nn.Conv2d(c, c, k, stride=spec["stride"], padding=k // 2)
        variants = {}
        for name, layout in (("nchw", torch.contiguous_format), ("channels_last", torch.channels_last)):
            weight = layer.weight.detach().clone(memory_format=layout)
            x = torch.randn(n, c, s, s).to(memory_format=layout)
            variants[name] = conv_run(x, weight, layer.bias.detach().clone(), spec)
        return variants

    def op(self, spec):
        x = torch.randn(*spec["shape"])
        y = torch.randn(*spec["shape"])
        axis = len(spec["shape"]) - 1
        f = {
            "add": lambda: x + y, "mul": lambda: x * y, "relu": lambda: F.relu(x), "exp": lambda: x.exp(),
            "tanh": lambda: x.tanh(), "sigmoid": lambda: x.sigmoid(), "sqrt": lambda: x.sqrt(),
            "sum": lambda: x.sum(), "mean": lambda: x.mean(), "max": lambda: x.max(),
            "sum_rows": lambda: x.sum(axis), "sum_columns": lambda: x.sum(0),
            "softmax": lambda: x.softmax(axis), "log_softmax": lambda: x.log_softmax(axis),
        }[spec["op"]]

        @torch.no_grad()
        def run(n):
            start = time.perf_counter()
            for _ in range(n):
                f()
            return time.perf_counter() - start
        run.timed = True
        return {"torch": run}

    def row(self, spec):
        n = spec["n"]
        x = torch.randn(n)
        in_order, mask, places = x.sort()[0], x > 0, torch.randint(0, n, (n,))
        f = {
            "sort": lambda: x.sort(), "unique": lambda: x.unique(),
            "searchsorted": lambda: torch.searchsorted(in_order, x), "nonzero": lambda: mask.nonzero(),
            "gather": lambda: x.gather(0, places), "scatter_add": lambda: x.scatter_add(0, places, x),
            "cumsum": lambda: x.cumsum(0), "histc": lambda: torch.histc(x),
        }[spec["op"]]

        @torch.no_grad()
        def once():
            f()
        return {"torch": once}

    def matmul(self, spec):
        m, n, k, batch = spec["m"], spec["n"], spec["k"], spec.get("batch")
        shape = (batch,) if batch else ()
        a, b = torch.randn(*shape, m, k), torch.randn(*shape, k, n)
        c = torch.empty(*shape, m, n)
        variants = {"torch": lambda: torch.matmul(a, b, out=c)}
        name = ctypes.util.find_library("openblas")
        if name and not batch:
            variants["cblas_sgemm"] = cblas_product(ctypes.CDLL(name), a, b, c)
        return variants


def cblas_product(blas, a, b, c):
    blas.openblas_set_num_threads(torch.get_num_threads())
    pointer = ctypes.c_void_p
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    (m, k), n = a.shape, b.shape[1]
    arguments = (101, 111, 111, m, n, k, one, pointer(a.data_ptr()), k, pointer(b.data_ptr()), n, zero,
                 pointer(c.data_ptr()), n)
    return lambda: blas.cblas_sgemm(*arguments)


def conv_run(x, weight, bias, spec):
    padding = spec["kernel"] // 2
    if spec["direction"] == "forward":
        def forward(n):
            with torch.no_grad():
                start = time.perf_counter()
                for _ in range(n):
                    F.conv2d(x, weight, bias, spec["stride"], padding)
                return time.perf_counter() - start
        forward.timed = True
        return forward
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    seed = None

    def backward(n):
        nonlocal seed
        seconds = 0
        for _ in range(n):
            y = F.conv2d(*leaves, spec["stride"], padding)
            if seed is None:
                seed = torch.ones_like(y)
            start = time.perf_counter()
            torch.autograd.grad(y, leaves, seed)
            seconds += time.perf_counter() - start
        return seconds
    backward.timed = True
    return backward


def versions():
    text = "PyTorch " + torch.__version__
    try:
        import sklearn
        text += ", scikit-learn " + sklearn.__version__
    except ImportError:
        pass
    return text


def peak_memory(images, batch):
    """An epoch in a process of its own; prints its largest resident memory in MB. Images are bytes."""
    x = torch.randint(0, 256, (images, 1, 32, 32), dtype=torch.uint8)
    model = Autoencoder()
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = torch.randperm(len(x))
    for i in range(0, len(x), batch):
        b = x[order[i:i + batch]].float() * (2 / 255) - 1
        opt.zero_grad(set_to_none=True)
        F.mse_loss(model(b), b).backward()
        opt.step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--memory", nargs=2, type=int, metavar=("IMAGES", "BATCH"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    if options.memory:
        peak_memory(*options.memory)
    else:
        serve(Bench(options.compile))


if __name__ == "__main__":
    main()
