"""Writes weights as timm, MAE and open_clip do, from random models, and the results of these models.

Writes the folders timm_cls, timm_avg, clip_quick, clip_gelu, clip_timm, the file mae.safetensors, and
expected.safetensors: images [3,3,32,32], tokens [3,12], noise [3,16], and by case NAME.image, NAME.text (embeddings
before normalisation), NAME.features, NAME.logits, NAME.predicted. Weights are float32, results are computed from them
in float64 and stored as float32.
"""

import functools
import json
import pathlib
import shutil
import tempfile

import open_clip
import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf
from timm.models.vision_transformer import Block
from torch import nn

HERE = pathlib.Path(__file__).parent
SIZE, PATCH, WIDTH, LAYERS, HEADS = 32, 8, 24, 2, 2
GRID = SIZE // PATCH
CONTEXT, VOCABULARY, EMBED = 12, 521, 20
# Only one entry, because safetensors writes several in a random order.
META = {"made_by": f"tests/golden/convert/make_convert.py, torch {torch.__version__}, timm {timm.__version__}, "
                   f"open_clip {open_clip.__version__}"}


def randomise(model):
    """Makes every parameter random, biases (the key bias included), norms and tokens too, so that a wrong name shows."""
    for name, p in model.named_parameters():
        if name.endswith("logit_scale"):
            nn.init.constant_(p, 3.1)
        elif p.ndim == 1 and "norm" in name and name.endswith("weight") or ".ln_" in name and name.endswith("weight"):
            nn.init.normal_(p, 1.0, 0.3)
        elif p.ndim >= 2 and p.requires_grad:
            nn.init.normal_(p, 0.0, 0.3)
        elif p.requires_grad:
            nn.init.normal_(p, 0.0, 0.4)
    return model.eval()


def weights(model):
    return {k: v.detach().float().contiguous().clone() for k, v in model.state_dict().items()}


def timm_case(name, images, **kwargs):
    model = randomise(timm.create_model("vit_base_patch16_224", img_size=SIZE, patch_size=PATCH, embed_dim=WIDTH,
                                        depth=LAYERS, num_heads=HEADS, num_classes=3, **kwargs))
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    save_file(weights(model), folder / "model.safetensors", {"format": "pt"})
    cfg = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5), crop_pct=0.875, interpolation="bilinear")
    model.pretrained_cfg.update(cfg)
    model_args = dict(img_size=SIZE, patch_size=PATCH, embed_dim=WIDTH, depth=LAYERS, num_heads=HEADS, **kwargs)
    save_config_for_hf(model, folder / "config.json", model_args=model_args)
    model.double()
    with torch.no_grad():
        features = model.forward_head(model.forward_features(images), pre_logits=True)
        return {f"{name}.features": features, f"{name}.logits": model(images)}


def sine_cosine(width):
    """MAE's position table: the half of the columns comes first."""
    omega = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = torch.meshgrid(torch.arange(GRID).double(), torch.arange(GRID).double(), indexing="ij")
    halves = [torch.cat([(p.reshape(-1, 1) * omega).sin(), (p.reshape(-1, 1) * omega).cos()], 1) for p in (column, row)]
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), torch.cat(halves, 1)])[None].float()


class Mae(nn.Module):
    """The published pre-training model, with its parameter names and its order of computations."""

    def __init__(self, width=WIDTH, decoder_width=16, decoder_heads=2):
        super().__init__()
        norm = functools.partial(nn.LayerNorm, eps=1e-6)
        block = functools.partial(Block, qkv_bias=True, norm_layer=norm)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sine_cosine(width), requires_grad=False)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, PATCH, PATCH)
        self.blocks = nn.ModuleList([block(width, HEADS) for _ in range(LAYERS)])
        self.norm = norm(width)
        self.decoder_embed = nn.Linear(width, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_pos_embed = nn.Parameter(sine_cosine(decoder_width), requires_grad=False)
        self.decoder_blocks = nn.ModuleList([block(decoder_width, decoder_heads)])
        self.decoder_norm = norm(decoder_width)
        self.decoder_pred = nn.Linear(decoder_width, 3 * PATCH * PATCH)

    def encode(self, images, kept=None):
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]
        if kept is not None:
            x = torch.gather(x, 1, kept[:, :, None].expand(-1, -1, x.size(2)))
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def predict(self, images, noise, ratio):
        shuffle = noise.argsort(dim=1, stable=True)
        restore = shuffle.argsort(1)
        kept = shuffle[:, : int(noise.size(1) * (1 - ratio))]
        x = self.decoder_embed(self.encode(images, kept))
        hidden = self.mask_token.expand(len(x), noise.size(1) + 1 - x.size(1), -1)
        rows = torch.cat([x[:, 1:], hidden], 1)
        rows = torch.gather(rows, 1, restore[:, :, None].expand(-1, -1, x.size(2)))
        x = torch.cat([x[:, :1], rows], 1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))[:, 1:]


