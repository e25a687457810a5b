#pragma once

#include "engine/tensor/tensor.h"
#include "rils/config/config.h"

namespace tessera::rils {

/// The patches of a picture, rows from top to bottom and columns from left to right.
struct Grid {
  int64_t rows = 0, columns = 0;
  [[nodiscard]] int64_t patches() const { return rows * columns; }
  bool operator==(const Grid&) const = default;
};
/// The grid of an encoder's square images.
[[nodiscard]] inline Grid grid_of(const VisionConfig& vision) {
  const int64_t side = vision.image_size / vision.patch_size;
  return {side, side};
}

/// The frozen sine-cosine table [1, 1 + P, width] of the published model: row 0, for the CLS token, is zero; the token
/// at (row r, column c) holds sin(c ω), cos(c ω), sin(r ω), cos(r ω) with ω_k = 10000^(−k/n), n = width / 4. The column
/// comes first. Made on the host, computed in f64 and rounded to f32, as published. Throws ConfigError unless 4 divides
/// the width.
[[nodiscard]] Tensor position_table(const Grid& grid, int64_t width, DType dtype);

/// The square grid of a table [1, 1 + G², D]. Throws ShapeError if the number of rows is not a square plus one.
[[nodiscard]] Grid grid_of(const Tensor& table);
/// Whether an f32 table [1, 1 + G², D] is the sine-cosine one, to 10⁻⁶.
[[nodiscard]] bool is_sine_cosine(const Tensor& table);

}  // namespace tessera::rils
