#include "rils/data/transform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/rils/data/golden_file.h"

namespace tessera::rils {
namespace {

using test::GoldenFile;

Interpolation mode_of(const nlohmann::json& job) {
  return job.at("mode") == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
}

/// Larger and smaller sizes, both filters, crops at edges and one pixel: all bytes equal torchvision's on Pillow
/// images.
TEST(Resize, EqualsTorchvision) {
  const GoldenFile golden("resize");
  const auto cases = golden.metadata("cases");
  ASSERT_EQ(cases.size(), 50u);
  for (const auto& job : cases) {
    SCOPED_TRACE(job.dump());
    const Image source = golden.image("source." + job.at("source").get<std::string>());
    Box box{0, 0, source.height, source.width};
    if (!job.at("box").is_null()) box = {job["box"][0], job["box"][1], job["box"][2], job["box"][3]};
    const Image found = resize(source, box, job.at("height"), job.at("width"), mode_of(job));
    const Image expected = golden.image(job.at("key"));
    ASSERT_EQ(found.height, expected.height);
    ASSERT_EQ(found.width, expected.width);
    EXPECT_TRUE(found.pixels == expected.pixels);
  }
}

TEST(Resize, AWindowIsAPartOfTheWhole) {
  const Image source = GoldenFile("resize").image("source.plain");
  for (const auto mode : {Interpolation::bilinear, Interpolation::bicubic}) {
    const Image whole = resize(source, {2, 3, 40, 50}, 33, 71, mode);
    const Box window{5, 9, 17, 23};
    const Image part = resize(source, {2, 3, 40, 50}, 33, 71, mode, window);
    for (int y = 0; y < window.height; ++y)
      EXPECT_TRUE(std::equal(part.row(y), part.row(y) + part.row_bytes(), whole.row(y + window.top) + 3 * window.left));
  }
}

TEST(Resize, RefusesBoxesOutside) {
  const Image source(10, 8);
  EXPECT_THROW((void)resize(source, {0, 0, 9, 10}, 4, 4, Interpolation::bilinear), ShapeError);
  EXPECT_THROW((void)resize(source, {0, 0, 0, 10}, 4, 4, Interpolation::bilinear), ShapeError);
  EXPECT_THROW((void)resize(source, 0, 4, Interpolation::bilinear), ShapeError);
}

TEST(EvalTransform, EqualsTorchvision) {
  const GoldenFile golden("resize");
  const auto cases = golden.metadata("evaluations");
  ASSERT_EQ(cases.size(), 28u);
  for (const auto& job : cases) {
    SCOPED_TRACE(job.dump());
    EvalTransform transform;
    transform.resize = job.at("size");
    transform.size = job.at("crop");
    transform.interpolation = mode_of(job);
    const Image found = transform.crop(golden.image("source." + job.at("source").get<std::string>()));
    EXPECT_TRUE(found.pixels == golden.image(job.at("key")).pixels);
  }
}

TEST(EvalTransform, SizesAndCropsRoundAsTorchvision) {
  const GoldenFile golden("resize");
  const auto sizes = golden.values<int32_t>("sizes");
  ASSERT_GT(sizes.size(), 500u);
  for (size_t i = 0; i < sizes.size(); i += 5) {
    const auto [height, width] = shorter_side_size(sizes[i + 1], sizes[i], sizes[i + 2]);
    EXPECT_EQ(width, sizes[i + 3]) << sizes[i] << "x" << sizes[i + 1];
    EXPECT_EQ(height, sizes[i + 4]) << sizes[i] << "x" << sizes[i + 1];
  }
  const auto crops = golden.values<int32_t>("center");
  for (size_t i = 0; i < crops.size(); i += 18) {
    const Box box = center_crop_box(1, crops[i], crops[i + 1]);
    for (int x = 0; x < crops[i + 1]; ++x) {
      const int at = box.left + x;
      EXPECT_EQ(at >= 0 && at < crops[i] ? at + 1 : 0, crops[i + 2 + static_cast<size_t>(x)])
          << crops[i] << " " << crops[i + 1];
    }
  }
}

TEST(EvalTransform, AnImageTooThinIsSkippedByItsReason) {
  EXPECT_EQ(shorter_side_size(1, 1 << 16, 256), (std::pair{256, 1 << 24}));
  for (const auto& [height, width] : {std::pair{1, (1 << 16) + 1}, {10'000'000, 1}, {1, 2'147'483'647}}) {
    try {
      (void)shorter_side_size(height, width, 256);
      FAIL() << height;
    } catch (const SampleError& e) {
      EXPECT_EQ(e.reason(), skip::kTooThin);
    }
  }
  EvalTransform t;
  t.size = t.resize = 256;
  EXPECT_THROW((void)t.crop(Image(70'000, 1)), SampleError);
  EXPECT_EQ(t.crop(Image(60'000, 1)).width, 256);
  EXPECT_EQ(t.crop(Image(1, 60'000)).height, 256);
}

/// A row of 10000 pixels, which torchvision would first enlarge to 224×2240000.
TEST(EvalTransform, AnExtremeImageCostsLittle) {
  EvalTransform transform;
  std::vector<float> out(3 * 224 * 224);
  Image row(60'000, 1);
  std::ranges::fill(row.pixels, uint8_t{200});
  transform(row, out);
  EXPECT_FLOAT_EQ(out[0], (200.0f / 255.0f - kImagenetMean[0]) / kImagenetStd[0]);
}

TEST(Normalize, EqualsTorchvisionToTheBit) {
  const GoldenFile golden("resize");
  const Image source = golden.image("source.plain");
  std::vector<float> found(source.pixels.size());
  normalize(source, kImagenetMean, kImagenetStd, found);
  EXPECT_EQ(found, golden.values<float>("normalised.plain"));
  EXPECT_THROW(normalize(source, kImagenetMean, kImagenetStd, std::span(found).first(5)), ShapeError);
}

TEST(RandomResizedCrop, BoxesEqualTorchvision) {
  const GoldenFile golden("crop");
  const auto rows = golden.values<double>("draws");
  constexpr size_t kRow = 6 + 40 + 4;
  ASSERT_EQ(rows.size() % kRow, 0u);
  int fallbacks = 0;
  for (size_t r = 0; r < rows.size(); r += kRow) {
    const double* row = rows.data() + r;
    size_t next = 0;
    const Box found = random_resized_crop_box(static_cast<int>(row[1]), static_cast<int>(row[0]),
                                              {static_cast<float>(row[4]), static_cast<float>(row[5])}, [&] {
                                                const double* t = row + 6 + 4 * next++;
                                                return CropTry{t[0], t[1], t[2], t[3]};
                                              });
    fallbacks += next == 10 ? 1 : 0;
    const double* e = row + 46;
    const Box expected{static_cast<int>(e[0]), static_cast<int>(e[1]), static_cast<int>(e[2]), static_cast<int>(e[3])};
    EXPECT_EQ(found, expected) << "row " << r / kRow << ": " << row[0] << "x" << row[1] << " " << found.top << " "
                               << found.left << " " << found.height << " " << found.width;
  }
  EXPECT_GT(fallbacks, 10);
}

/// The drawn boxes have areas within the scale, ratios within the limits, and positions everywhere.
TEST(TrainTransform, BoxesHaveTheRightDistribution) {
  const Philox philox(3, "augment");
  TrainTransform transform;
  double area = 0, log_ratio = 0, top_share = 0;
  int placed = 0;
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) {
    AugmentStream random(philox, 1, static_cast<uint64_t>(i));
    const Box box = transform.draw_box(400, 400, random);
    ASSERT_GE(box.top, 0);
    ASSERT_LE(box.top + box.height, 400);
    ASSERT_LE(box.left + box.width, 400);
    const double share = box.height * box.width / 160000.0;
    ASSERT_GE(share, 0.495);
    area += share;
    log_ratio += std::log(static_cast<double>(box.width) / box.height);
    if (box.height < 400) top_share += static_cast<double>(box.top) / (400 - box.height), ++placed;
  }
  // Boxes that do not fit are drawn again, which favours smaller boxes, so the mean is below 0.75.
  EXPECT_NEAR(area / kDraws, 0.70, 0.03);
  EXPECT_NEAR(log_ratio / kDraws, 0.0, 0.015);
  EXPECT_NEAR(top_share / placed, 0.5, 0.02);
}

TEST(TrainTransform, DependsOnItsNumbersOnly) {
  const Image source = GoldenFile("resize").image("source.plain");
  const Philox philox(3, "augment");
  TrainTransform transform;
  transform.size = 16;
  transform.scale = {0.2f, 1.0f};
  std::vector<float> a(3 * 16 * 16), b(a.size());
  transform(source, AugmentStream(philox, 2, 7), a);
  transform(source, AugmentStream(philox, 2, 7), b);
  EXPECT_EQ(a, b);
  transform(source, AugmentStream(philox, 3, 7), b);
  EXPECT_NE(a, b);
  transform(source, AugmentStream(philox, 2, 8), b);
  EXPECT_NE(a, b);
}

/// A flip has its probability and gives the mirror image of the same crop.
TEST(TrainTransform, FlipMirrorsTheSameCrop) {
  const Image source = GoldenFile("resize").image("source.plain");
  const Philox philox(5, "augment");
  TrainTransform plain, sometimes;
  plain.size = sometimes.size = 12;
  sometimes.flip_probability = 0.5f;
  std::vector<float> a(3 * 12 * 12), b(a.size());
  int flips = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    plain(source, AugmentStream(philox, 0, i), a);
    sometimes(source, AugmentStream(philox, 0, i), b);
    if (a == b) continue;
    ++flips;
    for (size_t row = 0; row < 36; ++row)
      for (size_t x = 0; x < 12; ++x) ASSERT_EQ(a[row * 12 + x], b[row * 12 + 11 - x]);
  }
  EXPECT_NEAR(flips, 100, 25);
}

/// Whether an image is flipped does not depend on how many tries its crop took.
TEST(TrainTransform, FlipDoesNotDependOnTheCrop) {
  const auto ramp = [](int width, int height) {
    Image image(width, height);
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < 3; ++c) image.row(y)[3 * x + c] = static_cast<uint8_t>(255 * x / width);
    return image;
  };
  const Image square = ramp(100, 100), strip = ramp(300, 8);  // no box of a permitted ratio fits into the strip
  const Philox philox(5, "augment");
  TrainTransform transform;
  transform.size = 12;
  transform.flip_probability = 0.5f;
  std::vector<float> a(3 * 12 * 12), b(a.size());
  for (uint64_t i = 0; i < 100; ++i) {
    transform(square, AugmentStream(philox, 0, i), a);
    transform(strip, AugmentStream(philox, 0, i), b);
    EXPECT_EQ(a[0] > a[11], b[0] > b[11]) << i;
  }
}

TEST(TrainTransform, OnePixelBecomesAFlatImage) {
  Image dot(1, 1);
  dot.pixels = {10, 20, 30};
  const Philox philox(5, "augment");
  TrainTransform transform;
  std::vector<float> out(3 * 224 * 224);
  transform(dot, AugmentStream(philox, 0, 0), out);
  EXPECT_EQ(*std::ranges::min_element(out.begin(), out.begin() + 224 * 224),
            *std::ranges::max_element(out.begin(), out.begin() + 224 * 224));
}

}  // namespace
}  // namespace tessera::rils
