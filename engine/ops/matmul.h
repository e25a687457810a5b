#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// c (+)= alpha · a b for a [M,K], b [K,N], c [M,N], or batches [B,M,K], [B,K,N], [B,M,N]. Any strides (so transposed
/// views are free); f32, bf16 operands with f32 c, or f64. f32 accumulation, no reduction split across threads.
struct MatmulArgs {
  View a, b, c;
  double alpha;
  GradMode mode;
};
struct MatmulKernels {
  Kernel<MatmulArgs> matmul;
};

/// A new contiguous tensor; f32 for f32 and bf16, f64 for f64.
[[nodiscard]] Tensor matmul(const Tensor& a, const Tensor& b, double alpha = 1.0);
void matmul_into(const Tensor& a, const Tensor& b, double alpha, const GradOut& c);

}  // namespace tessera
