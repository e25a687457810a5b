#pragma once

#include <memory>
#include <optional>
#include <span>

#include "nn/io/checkpoint.h"
#include "nn/optim/adamw.h"
#include "nn/optim/schedule.h"
#include "rils/config/config.h"
#include "rils/method/step.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {

/// Uniform numbers f32 [rows, patches], on the host, that decide the masks of rows first … of a step's global batch:
/// the same for any split into micro-batches and when recomputed.
[[nodiscard]] Tensor mask_noise(uint64_t seed, int64_t step, int64_t first_row, int64_t rows, int64_t patches);

/// Throws Error with what to do about it unless a step's loss and gradient norm are finite.
void check_finite(int64_t step, double loss, double grad_norm);

[[nodiscard]] nn::AdamWOptions adamw_options(const OptimConfig& optim);

/// The learning rates of a run of `total_steps`; the warm-up is cut to the run.
[[nodiscard]] nn::CosineSchedule learning_rates(const OptimConfig& optim, int64_t total_steps, int64_t steps_per_epoch);

struct StepFigures {
  StepResult losses;
  double lr = 0;
  double grad_norm = 0;  // before clipping
};

/// A model with its optimiser, schedule and averages: what a step changes, and what a checkpoint must hold. It knows no
/// data, and no files but its checkpoints.
class Trainer {
 public:
  /// `steps_per_epoch` is the warm-up where the configuration asks for one epoch. The model computes on `device`;
  /// config.run.device is not read here.
  Trainer(const Config& config, int64_t total_steps, int64_t steps_per_epoch = 0, Device device = Device::cpu());

  [[nodiscard]] Model& model() { return model_; }
  [[nodiscard]] Device device() const { return model_.device(); }
  [[nodiscard]] const PassOptions& pass() const { return pass_; }
  /// Steps made.
  [[nodiscard]] int64_t steps() const { return optimizer_->steps(); }
  [[nodiscard]] int64_t total_steps() const { return schedule_.total; }
  /// The learning rate that a step (0-based) uses.
  [[nodiscard]] double lr(int64_t step) const { return schedule_(step); }

  /// One optimiser step on a global batch given in parts. Throws Error when the loss is not finite, before any weight
  /// is changed.
  StepFigures step(std::span<const MicroBatch> batches) { return step(batches, lr(steps())); }
  /// The same at another learning rate.
  StepFigures step(std::span<const MicroBatch> batches, double lr);
  /// The losses of a global batch at the full reconstruction weight. Changes nothing.
  [[nodiscard]] StepResult evaluate(std::span<const MicroBatch> batches);

  [[nodiscard]] bool has_ema() const { return ema_.has_value(); }
  /// Weights last: a checkpoint counts once they are there.
  void save(const CheckpointFiles& files, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata);
  /// Restores weights, moments, averages and step count; returns the state's metadata.
  nn::Metadata load(const CheckpointFiles& files);

  /// Exchanges the model's weights and their averages (again to go back). Does nothing without EMA.
  void swap_ema();

 private:
  LossConfig loss_;
  OptimConfig optim_;
  Model model_;
  PassOptions pass_;
  nn::CosineSchedule schedule_;
  std::unique_ptr<nn::AdamW> optimizer_;
  std::optional<nn::Ema> ema_;
};

}  // namespace tessera::rils
