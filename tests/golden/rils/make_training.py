"""Writes training*.toml/.safetensors (ten steps of AdamW on a small model), training_bf16.safetensors (the losses of a
hundred steps under PyTorch's bf16 autocast) and optimizer.safetensors.

    python make_training.py

Every step's captions are paired with its images so that some images pass the gate, by a clear margin.
"""

import math

import torch

import make_rils
import oracle
import samples
import storage

MARGIN = 2e-3

OPTIM = {"batch_size": 8, "lr": 1e-3, "lr_start": 1e-6, "lr_end": 1e-5, "warmup": 3,
         "beta1": 0.9, "beta2": 0.98, "eps": 1e-8, "wd": 0.2}

RUNS = {
    "training": dict(
        config=make_rils.configured(model__vision__image_size=12, model__text__layers=1),
        steps=10, logit_scale=math.log(1 / 0.07)),
    # Starts above a low ceiling of the logit scale, so that the clamp acts.
    "training_clamp": dict(
        config=make_rils.configured(
            model__vision__image_size=12, model__vision__layers=1, model__vision__width=20,
            model__vision__heads=2, model__text__layers=1, model__decoder={"width": 24, "layers": 1, "heads": 3},
            loss__gather="with-gradient", loss__simulated_ranks=2, loss__logit_scale_max=4.0),
        steps=5, logit_scale=math.log(4.0) + 0.1),
}


def learning_rates(total, warmup, base, start, end):
    """Warm-up values evenly spaced from start to base inclusive, then a cosine that would reach end one step late."""
    rising = torch.linspace(start, base, warmup, dtype=torch.float64) if warmup else torch.empty(0)
    rest = total - warmup
    angle = math.pi * torch.arange(rest, dtype=torch.float64) / rest
    return torch.cat([rising.double(), end + (base - end) / 2 * (1 + angle.cos())])


def decays(name, value):
    return value.ndim >= 2 and not any(word in name for word in ("bias", "ln", "bn"))


def adamw(parameters, optim):
    """PyTorch's AdamW over a flat dict, in two groups."""
    groups = [{"params": [v for n, v in parameters.items() if decays(n, v) == wanted], "weight_decay": decay}
              for wanted, decay in ((True, optim["wd"]), (False, 0.0))]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0,
                             betas=(optim["beta1"], optim["beta2"]), eps=optim["eps"])


def train(config, parameters, batches, rates, dtype, autocast=False):
    """Returns the records of each step and the final parameters."""
    state = {name: value.to(dtype, copy=True) for name, value in parameters.items()}
    optimizer = adamw(state, config["optim"])
    ceiling = math.log(config["loss"]["logit_scale_max"])
    records = []
    for batch, rate in zip(batches(state), rates.tolist()):
        result, gradients, _ = oracle.evaluate(config, state, batch, dtype, autocast)
        for name, value in state.items():
            value.grad = gradients[name]
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        state["logit_scale"].clamp_(0, ceiling)
        norm = torch.stack([g.double().square().sum() for g in gradients.values()]).sum().sqrt()
        records.append({**{key: result[key].double() for key in ("loss", "clip_loss", "recon_loss", "clip_acc")},
                        "grad_norm": norm, "logit_scale": state["logit_scale"].double().clone()})
    return {key: torch.stack([record[key] for record in records]) for key in records[0]}, state


def fitting_batches(config, steps, generator, kept):
    """Returns a generator of batches in which some images pass with the current parameters; stores the batches in `kept`."""
    count, ranks = config["optim"]["batch_size"], config["loss"]["simulated_ranks"]

    def accept(gate):
        return 2 <= gate.sum() <= 6 and len(gate.reshape(ranks, -1).sum(1).unique()) == ranks

    def batches(state):
        for _ in range(steps):
            while True:
                batch = samples.random_batch(count, config, generator)
                paired = samples.pair_captions(
                    config, state, batch["images"], batch["tokens"], accept, generator, tries=50)
                if paired is not None and paired[1] >= MARGIN:
                    break
            batch["tokens"] = paired[0]
            kept.append(batch)
            yield batch
    return batches


def largest_differences(measured, expected):
    """Largest absolute difference of parameters, apart from the text towers' key biases (see README)."""
    worst = {}
    for name, value in expected.items():
        difference = (measured[name].double() - value.double()).abs()
        if name.endswith("attn.in_proj_bias"):
            difference = torch.cat([difference.chunk(3)[0], difference.chunk(3)[2]])
        worst[name] = float(difference.max())
    return sorted(worst.items(), key=lambda item: -item[1])[:3]


