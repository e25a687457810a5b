#include "rils/train/pretraining.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/eval/metrics.h"
#include "rils/model/cost.h"
#include "rils/train/data.h"
#include "rils/train/run_files.h"

namespace tessera::rils {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

volatile std::sig_atomic_t interrupted = 0;

/// The first Ctrl-C lets the step finish and saves; a second one ends the process.
void on_signal(int signal) {
  if (interrupted != 0) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  interrupted = 1;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(seconds));
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

void say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

/// A bar on a terminal, a plain line now and then in a log.
class ProgressLine {
 public:
  ProgressLine(int64_t first, int64_t total, int64_t every) : first_(first), total_(total), every_(every) {}

  void show(int64_t step, const StepFigures& f, double samples_per_second) {
    const double rate = static_cast<double>(step - first_) / std::max(seconds_since(start_), 1e-9);
    const double left = static_cast<double>(total_ - step) / std::max(rate, 1e-9);
    const std::string text =
        fmt::format("step {}/{}  loss {:.4f}  clip {:.4f}  recon {:.4f}  acc {:.1f} %  {:.0f} pairs/s  {} left", step,
                    total_, f.losses.loss, f.losses.clip_loss, f.losses.recon_loss, 100 * f.losses.clip_accuracy,
                    samples_per_second, duration_text(left));
    if (terminal_) {
      constexpr int64_t kWidth = 20;
      const auto done = static_cast<size_t>(kWidth * step / std::max<int64_t>(total_, 1));
      fmt::print("\r[{:<20}] {}\x1b[K", std::string(done, '#'), text);
      if (step == total_) fmt::print("\n");
      std::fflush(stdout);
    } else if (step % every_ == 0 || step == total_ || step == first_ + 1) {
      say(text);
    }
  }
  /// Before other lines are printed.
  void clear() const {
    if (terminal_) fmt::print("\r\x1b[K");
  }

 private:
  int64_t first_, total_, every_;
  bool terminal_ = isatty(STDOUT_FILENO) != 0;
  Clock::time_point start_ = Clock::now();
};

class Pretraining {
 public:
  Pretraining(const Config& config, const PretrainingOptions& options) : config_(config), options_(options) {
    check_config(config_);
    if (config_.run.device != "auto") (void)context(parse_device(config_.run.device));
    const BatchPlan plan = plan_batch(config_, 1);
    batch_ = plan.global;
    parts_ = plan.accum_freq;
    tokenizer_ = open_tokenizer(config_);
    data_ = open_dataset(config_.data.train_data, dataset_options(config_));
    if (!config_.data.val_data.empty()) {
      DatasetOptions validation = dataset_options(config_);
      validation.split = "test";
      val_ = open_dataset(config_.data.val_data, validation);
    }
    loader_ = open_loader(config_, data_, tokenizer_, batch_, {});
    steps_per_epoch_ = loader_->batches_per_epoch();
    total_ = steps_per_epoch_ * config_.optim.epochs;
    trainer_ = std::make_unique<Trainer>(config_, total_, steps_per_epoch_);
    if (!options_.pretrained.empty()) start_from(options_.pretrained);
  }

  int run() {
    print_plan();
    if (options_.dry_run) return time_steps();
    if (options_.overfit_batch) return overfit();
    open_folder();
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    return train();
  }

 private:
  void start_from(const std::string& path) {
    const nn::LoadReport report = load_matching(nn::SafetensorsFile(path), trainer_->model().store());
    say(fmt::format("started from {}: {}", path, report.summary()));
  }

  void print_plan() const {
    const ParameterCounts p = parameter_counts(config_.model);
    say(fmt::format("objective {}, {} parameters: encoder {}, decoder {}, text {}, projection {}",
                    config_.model.objective, p.total(), p.encoder, p.decoder, p.text, p.image_projection));
    say(fmt::format("data {}: {} samples, {}", config_.data.train_data, data_->size(), data_->skipped().describe()));
    say(fmt::format("global batch {} = {} x {}; {} steps an epoch, {} in all; vocabulary {} ids ({})", batch_,
                    batch_ / parts_, parts_, steps_per_epoch_, total_, tokenizer_->vocabulary().size(),
                    tokenizer_->vocabulary().digest()));
    say(fmt::format("device cpu ({}, {} threads), precision {}; about {:.2f} GiB", cpu_context().kernels().name,
                    cpu_context().threads().threads(), config_.run.precision,
                    training_bytes(config_.model, config_.loss, 16, batch_ / parts_,
                                   trainer_->pass().precision.compute == DType::bf16, config_.run.grad_checkpointing) /
                        0x1p30));
    say(fmt::format("the contrastive loss of a model that knows nothing is ln {} = {:.3f}", batch_,
                    std::log(static_cast<double>(batch_))));
  }

