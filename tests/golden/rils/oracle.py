"""RILS and the objectives beside it in PyTorch: the reference that the C++ implementation is measured against.

Written for legibility, in any floating-point type (float64 by default). A configuration is the nested dict
that `tomllib` reads from a TOML file; parameters are one flat dict under the official names.

Shapes use N images and texts, P patches, D encoder width, E joint embedding width, S simulated ranks.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

VISION_EPS = 1e-6
TEXT_EPS = 1e-5
BATCH_NORM_EPS = 1e-5
PIXEL_EPS = 1e-6
SELF = 1e9  # subtracted from a row's logit with itself

LOSS_DEFAULTS = {
    "mask_ratio": 0.75,
    "student_temperature": 0.1,
    "teacher_temperature": 0.04,
    "reconstruction_weight": 0.5,
    "gather": "constant",
    "simulated_ranks": 1,
    "logit_scale_max": 100.0,
}

# Options of the objectives with pixels or views.
MORE_LOSS_DEFAULTS = {
    "mae_weight": 1.0,
    "ssl_temperature": 0.1,
    "ssl_scale": 1.0,
}


# ---------------------------------------------------------------------------------------------------------
# Configuration and parameters


def loss_options(config):
    """The [loss] section with its defaults filled in."""
    options = {**LOSS_DEFAULTS, **MORE_LOSS_DEFAULTS, **config.get("loss", {})}
    if options["gather"] not in ("constant", "with-gradient"):
        raise ValueError(f"loss.gather: expected constant or with-gradient, found {options['gather']}")
    return options


OBJECTIVES = ("rils", "clip", "slip", "simclr", "mae", "mae+clip")


def objective_of(config):
    objective = config["model"].get("objective", "rils")
    if objective not in OBJECTIVES:
        raise ValueError(f"model.objective: the oracle knows {', '.join(OBJECTIVES)}, found {objective}")
    return objective


def contrasts_texts(config):
    return objective_of(config) in ("rils", "clip", "slip", "mae+clip")


def contrasts_views(config):
    return objective_of(config) in ("simclr", "slip")


def predicts_pixels(config):
    return objective_of(config) in ("mae", "mae+clip")


def has_decoder(config):
    return objective_of(config) == "rils" or predicts_pixels(config)


def reads_images(config):
    return contrasts_texts(config) or has_decoder(config)


def patch_count(config):
    vision = config["model"]["vision"]
    return (vision["image_size"] // vision["patch_size"]) ** 2


def vision_block_shapes(prefix, width):
    linear = lambda name, rows, columns: {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    norm = lambda name: {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    shapes = {
        **norm("norm1"),
        "attn.q_bias": (width,),
        "attn.v_bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        **linear("attn.proj", width, width),
        **norm("norm2"),
        **linear("mlp.fc1", 4 * width, width),
        **linear("mlp.fc2", width, 4 * width),
    }
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def text_block_shapes(prefix, width):
    shapes = {
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
    }
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def encoder_shapes(vision):
    width, patch = vision["width"], vision["patch_size"]
    shapes = {
        "visual.cls_token": (1, 1, width),
        "visual.patch_embed.proj.weight": (width, 3, patch, patch),
        "visual.patch_embed.proj.bias": (width,),
    }
    for i in range(vision["layers"]):
        shapes |= vision_block_shapes(f"visual.blocks.{i}", width)
    return shapes | {"visual.norm.weight": (width,), "visual.norm.bias": (width,)}


def decoder_shapes(decoder, encoder_width, outputs):
    width = decoder["width"]
    shapes = {
        "visual.mask_token": (1, 1, width),
        "visual.decoder_embed.weight": (width, encoder_width),
        "visual.decoder_embed.bias": (width,),
    }
    for i in range(decoder["layers"]):
        shapes |= vision_block_shapes(f"visual.decoder_blocks.{i}", width)
    return shapes | {
        "visual.decoder_norm.weight": (width,),
        "visual.decoder_norm.bias": (width,),
        "visual.decoder_pred.weight": (outputs, width),
        "visual.decoder_pred.bias": (outputs,),
    }


def image_mlp_shapes(head, width):
    hidden, output = head["hidden"], head["output"]
    linear = lambda name, rows, columns: {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    norm = lambda name: {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
    shapes = {
        **linear("layer1", hidden, width),
        **norm("bn1"),
        **linear("layer2", hidden, hidden),
        **norm("bn2"),
        **linear("layer3", output, hidden),
    }
    return {f"image_mlp.{name}": shape for name, shape in shapes.items()}


def text_shapes(text, embed_dim):
    width = text["width"]
    shapes = {"positional_embedding": (text["context_length"], width)}
    for i in range(text["layers"]):
        shapes |= text_block_shapes(f"transformer.resblocks.{i}", width)
    return shapes | {
        "token_embedding.weight": (text["vocab_size"], width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        "text_projection": (width, embed_dim),
    }


def parameter_shapes(config):
    """Every trainable parameter that the objective uses: name -> shape."""
    model = config["model"]
    width = model["vision"]["width"]
    shapes = encoder_shapes(model["vision"])
    if has_decoder(config):
        pixels = 3 * model["vision"]["patch_size"] ** 2
        shapes |= decoder_shapes(model["decoder"], width, pixels if predicts_pixels(config) else width)
    if contrasts_texts(config):
        shapes |= text_shapes(model["text"], model["embed_dim"])
        shapes["image_projection"] = (width, model["embed_dim"])
        shapes["logit_scale"] = ()
    if contrasts_views(config):
        shapes |= image_mlp_shapes(model["image_mlp"], width)
    return shapes


def position_table(width, grid):
    """Frozen sin-cos table [1, grid*grid+1, width]: computed in float64, stored in float32, CLS row zero."""
    quarter = width // 4
    frequency = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    place = torch.arange(grid, dtype=torch.float64)
    row, column = (axis.reshape(-1, 1) * frequency for axis in torch.meshgrid(place, place, indexing="ij"))
    patches = torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1)
    return torch.cat([torch.zeros(1, width), patches.float()])[None]


def position_tables(config):
    """The frozen tables under their official names, in float32."""
    model = config["model"]
    grid = model["vision"]["image_size"] // model["vision"]["patch_size"]
    tables = {"visual.pos_embed": position_table(model["vision"]["width"], grid)}
    if has_decoder(config):
        tables["visual.decoder_pos_embed"] = position_table(model["decoder"]["width"], grid)
    return tables


# ---------------------------------------------------------------------------------------------------------
# Blocks and towers


def part(parameters, prefix):
    """The parameters below a prefix, with the prefix removed."""
    return {name[len(prefix) + 1:]: value for name, value in parameters.items() if name.startswith(prefix + ".")}


def layer_norm(x, weight, bias, eps):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def attention(q, k, v, causal=False):
    """softmax(q k^T / sqrt(head dim)) v over [..., tokens, head dim]; the softmax never runs in bf16."""
    scores = (q @ k.transpose(-2, -1)).to(torch.promote_types(q.dtype, torch.float32)) * q.shape[-1] ** -0.5
    if causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, -math.inf)
    return scores.softmax(-1) @ v


def multi_head(projected, heads, causal=False):
    """Attention on a joint projection [N, tokens, 3*width] laid out (q|k|v, head, head dim)."""
    n, tokens, width = projected.shape[0], projected.shape[1], projected.shape[2] // 3
    q, k, v = projected.reshape(n, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    return attention(q, k, v, causal).transpose(1, 2).reshape(n, tokens, width)


def vision_block(x, p, heads):
    """Pre-norm block with exact GELU; the key bias is fixed at zero."""
    h = layer_norm(x, p["norm1.weight"], p["norm1.bias"], VISION_EPS)
    bias = torch.cat([p["attn.q_bias"], torch.zeros_like(p["attn.q_bias"]), p["attn.v_bias"]])
    h = multi_head(F.linear(h, p["attn.qkv.weight"], bias), heads)
    x = x + F.linear(h, p["attn.proj.weight"], p["attn.proj.bias"])
    h = layer_norm(x, p["norm2.weight"], p["norm2.bias"], VISION_EPS)
    h = F.gelu(F.linear(h, p["mlp.fc1.weight"], p["mlp.fc1.bias"]))
    return x + F.linear(h, p["mlp.fc2.weight"], p["mlp.fc2.bias"])


def text_block(x, p, heads):
    """Pre-norm causal block with QuickGELU."""
    h = layer_norm(x, p["ln_1.weight"], p["ln_1.bias"], TEXT_EPS)
    h = multi_head(F.linear(h, p["attn.in_proj_weight"], p["attn.in_proj_bias"]), heads, causal=True)
    x = x + F.linear(h, p["attn.out_proj.weight"], p["attn.out_proj.bias"])
    h = layer_norm(x, p["ln_2.weight"], p["ln_2.bias"], TEXT_EPS)
    h = quick_gelu(F.linear(h, p["mlp.c_fc.weight"], p["mlp.c_fc.bias"]))
    return x + F.linear(h, p["mlp.c_proj.weight"], p["mlp.c_proj.bias"])


def kept_patches(patches, ratio):
    """The number of visible patches, truncated after a product in double precision."""
    return int(patches * (1 - ratio))


@dataclass
class Masking:
    kept: torch.Tensor     # [N, K] patch indices in shuffled order
    restore: torch.Tensor  # [N, P] slot of each patch in the shuffled order
    removed: torch.Tensor  # [N, P] 1 where a patch is removed, 0 where it is visible


def masking_from_noise(noise, ratio):
    """Keeps the patches with the smallest noise; equal noise keeps the smaller patch index first."""
    shuffle = noise.argsort(dim=1, stable=True)
    restore = shuffle.argsort(dim=1, stable=True)
    keep = kept_patches(noise.shape[1], ratio)
    return Masking(shuffle[:, :keep], restore, (restore >= keep).long())


def rows_at(tokens, index):
    """tokens [N, L, D], index [N, M] -> [N, M, D]."""
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


def encode_patches(parameters, positions, images, vision, masking=None):
    """Encoder: [N, 1+P, D], or CLS and the visible patches in shuffled order when a masking is given."""
    p = part(parameters, "visual")
    x = F.conv2d(images, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=vision["patch_size"])
    x = x.flatten(2).transpose(1, 2) + positions[:, 1:]
    if masking is not None:
        x = rows_at(x, masking.kept)
    cls = p["cls_token"] + positions[:, :1]
    x = torch.cat([cls.expand(len(x), -1, -1), x], dim=1)
    for i in range(vision["layers"]):
        x = vision_block(x, part(p, f"blocks.{i}"), vision["heads"])
    return layer_norm(x, p["norm.weight"], p["norm.bias"], VISION_EPS)


def decode_patches(parameters, positions, visible, masking, decoder):
    """Decoder: CLS and visible features [N, 1+K, D] -> features of all patches [N, 1+P, D]."""
    p = part(parameters, "visual")
    h = F.linear(visible, p["decoder_embed.weight"], p["decoder_embed.bias"])
    removed = masking.restore.shape[1] - masking.kept.shape[1]
    filler = p["mask_token"].expand(len(h), removed, -1)
    patches = rows_at(torch.cat([h[:, 1:], filler], dim=1), masking.restore)
    h = torch.cat([h[:, :1].to(patches.dtype), patches], dim=1) + positions
    for i in range(decoder["layers"]):
        h = vision_block(h, part(p, f"decoder_blocks.{i}"), decoder["heads"])
    h = layer_norm(h, p["decoder_norm.weight"], p["decoder_norm.bias"], VISION_EPS)
    return F.linear(h, p["decoder_pred.weight"], p["decoder_pred.bias"])


def encode_texts(parameters, tokens, text):
    """Text embedding before normalisation [N, E], read at the position of the largest token id."""
    x = parameters["token_embedding.weight"][tokens] + parameters["positional_embedding"]
    for i in range(text["layers"]):
        x = text_block(x, part(parameters, f"transformer.resblocks.{i}"), text["heads"])
    x = layer_norm(x, parameters["ln_final.weight"], parameters["ln_final.bias"], TEXT_EPS)
    return x[torch.arange(len(x), device=x.device), tokens.argmax(1)] @ parameters["text_projection"]


def image_mlp(parameters, features):
    """The SimCLR projection head with the moments of the batch: its output, and the inputs of its two batch norms."""
    p = part(parameters, "image_mlp")
    x, entering = features, {}
    for layer, norm in (("layer1", "bn1"), ("layer2", "bn2")):
        x = entering[norm] = F.linear(x, p[f"{layer}.weight"], p[f"{layer}.bias"])
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, variance = wide.mean(0), wide.var(0, unbiased=False)
        wide = (wide - mean) / torch.sqrt(variance + BATCH_NORM_EPS) * p[f"{norm}.weight"] + p[f"{norm}.bias"]
        x = F.relu(wide.to(x.dtype))
    return F.linear(x, p["layer3.weight"], p["layer3.bias"]), entering


def view_features(parameters, tables, images, config):
    """Backbone features [N, D] of one view of each image."""
    encoded = encode_patches(parameters, tables["visual.pos_embed"], images, config["model"]["vision"])
    return encoded[:, 1:].mean(1)


def entering_batch_norms(parameters, tables, batch, config):
    """For each view, the inputs of the head's batch norms."""
    return [image_mlp(parameters, view_features(parameters, tables, batch[view], config))[1]
            for view in ("view1", "view2")]


