#pragma once

#include "autograd/variable.h"
#include "engine/ops/norm.h"

namespace tessera::autograd {

/// Layer norm over the last extent of x [rows, D]; see engine/ops/norm.h. The result has `out_dtype`.
[[nodiscard]] Var layer_norm(const Var& x, const Var& gamma, const Var& beta, double eps, DType out_dtype);
/// Rows divided by max(‖row‖₂, 1e-12).
[[nodiscard]] Var l2_normalize(const Var& x);

}  // namespace tessera::autograd
