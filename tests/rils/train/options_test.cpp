// What each option of the losses and of the optimiser does to a step, against the formulas written out in f64.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "engine/ops/copy.h"
#include "rils/train/trainer.h"
#include "tests/rils/train/reference_adamw.h"
#include "tests/rils/train/tiny_model.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

using test::random_rows;
using test::tiny_config;

constexpr int64_t kRows = 8, kSteps = 5;

/// SLIP's rule: no decay of vectors and of what is called bias, ln or bn.
test::EntryRule slip(const nn::Entry& entry, double wd) {
  const bool exempt = entry.shape.rank() < 2 || entry.name.find("bias") != std::string::npos ||
                      entry.name.find("ln") != std::string::npos || entry.name.find("bn") != std::string::npos;
  return {1.0, exempt ? 0.0 : wd};
}

Config configured(const std::vector<std::string>& assignments, const std::string& objective = "rils") {
  Config c = tiny_config(objective);
  for (const char* usual : {"optim.lr=1e-2", "optim.warmup=0", "optim.wd=0.3"}) set_assignment(c, usual);
  for (const std::string& assignment : assignments) set_assignment(c, assignment);
  return c;
}

/// Steps of a trainer, each compared with the reference, which starts from the same weights and gradients. Returns the
/// final weights.
Tensor expect_reference(const Config& c) {
  Trainer trainer(c, kSteps);
  const nn::ParameterStore& store = trainer.model().store();
  test::ReferenceAdamW reference;
  reference.beta1 = c.optim.beta1;
  reference.beta2 = c.optim.beta2;
  reference.eps = c.optim.eps;
  reference.clip = c.optim.grad_clip_norm;
  reference.rule = [&](const nn::Entry& entry) { return slip(entry, c.optim.wd); };
  for (int64_t step = 0; step < kSteps; ++step) {
    const std::vector<MicroBatch> batch = {random_rows(static_cast<uint64_t>(step), kRows)};
    const Tensor before = clone(store.values());
    const StepFigures figures = trainer.step(batch);
    const auto expected = reference.step(store, before, trainer.lr(step));
    EXPECT_LE(test::largest_difference(store, expected), 1e-6) << step;
    EXPECT_NEAR(figures.grad_norm, reference.norm, 1e-5 * reference.norm) << "before clipping";
    EXPECT_GT(test::absolute_error(store.values(), before), 0.0);
  }
  return clone(store.values());
}

TEST(OptimiserOptions, EachChangesTheStepsAsItsFormulaSays) {
  const Tensor usual = expect_reference(configured({}));
  for (const char* changed :
       {"optim.beta1=0.5", "optim.beta2=0.7", "optim.eps=0.05", "optim.wd=0", "optim.wd=2", "optim.grad_clip_norm=0.05",
        "optim.lr=2e-3", "optim.lr_end=5e-3", "optim.warmup=3", "run.seed=1"}) {
    SCOPED_TRACE(changed);
    EXPECT_GT(test::absolute_error(expect_reference(configured({changed})), usual), 1e-5);
  }
  // A norm that is never reached, a rate that is never used, and how memory is spent change no bit.
  for (const char* same :
       {"optim.grad_clip_norm=1e9", "optim.lr_start=1e-3", "optim.ema=0.9", "run.grad_checkpointing=true"}) {
    SCOPED_TRACE(same);
    EXPECT_EQ(test::absolute_error(expect_reference(configured({same})), usual), 0.0);
  }
}

TEST(OptimiserOptions, ClippingHoldsAtItsBorder) {
  const std::vector<MicroBatch> batch = {random_rows(0, kRows)};
  const double norm = Trainer(configured({}), kSteps).step(batch).grad_norm;
  // With a large eps AdamW's first step is proportional to the gradient.
  const auto moved = [&](double clip) {
    Config c = configured({"optim.eps=1e6", "optim.wd=0", "optim.lr=1e6"});
    c.optim.grad_clip_norm = clip;
    Trainer trainer(c, kSteps);
    const Tensor before = clone(trainer.model().store().values());
    (void)trainer.step(batch);
    return test::absolute_error(trainer.model().store().values(), before);
  };
  const double whole = moved(0);
  EXPECT_EQ(moved(1.01 * norm), whole);
  EXPECT_NEAR(moved(0.99 * norm), 0.99 * whole, 1e-3 * whole);
  EXPECT_NEAR(moved(0.1 * norm), 0.1 * whole, 1e-3 * whole);
}

