#pragma once

#include <span>
#include <vector>

#include "rils/config/config.h"
#include "rils/model/model.h"

namespace tessera::rils {

/// A part of the global batch: consecutive rows. A tensor that the objective does not use may be absent. Images and
/// views are on the model's device, tokens and noise on the host.
struct MicroBatch {
  Tensor images;            // f32 [B, 3, H, W], normalised; not for simclr
  Tensor tokens;            // i32 [B, context_length], zero-padded; where there is a text encoder
  Tensor noise;             // f32 [B, patches], uniform; decides the masks; where there is a decoder
  Tensor view1{}, view2{};  // as images: two augmented views of each image; for simclr and slip
};

/// Figures of one step over the whole batch. A term that the objective does not have is 0. recon_loss, mae_loss and
/// ssl_loss are already weighted; the loss is the sum of the four.
struct StepResult {
  double loss = 0;
  double clip_loss = 0;
  double recon_loss = 0;
  double mae_loss = 0;       // MAE's loss of pixels
  double ssl_loss = 0;       // SimCLR's loss between two views
  double clip_accuracy = 0;  // fraction of images whose own text is retrieved
  double logit_scale = 0;    // s = exp(logit_scale)
  double ssl_accuracy = 0;   // fraction of first views that retrieve their own second view
};

struct StepOptions {
  PassOptions pass;
  double reconstruction_factor = 1.0;  // scales the reconstruction weight (a warm-up)
};

/// The losses of a global batch, and every parameter's gradient in the model's store (cleared first; 0 where nothing
/// flows). With several micro-batches, embeddings are computed once without a tape, the losses span all rows, and each
/// micro-batch then runs again with its own masks. So negatives, batch norm, gate and denominators belong to the whole
/// batch, and the result equals the undivided one to rounding. The batch norms' running moments are updated. On a
/// device the host waits twice: for the gate, and for the figures once everything is queued.
[[nodiscard]] StepResult compute_gradients(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                                           const StepOptions& options);

/// The losses of a global batch without gradients. The batch norms' running moments stay as they are.
[[nodiscard]] StepResult compute_losses(Model& model, const LossConfig& loss, std::span<const MicroBatch> batches,
                                        const StepOptions& options);

}  // namespace tessera::rils
