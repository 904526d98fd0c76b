"""Evaluates samples in PyTorch and writes a set's files; generate.py tells what they hold."""
import importlib
import json
import os
import random

import numpy
import torch
from torch.testing._internal.common_methods_invocations import op_db

import extra
import fuzz
import modules
import optimizers
from case import HANDLERS, Inexpressible, TooLarge

for module in ("elementwise", "layers", "losses", "ordering", "places", "products", "reductions", "shaping"):
    importlib.import_module(module)  # they register their handlers

LARGEST = 100000  # elements of an input
MAX_AXES = 8  # of a tensor in latent
OF_LABELS = ("nn.functional.one_hot", "bincount")  # of whole numbers alone
# Variants of an operator that are the same to its caller.
SKIPPED = ("triton_optimized", "complex", "without_cudnn")


# ---- one sample in PyTorch ----

def map_tensors(value, f):
    """The same nest of lists, tuples and tables with f of each tensor, and of the type float32."""
    if torch.is_tensor(value) or value is torch.float32:
        return f(value)
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(map_tensors(item, f) for item in value)
    if isinstance(value, dict):
        return {key: map_tensors(item, f) for key, item in value.items()}
    return value


def of_tensors(f):
    """f, which leaves types as they are."""
    return lambda value: f(value) if torch.is_tensor(value) else value


def describe(sample):
    parts = map_tensors((sample.input, sample.args, sample.kwargs), of_tensors(lambda t: ("T",) + tuple(t.shape)))
    return " ".join(str(parts).split())[:300]


def wants(t):
    return t.is_floating_point() and t.requires_grad


class Evaluation:
    """The operator on copies of a sample's tensors in one real type."""

    def __init__(self, operator, sample, case, dtype):
        self.case, self.dtype, self.copies = case, dtype, {}
        arguments = map_tensors((sample.input, tuple(sample.args), sample.kwargs), self.copy)
        torch.set_default_dtype(dtype)
        try:
            self.y = case.output(case.instead(operator)(arguments[0], *arguments[1], **arguments[2]))
        finally:
            torch.set_default_dtype(torch.float32)

    def copy(self, t):
        """In the type of this evaluation, which stands for the sample's own, float32, also where that is named."""
        if not torch.is_tensor(t):
            return self.dtype
        if id(t) not in self.copies:
            c = t.detach().float().to(self.dtype) if t.is_floating_point() else t.detach()
            self.copies[id(t)] = c.clone().contiguous().requires_grad_(wants(t))
        return self.copies[id(t)]

    def gradients(self, dy):
        """By the name of the input, in latent's layout."""
        named = [(name, self.copy(t), layout) for name, (t, layout) in zip(self.case.names(), self.case.inputs)
                 if wants(t)]
        found = torch.autograd.grad(self.y, [leaf for _, leaf, _ in named], dy.to(self.dtype), allow_unused=True)
        return {name: layout(torch.zeros_like(leaf) if g is None else g)
                for (name, leaf, layout), g in zip(named, found)}


def array(t):
    """Some gradients of zero have no memory that NumPy could see."""
    return numpy.zeros(t.shape, numpy.float32) if t._is_zerotensor() else numpy.array(t.detach().resolve_neg())


