"""Compares `query embed`, `evaluate knn` and `finetune` on ViT-B/16 with open_clip and timm under PyTorch, in fp32.

**Features.** open_clip's ViT-B-16 with random weights is converted by `inspect checkpoint --convert`, so both sides have
the same model; the largest difference of their features is printed. Both decode the same JPEGs. PyTorch does so in a
DataLoader with 0, 1 or 2 workers, whichever is the fastest before the rounds. Programs are timed as whole processes. To
exclude start-up, each side runs over few and over many images, and a rate is the difference in images divided by the
difference in seconds.

**Fine-tuning.** Steps of the default recipe (AdamW with layer decay, mixup and cutmix, label smoothing, drop path,
RandAugment, erasing) from random weights, decoding included, with two workers on either side. Our rate is the batch
divided by `batch_time` in metrics.jsonl. The first step of a run, which waits for the loader, is left out on both sides.

Both sides run alternately; medians and the range of the ratios of neighbours are printed.

    python benchmarks/programs_vs_torch.py build/release/apps IMAGES [--tasks features finetune] [--threads 2] [--rounds 5] \\
        [--few 32] [--many 128] [--steps 2]
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

import numpy as np
import open_clip
import timm
import timm.data
import timm.loss
import timm.optim
import torch
from safetensors.torch import save_file
from torchvision.datasets import ImageFolder

from alternate import finetuning_transform, spread

CLASSES = ("a", "b")
BATCH = 32


def put(files, folder):
    """Copies files into the folders of two classes."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for i, path in enumerate(files):
        shutil.copy(path, folder / CLASSES[i % 2])


class Programs:
    """Runs our programs."""

    def __init__(self, apps, work, threads):
        self.apps, self.work = apps, work
        self.environment = dict(os.environ, TESSERA_THREADS=str(threads))

    def seconds(self, name, *words):
        start = time.perf_counter()
        done = subprocess.run([self.apps / name, *map(str, words)], capture_output=True, text=True, env=self.environment)
        if done.returncode != 0:
            raise SystemExit(f"{name}: {done.stderr}")
        return time.perf_counter() - start

    def convert(self, model):
        folder = self.work / "open_clip"
        folder.mkdir()
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
        configs = {"model_cfg": open_clip.get_model_config("ViT-B-16"), "preprocess_cfg": model.visual.preprocess_cfg}
        (folder / "open_clip_config.json").write_text(json.dumps(configs))
        self.checkpoint = self.work / "vitb16.safetensors"
        self.seconds("inspect", "checkpoint", folder, "--convert", self.checkpoint, "--vocabulary",
                     open_clip.tokenizer.default_bpe())
        shutil.rmtree(folder)

    def embed(self, images):
        return self.seconds("query", "embed", images, "--checkpoint", self.checkpoint, "--out", self.work / "embedded",
                            "--device", "cpu")

    def embedded(self):
        """The features of the last call, by the names of files."""
        names = (self.work / "embedded.images.txt").read_text().splitlines()
        return dict(zip((pathlib.Path(name).name for name in names), np.load(self.work / "embedded.images.npy")))

    def knn(self, images):
        return self.seconds("evaluate", "knn", "--checkpoint", self.checkpoint, "--data", images, "--train-data",
                            self.work / "voters", "--k", 1, "--output", self.work / "knn.json", "--device", "cpu")

    def finetune(self, data):
        run = self.work / "run"
        self.seconds("finetune", "--data-path", data, "--batch-size", BATCH, "--epochs", 1, "--num-workers", 2,
                     "--log-every-n-steps", 1, "--output-dir", run, "--device", "cpu")
        steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        shutil.rmtree(run)
        return BATCH / statistics.mean(step["batch_time"] for step in steps[1:])


class OpenClip:
    def __init__(self):
        self.model, _, self.transform = open_clip.create_model_and_transforms("ViT-B-16")
        self.model.eval()

    def features(self, folder, workers=0):
        data = ImageFolder(folder, self.transform)
        loader = torch.utils.data.DataLoader(data, BATCH, num_workers=workers)
        with torch.inference_mode():
            rows = torch.cat([self.model.encode_image(images, normalize=True) for images, _ in loader]).numpy()
        return dict(zip((pathlib.Path(path).name for path, _ in data.samples), rows))

    def seconds(self, folder, workers):
        start = time.perf_counter()
        self.features(folder, workers)
        return time.perf_counter() - start


