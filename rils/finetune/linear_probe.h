#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "nn/optim/lars.h"
#include "rils/finetune/classifier.h"
#include "rils/finetune/trainer.h"

namespace tessera::rils {

/// MAE's linear probe: features of a frozen encoder, batch norm without gamma and beta (eps 1e-6, moments kept with
/// momentum 0.1), a linear head (deviation 0.01, bias 0). Parameters `visual.*` and `probe_norm.running_*`, which no
/// gradient reaches, and `head.*`.
class LinearProbe {
 public:
  LinearProbe(const VisionConfig& vision, Pool pool, int64_t classes, uint64_t seed);

  [[nodiscard]] ParameterStore& store() { return *store_; }
  [[nodiscard]] const ParameterStore& store() const { return *store_; }
  /// Logits [B, classes] of images [B, 3, S, S], normalised by the kept moments.
  [[nodiscard]] Var logits(const Tensor& images, const PassOptions& options) const;
  /// The same by the batch's own moments, which are kept; B ≥ 2.
  [[nodiscard]] Var training_logits(const Tensor& images, const PassOptions& options);

 private:
  [[nodiscard]] Var head_of(const Var& normed, const PassOptions& options) const;

  std::unique_ptr<ParameterStore> store_;
  std::optional<VisionTower> tower_;
  Parameter* mean_;
  Parameter* variance_;
  nn::Linear head_;
};

/// The probe with LARS and a cosine to optim.lr_end, after ClassifierTrainer's pattern. Nothing is mixed or smoothed.
class LinearProbeTrainer {
 public:
  LinearProbeTrainer(const Config& config, int64_t classes, int64_t batches_per_epoch);

  [[nodiscard]] LinearProbe& model() { return model_; }
  [[nodiscard]] int64_t trained_parameters() const;
  [[nodiscard]] const EpochPlan& plan() const { return plan_; }
  [[nodiscard]] int64_t steps() const { return optimizer_.steps(); }
  void start_from(const nn::SafetensorsFile& weights) { load_encoder(weights, model_.store()); }

  /// One step. Throws Error when the loss is not finite, before any weight is changed.
  ClassifierFigures step(std::span<const LabelledBatch> batches);

  void save(const CheckpointFiles& files, const nn::Metadata& weights_metadata, const nn::Metadata& state_metadata);
  nn::Metadata load(const CheckpointFiles& files);
  [[nodiscard]] ClassifierReport judge_on(const Dataset& data);

 private:
  Config config_;
  EpochPlan plan_;
  LinearProbe model_;
  PassOptions pass_;
  nn::Lars optimizer_;
};

}  // namespace tessera::rils
