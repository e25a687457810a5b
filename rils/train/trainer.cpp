#include "rils/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "rils/train/checkpoint_files.h"

namespace tessera::rils {

Tensor mask_noise(uint64_t seed, int64_t step, int64_t first_row, int64_t rows, int64_t patches) {
  Tensor noise = Tensor::empty({rows, patches});
  const Philox random(seed, "mask");
  float* out = noise.data<float>().data();
  for (int64_t b = 0; b < rows; ++b) {
    for (int64_t p = 0; p < patches; ++p) {
      *out++ =
          random.uniform(static_cast<uint64_t>(step), static_cast<uint64_t>(first_row + b), static_cast<uint64_t>(p));
    }
  }
  return noise;
}

void check_finite(int64_t step, double loss, double grad_norm) {
  if (std::isfinite(loss) && std::isfinite(grad_norm)) return;
  throw Error(
      fmt::format("step {}: the loss is {} and the gradient norm {}; lower the learning rate, or set "
                  "TESSERA_CHECK_FINITE=1 to see where it starts",
                  step, loss, grad_norm));
}

nn::AdamWOptions adamw_options(const OptimConfig& o) {
  return {.beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.wd};
}

nn::CosineSchedule learning_rates(const OptimConfig& optim, int64_t total_steps, int64_t steps_per_epoch) {
  return {.base = optim.lr,
          .start = optim.lr_start,
          .end = optim.lr_end,
          .warmup = std::min(warmup_steps(optim, steps_per_epoch), total_steps),
          .total = total_steps};
}

Trainer::Trainer(const Config& config, int64_t total_steps, int64_t steps_per_epoch, Device device)
    : loss_(config.loss),
      optim_(config.optim),
      model_(config.model, static_cast<uint64_t>(config.run.seed), DType::f32, device) {
  pass_.precision = nn::parse_precision(config.run.precision);
  pass_.checkpointing = config.run.grad_checkpointing;
  schedule_ = learning_rates(optim_, total_steps, steps_per_epoch);
  optimizer_ = std::make_unique<nn::AdamW>(model_.store(), adamw_options(optim_), nn::slip_decay(optim_.wd));
  if (optim_.ema > 0) ema_.emplace(model_.store(), optim_.ema);
}

StepFigures Trainer::step(std::span<const MicroBatch> batches, double lr) {
  StepOptions options;
  options.pass = pass_;
  if (loss_.reconstruction_warmup_steps > 0) {
    options.reconstruction_factor =
        std::min(1.0, static_cast<double>(steps()) / static_cast<double>(loss_.reconstruction_warmup_steps));
  }
  StepFigures figures;
  figures.lr = lr;
  figures.losses = compute_gradients(model_, loss_, batches, options);
  figures.grad_norm = optimizer_->grad_norm();
  check_finite(steps() + 1, figures.losses.loss, figures.grad_norm);
  optimizer_->step(figures.lr, nn::clip_coefficient(figures.grad_norm, optim_.grad_clip_norm));
  if (figures.lr != 0.0) model_.clamp_logit_scale(loss_.logit_scale_max);
  if (ema_) ema_->update();
  return figures;
}

StepResult Trainer::evaluate(std::span<const MicroBatch> batches) {
  StepOptions options;
  options.pass = pass_;
  return compute_losses(model_, loss_, batches, options);
}

void Trainer::save(const CheckpointFiles& files, const nn::Metadata& weights_metadata,
                   const nn::Metadata& state_metadata) {
  save_checkpoint(files, model_.store(), *optimizer_, ema_ ? &*ema_ : nullptr, weights_metadata, state_metadata);
}

nn::Metadata Trainer::load(const CheckpointFiles& files) {
  return load_checkpoint(files, model_.store(), *optimizer_, ema_ ? &*ema_ : nullptr);
}

void Trainer::swap_ema() {
  if (ema_) model_.store().swap_values(ema_->values());
}

}  // namespace tessera::rils
