#pragma once

#include "autograd/variable.h"
#include "engine/ops/linear.h"

namespace tessera::autograd {

/// Rows [begin, begin + count) of a weight and its bias: a part of a fused projection. count −1: all.
struct RowRange {
  int64_t begin = 0;
  int64_t count = -1;
};

/// Optional parts of a linear layer.
struct LinearInputs {
  Var bias{};               // [N]
  Var residual{};           // [M, N]
  Tensor row_scale{};       // [segments], constant: drop path
  SegmentTable segments{};  // of row_scale
  DType out_dtype = DType::f32;
  RowRange rows{};  // of w and bias
};

/// y [M,N] = residual + row_scale · (x Wᵀ + b), W [N,K]. x's dtype is the compute type; see engine/ops/linear.h.
[[nodiscard]] Var linear(const Var& x, const Var& w, const LinearInputs& inputs = {});

/// A perceptron with one hidden layer as one node: y = residual + row_scale · (act(x W₁ᵀ + b₁) W₂ᵀ + b₂).
/// Of the hidden layer it keeps only the values before the activation.
struct MlpInputs {
  Var w1, b1, w2, b2;
  Act act = Act::gelu_erf;
  Var residual{};
  Tensor row_scale{};
  SegmentTable segments{};
  DType out_dtype = DType::f32;
};
[[nodiscard]] Var mlp(const Var& x, const MlpInputs& inputs);

}  // namespace tessera::autograd
