"""Writes the pictures of spec/image_spec.lua and the grey values that they hold; needs numpy, pypng and Pillow.

    python3 spec/support/interop_images.py spec/fixtures/interop/png
"""
import os
import random
import sys

import numpy as np
import png
from PIL import Image

HEIGHT, WIDTH = 5, 11
folder = sys.argv[1]
values = {}


def luma(rgb):
    return 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]


def on_white(x, alpha):
    return x * alpha + 1 - alpha


def put(name, samples, grey, **options):
    """Samples are [height, width, channels]."""
    with open(os.path.join(folder, name + ".png"), "wb") as file:
        png.Writer(WIDTH, HEIGHT, **options).write(file, samples.reshape(HEIGHT, -1).tolist())
    values[name] = grey.astype("f4")


def noise(channels, values_of_a_sample):
    return np.array([random.randrange(values_of_a_sample) for _ in range(HEIGHT * WIDTH * channels)]).reshape(
        HEIGHT, WIDTH, channels)


def every_kind(suffix, interlace):
    for bits in (1, 2, 4, 8, 16):
        x = noise(1, 1 << bits)
        put("grey%d%s" % (bits, suffix), x, x[..., 0] / ((1 << bits) - 1), greyscale=True, bitdepth=bits,
            interlace=interlace)
    for bits in (8, 16):
        options, most = {"bitdepth": bits, "interlace": interlace}, (1 << bits) - 1
        x = noise(2, most + 1)
        put("alpha%d%s" % (bits, suffix), x, on_white(x[..., 0] / most, x[..., 1] / most), greyscale=True, alpha=True,
            **options)
        x = noise(3, most + 1)
        put("rgb%d%s" % (bits, suffix), x, luma(x / most), greyscale=False, **options)
        x = noise(4, most + 1)
        put("rgba%d%s" % (bits, suffix), x, on_white(luma(x / most), x[..., 3] / most), greyscale=False, alpha=True,
            **options)
    for bits in (1, 2, 4, 8):
        palette = [tuple(random.randrange(256) for _ in range(4)) for _ in range(min(1 << bits, 20))]
        x = noise(1, len(palette))
        colours = np.array(palette)[x[..., 0]] / 255
        put("palette%d%s" % (bits, suffix), x, on_white(luma(colours), colours[..., 3]), palette=palette,
            bitdepth=bits, interlace=interlace)


random.seed(1)
every_kind("", False)
every_kind("_interlaced", True)
x = noise(1, 4)
put("clear", x, np.where(x[..., 0] == 2, 1, x[..., 0] / 255), greyscale=True, bitdepth=8, transparent=2)
x = noise(3, 2)
put("clear_rgb", x, np.where((x == [1, 0, 1]).all(-1), 1, luma(x / 255)), greyscale=False, bitdepth=8,
    transparent=(1, 0, 1))

# Pillow chooses a filter for each row: 1 to 4 occur in the first picture.
rows, columns = np.mgrid[0:24, 0:24]
grey = ((np.sin(columns / 3) + np.cos(rows / 4) + 2) * 60 + columns * 2).astype("u1")
Image.fromarray(grey).save(os.path.join(folder, "filtered.png"), optimize=True)
values["filtered"] = (grey / 255).astype("f4")
rgb = np.stack([grey, grey.T, 255 - grey], -1)
Image.fromarray(rgb).save(os.path.join(folder, "filtered_rgb.png"))
values["filtered_rgb"] = luma(rgb / 255).astype("f4")

np.savez_compressed(os.path.join(folder, "values.npz"), **values)
print("%d pictures" % len(values))
