#pragma once

#include "autograd/variable.h"
#include "engine/ops/reduce.h"

namespace tessera::autograd {

/// alpha · Σ x, a scalar; f32 for f32 and bf16.
[[nodiscard]] Var sum(const Var& x, double alpha = 1.0);
/// Mean over the rows of each segment from its row `skip` on; see engine/ops/reduce.h.
[[nodiscard]] Var segment_mean(const Var& x, const SegmentTable& segments, int64_t skip = 0);

}  // namespace tessera::autograd