def mae_case(images, noise):
    model = randomise(Mae())
    save_file(weights(model), HERE / "mae.safetensors", {"format": "pt"})
    model.double()
    with torch.no_grad():
        return {"mae.features": model.encode(images)[:, 1:].mean(1), "mae.predicted": model.predict(images, noise, 0.75)}


def clip_case(name, images, tokens, vision, quick_gelu, timm_folder=None):
    text = dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=16, heads=2, layers=2)
    config = {"embed_dim": EMBED, "vision_cfg": dict(image_size=SIZE, **vision), "text_cfg": text}
    if quick_gelu:
        config["quick_gelu"] = True
    model = randomise(open_clip.model.CLIP(**config))
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    save_file(weights(model), folder / "open_clip_model.safetensors", {"format": "pt"})
    if timm_folder is not None:
        shutil.copyfile(timm_folder / "config.json", folder / "config.json")
        config["vision_cfg"]["timm_model_name"] = "local-dir:."
    preprocess = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD,
                  "interpolation": "bicubic", "resize_mode": "shortest"}
    text_of = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2) + "\n"
    (folder / "open_clip_config.json").write_text(text_of)
    model.double()  # the causal mask too, which is a buffer
    with torch.no_grad():
        return {f"{name}.image": model.encode_image(images), f"{name}.text": model.encode_text(tokens)}, model


def main():
    torch.manual_seed(20261125)
    images = torch.randn(3, 3, SIZE, SIZE).float().double()
    noise = torch.rand(3, GRID * GRID).float().double()
    tokens = torch.zeros(3, CONTEXT, dtype=torch.int64)
    for row, length in enumerate((3, 12, 7)):
        tokens[row, :length] = torch.randint(1, VOCABULARY - 2, (length,))
        tokens[row, 0], tokens[row, length - 1] = VOCABULARY - 2, VOCABULARY - 1
    found = {"images": images, "noise": noise, "tokens": tokens.int()}
    found |= timm_case("timm_cls", images)
    found |= timm_case("timm_avg", images, global_pool="avg")
    found |= mae_case(images, noise)
    native = dict(layers=LAYERS, width=WIDTH, head_width=WIDTH // HEADS, patch_size=PATCH)
    found |= clip_case("clip_quick", images, tokens, native, True)[0]
    gelu, model = clip_case("clip_gelu", images, tokens, dict(native, pool_type="avg"), False)
    found |= gelu
    model.visual.final_ln_after_pool = True
    with torch.no_grad():
        found["clip_gelu.image_normed_after_pooling"] = model.encode_image(images)
    with tempfile.TemporaryDirectory() as place:
        encoder = timm.create_model("vit_base_patch16_224", img_size=SIZE, patch_size=PATCH, embed_dim=WIDTH,
                                    depth=LAYERS, num_heads=HEADS, num_classes=0)
        args = dict(img_size=SIZE, patch_size=PATCH, embed_dim=WIDTH, depth=LAYERS, num_heads=HEADS, num_classes=0)
        save_config_for_hf(encoder, pathlib.Path(place) / "config.json", model_args=args)
        vision = dict(timm_model_name=f"local-dir:{place}", timm_pool="avg", timm_proj="linear")
        found |= clip_case("clip_timm", images, tokens, vision, True, pathlib.Path(place))[0]
    stored = {k: v if v.dtype == torch.int32 else v.float().contiguous() for k, v in found.items()}
    save_file(stored, HERE / "expected.safetensors", META)


main()
