#pragma once

#include <functional>
#include <vector>

#include "engine/ops/optimizer.h"
#include "nn/parameter_store.h"

namespace tessera::nn {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.98;
  double eps = 1e-8;
  double weight_decay = 0.2;
};

/// Settings of an entry: learning-rate scale, weight decay, and whether it is frozen.
struct Group {
  double lr_scale = 1.0;
  double weight_decay = 0.0;
  bool frozen = false;
};
using GroupRule = std::function<Group(const Entry&)>;

/// SLIP's rule: no decay below two dimensions or where the name contains "bias", "ln" or "bn".
[[nodiscard]] GroupRule slip_decay(double weight_decay);

/// The store's entries as ranges of the arena. Neighbours with the same settings are merged.
[[nodiscard]] std::vector<ParameterRange> ranges_of(const ParameterStore& store, const GroupRule& rule);

/// AdamW over the store's arenas, in one kernel, with decoupled decay. Moments are flat tensors of the arenas' layout.
class AdamW {
 public:
  AdamW(ParameterStore& store, const AdamWOptions& options, const GroupRule& rule);

  /// The global gradient norm √Σ g² of the trained ranges.
  [[nodiscard]] double grad_norm() const;
  /// Makes one step with the store's gradients times `gradient_scale`.
  void step(double lr, double gradient_scale = 1.0);

  /// The number of steps so far, which is the exponent of the bias corrections.
  [[nodiscard]] int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  [[nodiscard]] const Tensor& first_moments() const { return m_; }
  [[nodiscard]] const Tensor& second_moments() const { return v_; }

 private:
  ParameterStore& store_;
  AdamWOptions options_;
  std::vector<ParameterRange> ranges_;
  Tensor m_, v_;
  int64_t steps_ = 0;
};

/// The factor that reduces a gradient of this norm to max_norm: PyTorch's max_norm / (norm + 1e-6), at most 1. With
/// max_norm 0 (no clipping) it is 1.
[[nodiscard]] double clip_coefficient(double norm, double max_norm);

/// Exponential moving average of a store's values: average = decay · average + (1 − decay) · value.
class Ema {
 public:
  Ema(const ParameterStore& store, double decay);
  void update();
  [[nodiscard]] Tensor& values() { return values_; }

 private:
  const ParameterStore& store_;
  double decay_;
  Tensor values_;
};

}  // namespace tessera::nn