class Operator:
    """The files of one operator as they grow."""

    def __init__(self, info, tag):
        self.info, self.tag = info, tag
        self.inputs, self.expected, self.lua = {}, {}, []

    def add(self, index, sample, entry):
        """Adds a sample; its entry of SET.json gets what became of it."""
        number = entry["case"]
        check_size(sample)
        case = HANDLERS[self.info.name](sample)
        if case.note:
            entry["note"] = case.note
        tensors = [t for t, _ in case.inputs]
        if len({id(t) for t in tensors}) < len(tensors):
            raise Inexpressible("the same tensor twice")
        try:
            exact = Evaluation(self.info.op, sample, case, torch.float64)
            # PyTorch's own float32 tells which errors are those of rounding.
            single = Evaluation(self.info.op, sample, case, torch.float32)
            differentiable = exact.y.requires_grad and not case.forward_only
            dy = torch.randn(exact.y.shape, generator=torch.Generator().manual_seed(index))
            self.expect(number, exact, single, dy if differentiable else None)
        except Inexpressible:
            raise
        except Exception as error:  # whatever an operator raises
            entry["gen_error"] = repr(error)[:300]
            return
        for name, (t, layout) in zip(case.names(), case.inputs):
            self.inputs["%s_%s" % (number, name)] = array(layout(t.detach()).float())
        if differentiable:
            self.inputs[number + "_dy"] = array(dy)
        entry.update(y=number + "_y", code=case.code, grads=[
            name for name, t in zip(case.names(), tensors) if differentiable and wants(t)])
        self.lua.append(lua_case(number, case, entry["grads"], differentiable))

    def expect(self, number, exact, single, dy):
        if exact.y.is_complex():
            raise Inexpressible("complex numbers")
        arrays = {"_y": exact.y.double(), "_y32": single.y}
        if dy is not None:
            for evaluation, suffix in ((exact, ""), (single, "32")):
                for name, g in evaluation.gradients(dy).items():
                    arrays["_g" + name + suffix] = g
        self.expected.update({number + name: array(t) for name, t in arrays.items()})

    def write(self, prefix):
        numpy.savez(prefix + ".npz", **self.inputs)
        numpy.savez(prefix + ".expect.npz", **self.expected)
        with open(prefix + ".lua", "w", encoding="utf-8") as file:
            file.write("return {\n%s}\n" % "".join(self.lua))


def check_size(sample):
    def check(t):
        if t.is_complex():
            raise Inexpressible("complex numbers")
        if t.numel() > LARGEST:
            raise TooLarge
        if t.dim() > MAX_AXES:
            raise Inexpressible("more than %d axes" % MAX_AXES)
    map_tensors((sample.input, sample.args, sample.kwargs), of_tensors(check))


def lua_case(number, case, grads, differentiable):
    names = case.names()

    def flag(value):
        return "true" if value else "false"
    return '{id = "%s", ins = {%s}, grads = {%s}, dy = %s,\n  f = function(%s) return %s end},\n' % (
        number, ", ".join('"%s"' % name for name in names), ", ".join(flag(name in grads) for name in names),
        flag(differentiable), ", ".join(["lt", "nn", "x4", *names]), case.code)


# ---- a set ----

def samples_of(info, reference):
    """With gradients where the operator takes such inputs; none, and why, where PyTorch cannot make any."""
    make = info.reference_inputs if reference else info.sample_inputs
    if info.name in OF_LABELS:
        return list(make("cpu", torch.int64, requires_grad=False)), None
    for gradients in (True, False):
        try:
            return list(make("cpu", torch.float32, requires_grad=gradients)), None
        except Exception as error:  # whatever a function of the database raises
            reason = repr(error)[:300]
    return [], reason


OWN = {"extra": extra, "fuzz": fuzz, "modules": modules, "optimizers": optimizers}


def operators_of(name):
    if name in OWN:
        return OWN[name].operators()
    return [info for info in op_db if info.name in HANDLERS and info.variant_test_name not in SKIPPED]


def remove_old(folder, name):
    for file in os.listdir(folder):
        if file.startswith((name + "_", name + ".")):
            os.remove(os.path.join(folder, file))


def write_set(name, folder):
    remove_old(folder, name)
    entries = []
    for info in operators_of(name):
        # The same samples whatever came before.
        torch.manual_seed(0)
        numpy.random.seed(0)
        random.seed(0)
        tag = (info.name + ("." + info.variant_test_name if info.variant_test_name else "")).replace(" ", "_")
        operator = Operator(info, tag)
        samples, reason = samples_of(info, name == "reference")
        if reason:
            entries.append({"op": tag, "case": "none", "desc": "all samples", "gen_error": reason})
        for index, sample in enumerate(samples):
            entry = {"op": tag, "case": "%04d" % index, "desc": describe(sample)}
            entries.append(entry)
            try:
                operator.add(index, sample, entry)
            except Inexpressible as reason:
                entry["no"] = str(reason)
            except TooLarge:
                entry["large"] = True
        operator.write(os.path.join(folder, "%s_%s" % (name, tag)))
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
        json.dump(entries, file)