def kept_moments(entering):
    """Running moments of a new head after one step: momentum 0.1, unbiased variance, first view 1 and then view 2."""
    kept = {}
    for norm in ("bn1", "bn2"):
        mean, variance = 0.0, 1.0
        for x in (view[norm] for view in entering):
            mean, variance = 0.9 * mean + 0.1 * x.mean(0), 0.9 * variance + 0.1 * x.var(0)
        kept[f"image_mlp.{norm}.running_mean"], kept[f"image_mlp.{norm}.running_var"] = mean, variance
    return kept


def patch_pixels(images, patch):
    """[N, P, 3*patch*patch]: the pixels of each patch, row by row, channels last."""
    n, channels, height, width = images.shape
    x = images.reshape(n, channels, height // patch, patch, width // patch, patch)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * channels)


def pixel_targets(images, patch):
    """Each patch by its own mean and unbiased variance."""
    pixels = patch_pixels(images, patch)
    return (pixels - pixels.mean(-1, keepdim=True)) / torch.sqrt(pixels.var(-1, keepdim=True) + PIXEL_EPS)


@dataclass
class Features:
    """The inputs of the losses: embeddings before normalisation and the logarithm of the logit scale."""
    image: torch.Tensor | None = None        # [N, E]
    text: torch.Tensor | None = None         # [N, E]
    logit_scale: torch.Tensor | None = None  # []
    teacher: torch.Tensor | None = None    # [N, P, E] patches of the full pass
    student: torch.Tensor | None = None    # [N, P, E] patches that the decoder predicts
    removed: torch.Tensor | None = None    # [N, P] 1 where a patch was removed
    pixels: torch.Tensor | None = None     # [N, P, 3*patch*patch] that the decoder predicts
    target: torch.Tensor | None = None     # the same, of the images
    view1: torch.Tensor | None = None      # [N, output] of the SimCLR projection head
    view2: torch.Tensor | None = None

    def map(self, function):
        return Features(**{key: value if value is None else function(value) for key, value in vars(self).items()})


def features(parameters, tables, batch, config):
    """The features that the objective uses, from a batch {images, tokens, noise, view1, view2}."""
    model = config["model"]
    encode = lambda images, masking=None: encode_patches(
        parameters, tables["visual.pos_embed"], images, model["vision"], masking)
    result = Features()
    if contrasts_texts(config):
        full = encode(batch["images"])[:, 1:]
        result.image = full.mean(1) @ parameters["image_projection"]
        result.text = encode_texts(parameters, batch["tokens"], model["text"])
        result.logit_scale = parameters["logit_scale"]
    if has_decoder(config):
        masking = masking_from_noise(batch["noise"], loss_options(config)["mask_ratio"])
        visible = encode(batch["images"], masking)
        predicted = decode_patches(
            parameters, tables["visual.decoder_pos_embed"], visible, masking, model["decoder"])[:, 1:]
        result.removed = masking.removed
        if predicts_pixels(config):
            result.pixels = predicted
            result.target = pixel_targets(batch["images"], model["vision"]["patch_size"])
        else:
            result.teacher = full @ parameters["image_projection"]
            result.student = predicted @ parameters["image_projection"]
    if contrasts_views(config):
        result.view1, result.view2 = (
            image_mlp(parameters, view_features(parameters, tables, batch[view], config))[0]
            for view in ("view1", "view2"))
    return result


# ---------------------------------------------------------------------------------------------------------
# Losses


def normalised(v):
    return F.normalize(v, dim=-1, eps=1e-12)


def first_occurrence(tokens):
    """For each row of tokens the index of the first equal row."""
    return (tokens[:, None] == tokens[None]).all(-1).to(torch.uint8).argmax(1)


def gate(image_logits, labels, tokens):
    """1 where an image retrieves its own text. Equal captions tie exactly and the first index wins."""
    return (image_logits[:, first_occurrence(tokens)].argmax(1) == labels).to(image_logits.dtype)


def patch_sentence_rows(student, teacher, student_texts, teacher_texts, options):
    """KL(p || q) of each row. All inputs normalised: rows [..., E], texts [N, E]."""
    a = student @ student_texts.T / options["student_temperature"]
    t = teacher @ teacher_texts.T / options["teacher_temperature"]
    log_p, log_q = t.log_softmax(-1), a.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def rank_losses(live, fixed, tokens, options, rows):
    """Losses of one simulated rank, whose queries are the batch's rows `rows`.

    live carries gradients; fixed holds the same values as constants and serves wherever the method stops the
    gradient: the teacher, the gate, and with gather = "constant" the keys and the prototypes.
    """
    keys = live if options["gather"] == "with-gradient" else fixed
    key_images, key_texts = normalised(keys.image), normalised(keys.text)
    scale = live.logit_scale.exp()
    labels = torch.arange(rows.start, rows.stop, device=live.image.device)
    image_logits = scale * normalised(live.image[rows]) @ key_texts.T
    text_logits = scale * normalised(live.text[rows]) @ key_images.T
    clip = (F.cross_entropy(image_logits, labels) + F.cross_entropy(text_logits, labels)) / 2

    fixed_texts = normalised(fixed.text)
    correct = gate(normalised(fixed.image[rows]) @ fixed_texts.T, labels, tokens)
    recon = torch.zeros_like(clip)
    if live.student is not None:
        divergence = patch_sentence_rows(
            normalised(live.student[rows]), normalised(fixed.teacher[rows]), key_texts, fixed_texts, options)
        weight = live.removed[rows] * correct[:, None]
        recon = options["reconstruction_weight"] * (weight * divergence).sum() / (weight.sum() + 1e-6)
    return {"clip_loss": clip, "recon_loss": recon, "clip_acc": 100 * correct.mean(), "gate": correct}


def view_losses(a, b, options):
    """ssl_loss (weighted) and ssl_acc (%): each view finds the other among both views of all images."""
    a, b = normalised(a), normalised(b)
    labels = torch.arange(len(a), device=a.device)
    own = SELF * torch.eye(len(a), dtype=a.dtype, device=a.device)
    against = lambda q, k: q @ k.T / options["ssl_temperature"]
    from_a = torch.cat([against(a, b), against(a, a) - own], dim=1)
    from_b = torch.cat([against(b, a), against(b, b) - own], dim=1)
    loss = (F.cross_entropy(from_a, labels) + F.cross_entropy(from_b, labels)) / 2
    correct = (from_a.argmax(1) == labels).to(a.dtype)
    return {"ssl_loss": options["ssl_scale"] * loss, "ssl_acc": 100 * correct.mean()}


def pixel_losses(live, options):
    """mae_loss (weighted): the mean over the removed patches of all images."""
    rows = ((live.pixels - live.target) ** 2).mean(-1)
    return {"mae_loss": options["mae_weight"] * (rows * live.removed).sum() / live.removed.sum()}


def text_losses(live, fixed, tokens, options):
    """Means over the simulated ranks of clip_loss, recon_loss (weighted) and clip_acc (%); gate [N]."""
    count = len(live.image)
    size = count // options["simulated_ranks"]
    if size * options["simulated_ranks"] != count:
        raise ValueError(f"loss.simulated_ranks: {options['simulated_ranks']} does not divide a batch of {count}")
    parts = [rank_losses(live, fixed, tokens, options, slice(start, start + size))
             for start in range(0, count, size)]
    result = {key: torch.stack([part[key] for part in parts]).mean()
              for key in ("clip_loss", "recon_loss", "clip_acc")}
    result["gate"] = torch.cat([part["gate"] for part in parts])
    return result


def losses(live, fixed, tokens, config):
    """The values of the objective's terms, and `loss`, their sum."""
    options = loss_options(config)
    result = {}
    if live.image is not None:
        result |= text_losses(live, fixed, tokens, options)
    if live.pixels is not None:
        result |= pixel_losses(live, options)
    if live.view1 is not None:
        result |= view_losses(live.view1, live.view2, options)
    result["loss"] = sum(value for key, value in result.items() if key.endswith("_loss"))
    return result


# ---------------------------------------------------------------------------------------------------------
# One evaluation


def cast(tensors, dtype, device="cpu"):
    """Floating-point tensors in dtype, integers as int64, all on the device."""
    return {name: value.to(device, dtype if value.is_floating_point() else torch.int64)
            for name, value in tensors.items()}


def forward(config, parameters, tables, batch, fixed=None):
    """Losses and features. `fixed` replaces the constants of the losses (the features themselves by default)."""
    live = features(parameters, tables, batch, config)
    live = live.map(lambda v: v.to(torch.promote_types(v.dtype, torch.float32)) if v.is_floating_point() else v)
    constants = live.map(torch.Tensor.detach) if fixed is None else fixed
    # Logits, softmax and losses stay in the full type even under autocast.
    device = next(iter(parameters.values())).device.type
    with torch.autocast(device, enabled=False):
        return losses(live, constants, batch.get("tokens"), config), live


def evaluate(config, parameters, batch, dtype=torch.float64, autocast=False, device="cpu"):
    """Losses, features and the gradient of every trainable parameter, as detached tensors.

    parameters may hold the frozen tables; otherwise they are computed. With autocast, the towers run in
    PyTorch's bf16 autocast and the losses in dtype.
    """
    tables = cast({name: parameters.get(name, table) for name, table in position_tables(config).items()},
                  dtype, device)
    leaves = {name: value.detach().requires_grad_() for name, value in
              cast({name: parameters[name] for name in parameter_shapes(config)}, dtype, device).items()}
    # Noise keeps its own type: its order must not change.
    inputs = cast(batch, dtype, device)
    if "noise" in batch:
        inputs["noise"] = batch["noise"].to(device)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
        result, live = forward(config, leaves, tables, inputs)
    gradients = torch.autograd.grad(result["loss"], list(leaves.values()))
    scalars = {key: value.detach().cpu() for key, value in result.items()}
    return scalars, dict(zip(leaves, (g.cpu() for g in gradients))), live.map(lambda v: v.detach().cpu())
