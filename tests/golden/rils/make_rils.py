"""Writes the case_*.toml and case_*.safetensors files: loss and every parameter's gradient of small models.

    python make_rils.py

Each case searches seeds until its gate passes the images that the case wants, with every decision at least
MARGIN (in cosine) away from a tie, so that no rounding in float32 can flip it.
"""

import copy

import torch

import oracle
import samples
import storage

MARGIN = 2e-3
# The logit scale's gradient is a sum of terms of both signs. If they nearly cancel, a comparison measures only rounding.
STEEPNESS = 0.2

BASE = {
    "model": {
        "objective": "rils",
        "embed_dim": 20,
        "vision": {"image_size": 16, "patch_size": 4, "width": 24, "layers": 2, "heads": 3},
        "decoder": {"width": 16, "layers": 1, "heads": 2},
        "text": {"context_length": 12, "vocab_size": 50, "width": 16, "layers": 2, "heads": 2},
    },
    "loss": dict(oracle.LOSS_DEFAULTS),
}


def configured(**changes):
    """BASE with dotted keys (dots written __) replaced."""
    config = copy.deepcopy(BASE)
    for key, value in changes.items():
        *path, last = key.split("__")
        table = config
        for step in path:
            table = table[step]
        table[last] = value
    if config["model"]["objective"] == "clip":
        del config["model"]["decoder"]
    return config


def per_rank(ranks, wanted):
    """Accepts a gate whose number of passing images in each simulated rank is exactly `wanted`."""
    return lambda gate: gate.reshape(ranks, -1).sum(1).tolist() == wanted


def repeat_caption(batch):
    """Row 3 takes the caption of row 0: a tie wherever either is the best."""
    batch["tokens"][3] = batch["tokens"][0]


def coarse_noise(batch):
    """Noise of four values only: the mask depends on the order among equals."""
    batch["noise"] = (batch["noise"] * 4).floor() / 4


def tie_failed(config, parameters, batch):
    """True if some image's best caption is its own text, yet an earlier equal caption takes the first place."""
    image, text = samples.embeddings(config, parameters, batch["images"], batch["tokens"])
    first = oracle.first_occurrence(batch["tokens"])
    best = (image @ text[first].T).argmax(1)
    return any(best[i] == first[i] and first[i] != i for i in range(len(first)))


CASES = {
    # The plain setting at 8-pixel patches.
    "basic": dict(
        config=configured(model__vision__image_size=32, model__vision__patch_size=8),
        accept=per_rank(1, [3])),
    # Head dimension 10, a decoder of two blocks wider than the encoder, no loss option at its default.
    "with_gradient": dict(
        config=configured(
            model__vision__width=20, model__vision__heads=2,
            model__decoder={"width": 24, "layers": 2, "heads": 3},
            loss__gather="with-gradient", loss__mask_ratio=0.5, loss__student_temperature=0.13,
            loss__teacher_temperature=0.06, loss__reconstruction_weight=0.8),
        accept=per_rank(1, [3])),
    # Unequal denominators: a mean of ratios, not a ratio of sums. Nine patches, of which two are kept.
    "two_ranks": dict(
        config=configured(model__vision__image_size=12, loss__simulated_ranks=2),
        accept=per_rank(2, [2, 1])),
    # No image of the second rank passes.
    "three_ranks_with_gradient": dict(
        config=configured(model__text__layers=1, loss__simulated_ranks=3, loss__gather="with-gradient"),
        accept=per_rank(3, [1, 0, 2])),
    # No image passes, so there is no reconstruction loss.
    "none_pass": dict(
        config=configured(model__vision__layers=1, model__text__layers=1), accept=per_rank(1, [0])),
    "clip": dict(
        config=configured(model__objective="clip", model__vision__layers=1, loss__simulated_ranks=2),
        accept=per_rank(2, [1, 2])),
    "clip_with_gradient": dict(
        config=configured(model__objective="clip", loss__simulated_ranks=3, loss__gather="with-gradient",
                          model__vision__layers=1, model__text__layers=1),
        accept=per_rank(3, [1, 0, 1])),
    # Equal captions: the first index wins, so the later copy fails though its own text is the best.
    "equal_captions": dict(
        config=configured(model__vision__layers=1, model__text__layers=1), prepare=repeat_caption,
        accept=lambda gate: 2 <= gate.sum() <= 4, also=tie_failed),
    # Every image passes, a sharp logit scale, 25 patches with tied noise.
    "equal_noise": dict(
        config=configured(model__vision__image_size=20, model__vision__layers=1, model__text__layers=1),
        count=3, logit_scale=3.5, prepare=coarse_noise, accept=per_rank(1, [3])),
}


def find_case(case):
    """The first seed that fulfils the case: (seed, parameters, batch, margin, evaluation)."""
    for seed in range(5000):
        generator = torch.Generator().manual_seed(seed)
        config = case["config"]
        parameters = samples.random_parameters(config, generator, case.get("logit_scale", 2.0))
        batch = samples.random_batch(case.get("count", 6), config, generator)
        case.get("prepare", lambda _: None)(batch)
        paired = samples.pair_captions(
            config, parameters, batch["images"], batch["tokens"], case["accept"], generator)
        if paired is None or paired[1] < MARGIN:
            continue
        batch["tokens"] = paired[0]
        if not case.get("also", lambda *_: True)(config, parameters, batch):
            continue
        evaluation = oracle.evaluate(config, parameters, batch)
        if evaluation[1]["logit_scale"].abs() >= STEEPNESS:
            return seed, parameters, batch, paired[1], evaluation
    raise RuntimeError("no seed fulfils the case")


def write_case(name, case):
    config = case["config"]
    seed, parameters, batch, margin, (result, gradients, features) = find_case(case)
    tensors = {
        **storage.prefixed("param", parameters),
        **storage.prefixed("frozen", oracle.position_tables(config)),
        **batch,
        **{key: result[key] for key in ("loss", "clip_loss", "recon_loss", "clip_acc")},
        "gate": result["gate"].int(),
        "image_embedding": features.image,
        "text_embedding": features.text,
        **storage.prefixed("grad", gradients),
    }
    if features.removed is not None:
        tensors["removed"] = features.removed.int()
    storage.save(f"case_{name}", tensors, config, "make_rils.py")
    print(f"  seed {seed}, margin {margin:.4f}, gate {result['gate'].int().tolist()}, "
          f"loss {result['loss']:.6f} = {result['clip_loss']:.6f} + {result['recon_loss']:.6f}, "
          f"clip_acc {result['clip_acc']:.2f}")


if __name__ == "__main__":
    for case_name, description in CASES.items():
        write_case(case_name, description)
