"""Writes the golden file of the image operations: each operation of timm's increasing set at given magnitudes and signs.

    python make_augment.py

Needs torch, timm, Pillow, safetensors. Files hold images as uint8 [height, width, 3].
"""

import pathlib
import random

import numpy
import PIL
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import auto_augment

HERE = pathlib.Path(__file__).resolve().parent
FILL = (124, 116, 104)


def pictures():
    rng = numpy.random.default_rng(4)
    y, x = numpy.mgrid[0:21, 0:26]
    smooth = numpy.stack([9 * x + 2 * y, 200 - 7 * y + x, 60 + 5 * x * (y % 5)], -1) + rng.integers(-9, 10, (21, 26, 3))
    noise = rng.integers(0, 256, (16, 16, 3))
    # One channel constant, one of two values, one narrow.
    flat = numpy.stack([numpy.full((9, 11), 77), 40 + 30 * (rng.random((9, 11)) < 0.3), rng.integers(90, 99, (9, 11))], -1)
    return {"smooth": smooth, "noise": noise, "flat": flat}


def main():
    out = {}
    real = random.random
    for name, values in pictures().items():
        array = values.clip(0, 255).astype(numpy.uint8)
        out[f"{name}.input"] = torch.from_numpy(array.copy())
        for op in auto_augment._RAND_INCREASING_TRANSFORMS:
            signed = auto_augment.LEVEL_TO_ARG[op] is not None and "Poster" not in op and "Solar" not in op
            levels = (None,) if auto_augment.LEVEL_TO_ARG[op] is None else (0.0, 3.7, 9.0, 10.0)
            for level in levels:
                if op == "PosterizeIncreasing" and level == 10.0:
                    continue  # Pillow 13 refuses 0 bits; earlier versions and our code give black
                for negative in (False, True) if signed else (False,):
                    # With prob=1.0 the first draw always applies the operation; the second gives the sign.
                    random.random = lambda: 0.9 if negative else 0.1
                    apply = auto_augment.AugmentOp(op, prob=1.0, magnitude=level or 0.0, hparams=dict(
                        img_mean=FILL, interpolation=Image.BICUBIC))
                    result = numpy.asarray(apply(Image.fromarray(array)))
                    key = f"{name}.{op}.{0.0 if level is None else level}.{int(negative)}"
                    out[key] = torch.from_numpy(result.copy())
    random.random = real
    # Rotations by quarter turns and by large angles, which the set does not have.
    for degrees in (90, 180, 270, -45, 123.4):
        for name in ("noise", "smooth"):
            picture = Image.fromarray(out[f"{name}.input"].numpy())
            turned = picture.rotate(degrees, resample=Image.BICUBIC, fillcolor=FILL)
            out[f"{name}.turn.{degrees}"] = torch.from_numpy(numpy.asarray(turned).copy())
    path = HERE / "augment.safetensors"
    save_file(out, path, metadata={"made_by": f"make_augment.py, timm {timm.__version__}, Pillow {PIL.__version__}"})
    path.chmod(0o644)
    print(f"{path.name}: {len(out)} tensors, {path.stat().st_size / 1000:.0f} kB")


main()
