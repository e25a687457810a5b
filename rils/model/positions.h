#pragma once

#include "engine/tensor/tensor.h"

namespace tessera::rils {

/// The frozen sine-cosine table [1, 1 + grid², width] of the published model: row 0, for the CLS token, is zero; the
/// token at (row r, column c) holds sin(c ω), cos(c ω), sin(r ω), cos(r ω) with ω_k = 10000^(−k/n), n = width / 4. The
/// column comes first. Computed in f64 and rounded to f32, as published. Throws ConfigError unless 4 divides the width.
[[nodiscard]] Tensor position_table(int64_t grid, int64_t width, DType dtype);

/// The grid G of a table [1, 1 + G², D]. Throws ShapeError where the rows are no square and one.
[[nodiscard]] int64_t grid_of(const Tensor& table);
/// Whether an f32 table [1, 1 + G², D] is that one, to rounding.
[[nodiscard]] bool is_sine_cosine(const Tensor& table);

}  // namespace tessera::rils
