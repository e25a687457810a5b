#pragma once

#include "autograd/variable.h"
#include "engine/ops/matmul.h"

namespace tessera::autograd {

/// alpha · a b, or alpha · a bᵀ; 2D or batched 3D operands of one type, f32 (f64) result.
[[nodiscard]] Var matmul(const Var& a, const Var& b, double alpha = 1.0);
[[nodiscard]] Var matmul_transposed(const Var& a, const Var& b, double alpha = 1.0);

}  // namespace tessera::autograd
