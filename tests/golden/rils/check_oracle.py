"""Tests the oracle itself. Exits with status 1 if anything disagrees.

    python check_oracle.py

* parameter counts of the published sizes and values of the position table;
* masking, patches, positions and the rows that are read, against direct formulas;
* blocks against PyTorch's own modules, the losses against plain Python loops over the definition;
* the closed form of the student's gradient, and the contrastive gradient's independence of the simulated ranks;
* every gradient of every case file against central differences.
"""

import copy
import math
import sys
import tomllib

import torch
import torch.nn.functional as F

import make_objectives
import make_rils
import oracle
import samples
import storage

failures = []


def check(what, error, bound):
    passed = error <= bound
    print(f"{'ok  ' if passed else 'FAIL'} {what}: {error:.3g} (at most {bound:.3g})")
    if not passed:
        failures.append(what)


def difference(a, b):
    """The largest difference, relative to b's largest value."""
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-300))


def published(width, layers, heads, text_width, text_heads):
    return {"model": {
        "objective": "rils", "embed_dim": text_width,
        "vision": {"image_size": 224, "patch_size": 16, "width": width, "layers": layers, "heads": heads},
        "decoder": {"width": width, "layers": 1, "heads": heads},
        "text": {"context_length": 77, "vocab_size": 49408, "width": text_width, "layers": 12, "heads": text_heads},
    }}


def check_counts():
    for name, config, expected in (("ViT-B/16", published(768, 12, 12, 512, 8), 157_730_049),
                                   ("ViT-L/16", published(1024, 24, 16, 768, 12), 442_209_537)):
        count = sum(math.prod(shape) for shape in oracle.parameter_shapes(config).values())
        check(f"{name}: {count:,} parameters, expected {expected:,}", abs(count - expected), 0)


def check_positions():
    table = oracle.position_table(768, 14)[0]
    expected = {
        (1, 2): {0: 0.9092974, 1: 0.9442368, 191: 0.0002098, 192: -0.4161468, 193: -0.3292672,
                 384: 0.8414710, 385: 0.8152506, 576: 0.5403023, 577: 0.5791083},
        (13, 13): {0: 0.420167, 192: 0.9074468, 384: 0.420167, 576: 0.9074468},
    }
    error = max(abs(float(table[1 + 14 * row + column, channel]) - value)
                for (row, column), values in expected.items() for channel, value in values.items())
    # Half a unit of the seventh decimal, and half a unit in the last place of float32.
    check("position table, published values", error, 8e-8)
    check("position table, CLS row", float(table[0].abs().max()), 0)


def check_blocks():
    generator = torch.Generator().manual_seed(1)
    randn = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)
    width, heads = 20, 2
    x = randn(2, 7, width)
    p = {name: randn(*shape) for name, shape in oracle.text_block_shapes("b", width).items()}
    p = oracle.part(p, "b")
    module = torch.nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.0, oracle.quick_gelu, batch_first=True, norm_first=True, dtype=torch.float64)
    module.load_state_dict({
        "self_attn.in_proj_weight": p["attn.in_proj_weight"], "self_attn.in_proj_bias": p["attn.in_proj_bias"],
        "self_attn.out_proj.weight": p["attn.out_proj.weight"], "self_attn.out_proj.bias": p["attn.out_proj.bias"],
        "linear1.weight": p["mlp.c_fc.weight"], "linear1.bias": p["mlp.c_fc.bias"],
        "linear2.weight": p["mlp.c_proj.weight"], "linear2.bias": p["mlp.c_proj.bias"],
        "norm1.weight": p["ln_1.weight"], "norm1.bias": p["ln_1.bias"],
        "norm2.weight": p["ln_2.weight"], "norm2.bias": p["ln_2.bias"]})
    causal = torch.nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64)
    check("text block against nn.TransformerEncoderLayer",
          difference(oracle.text_block(x, p, heads), module(x, src_mask=causal).detach()), 1e-12)

    v = oracle.part({name: randn(*shape) for name, shape in oracle.vision_block_shapes("b", width).items()}, "b")
    module.activation = F.gelu
    module.norm1.eps = module.norm2.eps = 1e-6
    bias = torch.cat([v["attn.q_bias"], torch.zeros(width, dtype=torch.float64), v["attn.v_bias"]])
    module.load_state_dict({
        "self_attn.in_proj_weight": v["attn.qkv.weight"], "self_attn.in_proj_bias": bias,
        "self_attn.out_proj.weight": v["attn.proj.weight"], "self_attn.out_proj.bias": v["attn.proj.bias"],
        "linear1.weight": v["mlp.fc1.weight"], "linear1.bias": v["mlp.fc1.bias"],
        "linear2.weight": v["mlp.fc2.weight"], "linear2.bias": v["mlp.fc2.bias"],
        "norm1.weight": v["norm1.weight"], "norm1.bias": v["norm1.bias"],
        "norm2.weight": v["norm2.weight"], "norm2.bias": v["norm2.bias"]})
    check("vision block against nn.TransformerEncoderLayer",
          difference(oracle.vision_block(x, v, heads), module(x).detach()), 1e-12)


