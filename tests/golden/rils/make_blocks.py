"""Writes the golden files of single parts: values and gradients of blocks, layer norm, attention, losses, tables.

    python make_blocks.py

Inputs are float32; everything computed from them is float64. `grad_output` is the gradient of the output,
`grad.NAME` that of the input NAME.
"""

import torch
import torch.nn.functional as F

import oracle
import storage

generator = torch.Generator().manual_seed(23)


def randn(*shape, scale=1.0):
    return torch.randn(shape, generator=generator) * scale


def record(name, function, inputs, constants=None, seeded=True):
    """Saves inputs, constants, output and gradients of function(inputs) in float64.

    The output is weighed with a random grad_output; without `seeded` it is a scalar and the weight is 1.
    """
    wide = {key: value.double().requires_grad_() for key, value in inputs.items()}
    output = function(wide)
    seed = randn(*output.shape) if seeded else torch.tensor(1.0)
    gradients = torch.autograd.grad(output, list(wide.values()), seed.double())
    storage.save(name, {
        **inputs, **(constants or {}), "grad_output": seed, "output": output.detach(),
        **{f"grad.{key}": value for key, value in zip(wide, gradients)},
    }, script="make_blocks.py")


def block_parameters(shapes):
    """Random parameters of one block under their short names."""
    parameters = {}
    for name, shape in oracle.part(shapes, "b").items():
        if "norm" in name or "ln_" in name:
            parameters[name] = randn(*shape, scale=0.3) + float(name.endswith("weight"))
        else:
            parameters[name] = randn(*shape, scale=0.3 if len(shape) == 1 else 1.3 * shape[1] ** -0.5)
    return parameters


def write_blocks():
    record("vision_block", lambda p: oracle.vision_block(p["x"], p, heads=2),
           {"x": randn(2, 7, 20), **block_parameters(oracle.vision_block_shapes("b", 20))})
    record("text_block", lambda p: oracle.text_block(p["x"], p, heads=3),
           {"x": randn(2, 6, 18), **block_parameters(oracle.text_block_shapes("b", 18))})


def write_layer_norm():
    """Rows of several kinds: ordinary, far from zero, tiny, huge, and constant (variance zero)."""
    x = randn(9, 37)
    x[1] += 1000
    x[2] *= 1e-4
    x[3] *= 1e4
    x[4] = 0.5
    for name, eps in (("layer_norm", oracle.VISION_EPS), ("layer_norm_text", oracle.TEXT_EPS)):
        record(name, lambda p: oracle.layer_norm(p["x"], p["weight"], p["bias"], eps),
               {"x": x, "weight": randn(37), "bias": randn(37)}, {"eps": torch.tensor(eps, dtype=torch.float64)})


def write_attention():
    """[N, heads, tokens, head dim]: odd sizes, one query far sharper than the others; causal and not."""
    for name, causal in (("attention", False), ("attention_causal", True)):
        q = randn(2, 3, 9, 10)
        q[0, 0, 4] *= 20
        record(name, lambda p: oracle.attention(p["q"], p["k"], p["v"], causal),
               {"q": q, "k": randn(2, 3, 9, 10), "v": randn(2, 3, 9, 10)})


def write_patch_sentence(name, students, teachers, sentences, weights, options):
    """The reconstruction loss alone; the prototypes learn through the student's logits only.

    Students, teachers and sentences are not normalised. `divergence` is each row's KL(p || q).
    """

    def divergence(p):
        prototypes = oracle.normalised(p["sentences"])
        return oracle.patch_sentence_rows(
            oracle.normalised(p["students"]), oracle.normalised(teachers.double()),
            prototypes, prototypes.detach(), options)

    def loss(p):
        total = (weights.double() * divergence(p)).sum() / (weights.double().sum() + 1e-6)
        return options["reconstruction_weight"] * total

    inputs = {"students": students, "sentences": sentences}
    rows = divergence({key: value.double() for key, value in inputs.items()})
    scalars = {key: torch.tensor(options[key], dtype=torch.float64)
               for key in ("student_temperature", "teacher_temperature", "reconstruction_weight")}
    record(name, loss, inputs,
           {"teachers": teachers, "weights": weights, "divergence": rows, **scalars}, seeded=False)


