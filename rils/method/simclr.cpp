#include "rils/method/simclr.h"

#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/rows.h"
#include "engine/ops/copy.h"
#include "rils/method/contrastive.h"

namespace tessera::rils {
namespace {

using autograd::Var;

constexpr double kTakenOut = 1e9;  // subtracted from a row's logit with itself: its softmax is then 0

/// Logits [N, 2N] of queries with the others' keys and then with their own.
Var logits_of(const Var& own, const Var& other, double temperature) {
  Var logits = autograd::matmul_transposed(own, autograd::concatenate_rows(other, own), 1.0 / temperature);
  // A constant has no gradient, and nobody has read the product yet: change it in place.
  const int64_t n = own.value.size(0);
  add_diagonal(logits.value.slice(1, n, n), -kTakenOut);
  return logits;
}

}  // namespace

SimclrLoss simclr_loss(const Var& a, const Var& b, double temperature) {
  const int64_t n = a.value.size(0);
  const Tensor own = own_columns(n, a.value.device());
  const double half_mean = 0.5 / static_cast<double>(n);
  const Var first = autograd::l2_normalize(a);
  const Var second = autograd::l2_normalize(b);
  const autograd::CrossEntropy from_first =
      autograd::cross_entropy(logits_of(first, second, temperature), own, half_mean);
  const autograd::CrossEntropy from_second =
      autograd::cross_entropy(logits_of(second, first, temperature), own, half_mean);

  return {autograd::add(from_first.loss, from_second.loss), from_first.argmax};
}

}  // namespace tessera::rils
