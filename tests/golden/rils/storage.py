"""Golden files: a TOML configuration and a safetensors file beside it."""

import pathlib

import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent


def as_toml(config, path=""):
    """Tables of plain values as TOML text."""
    quoted = lambda value: f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(
        value, bool) else repr(value)
    lines = [f"[{path}]"] if path else []
    lines += [f"{key} = {quoted(value)}" for key, value in config.items() if not isinstance(value, dict)]
    for key, value in config.items():
        if isinstance(value, dict):
            lines.append(as_toml(value, f"{path}.{key}" if path else key))
    return "\n".join(lines)


def save(name, tensors, config=None, script=""):
    """Writes name.safetensors (and name.toml) beside the scripts and says so."""
    path = HERE / f"{name}.safetensors"
    # Only one entry: safetensors writes several in a random order, and reruns would differ.
    save_file({key: value.contiguous() for key, value in tensors.items()}, path,
              metadata={"made_by": f"{script}, torch {torch.__version__}"})
    path.chmod(0o644)
    if config is not None:
        (HERE / f"{name}.toml").write_text(as_toml(config) + "\n")
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1000:.0f} kB")


def load(name):
    return load_file(HERE / f"{name}.safetensors")


def prefixed(prefix, tensors, dtype=torch.float32):
    return {f"{prefix}.{name}": value.to(dtype) for name, value in tensors.items()}


def below(prefix, tensors):
    return {name[len(prefix) + 1:]: value for name, value in tensors.items() if name.startswith(prefix + ".")}
