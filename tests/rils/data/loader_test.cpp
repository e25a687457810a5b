#include "rils/data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/core/atomic_file.h"
#include "rils/data/augment/simclr.h"
#include "tests/rils/data/golden_file.h"
#include "tests/rils/data/test_files.h"

namespace tessera::rils {
namespace {

/// Samples in memory. Each is a picture of one colour; every seventh is broken in one of three ways.
class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(int64_t size, int captions = 1, bool with_bad = true)
      : size_(size), captions_(captions), with_bad_(with_bad) {
    skipped_.add(skip::kNoCaption, "found on opening", with_bad ? 2 : 0);
  }
  [[nodiscard]] int64_t size() const override { return size_; }
  [[nodiscard]] std::string name(int64_t index) const override { return "fake/" + std::to_string(index); }
  [[nodiscard]] int64_t caption_count(int64_t) const override { return captions_; }
  [[nodiscard]] bool bad(int64_t index) const { return with_bad_ && index % 7 == 3; }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override {
    ++loads_;
    if (bad(index) && index % 3 == 0) throw SampleError(skip::kMissingFile, "no such file");
    Sample sample;
    sample.key = std::to_string(index);
    sample.label = static_cast<int32_t>(index % 10);
    for (int c = 0; c < captions_; ++c)
      sample.captions.push_back("caption " + std::to_string(c) + " of " + std::to_string(index));
    if (bad(index) && index % 3 == 2) sample.captions.clear();
    if (!with_image) return sample;
    ++images_;
    if (bad(index) && index % 3 == 1) {
      sample.encoded = std::vector<std::byte>(30);
    } else if (bad(index)) {
      sample.decoded = test::flat_image(0);
    } else {
      Image image(9, 7);
      for (size_t i = 0; i < image.pixels.size(); ++i)
        image.pixels[i] = static_cast<uint8_t>(index * 5 + static_cast<int64_t>(i));
      sample.decoded = std::move(image);
    }
    return sample;
  }
  mutable std::atomic<int64_t> loads_{0}, images_{0};

 private:
  int64_t size_;
  int captions_;
  bool with_bad_;
};

LoaderOptions small_options(int workers) {
  LoaderOptions options;
  options.batch_size = 8;
  options.image_size = 4;
  TrainTransform transform;
  transform.size = 4;
  options.transform = transform;
  options.context_length = 6;
  options.tokenize = [](std::string_view caption, std::span<int32_t> ids) {
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = i < caption.size() ? caption[caption.size() - 1 - i] : 0;
    return caption.size() > 15;
  };
  options.workers = workers;
  options.seed = 11;
  return options;
}

bool same(const Batch& a, const Batch& b) {
  return a.size == b.size && a.images == b.images && a.tokens == b.tokens && a.labels == b.labels &&
         a.sample_ids == b.sample_ids && a.keys == b.keys && a.captions == b.captions && a.epoch == b.epoch &&
         a.next == b.next;
}

/// The batches of some epochs. A batch of size 0 marks the end of an epoch.
std::vector<Batch> read_epochs(Loader& loader, int epochs) {
  std::vector<Batch> batches;
  for (int e = 0; e < epochs;) {
    Batch batch;
    if (loader.next(batch)) {
      batches.push_back(batch);
    } else {
      batches.emplace_back();
      ++e;
    }
  }
  return batches;
}

/// Batches do not depend on the number of workers, bit for bit.
TEST(Loader, AnyNumberOfWorkersGivesTheSameBatches) {
  const auto dataset = std::make_shared<FakeDataset>(101, 3);
  Loader reference(dataset, small_options(0));
  const auto expected = read_epochs(reference, 3);
  ASSERT_GT(expected.size(), 30u);
  for (const int workers : {1, 3, 8}) {
    for (const size_t cache : {size_t{0}, size_t{3000}}) {
      auto options = small_options(workers);
      options.cache_bytes = cache;
      Loader loader(dataset, options);
      const auto found = read_epochs(loader, 3);
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) ASSERT_TRUE(same(found[i], expected[i])) << workers << " " << i;
      EXPECT_EQ(loader.stats(), reference.stats());
    }
  }
}

