#include "rils/method/contrastive.h"

#include <numeric>

#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"

namespace tessera::rils {

using autograd::Var;

Tensor own_columns(int64_t n) {
  std::vector<int32_t> labels(static_cast<size_t>(n));
  std::iota(labels.begin(), labels.end(), 0);
  return Tensor::from(labels, {n});
}

Contrastive contrastive_loss(const Var& image, const Var& text, const Var& scale, Gather gather) {
  const int64_t n = image.value.size(0);
  const Tensor own = own_columns(n);
  const double half_mean = 0.5 / static_cast<double>(n);

  const auto direction = [&](const Var& queries, const Var& keys) {
    const Var fixed = gather == Gather::constant ? keys.detach() : keys;
    return autograd::cross_entropy(autograd::mul(autograd::matmul_transposed(queries, fixed), scale), own, half_mean);
  };
  const autograd::CrossEntropy from_image = direction(image, text);
  const autograd::CrossEntropy from_text = direction(text, image);

  Contrastive result;
  result.loss = autograd::add(from_image.loss, from_text.loss);
  for (int32_t i = 0; const int32_t best : from_image.argmax.data<int32_t>()) result.retrieved.push_back(best == i++);
  return result;
}

}  // namespace tessera::rils
