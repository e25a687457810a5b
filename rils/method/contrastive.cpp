#include "rils/method/contrastive.h"

#include <numeric>

#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"

namespace tessera::rils {

using autograd::Var;

Tensor own_columns(int64_t n, Device device) {
  std::vector<int32_t> labels(static_cast<size_t>(n));
  std::iota(labels.begin(), labels.end(), 0);
  return Tensor::from(labels, {n}, device);
}

std::vector<uint8_t> own_is_best(const Tensor& best) {
  const Tensor host = best.to(Device::cpu());
  std::vector<uint8_t> flags;
  for (int32_t i = 0; const int32_t column : host.data<int32_t>()) flags.push_back(column == i++);
  return flags;
}

double share_of(std::span<const uint8_t> flags) {
  return std::accumulate(flags.begin(), flags.end(), 0.0) / static_cast<double>(flags.size());
}

Contrastive contrastive_loss(const Var& image, const Var& text, const Var& scale, Gather gather) {
  const int64_t n = image.value.size(0);
  const Tensor own = own_columns(n, image.value.device());
  const double half_mean = 0.5 / static_cast<double>(n);

  const auto direction = [&](const Var& queries, const Var& keys) {
    const Var fixed = gather == Gather::constant ? keys.detach() : keys;
    return autograd::cross_entropy(autograd::mul(autograd::matmul_transposed(queries, fixed), scale), own, half_mean);
  };
  const autograd::CrossEntropy from_image = direction(image, text);
  const autograd::CrossEntropy from_text = direction(text, image);

  Contrastive result;
  result.loss = autograd::add(from_image.loss, from_text.loss);
  result.best = from_image.argmax;
  return result;
}

}  // namespace tessera::rils