def check_masking():
    noise = (torch.rand(3, 25, generator=torch.Generator().manual_seed(3)) * 4).floor() / 4
    masking = oracle.masking_from_noise(noise, 0.75)
    expected = torch.tensor([sorted(range(25), key=row.__getitem__)[:6] for row in noise.tolist()])
    slots = torch.cat([masking.kept, torch.full((3, 19), -1)], dim=1).gather(1, masking.restore)
    wrong = (masking.kept != expected).sum()
    for row, kept, removed in zip(slots, masking.kept, masking.removed):
        wrong += (row[kept] != kept).sum() + (removed[kept] != 0).sum() + (row[removed.bool()] != -1).sum()
        wrong += removed.sum() != 19
    check("masking against a stable sort, and its inverse", int(wrong), 0)
    check("kept patches, truncated products",
          sum(abs(oracle.kept_patches(p, ratio) - kept) for p, ratio, kept in
              ((196, 0.75, 49), (100, 0.8, 19), (50, 0.9, 4), (196, 0.0, 196))), 0)


def check_towers():
    """The operations around the blocks. Without any block there are closed forms to compare with."""
    config = copy.deepcopy(make_rils.BASE)
    vision, decoder, text = (config["model"][key] for key in ("vision", "decoder", "text"))
    generator = torch.Generator().manual_seed(4)
    p = oracle.cast(samples.random_parameters(config, generator), torch.float64)
    tables = oracle.cast(oracle.position_tables(config), torch.float64)
    batch = oracle.cast(samples.random_batch(2, config, generator), torch.float64)
    encoder_table, decoder_table = tables["visual.pos_embed"], tables["visual.decoder_pos_embed"]
    norm = lambda x, prefix, eps: F.layer_norm(x, x.shape[-1:], p[f"{prefix}.weight"], p[f"{prefix}.bias"], eps)

    bare = oracle.encode_patches(p, encoder_table, batch["images"], {**vision, "layers": 0})
    pixels = batch["images"][1, :, 4:8, 8:12].flatten()  # row 1, column 2 of the 4x4 grid
    patch = p["visual.patch_embed.proj.weight"].flatten(1) @ pixels + p["visual.patch_embed.proj.bias"]
    check("patch of row 1, column 2",
          difference(bare[1, 1 + 6], norm(patch + encoder_table[0, 1 + 6], "visual.norm", 1e-6)), 1e-12)
    check("class token", difference(bare[1, 0], norm(p["visual.cls_token"][0, 0], "visual.norm", 1e-6)), 1e-12)

    full = oracle.encode_patches(p, encoder_table, batch["images"], vision)
    everything = oracle.masking_from_noise(batch["noise"], 0.0)
    shuffled = oracle.encode_patches(p, encoder_table, batch["images"], vision, everything)
    check("shuffling without removing changes nothing",
          difference(oracle.rows_at(shuffled[:, 1:], everything.restore), full[:, 1:]), 1e-12)
    decoded = oracle.decode_patches(p, decoder_table, shuffled, everything, decoder)
    in_order = oracle.masking_from_noise(torch.arange(16.0).expand(2, 16), 0.0)
    check("the decoder undoes the shuffle",
          difference(decoded, oracle.decode_patches(p, decoder_table, full, in_order, decoder)), 1e-12)

    masking = oracle.masking_from_noise(batch["noise"], 0.75)
    visible = oracle.encode_patches(p, encoder_table, batch["images"], vision, masking)
    decoded = oracle.decode_patches(p, decoder_table, visible, masking, {**decoder, "layers": 0})
    embedded = visible @ p["visual.decoder_embed.weight"].T + p["visual.decoder_embed.bias"]
    worst = 0.0
    for n in range(2):
        for k in range(16):
            slot = masking.kept[n].tolist().index(k) + 1 if k in masking.kept[n] else None
            h = (p["visual.mask_token"][0, 0] if slot is None else embedded[n, slot]) + decoder_table[0, 1 + k]
            h = norm(h, "visual.decoder_norm", 1e-6)
            wanted = p["visual.decoder_pred.weight"] @ h + p["visual.decoder_pred.bias"]
            worst = max(worst, difference(decoded[n, 1 + k], wanted))
    check("decoder rows of visible and removed patches", worst, 1e-12)

    tokens = batch["tokens"]
    end = int(tokens[1].argmax())
    row = p["token_embedding.weight"][tokens[1, end]] + p["positional_embedding"][end]
    bare = oracle.encode_texts(p, tokens, {**text, "layers": 0})
    check("text row of the largest id",
          difference(bare[1], norm(row, "ln_final", 1e-5) @ p["text_projection"]), 1e-12)
    padded = tokens.clone()
    padded[1, end + 1:] = 7
    check("tokens after the end change nothing",
          difference(oracle.encode_texts(p, padded, text), oracle.encode_texts(p, tokens, text)), 1e-12)


