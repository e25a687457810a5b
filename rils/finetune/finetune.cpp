#include "rils/finetune/finetune.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>

#include "engine/core/error.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/eval/loaded_model.h"
#include "rils/finetune/labelled_data.h"
#include "rils/finetune/linear_probe.h"
#include "rils/finetune/loaded_classifier.h"
#include "rils/finetune/probe.h"
#include "rils/finetune/trainer.h"
#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/stopwatch.h"
#include "rils/run/training_run.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

/// Logistic regression is asked for.
bool regresses(const Config& config) {
  return config.finetune.probe == ProbeKind::logistic && (config.finetune.linear || !config.finetune.shots.empty());
}

/// Keys that the probe with LARS has no use for, and batches that cannot be mixed or normalised.
void check_training(const Config& c) {
  const FinetuneConfig& f = c.finetune;
  if (f.probe == ProbeKind::lars) {
    const std::array<std::pair<const char*, double>, 7> unused = {
        {{"finetune.mixup", f.mixup},
         {"finetune.cutmix", f.cutmix},
         {"finetune.smoothing", f.smoothing},
         {"finetune.drop_path", f.drop_path},
         {"optim.ema", c.optim.ema},
         {"optim.grad_clip_norm", c.optim.grad_clip_norm},
         {"finetune.shots", f.shots.empty() ? 0.0 : static_cast<double>(f.shots[0])}}};
    for (const auto& [key, value] : unused) {
      if (value != 0) throw ConfigError(fmt::format("{}: expected 0 with finetune.probe = lars, found {}", key, value));
    }
    if (c.optim.batch_size < 2) throw ConfigError("optim.batch_size: expected at least 2 (batch norm), found 1");
  }
  if ((f.mixup > 0 || f.cutmix > 0) && c.optim.batch_size % 2 != 0) {
    throw ConfigError(fmt::format("optim.batch_size: expected an even number (mixup and cutmix pair images), found {}",
                                  c.optim.batch_size));
  }
}

/// What follows from a checkpoint or from the run that goes on: encoder, normalisation, image size, learning rate.
Config resolve(Config c, const FinetuningOptions& options) {
  FinetuneConfig& f = c.finetune;
  const auto take_model = [&](const Config& from) {
    c.model = from.model;
    c.augment.image_mean = from.augment.image_mean;
    c.augment.image_std = from.augment.image_std;
  };
  if (!options.resume.empty()) {
    const Config stored = load_config(RunFolder::open(find_resume_point(options.resume, c.run).folder).config());
    if (stored.finetune.data_path.empty()) {
      throw ConfigError(
          fmt::format("--resume: expected a run of finetune, found one of pretrain at {}", options.resume));
    }
    // As when the run began: a checkpoint decides, or what was said; a model said anew is compared below.
    if (!stored.finetune.finetune.empty() || c.model == Config().model) take_model(stored);
    if (f.input_size == 0) f.input_size = stored.finetune.input_size;
    if (c.optim.lr == 0) c.optim.lr = stored.optim.lr;
  } else if (!f.finetune.empty()) {
    take_model(config_of(nn::SafetensorsFile(f.finetune)));
  }
  if (f.input_size != 0) c.model.vision.image_size = f.input_size;
  f.input_size = c.model.vision.image_size;
  if (c.optim.lr == 0) c.optim.lr = f.blr * static_cast<double>(c.optim.batch_size * c.optim.accum_freq) / 256.0;
  check_config(c);
  if (!options.eval && !regresses(c)) check_training(c);
  if (c.run.name.empty()) c.run.name = automatic_name(c.model) + "-finetune";
  return c;
}

std::string describe(const ClassifierReport& r) {
  std::string text = fmt::format("top 1 {:.2f} %", 100 * r.figures.acc1);
  if (std::isfinite(r.figures.acc5)) text += fmt::format(", top 5 {:.2f} %", 100 * r.figures.acc5);
  return text + fmt::format(", mean per class {:.2f} %, loss {:.4f} over {} images; {}",
                            100 * r.figures.mean_per_class_recall, r.loss, r.figures.samples, r.skipped.describe());
}

