// What a step is given: masks that differ from step to step and from sample to sample, the right rows in every
// micro-batch, data prepared as configured.
#include "rils/train/inputs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "rils/model/masking.h"
#include "rils/train/trainer.h"
#include "tests/rils/data/test_files.h"
#include "tests/rils/train/tiny_model.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

using test::tiny_config;

/// A loader's batch whose values tell (view, row, place) apart.
Batch numbered(int64_t rows, int64_t views) {
  Batch batch;
  batch.size = rows;
  constexpr int64_t kValues = 3 * 8 * 8;
  for (int64_t view = 0; view < views; ++view) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < kValues; ++i) {
        batch.images.push_back(static_cast<float>(1000000 * view + 1000 * row + i));
      }
    }
  }
  for (int64_t row = 0; row < rows; ++row) {
    for (int i = 0; i < 6; ++i) batch.tokens.push_back(static_cast<int32_t>(10 * row + i));
  }
  return batch;
}

std::vector<MicroBatch> micro_batches(const Batch& batch, const Config& c, int64_t parts, int64_t step) {
  const int64_t size = c.model.vision.image_size, images = std::ssize(batch.images) / (3 * size * size);
  return to_micro_batches(batch, Tensor::from(batch.images, {images, 3, size, size}), c, parts, step);
}

TEST(MicroBatches, HoldConsecutiveRows) {
  for (const auto& [objective, views] :
       std::vector<std::pair<std::string, int64_t>>{{"rils", 1}, {"clip", 1}, {"mae", 1}, {"simclr", 2}, {"slip", 3}}) {
    for (const int64_t parts : {1, 2, 4}) {
      SCOPED_TRACE(objective + " in " + std::to_string(parts));
      const Config c = tiny_config(objective);
      const Objective what = test::objective_of(objective);
      const bool pictures = what.contrastive || what.reconstruction != Reconstruction::none;
      const auto found = micro_batches(numbered(8, views), c, parts, 3);
      ASSERT_EQ(std::ssize(found), parts);
      const int64_t rows = 8 / parts;
      for (int64_t part = 0; part < parts; ++part) {
        const MicroBatch& b = found[static_cast<size_t>(part)];
        EXPECT_EQ(static_cast<bool>(b.images), pictures);
        EXPECT_EQ(static_cast<bool>(b.tokens), what.contrastive);
        EXPECT_EQ(static_cast<bool>(b.noise), what.reconstruction != Reconstruction::none);
        EXPECT_EQ(static_cast<bool>(b.view1), what.simclr);
        const auto expect_view = [&](const Tensor& images, int64_t view) {
          ASSERT_EQ(images.shape(), (Shape{rows, 3, 8, 8}));
          for (int64_t row = 0; row < rows; ++row) {
            for (const int64_t i : {0, 191}) {
              EXPECT_EQ(images.data<float>()[static_cast<size_t>(192 * row + i)],
                        static_cast<float>(1000000 * view + 1000 * (part * rows + row) + i));
            }
          }
        };
        if (pictures) expect_view(b.images, 0);
        if (what.simclr) expect_view(b.view1, pictures ? 1 : 0);
        if (what.simclr) expect_view(b.view2, pictures ? 2 : 1);
        if (!what.contrastive) continue;
        ASSERT_EQ(b.tokens.shape(), (Shape{rows, 6}));
        EXPECT_EQ(b.tokens.data<int32_t>()[0], 10 * part * rows);
        EXPECT_EQ(b.tokens.data<int32_t>().back(), 10 * ((part + 1) * rows - 1) + 5);
      }
    }
  }
}

