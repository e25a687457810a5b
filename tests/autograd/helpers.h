#pragma once

#include <string>
#include <vector>

#include "autograd/parameter.h"
#include "autograd/variable.h"
#include "engine/core/philox.h"

namespace tessera::autograd {

[[nodiscard]] inline Tensor tensor(const std::vector<float>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

[[nodiscard]] inline Parameter parameter(const char* name, const std::vector<float>& values) {
  return {name, tensor(values)};
}

[[nodiscard]] inline Tensor random_tensor(const Shape& shape, const char* purpose) {
  Tensor t = Tensor::empty(shape);
  const Philox random(1, purpose);
  uint64_t i = 0;
  for (float& x : t.data<float>()) x = static_cast<float>(random.normal(0, 0, i++));
  return t;
}

[[nodiscard]] inline std::vector<float> floats(const Tensor& t) {
  return {t.data<float>().begin(), t.data<float>().end()};
}

}  // namespace tessera::autograd
