#include "rils/data/augment/simclr.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "rils/data/colour.h"
#include "tests/rils/data/golden_file.h"

namespace tessera::rils {
namespace {

using test::GoldenFile;

void apply(const std::string& operation, Image& image, double factor) {
  if (operation == "brightness") adjust_brightness(image, factor);
  if (operation == "contrast") adjust_contrast(image, factor);
  if (operation == "saturation") adjust_saturation(image, factor);
  if (operation == "hue") adjust_hue(image, factor);
  if (operation == "grey") make_grey(image);
  if (operation == "blur") gaussian_blur(image, factor);
}

TEST(Colour, EqualsTorchvisionAndPillow) {
  const GoldenFile golden("colour");
  const auto cases = golden.metadata("cases");
  ASSERT_EQ(cases.size(), 136u);
  for (const auto& job : cases) {
    SCOPED_TRACE(job.dump());
    Image image = golden.image("source." + job.at("source").get<std::string>());
    apply(job.at("operation"), image, job.at("factor"));
    EXPECT_TRUE(image.pixels == golden.image(job.at("key")).pixels);
  }
}

TEST(Colour, ChainsEqualTorchvisions) {
  constexpr const char* kOperations[] = {"brightness", "contrast", "saturation", "hue"};
  const GoldenFile golden("colour");
  const auto chains = golden.metadata("chains");
  ASSERT_EQ(chains.size(), 6u);
  for (const auto& chain : chains) {
    SCOPED_TRACE(chain.dump());
    Image image = golden.image("source.plain");
    for (const size_t index : chain.at("order")) apply(kOperations[index], image, chain.at("factors").at(index));
    EXPECT_TRUE(image.pixels == golden.image(chain.at("key")).pixels);
  }
}

Image plain() { return GoldenFile("colour").image("source.plain"); }

/// The fraction of 600 augmented views that change when one step is left out and the draws stay the same.
double share_of(const std::function<void(SimclrTransform&)>& leave_out) {
  const Philox philox(7, "augment");
  const Image image = plain();
  constexpr int kViews = 600;
  SimclrTransform with, without;
  with.crop.size = without.crop.size = 16;
  leave_out(without);
  int differ = 0;
  for (uint64_t i = 0; i < kViews; ++i) {
    AugmentStream a(philox, 0, i), b(philox, 0, i);
    differ += with.augment(image, a).pixels == without.augment(image, b).pixels ? 0 : 1;
    EXPECT_EQ(a.uniform(), b.uniform()) << "what follows depends on what was done";
  }
  return differ / static_cast<double>(kViews);
}

/// Four stds of a fraction of 600 draws.
double allowed(double p) { return 4 * std::sqrt(p * (1 - p) / 600); }

TEST(Views, StepsHappenWithTheirProbabilities) {
  EXPECT_NEAR(share_of([](SimclrTransform& t) { t.grey_probability = 0; }), 0.2, allowed(0.2));
  EXPECT_NEAR(share_of([](SimclrTransform& t) { t.flip_probability = 0; }), 0.5, allowed(0.5));
  // Narrow blurs and small changes of colour may leave every byte as it was.
  const double blurred = share_of([](SimclrTransform& t) { t.blur_probability = 0; });
  EXPECT_GT(blurred, 0.4);
  EXPECT_LT(blurred, 0.5 + allowed(0.5));
  const double jittered = share_of([](SimclrTransform& t) { t.jitter_probability = 0; });
  EXPECT_NEAR(jittered, 0.8, allowed(0.8));
}

TEST(Views, JitterDrawsEveryOrderAndTheWholeRange) {
  const Philox philox(3, "augment");
  // A single operation shows its factor: a grey of 100 becomes 100 · factor.
  ColourJitter light;
  light.contrast = light.saturation = light.hue = 0;
  int lowest = 255, highest = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    Image grey(1, 1);
    std::ranges::fill(grey.pixels, uint8_t{100});
    AugmentStream random(philox, 0, i);
    light(grey, random);
    lowest = std::min<int>(lowest, grey.pixels[0]);
    highest = std::max<int>(highest, grey.pixels[0]);
  }
  EXPECT_EQ(lowest, 60);
  EXPECT_EQ(highest, 139);
  // Operations with large fixed factors do not commute, so each order gives another result.
  std::map<std::string, int> results;
  const Image image = plain();
  constexpr int kDraws = 2400;
  for (uint64_t i = 0; i < kDraws; ++i) {
    AugmentStream random(philox, 1, i);
    Image copy = image;
    for (const int what : draw_order(random)) {
      if (what == 0) adjust_brightness(copy, 1.9);
      if (what == 1) adjust_contrast(copy, 0.4);
      if (what == 2) adjust_saturation(copy, 1.8);
      if (what == 3) adjust_hue(copy, 0.3);
    }
    ++results[std::string(copy.pixels.begin(), copy.pixels.end())];
  }
  EXPECT_EQ(results.size(), 24u);
  for (const auto& [pixels, count] : results) EXPECT_NEAR(count, kDraws / 24, 5 * std::sqrt(kDraws / 24.0));
}

}  // namespace
}  // namespace tessera::rils
