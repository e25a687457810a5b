#pragma once

#include "engine/ops/kernel.h"
#include "engine/tensor/tensor.h"

namespace tessera {

/// The reconstruction term of RILS (rils/METHOD.md), computed block by block of sentences so that no [R, N] matrix is
/// stored:
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
  View dstudent{}, dsentences{};
  GradMode student_mode = GradMode::overwrite, sentences_mode = GradMode::overwrite;
};

struct PatchSentenceKernels {
  Kernel<PatchSentenceArgs> forward;
  Kernel<PatchSentenceGradArgs> backward;
};

struct Temperatures {
  double student = 0.1;
  double teacher = 0.04;
};
/// See PatchSentenceArgs.
struct PatchSentenceInputs {
  Tensor student, teacher, sentences, weight;
  Temperatures temperatures;
};
struct PatchSentenceResult {
  Tensor loss, lse_student, lse_teacher;
};
[[nodiscard]] PatchSentenceResult patch_sentence(const PatchSentenceInputs& inputs);
void patch_sentence_grad(const PatchSentenceInputs& inputs, const PatchSentenceResult& result, const Tensor& dloss,
                         const GradOut& dstudent, const GradOut& dsentences);

}  // namespace tessera
