// Steps of a classifier: parts of a batch, rates, averages, what stops a step.
#include "rils/finetune/trainer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/runtime/context.h"
#include "rils/config/schema.h"
#include "tests/rils/data/test_files.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

constexpr int64_t kClasses = 5, kSize = 8;

Config small() {
  Config c = finetuning_defaults();
  c.model.vision = {.image_size = kSize, .patch_size = 4, .width = 16, .layers = 3, .heads = 2};
  c.finetune.drop_path = 0.3;
  c.finetune.mixup = c.finetune.cutmix = 0;
  c.finetune.warmup_epochs = 0;
  c.optim.lr = 1e-2;
  c.optim.epochs = 4;
  return c;
}

/// Rows first … first + rows of one stream of random images.
LabelledBatch images(int64_t first, int64_t rows) {
  const Philox random(1, "images");
  LabelledBatch batch{Tensor::empty({rows, 3, kSize, kSize}), {}, 1.0};
  const auto values = batch.images.data<float>();
  constexpr int64_t kValues = 3 * kSize * kSize;
  for (int64_t i = 0; i < rows * kValues; ++i) {
    values[static_cast<size_t>(i)] = static_cast<float>(
        random.normal(0, static_cast<uint64_t>(first + i / kValues), static_cast<uint64_t>(i % kValues)));
  }
  for (int64_t r = 0; r < rows; ++r) batch.labels.push_back(static_cast<int32_t>((first + r) % kClasses));
  return batch;
}

TEST(ClassifierTrainer, SixStepsAgreeWithPyTorch) {
  const nn::SafetensorsFile start(test::golden_path("finetune/classifier_mean.safetensors"));
  const nn::SafetensorsFile golden(test::golden_path("finetune/training.safetensors"));
  Config c = finetuning_defaults();
  c.model.vision = {.image_size = 12, .patch_size = 4, .width = 16, .layers = 3, .heads = 2};
  c.finetune.drop_path = c.finetune.mixup = c.finetune.cutmix = 0;
  c.finetune.warmup_epochs = 1;
  c.optim.lr = 2e-3;
  c.optim.lr_end = 1e-5;
  c.optim.epochs = 3;
  c.optim.grad_clip_norm = 1.0;
  ClassifierTrainer trainer(c, kClasses, 2);
  for (const nn::Entry& e : trainer.model().store().entries()) {
    copy_into(start.load("param." + e.name), e.value());
  }
  trainer.model().store().mark_written();
  const Tensor all = golden.load("images"), labels = golden.load("labels");
  for (int64_t step = 0; step < all.size(0); ++step) {
    const auto at = static_cast<size_t>(step);
    const auto own = labels.data<int32_t>().subspan(4 * at, 4);
    const LabelledBatch batch{clone(all.slice(0, step, 1)).reshape({4, 3, 12, 12}), {own.begin(), own.end()}, 1.0};
    const ClassifierFigures f = trainer.step(std::vector{batch});
    EXPECT_NEAR(f.loss, golden.load("losses").data<double>()[at], 1e-5) << step;
    EXPECT_NEAR(f.grad_norm, golden.load("norms").data<double>()[at], 2e-5 * f.grad_norm) << step;
    EXPECT_NEAR(f.lr, golden.load("rates").data<double>()[at], 1e-15) << step;
  }
  EXPECT_EQ(trainer.plan().total_steps(), all.size(0));
  for (const nn::Entry& e : trainer.model().store().entries()) {
    EXPECT_LE(test::absolute_error(e.value(), golden.load("final." + e.name)), 1e-5) << e.name;
  }
}

TEST(ClassifierTrainer, MicroBatchesGiveTheUndividedStep) {
  Config parts = small();
  parts.optim.accum_freq = 4;
  ClassifierTrainer whole(small(), kClasses, 1), divided(parts, kClasses, 4);
  for (int64_t step = 0; step < 3; ++step) {
    const std::vector<LabelledBatch> one = {images(8 * step, 8)};
    std::vector<LabelledBatch> four;
    for (int64_t i = 0; i < 4; ++i) four.push_back(images(8 * step + 2 * i, 2));
    const ClassifierFigures a = whole.step(one), b = divided.step(four);
    EXPECT_NEAR(a.loss, b.loss, 2e-6) << step;
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 2e-5 * a.grad_norm) << step;
    EXPECT_EQ(a.lr, b.lr);
  }
}

TEST(EpochPlan, StepsCoverAnEpochWhateverTheDivision) {
  Config c = small();
  c.optim.accum_freq = 3;
  c.finetune.warmup_epochs = 1;
  const EpochPlan seven(c, 7);
  EXPECT_EQ(seven.steps_per_epoch(), 3);
  EXPECT_EQ(seven.total_steps(), 12);
  EXPECT_EQ(seven.batches_of(0), 3);
  EXPECT_EQ(seven.batches_of(2), 1);
  EXPECT_EQ(seven.batches_of(5), 1);
  EXPECT_DOUBLE_EQ(seven.lr(0), 0.0);
  EXPECT_DOUBLE_EQ(seven.lr(1), 1e-2 * 3 / 7) << "the rate of the first of its micro-batches";
  EXPECT_DOUBLE_EQ(seven.lr(3), 1e-2) << "an epoch of warm-up";
  EXPECT_DOUBLE_EQ(seven.lr(7), 1e-6 + 0.5 * (1e-2 - 1e-6) * (1 + std::cos(M_PI * (1 + 3.0 / 7) / 3)));
  const EpochPlan two(c, 2);
  EXPECT_EQ(two.steps_per_epoch(), 1) << "fewer batches than accum_freq";
  EXPECT_EQ(two.batches_of(0), 2);
}

