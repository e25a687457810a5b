"""Writes the golden files of fine-tuning: whole classifiers with every gradient, mixing, targets, rates, positions.

    python make_finetune.py

Needs torch, timm, safetensors. Blocks are the oracle's of ../rils; mixing, targets and groups are timm's own code.
"""

import math
import pathlib
import sys

import numpy
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.data.mixup import Mixup, mixup_target, rand_bbox
from timm.loss import SoftTargetCrossEntropy
from timm.optim import param_groups_layer_decay

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "rils"))
import oracle  # noqa: E402

generator = torch.Generator().manual_seed(5)


def randn(*shape, scale=1.0):
    return torch.randn(shape, generator=generator) * scale


def save(name, tensors):
    path = HERE / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path,
              metadata={"made_by": f"make_finetune.py, torch {torch.__version__}, timm {timm.__version__}"})
    path.chmod(0o644)
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1000:.0f} kB")


def block(x, p, prefix, heads, scales):
    """A pre-norm block whose two branches are scaled per sample: drop path with given draws."""
    q = {key[len(prefix):]: value for key, value in p.items() if key.startswith(prefix)}
    h = oracle.layer_norm(x, q["norm1.weight"], q["norm1.bias"], oracle.VISION_EPS)
    bias = torch.cat([q["attn.q_bias"], torch.zeros_like(q["attn.q_bias"]), q["attn.v_bias"]])
    n, tokens, width = h.shape
    qkv = F.linear(h, q["attn.qkv.weight"], bias).reshape(n, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(*qkv.unbind(0)).transpose(1, 2).reshape(n, tokens, width)
    x = x + scales[0][:, None, None] * F.linear(attended, q["attn.proj.weight"], q["attn.proj.bias"])
    h = oracle.layer_norm(x, q["norm2.weight"], q["norm2.bias"], oracle.VISION_EPS)
    h = F.linear(F.gelu(F.linear(h, q["mlp.fc1.weight"], q["mlp.fc1.bias"])), q["mlp.fc2.weight"], q["mlp.fc2.bias"])
    return x + scales[1][:, None, None] * h


def encode(p, images, scales, patch, layers, heads):
    x = F.conv2d(images, p["visual.patch_embed.proj.weight"], p["visual.patch_embed.proj.bias"], stride=patch)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([p["visual.cls_token"].expand(len(x), -1, -1), x], 1) + p["visual.pos_embed"]
    for i in range(layers):
        x = block(x, p, f"visual.blocks.{i}.", heads, scales[i])
    return x


def classify(p, images, scales, patch, layers, heads, pool):
    x = encode(p, images, scales, patch, layers, heads)
    if pool == "mean":
        x = oracle.layer_norm(x[:, 1:].mean(1), p["fc_norm.weight"], p["fc_norm.bias"], oracle.VISION_EPS)
    else:
        x = oracle.layer_norm(x, p["visual.norm.weight"], p["visual.norm.bias"], oracle.VISION_EPS)[:, 0]
    return F.linear(x, p["head.weight"], p["head.bias"])


def write_classifier(pool):
    width, patch, size, layers, heads, classes, rows = 16, 4, 12, 3, 2, 5, 4
    shapes = {"visual.cls_token": (1, 1, width), "visual.pos_embed": (1, 1 + (size // patch)**2, width),
              "visual.patch_embed.proj.weight": (width, 3, patch, patch), "visual.patch_embed.proj.bias": (width,),
              "head.weight": (classes, width), "head.bias": (classes,)}
    for i in range(layers):
        shapes |= oracle.vision_block_shapes(f"visual.blocks.{i}", width)
    norm = "fc_norm" if pool == "mean" else "visual.norm"
    shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    p = {}
    for name, shape in shapes.items():
        fan = math.prod(shape[1:]) if len(shape) > 1 and "token" not in name and "pos" not in name else 9
        p[name] = randn(*shape, scale=fan**-0.5) + float("norm" in name and name.endswith("weight"))
    images = randn(rows, 3, size, size)
    targets = mixup_target(torch.tensor([0, 3, 3, 4]), classes, 0.3, 0.1)
    scales = torch.ones(layers, 2, rows)
    scales[1] = torch.tensor([[1 / 0.95, 0, 1 / 0.95, 1 / 0.95], [1 / 0.95, 1 / 0.95, 1 / 0.95, 0]])
    scales[2] = torch.tensor([[1 / 0.9, 1 / 0.9, 0, 1 / 0.9], [0, 1 / 0.9, 1 / 0.9, 1 / 0.9]])
    wide = {name: value.double().requires_grad_() for name, value in p.items()}
    logits = classify(wide, images.double(), scales.double(), patch, layers, heads, pool)
    loss = SoftTargetCrossEntropy()(logits, targets.double())
    gradients = torch.autograd.grad(loss, list(wide.values()))
    save(f"classifier_{pool}", {
        "images": images, "targets": targets, "scales": scales, "logits": logits.detach(), "loss": loss.detach(),
        **{f"param.{name}": value for name, value in p.items()},
        **{f"grad.{name}": value for name, value in zip(wide, gradients)}})


def write_mixing():
    """timm's Mixup in batch mode with its random draws replaced by given ones."""
    images = randn(4, 3, 10, 10)
    labels = torch.tensor([0, 2, 1, 2])
    out = {"images": images, "labels": labels.int()}
    for i, lam in enumerate((0.3, 0.75, 1.0)):
        mixup = Mixup(0.8, 0.0, label_smoothing=0.1, num_classes=3)
        mixup._params_per_batch = lambda: (lam, False)
        out[f"mixup.{i}.images"], out[f"mixup.{i}.targets"] = mixup(images.clone(), labels)
        out[f"mixup.{i}.lambda"] = torch.tensor(lam, dtype=torch.float64)
    real = numpy.random.randint
    for i, (lam, y, x) in enumerate(((0.5, 5, 5), (0.2, 0, 9), (0.9, 3, 0), (0.0, 4, 6))):
        draws = iter((y, x))
        numpy.random.randint = lambda *_, **__: next(draws)
        mixup = Mixup(0.0, 1.0, label_smoothing=0.1, num_classes=3)
        mixup._params_per_batch = lambda: (lam, True)
        out[f"cutmix.{i}.images"], out[f"cutmix.{i}.targets"] = mixup(images.clone(), labels)
        out[f"cutmix.{i}.draws"] = torch.tensor([lam, y, x], dtype=torch.float64)
    # Boxes for many draws: (size, lambda, y, x, top, bottom, left, right).
    rows = []
    for size in (7, 32, 224):
        for lam in (0.01, 0.3, 0.62, 0.99):
            for y, x in ((0, size - 1), (size // 2, size // 3), (size - 1, 0)):
                draws = iter((y, x))
                numpy.random.randint = lambda *_, **__: next(draws)
                top, bottom, left, right = rand_bbox((3, size, size), lam)
                rows.append([size, lam, y, x, top, bottom, left, right])
    numpy.random.randint = real
    out["boxes"] = torch.tensor(rows, dtype=torch.float64)
    save("mixing", out)


def write_rates():
    """Learning-rate factors and weight decay of timm's groups for a ViT of two blocks, by our names; also points of the
    schedule."""
    model = timm.create_model("vit_tiny_patch16_224", depth=2, global_pool="avg", fc_norm=True, num_classes=3)
    ours = lambda name: name if name.startswith(("fc_norm", "head")) else "visual." + name
    scale, decayed = {}, {}
    for group in param_groups_layer_decay(model, 0.05, ("pos_embed", "cls_token"), layer_decay=0.65):
        names = {id(p): n for n, p in model.named_parameters()}
        for p in group["params"]:
            scale[ours(names[id(p)])], decayed[ours(names[id(p)])] = group["lr_scale"], group["weight_decay"]
    epochs = torch.tensor([0, 0.3, 2.5, 4.99, 5, 5.01, 20, 52.5, 99.999], dtype=torch.float64)
    base, low, warm, total = 2e-3, 1e-6, 5, 100
    rate = [base * e / warm if e < warm else low + (base - low) * 0.5 *
            (1 + math.cos(math.pi * (e - warm) / (total - warm))) for e in epochs.tolist()]
    save("rates", {"epochs": epochs, "rate": torch.tensor(rate, dtype=torch.float64),
                   **{f"scale.{n}": torch.tensor(v, dtype=torch.float64) for n, v in scale.items()},
                   **{f"decay.{n}": torch.tensor(v, dtype=torch.float64) for n, v in decayed.items()}})


def write_positions():
    table = randn(1, 1 + 16, 6)
    out = {"table": table}
    for grid in (2, 3, 5, 7):
        picture = table[:, 1:].reshape(1, 4, 4, 6).permute(0, 3, 1, 2).double()
        resized = F.interpolate(picture, size=(grid, grid), mode="bicubic", align_corners=False)
        out[f"grid.{grid}"] = torch.cat([table[:, :1].double(), resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    save("positions", out)


def write_training():
    """Six steps of the recipe without its random parts: smoothed labels, warm-up and cosine, layer-wise rates, weight
    decay by timm's rule, clipping, PyTorch's AdamW. Starts from classifier_mean."""
    start = load_file(HERE / "classifier_mean.safetensors")
    p = {name[6:]: value.double().requires_grad_() for name, value in start.items() if name.startswith("param.")}
    patch, layers, heads, classes, rows, steps = 4, 3, 2, 5, 4, 6
    images, labels = randn(steps, rows, 3, 12, 12), torch.randint(0, classes, (steps, rows), generator=generator)
    base, low, batches, epochs, warm, decay, limit = 2e-3, 1e-5, 2, 3, 1, 0.65, 1.0
    groups = []
    for name, value in p.items():
        inner = 0 if name.split(".")[1] in ("cls_token", "pos_embed", "patch_embed") else layers + 1
        if name.startswith("visual.blocks."):
            inner = int(name.split(".")[2]) + 1
        exempt = value.ndim == 1 or name in ("visual.cls_token", "visual.pos_embed")
        groups.append({"params": [value], "weight_decay": 0.0 if exempt else 0.05,
                       "scale": decay**(layers + 1 - inner)})
    optimizer = torch.optim.AdamW(groups, lr=0, betas=(0.9, 0.999), eps=1e-8)
    ones = torch.ones(layers, 2, rows, dtype=torch.float64)
    losses, norms, rates = [], [], []
    for step in range(steps):
        epoch = step / batches
        rate = base * epoch / warm if epoch < warm else low + (base - low) * 0.5 * (
            1 + math.cos(math.pi * (epoch - warm) / (epochs - warm)))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        logits = classify(p, images[step].double(), ones, patch, layers, heads, "mean")
        loss = F.cross_entropy(logits, labels[step], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(p.values(), limit))
        optimizer.step()
        losses.append(loss.detach())
        rates.append(rate)
    save("training", {"images": images, "labels": labels.int(), "losses": torch.stack(losses),
                      "norms": torch.stack(norms), "rates": torch.tensor(rates, dtype=torch.float64),
                      **{f"final.{name}": value.detach().float() for name, value in p.items()}})


def lars_step(value, gradient, momentum, lr, decay):
    """One step of LARS with momentum 0.9 and trust 0.001; tensors of one dimension take plain steps."""
    if value.ndim > 1:
        gradient = gradient + decay * value
        norms = value.norm(), gradient.norm()
        if norms[0] > 0 and norms[1] > 0:
            gradient = gradient * (0.001 * norms[0] / norms[1])
    momentum.mul_(0.9).add_(gradient)
    return value - lr * momentum


def write_probe():
    """Four steps of the linear probe: frozen features, batch norm without parameters, a head, LARS."""
    width, patch, size, layers, heads, classes, rows, steps = 16, 4, 12, 2, 2, 5, 6, 4
    shapes = {"visual.cls_token": (1, 1, width), "visual.patch_embed.proj.weight": (width, 3, patch, patch),
              "visual.patch_embed.proj.bias": (width,), "visual.norm.weight": (width,), "visual.norm.bias": (width,)}
    for i in range(layers):
        shapes |= oracle.vision_block_shapes(f"visual.blocks.{i}", width)
    p = {name: randn(*shape, scale=math.prod(shape[1:])**-0.5 if len(shape) > 1 else 0.3) +
         float("norm" in name and name.endswith("weight")) for name, shape in shapes.items()}
    wide = {name: value.double() for name, value in p.items()}
    wide["visual.pos_embed"] = oracle.position_table(width, size // patch).double().reshape(1, -1, width)
    images, labels = randn(steps, rows, 3, size, size), torch.randint(0, classes, (steps, rows), generator=generator)
    weight, bias = randn(classes, width, scale=0.1), randn(classes, scale=0.1)
    out = {"images": images, "labels": labels.int(), "weight": weight, "bias": bias,
           **{f"param.{name}": value for name, value in p.items()}}
    norm = torch.nn.BatchNorm1d(width, affine=False, eps=1e-6).double()
    ones = torch.ones(layers, 2, rows, dtype=torch.float64)

    def features(x):
        x = oracle.layer_norm(encode(wide, x.double(), ones, patch, layers, heads), wide["visual.norm.weight"],
                              wide["visual.norm.bias"], oracle.VISION_EPS)
        return x[:, 1:].mean(1)

    w, b = weight.double(), bias.double()
    momenta = torch.zeros_like(w), torch.zeros_like(b)
    losses, rates = [], [0.5, 2.0, 1.0, 0.25]
    for step in range(steps):
        w, b = w.requires_grad_(), b.requires_grad_()
        loss = F.cross_entropy(F.linear(norm(features(images[step])), w, b), labels[step])
        dw, db = torch.autograd.grad(loss, (w, b))
        with torch.no_grad():
            w = lars_step(w, dw, momenta[0], rates[step], 0.01)
            b = lars_step(b, db, momenta[1], rates[step], 0.01)
        losses.append(loss.detach())
    norm.eval()
    out |= {"losses": torch.stack(losses), "rates": torch.tensor(rates, dtype=torch.float64), "final.weight": w,
            "final.bias": b, "final.mean": norm.running_mean, "final.variance": norm.running_var,
            "final.logits": F.linear(norm(features(images[0])), w, b)}
    save("probe", out)


def write_logistic():
    """Rows centred and of unit length, and the minimum of the regularised mean loss, by Newton's method."""
    features, labels = randn(40, 6) + torch.arange(6) * 0.7, torch.randint(0, 4, (40,), generator=generator)
    features[torch.arange(40), labels] += 1.5
    features[7] = 2.5
    rows = features.double()
    rows = F.normalize(rows - rows.mean(1, keepdim=True), dim=1)
    loss = lambda w, lam: F.cross_entropy(rows @ w.reshape(4, 6).T, labels) + 0.5 * lam * w.square().sum()
    out = {"features": features, "labels": labels.int(), "rows": rows}
    for name, lam in (("weak", 1e-3), ("strong", 0.1)):
        w = torch.zeros(24, dtype=torch.float64)
        for _ in range(60):
            hessian = torch.autograd.functional.hessian(lambda v: loss(v, lam), w)
            gradient = torch.autograd.functional.jacobian(lambda v: loss(v, lam), w)
            w = w - torch.linalg.solve(hessian, gradient)
        assert torch.autograd.functional.jacobian(lambda v: loss(v, lam), w).norm() < 1e-13
        out |= {f"{name}.lambda": torch.tensor(lam, dtype=torch.float64), f"{name}.weights": w.reshape(4, 6),
                f"{name}.value": loss(w, lam)}
    save("logistic", out)


write_classifier("mean")
write_classifier("cls")
write_mixing()
write_rates()
write_positions()
write_logistic()
write_probe()
write_training()
