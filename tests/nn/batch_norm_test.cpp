#include "nn/layers/batch_norm.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "nn/io/checkpoint.h"
#include "tests/support/golden.h"

namespace tessera::nn {
namespace {

struct Layer {
  Layer() : norm(store, "bn", 2, DType::f64) {
    store.add_buffer("table", Tensor::full({2}, 7.0));
    store.allocate(DType::f64);
    store.initialise(0);
  }
  [[nodiscard]] Tensor buffer(size_t index) const { return store.buffers()[index].tensor; }

  ParameterStore store;
  BatchNorm norm;
};

const Tensor kRows = Tensor::from(std::vector<double>{1, 10, 3, 30, 5, 20}, {3, 2});

TEST(BatchNorm, KeepsMomentsAsPyTorchDoes) {
  Layer layer;
  const autograd::BatchNorm first = layer.norm(kRows, DType::f64);
  EXPECT_EQ(layer.buffer(2).item(), 0.0) << "the pass itself keeps nothing";
  layer.norm.keep(first.moments, 3);
  layer.norm.keep(first.moments, 3);
  // Means 3 and 20; unbiased variances 4 and 100.
  const Tensor mean = Tensor::from(std::vector<double>{3 * 0.19, 20 * 0.19}, {2});
  const Tensor variance = Tensor::from(std::vector<double>{0.81 + 4 * 0.19, 0.81 + 100 * 0.19}, {2});
  EXPECT_LE(test::absolute_error(layer.buffer(0), mean), 1e-14);
  EXPECT_LE(test::absolute_error(layer.buffer(1), variance), 1e-14);
  EXPECT_EQ(layer.buffer(2).item(), 2.0);
}

TEST(BatchNorm, TrainsByTheBatchAndEvaluatesByWhatItKept) {
  Layer layer;
  const Tensor trained = layer.norm(kRows, DType::f64).y.value;
  const auto y = trained.data<double>();
  EXPECT_NEAR(y[0], -2 / std::sqrt(8.0 / 3 + 1e-5), 1e-12);
  EXPECT_NEAR(y[3], 10 / std::sqrt(200.0 / 3 + 1e-5), 1e-12);
  // Kept moments of 0 and 1 leave rows almost as they are.
  const Tensor kept = layer.norm.by_kept_moments(kRows, DType::f64).value;
  EXPECT_NEAR(kept.data<double>()[3], 30 / std::sqrt(1 + 1e-5), 1e-12);
}

TEST(Checkpoint, RestoresRunningBuffersAndLeavesFixedOnes) {
  Layer saved, loaded;
  saved.norm.keep(saved.norm(kRows, DType::f64).moments, 3);
  fill(saved.buffer(3), 9.0);
  const auto path = std::filesystem::path(testing::TempDir()) / (std::to_string(::getpid()) + "running.safetensors");
  save_weights(path, saved.store, {});
  load_weights(SafetensorsFile(path), loaded.store);
  for (const size_t i : {0U, 1U, 2U}) EXPECT_EQ(test::absolute_error(loaded.buffer(i), saved.buffer(i)), 0.0) << i;
  EXPECT_EQ(loaded.buffer(3).data<float>()[0], 7.0F) << "a table is the model's own";

  ParameterStore without;
  without.add("bn.weight", {2}, ones());
  without.add("bn.bias", {2}, zeros());
  without.allocate(DType::f64);
  save_weights(path, without, {});
  EXPECT_EQ(load_matching(SafetensorsFile(path), loaded.store).unrestored.size(), 3U);
  EXPECT_THROW(load_weights(SafetensorsFile(path), loaded.store), IoError);
  load_parameters(SafetensorsFile(path), loaded.store);
  EXPECT_EQ(test::absolute_error(loaded.buffer(0), saved.buffer(0)), 0.0) << "what is absent stays";
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tessera::nn
