#!/usr/bin/env python3
"""Checks the command that `inspect checkpoint --convert` prints for a pickle: python3 check_pickles.py BUILD/apps

Writes training checkpoints in the forms of MAE, SLIP, DINO, timm, open_clip and Lightning, of old PyTorch and of
TorchScript, runs the printed command for each, and compares the tensors. A pickle that would call a function must not
get its call. Needs torch and safetensors.
"""

import argparse
import collections
import os
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch

HERE = pathlib.Path(__file__).parent


class Settings(dict):
    """A dictionary of a program's own, as Lightning's hyper-parameters are."""


class Call:
    """Calls a function when it is read by a plain unpickler."""

    def __reduce__(self):
        return os.system, ("touch called",)


def checkpoints():
    """Names of files, what torch.save gets, and the tensors that must come out."""
    vit = safetensors.torch.load_file(HERE / "timm_cls" / "model.safetensors")
    clip = safetensors.torch.load_file(HERE / "clip_gelu" / "open_clip_model.safetensors")
    args = argparse.Namespace(lr=0.1, folder=pathlib.Path("/x"), dtype=torch.float32)
    module = torch.nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.rand(2, 3)).sum().backward()
    optimizer.step()
    rest = {"optimizer": optimizer.state_dict(), "epoch": 3, "args": args, "call": Call()}

    def behind(prefix, tensors, factor=1.0):
        return collections.OrderedDict((prefix + k, v * factor) for k, v in tensors.items())

    head = {"head.last_layer.weight_g": torch.rand(4, 1)}
    tied = dict(vit)
    tied["tied"] = vit["norm.weight"]
    tied["blocks.0.mlp.fc1.weight"] = vit["blocks.0.mlp.fc1.weight"].t().contiguous().t()
    yield "mae.pth", {"model": vit, "scaler": {}, **rest}, vit
    yield "slip's $best.pt", {"state_dict": behind("module.visual.", vit), "best_acc1": 0.1, **rest}, behind("visual.", vit)
    student = {**behind("module.backbone.", vit, 0.0), **behind("module.", head)}
    yield "dino.pth", {"student": student, "teacher": {**behind("backbone.", vit), **head}, **rest}, {**vit, **head}
    yield "timm.pth.tar", {"state_dict": behind("module.", vit, 0.0), "state_dict_ema": vit, **rest}, vit
    yield "open_clip.pt", {"name": "x", "state_dict": behind("module.", clip), **rest}, clip
    lightning = {"state_dict": behind("model.", vit), "hyper_parameters": Settings(a=1, b=args), **rest}
    yield "lightning.ckpt", lightning, vit
    yield "compiled.bin", {"model": {"state_dict": behind("module._orig_mod.", vit)}}, vit
    yield "tied.pt", tied, tied


def convert(program, path):
    """Runs the printed command. Returns the path that it writes."""
    said = subprocess.run([program, "checkpoint", path, "--convert", "out.safetensors"], capture_output=True, text=True)
    command = said.stderr.split("convert it: ", 1)[1].strip()
    subprocess.run(["bash", "-c", command], check=True)
    return str(pathlib.Path(path).with_suffix(".safetensors"))


def compare(name, path, expected):
    found = safetensors.torch.load_file(path)
    assert found.keys() == expected.keys(), name
    assert all(torch.equal(found[k], expected[k]) for k in found), name
    print("equal:", name)


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve() / "inspect")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, content, expected in checkpoints():
            for zipped in (True, False):
                path = name if zipped else "old-" + name
                torch.save(content, path, _use_new_zipfile_serialization=zipped)
                compare(path, convert(program, path), expected)
        script = torch.jit.script(torch.nn.Linear(2, 2))
        torch.jit.save(script, "script.pt")
        compare("script.pt", convert(program, "script.pt"), dict(script.state_dict()))
        assert not os.path.exists("called"), "a pickle's function was called"


if __name__ == "__main__":
    main()
