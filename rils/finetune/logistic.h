#pragma once

#include <functional>
#include <span>

#include "engine/tensor/tensor.h"

namespace tessera::rils {

/// A smooth function of x: returns its value and fills the gradient.
using SmoothFunction = std::function<double(std::span<const double> x, std::span<double> gradient)>;

struct LbfgsOptions {
  int history = 20;  // pairs of steps and gradient differences kept
  int max_iterations = 300;
  /// Ends once the value is proven to be within this share of the minimum: ‖gradient‖² ≤ 2 · convexity · tolerance ·
  /// value, for an objective that is strongly convex by `convexity`.
  double tolerance = 1e-3;
  double convexity = 1.0;
};
struct LbfgsResult {
  double value = 0;
  int iterations = 0;
  bool converged = false;
};
/// Limited-memory BFGS (Liu and Nocedal, 1989) with a backtracking line search, from x to x. For strongly convex
/// objectives.
LbfgsResult minimise(const SmoothFunction& objective, std::span<double> x, const LbfgsOptions& options);

/// Rows in f64, each less its own mean and then of unit length (a row of zeros stays): what MSN does with features
/// before its logistic regression.
[[nodiscard]] Tensor centred_rows(const Tensor& features);

struct LogisticOptions {
  double lambda = 0;  // of the mean loss
  int max_iterations = 300;
  double tolerance = 1e-3;
};
struct LogisticFit {
  Tensor weights;  // f64 [classes, D]
  LbfgsResult search;
};
/// Multinomial logistic regression without intercept: the W that minimises mean CE(x Wᵀ, labels) + lambda / 2 ‖W‖²,
/// from zero. x f64 [n, D], labels [n].
[[nodiscard]] LogisticFit fit_logistic(const Tensor& x, std::span<const int32_t> labels, int64_t classes,
                                       const LogisticOptions& options);

}  // namespace tessera::rils
