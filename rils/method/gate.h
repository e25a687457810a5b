#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rils/config/config.h"

namespace tessera::rils {

/// Consecutive rows of a global batch: a micro-batch, or (later) what one process holds.
struct Rows {
  int64_t first = 0, count = 0;
  int64_t total = 0;  // rows of the global batch
};

/// The images that pass RILS's gate, each with the weight that every one of its hidden patches has in the
/// reconstruction loss: λ / (ranks · (hidden patches of its rank's passing images + 10⁻⁶)). METHOD.md, "The gate".
struct Gate {
  std::vector<int64_t> images;       // rows of the global batch (or of a part, see within), ascending
  std::vector<double> patch_weight;  // of each

  [[nodiscard]] bool closed() const { return images.empty(); }
  /// Those among `rows`, numbered from its first.
  [[nodiscard]] Gate within(const Rows& rows) const;
};

/// From the images whose own text is retrieved (1, else 0), N of them, with `hidden` patches each. `factor` scales λ: a
/// warm-up, 1 as published. Closed where λ or `hidden` is 0. Throws ConfigError unless the simulated ranks divide N.
[[nodiscard]] Gate make_gate(std::span<const uint8_t> retrieved, int64_t hidden, const LossConfig& loss, double factor);

}  // namespace tessera::rils
