#pragma once

#include <filesystem>

#include "rils/method/step.h"

namespace tessera::rils {

/// Files of write_gradients, all safetensors with RILS's names of tensors.
struct GradientFiles {
  // Every trainable parameter. Frozen position tables and the running moments of a head may be present too.
  std::filesystem::path checkpoint;
  // The inputs that the objective uses, out of: images f32 [N,3,H,W], normalised; tokens i32 [N,context_length]; noise
  // f32 [N,patches]; view1 and view2, shaped as images.
  std::filesystem::path batch;
  // Written: loss, the terms of the objective (see rils/train/figures.h), and grad.NAME of every parameter, all f32.
  std::filesystem::path out;
};

/// Runs one step without an update and writes losses and gradients: a check that the method is exact, and a reference
/// for whoever ports it. The step is computed on `device`. Throws IoError or ShapeError when a file does not fit the
/// configuration.
StepResult write_gradients(const ModelConfig& model, const LossConfig& loss, const GradientFiles& files,
                           nn::Precision precision, Device device = Device::cpu());

}  // namespace tessera::rils
