#pragma once

#include <cstdint>

#include "rils/config/config.h"

namespace tessera::rils {

/// Trainable parameters by part.
struct ParameterCounts {
  int64_t encoder = 0;
  // The parts below are 0 for objectives without them.
  int64_t decoder = 0;  // decoder, its embedding and the mask token
  int64_t text = 0;     // with the text projection
  int64_t image_projection = 0;
  int64_t logit_scale = 0;
  int64_t image_mlp = 0;
  [[nodiscard]] int64_t total() const { return encoder + decoder + text + image_projection + logit_scale + image_mlp; }
};
[[nodiscard]] ParameterCounts parameter_counts(const ModelConfig& model);
/// Numbers of a patch of pixels.
[[nodiscard]] int64_t patch_inputs(const VisionConfig& vision);
/// Numbers that the decoder gives for a patch: pixels, or a feature.
[[nodiscard]] int64_t decoder_outputs(const ModelConfig& model);

/// Multiply-adds of one sample's forward pass, by part; products only.
struct ForwardCost {
  double full_pass = 0;
  double masked_pass = 0;  // for an image that passes the gate; with MAE for every image
  double decoder = 0;      // likewise
  double text = 0;
  double projections = 0;
  double patch_sentence = 0;  // likewise; grows with the batch
  double simclr = 0;          // two augmented views, with the projection head
  bool gated = false;
  [[nodiscard]] double total(double gate_rate) const {
    const double masked = masked_pass + decoder + patch_sentence;
    return full_pass + text + projections + simclr + (gated ? gate_rate : 1.0) * masked;
  }
};
/// `caption_tokens`: mean caption length, SOT and EOT included. `batch`: sentences N of the global batch.
[[nodiscard]] ForwardCost forward_cost(const ModelConfig& model, const LossConfig& loss, double caption_tokens,
                                       int64_t batch);

}  // namespace tessera::rils
