// The plan of a step's memory, against the peak of the pool in such a step.
#include "rils/model/memory.h"

#include <gtest/gtest.h>

#include "engine/memory/pool.h"
#include "engine/runtime/context.h"
#include "nn/init.h"
#include "rils/train/trainer.h"
#include "tests/rils/train/tiny_model.h"

namespace tessera::rils {
namespace {

constexpr int64_t kCaption = 20;  // of 32 tokens

/// A model whose activations outweigh its weights.
Config configured(const std::string& objective, const std::vector<std::string>& assignments) {
  Config c = test::tiny_config(objective);
  c.model.embed_dim = 64;
  c.model.vision.image_size = 64;
  c.model.vision.patch_size = 8;
  c.model.vision.width = 192;
  c.model.vision.layers = 6;
  c.model.vision.heads = 3;
  c.model.decoder = {.width = 128, .layers = 2, .heads = 2};
  c.model.text.context_length = 32;
  c.model.text.width = 128;
  c.model.text.layers = 3;
  c.model.image_mlp = {.hidden = 256, .output = 32};
  c.loss.simulated_ranks = 1;
  for (const char* usual : {"optim.lr=3e-3", "optim.warmup=0"}) set_assignment(c, usual);
  for (const std::string& assignment : assignments) set_assignment(c, assignment);
  return c;
}

MicroBatch random_batch(const Config& c, int64_t part, int64_t rows) {
  const auto random = [&](const Shape& shape, nn::Init init, const char* name) {
    Tensor t = Tensor::empty(shape);
    nn::initialise(t, init, static_cast<uint64_t>(part), name);
    return t;
  };
  const Shape images{rows, 3, c.model.vision.image_size, c.model.vision.image_size};
  MicroBatch batch;
  const Objective objective = terms_of(c.model.objective);
  if (objective.contrastive || objective.reconstruction != Reconstruction::none) {
    batch.images = random(images, nn::normal(1), "images");
    batch.noise = random({rows, grid_of(c.model.vision).patches()}, nn::uniform(1), "noise");
  }
  if (objective.simclr) {
    batch.view1 = random(images, nn::normal(1), "first");
    batch.view2 = random(images, nn::normal(1), "second");
  }
  if (!objective.contrastive) return batch;
  batch.tokens = Tensor::zeros({rows, c.model.text.context_length}, DType::i32);
  for (int64_t r = 0; r < rows; ++r) {
    const auto ids = batch.tokens.slice(0, r, 1).data<int32_t>();
    for (int64_t i = 0; i < kCaption; ++i) ids[static_cast<size_t>(i)] = static_cast<int32_t>((part + r * 7 + i) % 38);
    ids[0] = 38;
    ids[kCaption - 1] = 39;
  }
  return batch;
}

/// Makes steps and compares the last one's peak with the plan for the share of images that passed its gate. Returns
/// that share.
double expect_planned(const std::string& objective, const std::vector<std::string>& assignments, int64_t parts,
                      int64_t rows = 64, int steps = 1) {
  SCOPED_TRACE(objective + " in " + std::to_string(parts));
  for (const std::string& a : assignments) SCOPED_TRACE(a);
  CachingPool& pool = cpu_context().pool();
  pool.trim();
  const int64_t before = pool.statistics().current;
  const Config c = configured(objective, assignments);
  Trainer trainer(c, 1000);
  std::vector<MicroBatch> batches;
  for (int64_t i = 0; i < parts; ++i) batches.push_back(random_batch(c, i, rows / parts));
  StepShape shape{.caption_tokens = kCaption,
                  .micro_batch = rows / parts,
                  .global_batch = rows,
                  .compute = trainer.pass().precision.compute,
                  .checkpointing = c.run.grad_checkpointing,
                  .ema = c.optim.ema > 0};
  for (int i = 0; i < steps && (i == 0 || shape.gate_rate < 1); ++i) {
    pool.reset_peak();
    shape.gate_rate = trainer.step(batches).losses.clip_accuracy;
  }
  const auto measured = static_cast<double>(pool.statistics().peak - before);
  const double planned = training_memory(c.model, c.loss, shape, cpu_context().kernels()).total();
  EXPECT_NEAR(planned / measured, 1, 0.05) << planned / 0x1p20 << " MiB planned, " << measured / 0x1p20 << " measured";
  return shape.gate_rate;
}

TEST(TrainingMemory, IsPlannedWithAverages) { expect_planned("rils", {"optim.ema=0.9"}, 1); }

// With a sanitizer each of these takes minutes, and would show no more than the steps of the other tests.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(TrainingMemory, IsPlannedForEveryObjectivePrecisionAndDivision) {
  const char* bf16 = "run.precision=amp_bf16";
  for (const char* objective : {"rils", "clip", "slip", "simclr", "mae", "mae+clip"}) {
    expect_planned(objective, {}, 1);
    expect_planned(objective, {bf16}, 2);
    expect_planned(objective, {bf16, "run.grad_checkpointing=true"}, 1);
    expect_planned(objective, {"run.grad_checkpointing=true"}, 2);
  }
}

TEST(TrainingMemory, IsPlannedWhereTheLastBlockComputesOneRow) {
  for (const char* objective : {"clip", "slip", "rils"}) expect_planned(objective, {"model.vision.pool=cls"}, 1);
}

TEST(TrainingMemory, IsPlannedWithTheGateOpen) {
  EXPECT_EQ(expect_planned("rils", {"model.vision.image_size=128", "optim.lr=5e-4"}, 1, 4, 60), 1);
}
#endif

}  // namespace
}  // namespace tessera::rils