class Timm:
    """Fine-tuning with MAE's recipe."""

    def __init__(self, data):
        self.model = timm.create_model("vit_base_patch16_224", num_classes=len(CLASSES), global_pool="avg", drop_path_rate=0.1)
        self.optimizer = timm.optim.create_optimizer_v2(self.model.train(), "adamw", lr=1e-4, weight_decay=0.05,
                                                        layer_decay=0.65, fused=True)
        self.mixup = timm.data.Mixup(0.8, 1.0, label_smoothing=0.1, num_classes=len(CLASSES))
        images = ImageFolder(data, finetuning_transform(224))
        endless = torch.utils.data.RandomSampler(images, replacement=True, num_samples=1 << 40)
        self.batches = iter(torch.utils.data.DataLoader(images, BATCH, sampler=endless, num_workers=2))

    def rate(self, steps):
        start = time.perf_counter()
        for _ in range(steps):
            images, targets = self.mixup(*next(self.batches))
            self.optimizer.zero_grad(set_to_none=True)
            timm.loss.SoftTargetCrossEntropy()(self.model(images), targets).backward()
            self.optimizer.step()
        return BATCH * steps / (time.perf_counter() - start)


def compare_features(a, files, programs):
    theirs = OpenClip()
    programs.convert(theirs.model)
    few, many = programs.work / "few", programs.work / "many"
    put(files[:a.few], few)
    put(files[:a.many], many)
    put(files[:2], programs.work / "voters")
    programs.embed(few)
    ours, other = programs.embedded(), theirs.features(few)
    difference = max(np.abs(ours[name] - other[name]).max() for name in other)
    print(f"largest difference of features over {len(ours)} images: {difference:.1e}", flush=True)
    rate = lambda run, *options: (a.many - a.few) / (run(many, *options) - run(few, *options))
    workers = max((0, 1, 2), key=lambda count: rate(theirs.seconds, count))
    rounds = [(rate(programs.embed), rate(theirs.seconds, workers), rate(programs.knn)) for _ in range(a.rounds)]
    embed, torch_rates, knn = zip(*rounds)
    print(f"PyTorch with {workers} workers: {spread(torch_rates)} images/s")
    for name, rates in {"query embed": embed, "evaluate knn": knn}.items():
        print(f"{name}: {spread(rates)} images/s; Tessera / PyTorch {spread([o / t for o, t in zip(rates, torch_rates)])}")


def compare_finetuning(a, files, programs):
    data = programs.work / "labelled"
    put(files[:BATCH * (a.steps + 1)], data / "train")
    put(files[:2], data / "val")
    theirs = Timm(data / "train")
    theirs.rate(1)
    ours, other = zip(*[(programs.finetune(data), theirs.rate(a.steps)) for _ in range(a.rounds)])
    print(f"finetune: {spread(ours)} images/s, PyTorch {spread(other)}; Tessera / PyTorch "
          f"{spread([o / t for o, t in zip(ours, other)])}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("apps", type=pathlib.Path)
    parser.add_argument("images", type=pathlib.Path, help="folder of JPEGs")
    parser.add_argument("--tasks", nargs="+", choices=["features", "finetune"], default=["features", "finetune"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--few", type=int, default=32)
    parser.add_argument("--many", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2, help="steps of fine-tuning that are timed in a round")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    files, needed = sorted(a.images.glob("*.jpg")), max(a.many, BATCH * (a.steps + 1))
    if len(files) < needed:
        raise SystemExit(f"{a.images}: expected {needed} JPEGs, found {len(files)}")
    print(f"PyTorch {torch.__version__}, open_clip {open_clip.__version__}, timm {timm.__version__}, {a.threads} threads")
    with tempfile.TemporaryDirectory() as work:
        programs = Programs(a.apps.resolve(), pathlib.Path(work), a.threads)
        if "features" in a.tasks:
            compare_features(a, files, programs)
        if "finetune" in a.tasks:
            compare_finetuning(a, files, programs)


if __name__ == "__main__":
    main()