TEST(ClassifierTrainer, LayersBelowLearnMoreSlowly) {
  Config c = small();
  c.optim.wd = 0;
  c.finetune.layer_decay = 0.1;
  ClassifierTrainer trainer(c, kClasses, 1);
  // From a head of 2e-5 on nothing below would move yet.
  const nn::Entry& head = *trainer.model().store().find("head.weight");
  nn::initialise(head.value(), nn::normal(0.3), 1, "head");
  trainer.model().store().mark_written();
  const Tensor before = clone(trainer.model().store().values());
  (void)trainer.step(std::vector{images(0, 8)});
  // AdamW's first step is the rate itself wherever there is a gradient.
  const auto largest = [&](const char* name) {
    const nn::Entry& e = *trainer.model().store().find(name);
    return test::absolute_error(e.value(), before.slice(0, e.offset, e.count()).reshape(e.shape));
  };
  EXPECT_NEAR(largest("head.weight"), 1e-2, 1e-5);
  EXPECT_NEAR(largest("fc_norm.weight"), 1e-2, 1e-5);
  EXPECT_NEAR(largest("visual.blocks.2.mlp.fc1.weight"), 1e-3, 1e-6);
  EXPECT_NEAR(largest("visual.blocks.0.mlp.fc1.weight"), 1e-5, 1e-7);
  EXPECT_NEAR(largest("visual.pos_embed"), 1e-6, 2e-7);
  EXPECT_NEAR(largest("visual.cls_token"), 1e-6, 2e-7);
}

TEST(ClassifierTrainer, ClippingActsOnTheWholeNorm) {
  Config clipped = small();
  clipped.optim.grad_clip_norm = 1e-4;
  ClassifierTrainer a(small(), kClasses, 1), b(clipped, kClasses, 1);
  const double norm = a.step(std::vector{images(0, 8)}).grad_norm;
  EXPECT_EQ(b.step(std::vector{images(0, 8)}).grad_norm, norm) << "reported before clipping";
  // AdamW forgets a gradient's size in its first step, its epsilon apart; in the second the old one weighs in.
  (void)a.step(std::vector{images(8, 8)});
  (void)b.step(std::vector{images(8, 8)});
  EXPECT_GT(test::absolute_error(a.model().store().values(), b.model().store().values()), 1e-6);
}

TEST(ClassifierTrainer, AveragesStartFromTheWeightsThatWereLoaded) {
  Config c = small();
  c.optim.ema = 0.5;
  ClassifierTrainer trainer(c, kClasses, 1);
  const test::TemporaryFolder folder;
  FrozenEncoder encoder(c.model.vision, Pool::mean, 8);
  fill(encoder.store().find("visual.cls_token")->value(), 3.0);
  nn::save_weights(folder.path() / "w", encoder.store(), {});
  trainer.start_from(nn::SafetensorsFile(folder.path() / "w"));
  EXPECT_EQ(trainer.model().store().find("visual.cls_token")->value().data<float>()[0], 3.0f);
  const Tensor start = clone(trainer.model().store().values());
  (void)trainer.step(std::vector{images(0, 8)});
  const Tensor after = clone(trainer.model().store().values());
  trainer.swap_ema();
  const auto average = trainer.model().store().values().data<float>();
  for (size_t i = 0; i < average.size(); ++i) {
    EXPECT_NEAR(average[i], 0.5 * start.data<float>()[i] + 0.5 * after.data<float>()[i], 1e-6) << i;
  }
  trainer.swap_ema();
  EXPECT_EQ(test::absolute_error(trainer.model().store().values(), after), 0.0);
}

TEST(ClassifierTrainer, ALossThatIsNotFiniteStopsBeforeAnyWeightChanges) {
  ClassifierTrainer trainer(small(), kClasses, 1);
  const Tensor before = clone(trainer.model().store().values());
  const LabelledBatch batch = images(0, 4);
  batch.images.data<float>()[7] = std::nanf("");
  EXPECT_THROW((void)trainer.step(std::vector{batch}), Error);
  EXPECT_EQ(test::absolute_error(trainer.model().store().values(), before), 0.0);
}

TEST(ClassifierTrainer, AWarmStepAsksTheSystemForNoMemory) {
  ClassifierTrainer trainer(small(), kClasses, 1);
  const std::vector<LabelledBatch> batch = {images(0, 8)};
  for (int i = 0; i < 4; ++i) (void)trainer.step(batch);
  const int64_t before = cpu_context().allocator().statistics().system_allocations;
  for (int i = 0; i < 4; ++i) (void)trainer.step(batch);
  EXPECT_EQ(cpu_context().allocator().statistics().system_allocations, before);
}

TEST(ClassifierTrainer, MixedPrecisionFollowsFullPrecision) {
  Config narrow = small();
  narrow.run.precision = "amp_bf16";
  ClassifierTrainer wide(small(), kClasses, 1), mixed(narrow, kClasses, 1);
  for (int64_t step = 0; step < 3; ++step) {
    const double a = wide.step(std::vector{images(0, 8)}).loss, b = mixed.step(std::vector{images(0, 8)}).loss;
    EXPECT_NEAR(a, b, 0.02 * a) << step;
  }
}

}  // namespace
}  // namespace tessera::rils
