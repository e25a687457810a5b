#include "nn/parameter_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <filesystem>

#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"
#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "nn/io/checkpoint.h"
#include "tests/support/golden.h"

namespace tessera::nn {
namespace {

std::filesystem::path temporary(const char* name) {
  return std::filesystem::path(testing::TempDir()) / (std::to_string(::getpid()) + name);
}

void build(ParameterStore& store) {
  store.add("a.weight", {5, 3}, normal(0.02));
  store.add_fused("qkv_bias", {6}, {{"q_bias", {2}, 0, uniform(1.0)}, {"v_bias", {2}, 4, uniform(1.0)}});
  store.add("scale", {}, constant(2.5));
  store.add_buffer("table", Tensor::full({1, 2}, 7.0));
  store.allocate(DType::f32);
}

TEST(ParameterStore, ValuesDependOnSeedAndNameAlone) {
  ParameterStore one, other, reordered;
  build(one);
  build(other);
  reordered.add("scale", {}, constant(2.5));
  reordered.add("a.weight", {5, 3}, normal(0.02));
  reordered.allocate(DType::f32);
  one.initialise(3);
  other.initialise(4);
  reordered.initialise(3);
  EXPECT_EQ(test::absolute_error(one.find("a.weight")->value(), reordered.find("a.weight")->value()), 0.0);
  EXPECT_NE(test::absolute_error(one.find("a.weight")->value(), other.find("a.weight")->value()), 0.0);
  EXPECT_EQ(one.find("scale")->value().item(), 2.5);
  EXPECT_EQ(one.parameter_count(), 15 + 4 + 1);
}

TEST(ParameterStore, WithoutASeedNothingIsDrawn) {
  ParameterStore store;
  build(store);
  store.initialise(std::nullopt);
  for (const float x : store.values().data<float>()) EXPECT_EQ(x, 0.0f);
}

TEST(ParameterStore, GradientsHaveNoMemoryBeforeTheyAreCleared) {
  ParameterStore store;
  Parameter& a = store.add("a", {3}, ones());
  store.allocate(DType::f32);
  EXPECT_FALSE(a.grad);
  EXPECT_THROW((void)store.grads(), Error);
  EXPECT_THROW((void)store.find("a")->grad(), Error);
  const auto backward = [&] {
    autograd::Tape tape;
    const autograd::TapeScope scope(tape);
    tape.backward(autograd::sum(autograd::use(a)));
  };
  try {
    backward();
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "backward: a has no memory for a gradient; call clear_grads() of its store before");
  }
  store.clear_grads();
  backward();
  for (const float x : a.grad.data<float>()) EXPECT_EQ(x, 1.0f);
}

TEST(ParameterStore, NamesAreTakenOnce) {
  ParameterStore store;
  store.add("w", {1}, zeros());
  EXPECT_THROW(store.add("w", {1}, zeros()), Error);
}

TEST(ParameterStore, InitialValuesHaveTheAskedMoments) {
  ParameterStore store;
  store.add("n", {400, 500}, normal(0.02));
  store.add("u", {400, 500}, xavier_uniform(100, 50));
  store.allocate(DType::f64);
  store.initialise(0);
  const auto moments = [&](const char* name) {
    double sum = 0, square = 0, largest = 0;
    const Tensor value = store.find(name)->value();
    for (const double x : value.data<double>()) {
      sum += x;
      square += x * x;
      largest = std::fmax(largest, std::abs(x));
    }
    const auto n = static_cast<double>(value.numel());
    return std::array{sum / n, std::sqrt(square / n), largest};
  };
  const auto n = moments("n");
  EXPECT_NEAR(n[0], 0.0, 4 * 0.02 / std::sqrt(200000.0));
  EXPECT_NEAR(n[1], 0.02, 1e-4);
  const auto u = moments("u");
  EXPECT_NEAR(u[1], 0.2 / std::sqrt(3.0), 1e-3);
  EXPECT_LT(u[2], 0.2);
  EXPECT_GT(u[2], 0.1999);
}

TEST(ParameterStore, AParameterLeftOutOfAStepHasAGradientOfZero) {
  ParameterStore store;
  Parameter& a = store.add("a", {3}, ones());
  Parameter& b = store.add("b", {3}, ones());
  store.allocate(DType::f32);
  store.initialise(0);
  const auto step = [&](const auto& loss) {
    store.clear_grads();
    autograd::Tape tape;
    const autograd::TapeScope scope(tape);
    tape.backward(loss());
    store.complete_grads();
  };
  const auto expect_grads = [&](float of_a, float of_b) {
    for (const float x : a.grad.data<float>()) EXPECT_EQ(x, of_a);
    for (const float x : b.grad.data<float>()) EXPECT_EQ(x, of_b);
  };
  step([&] { return autograd::sum(autograd::add(autograd::use(a), autograd::use(b))); });
  expect_grads(1, 1);
  step([&] { return autograd::sum(autograd::scale(autograd::use(a), 3)); });
  expect_grads(3, 0);
  step([&] { return autograd::sum(autograd::scale(autograd::use(b), 5)); });
  expect_grads(0, 5);
}

TEST(ParameterStore, SwapExchangesBothSides) {
  ParameterStore store;
  build(store);
  store.initialise(1);
  const Tensor first = clone(store.values());
  const Tensor second = Tensor::full(first.shape(), 3.0);
  Tensor other = clone(second);
  store.swap_values(other);
  EXPECT_EQ(test::absolute_error(store.values(), second), 0.0);
  EXPECT_EQ(test::absolute_error(other, first), 0.0);
  Tensor narrow = Tensor::zeros({3});
  EXPECT_THROW(store.swap_values(narrow), ShapeError);
}

TEST(Checkpoint, RoundTripRestoresEveryValue) {
  const auto path = temporary("weights.safetensors");
  ParameterStore store, other;
  build(store);
  build(other);
  store.initialise(1);
  other.initialise(2);
  save_weights(path, store, {{"step", "7"}});
  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata().at("step"), "7");
  EXPECT_TRUE(file.contains("table"));
  EXPECT_TRUE(file.contains("v_bias"));
  EXPECT_FALSE(file.contains("qkv_bias"));
  load_weights(file, other);
  EXPECT_EQ(test::absolute_error(store.values(), other.values()), 0.0);
  std::filesystem::remove(path);
}

