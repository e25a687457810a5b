#pragma once

#include <filesystem>

#include "rils/train/step.h"

namespace tessera::rils {

/// The check that the method is exact, and the tool of whoever ports it: weights and a batch in, losses and every
/// gradient out, all safetensors under the official names.
struct GradientFiles {
  std::filesystem::path checkpoint;  // every trainable parameter; frozen position tables may be there
  std::filesystem::path batch;  // images f32 [N,3,H,W] normalised, tokens i32 [N,context_length], noise f32 [N,patches]
  std::filesystem::path out;    // loss, clip_loss, recon_loss (weighted), clip_acc (per cent), and grad.NAME, all f32
};

/// Runs one step of a model of this configuration. Throws IoError or ShapeError in one line when a file does not fit.
StepResult write_gradients(const ModelConfig& model, const LossConfig& loss, const GradientFiles& files,
                           nn::Precision precision);

}  // namespace tessera::rils
