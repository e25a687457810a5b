#pragma once

#include "autograd/variable.h"

namespace tessera::rils {

struct SimclrLoss {
  autograd::Var loss;  // scalar
  Tensor best;         // i32 [N]: per first view the column with the largest logit; its own second view has its number
};

/// SimCLR's loss between two augmented views of N images, projected rows a, b [N, E]. METHOD.md, "SimCLR". With q, k
/// their L2-normalised rows: ℓ_ab = q_a k_bᵀ/τ, ℓ_aa = q_a k_aᵀ/τ with each row's own column taken out, and so on; ½
/// [mean CE([ℓ_ab | ℓ_aa], own) + mean CE([ℓ_ba | ℓ_bb], own)]. Gradients flow through queries and keys.
[[nodiscard]] SimclrLoss simclr_loss(const autograd::Var& a, const autograd::Var& b, double temperature);

}  // namespace tessera::rils
