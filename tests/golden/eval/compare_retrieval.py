"""Compares the recalls of `evaluate retrieval` with CLIP_benchmark's own code on the features that `query embed` exports.

    query embed DATA --checkpoint W --out STEM
    evaluate retrieval --checkpoint W --data DATA --output RESULT.json
    compare_retrieval.py STEM RESULT.json

Needs clip_benchmark, torch and numpy. Its recall code reads the exported rows as if a model computed them, with all captions of
each image. The exit code is 1 if a recall differs by one query or more.
"""

import argparse
import json
import sys

import numpy
import torch
from clip_benchmark.metrics import zeroshot_retrieval


class Stored:
    """A model whose inputs are row numbers and whose outputs are stored rows."""

    def __init__(self, images, texts):
        self.images, self.texts = images, texts

    def encode_image(self, rows):
        return self.images[rows]

    def encode_text(self, rows):
        return self.texts[rows]


def captions_by_image(path, images):
    """For each image, the rows of its captions. In STEM.texts.tsv each line begins with the image's row."""
    rows = [[] for _ in range(images)]
    with open(path, encoding="utf-8") as lines:
        for text, line in enumerate(lines):
            rows[int(line.split("\t", 1)[0])].append(text)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stem", help="of query embed's files")
    parser.add_argument("result", help="JSON of evaluate retrieval")
    parser.add_argument("--batch", type=int, default=100, help="images at once")
    words = parser.parse_args()
    images = torch.from_numpy(numpy.load(words.stem + ".images.npy"))
    texts = torch.from_numpy(numpy.load(words.stem + ".texts.npy"))
    rows = captions_by_image(words.stem + ".texts.tsv", len(images))
    if sum(map(len, rows)) != len(texts):
        sys.exit(f"{words.stem}: {len(texts)} texts, {sum(map(len, rows))} lines")
    with open(words.result, encoding="utf-8") as file:
        ours = json.load(file)["metrics"]

    def batches():
        for start in range(0, len(images), words.batch):
            stop = min(start + words.batch, len(images))
            yield torch.arange(start, stop), rows[start:stop]

    theirs = zeroshot_retrieval.evaluate(Stored(images, texts), batches(), torch.tensor, "cpu", amp=False,
                                         recall_k_list=[1, 5, 10])
    print(f"{len(images)} images, {len(texts)} captions")
    wrong = 0
    for name, value in sorted(theirs.items()):
        queries = len(texts) if name.startswith("image") else len(images)
        differing = abs(ours[name] - value) * queries
        wrong += differing > 0.5
        print(f"{name:28} ours {100 * ours[name]:7.3f} %   theirs {100 * value:7.3f} %   {differing:.2f} queries apart")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
