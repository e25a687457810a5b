#include "rils/finetune/linear_probe.h"

#include "autograd/ops/loss.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/pointwise.h"
#include "rils/method/scalars.h"
#include "rils/train/checkpoint_files.h"
#include "rils/train/trainer.h"

namespace tessera::rils {
namespace {

constexpr double kEps = 1e-6;
constexpr double kKeep = 0.1;      // weight of a batch's moments in the running moments
constexpr double kHeadStd = 0.01;  // MAE truncates at ±2, which is 200 std away

}  // namespace

LinearProbe::LinearProbe(const VisionConfig& vision, Pool pool, int64_t classes, nn::Seed seed, Device device)
    : store_(std::make_unique<ParameterStore>(device)) {
  tower_.emplace(*store_, pooled_by(vision, pool), DType::f32);
  mean_ = &store_->add("probe_norm.running_mean", {vision.width}, nn::zeros());
  variance_ = &store_->add("probe_norm.running_var", {vision.width}, nn::ones());
  for (const nn::Entry& entry : store_->entries()) entry.parameter->frozen = true;
  head_ = nn::Linear(*store_, "head", vision.width, classes, nn::normal(kHeadStd), nn::zeros());
  store_->allocate(DType::f32);
  store_->initialise(seed);
}

Var LinearProbe::head_of(const Var& normed, const PassOptions& options) const {
  autograd::LinearInputs out;
  out.out_dtype = options.precision.param;
  return head_(autograd::cast(normed, options.precision.compute), out);
}

Var LinearProbe::logits(const Tensor& images, const PassOptions& options) const {
  const Var features = tower_->features(images, options).value;
  return head_of(autograd::batch_norm_by(features, {mean_->value, variance_->value}, {}, {}, kEps, DType::f32),
                 options);
}

Var LinearProbe::training_logits(const Tensor& images, const PassOptions& options) {
  const Var features = tower_->features(images, options).value;
  const autograd::BatchNorm normed = autograd::batch_norm(features, {}, {}, kEps, DType::f32);
  update_moments(normed.moments, images.size(0), kKeep, {mean_->value, variance_->value});
  mean_->mark_written();
  variance_->mark_written();
  return head_of(normed.y, options);
}

LinearProbeTrainer::LinearProbeTrainer(const Config& config, int64_t classes, int64_t batches_per_epoch, Device device)
    : config_(config),
      plan_(config, batches_per_epoch),
      model_(config.model.vision, config.finetune.pool, classes, static_cast<uint64_t>(config.run.seed), device),
      optimizer_(model_.store(), nn::LarsOptions{.weight_decay = config.optim.wd}) {
  pass_.precision = nn::parse_precision(config.run.precision);
}

int64_t LinearProbeTrainer::trained_parameters() const {
  int64_t count = 0;
  for (const nn::Entry& entry : model_.store().entries()) count += entry.parameter->frozen ? 0 : entry.count();
  return count;
}

ClassifierFigures LinearProbeTrainer::step(std::span<const LabelledBatch> batches) {
  ClassifierFigures figures;
  figures.lr = plan_.lr(steps());
  std::vector<Tensor> losses;
  model_.store().clear_grads();
  for (const LabelledBatch& batch : batches) {
    const int64_t rows = batch.images.size(0);
    autograd::Tape tape;
    Var loss;
    {
      const autograd::TapeScope scope(tape);
      loss = autograd::cross_entropy(model_.training_logits(batch.images, pass_),
                                     Tensor::from(batch.labels, {rows}, device()),
                                     1.0 / static_cast<double>(rows * std::ssize(batches)))
                 .loss;
    }
    losses.push_back(loss.value);
    tape.backward(loss);
  }
  for (const double loss : values_of(losses)) figures.loss += loss;
  figures.grad_norm = optimizer_.grad_norm();
  check_finite(steps() + 1, figures.loss, figures.grad_norm);
  optimizer_.step(figures.lr);
  return figures;
}

void LinearProbeTrainer::save(const CheckpointFiles& files, const nn::Metadata& weights_metadata,
                              const nn::Metadata& state_metadata) {
  save_checkpoint(files, model_.store(), optimizer_, nullptr, weights_metadata, state_metadata);
}

nn::Metadata LinearProbeTrainer::load(const CheckpointFiles& files) {
  return load_checkpoint(files, model_.store(), optimizer_, nullptr);
}

ClassifierReport LinearProbeTrainer::evaluate_on(const Dataset& data, const Stages& stages) {
  EmbedOptions options = evaluation_options(config_, pass_);
  options.stages = stages;
  return evaluate_classifier([&](const Tensor& images) { return model_.logits(images.to(device()), pass_).value; },
                             data, options);
}

}  // namespace tessera::rils
