#pragma once

#include "rils/method/gate.h"
#include "rils/method/passes.h"

namespace tessera::rils {

/// A micro-batch within its global batch of `total` rows.
struct Share {
  const MicroBatch& batch;
  int64_t first = 0;
  int64_t total = 0;
};

/// Hidden patches of an image.
[[nodiscard]] int64_t hidden_patches(const Model& model, const LossConfig& loss);

/// The weighted loss of a micro-batch's hidden patches in language space (rils.md 1.10), for its images among
/// `weights.samples`; absent when there are none. sentences [total, E], normalised.
[[nodiscard]] Var reconstruct_language(const Model& model, const LossConfig& loss, const ImagePass& pass,
                                       const Share& share, const Var& sentences, const ReconstructionWeights& weights,
                                       const PassOptions& options);

/// The weighted loss of a micro-batch's hidden pixels (rils.md 1.15), its part of the mean over the global batch;
/// absent when its weight is 0.
[[nodiscard]] Var reconstruct_pixels(const Model& model, const LossConfig& loss, const ImagePass& pass,
                                     const Share& share, const PassOptions& options);

}  // namespace tessera::rils