/// Steps, figures, validations and checkpoints. Trainer: ClassifierTrainer or LinearProbeTrainer.
template <class Trainer>
class FinetuningLoop {
 public:
  FinetuningLoop(const Config& config, LabelledData data, Console& console, const FinetuningOptions& options)
      : config_(config),
        data_(std::move(data)),
        console_(console),
        loader_(training_loader(config_, training_images(), {})),
        trainer_(config_, data_.classes, loader_->batches_per_epoch()),
        run_(config_, console,
             {options.resume, options.command, [&] { start_from_weights(); }, [&](const auto& f) { restore(f); }}) {}

  int run() {
    print_plan();
    return run_.work(trainer_.steps(), {trainer_.plan().total_steps(), trainer_.plan().steps_per_epoch()},
                     {[&](int64_t step) { report(step, train_step()); }, [&](int64_t step) { return validate(step); },
                      [&](const auto& files) { save(files); }});
  }

 private:
  [[nodiscard]] std::shared_ptr<const Dataset> training_images() const {
    if (config_.finetune.train_fraction == 1.0) return data_.train;
    return std::make_shared<SubsetDataset>(
        data_.train, draw_fraction(data_, config_.finetune.train_fraction, static_cast<uint64_t>(config_.run.seed)));
  }

  void start_from_weights() {
    if (config_.finetune.finetune.empty()) return;
    trainer_.start_from(nn::SafetensorsFile(config_.finetune.finetune));
  }

  void restore(const CheckpointFiles& files) {
    const nn::Metadata state = trainer_.load(files);
    warn_of_other_kernels(state.at("isa"), console_);
    best_ = std::stod(state.at("best"));
    samples_ = std::stoll(state.at("samples"));
    loader_ = training_loader(config_, training_images(), LoaderState::from_json(state.at("loader")));
  }

  void print_plan() const {
    const OptimConfig& o = config_.optim;
    const std::string start = config_.finetune.finetune.empty() ? "scratch" : config_.finetune.finetune;
    console_.line(fmt::format("classifier of {} classes from {}: {} trained parameters, {} pixels", data_.classes,
                              start, trainer_.trained_parameters(), config_.model.vision.image_size));
    console_.line(fmt::format("data {}: {} images to learn from, {} to judge by; {}", config_.finetune.data_path,
                              loader_->samples_per_epoch(), data_.val->size(), data_.train->skipped().describe()));
    console_.line(fmt::format("batch {} = {} x {}, learning rate {:g}; {} steps an epoch, {} in all",
                              o.batch_size * o.accum_freq, o.batch_size, o.accum_freq, o.lr,
                              trainer_.plan().steps_per_epoch(), trainer_.plan().total_steps()));
    console_.line(fmt::format("device cpu ({}, {} threads), precision {}", cpu_context().kernels().name,
                              cpu_context().threads().threads(), config_.run.precision));
  }

  [[nodiscard]] std::vector<LabelledBatch> next_batches() {
    std::vector<LabelledBatch> batches;
    const int64_t size = config_.model.vision.image_size;
    for (int64_t i = 0; i < trainer_.plan().batches_of(trainer_.steps()); ++i) {
      while (!loader_->next(batch_)) {
        const LoaderStats& stats = loader_->stats();
        console_.line(
            fmt::format("epoch of {} samples: {} seen, {}", stats.total, stats.seen, stats.skipped.describe()));
      }
      batches.push_back(
          {Tensor::from(std::span<const float>(batch_.images), {batch_.size, 3, size, size}), batch_.labels});
    }
    return batches;
  }

  Record train_step() {
    const Stopwatch watch;
    const auto batches = next_batches();
    const double data_time = watch.seconds();
    const int64_t samples = std::ssize(batches) * config_.optim.batch_size;
    const ClassifierFigures f = trainer_.step(batches);
    const double batch_time = watch.seconds();
    samples_ += samples;
    loss_ = f.loss;
    rate_ = static_cast<double>(samples) / batch_time;
    Record line;
    line.add("step", trainer_.steps()).add("epoch", batch_.epoch).add("samples", samples_);
    line.add("loss", f.loss).add("lr", f.lr).add("grad_norm", f.grad_norm);
    line.add("samples_per_second", rate_).add("batch_time", batch_time).add("data_time", data_time);
    line.add("memory_peak_bytes", cpu_context().allocator().statistics().peak);
    return line;
  }

  void report(int64_t step, const Record& line) {
    const bool due = run_.log_due(step);
    if (due) run_.log(step, line);
    console_.progress({step, trainer_.plan().total_steps(), loss_, rate_, run_.seconds_left(step), "", "images"}, due);
  }

