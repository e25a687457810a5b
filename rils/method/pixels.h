#pragma once

#include <span>

#include "autograd/variable.h"
#include "rils/model/model.h"

namespace tessera::rils {

/// MAE's targets for the hidden patches of `samples` of the images [B, 3, H, W]: [hidden rows, 3·p²] in (row, column,
/// channel) order within a patch, raster order within a sample. Each patch is standardised by its own mean and unbiased
/// variance: (x − mean) / √(variance + 1e-6). f32, or f64 for images in f64.
[[nodiscard]] Tensor pixel_targets(const Tensor& images, int64_t patch, const Masks& masks,
                                   std::span<const int64_t> samples);

/// Pixels of every patch [B·P, 3·p²] in (row, column, channel) order, raster order within an image; images f32 or f64.
[[nodiscard]] Tensor patch_pixels(const Tensor& images, int64_t patch);

/// The moments by which a target is standardised: mean, and std = √(unbiased variance + 1e-6).
struct PatchMoments {
  double mean = 0, std = 1;
};
[[nodiscard]] PatchMoments patch_moments(std::span<const float> pixels);

/// MAE's loss of a micro-batch of B images, its part of the mean over the N of the global batch: loss.mae_weight / N ·
/// Σ over images of the mean error of their hidden pixels. Absent where its weight is 0. METHOD.md, "MAE".
[[nodiscard]] Var reconstruct_pixels(const Model& model, const LossConfig& loss, const TokenFeatures& patches,
                                     const Tensor& images, const Masks& masks, int64_t total,
                                     const PassOptions& options);

/// weight · Σ over rows of mean((predicted − target)²), a scalar. predicted, target [R, 3·p²].
[[nodiscard]] autograd::Var pixel_loss(const autograd::Var& predicted, const Tensor& target, double weight);

}  // namespace tessera::rils
