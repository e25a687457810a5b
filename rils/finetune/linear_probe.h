#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "nn/optim/lars.h"
#include "rils/finetune/classifier.h"
#include "rils/finetune/trainer.h"

namespace tessera::rils {

/// MAE's linear probe: a frozen encoder, batch norm without gamma and beta (eps 1e-6, running moments with momentum
/// 0.1), and a linear head (std 0.01, bias 0). Parameters: `visual.*` and `probe_norm.running_*`, which are frozen, and
/// `head.*`.
class LinearProbe {
 public:
  LinearProbe(const VisionConfig& vision, Pool pool, int64_t classes, nn::Seed seed, Device device = Device::cpu());

  [[nodiscard]] ParameterStore& store() { return *store_; }
  [[nodiscard]] const ParameterStore& store() const { return *store_; }
  /// Logits [B, classes] of images [B, 3, S, S]. Batch norm uses the running moments.
  [[nodiscard]] Var logits(const Tensor& images, const PassOptions& options) const;
  /// Logits for training. Batch norm uses the moments of the batch (B ≥ 2) and updates the running moments.
  [[nodiscard]] Var training_logits(const Tensor& images, const PassOptions& options);

 private:
  [[nodiscard]] Var head_of(const Var& normed, const PassOptions& options) const;

  std::unique_ptr<ParameterStore> store_;
  std::optional<VisionTower> tower_;
  Parameter* mean_;
  Parameter* variance_;
  nn::Linear head_;
};

/// A linear probe with LARS and a cosine schedule to optim.lr_end. It has the interface of ClassifierTrainer, without
/// mixing, label smoothing and averages.
class LinearProbeTrainer {
 public:
  LinearProbeTrainer(const Config& config, int64_t classes, int64_t batches_per_epoch, Device device = Device::cpu());

  [[nodiscard]] LinearProbe& model() { return model_; }
  [[nodiscard]] Device device() const { return model_.store().device(); }
  [[nodiscard]] int64_t trained_parameters() const;
  [[nodiscard]] const EpochPlan& plan() const { return plan_; }
  [[nodiscard]] int64_t steps() const { return optimizer_.steps(); }
  void start_from(const nn::SafetensorsFile& weights) { load_encoder(weights, model_.store()); }

  /// Takes one step. Throws Error when the loss is not finite, before it changes a weight.
  ClassifierFigures step(std::span<const LabelledBatch> batches);

  void save(const CheckpointFiles& files, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata);
  nn::Metadata load(const CheckpointFiles& files);
  [[nodiscard]] ClassifierReport evaluate_on(const Dataset& data, const Stages& stages = {});

 private:
  Config config_;
  EpochPlan plan_;
  LinearProbe model_;
  PassOptions pass_;
  nn::Lars optimizer_;
};

}  // namespace tessera::rils