  /// The next global batch; epochs follow each other.
  const Batch& next_batch() {
    while (!loader_->next(current_)) {
      const LoaderStats& stats = loader_->stats();
      say(fmt::format("epoch of {} samples: {} seen, {}", stats.total, stats.seen, stats.skipped.describe()));
    }
    return current_;
  }

  int time_steps() {
    constexpr int kSteps = 3;
    double best = INFINITY;
    for (int i = 0; i < kSteps; ++i) {
      const Clock::time_point start = Clock::now();
      const StepFigures f = trainer_->step(to_micro_batches(next_batch(), config_, parts_, trainer_->steps()));
      best = std::min(best, seconds_since(start));
      say(fmt::format("step {}: {:.3f} s, loss {:.4f}", i + 1, seconds_since(start), f.losses.loss));
    }
    say(fmt::format("expected: {} for {} steps; peak memory {:.2f} GiB; nothing was written",
                    duration_text(best * static_cast<double>(total_)), total_,
                    static_cast<double>(cpu_context().allocator().statistics().peak) / 0x1p30));
    return 0;
  }

  int overfit() {
    const auto batch = to_micro_batches(next_batch(), config_, parts_, 0);
    const double floor = 0.05 * std::log(static_cast<double>(batch_));
    constexpr int64_t kMostSteps = 2000;
    for (int64_t step = 1; step <= kMostSteps; ++step) {
      const StepFigures f = trainer_->step(batch);
      if (step % 20 == 0 || step == 1) {
        say(fmt::format("step {}: clip_loss {:.4f}, recon_loss {:.4f}, accuracy {:.1f} %", step, f.losses.clip_loss,
                        f.losses.recon_loss, 100 * f.losses.clip_accuracy));
      }
      if (f.losses.clip_loss < floor) {
        say(fmt::format("reached clip_loss {:.4f} below {:.4f} after {} steps: one batch can be learned",
                        f.losses.clip_loss, floor, step));
        return 0;
      }
    }
    throw Error(fmt::format("overfit: the loss stayed above {:.4f} for {} steps", floor, kMostSteps));
  }

  void open_folder() {
    const std::filesystem::path folder = std::filesystem::path(config_.run.logs) / config_.run.name;
    if (options_.resume.empty()) {
      files_.emplace(RunFiles::create(folder));
      write_file_atomically(files_->config(), fmt::format("# {}\n{}", options_.command, to_toml(config_)));
      return;
    }
    files_.emplace(RunFiles::open(folder));
    check_resumable(load_config(files_->config()), config_);
    const auto step = files_->latest();
    if (!step) {
      say("no complete checkpoint yet: starting from the beginning");
    } else {
      const nn::Metadata state = trainer_->load(files_->checkpoint(*step));
      if (state.at("vocabulary") != tokenizer_->vocabulary().digest()) {
        throw ConfigError(fmt::format("--resume: the run's vocabulary is {}, expected that of {}: {}",
                                      state.at("vocabulary"), config_.data.vocabulary,
                                      tokenizer_->vocabulary().digest()));
      }
      if (state.at("isa") != cpu_context().kernels().name) {
        say(fmt::format("warning: the run was on {}, this is {}: results will agree to rounding only", state.at("isa"),
                        cpu_context().kernels().name));
      }
      best_ = std::stod(state.at("best"));
      loader_ = open_loader(config_, data_, tokenizer_, batch_, LoaderState::from_json(state.at("loader")));
      say(fmt::format("resumed after step {}", *step));
    }
    RunFiles::truncate(files_->metrics(), trainer_->steps());
    RunFiles::truncate(files_->results(), trainer_->steps());
  }

  int train() {
    ProgressLine progress(trainer_->steps(), total_, std::max<int64_t>(config_.run.log_every_n_steps, 1));
    int64_t stuck = 0;
    while (trainer_->steps() < total_) {
      const Clock::time_point start = Clock::now();
      const Batch& batch = next_batch();
      const double data_time = seconds_since(start);
      loader_state_ = batch.next;
      const StepFigures f = trainer_->step(to_micro_batches(batch, config_, parts_, trainer_->steps()));
      const double time = seconds_since(start);
      const int64_t step = trainer_->steps();
      log_step(step, batch.epoch, f, time, data_time);
      progress.show(step, f, static_cast<double>(batch_) / time);
      stuck = std::abs(f.losses.clip_loss - std::log(static_cast<double>(batch_))) < 0.02 ? stuck + 1 : 0;
      if (stuck == 500) say("warning: the contrastive loss has stayed at ln N for 500 steps; try --overfit-batch");
      const bool epoch_end = step % steps_per_epoch_ == 0;
      const int64_t epoch = step / steps_per_epoch_;
      const auto due = [&](int64_t every) { return epoch_end && every > 0 && epoch % every == 0; };
      if (val_ && (due(config_.run.val_frequency) || step == total_)) {
        progress.clear();
        validate(step);
      }
      const int64_t every = config_.run.save_every_steps;
      if (due(config_.run.save_frequency) || (every > 0 && step % every == 0) || step == total_ || interrupted != 0) {
        save(step);
      }
      if (interrupted != 0) {
        progress.clear();
        say(fmt::format("interrupted: saved after step {}; --resume latest goes on", step));
        return 130;
      }
    }
    say(fmt::format("finished {} steps: {}", total_, files_->folder().string()));
    return 0;
  }

