#include "rils/model/vision.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "autograd/ops/rows.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "nn/init.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

constexpr int64_t kPatch = 4, kWidth = 16;

VisionConfig tiny(int64_t side) {
  return {.image_size = side * kPatch, .patch_size = kPatch, .width = kWidth, .layers = 2, .heads = 2};
}

/// A tower with its parameters, of the same initial values whatever its grid.
struct Tower {
  ParameterStore store;
  VisionTower vision;
  Tower(const VisionConfig& config, VisionTraits traits) : vision(store, config, DType::f32, traits) {
    store.allocate(DType::f32);
    store.initialise(3);
  }
};

Tensor random_images(int64_t count, int64_t height, int64_t width) {
  Tensor t = Tensor::empty({count, 3, height, width});
  nn::initialise(t, nn::normal(1.0), 3, "images");
  return t;
}

/// What a wide picture gives must be what the same patches give inside a square one of which nothing else is shown.
TEST(VisionTower, OfAWidePictureEqualsTheVisiblePartOfASquareOne) {
  Tower square(tiny(3), {});
  Tower wide(tiny(3), {.grid = Grid{2, 3}});
  const Tensor images = random_images(2, 3 * kPatch, 3 * kPatch);
  const Tensor upper = contiguous(images.slice(2, 0, 2 * kPatch));
  // Noise that shows the first six of nine patches.
  std::vector<float> noise;
  for (int i = 0; i < 18; ++i) noise.push_back(static_cast<float>(i % 9) / 9.0f);
  const Masks masks(Tensor::from(noise, {2, 9}), 1.0 / 3.0);
  ASSERT_EQ(masks.kept(), 6);
  const std::vector<int64_t> both = {0, 1};
  const Tensor expected = square.vision.encode_visible(square.vision.patch_tokens(images, {}), masks, both, {}).value;

  const TokenFeatures found = wide.vision.encode(wide.vision.patch_tokens(upper, {}), {});
  EXPECT_EQ(found.layout.grid, (Grid{2, 3}));
  EXPECT_EQ(found.layout.samples, 2);
  EXPECT_EQ(found.layout.prefix, 1);
  ASSERT_EQ(found.values.value.shape(), expected.shape());
  EXPECT_TRUE(std::ranges::equal(found.values.value.data<float>(), expected.data<float>()));
  EXPECT_EQ(wide.vision.features(upper, {}).value.shape(), (Shape{2, kWidth}));
}

TEST(VisionTower, RefusesImagesOfAnotherSizeThanItsGrid) {
  Tower wide(tiny(3), {.grid = Grid{2, 3}});
  EXPECT_THROW((void)wide.vision.patch_tokens(random_images(1, 3 * kPatch, 2 * kPatch), {}), ShapeError);
  EXPECT_THROW((void)wide.vision.patch_tokens(random_images(1, 3 * kPatch, 3 * kPatch), {}), ShapeError);
}

TEST(VisionTower, WithoutClsTokenHasRowsOfPatchesOnly) {
  Tower plain(tiny(2), {.cls_token = false});
  EXPECT_EQ(plain.store.find("visual.cls_token"), nullptr);
  const Tensor images = random_images(3, 2 * kPatch, 2 * kPatch);
  const TokenFeatures found = plain.vision.encode(plain.vision.patch_tokens(images, {}), {});
  EXPECT_EQ(found.layout.prefix, 0);
  ASSERT_EQ(found.values.value.shape(), (Shape{12, kWidth}));
  // The feature of an image is the mean of its four rows.
  const Tensor pooled = plain.vision.pool(found).value;
  const auto rows = found.values.value.data<float>();
  for (int64_t b = 0; b < 3; ++b) {
    for (int64_t d = 0; d < kWidth; ++d) {
      float sum = 0;
      for (int64_t p = 0; p < 4; ++p) sum += rows[static_cast<size_t>(found.layout.row(b, p) * kWidth + d)];
      EXPECT_NEAR(pooled.data<float>()[static_cast<size_t>(b * kWidth + d)], sum / 4, 1e-6f);
    }
  }
  Tower pools_cls(
      [] {
        VisionConfig config = tiny(2);
        config.pool = Pool::cls;
        return config;
      }(),
      {.cls_token = false});
  EXPECT_THROW((void)pools_cls.vision.features(images, {}), ConfigError);
}

/// The gradients of all parameters, in f64, for the CLS rows among all rows, and for features().
std::vector<Tensor> gradients_of_cls(bool all_rows, bool checkpointing, Tensor& feature) {
  VisionConfig config = tiny(2);
  config.pool = Pool::cls;
  ParameterStore store;
  const VisionTower vision(store, config, DType::f64);
  store.allocate(DType::f64);
  store.initialise(3);
  const PassOptions options{.precision = {DType::f64, DType::f64}, .checkpointing = checkpointing};
  const Tensor images = tessera::cast(random_images(3, 2 * kPatch, 2 * kPatch), DType::f64);
  store.clear_grads();
  autograd::Tape tape;
  const autograd::TapeScope scope(tape);
  const auto by_hand = [&] {
    const Var all = vision.encode(vision.patch_tokens(images, options), options).values;
    const std::vector<int32_t> rows = {0, 5, 10};  // a CLS token and four patches each
    return autograd::gather_rows(all, RowIndex(rows, 15), {.out_dtype = DType::f64});
  };
  const Var y = all_rows ? by_hand() : vision.features(images, options);
  feature = y.value;
  tape.backward(y, y.value);
  std::vector<Tensor> result;
  for (const nn::Entry& entry : store.entries()) result.push_back(clone(entry.grad()));
  return result;
}

TEST(VisionTower, ComputesOnlyTheClsRowsOfTheLastBlockForAFeature) {
  Tensor expected, found;
  const auto whole = gradients_of_cls(true, false, expected);
  for (const bool checkpointing : {false, true}) {
    const auto part = gradients_of_cls(false, checkpointing, found);
    EXPECT_LE(test::absolute_error(found, expected), 1e-13);
    ASSERT_EQ(part.size(), whole.size());
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_LE(test::absolute_error(part[i], whole[i]), 1e-12) << i;
  }
}

TEST(HiddenRows, SkipThePrefixOfEverySample) {
  const Masks masks(Tensor::from(std::vector<float>{0.9f, 0.1f, 0.8f, 0.2f, 0.1f, 0.9f, 0.2f, 0.8f}, {2, 4}), 0.5);
  const std::vector<int64_t> second = {1}, both = {0, 1};
  const TokenLayout with_cls{2, 1, {2, 2}}, without{2, 0, {2, 2}};
  EXPECT_EQ(hidden_rows(masks, both, with_cls), (std::vector<int32_t>{1, 3, 7, 9}));
  EXPECT_EQ(hidden_rows(masks, second, without), (std::vector<int32_t>{5, 7}));
}

}  // namespace
}  // namespace tessera::rils
