#pragma once

#include <string>

#include "nn/layers/linear.h"

namespace tessera::nn {

/// Batch norm over rows, like PyTorch's BatchNorm1d. Its parameters are `PREFIX.weight` and `PREFIX.bias` [width],
/// initially one and zero. Its running buffers are `PREFIX.running_mean`, `PREFIX.running_var` [width] and
/// `PREFIX.num_batches_tracked` [].
class BatchNorm {
 public:
  BatchNorm() = default;
  BatchNorm(ParameterStore& store, const std::string& prefix, int64_t width, DType dtype);

  /// Normalises x [R, width], R ≥ 2, by its own moments. The running moments do not change.
  [[nodiscard]] autograd::BatchNorm operator()(const Var& x, DType out_dtype) const;
  /// Moves the running moments towards those of a batch of `rows` rows, with PyTorch's momentum of 0.1.
  void keep(const ColumnMoments& batch, int64_t rows) const;
  /// Normalises x by the running moments.
  [[nodiscard]] Var by_kept_moments(const Var& x, DType out_dtype) const;

 private:
  Parameter* weight_ = nullptr;
  Parameter* bias_ = nullptr;
  ColumnMoments kept_;
  Tensor batches_;  // i64 [], on the host: nothing computes with it
};

}  // namespace tessera::nn
