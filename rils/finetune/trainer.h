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

/// How the micro-batches of an epoch become steps, and the learning rate of each. A step takes `accum` of them, the
/// last of an epoch what is left.
struct EpochPlan {
  int64_t batches = 1;  // micro-batches of an epoch
  int64_t accum = 1;
  int64_t epochs = 1;
  nn::EpochSchedule schedule;

  EpochPlan(const Config& config, int64_t batches_per_epoch);
  [[nodiscard]] int64_t steps_per_epoch() const { return (batches + accum - 1) / accum; }
  [[nodiscard]] int64_t total_steps() const { return steps_per_epoch() * epochs; }
  /// Micro-batches of a step (0-based).
  [[nodiscard]] int64_t batches_of(int64_t step) const;
  /// The rate at the fraction of the epoch where a step begins.
  [[nodiscard]] double lr(int64_t step) const;
};

/// What a model makes of held-out images.
struct ClassifierReport {
  Classification figures;
  double loss = 0;  // mean cross-entropy with the true labels
  SkipCounts skipped;
};
/// From the logits of batches of images.
[[nodiscard]] ClassifierReport judge(const ImageFunction& logits, const Dataset& data, const EmbedOptions& options);
/// How held-out images are prepared and passed.
[[nodiscard]] EmbedOptions judging_options(const Config& config, const PassOptions& pass);

/// A classifier with its optimiser, schedule and averages: what a step changes, and what a checkpoint holds. A step
/// follows the mean of its micro-batches' losses.
class ClassifierTrainer {
 public:
  ClassifierTrainer(const Config& config, int64_t classes, int64_t batches_per_epoch);

  [[nodiscard]] Classifier& model() { return model_; }
  [[nodiscard]] int64_t trained_parameters() const { return model_.store().parameter_count(); }
  [[nodiscard]] const EpochPlan& plan() const { return plan_; }
  [[nodiscard]] int64_t steps() const { return optimizer_.steps(); }
  /// Takes the encoder of a checkpoint; averages start from it.
  void start_from(const nn::SafetensorsFile& weights);

  /// One step; mixes the images in place. Throws Error when the loss is not finite, before any weight is changed.
  ClassifierFigures step(std::span<const LabelledBatch> batches);

  void save(const CheckpointFiles& files, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata);
  nn::Metadata load(const CheckpointFiles& files);
  /// Exchanges the weights and their averages (again to go back). Does nothing without EMA.
  void swap_ema();
  /// Of the averages, where there are any.
  [[nodiscard]] ClassifierReport judge_on(const Dataset& data);

 private:
  Config config_;
  EpochPlan plan_;
  Classifier model_;
  PassOptions pass_;
  nn::AdamW optimizer_;
  std::optional<nn::Ema> ema_;
};

}  // namespace tessera::rils
