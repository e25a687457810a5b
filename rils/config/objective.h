#pragma once

#include <cstdint>

#include "rils/config/choices.h"

namespace tessera::rils {

/// What a masked decoder predicts: language-space features of hidden patches, or their pixels. METHOD.md, "The
/// reconstruction loss" and "MAE".
enum class Reconstruction : uint8_t { none, language, pixels };

/// The terms of an objective; they say which parts of the model and of the data it uses. METHOD.md, "The other
/// objectives".
struct Objective {
  bool contrastive = false;  // images against captions: text tower, projections, logit scale; the full pass
  Reconstruction reconstruction = Reconstruction::none;  // the masked pass and a decoder
  bool simclr = false;  // two augmented views of an image against each other: image_mlp
  /// Whether there is anything to train.
  [[nodiscard]] bool any() const { return contrastive || simclr || reconstruction != Reconstruction::none; }
};

/// `encoder` has no term.
[[nodiscard]] Objective terms_of(ObjectiveName name);

}  // namespace tessera::rils
