#pragma once

#include "autograd/variable.h"
#include "engine/ops/norm.h"

namespace tessera::autograd {

/// Layer norm over the last extent of x [rows, D]; see engine/ops/norm.h. The result has `out_dtype`.
[[nodiscard]] Var layer_norm(const Var& x, const Var& gamma, const Var& beta, double eps, DType out_dtype);
/// Rows divided by max(‖row‖₂, 1e-12).
[[nodiscard]] Var l2_normalize(const Var& x);

struct BatchNorm {
  Var y;
  ColumnMoments moments;  // mean and biased variance [C] of the batch; constants
};
/// Batch norm of x [R, C], R ≥ 2, by its own moments; see engine/ops/norm.h. gamma and beta [C] may be absent. The
/// result has `out_dtype`. The caller updates running moments (update_moments).
[[nodiscard]] BatchNorm batch_norm(const Var& x, const Var& gamma, const Var& beta, double eps, DType out_dtype);
/// Batch norm with running moments, which are constants.
[[nodiscard]] Var batch_norm_by(const Var& x, const ColumnMoments& kept, const Var& gamma, const Var& beta, double eps,
                                DType out_dtype);

}  // namespace tessera::autograd
