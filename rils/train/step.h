#pragma once

#include <span>
#include <vector>

#include "rils/config/config.h"
#include "rils/model/model.h"

namespace tessera::rils {

/// A part of the global batch: consecutive rows. noise decides the masks and may be absent without a decoder.
struct MicroBatch {
  Tensor images;  // f32 [B, 3, H, W], normalised
  Tensor tokens;  // i32 [B, context_length], zero-padded
  Tensor noise;   // f32 [B, patches], uniform
};

/// Figures of one step over the whole batch. recon_loss is already weighted; loss = clip_loss + recon_loss.
struct StepResult {
  double loss = 0;
  double clip_loss = 0;
  double recon_loss = 0;
  double clip_accuracy = 0;  // fraction of images whose own text is retrieved
  double logit_scale = 0;    // the factor itself
};

struct StepOptions {
  PassOptions pass;
  double reconstruction_factor = 1.0;  // scales the reconstruction weight: a warm-up
};

/// The losses of a global batch and every parameter's gradient, in the model's store (cleared first, completed with
/// zeroes). With several micro-batches, embeddings are computed once without a tape, the losses span all rows, and each
/// micro-batch then runs again with its own masks: negatives, gate and denominators belong to the whole batch, and the
/// result equals the undivided one to rounding.
[[nodiscard]] StepResult compute_gradients(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                                           const StepOptions& options);

/// The losses alone.
[[nodiscard]] StepResult compute_losses(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                                        const StepOptions& options);

}  // namespace tessera::rils
