#pragma once

#include "autograd/variable.h"
#include "engine/ops/loss.h"

namespace tessera::autograd {

struct CrossEntropy {
  Var loss;       // scalar: factor · Σ rows
  Tensor argmax;  // i32 [R], the first of equals
};
/// Softmax cross-entropy of logits [R, N] with labels i32 [R] or probabilities [R, N], which are constants; factor 1/R
/// gives the mean. See engine/ops/loss.h.
[[nodiscard]] CrossEntropy cross_entropy(const Var& logits, const Tensor& targets, double factor);

}  // namespace tessera::autograd