  /// Validates where it is time; whether the model is the best so far.
  bool validate(int64_t step) {
    if (!run_.last(step) && !run_.epoch_due(step, config_.run.val_frequency)) return false;
    const ClassifierReport found = trainer_.judge_on(*data_.val);
    Record line;
    line.add("step", step).add("acc1", found.figures.acc1).add("acc5", found.figures.acc5);
    line.add("mean_per_class_recall", found.figures.mean_per_class_recall).add("loss", found.loss);
    line.add("samples", found.figures.samples);
    run_.log_results(step, line);
    console_.line(fmt::format("validation at step {}: {}", step, describe(found)));
    if (found.figures.acc1 <= best_) return false;
    best_ = found.figures.acc1;
    return true;
  }

  void save(const CheckpointFiles& files) {
    const nn::Metadata weights = {{"config", to_toml(config_)},
                                  {"preprocessing", preprocessing(config_)},
                                  {"step", std::to_string(trainer_.steps())},
                                  {"classes", fmt::format("{}", fmt::join(data_.class_names, "\n"))}};
    const nn::Metadata state = {{"loader", batch_.next.to_json()},
                                {"isa", std::string(cpu_context().kernels().name)},
                                {"samples", std::to_string(samples_)},
                                {"best", fmt::format("{}", best_)}};
    trainer_.save(files, weights, state);
  }

  Config config_;
  LabelledData data_;
  Console& console_;
  std::unique_ptr<Loader> loader_;
  Trainer trainer_;
  double best_ = -1, loss_ = 0, rate_ = 0;
  int64_t samples_ = 0;
  TrainingRun run_;
  Batch batch_;
};

/// Classes of data that a classifier is to judge: its own, in its order.
void check_classes(const LabelledData& data, const LoadedClassifier& model, const std::string& path) {
  for (size_t i = 0; i < data.class_names.size(); ++i) {
    const std::string own = i < model.classes.size() ? model.classes[i] : "none";
    if (data.class_names[i] != own) {
      throw ConfigError(
          fmt::format("finetune.data_path: expected the classes of the run, number {} of which is {}, "
                      "found {} in {}",
                      i + 1, own, data.class_names[i], path));
    }
  }
}

/// --eval: the weights that --resume names on the held-out images, or their averages where there are any, as validation
/// does.
int evaluate_run(const Config& config, const LabelledData& data, Console& console, const FinetuningOptions& options) {
  if (options.resume.empty()) {
    throw ConfigError("--eval: expected --resume with the run to evaluate, found none");
  }
  const ResumePoint point = find_resume_point(options.resume, config.run);
  const RunFolder folder = RunFolder::open(point.folder);
  const auto step = point.step ? point.step : folder.latest();
  if (!step) throw ConfigError(fmt::format("--resume: expected a checkpoint in {}, found none", point.folder.string()));
  const CheckpointFiles files = folder.checkpoint(*step);
  const bool averages = std::filesystem::exists(files.ema);
  LoadedClassifier model =
      load_classifier(nn::SafetensorsFile(averages ? files.ema : files.weights), config.run.precision);
  model.embed.batch_size = config.optim.batch_size;
  check_classes(data, model, config.finetune.data_path);
  console.line(fmt::format("step {}{}: {}", *step, averages ? ", averages" : "",
                           describe(judge(model.logits, *data.val, model.embed))));
  return 0;
}

}  // namespace

int run_finetuning(const Config& config, const FinetuningOptions& options) {
  if (config.run.device != "auto") (void)context(parse_device(config.run.device));
  Console console;
  Config resolved = resolve(config, options);
  LabelledData data = open_labelled(resolved);
  resolved.finetune.nb_classes = data.classes;
  if (options.eval) return evaluate_run(resolved, data, console, options);
  if (resolved.model.vision.pool == Pool::cls && resolved.finetune.pool == Pool::mean) {
    console.line(
        "note: the checkpoint's encoder pools by its CLS token, this run by the mean of its patches; --cls-token "
        "follows it");
  }
  if (regresses(resolved)) return run_probe(resolved, data, console, options.command);
  if (resolved.finetune.probe == ProbeKind::lars) {
    return FinetuningLoop<LinearProbeTrainer>(resolved, std::move(data), console, options).run();
  }
  return FinetuningLoop<ClassifierTrainer>(resolved, std::move(data), console, options).run();
}

}  // namespace tessera::rils
