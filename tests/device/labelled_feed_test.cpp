// The feed of fine-tuning on a device: mixed batches from a thread and two buffers.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "rils/finetune/linear_probe.h"
#include "tests/device/feeding.h"
#include "tests/rils/finetune/labelled_feeding.h"

namespace tessera::test {
namespace {

using namespace rils;

class LabelledFeedOnDevice : public FeedOnDevice {};

/// A run's feed with what it needs.
struct Fed {
  explicit Fed(const Config& c, int64_t first_step = 0, int64_t unreadable = -1)
      : loader(colours_loader(c, {}, unreadable)), plan(c, loader->batches_per_epoch()) {
    feed = feed_labelled(*loader, c, plan, first_step, test_device());
  }
  std::unique_ptr<Loader> loader;
  EpochPlan plan;
  std::unique_ptr<Feed<LabelledBatch>> feed;
};

TEST_F(LabelledFeedOnDevice, MixesTheLoadersBatchesStepByStep) {
  expect_mixed_batches(colours_config(), test_device(), console());
}

TEST_F(LabelledFeedOnDevice, StepsAreThoseOfTheCpu) {
  const Config c = colours_config();
  Fed there(c);
  const auto loader = colours_loader(c);
  const auto feed = feed_labelled(*loader, c, there.plan, 0, Device::cpu());
  ClassifierTrainer a(c, kColourClasses, there.plan.batches, test_device()), b(c, kColourClasses, there.plan.batches);
  for (int step = 0; step < 5; ++step) {
    const double found = a.step(there.feed->next(console())).loss, expected = b.step(feed->next(console())).loss;
    EXPECT_NEAR(found, expected, 1e-5 * expected) << step;
  }
}

TEST_F(LabelledFeedOnDevice, ACheckpointHoldsThePlaceAfterItsOwnStep) {
  expect_same_steps_after_a_stop<ClassifierTrainer>(colours_config(), test_device(), console());
}

TEST_F(LabelledFeedOnDevice, ACheckpointOfTheProbeDoesToo) {
  Config c = probing_defaults();
  const Config colours = colours_config();
  c.model = colours.model;
  c.optim = colours.optim;
  c.optim.ema = c.optim.grad_clip_norm = 0;
  expect_same_steps_after_a_stop<LinearProbeTrainer>(c, test_device(), console());
}

TEST_F(LabelledFeedOnDevice, PassesAnErrorOnWithTheStepThatLacksABatch) {
  Config c = colours_config();
  c.run.seed = 2;
  const auto direct = colours_loader(c, {}, 20);
  Batch batch;
  int64_t readable = 0;
  try {
    for (;; ++readable) ASSERT_TRUE(direct->next(batch));
  } catch (const IoError&) {
  }
  ASSERT_EQ(readable % 2, 1) << "the seed puts the error behind a step's first batch";
  Fed fed(c, 0, 20);
  for (int64_t step = 0; step < readable / 2; ++step) EXPECT_EQ(fed.feed->next(console()).size(), 2U);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (int again = 0; again < 2; ++again) EXPECT_THROW((void)fed.feed->next(console()), IoError);
}

TEST_F(LabelledFeedOnDevice, TellsAtTheEndOnlyOfTheEpochThatIsOver) {
  // Six batches an epoch in steps of 2, 2, 2, 1: an epoch ends with the third step, and the next within the seventh.
  for (const auto& [steps, lines] : {std::pair{2, 0}, {3, 1}, {5, 1}, {6, 1}, {7, 2}}) {
    RememberingConsole one, other;
    const Config c = colours_config();
    Fed fed(c);
    const auto loader = colours_loader(c);
    const auto here = feed_labelled(*loader, c, fed.plan, 0, Device::cpu());
    for (int step = 0; step < steps; ++step) {
      (void)fed.feed->next(*one);
      (void)here->next(*other);
    }
    fed.feed->finish(*one);
    here->finish(*other);
    const std::string told = one.told();
    EXPECT_EQ(told, other.told()) << "that of the CPU, after " << steps;
    EXPECT_EQ(std::ranges::count(told, '\n'), lines) << told;
  }
}

TEST_F(LabelledFeedOnDevice, EndsAtAnyTime) {
  for (int steps = 0; steps < 4; ++steps) {
    Fed fed(colours_config());
    for (int step = 0; step < steps; ++step) (void)fed.feed->next(console());
  }
}

TEST_F(LabelledFeedOnDevice, AWarmRunAsksTheSystemForNoMemory) {
  const Config c = colours_config();
  Fed fed(c);
  ClassifierTrainer trainer(c, kColourClasses, fed.plan.batches, test_device());
  const auto train = [&](int steps) {
    for (int step = 0; step < steps; ++step) (void)trainer.step(fed.feed->next(console()));
  };
  train(4);
  Backend& backend = context(test_device()).backend();
  const auto before = asked_for_memory(backend);
  train(8);
  EXPECT_EQ(asked_for_memory(backend), before);
}

}  // namespace
}  // namespace tessera::test
