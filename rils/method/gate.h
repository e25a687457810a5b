#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rils/config/config.h"

namespace tessera::rils {

/// Consecutive rows of a global batch, such as a micro-batch.
struct Rows {
  int64_t first = 0, count = 0;
  int64_t total = 0;  // rows of the global batch
};

/// The images that pass RILS's gate, each with the weight that every one of its hidden patches has in the
/// reconstruction loss: λ / (ranks · (hidden patches of its rank's passing images + 10⁻⁶)). METHOD.md, "The gate".
struct Gate {
  std::vector<int64_t> images;       // rows of the global batch (after within: of a part of it), ascending
  std::vector<double> patch_weight;  // of each of these images

  [[nodiscard]] bool closed() const { return images.empty(); }
  /// The part of the gate in `rows`. Its images are numbered from 0 at rows.first.
  [[nodiscard]] Gate within(const Rows& rows) const;
};

/// Makes the gate of N images. retrieved [N]: 1 for an image that retrieves its own text, else 0. hidden: the number of
/// hidden patches of an image. factor: multiplies λ (a warm-up; 1 as published). The gate is closed if λ or `hidden` is
/// 0. Throws ConfigError unless the simulated ranks divide N.
[[nodiscard]] Gate make_gate(std::span<const uint8_t> retrieved, int64_t hidden, const LossConfig& loss, double factor);

}  // namespace tessera::rils
