"""Compares whole training steps (towers, losses, backward, AdamW) in Tessera and PyTorch, which run alternately.

PyTorch runs the method as its authors wrote it, with its own fused attention and fused AdamW: every patch of every image
goes through both passes, and captions are padded to the context. Tessera leaves out work that cannot change the loss.
The median and the range of the ratios of neighbouring measurements are reported, because the speed of a shared machine
changes.

    python benchmarks/step_vs_torch.py build/release/bin/benchmark_step apps/configs/flickr8k.toml \\
        [--batch 64] [--warm 2] [--rounds 7] [--precision fp32|amp_bf16] [--objective rils|clip]
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden/rils"))
import oracle  # noqa: E402


def fused_attention(q, k, v, causal=False):
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


class Torch:
    """The training step in PyTorch, on random data of the same sizes."""

    def __init__(self, config, batch, caption, bf16):
        oracle.attention = fused_attention
        torch.manual_seed(0)
        self.config, self.bf16 = config, bf16
        vision, text = config["model"]["vision"], config["model"]["text"]
        self.parameters = {name: (torch.randn(shape) * 0.02).requires_grad_()
                           for name, shape in oracle.parameter_shapes(config).items()}
        with torch.no_grad():
            for name, value in self.parameters.items():
                if name.split(".")[-2:-1] and name.endswith("weight") and ("norm" in name or "ln_" in name):
                    value.fill_(1)
            self.parameters["logit_scale"].fill_(2.659)
        self.tables = oracle.position_tables(config)
        tokens = torch.randint(0, text["vocab_size"] - 2, (batch, text["context_length"]))
        tokens[:, caption - 1] = text["vocab_size"] - 1
        tokens[:, caption:] = 0
        self.batch = {"images": torch.rand(batch, 3, vision["image_size"], vision["image_size"]) * 2 - 1,
                      "tokens": tokens, "noise": torch.rand(batch, oracle.patch_count(config))}
        self.optimizer = torch.optim.AdamW(list(self.parameters.values()), lr=1e-4, fused=True)

    def seconds(self, count):
        start = time.perf_counter()
        for _ in range(count):
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
                result, _ = oracle.forward(self.config, self.parameters, self.tables, self.batch)
            result["loss"].backward()
            self.optimizer.step()
        return (time.perf_counter() - start) / count


class Tessera:
    """A process of benchmark_step. It waits for input while PyTorch runs."""

    def __init__(self, program, config, options):
        words = [word for pair in options.items() for word in pair]
        self.process = subprocess.Popen([program, config, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise SystemExit("benchmark_step ended early")
        self.gate = float(answer[1])
        return float(answer[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("config")
    parser.add_argument("--objective", default="rils", choices=["rils", "clip"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "amp_bf16"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--caption", type=int, default=14, help="tokens per caption, start and end included")
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--warm", type=int, default=2, help="steps of Tessera on the batch before measuring")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="steps in one measurement")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    text = pathlib.Path(a.config).read_text()
    config = tomllib.loads(text)
    config["model"]["objective"] = a.objective
    config["model"]["text"]["vocab_size"] = a.vocabulary
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text.replace('objective = "rils"', f'objective = "{a.objective}"'))
        file.flush()
        ours = Tessera(a.program, file.name, {
            "--batch": str(a.batch), "--caption": str(a.caption), "--vocabulary": str(a.vocabulary),
            "--precision": a.precision, "--warm": str(a.warm)})
        theirs = Torch(config, a.batch, a.caption, a.precision != "fp32")
        theirs.seconds(1)
        ours.seconds(1)
        pairs = [(ours.seconds(a.steps), theirs.seconds(a.steps)) for _ in range(a.rounds)]
    ratios = sorted(t / o for o, t in pairs)
    print(f"{a.objective} {a.precision} batch {a.batch}, {100 * ours.gate:.0f} % of the images pass the gate: "
          f"Tessera {statistics.median(o for o, _ in pairs):.3f} s, PyTorch {statistics.median(t for _, t in pairs):.3f} s a step; "
          f"PyTorch / Tessera {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
