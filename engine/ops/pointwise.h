#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// Scalar functions. functors.h has each one and its slope.
enum class Unary : uint8_t {
  exp,
  gelu_erf,    // x Φ(x), the exact form
  quick_gelu,  // x σ(1.702 x), CLIP's
  relu,
};
/// z = alpha · f(a, b): add a + b, sub a − b, mul a · b.
enum class Binary : uint8_t { add, sub, mul };

/// y = f(x). f32, bf16 (computed in f32), f64; any strides; equal shapes and dtypes.
struct UnaryArgs {
  Unary op;
  View x, y;
};
/// dx (+)= dy · f'(x).
struct UnaryGradArgs {
  Unary op;
  View x, dy, dx;
  GradMode mode;
};
/// z (+)= alpha · f(a, b). Shapes equal; b may also have one element (a scalar for all). dtypes of a and b may differ
/// among f32 and bf16; computed in f32, or all f64.
struct BinaryArgs {
  Binary op;
  View a, b, z;
  double alpha;
  GradMode mode;
};
/// y = alpha · x + beta · y, in place. An operand whose factor is 0 is not read, so that NaN there does not spread.
/// Contiguous, equal dtypes (f32 or f64).
struct AxpbyArgs {
  View x, y;
  double alpha, beta;
};
/// y = min(max(y, low), high), in place; NaN stays. Contiguous, f32 or f64; the bounds are rounded to y's type.
struct ClampArgs {
  View y;
  double low, high;
};

struct PointwiseKernels {
  Kernel<UnaryArgs> unary;
  Kernel<UnaryGradArgs> unary_grad;
  Kernel<BinaryArgs> binary;
  Kernel<AxpbyArgs> axpby;
  Kernel<ClampArgs> clamp;
};

[[nodiscard]] Tensor unary(Unary op, const Tensor& x);
void unary_grad(Unary op, const Tensor& x, const Tensor& dy, const GradOut& dx);
/// The result has a's dtype.
[[nodiscard]] Tensor binary(Binary op, const Tensor& a, const Tensor& b, double alpha = 1.0);
void binary_into(Binary op, const Tensor& a, const Tensor& b, double alpha, const GradOut& z);
/// alpha · x.
[[nodiscard]] Tensor scale(const Tensor& x, double alpha);
void axpby(double alpha, const Tensor& x, double beta, const Tensor& y);
/// Moves every element of y into [low, high].
void clamp(const Tensor& y, double low, double high);

}  // namespace tessera
