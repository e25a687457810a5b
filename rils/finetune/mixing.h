#pragma once

#include <cstdint>
#include <span>

#include "engine/tensor/tensor.h"
#include "rils/config/config.h"
#include "rils/data/resample.h"
#include "rils/data/transform.h"

namespace tessera::rils {

/// How a batch is mixed with itself in reverse order, as in timm's batch mode. `lambda` is the weight of an image and
/// of its label; the image from the other end of the batch has the rest.
struct Mix {
  double lambda = 1.0;
  bool cut = false;  // cutmix: the box comes from the other image, and lambda is the remaining share of the area
  Box box;
};

/// Draws a mix for images of size × size.
[[nodiscard]] Mix draw_mix(const FinetuneConfig& config, int64_t size, AugmentStream random);
/// timm's box around (y, x) in an image of size × size: its side is ⌊size · √(1 − lambda)⌋, and it is clipped to the
/// image. The lambda of the result follows from the clipped box.
[[nodiscard]] Mix cut_mix(int64_t size, double lambda, int64_t y, int64_t x);
/// Mixes images f32 [B, 3, S, S] of the host in place.
void apply_mix(const Mix& mix, const Tensor& images);
/// Mixes micro-batch `part` of step `step` (both 0-based) in place, as these numbers and the seed decide. Returns the
/// mix's lambda.
double mix_part(const FinetuneConfig& config, uint64_t seed, int64_t step, int64_t part, const Tensor& images);

/// Targets f32 [B, classes]: lambda · one_hot(label) + (1 − lambda) · one_hot(reversed), where `reversed` is the label
/// in the reversed batch and one_hot is smoothed: smoothing / classes everywhere, and 1 − smoothing more at the label.
[[nodiscard]] Tensor soft_targets(std::span<const int32_t> labels, int64_t classes, double lambda, double smoothing);

/// Draws from Beta(alpha, alpha) by two gamma variates (Marsaglia and Tsang, 2000).
[[nodiscard]] double draw_beta(double alpha, AugmentStream& random);

}  // namespace tessera::rils
