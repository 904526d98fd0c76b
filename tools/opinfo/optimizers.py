"""The set "optimizers": PyTorch's database of optimisers, optim_db. A case makes some steps on a small function."""
import torch
from torch.testing._internal.common_optimizers import optim_db
from torch.testing._internal.opinfo.core import SampleInput

from case import HANDLERS, Case, Inexpressible, boolean, handles, listed, number

PREFIX = "optim."
STEPS = 7
# PyTorch's names of options, and ours where they are others.
OPTIONS = {
    "SGD": {"lr": "lr", "momentum": "momentum", "weight_decay": "weight_decay", "nesterov": "nesterov",
            "dampening": "dampening", "maximize": "maximize"},
    "Adam": {"lr": "lr", "betas": "betas", "eps": "eps", "weight_decay": "weight_decay", "amsgrad": "amsgrad",
             "maximize": "maximize"},
    "RMSprop": {"lr": "lr", "alpha": "alpha", "eps": "eps", "weight_decay": "weight_decay", "momentum": "momentum",
                "centered": "centered", "maximize": "maximize"},
    "Adagrad": {"lr": "lr", "lr_decay": "lr_decay", "weight_decay": "weight_decay", "eps": "eps",
                "initial_accumulator_value": "initial_accumulator_value", "maximize": "maximize"},
}
OPTIONS["AdamW"] = OPTIONS["Adam"]


def word(value):
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, (tuple, list)):
        return listed(map(number, value))
    return number(float(value))


def optimizer(name):
    def handler(sample):
        words = []
        for theirs, value in sample.kwargs["options"].items():
            if theirs not in OPTIONS[name]:
                raise Inexpressible("%s: %s" % (name, theirs))
            words.append("%s = %s" % (OPTIONS[name][theirs], word(value)))
        if "lr" not in sample.kwargs["options"]:  # PyTorch's own may be another
            words.append("lr = %s" % number(sample.kwargs["lr"]))
        code = """(function()
  local w = lt.param(lt.clone(a))
  local o = optim.%s({w}, {%s})
  for _ = 1, %d do
    o:zero_grad()
    lt.sum(lt.mul(lt.sin(w), b)):backward()
    o:step()
  end
  return w:detach()
end)()""" % (name, ", ".join(words), STEPS)
        return Case(code, [sample.input, sample.args[0]], forward_only=True)
    return handler


for name in OPTIONS:
    handles(PREFIX + name)(optimizer(name))


def steps(made):
    def run(start, factors, options, lr):
        w = start.detach().clone().requires_grad_(True)
        given = {key: value.item() if torch.is_tensor(value) else value for key, value in options.items()}
        optimizer = made([w], **given)
        for _ in range(STEPS):
            optimizer.zero_grad()
            (w.sin() * factors).sum().backward()
            optimizer.step()
        return w.detach()
    return run


class Operator:
    """An optimiser as the writer reads an operator."""
    variant_test_name = ""

    def __init__(self, info):
        self.info, self.name, self.op = info, PREFIX + info.optim_cls.__name__, steps(info.optim_cls)

    def sample_inputs(self, device, dtype, requires_grad):
        generator, samples = torch.Generator().manual_seed(3), []
        for given in self.info.optim_inputs_func(device=device):
            lr = self.info.optim_cls([torch.nn.Parameter(torch.zeros(1))], **given.kwargs).param_groups[0]["lr"]
            samples.append(SampleInput(torch.randn(4, 5, generator=generator), args=(
                torch.randn(4, 5, generator=generator),), kwargs={"options": given.kwargs, "lr": float(lr)}))
        return samples


def operators():
    return [Operator(info) for info in optim_db if PREFIX + info.optim_cls.__name__ in HANDLERS]