TEST(Checkpoint, OtherModelsAreRefusedByName) {
  const auto path = temporary("other.safetensors");
  ParameterStore store, larger;
  build(store);
  store.initialise(1);
  save_weights(path, store, {});
  larger.add("a.weight", {6, 3}, zeros());
  larger.add("b", {1}, zeros());
  larger.allocate(DType::f32);
  const SafetensorsFile file(path);
  try {
    load_weights(file, larger);
    FAIL();
  } catch (const IoError& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("missing: b"), std::string::npos) << text;
    EXPECT_NE(text.find("a.weight [5,3] (expected [6,3])"), std::string::npos) << text;
    EXPECT_NE(text.find("unexpected: "), std::string::npos) << text;
  }
  std::filesystem::remove(path);
}

TEST(TrainingState, RestoresMomentsAndSteps) {
  const auto path = temporary("state.safetensors");
  ParameterStore store;
  build(store);
  store.initialise(1);
  AdamW optimizer(store, {}, slip_decay(0.1));
  store.clear_grads();
  fill(store.grads(), 0.25);
  optimizer.step(1e-3);
  optimizer.step(1e-3);
  save_training_state(path, store, optimizer, {{"epoch", "3"}});
  AdamW restored(store, {}, slip_decay(0.1));
  const Metadata metadata = load_training_state(SafetensorsFile(path), store, restored);
  EXPECT_EQ(metadata.at("epoch"), "3");
  EXPECT_EQ(restored.steps(), 2);
  for (const Entry& entry : store.entries()) {
    const auto part = [&](const Tensor& arena) { return arena.slice(0, entry.offset, entry.count()); };
    EXPECT_EQ(test::absolute_error(part(restored.first_moments()), part(optimizer.first_moments())), 0.0);
    EXPECT_EQ(test::absolute_error(part(restored.second_moments()), part(optimizer.second_moments())), 0.0);
  }
  save_weights(path, store, {});
  EXPECT_THROW((void)load_training_state(SafetensorsFile(path), store, restored), IoError);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tessera::nn