TEST(Loader, EachGoodSampleOnceAnEpochAndTheCountsAddUp) {
  const auto dataset = std::make_shared<FakeDataset>(101);
  Loader loader(dataset, small_options(3));
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<int64_t> ids;
    Batch batch;
    while (loader.next(batch)) {
      EXPECT_EQ(batch.epoch, epoch);
      EXPECT_EQ(batch.size, 8);
      for (const int64_t id : batch.sample_ids) {
        EXPECT_FALSE(dataset->bad(id));
        EXPECT_TRUE(ids.insert(id).second);
      }
    }
    const auto& stats = loader.stats();
    EXPECT_EQ(stats.total, 103);
    EXPECT_EQ(stats.seen + stats.skipped.total(), stats.total);
    EXPECT_EQ(stats.seen, 101 - 14);
    EXPECT_EQ(static_cast<int64_t>(ids.size()), stats.seen - stats.left_over);
    EXPECT_EQ(stats.left_over, (101 - 14) % 8);
    // 3, 24, 45, 66, 87 are missing; 10, 31, 52, 73, 94 no image; 17, 38, 59, 80 without captions; 2 found on opening.
    EXPECT_EQ(stats.skipped.count(skip::kMissingFile), 5);
    EXPECT_EQ(stats.skipped.count(skip::kUnknownFormat), 5);
    EXPECT_EQ(stats.skipped.count(skip::kNoCaption), 4 + 2);
    EXPECT_TRUE(stats.skipped.entries().at(skip::kMissingFile).example.starts_with("fake/"));
    EXPECT_EQ(stats.cut_captions, 1);  // only "caption 0 of 100" is longer than 15
  }
}

TEST(Loader, WithoutDropLastEverySampleComes) {
  auto options = small_options(2);
  options.drop_last = false;
  options.shuffle = false;
  options.epochs = 1;
  const auto dataset = std::make_shared<FakeDataset>(101);
  Loader loader(dataset, options);
  std::vector<int64_t> ids;
  Batch batch;
  while (loader.next(batch)) ids.insert(ids.end(), batch.sample_ids.begin(), batch.sample_ids.end());
  EXPECT_EQ(batch.size, 87 % 8);
  EXPECT_EQ(batch.images.size(), static_cast<size_t>(87 % 8) * 48);
  EXPECT_EQ(ids.size(), 87u);
  EXPECT_TRUE(std::ranges::is_sorted(ids));
  EXPECT_EQ(loader.stats().left_over, 0);
  EXPECT_FALSE(loader.next(batch));  // the only epoch is over
  EXPECT_FALSE(loader.next(batch));
}

/// A loader that starts from the state of any batch continues as if it had not stopped. The state is written and read
/// as text.
/// The line of an epoch says how many samples were in no batch, also at the end of a run.
TEST(Loader, LeftOverSamplesAreCounted) {
  Loader loader(std::make_shared<FakeDataset>(21, 1, false), small_options(2));
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  EXPECT_FALSE(loader.end_epoch()) << "another whole batch is left";
  ASSERT_TRUE(loader.next(batch));
  const auto stats = loader.end_epoch();
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->left_over, 5);
  EXPECT_EQ(stats->describe(),
            "epoch of 21 samples: 21 seen (5 of them left over for want of a whole batch), none skipped");
  EXPECT_FALSE(loader.end_epoch()) << "told once";
  ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(batch.epoch, 1);
}

TEST(Loader, ResumesAtEveryBatch) {
  for (const auto mode : {CaptionMode::random, CaptionMode::all}) {
    const auto dataset = std::make_shared<FakeDataset>(60, 3);
    auto options = small_options(0);
    options.captions = mode;
    options.batch_size = 13;
    Loader reference(dataset, options);
    const auto expected = read_epochs(reference, 2);
    for (size_t stop = 0; stop < expected.size(); ++stop) {
      if (expected[stop].size == 0) continue;
      options.workers = static_cast<int>(stop % 4);
      Loader resumed(dataset, options, LoaderState::from_json(expected[stop].next.to_json()));
      for (size_t i = stop + 1; i < expected.size(); ++i) {
        Batch batch;
        ASSERT_EQ(resumed.next(batch), expected[i].size > 0) << stop << " " << i;
        if (expected[i].size == 0) continue;
        ASSERT_TRUE(same(batch, expected[i])) << stop << " " << i;
      }
      EXPECT_EQ(resumed.stats(), reference.stats());
    }
  }
}

