#pragma once

#include <functional>
#include <span>

#include "engine/tensor/tensor.h"

namespace tessera::rils {

/// A smooth function of x: returns its value and fills the gradient.
using SmoothFunction = std::function<double(std::span<const double> x, std::span<double> gradient)>;

struct LbfgsOptions {
  int history = 20;  // number of kept pairs of steps and gradient differences
  int max_iterations = 300;
  /// The search ends when the value is proven to be within this relative distance of the minimum: ‖gradient‖² ≤ 2 ·
  /// convexity · tolerance · value. `convexity` is the constant of strong convexity of the objective.
  double tolerance = 1e-3;
  double convexity = 1.0;
  std::function<void(int)> after = {};  // is told each iteration's number, from 1
};
struct LbfgsResult {
  double value = 0;
  int iterations = 0;
  bool converged = false;
};
/// Limited-memory BFGS (Liu and Nocedal, 1989) with a backtracking line search, for strongly convex objectives. x holds
/// the start and then the minimum.
LbfgsResult minimise(const SmoothFunction& objective, std::span<double> x, const LbfgsOptions& options);

/// Subtracts from each row its own mean and scales it to unit length (a row of zeros stays), in f64. MSN prepares
/// features so for its logistic regression.
[[nodiscard]] Tensor centred_rows(const Tensor& features);

struct LogisticOptions {
  double lambda = 0;  // weight of the penalty
  int max_iterations = 300;
  double tolerance = 1e-3;
  std::function<void(int)> after = {};  // is told each iteration's number, from 1
};
struct LogisticFit {
  Tensor weights;  // f64 [classes, D]
  LbfgsResult search;
};
/// Multinomial logistic regression without intercept: finds the W that minimises mean CE(x Wᵀ, labels) + lambda / 2
/// ‖W‖², beginning at zero. x f64 [n, D], labels [n].
[[nodiscard]] LogisticFit fit_logistic(const Tensor& x, std::span<const int32_t> labels, int64_t classes,
                                       const LogisticOptions& options);

}  // namespace tessera::rils
