#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "engine/ops/copy.h"

namespace tessera::test {
namespace {

struct Extremes {
  double difference = 0;
  double magnitude = 0;
};

Extremes compare(const Tensor& found, const Tensor& expected) {
  if (found.shape() != expected.shape()) {
    throw ShapeError("golden: found " + describe(found) + ", expected " + describe(expected));
  }
  const Tensor a = cast(found, DType::f64);
  const Tensor b = cast(expected, DType::f64);
  Extremes e;
  for (size_t i = 0; i < a.data<double>().size(); ++i) {
    const double x = a.data<double>()[i];
    const double y = b.data<double>()[i];
    // max() would ignore a NaN.
    e.difference =
        std::isnan(x - y) ? std::numeric_limits<double>::infinity() : std::max(e.difference, std::abs(x - y));
    e.magnitude = std::max(e.magnitude, std::abs(y));
  }
  return e;
}

}  // namespace

double relative_error(const Tensor& found, const Tensor& expected) {
  const Extremes e = compare(found, expected);
  return e.difference == 0 ? 0.0 : e.difference / e.magnitude;
}

double absolute_error(const Tensor& found, const Tensor& expected) { return compare(found, expected).difference; }

}  // namespace tessera::test
