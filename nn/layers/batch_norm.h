#pragma once

#include <string>

#include "nn/layers/linear.h"

namespace tessera::nn {

/// Batch norm over rows, as PyTorch's BatchNorm1d: `PREFIX.weight` and `PREFIX.bias` [width], initially one and zero,
/// and the kept moments `PREFIX.running_mean`, `PREFIX.running_var` [width] and `PREFIX.num_batches_tracked` [], which
/// checkpoints hold.
class BatchNorm {
 public:
  BatchNorm() = default;
  BatchNorm(ParameterStore& store, const std::string& prefix, int64_t width, DType dtype);

  /// By the moments of x [R, width], R ≥ 2. The kept moments stay as they are.
  [[nodiscard]] autograd::BatchNorm operator()(const Var& x, DType out_dtype) const;
  /// Moves the kept moments towards those of a batch of `rows` rows, by PyTorch's momentum of 0.1.
  void keep(const ColumnMoments& batch, int64_t rows) const;
  /// By the kept moments.
  [[nodiscard]] Var by_kept_moments(const Var& x, DType out_dtype) const;

 private:
  Parameter* weight_ = nullptr;
  Parameter* bias_ = nullptr;
  ColumnMoments kept_;
  Tensor batches_;  // i64 []
};

}  // namespace tessera::nn
