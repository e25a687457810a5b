#pragma once

#include <span>

#include "autograd/variable.h"
#include "rils/config/config.h"

namespace tessera::rils {

/// The reconstruction loss of RILS, Σ_r weight_r · KL(p_r ‖ q_r), a scalar, with p_r = softmax_j(f̂_r · T̂_j / τ_t) and
/// q_r = softmax_j(ĝ_r · T̂_j / τ_s) over the N sentences of the global batch. METHOD.md, "The reconstruction loss".
/// student ĝ and teacher f̂ [R, E]: the predicted and the true features of hidden patches; sentences T̂ [N, E]; all
/// L2-normalised rows. weights: one per row. `compute` is the type to which the operands of the products are rounded;
/// sums stay wide. Nothing flows to the teacher; the sentences get gradient unless loss.gather is "constant".
[[nodiscard]] autograd::Var patch_sentence_loss(const autograd::Var& student, const Tensor& teacher,
                                                const autograd::Var& sentences, std::span<const double> weights,
                                                const LossConfig& loss, DType compute);

}  // namespace tessera::rils
