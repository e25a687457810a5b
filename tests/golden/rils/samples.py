"""Random parameters and batches for golden files, and the choice of pairs that decides who passes the gate."""

import math

import torch

import oracle


def uniform(shape, bound, generator):
    return (2 * torch.rand(shape, generator=generator) - 1) * bound


def normal(shape, std, generator):
    return torch.randn(shape, generator=generator) * std


def random_parameters(config, generator, logit_scale=2.0):
    """Random everywhere, biases and norms included, so that a zero or a one hides no gradient."""
    parameters = {}
    for name, shape in oracle.parameter_shapes(config).items():
        if name == "logit_scale":
            parameters[name] = torch.tensor(logit_scale)
        elif "norm" in name or ".ln_" in name or ".bn" in name or name.startswith("ln_"):
            parameters[name] = normal(shape, 0.3, generator) + (1.0 if name.endswith("weight") else 0.0)
        elif len(shape) == 1:
            parameters[name] = normal(shape, 0.3, generator)
        elif name.endswith(("_token", "positional_embedding", "token_embedding.weight")):
            parameters[name] = normal(shape, 0.7, generator)
        else:
            fan_in = shape[0] if name.endswith("_projection") else math.prod(shape[1:])
            parameters[name] = normal(shape, 1.3 * fan_in ** -0.5, generator)
    return parameters


def initial_value(name, shape, model, generator):
    """One parameter's value at the start of training."""
    width, layers = (model["text"][key] for key in ("width", "layers")) if "text" in model else (1, 1)
    text_std = {
        "attn.in_proj_weight": width ** -0.5,
        "attn.out_proj.weight": width ** -0.5 * (2 * layers) ** -0.5,
        "mlp.c_proj.weight": width ** -0.5 * (2 * layers) ** -0.5,
        "mlp.c_fc.weight": (2 * width) ** -0.5,
    }
    text_bound = {"mlp.c_fc.bias": width ** -0.5, "mlp.c_proj.bias": (4 * width) ** -0.5}
    if name == "logit_scale":
        return torch.tensor(math.log(1 / 0.07))
    if name in ("visual.cls_token", "visual.mask_token", "token_embedding.weight"):
        return normal(shape, 0.02, generator)
    if name == "positional_embedding":
        return normal(shape, 0.01, generator)
    if name.endswith("_projection"):
        return normal(shape, shape[0] ** -0.5, generator)
    if name.startswith("transformer."):
        kind = name.split(".", 3)[3]
        if kind in text_std:
            return normal(shape, text_std[kind], generator)
        if kind in text_bound:
            return uniform(shape, text_bound[kind], generator)
    if name.startswith("image_mlp.layer"):
        head = model["image_mlp"]
        return uniform(shape, (model["vision"]["width"] if "layer1" in name else head["hidden"]) ** -0.5, generator)
    if name == "visual.patch_embed.proj.bias":
        return uniform(shape, (3 * model["vision"]["patch_size"] ** 2) ** -0.5, generator)
    if len(shape) == 1:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    fan_in = math.prod(shape[1:])
    return uniform(shape, math.sqrt(6 / (shape[0] + fan_in)), generator)


def initial_parameters(config, generator, noise=0.0):
    """The values that training starts from; `noise` is added to biases and norms."""
    parameters = {}
    for name, shape in oracle.parameter_shapes(config).items():
        value = initial_value(name, shape, config["model"], generator)
        parameters[name] = value + normal(shape, noise, generator) if len(shape) == 1 else value
    return parameters


def random_images(count, config, generator):
    """Images that differ as real ones do: in a colour, a broad gradient and fine grain, each of random strength."""
    size = config["model"]["vision"]["image_size"]
    colour = normal((count, 3, 1, 1), 1.0, generator)
    ramp = torch.linspace(-1, 1, size)
    gradient = normal((count, 3, 1, 1), 0.7, generator) * ramp.reshape(1, 1, -1, 1)
    gradient = gradient + normal((count, 3, 1, 1), 0.7, generator) * ramp.reshape(1, 1, 1, -1)
    grain = torch.rand((count, 1, 1, 1), generator=generator) * normal((count, 3, size, size), 1.0, generator)
    return colour + gradient + grain


def random_tokens(count, config, generator):
    """Captions: start, words, end (the largest id), zeros. The first fills the whole context."""
    text = config["model"]["text"]
    context, vocabulary = text["context_length"], text["vocab_size"]
    start, end = vocabulary - 2, vocabulary - 1
    tokens = torch.zeros(count, context, dtype=torch.int32)
    for i in range(count):
        room = context - 2
        words = room if i == 0 else int(torch.randint(1, room + 1, (1,), generator=generator))
        tokens[i, 0] = start
        tokens[i, 1:1 + words] = torch.randint(1, start, (words,), generator=generator, dtype=torch.int32)
        tokens[i, 1 + words] = end
    return tokens


def random_batch(count, config, generator):
    """The inputs that the objective uses. Views are images with different grain."""
    batch = {}
    if oracle.reads_images(config):
        batch["images"] = random_images(count, config, generator)
        if oracle.contrasts_texts(config):
            batch["tokens"] = random_tokens(count, config, generator)
        batch["noise"] = torch.rand(count, oracle.patch_count(config), generator=generator)
    if oracle.contrasts_views(config):
        images = random_images(count, config, generator)
        for view in ("view1", "view2"):
            batch[view] = images + normal(images.shape, 0.5, generator)
    return batch


def embeddings(config, parameters, images, tokens, dtype=torch.float64, device="cpu"):
    """Normalised image and text embeddings, without the masked pass."""
    plain = {**config, "model": {**config["model"], "objective": "clip"}}
    tables = oracle.cast(oracle.position_tables(plain), dtype, device)
    with torch.no_grad():
        found = oracle.features(
            oracle.cast(parameters, dtype, device), tables,
            oracle.cast({"images": images, "tokens": tokens}, dtype, device), plain)
    return oracle.normalised(found.image).cpu(), oracle.normalised(found.text).cpu()


def decision_margin(image, text, tokens):
    """Smallest distance in cosine, over the images, between the best text and the best different text."""
    distinct = oracle.first_occurrence(tokens).unique()
    best = (image @ text[distinct].T).topk(min(2, len(distinct)), dim=1).values
    return float((best[:, 0] - best[:, -1]).min())


def pair_captions(config, parameters, images, tokens, accept, generator, tries=2000):
    """Reorders the captions until accept(gate) holds; returns (tokens, margin), or None if no order is found."""
    image, text = embeddings(config, parameters, images, tokens)
    labels = torch.arange(len(tokens))
    for _ in range(tries):
        order = torch.randperm(len(tokens), generator=generator)
        passed = oracle.gate(image @ text[order].T, labels, tokens[order])
        if accept(passed):
            return tokens[order], decision_margin(image, text, tokens)
    return None
