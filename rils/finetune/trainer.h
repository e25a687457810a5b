#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nn/io/checkpoint.h"
#include "nn/optim/schedule.h"
#include "rils/config/config.h"
#include "rils/eval/embed.h"
#include "rils/eval/metrics.h"
#include "rils/finetune/classifier.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {

/// Images f32 [B, 3, S, S], normalised, and their classes.
struct LabelledBatch {
  Tensor images;
  std::vector<int32_t> labels;
};

struct ClassifierFigures {
  double loss = 0;       // mean soft cross-entropy
  double lr = 0;         // of the head
  double grad_norm = 0;  // before clipping
};

/// A classifier with its optimiser, schedule and averages: what a step changes, and what a checkpoint holds. A step
/// takes optim.accum_freq micro-batches of an epoch, its last one what is left of them, and follows the mean of their
/// losses.
class ClassifierTrainer {
 public:
  ClassifierTrainer(const Config& config, int64_t classes, int64_t batches_per_epoch);

  [[nodiscard]] Classifier& model() { return model_; }
  [[nodiscard]] const Classifier& model() const { return model_; }
  [[nodiscard]] const PassOptions& pass() const { return pass_; }
  [[nodiscard]] int64_t steps() const { return optimizer_.steps(); }
  [[nodiscard]] int64_t steps_per_epoch() const { return steps_per_epoch_; }
  [[nodiscard]] int64_t total_steps() const { return steps_per_epoch_ * config_.optim.epochs; }
  /// Micro-batches of a step (0-based).
  [[nodiscard]] int64_t batches_of(int64_t step) const;
  /// The rate of the head at a step, that of the epoch's fraction where it begins.
  [[nodiscard]] double lr(int64_t step) const;

  /// One step; mixes the images in place. Throws Error when the loss is not finite, before any weight is changed.
  ClassifierFigures step(std::span<const LabelledBatch> batches);

  void save(const CheckpointFiles& files, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata);
  nn::Metadata load(const CheckpointFiles& files);
  /// The averages start from the weights as they are now: after pre-trained ones were loaded.
  void restart_ema();
  /// Exchanges the weights and their averages (again to go back). Does nothing without EMA.
  void swap_ema();

 private:
  Config config_;
  int64_t batches_per_epoch_, steps_per_epoch_;
  Classifier model_;
  PassOptions pass_;
  nn::EpochSchedule schedule_;
  nn::AdamW optimizer_;
  std::optional<nn::Ema> ema_;
};

/// What a classifier makes of held-out images.
struct ClassifierReport {
  Classification figures;
  double loss = 0;  // mean cross-entropy with the true labels
  SkipCounts skipped;
};
/// How held-out images are prepared and passed.
[[nodiscard]] EmbedOptions judging_options(const Config& config, const PassOptions& pass);
[[nodiscard]] ClassifierReport judge(const Classifier& model, const Dataset& data, const EmbedOptions& options);

}  // namespace tessera::rils