TEST(Loader, TheStateBetweenEpochsBeginsTheNext) {
  const auto dataset = std::make_shared<FakeDataset>(60);
  Loader reference(dataset, small_options(2));
  (void)read_epochs(reference, 1);
  const LoaderState state = reference.state();
  EXPECT_EQ(state.epoch, 1);
  EXPECT_EQ(state.position, 0);
  Loader resumed(dataset, small_options(0), state);
  Batch a, b;
  ASSERT_TRUE(reference.next(a));
  ASSERT_TRUE(resumed.next(b));
  EXPECT_TRUE(same(a, b));
}

TEST(Loader, AStateOfOtherDataIsRefused) {
  const auto dataset = std::make_shared<FakeDataset>(60);
  Loader loader(dataset, small_options(0));
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  EXPECT_THROW(Loader(std::make_shared<FakeDataset>(61), small_options(0), batch.next), ConfigError);
  auto options = small_options(0);
  options.seed = 12;
  EXPECT_THROW(Loader(dataset, options, batch.next), ConfigError);
  for (const std::string text : {"", "{}", "[1]", "{\"epoch\": \"x\"}"})
    EXPECT_THROW((void)LoaderState::from_json(text), IoError);
  // Numbers that are no counts.
  const std::string good = batch.next.to_json();
  EXPECT_EQ(LoaderState::from_json(good), batch.next);
  for (const char* number : {"1e300", "-5", "9223372036854775807", "0.5", "null", "[[1]]"}) {
    for (const std::string key : {"\"epoch\":", "\"position\":", "\"samples\":", "\"seed\":", "\"seen\":"}) {
      if (key == "\"seed\":" && std::string_view(number).starts_with("922")) continue;
      std::string text = good;
      const size_t at = text.find(key) + key.size();
      text.replace(at, text.find_first_of(",}", at) - at, number);
      EXPECT_THROW((void)LoaderState::from_json(text), IoError) << text;
    }
  }
}

TEST(Loader, AllCaptionsAndNoImageTwiceInABatch) {
  const auto dataset = std::make_shared<FakeDataset>(30, 5);
  auto options = small_options(3);
  options.captions = CaptionMode::all;
  options.batch_size = 11;  // does not divide a round of 26 good images, so batches cross from round to round
  Loader loader(dataset, options);
  std::set<std::string> captions;
  Batch batch;
  bool crossed = false;
  while (loader.next(batch)) {
    EXPECT_EQ(std::set(batch.sample_ids.begin(), batch.sample_ids.end()).size(), 11u);
    for (const auto& caption : batch.captions) EXPECT_TRUE(captions.insert(caption).second) << caption;
    crossed = crossed || !batch.next.deferred.empty();
  }
  EXPECT_TRUE(crossed);  // otherwise the test proves nothing
  const auto& stats = loader.stats();
  EXPECT_EQ(stats.total, 150 + 2);
  EXPECT_EQ(stats.seen, 26 * 5);
  EXPECT_EQ(stats.seen + stats.skipped.total(), stats.total);
  EXPECT_EQ(static_cast<int64_t>(captions.size()), stats.seen - stats.left_over);
}

TEST(Loader, OneImageWithMostCaptionsDoesNotFillTheMemory) {
  class Lopsided final : public FakeDataset {
   public:
    Lopsided() : FakeDataset(20, 500, false) {}
    [[nodiscard]] int64_t caption_count(int64_t index) const override { return index == 0 ? 500 : 1; }
  };
  auto options = small_options(0);
  options.captions = CaptionMode::all;
  Loader loader(std::make_shared<Lopsided>(), options);
  Batch batch;
  int64_t delivered = 0;
  for (; loader.next(batch); delivered += batch.size) EXPECT_LE(batch.next.deferred.size(), 8u);
  EXPECT_EQ(loader.stats().seen, 519);
  EXPECT_EQ(loader.stats().left_over, 519 - delivered);
  EXPECT_GT(loader.stats().left_over, 450);
}

TEST(Loader, CaptionsAreDrawnAnewEachEpoch) {
  const auto dataset = std::make_shared<FakeDataset>(40, 4, false);
  Loader loader(dataset, small_options(2));
  std::map<int64_t, std::set<std::string>> drawn;
  for (int epoch = 0; epoch < 12; ++epoch) {
    Batch batch;
    while (loader.next(batch))
      for (size_t i = 0; i < 8; ++i) drawn[batch.sample_ids[i]].insert(batch.captions[i]);
  }
  size_t total = 0;
  for (const auto& [id, captions] : drawn) total += captions.size();
  EXPECT_GT(total, 40u * 3);
}

