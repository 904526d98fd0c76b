"""What a sample of PyTorch becomes here: Lua code over the public API, or the reason why there is none.

An operator's handler takes a sample and returns a Case, or raises Inexpressible. Handlers are registered
by the names that PyTorch's operator database gives its operators.
"""
import math
from dataclasses import dataclass
from typing import Callable, Optional

import torch

HANDLERS = {}
NAMES = [letter + more for more in ("", "2") for letter in "abcdefghijklmnopqrstuvw"]  # of a case's tensors in Lua


class Inexpressible(Exception):
    """The public API has no way to say this; the text is the reason under which it is counted."""


class TooLarge(Exception):
    """The sample has more elements than this tool keeps; that says nothing of the API."""


def handles(*operators):
    """Registers a handler."""
    def register(handler):
        for operator in operators:
            HANDLERS[operator] = handler
        return handler
    return register


# ---- layouts: PyTorch's tensor as latent wants it ----

def same(t):
    return t


def channels_last(t):
    return t.movedim(1, -1) if t.dim() > 1 else t


def first_of_tuple(layout):
    """For operators that may return indices beside the values."""
    return lambda out: layout(out[0] if isinstance(out, tuple) else out)


# ---- cases ----

@dataclass
class Case:
    """A call in Lua. `inputs` are tensors, or pairs (tensor, layout); `output` is the result's layout. `instead` makes
    of PyTorch's operator another, for what is random: the code then gives what is not."""
    code: str
    inputs: list
    output: Callable = same
    note: Optional[str] = None  # how the call was adapted
    forward_only: bool = False
    instead: Callable = same

    def __post_init__(self):
        self.inputs = [x if isinstance(x, tuple) else (x, same) for x in self.inputs]
        if len(self.inputs) > len(NAMES):
            raise Inexpressible("more than %d tensors" % len(NAMES))
        for tensor, _ in self.inputs:
            if not torch.is_tensor(tensor):
                raise Inexpressible("Python numbers alone")
            if tensor.is_complex():
                raise Inexpressible("complex numbers")

    def names(self):
        return NAMES[:len(self.inputs)]


def arguments(sample, *names):
    """Positional and keyword arguments by name; others that are set cannot be expressed."""
    if len(sample.args) > len(names):
        raise Inexpressible("further arguments")
    values = dict(zip(names, sample.args))
    for name, value in sample.kwargs.items():
        if name not in names and value is not None:
            raise Inexpressible("argument %s" % name)
        values[name] = value
    return values


def refuse_if_set(operator, values, *names, but=()):
    """Arguments that latent lacks: expressible only where they are absent, false or in `but`."""
    for name in names:
        value = values.get(name)
        if torch.is_tensor(value) or (value and value not in but):
            raise Inexpressible("%s: %s" % (operator, name))


# ---- Lua literals ----

def number(value):
    if isinstance(value, (bool, complex)) or torch.is_tensor(value):
        raise Inexpressible("%s as a number" % type(value).__name__)
    if isinstance(value, int):
        return "(%d)" % value
    if math.isinf(value):
        return "(-math.huge)" if value < 0 else "math.huge"
    return "(0/0)" if math.isnan(value) else "(%r)" % value


def boolean(value):
    return "true" if value else "false"


def axis(dim):
    """An axis counted from 1; from the end as it is."""
    if not isinstance(dim, int):
        raise Inexpressible("an axis that is no number")
    return str(dim + 1 if dim >= 0 else dim)


def listed(items):
    return "{" + ", ".join(str(item) for item in items) + "}"


def axes(dims):
    return listed(axis(dim) for dim in dims)
