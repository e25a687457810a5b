#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/ops/copy.h"
#include "nn/optim/adamw.h"
#include "nn/optim/lars.h"
#include "nn/optim/schedule.h"
#include "tests/support/golden.h"

namespace tessera::nn {
namespace {

using test::golden_path;

TEST(Schedule, ReproducesThePublishedArithmetic) {
  // 20 M samples in batches of 4096: 4,882 steps an epoch, 25 epochs.
  const CosineSchedule schedule{.base = 5e-4, .start = 1e-6, .end = 1e-5, .warmup = 4882, .total = 122050};
  EXPECT_DOUBLE_EQ(schedule(0), 1e-6);
  EXPECT_DOUBLE_EQ(schedule(4881), 5e-4);
  EXPECT_DOUBLE_EQ(schedule(4882), 5e-4);
  EXPECT_NEAR(schedule(61025), 2.710238e-4, 5e-11);
  EXPECT_NEAR(schedule(122049), 1.0000000088e-5, 1e-14);
  EXPECT_DOUBLE_EQ(schedule(122050), 1e-5);
}

TEST(Schedule, WithoutWarmUpStartsAtTheBase) {
  const CosineSchedule schedule{.base = 1e-3, .start = 0.0, .end = 0.0, .warmup = 0, .total = 10};
  EXPECT_DOUBLE_EQ(schedule(0), 1e-3);
  EXPECT_NEAR(schedule(5), 5e-4, 1e-12);
}

TEST(Clip, LeavesSmallGradientsAndScalesLargeOnes) {
  EXPECT_DOUBLE_EQ(clip_coefficient(0.5, 1.0), 1.0);
  EXPECT_NEAR(clip_coefficient(4.0, 1.0), 0.25, 1e-6);
  EXPECT_DOUBLE_EQ(clip_coefficient(4.0, 0.0), 1.0);
}

TEST(DecayRule, FollowsNamesAndRanks) {
  const GroupRule rule = slip_decay(0.5);
  const auto decay = [&](const char* name, const Shape& shape) {
    Entry entry;
    entry.name = name;
    entry.shape = shape;
    return rule(entry).weight_decay;
  };
  EXPECT_EQ(decay("visual.cls_token", {1, 1, 8}), 0.5);
  EXPECT_EQ(decay("positional_embedding", {4, 8}), 0.5);
  EXPECT_EQ(decay("visual.blocks.0.attn.qkv.weight", {24, 8}), 0.5);
  EXPECT_EQ(decay("visual.blocks.0.attn.q_bias", {8}), 0.0);
  EXPECT_EQ(decay("visual.norm.weight", {8}), 0.0);
  EXPECT_EQ(decay("ln_final.weight", {8}), 0.0);
  EXPECT_EQ(decay("logit_scale", {}), 0.0);
}

/// Runs the golden's AdamW steps on a store of the given type.
void run_adamw_golden(DType dtype, double tolerance) {
  const SafetensorsFile golden(golden_path("rils/optimizer.safetensors"));
  ParameterStore store;
  const Tensor weight = golden.load("initial.weight");
  const Tensor bias = golden.load("initial.bias");
  store.add("weight", weight.shape(), zeros());
  store.add("bias", bias.shape(), zeros());
  store.allocate(dtype);
  store.clear_grads();
  copy_into(weight, store.find("weight")->value());
  copy_into(bias, store.find("bias")->value());
  AdamW optimizer(store, {0.9, 0.98, 1e-8, 0.2}, slip_decay(0.2));
  const Tensor lr = golden.load("lr");
  for (int64_t step = 0; step < lr.numel(); ++step) {
    for (const char* name : {"weight", "bias"}) {
      const auto suffix = std::string(name) + "." + std::to_string(step);
      copy_into(golden.load("grad." + suffix), store.find(name)->grad());
    }
    optimizer.step(lr.data<double>()[static_cast<size_t>(step)]);
    for (const char* name : {"weight", "bias"}) {
      const Tensor expected = golden.load("value." + std::string(name) + "." + std::to_string(step));
      EXPECT_LE(test::absolute_error(store.find(name)->value(), expected), tolerance) << name << " step " << step;
    }
  }
}

TEST(AdamW, AgreesWithPyTorchInF64) { run_adamw_golden(DType::f64, 1e-7); }
TEST(AdamW, AgreesWithPyTorchInF32) { run_adamw_golden(DType::f32, 1e-6); }

TEST(AdamW, LearningRateZeroChangesNoBit) {
  ParameterStore store;
  store.add("weight", {37, 5}, normal(0.1));
  store.allocate(DType::f32);
  store.initialise(1);
  const Tensor before = clone(store.values());
  store.clear_grads();
  fill(store.grads(), 0.3);
  AdamW optimizer(store, {}, slip_decay(0.2));
  for (int i = 0; i < 3; ++i) optimizer.step(0.0);
  EXPECT_EQ(test::absolute_error(store.values(), before), 0.0);
}

TEST(AdamW, FusedPartsLeaveTheGapAlone) {
  ParameterStore store;
  store.add_fused("qkv_bias", {12}, {{"q_bias", {4}, 0, ones()}, {"v_bias", {4}, 8, ones()}});
  store.allocate(DType::f32);
  store.initialise(0);
  store.clear_grads();
  fill(store.grads(), 1.0);
  AdamW optimizer(store, {}, slip_decay(0.0));
  EXPECT_NEAR(optimizer.grad_norm(), std::sqrt(8.0), 1e-9);
  optimizer.step(0.5);
  const auto values = store.values().data<float>();
  EXPECT_LT(values[0], 1.0f);
  EXPECT_LT(values[8], 1.0f);
  for (size_t i = 4; i < 8; ++i) EXPECT_EQ(values[i], 0.0f);
}

/// Two matrices and a bias of ones with gradients of one; the second matrix is frozen by its own flag.
void build_partly_frozen(ParameterStore& store) {
  store.add("trained", {4, 4}, ones());
  store.add("frozen", {4, 4}, ones()).frozen = true;
  store.add("bias", {9}, ones());
  store.allocate(DType::f32);
  store.initialise(0);
  store.clear_grads();
  fill(store.grads(), 1.0);
}

/// Only entries of these names moved, and only they count in the gradient's norm.
template <class Optimizer>
void expect_steps_only(ParameterStore& store, Optimizer& optimizer, const std::vector<std::string>& names) {
  double count = 0;
  for (const auto& name : names) count += static_cast<double>(store.find(name)->count());
  EXPECT_NEAR(optimizer.grad_norm(), std::sqrt(count), 1e-9);
  for (int i = 0; i < 2; ++i) optimizer.step(0.1);
  for (const Entry& entry : store.entries()) {
    const bool moves = std::ranges::find(names, entry.name) != names.end();
    for (const float x : entry.value().data<float>()) ASSERT_EQ(x != 1.0f, moves) << entry.name << ": " << x;
  }
}

TEST(AdamW, LeavesFrozenParametersAlone) {
  ParameterStore store;
  build_partly_frozen(store);
  AdamW optimizer(store, {}, slip_decay(0.2));
  expect_steps_only(store, optimizer, {"trained", "bias"});
  for (const Tensor& moments : {optimizer.first_moments(), optimizer.second_moments()}) {
    const Entry& frozen = *store.find("frozen");
    const Tensor part = moments.slice(0, frozen.offset, frozen.count());
    for (const float x : part.data<float>()) EXPECT_EQ(x, 0.0f);
  }
}

TEST(AdamW, LeavesWhatTheRuleFreezesAlone) {
  ParameterStore store;
  build_partly_frozen(store);
  AdamW optimizer(store, {}, [](const Entry& entry) { return Group{.frozen = entry.name == "bias"}; });
  expect_steps_only(store, optimizer, {"trained"});
}

TEST(AdamW, ScalesTheRateOfAGroup) {
  ParameterStore store;
  build_partly_frozen(store);
  AdamW optimizer(store, {}, [](const Entry& entry) { return Group{.lr_scale = entry.name == "bias" ? 0.25 : 1.0}; });
  optimizer.step(0.125);
  // The first step moves every element by the rate.
  EXPECT_NEAR(store.find("trained")->value().data<float>()[15], 0.875, 1e-6);
  EXPECT_NEAR(store.find("bias")->value().data<float>()[8], 1 - 0.125 / 4, 1e-6);
}

TEST(Lars, LeavesFrozenParametersAlone) {
  ParameterStore store;
  build_partly_frozen(store);
  Lars optimizer(store, {.trust = 1});
  expect_steps_only(store, optimizer, {"trained", "bias"});
  const Entry& frozen = *store.find("frozen");
  const Tensor part = optimizer.momentum().slice(0, frozen.offset, frozen.count());
  for (const float x : part.data<float>()) EXPECT_EQ(x, 0.0f);
}

TEST(Lars, DecaysAndAdaptsMatricesOnly) {
  ParameterStore store;
  build_partly_frozen(store);
  const LarsOptions options{.momentum = 0.5, .trust = 0.125, .weight_decay = 3};
  Lars optimizer(store, options);
  // By hand: a matrix of w has the gradient g = 1 + 3 w scaled by 0.125 ‖w‖ / ‖g‖ = 0.125 w / g, so 0.125 w.
  double w = 1, b = 1, w_momentum = 0, b_momentum = 0;
  for (int step = 0; step < 3; ++step) {
    optimizer.step(0.25);
    w_momentum = 0.5 * w_momentum + 0.125 * w;
    b_momentum = 0.5 * b_momentum + 1;
    w -= 0.25 * w_momentum;
    b -= 0.25 * b_momentum;
    for (const float x : store.find("trained")->value().data<float>()) ASSERT_NEAR(x, w, 1e-6) << step;
    for (const float x : store.find("bias")->value().data<float>()) ASSERT_NEAR(x, b, 1e-6) << step;
  }
  EXPECT_EQ(optimizer.steps(), 3);
}

TEST(Ema, AveragesTowardsTheValues) {
  ParameterStore store;
  store.add("w", {3}, ones());
  store.allocate(DType::f32);
  store.initialise(0);
  Ema ema(store, 0.75);
  fill(store.values(), 5.0);
  ema.update();
  EXPECT_FLOAT_EQ(ema.values().data<float>()[0], 2.0f);
}

}  // namespace
}  // namespace tessera::nn
