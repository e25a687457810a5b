#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// y [] (+)= alpha · Σ x, or alpha · Σ x·w where w is given. x and w are contiguous. Sums use a fixed tree: partial
/// sums of 4,096 elements (for columns, of 256 rows) are added pairwise, in f32 for f32 and bf16 inputs and in f64 for
/// f64.
struct SumArgs {
  View x, w{}, y;
  double alpha;
  GradMode mode;
};
/// y [segments, D] = mean over the rows of each segment of x [rows, D] from its row `skip` on; a segment without such
/// rows gives zeros.
struct SegmentMeanArgs {
  View x;
  Segments segments;
  int64_t skip;
  View y;
};
/// dx [rows, D] (+)= dy[segment] / count for rows from `skip` on, 0 for those before.
struct SegmentMeanGradArgs {
  View dy;
  Segments segments;
  int64_t skip;
  View dx;
  GradMode mode;
};

struct ReduceKernels {
  Kernel<SumArgs> sum;
  Kernel<SegmentMeanArgs> segment_mean;
  Kernel<SegmentMeanGradArgs> segment_mean_grad;
};

/// alpha · Σ x as a scalar tensor, f32 (f64 for f64).
[[nodiscard]] Tensor sum(const Tensor& x, double alpha = 1.0);
/// alpha · Σ x·w over all elements.
[[nodiscard]] Tensor dot(const Tensor& x, const Tensor& w, double alpha = 1.0);
void sum_into(const Tensor& x, const Tensor& w, double alpha, const GradOut& y);
/// [segments, D]; dtype as x.
[[nodiscard]] Tensor segment_mean(const Tensor& x, const SegmentTable& segments, int64_t skip = 0);
void segment_mean_grad(const Tensor& dy, const SegmentTable& segments, int64_t skip, const GradOut& dx);

}  // namespace tessera