TEST(Schedule, FollowsItsFormulaAtEveryStep) {
  constexpr double kPeak = 1e-2, kStart = 1e-3, kEnd = 2e-3;
  Config c = configured({"optim.lr_start=1e-3", "optim.lr_end=2e-3"});
  for (const int64_t warmup : {0, 1, 2, 4, 9, 10}) {
    SCOPED_TRACE(warmup);
    c.optim.warmup = warmup;
    const Trainer trainer(c, 10);
    EXPECT_EQ(trainer.total_steps(), 10);
    for (int64_t step = 0; step < 10; ++step) {
      const double rise = warmup > 1 ? static_cast<double>(step) / static_cast<double>(warmup - 1) : 0;
      const double turn = std::numbers::pi * static_cast<double>(step - warmup) / static_cast<double>(10 - warmup);
      const double expected =
          step < warmup ? kStart + (kPeak - kStart) * rise : kEnd + 0.5 * (kPeak - kEnd) * (1 + std::cos(turn));
      EXPECT_NEAR(trainer.lr(step), expected, 1e-12) << step;
    }
  }
}

TEST(Schedule, TheWarmUpEndsWithTheRun) {
  for (const int64_t warmup : {5, 6, 100}) {
    Config c = configured({});
    c.optim.warmup = warmup;
    const Trainer trainer(c, 5);
    EXPECT_NEAR(trainer.lr(4), 1e-2, 1e-12) << "the last step of " << warmup << " reaches the peak";
    EXPECT_NEAR(trainer.lr(2), 0.5 * (1e-2 + c.optim.lr_start), 1e-12);
  }
  Config c = configured({"optim.warmup=-1"});
  EXPECT_NEAR(Trainer(c, 5, 100).lr(4), 1e-2, 1e-12) << "an epoch longer than the run";
  EXPECT_NEAR(Trainer(c, 9, 3).lr(2), 1e-2, 1e-12) << "one epoch";
  EXPECT_LT(Trainer(c, 9, 3).lr(1), 0.9e-2);
}

TEST(Schedule, AStepUsesTheRateOfItsNumberOrOneOfItsOwn) {
  const Config c = configured({"optim.warmup=3"});
  Trainer trainer(c, kSteps);
  for (int64_t step = 0; step < kSteps; ++step) {
    EXPECT_EQ(trainer.steps(), step);
    EXPECT_EQ(trainer.step(std::vector{random_rows(0, kRows)}).lr, trainer.lr(step));
  }
  const Tensor before = clone(trainer.model().store().values());
  EXPECT_EQ(trainer.step(std::vector{random_rows(0, kRows)}, 0.0).lr, 0.0);
  EXPECT_EQ(test::absolute_error(trainer.model().store().values(), before), 0.0);
}

TEST(Averages, FollowTheWeightsAtEveryStep) {
  for (const double decay : {0.5, 0.99}) {
    Config c = configured({});
    c.optim.ema = decay;
    Trainer trainer(c, kSteps);
    ASSERT_TRUE(trainer.has_ema());
    const nn::ParameterStore& store = trainer.model().store();
    const auto first = store.values().data<float>();
    std::vector<double> average(first.begin(), first.end());
    for (int64_t step = 0; step < kSteps; ++step) {
      (void)trainer.step(std::vector{random_rows(static_cast<uint64_t>(step), kRows)});
      const Tensor now = clone(store.values());
      for (size_t i = 0; i < average.size(); ++i) {
        average[i] = decay * average[i] + (1 - decay) * static_cast<double>(now.data<float>()[i]);
      }
      trainer.swap_ema();
      double worst = 0;
      for (size_t i = 0; i < average.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(store.values().data<float>()[i]) - average[i]));
      }
      EXPECT_LE(worst, 1e-6) << step;
      EXPECT_GT(test::absolute_error(store.values(), now), 1e-4) << "they lag behind";
      trainer.swap_ema();
      EXPECT_EQ(test::absolute_error(store.values(), now), 0.0) << "and back";
    }
  }
  Trainer without(configured({}), kSteps);
  EXPECT_FALSE(without.has_ema());
  const Tensor before = clone(without.model().store().values());
  without.swap_ema();
  EXPECT_EQ(test::absolute_error(without.model().store().values(), before), 0.0);
}