def softmax_of(values):
    top = max(values)
    exponentials = [math.exp(value - top) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def unit(rows):
    return [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in rows]


def dot(a, b):
    return sum(v * w for v, w in zip(a, b))


def literal_losses(found, images, config):
    """Every term of the objective, and their sum, in plain Python from the definitions."""
    options = oracle.loss_options(config)
    terms = {}
    if found.image is not None:
        terms |= literal_text_losses(found, options)
    if found.pixels is not None:
        terms |= literal_pixel_loss(found, images, config, options)
    if found.view1 is not None:
        terms |= literal_view_losses(found, options)
    return {**terms, "loss": sum(value for key, value in terms.items() if key.endswith("_loss"))}


def literal_pixel_loss(found, images, config, options):
    """Patch by patch and pixel by pixel: row, column, channel."""
    side = config["model"]["vision"]["patch_size"]
    grid = config["model"]["vision"]["image_size"] // side
    total = hidden = 0.0
    for n in range(len(images)):
        for patch in range(grid * grid):
            if not found.removed[n, patch]:
                continue
            top, left = patch // grid * side, patch % grid * side
            true = [float(images[n, c, top + y, left + x]) for y in range(side) for x in range(side) for c in range(3)]
            mean = sum(true) / len(true)
            deviation = math.sqrt(sum((v - mean) ** 2 for v in true) / (len(true) - 1) + 1e-6)
            errors = [(guess - (v - mean) / deviation) ** 2 for guess, v in zip(found.pixels[n, patch].tolist(), true)]
            total += sum(errors) / len(errors)
            hidden += 1
    return {"mae_loss": options["mae_weight"] * total / hidden}


def literal_view_losses(found, options):
    """Each view must find the other view of its image among all views except itself."""
    a, b = unit(found.view1.tolist()), unit(found.view2.tolist())
    loss = accuracy = 0.0
    for i in range(len(a)):
        for query, others, own in ((a[i], b, a), (b[i], a, b)):
            scores = [dot(query, k) for k in others] + [dot(query, k) for j, k in enumerate(own) if j != i]
            loss -= math.log(softmax_of([s / options["ssl_temperature"] for s in scores])[i]) / (2 * len(a))
            if own is a and scores.index(max(scores)) == i:
                accuracy += 100 / len(a)
    return {"ssl_loss": options["ssl_scale"] * loss, "ssl_acc": accuracy}


def literal_text_losses(found, options):
    image, text = unit(found.image.tolist()), unit(found.text.tolist())
    count, ranks = len(image), options["simulated_ranks"]
    size, scale = count // ranks, math.exp(found.logit_scale)
    clip = recon = accuracy = 0.0
    for rank in range(ranks):
        numerator = denominator = 0.0
        for label in range(size * rank, size * (rank + 1)):
            to_texts = [scale * dot(image[label], t) for t in text]
            to_images = [scale * dot(text[label], i) for i in image]
            clip -= (math.log(softmax_of(to_texts)[label]) + math.log(softmax_of(to_images)[label])) / (2 * count)
            # Ties are exact in the method; here equal captions may differ in the last bits.
            best = min(j for j in range(count) if to_texts[j] > max(to_texts) - 1e-10)
            if best != label:
                continue
            accuracy += 100 / count
            if found.student is None:
                continue
            rows = zip(unit(found.student[label].tolist()), unit(found.teacher[label].tolist()),
                       found.removed[label].tolist())
            for student, teacher, removed in rows:
                if removed:
                    q = softmax_of([dot(student, t) / options["student_temperature"] for t in text])
                    p = softmax_of([dot(teacher, t) / options["teacher_temperature"] for t in text])
                    numerator += sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q))
                    denominator += 1
        recon += options["reconstruction_weight"] * numerator / (denominator + 1e-6) / ranks
    return {"clip_loss": clip, "recon_loss": recon, "clip_acc": accuracy}


