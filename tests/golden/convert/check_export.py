"""Converts weights with `inspect checkpoint --convert`, both ways, and compares our features with the other program's.

Ours come from `query embed` on image files, the others from their program's own preprocessing and model. A difference is
the largest over all rows and elements of L2-normalised features. Exits with 1 if one is above 1e-4.

  check_export.py --apps build/release/apps --data FOLDER [--size vitb16]

FOLDER is created and must not exist.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
import open_clip
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config

LIMIT = 1e-4
SIZES = {
    "tiny": dict(size=32, patch=8, width=64, layers=2, heads=2, text_width=32, text_layers=2, text_heads=2, embed=24),
    "vitb16": dict(size=224, patch=16, width=768, layers=12, heads=12, text_width=512, text_layers=12, text_heads=8, embed=512),
}
WORDS = ["a red bird on a branch", "two boats", "the old man reads a newspaper by the window", "snow", "dogs run in grass"]


def randomise(model, seed=1):
    """Changes initial values, whose zero biases and equal norms would hide a wrong name."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim < 2 and "logit_scale" not in name:
                p.add_(0.1 * torch.randn_like(p))
            elif name.endswith(("cls_token", "pos_embed", "positional_embedding")):
                p.add_(0.02 * torch.randn_like(p))
    return model.eval()


