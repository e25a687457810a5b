#include "rils/data/decode.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "rils/data/encode.h"
#include "tests/rils/data/golden_file.h"

namespace tessera::rils {
namespace {

using test::GoldenFile;

std::string reason_of(std::span<const std::byte> bytes, int64_t max_pixels = kDefaultMaxImagePixels) {
  try {
    (void)decode_image(bytes, max_pixels);
  } catch (const SampleError& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.reason();
  }
  return "decoded";
}

std::vector<std::string> encoded_cases(const GoldenFile& golden) {
  std::vector<std::string> cases;
  for (const auto& name : golden.names())
    if (name.ends_with(".bytes")) cases.push_back(name.substr(0, name.size() - 6));
  return cases;
}

/// Files of every kind give Pillow's pixels.
TEST(Decode, PixelsEqualPillow) {
  const GoldenFile golden("decode");
  const auto cases = encoded_cases(golden);
  ASSERT_EQ(cases.size(), 51u);
  for (const auto& name : cases) {
    SCOPED_TRACE(name);
    const Image found = decode_image(golden.bytes(name + ".bytes"));
    const Image expected = golden.image(name + ".pixels");
    ASSERT_EQ(found.width, expected.width);
    ASSERT_EQ(found.height, expected.height);
    EXPECT_TRUE(found.pixels == expected.pixels);
  }
}

TEST(Decode, PngKeepsItsAlphaWhenAsked) {
  const GoldenFile golden("decode");
  for (const std::string name : {"png_rgba", "png_palette_transparent"}) {
    SCOPED_TRACE(name);
    const Image found = decode_png_rgba(golden.bytes(name + ".bytes"));
    EXPECT_EQ(found.channels, 4);
    EXPECT_TRUE(found.pixels == golden.image(name + ".rgba").pixels);
  }
}

/// Wherever an image is cut, decoding gives a reason or the pixels of the whole, never invented ones and never a crash.
/// A JPEG does not say where its pixels end: without its end marker it is broken.
TEST(Decode, ImageCutAnywhereIsBroken) {
  const GoldenFile golden("decode");
  for (const auto& name : encoded_cases(golden)) {
    SCOPED_TRACE(name);
    const auto whole = golden.bytes(name + ".bytes");
    const Image image = golden.image(name + ".pixels");
    size_t decoded = 0;
    for (size_t length = 0; length < whole.size(); length += length < 200 || whole.size() - length < 40 ? 1 : 13) {
      const std::span cut(whole.data(), length);
      const std::string reason = reason_of(cut);
      if (reason == "decoded") {
        ++decoded;
        ASSERT_TRUE(decode_image(cut).pixels == image.pixels) << length;
        continue;
      }
      EXPECT_TRUE(reason == skip::kBrokenImage || (length < 18 && reason == skip::kUnknownFormat)) << length << reason;
    }
    if (name.starts_with("jpeg")) {
      EXPECT_EQ(decoded, 0u);
    }
    if (name.starts_with("png")) {
      EXPECT_EQ(decoded, 12u) << "the end marker may be missing";
    }
  }
}

/// Bytes are missing in the middle, but the end is there: the decoder would fill in grey.
TEST(Decode, JpegWithAHoleIsBroken) {
  const GoldenFile golden("decode");
  for (const std::string name : {"jpeg_420", "jpeg_444", "jpeg_grey", "jpeg_cmyk"}) {
    SCOPED_TRACE(name);
    auto bytes = golden.bytes(name + ".bytes");
    const auto end = bytes.end() - 2;  // the end marker
    bytes.erase(end - 200, end);
    EXPECT_EQ(reason_of(bytes), skip::kBrokenImage);
  }
}

/// Flipped bytes either decode (a JPEG has no check sum) or give a reason.
TEST(Decode, DamagedImagesNeverCrash) {
  const GoldenFile golden("decode");
  uint32_t state = 12345;
  const auto next = [&state] { return state = state * 1664525u + 1013904223u; };
  int refused = 0;
  for (const auto& name : encoded_cases(golden)) {
    for (int trial = 0; trial < 60; ++trial) {
      auto bytes = golden.bytes(name + ".bytes");
      for (int flips = 0; flips < 1 + trial % 4; ++flips)
        bytes[(next() >> 4) % bytes.size()] ^= static_cast<std::byte>(1 + (next() >> 9) % 255);
      refused += reason_of(bytes, 1 << 20) != "decoded" ? 1 : 0;
    }
  }
  EXPECT_GT(refused, 500);
}

/// A flipped bit in a PNG's header, palette or pixels is always noticed. As in Pillow, the check sum of a chunk of
/// pixels may be wrong where that of zlib is right.
TEST(Decode, PngCheckSumsAreVerified) {
  const GoldenFile golden("decode");
  for (const std::string name : {"png_rgb", "png_palette", "png_palette_transparent"}) {
    const auto whole = golden.bytes(name + ".bytes");
    const Image image = golden.image(name + ".pixels");
    const size_t end = whole.size() - 12;
    for (size_t i = 8; i < end; i += 7) {
      auto bytes = whole;
      bytes[i] ^= std::byte{0x10};
      if (i + 4 < end) {
        EXPECT_EQ(reason_of(bytes), skip::kBrokenImage) << name << " at " << i;
      } else {
        EXPECT_TRUE(decode_image(bytes).pixels == image.pixels) << "the last chunk's sum";
      }
    }
    auto bytes = whole;
    bytes[end - 1] ^= std::byte{1};
    EXPECT_TRUE(decode_image(bytes).pixels == image.pixels) << "the last chunk's sum";
  }
}

/// The size in the header is checked before memory is allocated, here for a small file that claims 30000×30000 pixels.
TEST(Decode, BombsAreRefusedByTheirHeader) {
  const GoldenFile golden("decode");
  for (const std::string name : {"jpeg_420", "png_rgb", "webp_lossy", "webp_lossless", "webp_animation", "bmp_rgb",
                                 "gif", "tiff_rgb", "tiff_lzw", "ppm", "tga_rle"}) {
    SCOPED_TRACE(name);
    const auto bytes = golden.bytes(name + ".bytes");
    EXPECT_EQ(reason_of(bytes, 37 * 29), "decoded");
    EXPECT_EQ(reason_of(bytes, 37 * 29 - 1), skip::kTooManyPixels);
  }
  auto jpeg = golden.bytes("jpeg_420.bytes");
  for (size_t i = 0; i + 9 < jpeg.size(); ++i)
    if (jpeg[i] == std::byte{0xff} && jpeg[i + 1] == std::byte{0xc0})
      for (const size_t k : {5, 6, 7, 8}) jpeg[i + k] = std::byte{0xf0};
  EXPECT_EQ(reason_of(jpeg), skip::kTooManyPixels);
}

/// When a PNG's data inflate to far more than its pixels, the rest is not inflated.
TEST(Decode, PngInflatesNoMoreThanItsPixels) {
  Image large(4000, 4000);
  const auto bomb = encode_png(large);
  const auto small = encode_png(Image(3, 2));
  // The header of the small image, the data of the large one.
  std::vector<std::byte> mixed(small.begin(), small.begin() + 33);
  mixed.insert(mixed.end(), bomb.begin() + 33, bomb.end());
  const Image found = decode_image(mixed);
  EXPECT_EQ(found.width, 3);
  EXPECT_EQ(found.pixels, std::vector<uint8_t>(18, 0));
}

/// A palette cut to one colour: the other pixels are black, as in Pillow.
TEST(Decode, PngPixelsOutsideOfTheirPaletteAreBlack) {
  const GoldenFile golden("decode");
  auto bytes = golden.bytes("png_palette_4bit.bytes");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const size_t at = text.find("PLTE");
  ASSERT_EQ(text.substr(at - 4, 4), std::string_view("\0\0\0\x27", 4)) << "13 colours";
  const auto big_endian = [](uint32_t v) {
    std::vector<std::byte> b;
    for (const int shift : {24, 16, 8, 0}) b.push_back(static_cast<std::byte>(v >> shift & 0xff));
    return b;
  };
  const std::vector<std::byte> name_and_colour(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                               bytes.begin() + static_cast<std::ptrdiff_t>(at + 7));
  std::vector<std::byte> chunk = big_endian(3);
  chunk.insert(chunk.end(), name_and_colour.begin(), name_and_colour.end());
  const auto sum = big_endian(static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(name_and_colour.data()), static_cast<uInt>(name_and_colour.size()))));
  chunk.insert(chunk.end(), sum.begin(), sum.end());
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at - 4);
  bytes.erase(begin, begin + 12 + 39);
  bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at - 4), chunk.begin(), chunk.end());
  const Image found = decode_image(bytes), full = golden.image("png_palette_4bit.pixels");
  int kept = 0;
  for (int i = 0; i < full.width * full.height; ++i) {
    const uint8_t *was = full.pixel(i % full.width, i / full.width), *is = found.pixel(i % full.width, i / full.width);
    const bool first = std::memcmp(was, &name_and_colour[4], 3) == 0;
    kept += first ? 1 : 0;
    for (int c = 0; c < 3; ++c) ASSERT_EQ(is[c], first ? was[c] : 0) << i;
  }
  EXPECT_GT(kept, 0);
}

