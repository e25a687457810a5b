// Mixup, cutmix and targets: to the bit as timm has them for given draws, and the draws by their distribution.
#include "rils/finetune/mixing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/ops/copy.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

nn::SafetensorsFile golden() { return nn::SafetensorsFile(test::golden_path("finetune/mixing.safetensors")); }

void expect_mixed(const Mix& mix, const std::string& name) {
  const nn::SafetensorsFile file = golden();
  const Tensor images = file.load("images"), labels = file.load("labels");
  apply_mix(mix, images);
  EXPECT_EQ(test::absolute_error(images, file.load(name + ".images")), 0.0) << name;
  EXPECT_LE(
      test::absolute_error(soft_targets(labels.data<int32_t>(), 3, mix.lambda, 0.1), file.load(name + ".targets")),
      1.2e-7)
      << name;
}

TEST(Mixing, MixupOfAGivenLambda) {
  for (const int i : {0, 1, 2}) {
    const std::string name = "mixup." + std::to_string(i);
    expect_mixed({golden().load(name + ".lambda").item(), false, {}}, name);
  }
}

TEST(Mixing, CutmixOfAGivenLambdaAndCentre) {
  for (const int i : {0, 1, 2, 3}) {
    const std::string name = "cutmix." + std::to_string(i);
    const Tensor draws = golden().load(name + ".draws");
    const auto d = draws.data<double>();
    expect_mixed(cut_mix(10, d[0], static_cast<int64_t>(d[1]), static_cast<int64_t>(d[2])), name);
  }
}

TEST(Mixing, BoxesAreTimms) {
  const Tensor boxes = golden().load("boxes");
  for (int64_t i = 0; i < boxes.size(0); ++i) {
    const auto row = boxes.data<double>().subspan(static_cast<size_t>(8 * i), 8);
    const auto at = [&](size_t k) { return static_cast<int>(row[k]); };
    const Mix mix = cut_mix(at(0), row[1], at(2), at(3));
    EXPECT_EQ(mix.box, (Box{at(4), at(6), at(5) - at(4), at(7) - at(6)})) << i;
    EXPECT_DOUBLE_EQ(mix.lambda, 1.0 - (row[5] - row[4]) * (row[7] - row[6]) / (row[0] * row[0])) << i;
  }
}

TEST(Mixing, AnOddBatchMixesItsMiddleWithItself) {
  const Tensor images = Tensor::from(std::vector<float>{1, 2, 5}, {3, 1, 1, 1});
  apply_mix({0.25, false, {}}, images);
  EXPECT_EQ(images.data<float>()[0], 4.0f);
  EXPECT_EQ(images.data<float>()[1], 2.0f);
  EXPECT_EQ(images.data<float>()[2], 2.0f);
}

/// Largest distance between the distribution of draws and a cumulative distribution (Kolmogorov and Smirnov's).
double distance(std::vector<double> draws, double (*cumulative)(double)) {
  std::ranges::sort(draws);
  double largest = 0;
  for (size_t i = 0; i < draws.size(); ++i) {
    const double below = static_cast<double>(i) / static_cast<double>(draws.size());
    largest = std::max(largest, std::abs(cumulative(draws[i]) - below));
  }
  return largest;
}

TEST(Mixing, BetaHasItsDistribution) {
  const Philox philox(1, "beta test");
  constexpr size_t kDraws = 20000;
  const double limit = 1.95 / std::sqrt(static_cast<double>(kDraws));  // exceeded once in a thousand
  const auto draws_of = [&](double alpha) {
    std::vector<double> draws;
    for (size_t i = 0; i < kDraws; ++i) {
      AugmentStream stream(philox, 0, i);
      draws.push_back(draw_beta(alpha, stream));
    }
    return draws;
  };
  EXPECT_LT(distance(draws_of(1.0), [](double x) { return x; }), limit);
  EXPECT_LT(distance(draws_of(0.5), [](double x) { return 2 / M_PI * std::asin(std::sqrt(x)); }), limit);
  EXPECT_LT(distance(draws_of(2.0), [](double x) { return x * x * (3 - 2 * x); }), limit);
  double mean = 0, square = 0;
  for (const double x : draws_of(0.8)) {
    mean += x / kDraws;
    square += x * x / kDraws;
  }
  EXPECT_NEAR(mean, 0.5, 0.01);
  EXPECT_NEAR(square - mean * mean, 1 / (4 * (2 * 0.8 + 1)), 0.003);
}

TEST(Mixing, DrawsFollowTheProbabilities) {
  const Philox philox(2, "mixup");
  FinetuneConfig config;
  config.mixup_prob = 0.7;
  config.mixup_switch_prob = 0.2;
  int unmixed = 0, cut = 0, upper = 0, left = 0;
  double lambda = 0, tops = 0, lefts = 0;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    const Mix mix = draw_mix(config, 32, AugmentStream(philox, 0, static_cast<uint64_t>(i)));
    if (mix.cut) {
      ++cut;
      const double y = mix.box.top + 0.5 * mix.box.height, x = mix.box.left + 0.5 * mix.box.width;
      upper += y < 16 ? 1 : 0;
      left += x < 16 ? 1 : 0;
      tops += (y - 16) * (y - 16);
      lefts += (x - 16) * (x - 16);
    }
    if (!mix.cut && mix.lambda == 1.0) ++unmixed;
    if (!mix.cut && mix.lambda != 1.0) lambda += mix.lambda;
  }
  const double sigma = 4 * std::sqrt(0.25 / kDraws);
  EXPECT_NEAR(unmixed / double{kDraws}, 0.3, sigma);
  EXPECT_NEAR(cut / double{kDraws}, 0.7 * 0.2, sigma);
  EXPECT_NEAR(lambda / (kDraws - unmixed - cut), 0.5, 0.02);
  // Centres anywhere, pulled inwards where a box is cut at the border: on either side as often, and alike both ways.
  EXPECT_NEAR(upper / static_cast<double>(cut), 0.5, 0.06);
  EXPECT_NEAR(left / static_cast<double>(cut), 0.5, 0.06);
  EXPECT_GT(tops / cut, 15.0);
  EXPECT_GT(lefts / cut, 15.0);
  EXPECT_NEAR(tops / lefts, 1.0, 0.1);
  config.mixup = 0;
  EXPECT_TRUE(draw_mix(config, 32, AugmentStream(philox, 0, 3)).cut ||
              draw_mix(config, 32, AugmentStream(philox, 0, 3)).lambda == 1.0);
  config.cutmix = 0;
  EXPECT_EQ(draw_mix(config, 32, AugmentStream(philox, 0, 3)).lambda, 1.0);
}

}  // namespace
}  // namespace tessera::rils
