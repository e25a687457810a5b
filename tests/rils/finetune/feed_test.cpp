// The feed of fine-tuning on the CPU; tests/device has that of a GPU.
#include "rils/finetune/feed.h"

#include <gtest/gtest.h>

#include "rils/finetune/linear_probe.h"
#include "tests/rils/finetune/labelled_feeding.h"

namespace tessera::rils {
namespace {

using test::colours_config, test::colours_loader;

TEST(LabelledFeed, MixesTheLoadersBatchesStepByStep) {
  test::RememberingConsole console;
  test::expect_mixed_batches(colours_config(), Device::cpu(), *console);
  EXPECT_NE(console.told().find("epoch of 30 samples: 26 seen"), std::string::npos) << console.told();
}

TEST(LabelledFeed, GivesTheImagesOfEveryStepInTheSameMemory) {
  test::RememberingConsole console;
  const Config c = colours_config();
  const auto loader = colours_loader(c);
  const auto feed = feed_labelled(*loader, c, EpochPlan(c, loader->batches_per_epoch()), 0, Device::cpu());
  const void* first = feed->next(*console)[0].images.pointer();
  for (int step = 1; step < 5; ++step) EXPECT_EQ(feed->next(*console)[0].images.pointer(), first);
}

TEST(LabelledFeed, ARunGoesOnAfterAStopAsIfThereWereNone) {
  test::RememberingConsole console;
  test::expect_same_steps_after_a_stop<ClassifierTrainer>(colours_config(), Device::cpu(), *console);
}

TEST(LabelledFeed, AnEpochOfFewerBatchesThanAStepTakesIsOneStep) {
  test::RememberingConsole console;
  Config c = colours_config();
  c.optim.accum_freq = 100;
  const auto loader = colours_loader(c);
  const EpochPlan plan(c, loader->batches_per_epoch());
  const auto feed = feed_labelled(*loader, c, plan, 0, Device::cpu());
  EXPECT_EQ(feed->next(*console).size(), 7U);
  EXPECT_EQ(feed->epoch(), 1) << "six batches of the first epoch and one of the next";
}

TEST(LabelledFeed, TheProbesBatchesAreNotMixed) {
  test::RememberingConsole console;
  Config c = probing_defaults();
  const Config colours = colours_config();
  c.model.vision = colours.model.vision;
  c.optim.batch_size = 4;
  const auto fed = colours_loader(c), direct = colours_loader(c);
  const auto feed = feed_labelled(*fed, c, EpochPlan(c, fed->batches_per_epoch()), 0, Device::cpu());
  Batch batch;
  for (int step = 0; step < 3; ++step) {
    ASSERT_TRUE(direct->next(batch));
    const LabelledBatch& found = feed->next(*console)[0];
    EXPECT_EQ(test::absolute_error(found.images, Tensor::from(batch.images, {4, 3, 8, 8})), 0.0);
    EXPECT_EQ(found.lambda, 1.0);
  }
}

}  // namespace
}  // namespace tessera::rils
