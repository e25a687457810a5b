"""Compares the C++ program's loss and gradients with this oracle in float64, at any model size.

    python compare_gradients.py --program build/release/apps/inspect --vitb16 --batch-size 4
    python compare_gradients.py --program build/release/apps/inspect --config model.toml --precision amp_bf16

Makes a checkpoint of initial values (biases and norms slightly moved, so that none is trivial) and a batch in
which images pass the gate, runs `inspect gradients` on them, and prints the errors. A parameter's error is its
gradient's largest absolute difference over that gradient's largest absolute value.

Below them are the errors of PyTorch in the same precision, for comparison.

Exit status 0 if the program agrees: for fp32 every error is at most 1e-4; for amp_bf16 the error of the whole
gradient, as a vector, is at most 1.5 times that of PyTorch's own bf16 autocast.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib

import torch
from safetensors.torch import load_file, save_file

import make_objectives
import oracle
import samples
import storage


def scalar_names(config):
    return (["loss"] + ["clip_loss", "recon_loss", "clip_acc"] * oracle.contrasts_texts(config) +
            ["mae_loss"] * oracle.predicts_pixels(config) + ["ssl_loss", "ssl_acc"] * oracle.contrasts_views(config))


VITB16 = {
    "model": {
        "objective": "rils",
        "embed_dim": 512,
        "vision": {"image_size": 224, "patch_size": 16, "width": 768, "layers": 12, "heads": 12},
        "decoder": {"width": 768, "layers": 1, "heads": 12},
        "text": {"context_length": 77, "vocab_size": 49408, "width": 512, "layers": 12, "heads": 8},
    },
    "loss": dict(oracle.LOSS_DEFAULTS),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", required=True, help="path of the inspect program")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--config", type=pathlib.Path, help="TOML file with [model] and [loss]")
    size.add_argument("--vitb16", action="store_true", help="the published ViT-B/16")
    parser.add_argument("--batch-size", type=int, default=4, help="pairs in all (default 4)")
    parser.add_argument("--precision", choices=("fp32", "amp_bf16"), default="fp32")
    parser.add_argument("--device", default="cpu", help="device of the program (default cpu)")
    parser.add_argument("--oracle-device", default="cpu", help="PyTorch device of the oracle (default cpu)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--passing", type=int, default=2, help="images that should pass the gate (default 2)")
    parser.add_argument("--keep", type=pathlib.Path, help="folder that keeps the files (default: a temporary one)")
    return parser.parse_args()


def gate_pool(config, parameters, count, generator, device):
    """Images and a pool of eight times as many captions, with their embeddings in float32."""
    images = samples.random_images(count, config, generator)
    tokens = samples.random_tokens(8 * count, config, generator)
    return images, tokens, *samples.embeddings(config, parameters, images, tokens, torch.float32, device)


def choose_captions(image, text, passing, generator):
    """One caption index per image, such that `passing` images prefer their own caption by the widest margin found.

    At the start of training all images embed alike, so only one image would pass with random captions.
    """
    count, best = len(image), (-1, -1.0, None)
    labels = torch.arange(count)
    for _ in range(20_000):
        chosen = torch.randperm(len(text), generator=generator)[:count]
        scores = image @ text[chosen].T
        passed = int((scores.argmax(1) == labels).sum())
        top = scores.topk(min(2, count), dim=1).values
        margin = float((top[:, 0] - top[:, -1]).min())
        candidate = (min(passed, passing), margin, chosen)
        if passed > 0 and candidate[:2] > best[:2]:
            best = candidate
    return best[2], best[1]


def make_inputs(options, config):
    generator = torch.Generator().manual_seed(options.seed)
    parameters = samples.initial_parameters(config, generator, noise=0.02)
    if oracle.contrasts_views(config):
        # Views that differ only in grain would be near ties at the start of training.
        views = {view: samples.random_images(options.batch_size, config, generator) for view in ("view1", "view2")}
    else:
        views = {}
    if not oracle.contrasts_texts(config):
        return parameters, samples.random_batch(options.batch_size, config, generator) | views
    images, tokens, image, text = gate_pool(
        config, parameters, options.batch_size, generator, options.oracle_device)
    chosen, margin = choose_captions(image, text, min(options.passing, options.batch_size), generator)
    noise = torch.rand(options.batch_size, oracle.patch_count(config), generator=generator)
    print(f"decisions are at least {margin:.2e} (cosine) away from a tie")
    return parameters, {"images": images, "tokens": tokens[chosen].contiguous(), "noise": noise, **views}


def running_buffers(config):
    """The buffers of a new head, which a checkpoint holds beside its parameters."""
    if not oracle.contrasts_views(config):
        return {}
    hidden = config["model"]["image_mlp"]["hidden"]
    return {f"image_mlp.{norm}.{name}": value for norm in ("bn1", "bn2") for name, value in (
        ("running_mean", torch.zeros(hidden)), ("running_var", torch.ones(hidden)),
        ("num_batches_tracked", torch.tensor(0)))}


def run_program(options, config, parameters, batch, folder):
    """Runs the C++ program and returns its tensors."""
    (folder / "model.toml").write_text(storage.as_toml({key: config[key] for key in ("model", "loss")}) + "\n")
    save_file(parameters | running_buffers(config), folder / "weights.safetensors")
    save_file(batch, folder / "batch.safetensors")
    start = time.monotonic()
    subprocess.run([
        options.program, "gradients", "--config", folder / "model.toml", "--checkpoint",
        folder / "weights.safetensors", "--batch", folder / "batch.safetensors", "--out",
        folder / "gradients.safetensors", "--precision", options.precision, "--device", options.device], check=True)
    print(f"program: {time.monotonic() - start:.1f} s")
    return load_file(folder / "gradients.safetensors")


def relative(error, magnitude):
    """error / magnitude; a NaN counts as infinite, because no comparison would catch it."""
    if error == 0:
        return 0.0
    return error / magnitude if magnitude > 0 and error == error else float("inf")


def compare(config, scalars, gradients, expected_scalars, expected):
    """Errors against the oracle: of each scalar and parameter, and of the whole gradient as one vector."""
    losses = {}
    for key in scalar_names(config):
        if key not in scalars:
            raise SystemExit(f"FAIL {key}: expected a scalar, found nothing")
        wanted = float(expected_scalars[key])
        losses[key] = relative(abs(float(scalars[key]) - wanted), abs(wanted))
    each, squared, total = {}, 0.0, 0.0
    for name, wanted in expected.items():
        if name not in gradients or gradients[name].shape != wanted.shape:
            raise SystemExit(f"FAIL grad.{name}: expected shape {tuple(wanted.shape)}, found "
                             f"{tuple(gradients[name].shape) if name in gradients else 'nothing'}")
        difference = gradients[name].double() - wanted
        # A bias before batch norm has gradient 0 except for rounding, so its layer's weight gives the magnitude.
        constant = name in make_objectives.constants_of(config)
        measure = expected[name.replace("bias", "weight")] if constant else wanted
        each[name] = relative(float(difference.abs().max()), float(measure.abs().max()))
        squared += float(difference.square().sum())
        total += float(wanted.square().sum())
    return losses, each, (squared / total) ** 0.5


def report(title, losses, each, whole):
    print(title)
    print("  losses, relative: " + ", ".join(f"{key} {value:.2e}" for key, value in losses.items()))
    print(f"  whole gradient, relative: {whole:.2e}")
    ranked = sorted(each.items(), key=lambda item: -item[1])
    for name, error in ranked[:5]:
        print(f"  {error:.2e}  {name}")
    return max(losses.values()), ranked[0][1]


def main():
    options = arguments()
    config = VITB16 if options.vitb16 else tomllib.loads(options.config.read_text())
    config = {"model": config["model"], "loss": oracle.loss_options(config)}
    parameters, batch = make_inputs(options, config)

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = run_program(options, config, parameters, batch, folder)
    gradients = storage.below("grad", found)

    start = time.monotonic()
    scalars, expected, _ = oracle.evaluate(config, parameters, batch, device=options.oracle_device)
    print(f"oracle in float64: {time.monotonic() - start:.1f} s")
    print(", ".join(f"{key} {float(scalars[key]):.8f}" for key in scalar_names(config)),
          "gate", scalars["gate"].int().tolist() if "gate" in scalars else "none")
    unknown = sorted(set(gradients) - set(expected))
    if unknown:
        raise SystemExit(f"FAIL grad.{unknown[0]}: not a parameter of this model")

    errors = compare(config, found, gradients, scalars, expected)
    worst_loss, worst_gradient = report(f"program, {options.precision}, against float64:", *errors)
    peer_scalars, peer, _ = oracle.evaluate(
        config, parameters, batch, torch.float32, autocast=options.precision == "amp_bf16",
        device=options.oracle_device)
    peer_errors = compare(config, peer_scalars, peer, scalars, expected)
    report(f"PyTorch, {options.precision}, against float64:", *peer_errors)
    if "gate" in scalars and peer_scalars["gate"].tolist() != scalars["gate"].tolist():
        print("note: PyTorch's gate differs from float64's; choose another --seed")

    if options.precision == "fp32":
        for bound in (1e-5, 1e-4):
            passed = worst_loss <= bound and worst_gradient <= bound
            print(f"{'PASS' if passed else 'FAIL'} at {bound:.0e}: worst loss {worst_loss:.2e}, "
                  f"worst gradient {worst_gradient:.2e}")
        return 0 if passed else 1
    passed = errors[2] <= 1.5 * peer_errors[2]
    print(f"{'PASS' if passed else 'FAIL'}: whole gradient {errors[2]:.2e}, PyTorch {peer_errors[2]:.2e}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
