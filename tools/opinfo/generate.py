"""Writes samples of PyTorch's operator database that latent's public API can express, with the values and
gradients that PyTorch computes in double precision:  generate.py --out FOLDER SET...

The sets are "sample" and "reference" (the database's own), "extra" and "fuzz" (inputs of ours), "modules" and
"optimizers" (PyTorch's databases of layers and of optimisers). A set becomes
    SET.json               a list of samples: op, case, desc; and either `no` (why it is inexpressible), or
                           `gen_error` (PyTorch raised), or `large` (too large to keep), or code, y and grads (names of arrays and inputs)
    SET_OP.npz             the inputs CASE_a, CASE_b and so on in latent's layouts, and CASE_dy, the output's gradient
    SET_OP.lua             a list of {id, ins, grads, dy, f}: f(lt, nn, x4, inputs...) is the call, which sees latent.linalg,
                           latent.fft and latent.optim as `linalg`, `fft` and `optim`
    SET_OP.expect.npz      CASE_y, CASE_gNAME, in double precision; CASE_y32, CASE_gNAME32 by PyTorch's float32
    SET.stamp              last: what the set was made by. Where it still holds, nothing is done.
"""
import argparse
import hashlib
import importlib.util
import os
import sys
import types
import unittest
import warnings

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
NO_MODULE = 3  # the exit status then, known to main.lua
SETS = ("sample", "reference", "extra", "fuzz", "modules", "optimizers")


def stamp():
    """What the cases depend on: these sources, PyTorch, NumPy."""
    digest = hashlib.sha256()
    for name in sorted(os.listdir(HERE)):
        if name.endswith(".py"):
            with open(os.path.join(HERE, name), "rb") as file:
                digest.update(file.read())
    return "%s\nPyTorch %s, NumPy %s\n" % (digest.hexdigest(), torch.__version__, numpy.__version__)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def stand_in():
    """PyTorch's test cases derive from expecttest's, a package that samples have no use for."""
    if "expecttest" not in sys.modules and importlib.util.find_spec("expecttest") is None:
        module = types.ModuleType("expecttest")
        module.TestCase, module.ACCEPT = unittest.TestCase, False
        sys.modules["expecttest"] = module


def load_writer():
    """Late: it takes seconds, and most runs find their cases written."""
    stand_in()
    try:
        from writing import write_set
    except ModuleNotFoundError as error:
        if os.path.exists(os.path.join(HERE, error.name + ".py")):
            raise
        print("PyTorch's operator database wants the module %s" % error.name, flush=True)
        sys.exit(NO_MODULE)
    return write_set


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("sets", nargs="+", choices=SETS)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    print("PyTorch %s" % torch.__version__)
    now = stamp()
    for name in options.sets:
        path = os.path.join(options.out, name + ".stamp")
        if read(path) == now:
            continue
        print("writing the cases of %s" % name, flush=True)
        load_writer()(name, options.out)
        with open(path, "w", encoding="utf-8") as file:
            file.write(now)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    main()
