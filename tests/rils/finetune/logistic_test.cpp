// Logistic regression against the minimum that Newton's method finds in PyTorch.
#include "rils/finetune/logistic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/cpu/host.h"
#include "engine/ops/copy.h"
#include "tests/support/golden.h"

namespace tessera::rils {
namespace {

nn::SafetensorsFile golden() { return nn::SafetensorsFile(test::golden_path("finetune/logistic.safetensors")); }

TEST(Logistic, RowsAreCentredAndOfUnitLength) {
  const Tensor rows = centred_rows(golden().load("features"));
  EXPECT_LE(test::absolute_error(rows, golden().load("rows")), 1e-15);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(rows.data<double>()[size_t{7} * 6 + i], 0.0) << "a constant row stays zero";
}

TEST(Logistic, FindsTheMinimum) {
  const nn::SafetensorsFile file = golden();
  const Tensor rows = file.load("rows"), labels = file.load("labels");
  for (const std::string name : {"weak", "strong"}) {
    const double lambda = file.load(name + ".lambda").item(), least = file.load(name + ".value").item();
    const LogisticFit exact =
        fit_logistic(rows, labels.data<int32_t>(), 4, {.lambda = lambda, .max_iterations = 500, .tolerance = 1e-14});
    EXPECT_TRUE(exact.search.converged) << name;
    EXPECT_NEAR(exact.search.value, least, 1e-13) << name;
    EXPECT_LE(test::absolute_error(exact.weights, file.load(name + ".weights")), 1e-6) << name;
    // What the tolerance promises, and no more iterations than it needs.
    const LogisticFit usual = fit_logistic(rows, labels.data<int32_t>(), 4, {.lambda = lambda});
    EXPECT_TRUE(usual.search.converged) << name;
    EXPECT_LE(usual.search.value - least, 1e-3 * usual.search.value) << name;
    EXPECT_LT(usual.search.iterations, exact.search.iterations) << name;
  }
}

TEST(Logistic, StopsAfterTheIterationsAllowed) {
  const nn::SafetensorsFile file = golden();
  const Tensor labels = file.load("labels");
  const LogisticFit fit = fit_logistic(file.load("rows"), labels.data<int32_t>(), 4,
                                       {.lambda = 1e-9, .max_iterations = 5, .tolerance = 1e-9});
  EXPECT_EQ(fit.search.iterations, 5);
  EXPECT_FALSE(fit.search.converged);
}

TEST(Logistic, ThreadsDoNotChangeABit) {
  const nn::SafetensorsFile file = golden();
  const Tensor rows = file.load("rows"), labels = file.load("labels");
  cpu::Host& host = cpu::host(cpu_context());
  const int kept = host.threads().threads();
  std::vector<Tensor> found;
  for (const int threads : {1, 3}) {
    host.set_threads(threads);
    found.push_back(fit_logistic(rows, labels.data<int32_t>(), 4, {.lambda = 1e-3}).weights);
  }
  host.set_threads(kept);
  EXPECT_EQ(test::absolute_error(found[0], found[1]), 0.0);
}

TEST(Lbfgs, MinimisesAnIllConditionedBowl) {
  std::vector<double> x(12, 1.0);
  const SmoothFunction bowl = [](std::span<const double> at, std::span<double> gradient) {
    double value = 1;
    for (size_t i = 0; i < at.size(); ++i) {
      const double weight = std::pow(10.0, static_cast<double>(i) / 2), away = at[i] - static_cast<double>(i);
      value += 0.5 * weight * away * away;
      gradient[i] = weight * away;
    }
    return value;
  };
  const LbfgsResult r = minimise(bowl, x, {.tolerance = 1e-16});
  EXPECT_TRUE(r.converged);
  EXPECT_NEAR(r.value, 1.0, 1e-12);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], static_cast<double>(i), 1e-7) << i;
}

}  // namespace
}  // namespace tessera::rils
