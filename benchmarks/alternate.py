"""What the scripts that compare Tessera with PyTorch share: a program that answers lines, and ratios of neighbours.

Both sides run alternately, A B A B. On a shared machine only ratios of neighbouring measurements are meaningful, so the
median and the range of these are reported.
"""

import os
import statistics
import subprocess


class Served:
    """A process that answers each line with numbers. It waits for input while PyTorch runs."""

    def __init__(self, *words, **environment):
        self.name = os.path.basename(words[0])
        self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=dict(os.environ, **environment))

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise SystemExit(f"{self.name} ended early")
        return [float(number) for number in answer]

    def close(self):
        """Ends the process, which gives its memory back."""
        self.process.stdin.close()
        self.process.wait()


def spread(values, digits=2):
    """The median and the range, as text."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def finetuning_transform(size):
    """timm's transform of training images with MAE's recipe, which is the default of our finetune."""
    from PIL import ImageOps
    from timm.data import create_transform

    def posterize(image, bits, pillows=ImageOps.posterize):
        return pillows(image, max(bits, 1))  # timm asks for 0 bits at the highest magnitude, which new Pillows refuse

    ImageOps.posterize = posterize
    return create_transform(size, is_training=True, auto_augment="rand-m9-mstd0.5-inc1", interpolation="bicubic",
                            re_prob=0.25, re_mode="pixel")
