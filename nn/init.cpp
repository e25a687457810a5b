#include "nn/init.h"

#include <cmath>

#include "engine/core/philox.h"
#include "engine/cpu/host.h"
#include "engine/ops/copy.h"

namespace tessera::nn {
namespace {

constexpr int64_t kGrain = 16384;  // elements: about half a millisecond of drawing

template <class T>
void fill_random(std::span<T> values, Init init, const Philox& random) {
  cpu::parallel_for(cpu_context(), static_cast<int64_t>(values.size()), kGrain, [&](int64_t begin, int64_t end, int) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const double x = init.kind == Init::Kind::normal
                           ? random.normal(0, 0, i)
                           : 2.0 * (static_cast<double>(random.bits(0, 0, i)) + 0.5) * 0x1p-32 - 1.0;
      values[i] = static_cast<T>(init.value * x);
    }
  });
}

}  // namespace

Init xavier_uniform(int64_t fan_in, int64_t fan_out) {
  return uniform(std::sqrt(6.0 / static_cast<double>(fan_in + fan_out)));
}

Init fan_in_uniform(int64_t fan_in) { return uniform(1.0 / std::sqrt(static_cast<double>(fan_in))); }

void initialise(const Tensor& tensor, Init init, uint64_t seed, std::string_view name) {
  if (init.kind == Init::Kind::constant) {
    fill(tensor, init.value);
    return;
  }
  const Philox random(seed, name);
  const bool here = tensor.device() == Device::cpu();
  const Tensor host = here ? tensor : Tensor::empty(tensor.shape(), tensor.dtype());
  if (host.dtype() == DType::f64) {
    fill_random(host.data<double>(), init, random);
  } else {
    fill_random(host.data<float>(), init, random);
  }
  if (!here) copy_into(host, tensor);
}

}  // namespace tessera::nn