TEST(Decode, WhatIsNoImageIsNamed) {
  const auto said = [](std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    EXPECT_EQ(reason_of(bytes), text.empty() ? skip::kBrokenImage : skip::kUnknownFormat) << text;
    return describe_unread(bytes);
  };
  EXPECT_EQ(said(std::string_view("\0\0\0\x20"
                                  "ftypavif\0\0\0\0",
                                  16)),
            "AVIF");
  EXPECT_EQ(said(std::string_view("\0\0\0\x18"
                                  "ftypheic\0\0\0\0",
                                  16)),
            "HEIC");
  EXPECT_EQ(said(" \n<!DOCTYPE HTML><p>404"), "an HTML page");
  EXPECT_EQ(said("<?xml version='1.0'?><svg/>"), "SVG");
  EXPECT_EQ(said("{\"error\": 403}"), "JSON");
  EXPECT_EQ(said("not found"), "9 bytes of text");
  EXPECT_EQ(said(std::string_view("\1\2\3\0", 4)), "4 bytes of no known format");
  EXPECT_EQ(said(""), "an empty file");
}

TEST(Decode, ExtensionsAreThoseOfImages) {
  for (const char* name : {"a.jpg", "a.b.JPEG", "a.png", "a.WebP", "a.gif", "a.BMP", "a.tif", "a.TIFF", "a.ppm",
                           "a.pgm", "a.tga", "a.jfif", "a.avif", "a.HEIC"}) {
    EXPECT_TRUE(has_image_extension(name)) << name;
  }
  for (const char* name : {"a", "jpg", "a.txt", "a.jpg.part", ""}) EXPECT_FALSE(has_image_extension(name)) << name;
}

