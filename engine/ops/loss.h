#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// Rows of logits [R, N] against labels i32 [R] (0 ≤ label < N): loss [R] = lse − logit[label], lse [R], argmax i32 [R]
/// (the first of equals). Contiguous f32 or f64.
struct CrossEntropyArgs {
  View logits, labels, loss, lse, argmax;
};
/// dlogits (+)= factor · dloss[0] · (softmax − onehot). dloss is a one-element view.
struct CrossEntropyGradArgs {
  View logits, labels, lse, dloss;
  double factor;
  View dlogits;
  GradMode mode;
};

/// Rows of logits [R, N] against probabilities [R, N] whose rows sum to one (smoothed or mixed labels):
/// loss [R] = lse − Σ_j targets_j logits_j, lse [R]. Contiguous, all f32 or all f64.
struct SoftCrossEntropyArgs {
  View logits, targets, loss, lse;
};
/// dlogits (+)= factor · dloss[0] · (softmax − targets). dloss is a one-element view. Nothing flows to the targets.
struct SoftCrossEntropyGradArgs {
  View logits, targets, lse, dloss;
  double factor;
  View dlogits;
  GradMode mode;
};

/// The reconstruction term of RILS (rils.md 1.10), streamed over sentences so that no [R, N] matrix exists:
/// a = g tᵀ / student_temperature, b = f tᵀ / teacher_temperature, p = softmax(b), q = softmax(a),
/// loss[r] = weight[r] · Σ_j p_j (log p_j − log q_j).
/// student g [R, E], teacher f [R, E], sentences t [N, E], all L2-normalised rows in one dtype (f32; bf16: rounded
/// once, with f32 accumulators, logits and log-sum-exp; f64). weight [R], loss [R], lse_student [R], lse_teacher [R]
/// f32 (f64).
struct PatchSentenceArgs {
  View student, teacher, sentences, weight;
  double student_temperature, teacher_temperature;
  View loss, lse_student, lse_teacher;
};
/// With c_r = dloss[0] · weight[r] / student_temperature: dstudent[r] (+)= c_r Σ_j (q_j − p_j) t_j and, where wanted,
/// dsentences[j] (+)= Σ_r c_r (q_j − p_j) g_r. Nothing flows to the teacher. Gradients are f32 (f64).
struct PatchSentenceGradArgs {
  View student, teacher, sentences, weight, lse_student, lse_teacher, dloss;
  double student_temperature, teacher_temperature;
  View dstudent, dsentences;
  GradMode student_mode, sentences_mode;
};

struct LossKernels {
  Kernel<CrossEntropyArgs> cross_entropy;
  Kernel<CrossEntropyGradArgs> cross_entropy_grad;
  Kernel<SoftCrossEntropyArgs> soft_cross_entropy;
  Kernel<SoftCrossEntropyGradArgs> soft_cross_entropy_grad;
  Kernel<PatchSentenceArgs> patch_sentence;
  Kernel<PatchSentenceGradArgs> patch_sentence_grad;
};

struct CrossEntropyResult {
  Tensor loss, lse, argmax;
};
[[nodiscard]] CrossEntropyResult cross_entropy(const Tensor& logits, const Tensor& labels);
void cross_entropy_grad(const Tensor& logits, const Tensor& labels, const Tensor& lse, const Tensor& dloss,
                        double factor, const GradOut& dlogits);

struct SoftCrossEntropyResult {
  Tensor loss, lse;
};
[[nodiscard]] SoftCrossEntropyResult soft_cross_entropy(const Tensor& logits, const Tensor& targets);
void soft_cross_entropy_grad(const Tensor& logits, const Tensor& targets, const Tensor& lse, const Tensor& dloss,
                             double factor, const GradOut& dlogits);

struct Temperatures {
  double student = 0.1;
  double teacher = 0.04;
};
struct PatchSentenceResult {
  Tensor loss, lse_student, lse_teacher;
};
[[nodiscard]] PatchSentenceResult patch_sentence(const Tensor& student, const Tensor& teacher, const Tensor& sentences,
                                                 const Tensor& weight, Temperatures temperatures);
void patch_sentence_grad(const Tensor& student, const Tensor& teacher, const Tensor& sentences, const Tensor& weight,
                         const PatchSentenceResult& result, const Tensor& dloss, Temperatures temperatures,
                         const GradOut& dstudent, const GradOut& dsentences);

}  // namespace tessera
