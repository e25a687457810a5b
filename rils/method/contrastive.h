#pragma once

#include <vector>

#include "autograd/variable.h"
#include "rils/config/config.h"

namespace tessera::rils {

/// Whether the keys of the contrastive loss and the sentence prototypes are constants, as in the authors' multi-process
/// runs, or carry gradient, as in their single-process runs and open_clip's --gather-with-grad.
enum class Gather : uint8_t { constant, with_gradient };
[[nodiscard]] inline Gather gather_of(const LossConfig& loss) {
  return loss.gather == "with-gradient" ? Gather::with_gradient : Gather::constant;
}

struct Contrastive {
  autograd::Var loss;              // scalar: ½ [mean CE(image → text) + mean CE(text → image)]
  std::vector<uint8_t> retrieved;  // per image: its own text has the largest logit (the first of equals)
};

/// The image-text contrastive loss over N pairs. image, text [N, E]: L2-normalised rows. scale: one element, the factor
/// exp(logit_scale). Shards do not change it: equal shards of queries average to the mean over all N.
[[nodiscard]] Contrastive contrastive_loss(const autograd::Var& image, const autograd::Var& text,
                                           const autograd::Var& scale, Gather gather);

}  // namespace tessera::rils
