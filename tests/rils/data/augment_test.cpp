// RandAugment's operations equal those of timm and Pillow byte for byte. Draws and random erasing have the right
// distributions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "rils/data/augment/rand_augment.h"
#include "tests/rils/data/golden_file.h"

namespace tessera::rils {
namespace {

constexpr Colour kFill = {124, 116, 104};
const std::map<std::string, RandOp> kNames = {{"AutoContrast", RandOp::autocontrast},
                                              {"Equalize", RandOp::equalize},
                                              {"Invert", RandOp::invert},
                                              {"Rotate", RandOp::rotate},
                                              {"PosterizeIncreasing", RandOp::posterize},
                                              {"SolarizeIncreasing", RandOp::solarize},
                                              {"SolarizeAdd", RandOp::solarize_add},
                                              {"ColorIncreasing", RandOp::color},
                                              {"ContrastIncreasing", RandOp::contrast},
                                              {"BrightnessIncreasing", RandOp::brightness},
                                              {"SharpnessIncreasing", RandOp::sharpness},
                                              {"ShearX", RandOp::shear_x},
                                              {"ShearY", RandOp::shear_y},
                                              {"TranslateXRel", RandOp::translate_x},
                                              {"TranslateYRel", RandOp::translate_y}};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// The number of bytes that differ, and the index of the first.
void expect_same(const Image& found, const Image& expected, const std::string& what) {
  ASSERT_EQ(found.width, expected.width) << what;
  ASSERT_EQ(found.height, expected.height) << what;
  const auto [a, b] = std::ranges::mismatch(found.pixels, expected.pixels);
  EXPECT_TRUE(a == found.pixels.end()) << what << ": byte " << a - found.pixels.begin() << " is "
                                       << static_cast<int>(*a) << ", expected " << static_cast<int>(*b);
}

TEST(RandAugmentGolden, EveryOperationIsTimmsToTheByte) {
  const test::GoldenFile golden("augment");
  std::map<RandOp, int> seen;
  for (const std::string& name : golden.names()) {
    const auto parts = split(name);  // picture, operation, magnitude (two parts), sign
    if (parts.size() < 5 || parts[1] == "turn") continue;
    const RandOp op = kNames.at(parts[1]);
    const Image input = golden.image(parts[0] + ".input");
    const Image found = apply(op, input, std::stod(parts[2] + "." + parts[3]), parts[4] == "1", kFill);
    expect_same(found, golden.image(name), name);
    ++seen[op];
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(kRandOps));
}

TEST(RandAugmentGolden, TurnsOfAnyAngleArePillows) {
  const test::GoldenFile golden("augment");
  int turns = 0;
  for (const std::string& name : golden.names()) {
    const size_t at = name.find(".turn.");
    if (at == std::string::npos) continue;
    const double degrees = std::stod(name.substr(at + 6));
    if (name.starts_with("smooth") && (degrees == 90 || degrees == 270))
      continue;  // not square, so Pillow interpolates
    expect_same(rotate(golden.image(name.substr(0, at) + ".input"), degrees, kFill), golden.image(name), name);
    ++turns;
  }
  EXPECT_EQ(turns, 8);
}

TEST(RandAugment, WordsAreTimms) {
  const RandAugment a = RandAugment::parse("rand-m9-mstd0.5-inc1");
  EXPECT_EQ(a.magnitude, 9);
  EXPECT_EQ(a.magnitude_std, 0.5);
  EXPECT_EQ(a.layers, 2);
  EXPECT_EQ(a.probability, 0.5);
  EXPECT_EQ(RandAugment::parse("rand-m7-n3-p0.25-inc1").layers, 3);
  EXPECT_EQ(RandAugment::parse("rand-m7-n3-p0.25-inc1").probability, 0.25);
  EXPECT_EQ(RandAugment::parse("none").layers, 0);
  for (const char* wrong : {"", "rand", "rand-m9", "rand-m9-inc0", "augmix-m3-inc1", "rand-m11-inc1", "rand-mx-inc1",
                            "rand-m9-inc1-w0", "rand--inc1", "rand-n0-inc1"}) {
    try {
      (void)RandAugment::parse(wrong);
      ADD_FAILURE() << wrong;
    } catch (const ConfigError& e) {
      EXPECT_EQ(e.what(),
                "finetune.aa: expected none or rand-mM[-nN][-pP][-mstdS]-inc1, found \"" + std::string(wrong) + "\"");
    }
  }
}

TEST(RandAugment, FillsWithTheMeanOfNormalisation) {
  EXPECT_EQ(RandAugment::fill_of(kImagenetMean), (Colour{124, 116, 104}));
}

TEST(RandAugment, DrawsFollowTimmsDistributions) {
  const Philox philox(1, "augment test");
  const RandAugment augment = RandAugment::parse("rand-m9-mstd0.5-inc1");
  constexpr int kDraws = 60000;
  std::array<int, kRandOps> ops{};
  int made = 0, negative = 0, at_limit = 0;
  double sum = 0, square = 0, below = 0;
  for (int i = 0; i < kDraws; ++i) {
    AugmentStream stream(philox, 0, static_cast<uint64_t>(i));
    const auto d = augment.draw(stream);
    ++ops.at(static_cast<size_t>(d.op));
    made += d.applied ? 1 : 0;
    negative += d.negative ? 1 : 0;
    at_limit += d.magnitude == 10.0 ? 1 : 0;
    below += d.magnitude < 8.5 ? 1 : 0;
    sum += d.magnitude;
    square += d.magnitude * d.magnitude;
  }
  const double half = 4 * std::sqrt(0.25 / kDraws);
  EXPECT_NEAR(made / double{kDraws}, 0.5, half);
  EXPECT_NEAR(negative / double{kDraws}, 0.5, half);
  for (const int n : ops) EXPECT_NEAR(n / double{kDraws}, 1.0 / kRandOps, 4 * std::sqrt(1.0 / kRandOps / kDraws));
  // N(9, 0.5) cut at 10, two stds up.
  EXPECT_NEAR(at_limit / double{kDraws}, 0.02275, 0.0025);
  EXPECT_NEAR(below / kDraws, 0.15866, 0.006);
  EXPECT_NEAR(sum / kDraws, 9.0 - 0.5 * 0.00849, 0.01);
  EXPECT_NEAR(std::sqrt(square / kDraws - sum / kDraws * sum / kDraws), 0.49, 0.01);
}

TEST(RandAugment, LayersFollowEachOther) {
  const test::GoldenFile golden("augment");
  const Image input = golden.image("smooth.input");
  const Philox philox(3, "layers");
  RandAugment augment = RandAugment::parse("rand-m9-n3-p1-inc1");
  augment.fill = kFill;
  AugmentStream draws(philox, 0, 5), again(philox, 0, 5);
  Image expected = input;
  for (int layer = 0; layer < 3; ++layer) {
    const auto d = augment.draw(draws);
    expected = apply(d.op, expected, d.magnitude, d.negative, kFill);
  }
  expect_same(augment(input, again), expected, "three layers");
  augment.layers = 0;
  expect_same(augment(input, again), input, "none");
}

TEST(RandomErasing, AreasAspectsAndPlacesAreTimms) {
  const Philox philox(4, "erasing test");
  RandomErasing erasing;
  constexpr int kDraws = 40000, kSize = 224;
  int erased = 0;
  double area = 0, log_aspect = 0, square = 0, top_share = 0;
  double smallest = 1, largest = 0, widest = 0;
  for (int i = 0; i < kDraws; ++i) {
    AugmentStream stream(philox, 0, static_cast<uint64_t>(i));
    const Box box = erasing.draw_box(kSize, kSize, stream);
    if (box.height == 0) continue;
    ++erased;
    EXPECT_LT(box.height, kSize);
    EXPECT_LT(box.width, kSize);
    EXPECT_LE(box.top + box.height, kSize);
    EXPECT_LE(box.left + box.width, kSize);
    const double share = static_cast<double>(box.height) * box.width / (kSize * kSize);
    const double aspect = std::log(static_cast<double>(box.height) / box.width);
    area += share;
    log_aspect += aspect;
    square += aspect * aspect;
    top_share += static_cast<double>(box.top) / (kSize - box.height);
    smallest = std::min(smallest, share);
    largest = std::max(largest, share);
    widest = std::max(widest, std::abs(aspect));
  }
  EXPECT_NEAR(erased / double{kDraws}, 0.25, 4 * std::sqrt(0.25 * 0.75 / kDraws));
  const double n = erased;
  // Area is uniform in [0.02, 1/3] and log aspect in ±log 0.3, except for the few rectangles that do not fit and are
  // drawn again.
  EXPECT_NEAR(area / n, (0.02 + 1.0 / 3.0) / 2, 0.005);
  EXPECT_NEAR(smallest, 0.02, 0.002);
  EXPECT_NEAR(largest, 1.0 / 3.0, 0.005);
  EXPECT_NEAR(log_aspect / n, 0.0, 0.03);
  EXPECT_NEAR(std::sqrt(square / n), std::log(1 / 0.3) / std::sqrt(3.0), 0.03);
  EXPECT_NEAR(widest, std::log(1 / 0.3), 0.03);
  EXPECT_NEAR(top_share / n, 0.5, 0.01);
}

TEST(RandomErasing, FillsItsBoxWithNormalNoiseAndNothingElse) {
  const Philox philox(5, "erasing");
  RandomErasing erasing;
  erasing.probability = 1;
  constexpr int kSize = 64;
  std::vector<float> values(size_t{3} * kSize * kSize, 7.0f);
  const AugmentStream stream(philox, 0, 1);
  AugmentStream numbers = stream;
  const Box box = erasing.draw_box(kSize, kSize, numbers);
  erasing(kSize, kSize, stream, values);
  double sum = 0, square = 0;
  int count = 0;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < kSize; ++y) {
      for (int x = 0; x < kSize; ++x) {
        const float v =
            values[(static_cast<size_t>(c) * kSize + static_cast<size_t>(y)) * kSize + static_cast<size_t>(x)];
        const bool inside = y >= box.top && y < box.top + box.height && x >= box.left && x < box.left + box.width;
        EXPECT_EQ(v == 7.0f, !inside);
        if (!inside) continue;
        sum += static_cast<double>(v);
        square += static_cast<double>(v) * static_cast<double>(v);
        ++count;
      }
    }
  }
  ASSERT_GT(count, 200);
  EXPECT_NEAR(sum / count, 0, 4 / std::sqrt(count));
  EXPECT_NEAR(square / count, 1, 6 / std::sqrt(count));
}

TEST(ClassifyTransform, WithoutAugmentationItIsTheTrainTransform) {
  const test::GoldenFile golden("augment");
  const Image input = golden.image("smooth.input");
  ClassifyTransform t;
  t.crop.size = 16;
  t.crop.flip_probability = 0.5f;
  t.erasing.probability = 0;
  const Philox philox(6, "augment");
  std::vector<float> plain(size_t{3} * 16 * 16), found(plain.size());
  for (uint64_t i = 0; i < 8; ++i) {
    const AugmentStream stream(philox, 0, i);
    t.crop(input, stream, plain);
    t(input, stream, found);
    EXPECT_EQ(found, plain) << i;
  }
  t.augment = RandAugment::parse("rand-m9-p1-inc1");
  t(input, AugmentStream(philox, 0, 0), found);
  t.crop(input, AugmentStream(philox, 0, 0), plain);
  EXPECT_NE(found, plain);
}

}  // namespace
}  // namespace tessera::rils
