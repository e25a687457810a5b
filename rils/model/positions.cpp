#include "rils/model/positions.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/ops/copy.h"

namespace tessera::rils {

Tensor position_table(const Grid& grid, int64_t width, DType dtype) {
  if (width % 4 != 0) throw ConfigError(fmt::format("position table: width {}, expected a multiple of 4", width));
  const int64_t n = width / 4;
  Tensor table = Tensor::zeros({1, 1 + grid.patches(), width}, DType::f64);
  double* out = table.data<double>().data() + width;
  for (int64_t token = 0; token < grid.patches(); ++token, out += width) {
    const auto column = static_cast<double>(token % grid.columns);
    const auto row = static_cast<double>(token / grid.columns);
    for (int64_t k = 0; k < n; ++k) {
      const double omega = std::pow(10000.0, -static_cast<double>(k) / static_cast<double>(n));
      out[k] = std::sin(column * omega);
      out[n + k] = std::cos(column * omega);
      out[2 * n + k] = std::sin(row * omega);
      out[3 * n + k] = std::cos(row * omega);
    }
  }
  return cast(cast(table, DType::f32), dtype);
}

Grid grid_of(const Tensor& table) {
  const int64_t patches = table.rank() == 3 ? table.size(1) - 1 : 0;
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(patches))));
  if (side < 1 || side * side != patches || table.size(0) != 1) {
    throw ShapeError(fmt::format("positions: expected [1, 1 + grid², width], found {}", to_string(table.shape())));
  }
  return {side, side};
}

bool is_sine_cosine(const Tensor& table) {
  if (table.size(2) % 4 != 0) return false;
  const Tensor built = position_table(grid_of(table), table.size(2), DType::f32);
  const auto a = table.data<float>();
  const auto b = built.data<float>();
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= 1e-6f)) return false;
  }
  return true;
}

}  // namespace tessera::rils
