"""Compares the matrix products of linear layers in Tessera and PyTorch, on one thread.

Both sides write into allocated memory, so that neither pays for new pages. They alternate A B A B. Each pair of
measurements gives a ratio; the median and the range of the ratios are reported, because on a shared machine only ratios
of neighbouring measurements are meaningful. Seconds are processor time of the process.

    python benchmarks/matmul_vs_torch.py build/release/bin/benchmark_matmul [--dtype f32|bf16] [--rounds 15] [--seconds 0.05]
"""

import argparse
import statistics
import time

import torch

from alternate import Served

SHAPES = [
    ("ViT-B 8x50 qkv", 400, 2304, 768),
    ("ViT-B 8x50 fc1", 400, 3072, 768),
    ("ViT-B 8x50 fc2", 400, 768, 3072),
    ("ViT-B 8x197 qkv", 1576, 2304, 768),
    ("ViT-B 8x197 proj", 1576, 768, 768),
    ("ViT-B 8x197 fc1", 1576, 3072, 768),
    ("ViT-B 8x197 fc2", 1576, 768, 3072),
    ("ViT-B 32x197 fc1", 6304, 3072, 768),
    ("ViT-B 32x197 fc2", 6304, 768, 3072),
    ("text 32x77 qkv", 2464, 1536, 512),
    ("text 32x77 fc2", 2464, 512, 2048),
    ("small 64x50 qkv", 3200, 576, 192),
    ("small 64x50 fc1", 3200, 1024, 256),
    ("small 64x50 fc2", 3200, 256, 1024),
]
OPERATIONS = ["forward", "grad_input", "grad_weight"]


class Torch:
    def __init__(self, m, n, k, dtype):
        random = lambda *shape: (torch.rand(*shape) * 2 - 1).to(dtype)
        x, w, dy = random(m, k), random(n, k), random(m, n)
        y, dx, dw = (torch.empty(*shape, dtype=dtype) for shape in [(m, n), (m, k), (n, k)])
        self.calls = {
            "forward": lambda: torch.mm(x, w.t(), out=y),
            "grad_input": lambda: torch.mm(dy, w, out=dx),
            "grad_weight": lambda: torch.mm(dy.t(), x, out=dw),
        }

    def seconds(self, operation, least):
        call = self.calls[operation]
        calls, start = 0, time.process_time()
        while True:
            call()
            calls += 1
            elapsed = time.process_time() - start
            if elapsed >= least:
                return elapsed / calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.05, help="shortest length of one measurement")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tessera = Served(options.program, "--serve", "--dtype", options.dtype, TESSERA_THREADS="1")
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[options.dtype]

    print(f"PyTorch {torch.__version__}, {options.dtype}, one thread each. Tessera's rate / PyTorch's: "
          f"median [low-high] of {options.rounds} pairs; GFLOP/s of Tessera / PyTorch (medians)")
    print(f"{'layer':<18}{'M':>6}{'N':>6}{'K':>6}  " + "".join(f"{o:<36}" for o in OPERATIONS))
    medians = []
    for name, m, n, k in SHAPES:
        peer = Torch(m, n, k, dtype)
        row = f"{name:<18}{m:>6}{n:>6}{k:>6}  "
        for operation in OPERATIONS:
            tessera.ask(operation, m, n, k, options.seconds)  # warm-up
            peer.seconds(operation, options.seconds)
            pairs = [(*tessera.ask(operation, m, n, k, options.seconds), peer.seconds(operation, options.seconds))
                     for _ in range(options.rounds)]
            ratios = sorted(theirs / ours for ours, theirs in pairs)
            rates = [2e-9 * m * n * k / statistics.median(side) for side in zip(*pairs)]
            medians.append(statistics.median(ratios))
            cell = f"{medians[-1]:.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}] {rates[0]:.0f} / {rates[1]:.0f}"
            row += f"{cell:<36}"
        print(row, flush=True)
    print(f"median of the medians {statistics.median(medians):.3f}, lowest {min(medians):.3f}, "
          f"highest {max(medians):.3f}")


if __name__ == "__main__":
    main()
