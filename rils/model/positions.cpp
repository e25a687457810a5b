#include "rils/model/positions.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/ops/copy.h"

namespace tessera::rils {

Tensor position_table(int64_t grid, int64_t width, DType dtype) {
  if (width % 4 != 0) throw ConfigError(fmt::format("position table: width {}, expected a multiple of 4", width));
  const int64_t n = width / 4;
  Tensor table = Tensor::zeros({1, 1 + grid * grid, width}, DType::f64);
  double* out = table.data<double>().data() + width;
  for (int64_t token = 0; token < grid * grid; ++token, out += width) {
    const auto column = static_cast<double>(token % grid);
    const auto row = static_cast<double>(token / grid);
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

}  // namespace tessera::rils
