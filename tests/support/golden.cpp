#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "engine/core/error.h"
#include "engine/ops/copy.h"
#include "engine/runtime/context.h"

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
  const Tensor a = cast(found.to(Device::cpu()), DType::f64);
  const Tensor b = cast(expected.to(Device::cpu()), DType::f64);
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

std::string golden_path(const std::string& name) {
  const char* elsewhere = std::getenv("TESSERA_GOLDEN");
  return (elsewhere != nullptr ? std::string(elsewhere) : TESSERA_SOURCE_DIR "/tests/golden") + "/" + name;
}

Device golden_device() {
  const char* word = std::getenv("TESSERA_TEST_DEVICE");
  std::string note;
  return word == nullptr ? Device::cpu() : choose_device(word, note);
}

double relative_error(const Tensor& found, const Tensor& expected) {
  const Extremes e = compare(found, expected);
  return e.difference == 0 ? 0.0 : e.difference / e.magnitude;
}

double absolute_error(const Tensor& found, const Tensor& expected) { return compare(found, expected).difference; }

}  // namespace tessera::test
