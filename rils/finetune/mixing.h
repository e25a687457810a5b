#pragma once

#include <cstdint>
#include <span>

#include "engine/tensor/tensor.h"
#include "rils/config/config.h"
#include "rils/data/resample.h"
#include "rils/data/transform.h"

namespace tessera::rils {

/// How a batch is mixed with itself in reverse order, as in timm's batch mode: `lambda` is the share that an image
/// keeps of itself, and of its label.
struct Mix {
  double lambda = 1.0;
  bool cut = false;  // by cutmix: the box comes from the other image, and lambda is what is left of the area
  Box box;
};

/// The mixing that a stream's numbers choose for images of size × size.
[[nodiscard]] Mix draw_mix(const FinetuneConfig& config, int64_t size, AugmentStream random);
/// timm's box for a share `lambda` of an image of size × size around (y, x): a side of ⌊size · √(1 − lambda)⌋, cut at
/// the borders.
[[nodiscard]] Mix cut_mix(int64_t size, double lambda, int64_t y, int64_t x);
/// Mixes images f32 [B, 3, S, S] in place.
void apply_mix(const Mix& mix, const Tensor& images);

/// Targets f32 [B, classes]: smoothed labels, mixed with those of the reversed batch: lambda · one_hot(label) +
/// (1 − lambda) · one_hot(reversed), where one_hot has smoothing / classes off and 1 − smoothing more on its place.
[[nodiscard]] Tensor soft_targets(std::span<const int32_t> labels, int64_t classes, double lambda, double smoothing);

/// Beta(alpha, alpha) from uniform numbers: two gamma variates by Marsaglia and Tsang's method (2000).
[[nodiscard]] double draw_beta(double alpha, AugmentStream& random);

}  // namespace tessera::rils
