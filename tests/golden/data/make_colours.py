"""Makes colour.safetensors: results of torchvision's colour operations and Pillow's GaussianBlur on small images.

Needs torch, torchvision, pillow, numpy and safetensors. Takes about 1 s.
"""

import json

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageFilter
from safetensors.numpy import save_file
from torchvision import transforms
from torchvision.transforms import functional as F

from make_images import HERE, picture

OPERATIONS = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
    "grey": lambda image, _: F.rgb_to_grayscale(image, num_output_channels=3),
    "blur": lambda image, sigma: image.filter(ImageFilter.GaussianBlur(radius=sigma)),
}
FACTORS = {
    "brightness": (0.0, 0.6, 0.93, 1.0, 1.37, 2.5),
    "contrast": (0.0, 0.6, 0.93, 1.0, 1.37, 2.5),
    "saturation": (0.0, 0.6, 0.93, 1.0, 1.37, 2.5),
    "hue": (-0.5, -0.1, -0.003, 0.0, 0.0421, 0.1, 0.5),
    "grey": (0.0,),
    "blur": (0.1, 0.25, 0.5, 0.777, 1.0, 1.5, 2.0, 9.0),
}


def main():
    rng = np.random.default_rng(3)
    sources = {
        "plain": picture(29, 21, 1),
        "noise": rng.integers(0, 256, (40, 48, 3), dtype=np.uint8),
        # A few levels give greys, ties of the largest channel, and saturation 0 and 255.
        "coarse": (rng.integers(0, 3, (16, 24, 3)) * 127).astype(np.uint8),
        "row": picture(7, 1, 2),
    }
    tensors = {f"source.{name}": array for name, array in sources.items()}
    cases, chains = [], []
    for operation, factors in FACTORS.items():
        for source, array in sources.items():
            for factor in factors:
                key = f"{operation}.{len(cases)}"
                cases.append({"key": key, "operation": operation, "source": source, "factor": factor})
                tensors[key] = np.asarray(OPERATIONS[operation](Image.fromarray(array), factor))
    # The loop of ColorJitter, in its order and with the factors that it drew.
    jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    torch.manual_seed(5)
    for _ in range(6):
        order, *drawn = jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        image = Image.fromarray(sources["plain"])
        for index in order.tolist():
            image = list(OPERATIONS.values())[index](image, drawn[index])
        key = f"chain.{len(chains)}"
        chains.append({"key": key, "order": order.tolist(), "factors": drawn})
        tensors[key] = np.asarray(image)
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, HERE / "colour.safetensors",
              {"torchvision": torchvision.__version__, "pillow": PIL.__version__, "made_by": "make_colours.py",
               "cases": json.dumps(cases), "chains": json.dumps(chains)})
    print(f"colour: {len(tensors)} arrays, {(HERE / 'colour.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
