#pragma once

#include <cstdint>

#include "engine/core/dtype.h"
#include "engine/ops/kernels.h"
#include "rils/config/config.h"

namespace tessera::rils {

/// What of a run, besides its model, decides how much memory a training step takes.
struct StepShape {
  double caption_tokens = 0;  // mean caption length, SOT and EOT included
  int64_t micro_batch = 0;
  int64_t global_batch = 0;
  double gate_rate = 1;  // share of the images that pass the gate; of no influence where nothing is gated
  DType compute = DType::f32;
  bool checkpointing = false;
  bool ema = false;
};

/// Bytes that the pool of the device holds at the peak of a training step, each tensor in the size class that the pool
/// gives it. Parameters are f32.
struct TrainingMemory {
  double weights = 0;      // values, gradients, two moments, and averages where they are wanted
  double packs = 0;        // packed weights, by the kernel table
  double inputs = 0;       // images
  double activations = 0;  // what the backward reads, and the gradients of activations at the worst moment
  [[nodiscard]] double total() const { return weights + packs + inputs + activations; }
};
[[nodiscard]] TrainingMemory training_memory(const ModelConfig& model, const LossConfig& loss, const StepShape& step,
                                             const KernelTable& kernels);

}  // namespace tessera::rils