class Check:
    def __init__(self, arguments):
        self.apps, self.folder, self.shape = pathlib.Path(arguments.apps), pathlib.Path(arguments.data), SIZES[arguments.size]
        self.full = arguments.size == "vitb16"
        self.folder.mkdir(parents=True)
        self.failed = False
        self.pictures = self.folder / "pictures"
        self.make_pictures()
        self.vocabulary = self.make_vocabulary()

    def program(self, name, *words):
        done = subprocess.run([str(self.apps / name), *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{name} {' '.join(map(str, words))}: {done.stderr}")
        return done.stdout

    def make_pictures(self):
        random = np.random.default_rng(3)
        side = self.shape["size"]
        for kind in ("train", "val"):
            for c in ("a", "b"):
                (self.folder / "classes" / kind / c).mkdir(parents=True)
        self.pictures.mkdir()
        for i in range(8):
            coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((side, side), Image.BICUBIC)
            picture.save(self.pictures / f"{i}.png")
            picture.save(self.folder / "classes" / ("train" if i < 4 else "val") / "ab"[i % 2] / f"{i}.png")
        (self.folder / "texts.txt").write_text("\n".join(WORDS) + "\n")

    def make_vocabulary(self):
        """open_clip's own vocabulary at full size, else the first lines of it."""
        if self.full:
            out = self.folder / "clip.txt.gz"
            out.write_bytes(pathlib.Path(open_clip.tokenizer.default_bpe()).read_bytes())
            return out
        import gzip
        lines = gzip.open(open_clip.tokenizer.default_bpe()).read().decode().split("\n")[:301]
        out = self.folder / "short.txt"
        out.write_text("\n".join(lines))
        return out

    def ids(self):
        return 49408 if self.full else 512 + 300 + 2

    def report(self, what, ours, theirs):
        found = np.abs(ours - theirs).max()
        self.failed |= not found <= LIMIT or ours.shape != theirs.shape
        print(f"{what:<62} {found:.2e}  (rows differ among themselves by {np.abs(theirs - theirs[0]).max():.2f})", flush=True)

    def embed(self, checkpoint, source, words=()):
        stem = self.folder / "embedded"
        self.program("query", "embed", source, "--checkpoint", checkpoint, "--out", stem, *words)
        kind = "texts" if str(source).endswith(".txt") else "images"
        return np.load(f"{stem}.{kind}.npy")

    def batch(self, transform):
        files = sorted(self.pictures.iterdir())
        return torch.stack([transform(Image.open(f).convert("RGB")) for f in files])

    def compare_clip(self, what, place, checkpoint):
        """Compares open_clip's model in a folder with our checkpoint."""
        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{place}")
        tokenizer = open_clip.get_tokenizer(f"local-dir:{place}")
        with torch.no_grad():
            image = model.eval().encode_image(self.batch(transform), normalize=True).numpy()
            text = model.encode_text(tokenizer(WORDS), normalize=True).numpy()
        words = ["--vocabulary", self.vocabulary]
        self.report(f"{what}: images", self.embed(checkpoint, self.pictures, words), image)
        self.report(f"{what}: texts", self.embed(checkpoint, self.folder / "texts.txt", words), text)

    def compare_timm(self, what, model, checkpoint):
        transform = create_transform(**resolve_data_config({"img_size": self.shape["size"]}, model=model))
        with torch.no_grad():
            features = model.eval().forward_head(model.forward_features(self.batch(transform)), pre_logits=True)
            features = torch.nn.functional.normalize(features, dim=1).numpy()
        self.report(what, self.embed(checkpoint, self.pictures), features)

    def config(self, objective):
        s = self.shape
        text = f"""[model]
objective = "{objective}"
embed_dim = {s['embed']}
[model.vision]
image_size = {s['size']}
patch_size = {s['patch']}
width = {s['width']}
layers = {s['layers']}
heads = {s['heads']}
[model.decoder]
width = {s['width']}
layers = 1
heads = {s['heads']}
[model.text]
context_length = 77
vocab_size = {self.ids()}
width = {s['text_width']}
layers = {s['text_layers']}
heads = {s['text_heads']}
"""
        path = self.folder / f"{objective.replace('+', '-')}.toml"
        path.write_text(text)
        return path

    def train(self, objective):
        """Trains for two steps and returns the checkpoint."""
        self.program("pretrain", "--config", self.config(objective), "--train-data", "synthetic", "--dataset-type",
                     "synthetic", "--train-num-samples", "4", "--batch-size", "2", "--epochs", "1", "--warmup", "1",
                     "--lr", "1e-3", "--seed", len(objective), "--vocabulary", self.vocabulary, "--logs", self.folder / "logs", "--name", objective)
        return self.folder / "logs" / objective / "checkpoints" / "step_00000002.safetensors"

    def ours_to_open_clip(self):
        for objective in ("rils", "clip"):
            checkpoint, out = self.train(objective), self.folder / f"{objective}-open_clip"
            self.program("inspect", "checkpoint", checkpoint, "--convert", out, "--to", "open_clip", "--vocabulary", self.vocabulary)
            self.compare_clip(f"ours ({objective}) in open_clip", out, checkpoint)
            encoder = self.folder / f"{objective}-timm"
            self.program("inspect", "checkpoint", checkpoint, "--convert", encoder, "--to", "timm")
            again = self.folder / f"{objective}-again.safetensors"
            self.program("inspect", "checkpoint", encoder, "--convert", again)
            model = timm.create_model(f"local-dir:{encoder}", pretrained=True)
            self.compare_timm(f"ours ({objective}) in timm, read back", model, again)

    def classifier_to_timm(self):
        """Compares top-1 of finetune --eval with timm's on the val images, which tests the head too, and the pooled features."""
        start = self.folder / "logs" / "clip" / "checkpoints" / "step_00000002.safetensors"
        words = ["--data-path", self.folder / "classes", "--batch-size", "2", "--logs", self.folder / "logs"]
        self.program("finetune", "--finetune", start, "--epochs", "1", "--name", "classes", *words)
        checkpoint = self.folder / "logs" / "classes" / "checkpoints" / "step_00000002.safetensors"
        out, again = self.folder / "classifier", self.folder / "classifier.safetensors"
        self.program("inspect", "checkpoint", checkpoint, "--convert", out, "--to", "timm")
        self.program("inspect", "checkpoint", out, "--convert", again)
        model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
        self.compare_timm("ours (fine-tuned) in timm, features before the head", model, again)
        head = load_file(checkpoint)
        same = torch.equal(model.head.weight, head["head.weight"]) and torch.equal(model.head.bias, head["head.bias"])
        self.failed |= not same
        print(f"{'ours (fine-tuned) in timm, head':<62} {'the same bits' if same else 'DIFFERS'}")

    def open_clip_to_ours(self):
        s = self.shape
        for name in ("ViT-B-16", "ViT-B-16-quickgelu"):
            config = open_clip.get_model_config(name)
            if not self.full:
                config["embed_dim"] = s["embed"]
                config["vision_cfg"] = dict(image_size=s["size"], layers=s["layers"], width=s["width"],
                                            head_width=s["width"] // s["heads"], patch_size=s["patch"])
                config["text_cfg"] = dict(context_length=77, vocab_size=self.ids(), width=s["text_width"],
                                          heads=s["text_heads"], layers=s["text_layers"],
                                          tokenizer_kwargs={"bpe_path": str(self.folder / "short.txt.gz")})
                self.gzip_vocabulary()
            model = randomise(open_clip.model.CLIP(**json.loads(json.dumps(config))))
            place = self.folder / name
            place.mkdir()
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, place / "open_clip_model.safetensors")
            preprocess = dict(mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD,
                              interpolation="bicubic", resize_mode="shortest")
            (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
            ours, back = self.folder / f"{name}.safetensors", self.folder / f"{name}-back"
            print(self.program("inspect", "checkpoint", place, "--convert", ours).strip())
            self.compare_clip(f"open_clip's {name} in ours", place, ours)
            self.program("inspect", "checkpoint", ours, "--convert", back, "--to", "open_clip", "--vocabulary", self.vocabulary)
            self.compare_clip(f"open_clip's {name}, there and back", back, ours)

    def gzip_vocabulary(self):
        import gzip
        with gzip.open(self.folder / "short.txt.gz", "wb") as f:
            f.write(self.vocabulary.read_bytes())

    def timm_to_ours(self):
        s = self.shape
        for pool in ("token", "avg"):
            kwargs = {} if self.full else dict(img_size=s["size"], patch_size=s["patch"], embed_dim=s["width"],
                                               depth=s["layers"], num_heads=s["heads"])
            model = randomise(timm.create_model("vit_base_patch16_224", global_pool=pool, **kwargs))
            place = self.folder / f"timm-{pool}"
            place.mkdir()
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, place / "model.safetensors")
            timm.models._hub.save_config_for_hf(model, place / "config.json", model_args=dict(global_pool=pool, **kwargs))
            ours = self.folder / f"timm-{pool}.safetensors"
            print(self.program("inspect", "checkpoint", place, "--convert", ours).strip())
            self.compare_timm(f"timm's vit_base_patch16_224 ({pool}) in ours", model, ours)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", required=True, help="folder of the programs")
    parser.add_argument("--data", required=True, help="folder to write")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    check = Check(parser.parse_args())
    check.timm_to_ours()
    check.open_clip_to_ours()
    check.ours_to_open_clip()
    check.classifier_to_timm()
    sys.exit(1 if check.failed else 0)


main()
