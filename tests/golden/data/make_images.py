"""Makes decode.safetensors, resize.safetensors and crop.safetensors: results of Pillow and torchvision on small images.

Needs torch, torchvision, pillow, numpy and safetensors. Takes about 2 s.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from safetensors.numpy import save_file
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

HERE = Path(__file__).parent
MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(width, height, seed):
    """Waves, edges and noise, so that rounding and ringing both show."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(3):
        wave = 127 + 100 * np.sin(x / (3 + 2 * c) + seed) * np.cos(y / (5 - c))
        wave[(x + 2 * y).astype(int) % (11 + c) == 0] = 255 * (c % 2)
        planes.append(wave + rng.normal(0, 12, wave.shape))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width, height, depth, colour, rows, interlace=0, extra=b""):
    """A PNG of packed rows, for formats that Pillow cannot write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = b"".join(rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    packed = zlib.compress(raw, 9)
    half = len(packed) // 2
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", packed[:half])
            + chunk(b"IDAT", packed[half:]) + chunk(b"IEND", b""))


def interlaced(array):
    """8-bit RGB in the seven passes of Adam7, filter 0."""
    rows = []
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                           (0, 1, 1, 2)):
        part = array[y0::dy, x0::dx]
        if part.size:
            rows += [b"\0" + row.tobytes() for row in part]
    return png(array.shape[1], array.shape[0], 8, 2, rows, interlace=1)


def encodings():
    """Name of each case: encoded bytes. Odd sizes, so that blocks and chroma samples end inside the image."""
    rgb = Image.fromarray(picture(37, 29, 1))
    alpha = Image.fromarray(picture(37, 29, 2)[:, :, 0])
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    grey = rgb.convert("L")
    ramp = Image.fromarray(np.arange(37 * 29, dtype=np.uint16).astype(np.uint8).reshape(29, 37))
    cases = {
        "jpeg_420": encoded(rgb, "JPEG", quality=85),
        "jpeg_422": encoded(rgb, "JPEG", quality=85, subsampling=1),
        "jpeg_444": encoded(rgb, "JPEG", quality=95, subsampling=0),
        "jpeg_progressive": encoded(rgb, "JPEG", quality=60, progressive=True),
        "jpeg_grey": encoded(grey, "JPEG", quality=85),
        "jpeg_cmyk": encoded(rgb.convert("CMYK"), "JPEG", quality=85),
        "jpeg_exif_rotated": encoded(rgb, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06"
                                                       b"\0\0\0\0\0\0"),
        "jpeg_one_pixel": encoded(rgb.crop((3, 3, 4, 4)), "JPEG"),
        "png_rgb": encoded(rgb, "PNG"),
        "png_rgba": encoded(rgba, "PNG"),
        "png_grey": encoded(grey, "PNG"),
        "png_grey_alpha": encoded(rgba.convert("LA"), "PNG"),
        "png_palette": encoded(rgb.quantize(200), "PNG"),
        "png_palette_4bit": encoded(rgb.quantize(13), "PNG", bits=4),
        "png_palette_2bit": encoded(rgb.quantize(4), "PNG", bits=2),
        "png_palette_transparent": encoded(rgb.quantize(16), "PNG", transparency=3),
        "png_bilevel": encoded(grey.convert("1"), "PNG"),
        "png_one_pixel": encoded(rgb.crop((5, 5, 6, 6)), "PNG"),
        "png_interlaced": interlaced(np.asarray(rgb)),
        "png_interlaced_small": interlaced(np.asarray(rgb)[:3, :2]),
        "webp_lossy": encoded(rgb, "WEBP", quality=80),
        "webp_lossless": encoded(rgb, "WEBP", lossless=True),
        "webp_alpha": encoded(rgba, "WEBP", quality=80),
        "webp_one_pixel": encoded(rgb.crop((3, 3, 4, 4)), "WEBP"),
        "webp_animation": encoded(rgb, "WEBP", save_all=True, lossless=True, append_images=[grey.convert("RGB")]),
        "bmp_rgb": encoded(rgb, "BMP"),
        "bmp_palette": encoded(rgb.quantize(200), "BMP"),
        "bmp_grey": encoded(grey, "BMP"),
        "gif": encoded(rgb.quantize(200), "GIF"),
        "gif_animation": encoded(rgb.quantize(60), "GIF", save_all=True, append_images=[grey.quantize(9)]),
        "tiff_rgb": encoded(rgb, "TIFF"),
        "tiff_grey": encoded(grey, "TIFF"),
        "tiff_bilevel": encoded(grey.convert("1"), "TIFF"),
        "tiff_palette": encoded(rgb.quantize(200), "TIFF"),
        "tiff_lzw": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "tiff_deflate": encoded(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "ppm": encoded(rgb, "PPM"),
        "pgm": encoded(grey, "PPM"),
        "tga_rgb": encoded(rgb, "TGA"),
        "tga_rle": encoded(rgb, "TGA", compression="tga_rle"),
        "tga_grey": encoded(grey, "TGA"),
        "tga_palette": encoded(rgb.quantize(200), "TGA"),
        "tga_rgba": encoded(rgba, "TGA"),
        "tga_grey_alpha": encoded(rgba.convert("LA"), "TGA"),
        "bmp_bilevel": encoded(grey.convert("1"), "BMP"),
        "gif_grey": encoded(ramp, "GIF"),
        "webp_lossless_alpha": encoded(rgba, "WEBP", lossless=True),
        "tiff_rgba": encoded(rgba, "TIFF"),
    }
    wide = np.asarray(rgb).astype(np.uint16) * 256 + np.asarray(rgb)[:, ::-1]
    cases["png_rgb_16bit"] = png(37, 29, 16, 2, [b"\0" + row.astype(">u2").tobytes() for row in wide])
    cases["png_grey_4bit"] = png(37, 29, 4, 0, [b"\0" + np.packbits(np.unpackbits((row >> 4)[:, None], axis=1)[:, 4:])
                                                .tobytes() for row in np.asarray(grey)])
    cases["png_grey_2bit"] = png(37, 29, 2, 0, [b"\0" + np.packbits(np.unpackbits((row >> 6)[:, None], axis=1)[:, 6:])
                                                .tobytes() for row in np.asarray(grey)])
    return cases


def before_rgb(data):
    """The image of a file that is neither RGB nor grey, resized in its own mode."""
    image = Image.open(io.BytesIO(data))
    if image.mode in ("RGB", "L"):
        return
    for mode, interpolation in MODES.items():
        steps = transforms.Compose([transforms.Resize(16, interpolation), transforms.CenterCrop(16)])
        yield f"resized.{mode}", steps(image)
        yield f"enlarged.{mode}", F.resized_crop(image, 3, 5, 17, 20, [33, 33], interpolation)
    yield "copied", F.resized_crop(image, 3, 5, 16, 16, [16, 16], interpolation)


def make_decode():
    tensors = {}
    for name, data in encodings().items():
        tensors[name + ".bytes"] = np.frombuffer(data, np.uint8)
        tensors[name + ".pixels"] = np.ascontiguousarray(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        tensors.update({f"{name}.{how}": np.asarray(resized.convert("RGB")) for how, resized in before_rgb(data)})
    rgba = Image.open(io.BytesIO(encodings()["png_rgba"]))
    tensors["png_rgba.rgba"] = np.asarray(rgba)
    tensors["png_palette_transparent.rgba"] = np.asarray(
        Image.open(io.BytesIO(encodings()["png_palette_transparent"])).convert("RGBA"))
    return tensors, {}


def make_resize():
    """Explicit crop boxes (top, left, height, width), then a resize; and the evaluation transform as a whole."""
    tensors, cases = {}, []
    sources = {"plain": picture(61, 47, 3), "tall": picture(9, 83, 4), "one": picture(1, 1, 5), "wide": picture(90, 1, 6),
               "square": picture(32, 32, 7)}
    for name, array in sources.items():
        tensors["source." + name] = array
    jobs = [("plain", None, size) for size in ((17, 17), (96, 80), (47, 20), (20, 61), (47, 61), (1, 1), (1, 90))]
    jobs += [("plain", (5, 7, 31, 40), (24, 24)), ("plain", (0, 0, 47, 1), (24, 24)), ("plain", (46, 60, 1, 1), (8, 8)),
             ("plain", (10, 20, 30, 30), (30, 30)), ("plain", (3, 0, 44, 61), (70, 64))]
    jobs += [("tall", None, (16, 16)), ("tall", None, (100, 3)), ("one", None, (7, 5)), ("wide", None, (3, 8)),
             ("square", None, (75, 80)), ("square", (1, 2, 27, 29), (32, 32)), ("square", None, (31, 33))]
    # Pillow resizes rows first when the height loses more than twice what the width loses; sizes around this point.
    jobs += [("plain", (0, 0, 47, 40), size) for size in ((27, 30), (26, 30), (26, 31), (30, 30), (40, 41), (50, 45))]
    for source, box, (height, width) in jobs:
        for mode, interpolation in MODES.items():
            image = Image.fromarray(sources[source])
            found = F.resize(image, [height, width], interpolation) if box is None else F.resized_crop(
                image, *box, [height, width], interpolation)
            key = f"resize.{len(cases)}"
            cases.append({"key": key, "source": source, "box": box, "height": height, "width": width, "mode": mode})
            tensors[key] = np.asarray(found)
    evaluations = []
    for source in sources:
        for size, crop in ((16, 16), (24, 20), (20, 32)):
            for mode, interpolation in MODES.items():
                if source == "wide" and crop > size:
                    continue
                image = Image.fromarray(sources[source])
                steps = [transforms.Resize(size, interpolation), transforms.CenterCrop(crop)]
                key = f"evaluate.{len(evaluations)}"
                evaluations.append({"key": key, "source": source, "size": size, "crop": crop, "mode": mode})
                tensors[key] = np.asarray(transforms.Compose(steps)(image))
    normalised = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    tensors["normalised.plain"] = normalised(Image.fromarray(sources["plain"])).numpy()
    sizes = [[w, h, s, *reversed(F._compute_resized_output_size((h, w), [s]))]
             for w in (1, 2, 3, 7, 61, 500, 1023) for h in (1, 2, 5, 47, 333, 2048) for s in (1, 20, 224, 257)]
    tensors["sizes"] = np.array([row for row in sizes if max(row) < 2**31], np.int32)
    crops = []
    for width in range(1, 12):
        for crop in range(1, 14):
            image = Image.fromarray(np.arange(1, width + 1, dtype=np.uint8)[None, :])
            row = np.asarray(F.center_crop(image, [1, crop]))[0].tolist()
            crops.append([width, crop] + row + [0] * (16 - len(row)))
    tensors["center"] = np.array(crops, np.int32)
    return tensors, {"cases": json.dumps(cases), "evaluations": json.dumps(evaluations)}


def make_crop():
    """RandomResizedCrop.get_params with its draws recorded: each row is width, height, scale and ratio limits, then ten
    tries of (area share, log ratio, top, left), the last two as the middle of the chosen cell, then top, left, height,
    width."""
    rows = []
    draws, integers = [], []
    uniform, randint = torch.Tensor.uniform_, torch.randint

    def record_uniform(self, *limits):
        result = uniform(self, *limits)
        draws.append(result.item())
        return result

    def record_randint(low, high, size=None, **options):
        result = randint(low, high, size=size, **options)
        integers.append((result.item() + 0.5) / (high - low))
        return result

    torch.Tensor.uniform_, torch.randint = record_uniform, record_randint
    torch.manual_seed(11)
    for width, height in ((500, 375), (128, 128), (1, 1), (1, 300), (300, 1), (33, 97), (640, 7), (2, 3)):
        for scale, ratio in (((0.5, 1.0), (3 / 4, 4 / 3)), ((0.08, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (0.5, 0.6))):
            for _ in range(6):
                draws.clear()
                integers.clear()
                box = transforms.RandomResizedCrop.get_params(torch.zeros(3, height, width), list(scale), list(ratio))
                tries = [[draws[2 * t], draws[2 * t + 1], 0.0, 0.0] for t in range(len(draws) // 2)]
                if integers:
                    tries[-1][2:] = integers
                tries += [[0.0, 0.0, 0.0, 0.0]] * (10 - len(tries))
                rows.append([width, height, *scale, *ratio, *sum(tries, []), *box])
    torch.Tensor.uniform_, torch.randint = uniform, randint
    return {"draws": np.array(rows, np.float64)}, {}


def main():
    versions = {"torchvision": torchvision.__version__, "pillow": PIL.__version__, "made_by": "make_images.py"}
    for name, make in (("decode", make_decode), ("resize", make_resize), ("crop", make_crop)):
        tensors, metadata = make()
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, HERE / f"{name}.safetensors",
                  {**versions, **metadata})
        print(f"{name}: {len(tensors)} arrays, {(HERE / f'{name}.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