TEST(Loader, AnImageIsCroppedAnewEachEpoch) {
  Loader loader(std::make_shared<FakeDataset>(40, 1, false), small_options(2));
  std::map<int64_t, std::set<std::vector<float>>> crops;
  for (int epoch = 0; epoch < 3; ++epoch) {
    Batch batch;
    while (loader.next(batch))
      for (size_t i = 0; i < 8; ++i)
        crops[batch.sample_ids[i]].insert({batch.images.begin() + static_cast<std::ptrdiff_t>(48 * i),
                                           batch.images.begin() + static_cast<std::ptrdiff_t>(48 * (i + 1))});
  }
  size_t different = 0;
  for (const auto& [id, images] : crops) different += images.size();
  EXPECT_GT(different, 100u);
}

TEST(Loader, ViewsDifferAndLieOneAfterTheOther) {
  const auto dataset = std::make_shared<FakeDataset>(40, 1, false);
  auto options = small_options(2);
  Loader single(dataset, options);
  options.augmented_views = 2;
  Loader both(dataset, options);
  Batch one, two;
  ASSERT_TRUE(single.next(one));
  ASSERT_TRUE(both.next(two));
  ASSERT_EQ(two.images.size(), 2 * one.images.size());
  const auto half = two.images.begin() + static_cast<std::ptrdiff_t>(one.images.size());
  EXPECT_FALSE(std::equal(two.images.begin(), half, half));
  // A further view does not change the first.
  EXPECT_TRUE(std::equal(two.images.begin(), half, one.images.begin()));
}

TEST(Loader, FurtherViewsHaveTheirOwnTransformForAnyWorkersAndAfterAResume) {
  const auto dataset = std::make_shared<FakeDataset>(40, 1, false);
  const auto options_with = [](int workers) {
    auto options = small_options(workers);
    options.augmented_views = 3;
    SimclrTransform view;
    view.crop.size = options.image_size;
    options.further_transform = view;
    return options;
  };
  Batch plain, one, several, resumed;
  Loader alone(dataset, small_options(0)), threads(dataset, options_with(3)), whole(dataset, options_with(0));
  ASSERT_TRUE(alone.next(plain) && whole.next(one) && threads.next(several));
  const size_t values = plain.images.size();
  ASSERT_EQ(one.images.size(), 3 * values);
  const auto view = [&](const Batch& b, size_t i) {
    return std::vector<float>(b.images.begin() + static_cast<std::ptrdiff_t>(i * values),
                              b.images.begin() + static_cast<std::ptrdiff_t>((i + 1) * values));
  };
  EXPECT_EQ(view(one, 0), plain.images) << "the first is the same as without further views";
  EXPECT_NE(view(one, 1), view(one, 2));
  EXPECT_EQ(several.images, one.images);
  Loader later(dataset, options_with(2), one.next);
  ASSERT_TRUE(whole.next(one) && later.next(resumed));
  EXPECT_EQ(resumed.images, one.images);
}

TEST(Loader, TheCacheSparesLoadingAndKeepsItsLimit) {
  const auto dataset = std::make_shared<FakeDataset>(40, 1, false);
  auto options = small_options(2);
  options.cache_bytes = size_t{9 * 7 * 3} * 25;
  options.epochs = 4;
  Loader loader(dataset, options);
  (void)read_epochs(loader, 4);
  EXPECT_EQ(dataset->loads_, 160);
  EXPECT_GE(dataset->images_, 40 + 3 * 15);
  EXPECT_LE(dataset->images_, 40 + 3 * 15);
}

TEST(Loader, EpochSamplesLimitsAnEpoch) {
  auto options = small_options(1);
  options.epoch_samples = 24;
  Loader loader(std::make_shared<FakeDataset>(100, 1, false), options);
  EXPECT_EQ(loader.batches_per_epoch(), 3);
  Batch batch;
  int batches = 0;
  while (loader.next(batch)) ++batches;
  EXPECT_EQ(batches, 3);
  EXPECT_EQ(loader.stats().total, 24);
}

