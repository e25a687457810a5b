#include <cmath>

#include "tests/support/reference.h"

namespace tessera::test::reference {
namespace {

/// Labels as one-hot rows; probabilities as they are.
Array probabilities(const View& targets, const Shape& logits) {
  Array given(targets);
  if (targets.dtype != DType::i32) return given;
  Array rows(logits);
  for (int64_t r = 0; r < logits[0]; ++r) rows(r, static_cast<int64_t>(given(r))) = 1;
  return rows;
}

void cross_entropy(Context&, const CrossEntropyArgs& a) {
  const Array logits(a.logits);
  const Array targets = probabilities(a.targets, logits.shape());
  Array loss({logits.size(0)});
  Array lse({logits.size(0)});
  Array argmax({logits.size(0)});
  for (int64_t r = 0; r < logits.size(0); ++r) {
    std::vector<double> row;
    int64_t best = 0;
    for (int64_t j = 0; j < logits.size(1); ++j) {
      row.push_back(logits(r, j));
      if (logits(r, j) > logits(r, best)) best = j;
    }
    lse(r) = log_sum_exp(row);
    loss(r) = lse(r);
    for (int64_t j = 0; j < logits.size(1); ++j) loss(r) -= targets(r, j) * logits(r, j);
    argmax(r) = static_cast<double>(best);
  }
  write(loss, a.loss);
  write(lse, a.lse);
  write(argmax, a.argmax);
}

void cross_entropy_grad(Context&, const CrossEntropyGradArgs& a) {
  Array logits(a.logits);
  const Array targets = probabilities(a.targets, logits.shape());
  const Array lse(a.lse);
  const double factor = a.factor * Array(a.dloss).values()[0];
  for (int64_t r = 0; r < logits.size(0); ++r) {
    for (int64_t j = 0; j < logits.size(1); ++j) {
      logits(r, j) = factor * (std::exp(logits(r, j) - lse(r)) - targets(r, j));
    }
  }
  write(logits, a.dlogits, a.mode);
}

}  // namespace

const LossKernels kLoss{.cross_entropy = cross_entropy, .cross_entropy_grad = cross_entropy_grad};

}  // namespace tessera::test::reference
