"""The other side of spec/interop_spec.lua: what NumPy and PyTorch write, and whether they take what we write.

    python3 spec/support/interop.py fixtures spec/fixtures/interop   writes the fixtures anew
    python3 spec/support/interop.py write FOLDER                     states of the models, with inputs and outputs
    python3 spec/support/interop.py check FOLDER                     loads our states, compares outputs
"""
import collections
import os
import pickle
import sys
import zipfile

import numpy as np
import torch
import torch.nn as nn


class Autoencoder(nn.Module):
    """exercises/models.lua, layer by layer; images are [batch, channels, height, width] here."""

    def __init__(self):
        super().__init__()

        def block(inputs, outputs, pool):
            return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(pool)]

        def up(inputs, outputs, scale):
            return [nn.Upsample(scale_factor=scale), nn.ConvTranspose2d(inputs, outputs, 3, padding=1), nn.ReLU()]

        self.encoder = nn.Sequential(*block(1, 16, 2), *block(16, 16, 2), *block(16, 16, 2), *block(16, 16, 2),
                                     *block(16, 1, (1, 2)), nn.Flatten())
        self.decoder = nn.Sequential(nn.Unflatten(1, (1, 2, 1)), *up(1, 16, (1, 2)), *up(16, 16, 2), *up(16, 16, 2),
                                     *up(16, 16, 2), *up(16, 1, 2)[:-1])

    def forward(self, x):
        return self.decoder(self.encoder(x))


def mixed():
    """Each layer whose arrays are laid out differently: maps are not square, so that no mistake is hidden."""
    return nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), stride=2, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.LayerNorm(36),
        nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 18), nn.Unflatten(1, (3, 2, 3)),
        nn.ConvTranspose2d(3, 2, (3, 2), stride=2, padding=1, output_padding=1))


MODELS = {"ae": (Autoencoder, (3, 1, 32, 32)), "mixed": (mixed, (3, 2, 5, 6))}


