#pragma once

#include <span>
#include <vector>

#include "rils/config/config.h"

namespace tessera::rils {

/// How the reconstruction term is put together; rows are the hidden patches of the images that pass the gate.
struct ReconstructionWeights {
  /// The images that pass the gate, ascending.
  std::vector<int64_t> samples;
  /// Weight of every patch row of these images: λ / (ranks · (selected patches of its rank + 1e-6)).
  std::vector<double> per_sample;
};

/// From the gate of N images (1: passes), `hidden` masked patches each, and the loss's options; `factor` scales λ (a
/// warm-up, 1 as published).
[[nodiscard]] ReconstructionWeights reconstruction_weights(std::span<const uint8_t> gate, int64_t hidden,
                                                           const LossConfig& loss, double factor);

}  // namespace tessera::rils
