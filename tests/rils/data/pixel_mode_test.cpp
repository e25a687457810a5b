#include "rils/data/pixel_mode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <string>

#include "rils/data/decode.h"
#include "rils/data/transform.h"
#include "tests/rils/data/golden_file.h"

namespace tessera::rils {
namespace {

using test::GoldenFile;

/// The largest difference between two pictures, or 256 for other sizes.
int difference(const Image& a, const Image& b) {
  if (a.width != b.width || a.height != b.height || a.pixels.size() != b.pixels.size()) return 256;
  int largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) largest = std::max(largest, std::abs(int{a.pixels[i]} - b.pixels[i]));
  return largest;
}

/// Files that Pillow opens in another mode than RGB and grey give, resized first, its bytes. All others stay plain.
TEST(ResizeBeforeRgb, EqualsTorchvisionOnPillowsModes) {
  const GoldenFile golden("decode");
  int resized = 0, plain = 0;
  for (const auto& file : golden.names()) {
    if (!file.ends_with(".bytes")) continue;
    const std::string name = file.substr(0, file.size() - 6);
    SCOPED_TRACE(name);
    const Image image = decode_image(golden.bytes(file), kDefaultMaxImagePixels, true);
    if (!golden.contains(name + ".copied")) {
      EXPECT_EQ(image.mode, PixelMode::plain);
      EXPECT_TRUE(image.pixels == golden.image(name + ".pixels").pixels);
      ++plain;
      continue;
    }
    EXPECT_NE(image.mode, PixelMode::plain);
    const Box crop{3, 5, 17, 20}, small{3, 5, 16, 16};
    for (const auto& [word, how] :
         {std::pair{"bilinear", Interpolation::bilinear}, {"bicubic", Interpolation::bicubic}}) {
      const EvalTransform transform{.resize = 16, .size = 16, .interpolation = how};
      EXPECT_EQ(difference(transform.crop(image), golden.image(name + ".resized." + word)), 0) << word;
      const Image large = resize_to_rgb(image, crop, 33, 33, how, {0, 0, 33, 33});
      EXPECT_EQ(difference(large, golden.image(name + ".enlarged." + word)), 0) << word;
    }
    const Image copied = resize_to_rgb(image, small, 16, 16, Interpolation::bicubic, {0, 0, 16, 16});
    EXPECT_EQ(difference(copied, golden.image(name + ".copied")), 0);
    ++resized;
  }
  EXPECT_EQ(resized, 20);
  EXPECT_EQ(plain, 31);
}

/// A crop of training goes the same way.
TEST(ResizeBeforeRgb, TrainingCropsInTheModeOfTheFile) {
  const GoldenFile golden("decode");
  const auto bytes = golden.bytes("png_palette.bytes");
  const Image kept = decode_image(bytes, kDefaultMaxImagePixels, true), rgb = decode_image(bytes);
  const Philox philox(3, "crop");
  AugmentStream first(philox, 0, 0), second(philox, 0, 0);
  const TrainTransform transform{.size = 16, .interpolation = Interpolation::bicubic};
  const Image cropped = transform.crop(kept, first), mixed = transform.crop(rgb, second);
  EXPECT_NE(cropped.pixels, mixed.pixels);
  std::set<std::array<uint8_t, 3>> colours;
  for (int y = 0; y < rgb.height; ++y)
    for (int x = 0; x < rgb.width; ++x) colours.insert({rgb.pixel(x, y)[0], rgb.pixel(x, y)[1], rgb.pixel(x, y)[2]});
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 16; ++x) {
      const uint8_t* p = cropped.pixel(x, y);
      EXPECT_TRUE(colours.contains({p[0], p[1], p[2]})) << x << " " << y;
    }
}

TEST(ResizeBeforeRgb, RefusesBoxesOutside) {
  Image image(10, 8, 4);
  for (const PixelMode mode : {PixelMode::nearest, PixelMode::alpha, PixelMode::cmyk}) {
    image.mode = mode;
    const Box whole{0, 0, 4, 4};
    EXPECT_THROW((void)resize_to_rgb(image, {0, 0, 9, 10}, 4, 4, Interpolation::bilinear, whole), ShapeError);
    EXPECT_THROW((void)resize_to_rgb(image, {0, 0, 8, 10}, 4, 3, Interpolation::bilinear, whole), ShapeError);
  }
}

}  // namespace
}  // namespace tessera::rils
