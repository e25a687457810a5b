#pragma once

#include "autograd/variable.h"
#include "engine/ops/loss.h"

namespace tessera::autograd {

struct CrossEntropy {
  Var loss;       // scalar: factor · Σ rows
  Tensor argmax;  // i32 [R], the first of equals
};
/// Softmax cross-entropy of logits [R, N] against labels i32 [R]; factor 1/R gives the mean.
[[nodiscard]] CrossEntropy cross_entropy(const Var& logits, const Tensor& labels, double factor);

/// factor · Σ over rows of the cross-entropy of logits [R, N] against probabilities [R, N], which are constants and sum
/// to one in each row: a scalar; see engine/ops/loss.h.
[[nodiscard]] Var soft_cross_entropy(const Var& logits, const Tensor& targets, double factor);

/// Σ over rows of weight · KL(teacher ‖ student) over the sentences, a scalar; see engine/ops/loss.h. The teacher is a
/// constant; sentences get a gradient where they carry one.
[[nodiscard]] Var patch_sentence(const Var& student, const Tensor& teacher, const Var& sentences, const Tensor& weight,
                                 Temperatures temperatures);

}  // namespace tessera::autograd
