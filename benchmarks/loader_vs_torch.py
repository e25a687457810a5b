"""Compares the loader with a PyTorch DataLoader over the same JPEG files, and with what a training step needs.

One peer decodes and transforms with Pillow and torchvision (for `finetune` with timm), the other with torchvision's
decoder and its transforms of tensors. Both make the same crops as Tessera, by the same interpolation. The RandAugment of
tensors is torchvision's own with one operation an image, the mean of the others. `decode` only decodes. All run
alternately, with the same batch. Rates are images a second. By default each side loads on one thread, and its processor
time is counted. With --workers each side has so many threads or processes, the wall clock counts, and batches that were
made in advance are not counted.

With --step, the loader's rate per core is also divided by the pairs a second of benchmark_step with RILS's ViT-S/16. The
gate is shut then, so the step is short and needs the most.

    python benchmarks/loader_vs_torch.py build/release/bin/benchmark_loader IMAGES [--rounds 7] [--seconds 2] \\
        [--step build/release/bin/benchmark_step apps/configs/rils_vitb16.toml | --step-rate PAIRS_PER_SECOND]
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import InterpolationMode, v2

from alternate import Served, finetuning_transform, spread

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BILINEAR, BICUBIC = InterpolationMode.BILINEAR, InterpolationMode.BICUBIC
TRANSFORMS = ["decode", "eval", "train", "finetune"]


def geometry(name, size):
    """Of Tessera's default configurations."""
    return {
        "decode": lambda: [],
        "eval": lambda: [v2.Resize(size, BILINEAR, antialias=True), v2.CenterCrop(size)],
        "train": lambda: [v2.RandomResizedCrop(size, (0.5, 1.0), interpolation=BILINEAR, antialias=True)],
        "finetune": lambda: [v2.RandomResizedCrop(size, (0.08, 1.0), interpolation=BICUBIC, antialias=True),
                             v2.RandomHorizontalFlip(), v2.RandAugment(1, 9)],
    }[name]()


class PillowImages(torch.utils.data.Dataset):
    name = "Pillow"

    def __init__(self, files, transform, size):
        self.files = files
        to_values = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
        self.transform = v2.Compose([*geometry(transform, size), *to_values])
        if transform == "finetune":
            self.transform = finetuning_transform(size)
        if transform == "decode":
            self.transform = lambda image: image.size

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.transform(Image.open(self.files[index]).convert("RGB"))


class TensorImages(PillowImages):
    name = "torchvision"

    def __init__(self, files, transform, size):
        self.files = files
        erase = [v2.RandomErasing(0.25)] if transform == "finetune" else []
        to_values = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
        self.transform = v2.Compose([*geometry(transform, size), *to_values, *erase])
        if transform == "decode":
            self.transform = lambda image: image.shape[1:]

    def __getitem__(self, index):
        return self.transform(decode_jpeg(read_file(self.files[index]), mode=ImageReadMode.RGB))


class Stream:
    """An endless stream of batches."""

    def __init__(self, images, batch, workers):
        endless = torch.utils.data.RandomSampler(images, replacement=True, num_samples=1 << 40)
        loader = torch.utils.data.DataLoader(images, batch, sampler=endless, num_workers=workers)
        self.batches, self.batch = iter(loader), batch
        self.ahead = 2 * workers
        self.clock = time.perf_counter if workers else time.process_time
        next(self.batches)

    def rate(self, least):
        for _ in range(self.ahead):
            next(self.batches)
        start, seconds, images = self.clock(), 0.0, 0
        while seconds < least:
            next(self.batches)
            images += self.batch
            seconds = self.clock() - start
        return images / seconds


def compare(a, served, files, transform):
    """Prints a row for each peer. Returns the median of Tessera's rate per core."""
    peers = {kind.name: Stream(kind(files, transform, a.size), a.batch, a.workers) for kind in (PillowImages, TensorImages)}
    served.ask(transform, 0)  # builds the stream
    mine, per_core, other = [], [], {name: [] for name in peers}
    for _ in range(a.rounds):
        wall, core = served.ask(transform, a.seconds)
        mine.append(wall if a.workers else core)
        per_core.append(core)
        for name, peer in peers.items():
            other[name].append(peer.rate(a.seconds))
    for name, rates in other.items():
        ratios = [m / r for m, r in zip(mine, rates)]
        print(f"{transform:<10}{name:<13}{statistics.median(mine):>9.0f}{statistics.median(rates):>10.0f}   {spread(ratios)}",
              flush=True)
    return statistics.median(per_core)


def step_rate(program, config, batch):
    """Pairs a second of a pre-training step with ViT-S/16, on all cores."""
    text = pathlib.Path(config).read_text().replace("= 768", "= 384").replace("heads = 12", "heads = 6")
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        served = Served(program, file.name, "--batch", batch, "--ranks", 1, "--precision", "fp32",
                        "--vocabulary", 49408)
        seconds = [served.ask(1)[0] for _ in range(3)]
        served.close()
    return batch / statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("images", type=pathlib.Path, help="folder of JPEGs")
    parser.add_argument("--transforms", nargs="+", choices=TRANSFORMS, default=TRANSFORMS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="shortest length of one measurement")
    parser.add_argument("--step", nargs=2, metavar=("PROGRAM", "CONFIG"), help="benchmark_step and rils_vitb16.toml")
    parser.add_argument("--step-batch", type=int, default=16)
    parser.add_argument("--step-rate", type=float, help="pairs a second, instead of --step")
    a = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    need = step_rate(*a.step, a.step_batch) if a.step else a.step_rate
    files = [str(path) for path in sorted(a.images.glob("*.jpg"))]
    served = Served(a.program, a.images, "--serve", "--size", a.size, "--batch", a.batch, "--workers", a.workers)
    print(f"{len(files)} images, {a.size} pixels, batch {a.batch}, {a.workers} workers, PyTorch {torch.__version__}")
    print(f"{'transform':<10}{'peer':<13}{'Tessera':>9}{'PyTorch':>10}   Tessera / PyTorch")
    rates = {transform: compare(a, served, files, transform) for transform in a.transforms}
    if need and "train" in rates:
        print(f"a step of ViT-S/16 takes {need:.2f} pairs/s, one core loads {rates['train']:.0f}: {rates['train'] / need:.1f} times")


if __name__ == "__main__":
    main()
