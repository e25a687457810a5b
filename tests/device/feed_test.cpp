// The feed of a training run on a device: right batches from a thread and two buffers, and no memory from the system.
#include "rils/train/feed.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "rils/pretrain/setup.h"
#include "rils/train/inputs.h"
#include "tests/device/feeding.h"
#include "tests/rils/eval/tiny_space.h"
#include "tests/support/temporary_folder.h"

namespace tessera::test {
namespace {

using namespace rils;

/// Batches of 8 in the order of the data set: 25 usable samples give three an epoch.
std::unique_ptr<Loader> loader_of(const Config& config, int64_t unreadable = -1) {
  LoaderOptions o;
  o.batch_size = 8;
  o.image_size = 8;
  o.transform = train_transform(config);
  o.augmented_views = static_cast<int>(views_of(config));
  o.tokenize = tokenize_letters;
  o.context_length = 6;
  o.shuffle = false;
  return std::make_unique<Loader>(std::make_shared<Colours>(unreadable), std::move(o));
}

std::unique_ptr<Feed<MicroBatch>> feed_of(Loader& loader, const Config& config, int64_t parts = 1, int64_t first = 0) {
  return feed_micro_batches(loader, config, 8, parts, first, test_device());
}

TEST_F(FeedOnDevice, GivesTheLoadersBatchesInTurn) {
  for (const char* objective : {"rils", "slip", "simclr", "mae"}) {
    const Config config = tiny_config(objective);
    const auto fed = loader_of(config), direct = loader_of(config);
    const auto feed = feed_of(*fed, config, 2, 5);
    Batch batch;
    for (int64_t step = 5; step < 13; ++step) {
      while (!direct->next(batch)) continue;
      const std::vector<MicroBatch>& found = feed->next(console());
      // The thread now makes the next batch, in the other buffer.
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      const int64_t images = std::ssize(batch.images) / (3 * 8 * 8);
      const auto expected = to_micro_batches(batch, Tensor::from(batch.images, {images, 3, 8, 8}), config, 2, step);
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        const std::string what = fmt::format("{}, step {}, part {}", objective, step, i);
        const MicroBatch &a = found[i], &b = expected[i];
        expect_equal(a.images, b.images, what);
        expect_equal(a.view1, b.view1, what);
        expect_equal(a.view2, b.view2, what);
        expect_equal(a.noise, b.noise, what);
        ASSERT_EQ(static_cast<bool>(a.tokens), static_cast<bool>(b.tokens)) << what;
        if (a.tokens) {
          EXPECT_TRUE(std::ranges::equal(a.tokens.data<int32_t>(), b.tokens.data<int32_t>())) << what;
        }
      }
      EXPECT_EQ(feed->place(), batch.next);
      EXPECT_EQ(feed->epoch(), batch.epoch);
    }
  }
}

TEST_F(FeedOnDevice, OverwritesABufferOnceTheStepThatReadsItIsDone) {
  if (!device_is_emulated()) GTEST_SKIP() << "needs the hooks of the emulated device";
  const Config config = tiny_config("clip");
  const auto fed = loader_of(config), direct = loader_of(config);
  const auto feed = feed_of(*fed, config);
  Batch batch;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(direct->next(batch));
  // In place of a kernel that is late: a copy on the kernels' stream into the first buffer.
  const Tensor images = feed->next(console())[0].images;
  Backend& backend = context(test_device()).backend();
  const Tensor other(std::make_shared<Storage>(Device::cpu(), backend.pinned(), images.bytes()), images.shape(),
                     DType::f32);
  backend.upload(images.pointer(), other.pointer(), images.bytes());
  (void)feed->next(console());
  const Tensor third = feed->next(console())[0].images;
  EXPECT_EQ(third.pointer(), images.pointer());
  expect_equal(third, Tensor::from(batch.images, images.shape()), "the third batch");
}

TEST_F(FeedOnDevice, TellsTheCountsOfAnEpochWithTheFirstBatchOfTheNext) {
  const Config config = tiny_config("clip");
  const auto loader = loader_of(config);
  const auto feed = feed_of(*loader, config);
  for (int step = 0; step < 3; ++step) (void)feed->next(console());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(told(), "");
  (void)feed->next(console());
  EXPECT_EQ(told().find("epoch of 30 samples: 26 seen (2 of them left over for want of a whole batch), 4 skipped"), 0U)
      << told();
}

TEST_F(FeedOnDevice, PassesAnErrorOnWithTheBatchThatIsMissing) {
  const Config config = tiny_config("clip");
  const auto loader = loader_of(config, 20);  // in the third batch
  const auto feed = feed_of(*loader, config);
  (void)feed->next(console());
  (void)feed->next(console());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (int again = 0; again < 2; ++again) EXPECT_THROW((void)feed->next(console()), IoError);
}

TEST_F(FeedOnDevice, EndsAtAnyTime) {
  const Config config = tiny_config("clip");
  for (int steps = 0; steps < 4; ++steps) {
    const auto loader = loader_of(config);
    const auto feed = feed_of(*loader, config);
    for (int step = 0; step < steps; ++step) (void)feed->next(console());
  }
}

Config made_up(const std::string& objective, int64_t samples, double lr) {
  Config c = worded_config(objective);
  c.data.train_num_samples = samples;
  c.optim.lr = lr;
  for (const char* usual : {"data.train_data=made-up", "data.dataset_type=synthetic", "optim.batch_size=8",
                            "optim.epochs=9", "run.device=cuda:0"}) {
    set_assignment(c, usual);
  }
  return c;
}

TEST_F(FeedOnDevice, ACheckpointHoldsThePlaceAfterItsOwnStep) {
  const TemporaryFolder folder;
  const CheckpointFiles files{folder.path() / "w", folder.path() / "s", folder.path() / "e"};
  TrainingSetup whole(made_up("rils", 16, 1e-3)), stopped(made_up("rils", 16, 1e-3));
  for (int step = 0; step < 3; ++step) {
    (void)whole.trainer->step(whole.next_micro_batches(console()));
    (void)stopped.trainer->step(stopped.next_micro_batches(console()));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stopped.trainer->save(files, {}, {{"loader", stopped.place().to_json()}});
  TrainingSetup resumed(made_up("rils", 16, 1e-3));
  resumed.restore_data(LoaderState::from_json(resumed.trainer->load(files).at("loader")));
  for (int step = 3; step < 6; ++step) {
    const auto a = whole.next_micro_batches(console()), b = resumed.next_micro_batches(console());
    EXPECT_EQ(resumed.place(), whole.place());
    EXPECT_EQ(whole.trainer->step(a).losses.loss, resumed.trainer->step(b).losses.loss) << step;
  }
}

TEST_F(FeedOnDevice, AWarmRunAsksTheSystemForNoMemory) {
  constexpr int kWarm = 2, kMore = 6;
  // The number of images that pass the gate of RILS is another at each step.
  for (const char* objective : {"rils", "slip"}) {
    TrainingSetup setup(made_up(objective, 40, 1e-3));
    Backend& backend = context(setup.device).backend();
    const auto train = [&](int steps) {
      for (int step = 0; step < steps; ++step) (void)setup.trainer->step(setup.next_micro_batches(console()));
    };
    train(kWarm);
    const auto before = asked_for_memory(backend);
    const int64_t allocations = backend.pool().statistics().allocations;
    train(kMore);
    EXPECT_EQ(asked_for_memory(backend), before) << objective;
    EXPECT_GT(backend.pool().statistics().allocations, allocations + kMore);
  }
}

}  // namespace
}  // namespace tessera::test
