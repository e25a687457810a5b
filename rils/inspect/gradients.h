#pragma once

#include <filesystem>

#include "rils/method/step.h"

namespace tessera::rils {

/// The check that the method is exact, and the tool of whoever ports it: weights and a batch in, losses and every
/// gradient out, all safetensors under the official names.
struct GradientFiles {
  // Every trainable parameter; frozen position tables and the head's running moments may be there.
  std::filesystem::path checkpoint;
  // What the objective uses of images f32 [N,3,H,W] normalised, tokens i32 [N,context_length], noise f32 [N,patches],
  // view1 and view2 as images.
  std::filesystem::path batch;
  // loss and the figures of the objective's terms (see rils/train/figures.h), and grad.NAME, all f32.
  std::filesystem::path out;
};

/// Runs one step of a model of this configuration. Throws IoError or ShapeError in one line when a file does not fit.
StepResult write_gradients(const ModelConfig& model, const LossConfig& loss, const GradientFiles& files,
                           nn::Precision precision);

}  // namespace tessera::rils
