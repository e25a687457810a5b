#include "rils/finetune/trainer.h"

#include <algorithm>

#include "autograd/ops/loss.h"
#include "engine/ops/copy.h"
#include "engine/ops/loss.h"
#include "engine/ops/reduce.h"
#include "rils/finetune/labelled_data.h"
#include "rils/finetune/mixing.h"
#include "rils/method/scalars.h"
#include "rils/train/checkpoint_files.h"
#include "rils/train/trainer.h"

namespace tessera::rils {
EpochPlan::EpochPlan(const Config& config, int64_t batches_per_epoch)
    : batches(batches_per_epoch),
      accum(config.optim.accum_freq),
      epochs(config.optim.epochs),
      schedule{.base = config.optim.lr,
               .end = config.optim.lr_end,
               .warmup = config.finetune.warmup_epochs,
               .total = static_cast<double>(config.optim.epochs)} {}

int64_t EpochPlan::batches_of(int64_t step) const {
  return std::min(accum, batches - step % steps_per_epoch() * accum);
}

double EpochPlan::lr(int64_t step) const {
  const auto first = static_cast<double>(step % steps_per_epoch() * accum);
  return schedule(static_cast<double>(step / steps_per_epoch()) + first / static_cast<double>(batches));
}

ClassifierTrainer::ClassifierTrainer(const Config& config, int64_t classes, int64_t batches_per_epoch, Device device)
    : config_(config),
      plan_(config, batches_per_epoch),
      model_(config.model.vision, config.finetune.pool, classes, static_cast<uint64_t>(config.run.seed), DType::f32,
             device),
      optimizer_(model_.store(), adamw_options(config.optim),
                 layer_decay(config.model.vision.layers, config.finetune.layer_decay, config.optim.wd)) {
  pass_.precision = nn::parse_precision(config.run.precision);
  pass_.checkpointing = config.run.grad_checkpointing;
  if (config.optim.ema > 0) ema_.emplace(model_.store(), config.optim.ema);
}

void ClassifierTrainer::start_from(const nn::SafetensorsFile& weights) {
  load_encoder(weights, model_.store());
  if (ema_) copy_into(model_.store().values(), ema_->values());
}

ClassifierFigures ClassifierTrainer::step(std::span<const LabelledBatch> batches) {
  const auto seed = static_cast<uint64_t>(config_.run.seed);
  const FinetuneConfig& f = config_.finetune;
  ClassifierFigures figures;
  figures.lr = plan_.lr(steps());
  int64_t first = 0;
  std::vector<Tensor> losses;
  model_.store().clear_grads();
  for (const LabelledBatch& batch : batches) {
    const int64_t rows = batch.images.size(0);
    const auto scales =
        drop_path_scales(f.drop_path, config_.model.vision.layers, seed, steps(), first, rows, device());
    PassOptions pass = pass_;
    pass.drop_path = scales;
    autograd::Tape tape;
    Var loss;
    {
      const autograd::TapeScope scope(tape);
      const Tensor targets = soft_targets(batch.labels, model_.classes(), batch.lambda, f.smoothing);
      loss = autograd::cross_entropy(model_.logits(batch.images, pass), targets.to(device()),
                                     1.0 / static_cast<double>(rows * std::ssize(batches)))
                 .loss;
    }
    losses.push_back(loss.value);
    tape.backward(loss);
    first += rows;
  }
  model_.store().complete_grads();
  for (const double loss : values_of(losses)) figures.loss += loss;
  figures.grad_norm = optimizer_.grad_norm();
  check_finite(steps() + 1, figures.loss, figures.grad_norm);
  optimizer_.step(figures.lr, nn::clip_coefficient(figures.grad_norm, config_.optim.grad_clip_norm));
  if (ema_) ema_->update();
  return figures;
}

void ClassifierTrainer::save(const CheckpointFiles& files, const nn::Metadata& weights_metadata,
                             const nn::Metadata& state_metadata) {
  save_checkpoint(files, model_.store(), optimizer_, ema_ ? &*ema_ : nullptr, weights_metadata, state_metadata);
}

nn::Metadata ClassifierTrainer::load(const CheckpointFiles& files) {
  return load_checkpoint(files, model_.store(), optimizer_, ema_ ? &*ema_ : nullptr);
}

void ClassifierTrainer::swap_ema() {
  if (ema_) model_.store().swap_values(ema_->values());
}

ClassifierReport ClassifierTrainer::evaluate_on(const Dataset& data, const Stages& stages) {
  EmbedOptions options = evaluation_options(config_, pass_);
  options.stages = stages;
  swap_ema();
  ClassifierReport report = evaluate_classifier(
      [&](const Tensor& images) { return model_.logits(images.to(device()), pass_).value; }, data, options);
  swap_ema();
  return report;
}

EmbedOptions evaluation_options(const Config& config, const PassOptions& pass) {
  EmbedOptions o;
  o.transform = centre_transform(config);
  o.pass = pass;
  o.batch_size = config.optim.batch_size;
  return o;
}

ClassifierReport evaluate_classifier(const ImageFunction& logits, const Dataset& data, const EmbedOptions& options) {
  EmbedOptions raw = options;
  raw.normalize = raw.keep_captions = false;
  const ImageEmbeddings found = embed_images(data, raw, logits);
  const auto rows = static_cast<int64_t>(found.labels.size());
  ClassifierReport report;
  report.figures = classification(found.values, found.labels);
  report.loss =
      sum(cross_entropy(found.values, Tensor::from(found.labels, {rows})).loss).item() / static_cast<double>(rows);
  report.skipped = found.skipped;
  return report;
}

}  // namespace tessera::rils
