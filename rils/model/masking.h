#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/tensor/tensor.h"

namespace tessera::rils {

/// Patches kept of `patches` at a mask ratio: P·(1 − ratio) in doubles, truncated, as the published code computes it.
[[nodiscard]] int64_t kept_patches(int64_t patches, double mask_ratio);

/// Random masks of a batch: which patches each sample shows and hides.
class Masks {
 public:
  Masks() = default;
  /// From uniform noise f32 [samples, patches] on the host: its ascending stable order is the shuffle, the first `kept`
  /// stay visible.
  Masks(const Tensor& noise, double mask_ratio);

  [[nodiscard]] int64_t samples() const { return samples_; }
  [[nodiscard]] int64_t patches() const { return patches_; }
  [[nodiscard]] int64_t kept() const { return kept_; }
  [[nodiscard]] int64_t hidden() const { return patches_ - kept_; }
  /// Visible patches of a sample in shuffled order.
  [[nodiscard]] std::span<const int32_t> visible(int64_t sample) const;
  /// Hidden patches of a sample in raster order.
  [[nodiscard]] std::span<const int32_t> masked(int64_t sample) const;

 private:
  int64_t samples_ = 0, patches_ = 0, kept_ = 0;
  std::vector<int32_t> order_;  // per sample: visible in shuffled order, then hidden ascending
};

}  // namespace tessera::rils