/// The noise of a step's whole batch, put together from its parts.
std::vector<float> noise_of(const Config& c, int64_t parts, int64_t step) {
  std::vector<float> all;
  for (const MicroBatch& b : micro_batches(numbered(8, 1), c, parts, step)) {
    const auto part = b.noise.data<float>();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST(MaskDraws, BelongToSeedStepAndRowAlone) {
  for (const char* objective : {"rils", "mae", "mae+clip"}) {
    Config c = tiny_config(objective);
    const std::vector<float> first = noise_of(c, 1, 0);
    ASSERT_EQ(first.size(), 8u * 4u);
    std::set<float> values(first.begin(), first.end());
    EXPECT_GT(values.size(), 30u) << "rows and patches differ";
    EXPECT_GE(*values.begin(), 0.0f);
    EXPECT_LT(*values.rbegin(), 1.0f);
    for (const int64_t parts : {1, 2, 8}) EXPECT_EQ(noise_of(c, parts, 0), first) << "again, in other parts";
    for (const int64_t step : {1, 2, 1000}) {
      EXPECT_NE(noise_of(c, 1, step), first) << step;
      EXPECT_EQ(noise_of(c, 4, step), noise_of(c, 1, step));
    }
    c.run.seed = 1;
    EXPECT_NE(noise_of(c, 1, 0), first);
  }
}

TEST(MaskDraws, EveryPatchIsHiddenAsOftenAndRowsDoNotFollowEachOther) {
  constexpr int64_t kRows = 2000, kPatches = 8;
  const Masks masks(mask_noise(5, 7, 0, kRows, kPatches), 0.5);
  const Masks next(mask_noise(5, 8, 0, kRows, kPatches), 0.5);
  std::vector<double> hidden(kPatches);
  double same_row = 0, same_step = 0;
  const auto equal = [](auto a, auto b) { return std::ranges::equal(a, b); };
  for (int64_t r = 0; r < kRows; ++r) {
    for (const int32_t p : masks.masked(r)) hidden[static_cast<size_t>(p)] += 1.0 / kRows;
    if (r > 0 && equal(masks.masked(r), masks.masked(r - 1))) same_row += 1;
    if (equal(masks.masked(r), next.masked(r))) same_step += 1;
  }
  for (const double share : hidden) EXPECT_NEAR(share, 0.5, 0.05);
  // One of the 70 choices of four in eight by chance.
  EXPECT_NEAR(same_row / kRows, 1.0 / 70, 0.012);
  EXPECT_NEAR(same_step / kRows, 1.0 / 70, 0.012);
}

TEST(OpenLoader, PassesOnWhatIsConfigured) {
  const test::TemporaryFolder folder;
  std::vector<std::pair<std::string, std::string>> members;
  for (int i = 0; i < 12; ++i) {
    const std::string key = "key" + std::to_string(10 + i);
    // Samples 10 and 11 have more pixels.
    Image image = test::flat_image(0, i < 10 ? 12 : 13, 10);
    for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(13 * p + 17 * i);
    members.emplace_back(key + ".png", test::text_of(encode_png(image)));
    members.emplace_back(key + ".txt", "caption " + std::to_string(i));
  }
  test::write_tar(folder.path() / "00000.tar", members);
  const auto read = [&](const std::vector<std::string>& assignments) {
    Config c = tiny_config("mae");
    for (const std::string& assignment : assignments) set_assignment(c, assignment);
    const std::shared_ptr<const Dataset> data =
        open_dataset((folder.path() / "00000.tar").string(), dataset_options(c));
    const auto loader = open_loader(c, data, nullptr, 5, {});
    Batch batch;
    std::vector<float> images;
    while (loader->next(batch)) images.insert(images.end(), batch.images.begin(), batch.images.end());
    return std::pair{images, loader->stats()};
  };
  const auto [usual, stats] = read({});
  EXPECT_EQ(stats.seen, 12);
  EXPECT_EQ(read({}).first, usual);
  EXPECT_EQ(read({"data.workers=0", "data.cache_mib=1"}).first, usual);
  for (const char* changed :
       {"run.seed=1", "augment.crop_scale=0.1,0.2", "augment.crop_ratio=2,3", "augment.flip=1",
        "augment.image_interpolation=bicubic", "augment.image_mean=0,0,0", "augment.image_std=1,1,1"}) {
    EXPECT_NE(read({changed}).first, usual) << changed;
  }
  EXPECT_EQ(read({"data.max_image_pixels=129"}).second.skipped.count(skip::kTooManyPixels), 2);
  EXPECT_EQ(read({"data.max_image_pixels=130"}).second.skipped.total(), 0);
  EXPECT_EQ(read({"data.train_num_samples=7"}).second.total, 7);
}

}  // namespace
}  // namespace tessera::rils
