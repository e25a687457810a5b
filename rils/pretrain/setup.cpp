#include "rils/pretrain/setup.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/runtime/context.h"
#include "nn/io/checkpoint.h"
#include "rils/config/schema.h"
#include "rils/model/cost.h"
#include "rils/model/memory.h"
#include "rils/run/run_folder.h"
#include "rils/run/training_run.h"
#include "rils/train/inputs.h"
#include "rils/train/stored_vocabulary.h"

namespace tessera::rils {
namespace {

/// Mean caption length that plans assume, SOT and EOT included.
constexpr double kCaptionTokens = 16;

/// "objective rils, 3210 parameters: image encoder 2000, …": the parts that the objective has.
std::string describe_model(const ModelConfig& model) {
  const ParameterCounts p = parameter_counts(model);
  std::string text =
      fmt::format("objective {}, {} parameters: image encoder {}", word_of(model.objective), p.total(), p.encoder);
  for (const auto& [name, count] :
       {std::pair{"decoder", p.decoder}, std::pair{"text encoder", p.text},
        std::pair{"image projection", p.image_projection}, std::pair{"SimCLR projection head", p.image_mlp}}) {
    if (count > 0) text += fmt::format(", {} {}", name, count);
  }
  return text;
}

/// "simulated ranks 48 (the largest divisor of the global batch 96 up to 64)".
std::string describe_ranks(const LossConfig& loss, int64_t global_batch) {
  std::string text = fmt::format("simulated ranks {}", loss.simulated_ranks);
  if (loss.simulated_ranks < kRecipeRanks && loss.simulated_ranks == simulated_ranks({}, global_batch)) {
    text += fmt::format(" (the largest divisor of the global batch {} up to {})", global_batch, kRecipeRanks);
  }
  return text;
}

}  // namespace

std::unique_ptr<Feed<MicroBatch>> feed_micro_batches(Loader& loader, const Config& config, int64_t global_batch,
                                                     int64_t parts, int64_t first_step, Device device) {
  const int64_t size = config.model.vision.image_size;
  auto prepare = [config, parts, step = first_step](const TakeBatch& take) mutable {
    const TakenBatch taken = take();
    return to_micro_batches(taken.batch, taken.images, config, parts, step++);
  };
  return std::make_unique<Feed<MicroBatch>>(loader, Shape{views_of(config) * global_batch, 3, size, size}, device,
                                            std::move(prepare));
}

TrainingSetup::TrainingSetup(const Config& c, const std::shared_ptr<const Vocabulary>& stored, const Stages& stages)
    : config(with_vocabulary_size(c, stored.get())) {
  check_config(config);
  check_trainable(config.model);
  device = choose_device(config.run.device, device_note_);
  const BatchPlan plan = plan_batch(config, 1);
  global_batch = plan.global;
  micro_batches = plan.accum_freq;
  config.loss.simulated_ranks = plan.simulated_ranks;
  tokenizer = open_tokenizer(config, stored);
  DatasetOptions options = dataset_options(config);
  options.stages = stages;
  data_ = open_dataset(config.data.train_data, options);
  data_digest = digest_of(*data_);
  loader_ = open_loader(config, data_, tokenizer, global_batch, {});
  steps_per_epoch = loader_->batches_per_epoch();
  total_steps = steps_per_epoch * config.optim.epochs;
  trainer = std::make_unique<Trainer>(config, total_steps, steps_per_epoch, device);
  peak_flops = context(device).backend().peak_flops(trainer->pass().precision.compute);
}

std::vector<MicroBatch> TrainingSetup::next_micro_batches(Console& console) {
  if (!feed_) {
    feed_ = feed_micro_batches(*loader_, config, global_batch, micro_batches, trainer->steps(), device);
  }
  return feed_->next(console);
}

void TrainingSetup::restore_data(const LoaderState& state) {
  feed_.reset();
  loader_ = open_loader(config, data_, tokenizer, global_batch, state);
}

void TrainingSetup::start_from(const std::string& weights, Console& console) {
  const nn::SafetensorsFile file(weights_file(weights));
  const nn::LoadReport report = load_matching(file, trainer->model().store());
  console.line(fmt::format("started from {}: {}", file.path().string(), report.summary()));
  const auto digest = file.metadata().find(kDigestEntry);
  if (!tokenizer || digest == file.metadata().end() || digest->second.empty()) return;
  if (const std::string& own = tokenizer->vocabulary().digest(); digest->second != own) {
    console.line(
        fmt::format("warning: {} has another vocabulary ({}) than this run ({}): its ids stand for other words",
                    file.path().string(), digest->second, own));
  }
}

void TrainingSetup::print_plan(Console& console) const {
  console.line(describe_model(config.model));
  console.line(
      fmt::format("data {}: {} samples, {}", config.data.train_data, data_->size(), data_->skipped().describe()));
  for (const std::string& note : data_->notes()) console.line(note);
  const std::string words = tokenizer ? fmt::format("vocabulary {} ids ({})", tokenizer->vocabulary().size(),
                                                    tokenizer->vocabulary().digest())
                                      : "no text";
  console.line(fmt::format("global batch {} = {} x {}; {} steps an epoch, {} in all; {}", global_batch,
                           global_batch / micro_batches, micro_batches, steps_per_epoch, total_steps, words));
  tell_of_warmup(console, "steps", static_cast<double>(warmup_steps(config.optim, steps_per_epoch)),
                 static_cast<double>(total_steps));
  if (!device_note_.empty()) console.line(device_note_);
  const Objective objective = trainer->model().objective();
  const bool gated = objective.reconstruction == Reconstruction::language;
  const std::string open = gated ? fmt::format(", {:.2f} when every image passes the gate", memory_gib(1)) : "";
  console.line(
      fmt::format("{}; about {:.2f} GiB{}", describe_device(device, config.run.precision), memory_gib(0), open));
  if (objective.reconstruction == Reconstruction::language) console.line(describe_ranks(config.loss, global_batch));
  if (objective.contrastive) {
    console.line(fmt::format("contrastive loss at chance: ln {} = {:.3f}", global_batch,
                             std::log(static_cast<double>(global_batch))));
  }
  if (!objective.contrastive && !(config.data.val_data.empty() && config.data.zeroshot_data.empty())) {
    console.line(fmt::format("no validation while training: objective {} has no text encoder; use evaluate knn",
                             word_of(config.model.objective)));
  }
  if (objective.simclr) {
    const int64_t others = 2 * global_batch - 1;
    console.line(fmt::format("SimCLR loss at chance: ln {} = {:.3f}", others, std::log(static_cast<double>(others))));
  }
}

double TrainingSetup::memory_gib(double gate_rate) const {
  const StepShape step{.caption_tokens = kCaptionTokens,
                       .micro_batch = global_batch / micro_batches,
                       .global_batch = global_batch,
                       .gate_rate = gate_rate,
                       .compute = trainer->pass().precision.compute,
                       .checkpointing = config.run.grad_checkpointing,
                       .ema = config.optim.ema > 0};
  return training_memory(config.model, config.loss, step, context(device).kernels()).total() / 0x1p30;
}

double TrainingSetup::step_flops(double gate_rate) const {
  const ForwardCost cost = forward_cost(config.model, config.loss, kCaptionTokens, global_batch);
  // Two operations a multiply-add; the backward pass does each product twice.
  return 6 * cost.total(gate_rate) * static_cast<double>(global_batch);
}

}  // namespace tessera::rils