def check_image_mlp():
    """Two steps of the head's batch norms against PyTorch's own."""
    generator = torch.Generator().manual_seed(4)
    shapes = oracle.image_mlp_shapes({"hidden": 7, "output": 3}, 5)
    p = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    module = torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.ReLU(),
        torch.nn.Linear(7, 7), torch.nn.BatchNorm1d(7), torch.nn.ReLU(), torch.nn.Linear(7, 3)).double()
    names = {"layer1": 0, "bn1": 1, "layer2": 3, "bn2": 4, "layer3": 6}
    module.load_state_dict({f"{names[name.split('.')[1]]}.{name.split('.')[2]}": value for name, value in p.items()},
                           strict=False)
    entering = []
    for view in range(2):
        x = torch.randn(6, 5, generator=generator, dtype=torch.float64)
        found, before = oracle.image_mlp(p, x)
        entering.append(before)
        check(f"views' head against nn.BatchNorm1d, view {view}", difference(found, module(x).detach()), 1e-12)
    kept = oracle.kept_moments(entering)
    check("moments kept by the head", max(
        difference(kept[f"image_mlp.{norm}.{moment}"], module.state_dict()[f"{names[norm]}.{moment}"])
        for norm in ("bn1", "bn2") for moment in ("running_mean", "running_var")), 1e-12)


def check_student_gradient(found, tokens, config):
    """Compares autograd with the closed form for one rank with constant prototypes."""
    config = copy.deepcopy(config)
    config["loss"] |= {"simulated_ranks": 1, "gather": "constant"}
    options = oracle.loss_options(config)
    student = found.student.clone().requires_grad_()
    live = oracle.Features(**{**vars(found), "student": student})
    result = oracle.losses(live, found, tokens, config)
    measured, = torch.autograd.grad(result["loss"], student)

    text = oracle.normalised(found.text)
    length = found.student.norm(dim=-1, keepdim=True)
    unit = found.student / length
    q = (unit @ text.T / options["student_temperature"]).softmax(-1)
    p = (oracle.normalised(found.teacher) @ text.T / options["teacher_temperature"]).softmax(-1)
    weight = found.removed * result["gate"][:, None]
    to_logits = options["reconstruction_weight"] / (weight.sum() + 1e-6) * weight[..., None] * (q - p)
    to_unit = to_logits @ text / options["student_temperature"]
    expected = (to_unit - unit * (unit * to_unit).sum(-1, keepdim=True)) / length
    check("student gradient, closed form", difference(measured, expected), 1e-12)


