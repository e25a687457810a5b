#include <cmath>

#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

/// Calls body(range's number, element of the arena) for the elements that are not frozen.
template <class Body>
void for_each_element(std::span<const ParameterRange> ranges, const Body& body) {
  for (size_t s = 0; s < ranges.size(); ++s) {
    if (ranges[s].frozen) continue;
    for (int64_t i = ranges[s].offset; i < ranges[s].offset + ranges[s].count; ++i) body(s, i);
  }
}

void adamw(Context&, const AdamWArgs& a) {
  const StepState& t = *a.state;
  Array w(a.value);
  const Array grad(a.grad);
  Array m(a.m);
  Array v(a.v);
  for_each_element(a.ranges, [&](size_t s, int64_t i) {
    const double lr = t.lr * static_cast<double>(a.ranges[s].lr_scale);
    const double g = grad(i) * t.gradient_scale;
    w(i) -= lr * static_cast<double>(a.ranges[s].weight_decay) * w(i);
    m(i) = t.beta1 * m(i) + (1 - t.beta1) * g;
    v(i) = t.beta2 * v(i) + (1 - t.beta2) * g * g;
    w(i) -= lr * (m(i) / t.bias_correction1) / (std::sqrt(v(i) / t.bias_correction2) + t.eps);
  });
  write(w, a.value);
  write(m, a.m);
  write(v, a.v);
}

/// u = μ u + g; w −= lr · u.
void momentum_step(const StepState& t, const ParameterRange& range, double mu, double g, double& u, double& w) {
  u = mu * u + g;
  w -= t.lr * static_cast<double>(range.lr_scale) * u;
}

void lars(Context&, const LarsArgs& a) {
  Array w(a.value);
  Array g(a.grad);
  Array u(a.momentum);
  std::vector<double> value_squares(a.ranges.size());
  std::vector<double> grad_squares(a.ranges.size());
  for_each_element(a.ranges, [&](size_t s, int64_t i) {
    g(i) *= a.state->gradient_scale;
    if (a.adapt[s] != 0) g(i) += static_cast<double>(a.ranges[s].weight_decay) * w(i);
    value_squares[s] += w(i) * w(i);
    grad_squares[s] += g(i) * g(i);
  });
  for_each_element(a.ranges, [&](size_t s, int64_t i) {
    const bool scaled = a.adapt[s] != 0 && value_squares[s] > 0 && grad_squares[s] > 0;
    const double factor = scaled ? a.trust * std::sqrt(value_squares[s]) / std::sqrt(grad_squares[s]) : 1;
    momentum_step(*a.state, a.ranges[s], a.mu, factor * g(i), u(i), w(i));
  });
  write(w, a.value);
  write(u, a.momentum);
}

void norm2(Context&, const Norm2Args& a) {
  const Array x(a.x);
  Array out(Shape{});
  for_each_element(a.ranges, [&](size_t, int64_t i) { out() += x(i) * x(i); });
  out() = std::sqrt(out());
  write(out, a.out);
}

}  // namespace

const OptimizerKernels kOptimizer{.adamw = adamw, .lars = lars, .norm2 = norm2};

}  // namespace tessera::test::reference
