#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// Softmax cross-entropy of each row of logits [R, N] with its target, which is a label or a probability for each
/// class: targets are labels i32 [R] (0 ≤ label < N) or probabilities [R, N] in the logits' type whose rows sum to one
/// (smoothed or mixed labels). On a device the loss of a label out of range is NaN. lse [R] = log Σ_j exp(logits_j),
/// argmax i32 [R] (the first of equals), and loss [R] = lse − logits[label] or lse − Σ_j targets_j logits_j.
/// Contiguous; f32 or f64.
struct CrossEntropyArgs {
  View logits, targets, loss, lse, argmax;
};
/// dlogits (+)= factor · dloss[0] · (softmax − targets), with a label as a one-hot row. dloss is a one-element view.
/// Nothing flows to the targets.
struct CrossEntropyGradArgs {
  View logits, targets, lse, dloss;
  double factor;
  View dlogits;
  GradMode mode;
};

struct LossKernels {
  Kernel<CrossEntropyArgs> cross_entropy;
  Kernel<CrossEntropyGradArgs> cross_entropy_grad;
};

struct CrossEntropyResult {
  Tensor loss, lse, argmax;
};
/// `targets`: labels or probabilities, told apart by their type; see CrossEntropyArgs.
[[nodiscard]] CrossEntropyResult cross_entropy(const Tensor& logits, const Tensor& targets);
void cross_entropy_grad(const Tensor& logits, const Tensor& targets, const Tensor& lse, const Tensor& dloss,
                        double factor, const GradOut& dlogits);

}  // namespace tessera