def write_patch_sentences():
    """Forty rows against 130 sentences, some of weight zero; and rows whose student is almost its teacher."""
    options = oracle.loss_options({})
    students = randn(40, 24, scale=3.0)
    teachers = torch.where(torch.arange(40)[:, None] < 20, students + randn(40, 24, scale=0.5), randn(40, 24))
    weights = (torch.rand(40, generator=generator) < 0.7).float()
    write_patch_sentence("patch_sentence", students, teachers, randn(130, 24, scale=0.5), weights, options)
    # Equal temperatures: p and q nearly agree and the divergence is a small difference of large numbers.
    close = options | {"teacher_temperature": options["student_temperature"]}
    students = randn(11, 24)
    write_patch_sentence("patch_sentence_close", students, students + randn(11, 24, scale=0.02),
                         randn(37, 24), torch.ones(11), close)


def write_contrastive():
    """One rank with constant keys: eight image and eight text queries, each against 24 keys of the other kind.

    Queries are rows 8 to 15 of the keys, and so are the labels.
    """
    images, texts = randn(24, 20), randn(24, 20)
    texts[10] = 3 * images[10]
    labels = torch.arange(8, 16)

    def loss(p):
        image, text = oracle.normalised(p["image_queries"]), oracle.normalised(p["text_queries"])
        keys = [oracle.normalised(p[key]) for key in ("text_keys", "image_keys")]
        scale = p["logit_scale"].exp()
        return (F.cross_entropy(scale * image @ keys[0].T, labels)
                + F.cross_entropy(scale * text @ keys[1].T, labels)) / 2

    record("contrastive", loss, {
        "image_queries": images[8:16].clone(), "text_queries": texts[8:16].clone(),
        "image_keys": images, "text_keys": texts, "logit_scale": torch.tensor(2.659260)},
        {"labels": labels.int()}, seeded=False)


def write_tables():
    """Position tables [1, grid*grid+1, width] and masks of several sizes."""
    tensors = {f"positions.{width}.{grid}": oracle.position_table(width, grid)
               for width, grid in ((4, 1), (20, 3), (24, 4), (64, 14))}
    tensors["positions.768.14.row_1_column_2"] = oracle.position_table(768, 14)[0, 1 + 14 + 2].clone()
    for patches, ratio in ((16, 0.75), (100, 0.8), (50, 0.9), (196, 0.75), (25, 0.5)):
        noise = torch.rand(4, patches, generator=generator)
        noise[3] = (noise[3] * 4).floor() / 4
        masking = oracle.masking_from_noise(noise, ratio)
        key = f"masking.{patches}.{round(100 * ratio)}"
        tensors |= {f"{key}.noise": noise, f"{key}.kept": masking.kept.int(),
                    f"{key}.restore": masking.restore.int(), f"{key}.removed": masking.removed.int()}
    storage.save("tables", tensors, script="make_blocks.py")


def write_pointwise():
    """Activations and their slopes, and normalisation with a row of zeros."""
    x = torch.cat([torch.linspace(-12, 12, 193), torch.tensor([-100.0, -1e-6, 1e-6, 1e-20, 100.0])])
    tensors = {"x": x}
    for name, function in (("gelu", F.gelu), ("quick_gelu", oracle.quick_gelu)):
        wide = x.double().requires_grad_()
        value = function(wide)
        slope, = torch.autograd.grad(value.sum(), wide)
        tensors |= {name: value.detach(), f"{name}_slope": slope}
    rows = randn(6, 19) * 10.0 ** torch.tensor([-6, -3, 0, 3, 6, 0])[:, None]
    rows[5] = 0
    tensors |= {"rows": rows, "rows_normalised": oracle.normalised(rows.double())}
    storage.save("pointwise", tensors, script="make_blocks.py")


if __name__ == "__main__":
    write_blocks()
    write_layer_norm()
    write_attention()
    write_patch_sentences()
    write_contrastive()
    write_tables()
    write_pointwise()
