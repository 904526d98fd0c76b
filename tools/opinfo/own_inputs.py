"""Samples of our own, given to the operators of PyTorch's database."""
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import SampleInput


class Operator:
    """As much of an OpInfo as the generator reads."""

    def __init__(self, info, samples):
        self.name, self.variant_test_name, self.op, self.samples = info.name, "", info.op, samples

    def sample_inputs(self, *_, **__):
        return self.samples


class Collection:
    """Samples by operator, from one generator of random numbers."""

    def __init__(self, seed):
        self.samples, self.generator = {}, torch.Generator().manual_seed(seed)

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.generator)

    def weights(self, *shape):
        """Standard normal numbers that want a gradient."""
        return wants_gradient(self.normal(*shape))

    def uniform(self, *shape):
        return torch.rand(*shape, generator=self.generator)

    def add(self, operator, first, *args, **kwargs):
        self.samples.setdefault(operator, []).append(SampleInput(first, args=args, kwargs=kwargs))

    def operators(self):
        """One a name: the database's plain variant where it has several."""
        found = {}
        for info in op_db:
            if info.name in self.samples and (info.name not in found or info.variant_test_name == ""):
                found[info.name] = info
        missing = set(self.samples) - set(found)
        if missing:
            raise SystemExit("not in this PyTorch's operator database: %s" % ", ".join(sorted(missing)))
        return [Operator(info, self.samples[name]) for name, info in found.items()]


def wants_gradient(t):
    return t.clone().requires_grad_(True)