TEST(Loader, AnEpochWithoutAnyGoodBatchIsAnError) {
  class AllBad final : public FakeDataset {
   public:
    AllBad() : FakeDataset(20, 1, false) {}
    [[nodiscard]] Sample load(int64_t, bool) const override { throw SampleError(skip::kMissingFile, "no such file"); }
  };
  Loader loader(std::make_shared<AllBad>(), small_options(2));
  Batch batch;
  try {
    (void)loader.next(batch);
    FAIL();
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what())
                  .find("found too few usable samples among 20; 20 skipped (missing file: 20, first fake/"),
              std::string::npos);
  }
}

TEST(Loader, WhatIsNoMatterOfASampleIsThrown) {
  auto options = small_options(3);
  options.transform = [](const Image&, AugmentStream, std::span<float>) { throw std::logic_error("a bug"); };
  Loader loader(std::make_shared<FakeDataset>(40), options);
  Batch batch;
  EXPECT_THROW((void)loader.next(batch), std::logic_error);
  options = small_options(1);
  options.image_size = 5;  // the transform makes 4
  Loader mismatched(std::make_shared<FakeDataset>(40), options);
  EXPECT_THROW((void)mismatched.next(batch), ShapeError);
}

TEST(Loader, OptionsAreChecked) {
  const auto dataset = std::make_shared<FakeDataset>(20);
  for (const auto& change : std::vector<std::function<void(LoaderOptions&)>>{
           [](auto& o) { o.batch_size = 0; }, [](auto& o) { o.batch_size = 21; }, [](auto& o) { o.workers = -1; },
           [](auto& o) { o.transform = nullptr; }, [](auto& o) { o.augmented_views = 0; },
           [](auto& o) { o.context_length = 0; }}) {
    auto options = small_options(0);
    change(options);
    EXPECT_THROW(Loader(dataset, options), ConfigError);
  }
}

/// Counts for shards with a WebP, a missing caption, a broken image and a cut tar.
TEST(Loader, ShardsWithBadSamplesAddUp) {
  const test::TemporaryFolder folder;
  const auto webp = test::text_of(test::GoldenFile("decode").bytes("webp_lossy.bytes"));
  std::vector<std::pair<std::string, std::string>> first, second;
  for (int i = 0; i < 20; ++i) {
    const std::string key = "00000000" + std::to_string(i);
    first.emplace_back(key + (i == 4 ? ".webp" : ".png"), i == 4 ? webp : i == 9 ? "broken" : test::png_text(i));
    if (i != 7) first.emplace_back(key + ".txt", "caption " + std::to_string(i));
    second.emplace_back("1" + key + ".png", test::png_text(100 + i));
    second.emplace_back("1" + key + ".txt", "caption " + std::to_string(100 + i));
  }
  test::write_tar(folder.path() / "00000.tar", first);
  const std::string bytes = read_file(test::write_tar(folder.path() / "00001.tar", second));
  folder.write("00001.tar", std::string_view(bytes).substr(0, bytes.find("10000000010.png") + 512 + 5));
  const std::shared_ptr<const Dataset> dataset = open_dataset(folder.path().string() + "/{00000..00001}.tar", {});
  std::vector<std::vector<int64_t>> orders;
  for (const int workers : {1, 8}) {
    Loader loader(dataset, small_options(workers));
    orders.emplace_back();
    Batch batch;
    while (loader.next(batch))
      orders.back().insert(orders.back().end(), batch.sample_ids.begin(), batch.sample_ids.end());
    const auto& stats = loader.stats();
    EXPECT_EQ(stats.total, 31);  // 20 and 10 whole samples, and the one that is cut
    EXPECT_EQ(stats.seen, 28);
    EXPECT_EQ(stats.seen + stats.skipped.total(), stats.total);
    EXPECT_EQ(stats.skipped.count(skip::kNoCaption), 1);
    EXPECT_EQ(stats.skipped.count(skip::kUnknownFormat), 1);
    EXPECT_EQ(stats.skipped.count(skip::kCutShard), 1);
    EXPECT_EQ(stats.skipped.entries().at(skip::kNoCaption).example, "00000.tar/000000007");
  }
  EXPECT_EQ(orders[0], orders[1]);
}

TEST(Loader, CanBeDroppedAtAnyTime) {
  const auto dataset = std::make_shared<FakeDataset>(200);
  for (int trial = 0; trial < 30; ++trial) {
    Loader loader(dataset, small_options(1 + trial % 4));
    Batch batch;
    for (int i = 0; i < trial % 5; ++i) ASSERT_TRUE(loader.next(batch));
  }
}

}  // namespace
}  // namespace tessera::rils