def write_run(name, run):
    config = {**run["config"], "optim": OPTIM}
    generator = torch.Generator().manual_seed(11)
    initial = samples.random_parameters(config, generator, run["logit_scale"])
    rates = learning_rates(run["steps"], OPTIM["warmup"], OPTIM["lr"], OPTIM["lr_start"], OPTIM["lr_end"])
    kept = []
    records, final = train(config, initial, fitting_batches(config, run["steps"], generator, kept),
                           rates, torch.float64)
    storage.save(name, {
        **storage.prefixed("param", initial),
        **{key: torch.stack([batch[key] for batch in kept]) for key in kept[0]},
        "lr": rates,
        **records,
        **storage.prefixed("final", final),
    }, config, "make_training.py")
    print("  loss", " ".join(f"{v:.4f}" for v in records["loss"]))
    print("  acc ", " ".join(f"{v:.1f}" for v in records["clip_acc"]))
    print("  log scale", " ".join(f"{v:.5f}" for v in records["logit_scale"]))

    # The difference of a run in float32, from which tolerances follow.
    single, end = train(config, initial, lambda _: iter(kept), rates, torch.float32)
    print("  float32: largest loss difference", float((single["loss"] - records["loss"]).abs().max()),
          "relative grad norm", float((single["grad_norm"] / records["grad_norm"] - 1).abs().max()),
          "parameters", largest_differences(end, final))


def write_bf16():
    """Ten rounds of the batches of `training`: the losses in f64, and the spread of those under autocast.

    Autocast gives the same bits every time, so each of its runs but the first starts from parameters that differ by
    about 2^-12, an eighth of what bf16 resolves: what is left is the chance of rounding.
    """
    steps, rounds = RUNS["training"]["steps"], 10
    stored = storage.load("training")
    config = {**RUNS["training"]["config"], "optim": OPTIM}
    initial = storage.below("param", stored)
    batches = [{key: stored[key][step] for key in ("images", "tokens", "noise")} for step in range(steps)] * rounds
    rates = learning_rates(steps * rounds, OPTIM["warmup"], OPTIM["lr"], OPTIM["lr_start"], OPTIM["lr_end"])
    exact = train(config, initial, lambda _: iter(batches), rates, torch.float64)[0]["loss"]
    generator = torch.Generator().manual_seed(17)
    runs = []
    for run in range(12):
        start = {name: value * (1 + (run > 0) * 2.0**-12 * torch.randn(value.shape, generator=generator))
                 for name, value in initial.items()}
        runs.append(train(config, start, lambda _: iter(batches), rates, torch.float32, autocast=True)[0]["loss"])
    runs = torch.stack(runs)
    storage.save("training_bf16", {"loss": exact, "autocast": runs}, script="make_training.py")
    error = (runs - exact).abs().reshape(len(runs), rounds, steps).mean(2)
    print("  loss at the ends of the rounds", " ".join(f"{v:.4f}" for v in exact[steps - 1::steps]))
    print("  mean error of a round: least", " ".join(f"{v:.1e}" for v in error.min(0).values))
    print("                      largest", " ".join(f"{v:.1e}" for v in error.max(0).values))


def write_optimizer():
    """AdamW alone: five steps on a decayed matrix and a plain vector, with gradients from 1e-12 to 1e6."""
    generator = torch.Generator().manual_seed(5)
    parameters = {"weight": torch.randn(3, 5, generator=generator), "bias": torch.randn(7, generator=generator)}
    tensors = {f"initial.{name}": value for name, value in parameters.items()}
    state = {name: value.double() for name, value in parameters.items()}
    optimizer = adamw(state, OPTIM)
    rates = learning_rates(5, 2, 1e-2, 1e-6, 1e-4)
    scale = {"weight": torch.ones(3, 5), "bias": 10.0 ** torch.tensor([-12, -8, -6, -3, 0, 3, 6])}
    for step, rate in enumerate(rates.tolist()):
        for name, value in state.items():
            gradient = torch.randn(value.shape, generator=generator) * scale[name]
            if name == "weight":
                gradient[0] = 0
            tensors[f"grad.{name}.{step}"] = gradient
            value.grad = gradient.double()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        for name, value in state.items():
            tensors[f"value.{name}.{step}"] = value.clone()
    for name, value in state.items():
        tensors[f"first_moment.{name}"] = optimizer.state[value]["exp_avg"]
        tensors[f"second_moment.{name}"] = optimizer.state[value]["exp_avg_sq"]
    tensors["lr"] = rates
    # 20 M samples at 4096: 4,882 steps an epoch, 25 epochs.
    published = learning_rates(122_050, 4_882, 5e-4, 1e-6, 1e-5)
    steps = torch.tensor([0, 1, 4881, 4882, 4883, 61_025, 122_049])
    tensors["published.step"], tensors["published.lr"] = steps, published[steps]
    storage.save("optimizer", tensors, script="make_training.py")
    print("  published schedule", published[steps].tolist())


if __name__ == "__main__":
    for run_name, description in RUNS.items():
        write_run(run_name, description)
    write_bf16()
    write_optimizer()
