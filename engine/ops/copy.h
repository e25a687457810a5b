#pragma once

#include <span>

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// y = x converted to y's dtype (to nearest, ties to even). Any strides, rank ≤ 6, equal shapes. mode accumulate: y +=
/// x. dtypes: any floating pair; integers to the same type or to a floating one.
struct CopyArgs {
  View x, y;
  GradMode mode;
};
/// Sets every element of y to value. Any strides.
struct FillArgs {
  View y;
  double value;
};
/// y[i, i] += value for i < min(R, C); y [R, C] is floating, with any strides. The value is rounded to y's type (bf16:
/// to f32) before the sum is.
struct AddDiagonalArgs {
  View y;
  double value;
};

struct CopyKernels {
  Kernel<CopyArgs> copy;
  Kernel<FillArgs> fill;
  Kernel<AddDiagonalArgs> add_diagonal;
};

/// A contiguous copy in `dtype`.
[[nodiscard]] Tensor cast(const Tensor& x, DType dtype);
/// Returns x itself when it is contiguous, else a contiguous copy.
[[nodiscard]] Tensor contiguous(const Tensor& x);
[[nodiscard]] Tensor clone(const Tensor& x);
/// Copies x into y and converts its type. Throws ShapeError when shapes differ. Between devices the type is converted
/// where x lies.
void copy_into(const Tensor& x, const Tensor& y, GradMode mode = GradMode::overwrite);
void fill(const Tensor& y, double value);
/// A contiguous tensor whose elements are all `value`.
[[nodiscard]] Tensor filled(const Shape& shape, double value, DType dtype, Device device);
/// Adds value to the diagonal of y [R, C].
void add_diagonal(const Tensor& y, double value);
/// The rows of tensors [r, D] of one dtype, below each other: [Σ r, D]. Absent without tensors.
[[nodiscard]] Tensor concatenate_rows(std::span<const Tensor> parts);

}  // namespace tessera
