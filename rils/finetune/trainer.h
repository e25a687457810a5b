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

/// A micro-batch: images f32 [B, 3, S, S], normalised and mixed, on the model's device, and their classes.
struct LabelledBatch {
  Tensor images;
  std::vector<int32_t> labels;
  double lambda = 1.0;  // of the mix
};

struct ClassifierFigures {
  double loss = 0;       // mean soft cross-entropy
  double lr = 0;         // learning rate of the head
  double grad_norm = 0;  // gradient norm before clipping
};

/// Divides the micro-batches of an epoch into steps, and gives the learning rate of each step. A step takes `accum`
/// micro-batches; the last step of an epoch takes those that are left.
struct EpochPlan {
  int64_t batches = 1;  // micro-batches in an epoch
  int64_t accum = 1;    // micro-batches in a step
  int64_t epochs = 1;
  nn::EpochSchedule schedule;

  EpochPlan(const Config& config, int64_t batches_per_epoch);
  [[nodiscard]] int64_t steps_per_epoch() const { return (batches + accum - 1) / accum; }
  [[nodiscard]] int64_t total_steps() const { return steps_per_epoch() * epochs; }
  /// The number of micro-batches in a step (0-based).
  [[nodiscard]] int64_t batches_of(int64_t step) const;
  /// The learning rate of a step (0-based), by the fraction of the epoch at which the step begins.
  [[nodiscard]] double lr(int64_t step) const;
};

/// The results of a classifier on validation images.
struct ClassifierReport {
  Classification figures;
  double loss = 0;  // mean cross-entropy with the true labels
  SkipCounts skipped;
};
/// Evaluates the function `logits`, which maps images to logits, on labelled data.
[[nodiscard]] ClassifierReport evaluate_classifier(const ImageFunction& logits, const Dataset& data,
                                                   const EmbedOptions& options);
/// The transform, precision and batch size with which validation images are evaluated.
[[nodiscard]] EmbedOptions evaluation_options(const Config& config, const PassOptions& pass);

/// A classifier with its optimiser, schedule and averages. A checkpoint holds all that a step changes. The loss of a
/// step is the mean of its micro-batches' losses.
class ClassifierTrainer {
 public:
  ClassifierTrainer(const Config& config, int64_t classes, int64_t batches_per_epoch, Device device = Device::cpu());

  [[nodiscard]] Classifier& model() { return model_; }
  [[nodiscard]] Device device() const { return model_.store().device(); }
  [[nodiscard]] int64_t trained_parameters() const { return model_.store().parameter_count(); }
  [[nodiscard]] const EpochPlan& plan() const { return plan_; }
  [[nodiscard]] int64_t steps() const { return optimizer_.steps(); }
  /// Loads the encoder of a checkpoint. The averages start from it.
  void start_from(const nn::SafetensorsFile& weights);

  /// Takes one step. Throws Error when the loss is not finite, before it changes a weight.
  ClassifierFigures step(std::span<const LabelledBatch> batches);

  void save(const CheckpointFiles& files, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata);
  nn::Metadata load(const CheckpointFiles& files);
  /// Exchanges the weights and their averages; a second call exchanges them back. Does nothing without EMA.
  void swap_ema();
  /// Evaluates the averaged weights if there are any, else the weights.
  [[nodiscard]] ClassifierReport evaluate_on(const Dataset& data, const Stages& stages = {});

 private:
  Config config_;
  EpochPlan plan_;
  Classifier model_;
  PassOptions pass_;
  nn::AdamW optimizer_;
  std::optional<nn::Ema> ema_;
};

}  // namespace tessera::rils