  void log_step(int64_t step, int64_t epoch, const StepFigures& f, double time, double data_time) const {
    if (step % config_.run.log_every_n_steps != 0 && step != total_ && step != 1) return;
    const auto number = [](double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); };
    Json line;
    line["step"] = step;
    line["epoch"] = epoch;
    line["samples"] = step * batch_;
    line["loss"] = number(f.losses.loss);
    line["clip_loss"] = number(f.losses.clip_loss);
    line["recon_loss"] = number(f.losses.recon_loss);
    line["clip_acc"] = 100.0 * f.losses.clip_accuracy;
    line["logit_scale"] = f.losses.logit_scale;
    line["lr"] = f.lr;
    line["grad_norm"] = number(f.grad_norm);
    line["samples_per_second"] = static_cast<double>(batch_) / time;
    line["batch_time"] = time;
    line["data_time"] = data_time;
    line["memory_peak_bytes"] = cpu_context().allocator().statistics().peak;
    RunFiles::append(files_->metrics(), line.dump());
  }

  void validate(int64_t step) {
    trainer_->swap_ema();
    EmbedOptions options;
    options.transform = eval_transform(config_);
    options.pass = trainer_->pass();
    const Model& model = trainer_->model();
    const ImageEmbeddings images = embed_images(*val_, options, joint_embedding(model, options.pass));
    std::vector<std::string> texts;
    std::vector<int64_t> owner;
    for (size_t i = 0; i < images.captions.size(); ++i) {
      for (const std::string& caption : images.captions[i]) {
        texts.push_back(caption);
        owner.push_back(static_cast<int64_t>(i));
      }
    }
    const Retrieval r = retrieval(images.values, embed_texts(model, texts, encoder_of(tokenizer_), options), owner);
    trainer_->swap_ema();
    Json line;
    line["step"] = step;
    for (const auto& [prefix, d] :
         {std::pair{"image_retrieval", r.text_to_image}, {"text_retrieval", r.image_to_text}}) {
      const std::string name = prefix;
      line[name + "_recall@1"] = d.recall_1;
      line[name + "_recall@5"] = d.recall_5;
      line[name + "_recall@10"] = d.recall_10;
      line[name + "_median_rank"] = d.median_rank;
    }
    RunFiles::append(files_->results(), line.dump());
    say(fmt::format(
        "validation at step {}: text to image R@1 {:.2f} R@5 {:.2f} R@10 {:.2f}, image to text R@10 {:.2f} "
        "(per cent; {} images, {} captions)",
        step, 100 * r.text_to_image.recall_1, 100 * r.text_to_image.recall_5, 100 * r.text_to_image.recall_10,
        100 * r.image_to_text.recall_10, images.values.size(0), texts.size()));
    if (r.text_to_image.recall_10 > best_) {
      best_ = r.text_to_image.recall_10;
      save(step);
      files_->point("best", step);
    }
  }

  void save(int64_t step) {
    const nn::Metadata weights = {{"config", to_toml(config_)},
                                  {"step", std::to_string(step)},
                                  {"vocabulary", tokenizer_->vocabulary().digest()}};
    const nn::Metadata state = {{"loader", loader_state_.to_json()},
                                {"vocabulary", tokenizer_->vocabulary().digest()},
                                {"isa", std::string(cpu_context().kernels().name)},
                                {"best", fmt::format("{}", best_)}};
    trainer_->save(files_->checkpoint(step), weights, state);
    files_->point("latest", step);
    files_->prune(config_.run.keep);
  }

  Config config_;
  PretrainingOptions options_;
  int64_t batch_ = 0, parts_ = 1, steps_per_epoch_ = 0, total_ = 0;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const Dataset> data_, val_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<Trainer> trainer_;
  std::optional<RunFiles> files_;
  Batch current_;
  LoaderState loader_state_;
  double best_ = -1;
};

std::string automatic_name(const Config& config) {
  const std::time_t now = std::time(nullptr);
  return fmt::format("{:%Y_%m_%d-%H_%M_%S}-{}-{}x{}", fmt::localtime(now), config.model.objective,
                     config.model.vision.width, config.model.vision.layers);
}

}  // namespace

int run_pretraining(const Config& config, const PretrainingOptions& options) {
  Config named = config;
  if (named.run.name.empty()) {
    if (!options.resume.empty()) throw ConfigError("--resume: expected --name of the run to go on with, found none");
    named.run.name = automatic_name(config);
  }
  return Pretraining(named, options).run();
}

}  // namespace tessera::rils
