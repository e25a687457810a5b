#pragma once

#include <vector>

#include "tests/support/op_case.h"

namespace tessera::test {

/// Rows of the batch in three samples, one of them empty, and the f64 scales of their rows.
[[nodiscard]] SegmentTable samples(int64_t rows);
[[nodiscard]] Tensor sample_scales();
/// The gradients of linear layers and of the MLP that is made of two.
[[nodiscard]] std::vector<Gradient> linear_gradients();

}  // namespace tessera::test
