#include "rils/method/simclr.h"

#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/rows.h"
#include "rils/method/contrastive.h"

namespace tessera::rils {
namespace {

using autograd::Var;

constexpr double kTakenOut = 1e9;  // subtracted from a row's logit with itself: its softmax is then 0

template <class T>
void take_out_own(std::span<T> logits, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) logits[static_cast<size_t>(i * 2 * rows + rows + i)] -= static_cast<T>(kTakenOut);
}

/// Logits [N, 2N] of queries with the others' keys and then with their own.
Var logits_of(const Var& own, const Var& other, double temperature) {
  Var logits = autograd::matmul_transposed(own, autograd::concatenate_rows(other, own), 1.0 / temperature);
  // A constant has no gradient, and nobody has read the product yet: change it in place.
  if (logits.dtype() == DType::f64) {
    take_out_own(logits.value.data<double>(), own.value.size(0));
  } else {
    take_out_own(logits.value.data<float>(), own.value.size(0));
  }
  return logits;
}

}  // namespace

SimclrLoss simclr_loss(const Var& a, const Var& b, double temperature) {
  const int64_t n = a.value.size(0);
  const Tensor own = own_columns(n);
  const double half_mean = 0.5 / static_cast<double>(n);
  const Var first = autograd::l2_normalize(a);
  const Var second = autograd::l2_normalize(b);
  const autograd::CrossEntropy from_first =
      autograd::cross_entropy(logits_of(first, second, temperature), own, half_mean);
  const autograd::CrossEntropy from_second =
      autograd::cross_entropy(logits_of(second, first, temperature), own, half_mean);

  SimclrLoss result{autograd::add(from_first.loss, from_second.loss)};
  for (int32_t i = 0; const int32_t best : from_first.argmax.data<int32_t>())
    result.accuracy += best == i++ ? 1.0 : 0.0;
  result.accuracy /= static_cast<double>(n);
  return result;
}

}  // namespace tessera::rils
