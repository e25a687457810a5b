#pragma once

#include <span>

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// A range of the arena, in elements, whose parameters have the same settings. Frozen ranges are not changed.
struct ParameterRange {
  int64_t offset = 0;
  int64_t count = 0;
  float lr_scale = 1.0f;
  float weight_decay = 0.0f;
  bool frozen = false;
};

/// The values that change from step to step.
struct StepState {
  double lr = 0;
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-8;
  double bias_correction1 = 1, bias_correction2 = 1;  // 1 − βᵢᵗ
  double gradient_scale = 1;                          // the clip coefficient
};

/// Decoupled AdamW (Loshchilov and Hutter) in PyTorch's order: w −= lr·wd·w; m, v updated with g·gradient_scale;
/// w −= lr · (m / c₁) / (√(v / c₂) + eps), lr and wd from the range. Arenas are flat, contiguous, f32 (or all f64).
struct AdamWArgs {
  View value, grad, m, v;
  std::span<const ParameterRange> ranges;
  const StepState* state;
};
/// LARS (You et al.) as MAE's linear probe uses it, with g = grad·gradient_scale, lr and wd from the range. Where
/// adapt[i] is set: g += wd·w, and g ·= trust·‖w‖/‖g‖ when both norms are positive. Then for every range u = μ u + g
/// and w −= lr·u.
struct LarsArgs {
  View value, grad, momentum;
  std::span<const ParameterRange> ranges;
  std::span<const uint8_t> adapt;
  const StepState* state;
  double mu, trust;
};
/// out [] f64 = √Σ x² over the ranges that are not frozen, summed in f64 in a fixed tree.
struct Norm2Args {
  View x;
  std::span<const ParameterRange> ranges;
  View out;
};

struct OptimizerKernels {
  Kernel<AdamWArgs> adamw;
  Kernel<LarsArgs> lars;
  Kernel<Norm2Args> norm2;
};

void adamw(const Tensor& value, const Tensor& grad, const Tensor& m, const Tensor& v,
           std::span<const ParameterRange> ranges, const StepState& state);
void lars(const Tensor& value, const Tensor& grad, const Tensor& momentum, std::span<const ParameterRange> ranges,
          std::span<const uint8_t> adapt, const StepState& state, double mu, double trust);
[[nodiscard]] double norm2(const Tensor& x, std::span<const ParameterRange> ranges);

}  // namespace tessera
