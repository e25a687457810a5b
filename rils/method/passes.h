#pragma once

#include <vector>

#include "rils/method/step.h"
#include "rils/model/model.h"

namespace tessera::rils {

/// The image side of one micro-batch, as far as the objective needs it.
struct ImagePass {
  Var tokens;     // patch tokens [B·P, D], shared with the masked pass
  Var encoded;    // [B·(P+1), D], of the full pass
  Var embedding;  // [B, E], normalised
};
/// The patch tokens, and where the objective is contrastive the full pass.
[[nodiscard]] ImagePass image_pass(const Model& model, const Tensor& images, const PassOptions& options);
/// Normalised text embeddings [B, E].
[[nodiscard]] Var text_pass(const Model& model, const Tensor& tokens, const PassOptions& options);

/// What losses over the whole batch read: a row for each sample, absent where the objective does not use it.
struct Embeddings {
  Var image, text;   // [N, E], normalised
  Var view1, view2;  // [N, D], backbone features
};

/// Rows of all parts in one tensor.
[[nodiscard]] Tensor concatenate(const std::vector<Tensor>& parts);

}  // namespace tessera::rils
