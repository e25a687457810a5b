"""Compares whole training steps (towers, losses, backward, AdamW) in Tessera and PyTorch, which run alternately.

PyTorch runs the method as its authors wrote it, with its own fused attention and fused AdamW: every patch of every image
goes through both passes, and captions are padded to the context. Tessera leaves out work that cannot change the loss.
The median and the range of the ratios of neighbouring measurements are reported, because the speed of a shared machine
changes. On a GPU both use the same card; each gives its cached memory back after its turn, and makes a step that is not
timed before the next. The share of the peak is that of the FLOPs that Tessera computes, for both. Memory is what a process
had resident at most on the CPU, and what its allocator had in use at most on a GPU.

    python benchmarks/step_vs_torch.py build/release/bin/benchmark_step apps/configs/flickr8k.toml \\
        [--device cpu|cuda[:N]] [--batch 64] [--warm 2] [--share 1] [--rounds 7] [--precision fp32|amp_bf16] [--objective rils|clip]
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time
import tomllib

import torch
import torch.nn.functional as F

from alternate import Served, spread

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden/rils"))
import oracle  # noqa: E402


def resident(process):
    """The most bytes that a process ("self" or its number) has had resident."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def fused_attention(q, k, v, causal=False):
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


class Torch:
    """The training step in PyTorch, on random data of the same sizes."""

    def __init__(self, config, batch, caption, bf16, device):
        oracle.attention = fused_attention
        torch.manual_seed(0)
        self.config, self.bf16, self.device = config, bf16, torch.device(device)
        vision, text = config["model"]["vision"], config["model"]["text"]
        put = lambda tensor: tensor.to(self.device)
        self.parameters = {name: put(torch.randn(shape) * 0.02).requires_grad_()
                           for name, shape in oracle.parameter_shapes(config).items()}
        with torch.no_grad():
            for name, value in self.parameters.items():
                if name.split(".")[-2:-1] and name.endswith("weight") and ("norm" in name or "ln_" in name):
                    value.fill_(1)
            self.parameters["logit_scale"].fill_(2.659)
        self.tables = {name: put(table) for name, table in oracle.position_tables(config).items()}
        tokens = torch.randint(0, text["vocab_size"] - 2, (batch, text["context_length"]))
        tokens[:, caption - 1] = text["vocab_size"] - 1
        tokens[:, caption:] = 0
        self.batch = {"images": put(torch.rand(batch, 3, vision["image_size"], vision["image_size"]) * 2 - 1),
                      "tokens": put(tokens), "noise": put(torch.rand(batch, oracle.patch_count(config)))}
        self.optimizer = torch.optim.AdamW(list(self.parameters.values()), lr=1e-4, fused=True)
        self.bytes = 0

    def on_gpu(self):
        return self.device.type == "cuda"

    def run(self, count):
        for _ in range(count):
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                result, _ = oracle.forward(self.config, self.parameters, self.tables, self.batch)
            result["loss"].backward()
            self.optimizer.step()
        if self.on_gpu():
            torch.cuda.synchronize(self.device)

    def seconds(self, count):
        if self.on_gpu():
            self.run(1)
        start = time.perf_counter()
        self.run(count)
        seconds = (time.perf_counter() - start) / count
        if self.on_gpu():
            self.bytes = torch.cuda.max_memory_allocated(self.device)
            self.give_back()
        else:
            self.bytes = resident("self")
        return seconds

    def give_back(self):
        self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()


class Tessera:
    """A process of benchmark_step."""

    def __init__(self, program, config, options):
        self.on_cpu = options["--device"] == "cpu"
        self.process = Served(program, config, *(word for pair in options.items() for word in pair))

    def seconds(self, count):
        seconds, self.gate, self.bytes, self.flops, self.peak = self.process.ask(count)
        if self.on_cpu:
            self.bytes = resident(self.process.process.pid)
        return seconds


def fits(theirs):
    """Whether PyTorch's step fits into the card's memory. Makes one."""
    try:
        theirs.seconds(1)
        return True
    except getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError):
        return False


def times(ours, theirs, rounds, steps):
    """Seconds a step of both in turns; PyTorch's are None where its step does not fit."""
    ours.seconds(1)
    if fits(theirs):
        return [(ours.seconds(steps), theirs.seconds(steps)) for _ in range(rounds)]
    theirs.give_back()  # only now, when no frame of the failed step holds its tensors
    return [(ours.seconds(steps), None) for _ in range(rounds)]


def summary(a, ours, theirs, pairs):
    """What --json writes and what is printed."""
    mine = statistics.median(o for o, _ in pairs)
    result = {"objective": a.objective, "precision": a.precision, "device": a.device, "batch": a.batch,
              "gate": ours.gate, "flops_per_step": ours.flops, "peak_flops": ours.peak, "torch": torch.__version__,
              "tessera": {"seconds": mine, "pairs_per_second": a.batch / mine, "share_of_peak": ours.flops / mine / ours.peak,
                          "bytes": ours.bytes}}
    text = (f"{a.objective} {a.precision} batch {a.batch}, {100 * ours.gate:.0f} % of the images pass the gate: "
            f"Tessera {mine:.3f} s")
    rate = lambda seconds, size: (f" ({a.batch / seconds:.3g} pairs/s, {100 * ours.flops / seconds / ours.peak:.1f} % of the "
                                  f"peak, {size / 2**30:.1f} GiB)")
    text += rate(mine, ours.bytes)
    if any(t is None for _, t in pairs):
        return result, text + " a step; PyTorch runs out of memory"
    other = statistics.median(t for _, t in pairs)
    ratios = [t / o for o, t in pairs]
    result["pytorch"] = {"seconds": other, "pairs_per_second": a.batch / other,
                         "share_of_peak": ours.flops / other / ours.peak, "bytes": theirs.bytes}
    result["ratio"] = statistics.median(ratios)
    text += (f", PyTorch {other:.3f} s{rate(other, theirs.bytes)} a step; "
             f"PyTorch / Tessera {spread(ratios)}")
    return result, text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("config")
    parser.add_argument("--objective", default="rils", choices=["rils", "clip"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "amp_bf16"])
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:N], for both")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--ranks", type=int, help="simulated ranks, instead of the configuration's")
    parser.add_argument("--caption", type=int, default=14, help="tokens per caption, start and end included")
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--warm", type=int, default=2, help="steps of Tessera on the batch before measuring")
    parser.add_argument("--share", type=float, help="share of images that pass the gate; Tessera trains until they do")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="steps in one measurement")
    parser.add_argument("--json", help="file to write")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    text = pathlib.Path(a.config).read_text()
    config = tomllib.loads(text)
    config["model"]["objective"] = a.objective
    config["model"]["text"]["vocab_size"] = a.vocabulary
    options = {"--device": a.device, "--batch": str(a.batch), "--caption": str(a.caption),
               "--vocabulary": str(a.vocabulary), "--precision": a.precision, "--warm": str(a.warm)}
    if a.ranks is not None:
        config["loss"]["simulated_ranks"] = a.ranks
        options["--ranks"] = str(a.ranks)
    if a.share is not None:
        options["--share"] = str(a.share)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text.replace('objective = "rils"', f'objective = "{a.objective}"'))
        file.flush()
        ours = Tessera(a.program, file.name, options)
        theirs = Torch(config, a.batch, a.caption, a.precision != "fp32", a.device)
        pairs = times(ours, theirs, a.rounds, a.steps)
    result, line = summary(a, ours, theirs, pairs)
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(result, indent=1) + "\n")
    print(line)


if __name__ == "__main__":
    main()
