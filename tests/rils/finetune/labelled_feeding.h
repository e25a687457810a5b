#pragma once

// What the tests of fine-tuning's feed share, on the CPU and on a device.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rils/config/schema.h"
#include "rils/finetune/feed.h"
#include "rils/finetune/labelled_data.h"
#include "rils/finetune/mixing.h"
#include "tests/rils/train/feeding.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace tessera::test {

constexpr int64_t kColourClasses = 3;

/// Steps of two micro-batches of four. The plan has 7 of them an epoch, so its fourth step takes one; 26 usable samples
/// give 6.
inline rils::Config colours_config() {
  rils::Config c = rils::finetuning_defaults();
  c.model.vision = {.image_size = 8, .patch_size = 4, .width = 16, .layers = 2, .heads = 2};
  c.optim.batch_size = 4;
  c.optim.accum_freq = 2;
  c.optim.epochs = 4;
  c.optim.lr = 1e-2;
  c.finetune.warmup_epochs = 0;
  return c;
}

inline std::unique_ptr<rils::Loader> colours_loader(const rils::Config& config, const rils::LoaderState& state = {},
                                                    int64_t unreadable = -1) {
  return rils::training_loader(config, std::make_shared<Colours>(unreadable), state);
}

/// Checks that a feed gives the loader's batches in turn, mixed by step and micro-batch, with the place after them.
inline void expect_mixed_batches(const rils::Config& config, Device device, rils::Console& console) {
  const auto fed = colours_loader(config), direct = colours_loader(config);
  const rils::EpochPlan plan(config, fed->batches_per_epoch());
  const Philox mixing(static_cast<uint64_t>(config.run.seed), "mixup");
  constexpr int64_t kFirst = 1;
  const auto feed = rils::feed_labelled(*fed, config, plan, kFirst, device);
  rils::Batch batch;
  std::vector<size_t> sizes;
  for (int64_t step = kFirst; step < kFirst + 9; ++step) {
    const std::vector<rils::LabelledBatch>& found = feed->next(console);
    // On a device a thread now prepares the next step, in the other buffer.
    std::this_thread::sleep_for(std::chrono::milliseconds(device == Device::cpu() ? 0 : 5));
    sizes.push_back(found.size());
    for (size_t i = 0; i < found.size(); ++i) {
      const std::string what = fmt::format("step {}, part {}", step, i);
      while (!direct->next(batch)) continue;
      const Tensor expected = Tensor::from(batch.images, {4, 3, 8, 8});
      const rils::Mix mix = draw_mix(config.finetune, 8, rils::AugmentStream(mixing, static_cast<uint64_t>(step), i));
      apply_mix(mix, expected);
      EXPECT_EQ(found[i].images.device(), device) << what;
      EXPECT_EQ(absolute_error(found[i].images.to(Device::cpu()), expected), 0.0) << what;
      EXPECT_EQ(found[i].labels, batch.labels) << what;
      EXPECT_EQ(found[i].lambda, mix.lambda) << what;
    }
    EXPECT_EQ(feed->place(), batch.next) << step;
    EXPECT_EQ(feed->epoch(), batch.epoch) << step;
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{2, 2, 1, 2, 2, 2, 1, 2, 2}));
}

/// Checks that a run that is stopped and resumed gives the losses of one that is not, whatever the feed has read ahead.
template <class Trainer>
void expect_same_steps_after_a_stop(const rils::Config& config, Device device, rils::Console& console) {
  const TemporaryFolder folder;
  const rils::CheckpointFiles files{folder.path() / "w", folder.path() / "s", folder.path() / "e"};
  const auto loader = colours_loader(config);
  Trainer whole(config, kColourClasses, loader->batches_per_epoch(), device);
  const auto feed = feed_labelled(*loader, config, whole.plan(), 0, device);
  for (int step = 0; step < 3; ++step) (void)whole.step(feed->next(console));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  whole.save(files, {}, {{"loader", feed->place().to_json()}});

  Trainer resumed(config, kColourClasses, loader->batches_per_epoch(), device);
  const auto place = rils::LoaderState::from_json(resumed.load(files).at("loader"));
  const auto second = colours_loader(config, place);
  const auto second_feed = feed_labelled(*second, config, resumed.plan(), resumed.steps(), device);
  for (int step = 3; step < 7; ++step) {
    const rils::ClassifierFigures a = whole.step(feed->next(console)), b = resumed.step(second_feed->next(console));
    EXPECT_EQ(a.loss, b.loss) << step;
    EXPECT_EQ(a.grad_norm, b.grad_norm) << step;
    EXPECT_EQ(second_feed->place(), feed->place()) << step;
  }
}

}  // namespace tessera::test
