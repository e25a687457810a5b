#pragma once

#include <cstdint>

#include "rils/config/config.h"

namespace tessera::rils {

/// Trainable parameters by part.
struct ParameterCounts {
  int64_t encoder = 0;
  int64_t decoder = 0;  // decoder, its embedding and the mask token; 0 for objectives without one
  int64_t text = 0;     // with the text projection
  int64_t image_projection = 0;
  int64_t logit_scale = 1;
  [[nodiscard]] int64_t total() const { return encoder + decoder + text + image_projection + logit_scale; }
};
[[nodiscard]] ParameterCounts parameter_counts(const ModelConfig& model);

/// Multiply-adds of one image-text pair's forward pass, by part; products only.
struct ForwardCost {
  double full_pass = 0;
  double masked_pass = 0;  // of an image that passes the gate
  double decoder = 0;      // likewise
  double text = 0;
  double projections = 0;
  double patch_sentence = 0;  // likewise; grows with the batch
  [[nodiscard]] double total(double gate_rate) const {
    return full_pass + text + projections + gate_rate * (masked_pass + decoder + patch_sentence);
  }
};
/// `caption_tokens`: mean caption length, SOT and EOT included. `batch`: sentences N of the global batch.
[[nodiscard]] ForwardCost forward_cost(const ModelConfig& model, const LossConfig& loss, double caption_tokens,
                                       int64_t batch);

/// Bytes that a training step holds: parameters, gradients, two moments, and the activations of `rows` pairs.
[[nodiscard]] double training_bytes(const ModelConfig& model, const LossConfig& loss, double caption_tokens,
                                    int64_t micro_batch, bool bf16, bool checkpointing);

}  // namespace tessera::rils
