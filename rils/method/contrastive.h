#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "autograd/variable.h"
#include "rils/config/config.h"

namespace tessera::rils {

/// The labels of rows that belong to the columns of the same numbers: 0 … n − 1, i32 [n].
[[nodiscard]] Tensor own_columns(int64_t n, Device device = Device::cpu());

struct Contrastive {
  autograd::Var loss;  // scalar: ½ [mean CE(image → text) + mean CE(text → image)]
  Tensor best;         // i32 [N]: per image the text with the largest logit (the first of equals)
};
/// For each row whether its best column is its own: 1 or 0. Reads `best`, for which it may have to wait.
[[nodiscard]] std::vector<uint8_t> own_is_best(const Tensor& best);
/// The fraction of ones.
[[nodiscard]] double share_of(std::span<const uint8_t> flags);

/// The image-text contrastive loss over N pairs. image, text [N, E]: L2-normalised rows. scale: one element, the factor
/// exp(logit_scale). Simulated ranks do not change it: equal parts of the queries average to the mean over all N.
[[nodiscard]] Contrastive contrastive_loss(const autograd::Var& image, const autograd::Var& text,
                                           const autograd::Var& scale, Gather gather);

}  // namespace tessera::rils
