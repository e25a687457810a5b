"""Writes case_*.toml and case_*.safetensors of the objectives beside RILS and CLIP: mae, mae+clip, simclr, slip.

    python make_objectives.py

As in make_rils.py, each case searches seeds until rounding cannot change a decision: which text or view is the best,
and which of the head's activations ReLU sets to zero. Batch norm over few rows also amplifies rounding where a column
hardly varies, so a case with views must be one that PyTorch computes well in bf16.
"""

import torch

import make_rils
import oracle
import samples
import storage

# For the head's activations, whose std is about one. Products in bf16 have errors of about half of it.
MARGIN = 0.02
# Largest error of the whole gradient, and of a parameter's largest element, in PyTorch's bf16 autocast.
BF16_WHOLE, BF16_EACH = 0.02, 0.05
# The gradient of these is 0 except for rounding, because batch norm removes a constant from its input.
CONSTANTS = ("image_mlp.layer1.bias", "image_mlp.layer2.bias")

MODEL = {key: make_rils.BASE["model"][key] for key in ("embed_dim", "vision", "text")}
DECODER = {"width": 16, "layers": 2, "heads": 2}
HEAD = {"hidden": 8, "output": 6}


def configured(objective, loss, vision=None, **parts):
    model = {"objective": objective, "vision": {**MODEL["vision"], **(vision or {})}, **parts}
    if oracle.contrasts_texts({"model": model}):
        model |= {"embed_dim": MODEL["embed_dim"], "text": {**MODEL["text"], "layers": 1}}
    # Plain values come first in TOML.
    model = dict(sorted(model.items(), key=lambda item: isinstance(item[1], dict)))
    return {"model": model, "loss": loss}


CASES = {
    "mae": configured("mae", {"mask_ratio": 0.75}, decoder=DECODER),
    # Patches of 8 pixels, another weight, two simulated ranks.
    "mae_clip": configured(
        "mae+clip", {"mask_ratio": 0.5, "mae_weight": 0.7, "simulated_ranks": 2},
        vision={"image_size": 24, "patch_size": 8, "layers": 1}, decoder={**DECODER, "layers": 1}),
    "simclr": configured("simclr", {}, image_mlp=HEAD),
    "slip": configured(
        "slip", {"ssl_temperature": 0.2, "ssl_scale": 0.7, "gather": "with-gradient"},
        vision={"layers": 1}, image_mlp={"hidden": 7, "output": 9}),
}


def decision_margin(config, parameters, batch):
    """The smallest distance of an activation from ReLU's zero, or of a best view from the second best."""
    tables = oracle.cast(oracle.position_tables(config), torch.float64)
    p = oracle.cast(parameters, torch.float64)
    inputs = oracle.cast(batch, torch.float64)
    head = oracle.part(p, "image_mlp")
    margin = float("inf")
    for entering in oracle.entering_batch_norms(p, tables, inputs, config):
        for norm, x in entering.items():
            x = (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + oracle.BATCH_NORM_EPS)
            margin = min(margin, float((x * head[f"{norm}.weight"] + head[f"{norm}.bias"]).abs().min()))
    found = oracle.features(p, tables, inputs, config)
    a, b = oracle.normalised(found.view1), oracle.normalised(found.view2)
    best = torch.cat([a @ b.T, a @ a.T - 2 * torch.eye(len(a))], dim=1).topk(2).values
    return min(margin, float((best[:, 0] - best[:, 1]).min()))


def constants_of(config):
    """Parameters with gradient 0. Without a text tower the last norm's bias is one too: it is a constant for the head."""
    if not oracle.contrasts_views(config):
        return ()
    return CONSTANTS if oracle.contrasts_texts(config) else (*CONSTANTS, "visual.norm.bias")


def steady_in_bf16(config, parameters, batch, gradients):
    _, narrow, _ = oracle.evaluate(config, parameters, batch, torch.float32, autocast=True)
    errors = {name: narrow[name].double() - g for name, g in gradients.items() if name not in constants_of(config)}
    whole = sum(e.square().sum() for e in errors.values()) / sum(g.square().sum() for g in gradients.values())
    each = max(float(e.abs().max() / gradients[name].abs().max()) for name, e in errors.items())
    return whole.sqrt() <= BF16_WHOLE and each <= BF16_EACH


def find_case(config, count=6):
    for seed in range(5000):
        generator = torch.Generator().manual_seed(seed)
        parameters = samples.random_parameters(config, generator)
        batch = samples.random_batch(count, config, generator)
        if oracle.contrasts_views(config) and decision_margin(config, parameters, batch) < MARGIN:
            continue
        if oracle.contrasts_texts(config):
            paired = samples.pair_captions(
                config, parameters, batch["images"], batch["tokens"], lambda gate: gate.sum() == 3, generator)
            if paired is None or paired[1] < make_rils.MARGIN:
                continue
            batch["tokens"] = paired[0]
        result, gradients, found = oracle.evaluate(config, parameters, batch)
        if "logit_scale" in gradients and gradients["logit_scale"].abs() < make_rils.STEEPNESS:
            continue
        if oracle.contrasts_views(config) and not steady_in_bf16(config, parameters, batch, gradients):
            continue
        return seed, parameters, batch, result, gradients, found
    raise RuntimeError("no seed fulfils the case")


def write_case(name, config):
    seed, parameters, batch, result, gradients, found = find_case(config)
    for constant in constants_of(config):
        assert gradients[constant].abs().max() < 1e-14
        gradients[constant] = torch.zeros_like(gradients[constant])
    tensors = {
        **storage.prefixed("param", parameters),
        **storage.prefixed("frozen", oracle.position_tables(config)),
        **batch,
        **{key: value for key, value in result.items() if key != "gate"},
        **storage.prefixed("grad", gradients),
    }
    if found.target is not None:
        hidden = found.removed.bool()
        tensors |= {"removed": found.removed.int(), "target": found.target[hidden], "predicted": found.pixels[hidden]}
    if oracle.contrasts_views(config):
        with torch.no_grad():
            tables = oracle.cast(oracle.position_tables(config), torch.float64)
            entering = oracle.entering_batch_norms(
                oracle.cast(parameters, torch.float64), tables, oracle.cast(batch, torch.float64), config)
        tensors |= storage.prefixed("kept", oracle.kept_moments(entering), torch.float64)
    storage.save(f"case_{name}", tensors, config, "make_objectives.py")
    print(f"  seed {seed}, " + ", ".join(f"{key} {float(value):.6f}" for key, value in result.items() if key != "gate"))


if __name__ == "__main__":
    for case_name, description in CASES.items():
        write_case(case_name, description)
