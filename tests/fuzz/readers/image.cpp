// Every format of images, and what the loader does with the pixels.
#include <zlib.h>

#include <array>
#include <cstdint>
#include <string>

#include "engine/core/philox.h"
#include "rils/data/decode.h"
#include "rils/data/encode.h"
#include "rils/data/transform.h"
#include "tests/fuzz/harness.h"

namespace tessera::fuzz {
namespace {

using namespace rils;

constexpr int64_t kMostPixels = 1 << 14;

void check_image(const Image& image, int channels) {
  expect(image.width > 0 && image.height > 0 && image.channels == channels, "a picture with pixels");
  expect(int64_t{image.width} * image.height <= kMostPixels, "at most as many pixels as allowed");
  expect(image.pixels.size() == image.row_bytes() * static_cast<size_t>(image.height), "all of its pixels");
}

void decode(std::string_view input) {
  const auto bytes = bytes_of(input);
  Image image;
  if (!accepts<SampleError>([&] { image = decode_image(bytes, kMostPixels); })) {
    expect(!describe_unread(bytes).empty(), "words for what is not read");
    return;
  }
  check_image(image, 3);
  expect(decode_image(encode_png(image), kMostPixels).pixels == image.pixels, "a PNG with the same pixels");
  const Image kept = decode_image(bytes, kMostPixels, true);
  const bool more = kept.mode != PixelMode::plain && kept.mode != PixelMode::nearest;
  check_image(kept, more ? 4 : 3);
  for (const Image* one : std::to_array<const Image*>({&image, &kept})) {
    (void)accepts<SampleError>([&] {
      const Image crop = EvalTransform{.resize = 9, .size = 8}.crop(*one);
      expect(crop.width == 8 && crop.height == 8 && crop.channels == 3, "a crop of its size");
    });
  }
  (void)accepts<SampleError>([&] {
    static const Philox philox(7, "fuzz");
    AugmentStream random(philox, 0, input.size());
    (void)TrainTransform{.size = 8}.crop(image, random);
  });
}

/// A PNG with the check sums that its chunks should have; anything else as it is.
std::string with_check_sums(std::string_view input) {
  std::string text(input);
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  if (!text.starts_with("\x89PNG")) return text;
  for (size_t at = 8; at + 12 <= text.size();) {
    const size_t length = byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3);
    if (length > text.size() - at - 12) break;
    const auto sum = static_cast<uint32_t>(
        crc32(0, reinterpret_cast<const Bytef*>(text.data()) + at + 4, static_cast<uInt>(length + 4)));
    for (size_t i = 0; i < 4; ++i) text[at + 8 + length + i] = static_cast<char>(sum >> (24 - 8 * i));
    at += 12 + length;
  }
  return text;
}

TESSERA_FUZZ(image) {
  decode(input);
  const std::string repaired = with_check_sums(input);
  if (repaired != input) decode(repaired);
}

TESSERA_FUZZ(png_with_alpha) {
  Image image;
  const std::string repaired = with_check_sums(input);
  if (!accepts<SampleError>([&] { image = decode_png_rgba(bytes_of(repaired), kMostPixels); })) return;
  check_image(image, 4);
  expect(decode_png_rgba(encode_png(image), kMostPixels).pixels == image.pixels, "a PNG with the same pixels");
}

}  // namespace
}  // namespace tessera::fuzz