TEST(ReconstructionWarmUp, GrowsLinearlyFromZero) {
  for (const int64_t steps : {0, 1, 4}) {
    SCOPED_TRACE(steps);
    Config c = configured({"optim.lr=1e-4"});
    c.loss.reconstruction_warmup_steps = steps;
    Trainer trainer(c, 8);
    Model same(c.model, static_cast<uint64_t>(c.run.seed));
    for (int64_t step = 0; step < 6; ++step) {
      const std::vector<MicroBatch> batch = {random_rows(3, 16)};
      const StepResult full = trainer.evaluate(batch);
      ASSERT_GT(full.recon_loss, 0.0) << "some image passes the gate";
      const double factor = steps == 0 ? 1.0 : std::min(1.0, static_cast<double>(step) / static_cast<double>(steps));
      copy_into(trainer.model().store().values(), same.store().values());
      same.store().mark_written();
      (void)compute_gradients(same, c.loss, batch, {.pass = {}, .reconstruction_factor = factor});
      const StepFigures figures = trainer.step(batch);
      EXPECT_NEAR(figures.losses.recon_loss, factor * full.recon_loss, 1e-5 * full.recon_loss) << step;
      EXPECT_NEAR(figures.losses.loss, figures.losses.clip_loss + figures.losses.recon_loss, 1e-6);
      EXPECT_LE(test::relative_error(trainer.model().store().grads(), same.store().grads()), 1e-6) << step;
    }
  }
}

TEST(LossOptions, EachIsPartOfTheLoss) {
  const auto loss_of = [](const std::string& objective, const std::vector<std::string>& assignments) {
    Config c = configured(assignments, objective);
    c.loss.simulated_ranks = 1;  // so that the denominator spans several images
    Trainer trainer(c, kSteps);
    return trainer.step(std::vector{random_rows(3, 16)}).losses;
  };
  const StepResult rils = loss_of("rils", {});
  ASSERT_GT(rils.recon_loss, 0.0);
  EXPECT_NEAR(loss_of("rils", {"loss.reconstruction_weight=1.5"}).recon_loss, 3 * rils.recon_loss, 1e-5);
  for (const char* changed : {"loss.mask_ratio=0.5", "loss.student_temperature=0.2", "loss.teacher_temperature=0.1",
                              "loss.reconstruction_normalizer=all"}) {
    const StepResult other = loss_of("rils", {changed});
    EXPECT_EQ(other.clip_loss, rils.clip_loss) << changed;
    EXPECT_GT(std::abs(other.recon_loss - rils.recon_loss), 1e-7) << changed;
  }
  const StepResult all = loss_of("rils", {"loss.reconstruction_normalizer=all"});
  EXPECT_NEAR(all.recon_loss, rils.clip_accuracy * rils.recon_loss, 1e-5 * rils.recon_loss)
      << "the share that passes the gate";
  const StepResult pixels = loss_of("mae+clip", {});
  EXPECT_NEAR(loss_of("mae+clip", {"loss.mae_weight=0.25"}).mae_loss, 0.25 * pixels.mae_loss, 1e-5);
  const StepResult views = loss_of("slip", {});
  EXPECT_NEAR(loss_of("slip", {"loss.ssl_scale=0.25"}).ssl_loss, 0.25 * views.ssl_loss, 1e-5);
  EXPECT_GT(std::abs(loss_of("slip", {"loss.ssl_temperature=0.5"}).ssl_loss - views.ssl_loss), 1e-3);
  EXPECT_EQ(loss_of("slip", {"loss.ssl_temperature=0.5"}).clip_loss, views.clip_loss);
}

TEST(LossOptions, TheLogitScaleStaysBelowItsMaximum) {
  // exp(logit_scale) starts at 14.3.
  for (const double maximum : {5.0, 14.0, 100.0}) {
    Config c = configured({});
    c.loss.logit_scale_max = maximum;
    Trainer trainer(c, kSteps);
    (void)trainer.step(std::vector{random_rows(0, kRows)});
    const double scale = trainer.evaluate(std::vector{random_rows(0, kRows)}).logit_scale;
    EXPECT_LE(scale, maximum * (1 + 1e-6));
    if (maximum < 14.1) {
      EXPECT_NEAR(scale, maximum, 1e-4 * maximum);
    }
    if (maximum == 100.0) {
      EXPECT_NEAR(scale, 1 / 0.07, 0.2);
    }
  }
}

}  // namespace
}  // namespace tessera::rils