TEST(Encode, PngComesBackExactly) {
  const GoldenFile golden("decode");
  const Image rgb = golden.image("png_rgb.pixels");
  EXPECT_EQ(decode_image(encode_png(rgb)).pixels, rgb.pixels);
  const Image rgba = golden.image("png_rgba.rgba");
  EXPECT_EQ(decode_png_rgba(encode_png(rgba)).pixels, rgba.pixels);
  Image grey(5, 3, 1);
  for (size_t i = 0; i < grey.pixels.size(); ++i) grey.pixels[i] = static_cast<uint8_t>(17 * i);
  const Image back = decode_image(encode_png(grey));
  for (size_t i = 0; i < grey.pixels.size(); ++i) EXPECT_EQ(back.pixels[3 * i + 1], grey.pixels[i]);
}

TEST(Encode, JpegIsCloseAndNearerWithMoreQuality) {
  Image image(64, 48);
  for (int y = 0; y < 48; ++y)
    for (int x = 0; x < 192; ++x) image.row(y)[x] = static_cast<uint8_t>(x + 2 * y);
  const auto error = [&](int quality) {
    const Image back = decode_image(encode_jpeg(image, quality));
    int64_t sum = 0;
    for (size_t i = 0; i < back.pixels.size(); ++i) sum += std::abs(back.pixels[i] - image.pixels[i]);
    return static_cast<double>(sum) / static_cast<double>(back.pixels.size());
  };
  EXPECT_LT(error(95), 2.0);
  EXPECT_LT(error(95), error(20));
  EXPECT_THROW((void)encode_jpeg(Image(4, 4, 4)), ShapeError);
}

}  // namespace
}  // namespace tessera::rils
