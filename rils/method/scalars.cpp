#include "rils/method/scalars.h"

#include "engine/ops/copy.h"

namespace tessera::rils {

std::vector<double> values_of(std::span<const Tensor> scalars) {
  if (scalars.empty()) return {};
  // f64 holds every value of the other types.
  const Tensor all = Tensor::empty({std::ssize(scalars)}, DType::f64, scalars.front().device());
  for (int64_t i = 0; const Tensor& scalar : scalars) copy_into(scalar.reshape({1}), all.slice(0, i++, 1));
  const Tensor host = all.to(Device::cpu());
  const auto values = host.data<double>();
  return {values.begin(), values.end()};
}

}  // namespace tessera::rils