def randomise(model):
    """Values that no two layers share: biases and running statistics start as constants."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
                for array in [module.weight, module.bias]:
                    array.copy_(torch.randn(array.shape))
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(torch.randn(3))
                module.running_var.copy_(torch.rand(3) + 0.5)
                module.num_batches_tracked.fill_(7)
    return model.eval()


def channels_last(x):
    return np.ascontiguousarray(x.detach().permute(0, 2, 3, 1).numpy())


def write_models(folder, seed):
    torch.manual_seed(seed)
    for name, (make, shape) in MODELS.items():
        model, x = randomise(make()), torch.randn(shape)
        torch.save(model.state_dict(), os.path.join(folder, name + ".pt"))
        np.savez(os.path.join(folder, name + "_values.npz"), x=channels_last(x), y=channels_last(model(x)))
        try:
            from safetensors.torch import save_file
            save_file(model.state_dict(), os.path.join(folder, name + ".safetensors"))
        except ImportError:
            pass


def load_states(folder, name):
    yield "pt", torch.load(os.path.join(folder, name + ".pt"), weights_only=True)
    try:
        from safetensors.torch import load_file
        yield "safetensors", load_file(os.path.join(folder, name + ".safetensors"))
    except ImportError:
        print("%s: no safetensors in this Python" % name)


def check_models(folder):
    for name, (make, _) in MODELS.items():
        values = np.load(os.path.join(folder, name + "_values.npz"))
        x = torch.from_numpy(values["x"]).permute(0, 3, 1, 2)
        for kind, state in load_states(folder, name):
            model = make().eval()
            model.load_state_dict(state, strict=True)
            error = np.abs(channels_last(model(x)) - values["y"]).max() / np.abs(values["y"]).max()
            print("%s.%s: error %.1e: %s" % (name, kind, error, "good" if error <= 1e-5 else "BAD"))


def arrays():
    """Every dtype that is read, at its ends, in both orders."""
    out = {}
    for dtype in "b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split():
        if dtype[0] in "iu":
            least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
            x = np.array([[least, 0, 1], [most, most // 3, 7]], dtype)
        else:
            x = np.array([[0, 1, 1], [1, 0, 1]] if dtype == "b1" else [[0.1, -2.5, 6e4], [1e-7, np.inf, 0]], dtype)
        out["c_" + dtype], out["f_" + dtype] = x, np.asfortranarray(x)
    out["scalar"], out["empty"] = np.float32(2.5), np.zeros((0, 3), "f4")
    out["cube"] = np.asfortranarray(np.arange(24, dtype="f4").reshape(2, 3, 4))
    out["ties"] = np.array([2**60 + 2**36 + d for d in (-1, 0, 1)] + [-2**60 - 2**36 - 1], "i8")
    return out


def write_arrays(folder):
    def at(name):
        return os.path.join(folder, name)

    every = arrays()
    np.savez(at("arrays.npz"), **every)
    np.savez_compressed(at("arrays_packed.npz"), **every)
    # What NumPy itself makes of them as float32.
    np.savez_compressed(at("arrays_float32.npz"), **{k: np.ascontiguousarray(v).astype("f4").reshape(np.shape(v))
                                                     for k, v in every.items()})
    np.save(at("f_f8.npy"), every["f_f8"])
    for version in (2, 3):
        with open(at("version%d.npy" % version), "wb") as file:
            np.lib.format.write_array(file, np.arange(5, dtype="f4"), version=(version, 0))
    np.save(at("big_endian.npy"), np.arange(3, dtype=">i4"))
    for name, x in {"complex": np.zeros(2, complex), "object": np.array([{}], object), "text": np.array(["abc"]),
                    "structured": np.zeros(2, [("a", "f4"), ("b", "i4")])}.items():
        np.save(at("refused_%s.npy" % name), x)


def checkpoint():
    base = torch.arange(24, dtype=torch.float32)
    views = {
        "whole": base.reshape(4, 6), "transposed": base.reshape(4, 6).t(),
        "permuted": base.reshape(2, 3, 4).permute(2, 0, 1),
        "steps": base.reshape(4, 6)[::2, 1:4], "columns": base.reshape(4, 6)[:, 2], "tail": base[20:],
        "expanded": base[:3].expand(2, 3), "window": base.as_strided((3, 4), (1, 2)), "scalar": base[5],
        "nothing": base[:0].reshape(0, 6), "bytes": torch.tensor([[1, 2], [3, 255]], dtype=torch.uint8).t(),
    }
    dtypes = {str(t)[6:]: torch.tensor([0, 1, 2], dtype=t) for t in (torch.float64, torch.float16, torch.bfloat16,
              torch.int64, torch.int32, torch.int16, torch.int8, torch.bool)}
    return {"state_dict": collections.OrderedDict(views), "dtypes": dtypes, "parameter": nn.Parameter(torch.ones(2)),
            "epoch": 3, "lr": 0.25, "big": 2**40, "huge": 2**70, "minus": -5, "done": False, "name": "Ä",
            "nothing": None, "betas": (0.9, 0.999), "list": [1, None, "x", [], {}], "set": {1, 2}, 7: "seven",
            "size": torch.Size([2, 3])}, views


def write_checkpoints(folder):
    def at(name):
        return os.path.join(folder, name)

    values, views = checkpoint()
    for protocol in (2, 3, 4, 5):
        torch.save(values, at("checkpoint%d.pt" % protocol), pickle_protocol=protocol)
    np.savez(at("checkpoint_values.npz"), **{k: v.numpy() for k, v in views.items()})
    torch.save(views, at("refused_old.pt"), _use_new_zipfile_serialization=False)
    torch.save(nn.Linear(1, 1), at("refused_model.pt"))
    # What a hostile file would try; nothing here may run it.
    with zipfile.ZipFile(at("refused_call.pt"), "w") as archive:
        class Call:
            def __reduce__(self):
                return os.system, ("echo this must never run",)
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": Call()}, 2))
        archive.writestr("archive/version", "3\n")


if __name__ == "__main__":
    command, folder = sys.argv[1:3]
    if command == "fixtures":
        write_models(folder, 3)
        write_arrays(folder)
        write_checkpoints(folder)
    elif command == "write":
        write_models(folder, 4)
    elif command == "check":
        check_models(folder)
    print("torch %s, numpy %s" % (torch.__version__, np.__version__))