def check_ranks_of_clip(found, tokens, config):
    """With constant keys the contrastive gradient does not depend on the number of simulated ranks."""
    gradients = []
    for ranks in (1, 2, 3):
        config = copy.deepcopy(config)
        config["loss"] |= {"simulated_ranks": ranks, "gather": "constant"}
        live = found.map(lambda v: v.clone().requires_grad_() if v.is_floating_point() else v)
        loss = oracle.losses(live, found, tokens, config)["clip_loss"]
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, [live.image, live.text])]))
    check("contrastive gradient, 1, 2 and 3 simulated ranks",
          max(difference(g, gradients[0]) for g in gradients[1:]), 1e-12)


def check_differences(name, config, parameters, batch, stored, generator):
    """Central differences of each parameter along a random direction and along its axis of steepest ascent.

    The constants of the losses stay at the unmoved parameters' values, as stop-gradient means.
    """
    tables = oracle.cast(oracle.position_tables(config), torch.float64)
    base = oracle.cast(parameters, torch.float64)
    inputs = oracle.cast(batch, torch.float64)
    if "noise" in batch:
        inputs["noise"] = batch["noise"]
    _, gradients, fixed = oracle.evaluate(config, parameters, batch)
    worst = stored_error = 0.0

    def slope(key, direction, step=2e-5):
        values = [oracle.forward(config, {**base, key: base[key] + sign * step * direction},
                                 tables, inputs, fixed)[0]["loss"] for sign in (1, -1)]
        return float(values[0] - values[1]) / (2 * step)

    with torch.no_grad():
        for key, gradient in gradients.items():
            if key in make_objectives.constants_of(config):
                stored_error = max(stored_error, float(stored[key].abs().max()), float(gradient.abs().max()))
            else:
                stored_error = max(stored_error, difference(stored[key].double(), gradient))
            axis = torch.zeros_like(gradient)
            axis.view(-1)[gradient.abs().argmax()] = 1
            random = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
            random = random / random.norm()
            for direction in (axis, random):
                magnitude = float(gradient.norm())
                error = abs(slope(key, direction) - float((gradient * direction).sum()))
                worst = max(worst, error / max(magnitude, 1e-3))
    check(f"{name}: central differences", worst, 1e-6)
    check(f"{name}: stored gradients", stored_error, 1e-7)


def check_case(path, generator):
    config = tomllib.loads(path.read_text())
    stored = storage.load(path.stem)
    parameters = storage.below("param", stored)
    batch = {key: stored[key] for key in ("images", "tokens", "noise", "view1", "view2") if key in stored}
    result, _, found = oracle.evaluate(config, parameters, batch)
    literal = literal_losses(found, batch.get("images"), config)
    check(f"{path.stem}: losses against plain loops",
          max(abs(literal[key] - float(result[key])) for key in literal), 1e-11)
    check(f"{path.stem}: stored losses", max(abs(float(stored[key] - result[key])) for key in literal), 1e-12)
    check_differences(path.stem, config, parameters, batch, storage.below("grad", stored), generator)
    if path.stem == "case_basic":
        check_student_gradient(found, batch["tokens"].long(), config)
        check_ranks_of_clip(found, batch["tokens"].long(), config)


if __name__ == "__main__":
    check_counts()
    check_positions()
    check_blocks()
    check_masking()
    check_towers()
    check_image_mlp()
    source = torch.Generator().manual_seed(2)
    for case in sorted(storage.HERE.glob("case_*.toml")):
        check_case(case, source)
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)
