"""Makes JPEGs of a photograph's usual size from small ones: 500 pixels on the longer side, quality 90.

Enlarged pictures are smooth, so their files would be small and fast to decode. Normal noise, the same for all three
channels, brings a file to about 80 kB.

    python benchmarks/photographs.py flickr8k/images photographs [--count 400]
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

SIZE, QUALITY, NOISE = (500, 375), 90, 10.0  # pixels, percent, std in grey levels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=400)
    a = parser.parse_args()
    a.out.mkdir(parents=True)
    random = np.random.default_rng(0)
    for path in sorted(a.source.glob("*.jpg"))[:a.count]:
        large = Image.open(path).convert("RGB").resize(SIZE, Image.BICUBIC)
        noisy = np.asarray(large) + NOISE * random.standard_normal((SIZE[1], SIZE[0], 1))
        Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)).save(a.out / path.name, quality=QUALITY)


if __name__ == "__main__":
    main()
