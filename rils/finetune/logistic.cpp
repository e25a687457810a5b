#include "rils/finetune/logistic.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <vector>

#include "engine/ops/copy.h"
#include "engine/ops/loss.h"
#include "engine/ops/matmul.h"
#include "engine/ops/reduce.h"

namespace tessera::rils {
namespace {

using Vector = std::vector<double>;

double inner(std::span<const double> a, std::span<const double> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// a += scale · b.
void add_scaled(std::span<double> a, double scale, std::span<const double> b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += scale * b[i];
}

/// An estimate of the curvature from the steps s and gradient differences y of the last iterations.
class Curvature {
 public:
  explicit Curvature(int history) : history_(static_cast<size_t>(history)) {}

  void add(Vector s, Vector y) {
    const double along = inner(s, y);
    if (!(along > 0)) return;  // only rounding is left at the minimum
    if (pairs_.size() == history_) pairs_.pop_front();
    pairs_.push_back({std::move(s), std::move(y), 1.0 / along});
  }

  /// −H g by the two-loop recursion. The first step has unit length.
  [[nodiscard]] Vector direction(const Vector& gradient) const {
    Vector d = gradient;
    std::vector<double> alpha(pairs_.size());
    for (size_t i = pairs_.size(); i-- > 0;) {
      alpha[i] = pairs_[i].rho * inner(pairs_[i].s, d);
      add_scaled(d, -alpha[i], pairs_[i].y);
    }
    const double scale = pairs_.empty() ? 1.0 / std::sqrt(inner(gradient, gradient))
                                        : 1.0 / (pairs_.back().rho * inner(pairs_.back().y, pairs_.back().y));
    for (double& x : d) x *= scale;
    for (size_t i = 0; i < pairs_.size(); ++i) {
      add_scaled(d, alpha[i] - pairs_[i].rho * inner(pairs_[i].y, d), pairs_[i].s);
    }
    for (double& x : d) x = -x;
    return d;
  }

 private:
  struct Pair {
    Vector s, y;
    double rho;
  };
  size_t history_;
  std::deque<Pair> pairs_;
};

}  // namespace

LbfgsResult minimise(const SmoothFunction& objective, std::span<double> x, const LbfgsOptions& options) {
  constexpr double kDecrease = 1e-4;  // fraction of the decrease that the slope predicts (Armijo)
  constexpr int kHalvings = 40;
  Vector gradient(x.size()), next(x.size()), next_gradient(x.size());
  Curvature curvature(options.history);
  LbfgsResult result;
  result.value = objective(x, gradient);
  const auto small = [&] {
    return inner(gradient, gradient) <= 2.0 * options.convexity * options.tolerance * result.value;
  };
  while (!(result.converged = small()) && result.iterations < options.max_iterations) {
    const Vector d = curvature.direction(gradient);
    const double slope = inner(gradient, d);
    double step = 1.0, value = 0;
    int halvings = 0;
    for (; halvings < kHalvings; ++halvings, step /= 2) {
      std::ranges::copy(x, next.begin());
      add_scaled(next, step, d);
      value = objective(next, next_gradient);
      if (value <= result.value + kDecrease * step * slope) break;
    }
    if (halvings == kHalvings) break;  // f64 cannot resolve a further decrease
    Vector s = next, y = next_gradient;
    add_scaled(s, -1.0, x);
    add_scaled(y, -1.0, gradient);
    curvature.add(std::move(s), std::move(y));
    std::ranges::copy(next, x.begin());
    gradient.swap(next_gradient);
    result.value = value;
    ++result.iterations;
    if (options.after) options.after(result.iterations);
  }
  return result;
}

Tensor centred_rows(const Tensor& features) {
  Tensor rows = clone(cast(features, DType::f64));
  const auto width = static_cast<size_t>(features.size(1));
  for (int64_t r = 0; r < features.size(0); ++r) {
    const auto row = rows.data<double>().subspan(static_cast<size_t>(r) * width, width);
    const double mean = std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(width);
    for (double& v : row) v -= mean;
    const double length = std::sqrt(inner(row, row));
    for (double& v : row) v /= length > 0 ? length : 1.0;
  }
  return rows;
}

LogisticFit fit_logistic(const Tensor& x, std::span<const int32_t> labels, int64_t classes,
                         const LogisticOptions& options) {
  const int64_t n = x.size(0);
  const Tensor own = Tensor::from(labels, {n});
  const Tensor logits_grad = Tensor::empty({n, classes}, DType::f64);
  const Tensor one = Tensor::full({}, 1.0, DType::f64);
  LogisticFit fit;
  fit.weights = Tensor::zeros({classes, x.size(1)}, DType::f64);
  const Tensor w = Tensor::empty(fit.weights.shape(), DType::f64);
  const Tensor dw = Tensor::empty(fit.weights.shape(), DType::f64);
  const double mean = 1.0 / static_cast<double>(n);
  const SmoothFunction objective = [&](std::span<const double> at, std::span<double> gradient) {
    std::ranges::copy(at, w.data<double>().begin());
    const Tensor logits = matmul(x, w.transpose(0, 1));
    const CrossEntropyResult r = cross_entropy(logits, own);
    cross_entropy_grad(logits, own, r.lse, one, mean, {logits_grad, GradMode::overwrite});
    matmul_into(logits_grad.transpose(0, 1), x, 1.0, {dw, GradMode::overwrite});
    for (size_t i = 0; i < at.size(); ++i) gradient[i] = dw.data<double>()[i] + options.lambda * at[i];
    return sum(r.loss, mean).item() + 0.5 * options.lambda * inner(at, at);
  };
  fit.search = minimise(objective, fit.weights.data<double>(),
                        {.max_iterations = options.max_iterations,
                         .tolerance = options.tolerance,
                         .convexity = options.lambda,
                         .after = options.after});
  return fit;
}

}  // namespace tessera::rils
