#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "nn/parameter_store.h"

namespace tessera::test {

/// What a step does to one entry of a store.
struct EntryRule {
  double lr_scale = 1.0;
  double weight_decay = 0.0;
};

/// AdamW with decoupled decay, written out in f64: Loshchilov and Hutter's formulas in PyTorch's form.
class ReferenceAdamW {
 public:
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double clip = 0;  // largest norm of all gradients; 0: none
  std::function<EntryRule(const nn::Entry&)> rule;

  /// Every entry's weights after one step from `before` by the gradients in the store.
  std::vector<std::vector<double>> step(const nn::ParameterStore& store, const Tensor& before, double lr) {
    const auto old = before.data<float>();
    double square = 0;
    for (const nn::Entry& entry : store.entries()) {
      for (const float g : entry.grad().data<float>()) square += static_cast<double>(g) * static_cast<double>(g);
    }
    norm = std::sqrt(square);
    const double factor = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
    ++steps_;
    m_.resize(old.size());
    v_.resize(old.size());
    std::vector<std::vector<double>> after;
    for (const nn::Entry& entry : store.entries()) {
      const EntryRule group = rule(entry);
      const double rate = lr * group.lr_scale;
      const Tensor gradient = entry.grad();
      std::vector<double>& values = after.emplace_back();
      for (int64_t i = 0; i < entry.count(); ++i) {
        const auto at = static_cast<size_t>(entry.offset + i);
        const double g = factor * static_cast<double>(gradient.data<float>()[static_cast<size_t>(i)]);
        m_[at] = beta1 * m_[at] + (1 - beta1) * g;
        v_[at] = beta2 * v_[at] + (1 - beta2) * g * g;
        const double m = m_[at] / (1 - std::pow(beta1, steps_)), v = v_[at] / (1 - std::pow(beta2, steps_));
        const auto w = static_cast<double>(old[at]);
        values.push_back(w - rate * group.weight_decay * w - rate * m / (std::sqrt(v) + eps));
      }
    }
    return after;
  }
  double norm = 0;  // of the last step's gradients, before clipping

 private:
  double steps_ = 0;
  std::vector<double> m_, v_;
};

/// The largest difference between a store's entries and such weights.
[[nodiscard]] inline double largest_difference(const nn::ParameterStore& store,
                                               const std::vector<std::vector<double>>& expected) {
  double largest = 0;
  for (size_t e = 0; e < expected.size(); ++e) {
    const Tensor value = store.entries()[e].value();
    for (size_t i = 0; i < expected[e].size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(value.data<float>()[i]) - expected[e][i]));
    }
  }
  return largest;
}

}  // namespace tessera::test
