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
#include "rils/finetune/feed.h"
#include "rils/finetune/gathered.h"
#include "rils/finetune/labelled_data.h"
#include "rils/finetune/linear_probe.h"
#include "rils/finetune/loaded_classifier.h"
#include "rils/finetune/probe.h"
#include "rils/finetune/trainer.h"
#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/signals.h"
#include "rils/run/stopwatch.h"
#include "rils/run/training_run.h"
#include "rils/train/checkpoint_files.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

/// Whether the run fits a logistic regression.
bool regresses(const Config& config) {
  return config.finetune.probe == ProbeKind::logistic && (config.finetune.linear || !config.finetune.shots.empty());
}

/// Refuses keys that the probe with LARS does not use, and batch sizes that mixup or batch norm cannot take.
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

/// Fills in what comes from the checkpoint or the resumed run: encoder, normalisation, image size, learning rate.
Config resolve(Config c, const FinetuningOptions& options) {
  FinetuneConfig& f = c.finetune;
  if (!f.finetune.empty()) f.finetune = weights_file(f.finetune);
  const auto take_model = [&](const Config& from) {
    c.model = from.model;
    c.augment.image_mean = from.augment.image_mean;
    c.augment.image_std = from.augment.image_std;
    c.augment.resize_before_rgb = from.augment.resize_before_rgb;
  };
  if (!options.resume.empty()) {
    const Config stored =
        load_config(RunFolder::open(find_resume_point(options.resume, c.run).folder, "--resume").config());
    if (stored.finetune.data_path.empty()) {
      throw ConfigError(
          fmt::format("--resume: expected a run of finetune, found one of pretrain at {}", options.resume));
    }
    // The run's model replaces the configuration's. It does not if the run began from scratch and a model is given now:
    // find_start compares them.
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

/// What the loop keeps from step to step. Checkpoints store it.
struct LoopState {
  double best = -1;          // best top-1 accuracy of a validation so far
  int64_t samples = 0;       // trained on so far
  int64_t epoch = 0;         // of the latest step's data
  LoaderState place;         // in the data, after the latest step that was saved
  std::string data;          // the digest of the training data
  FigureMeans means;         // of the steps that no line of the log tells of yet
  Classification validated;  // by this process, of the last validation
};

std::shared_ptr<const Dataset> training_images(const Config& config, const LabelledData& data) {
  const double fraction = config.finetune.train_fraction;
  if (fraction == 1.0) return data.train;
  const auto drawn = draw_fraction(data, fraction, static_cast<uint64_t>(config.run.seed));
  return std::make_shared<SubsetDataset>(data.train, drawn);
}

template <class Trainer>
void print_plan(const Config& config, const LabelledData& data, const Loader& loader, const Trainer& trainer,
                Console& console) {
  const OptimConfig& o = config.optim;
  const std::string start = config.finetune.finetune.empty() ? "scratch" : config.finetune.finetune;
  console.line(fmt::format("classifier of {} classes from {}: {} trained parameters, {} pixels", data.classes, start,
                           trainer.trained_parameters(), config.model.vision.image_size));
  console.line(fmt::format("data {}: {} train images, {}; {} val images, {}", config.finetune.data_path,
                           loader.samples_per_epoch(), data.train->skipped().describe(), data.val->size(),
                           data.val->skipped().describe()));
  console.line(fmt::format("batch {} = {} x {}, learning rate {:g}; {} steps an epoch, {} in all",
                           o.batch_size * o.accum_freq, o.batch_size, o.accum_freq, o.lr,
                           trainer.plan().steps_per_epoch(), trainer.plan().total_steps()));
  tell_of_warmup(console, "epochs", config.finetune.warmup_epochs, static_cast<double>(o.epochs));
  console.line(describe_device(trainer.device(), config.run.precision));
}

Record figures_of(int64_t step, const LoopState& state, const ClassifierFigures& f, double samples_per_second,
                  double data_time, double batch_time, Device device) {
  Record line;
  line.add("step", step).add("epoch", state.epoch).add("samples", state.samples);
  line.add("loss", f.loss).add("lr", f.lr).add("grad_norm", f.grad_norm);
  line.add("samples_per_second", samples_per_second).add("batch_time", batch_time).add("data_time", data_time);
  line.add("memory_peak_bytes", context(device).allocator().statistics().peak);
  return line;
}

/// The last validation as a result for the run whose encoder was used.
Result result_of(const Config& config, const LabelledData& data, const Classification& c, double seconds) {
  const bool probe = config.finetune.probe == ProbeKind::lars;
  const std::string before = probe ? "lp_" : "", part = probe_setting(0, config.finetune.train_fraction);
  Result r;
  r.task = probe ? "linear_probe" : "finetuning";
  r.setting = !probe ? part : part.empty() ? "lars" : "lars-" + part;
  r.metrics.add(before + "acc1", c.acc1).add(before + "acc5", c.acc5);
  r.metrics.add(before + "mean_per_class_recall", c.mean_per_class_recall);
  r.metrics.add("fewshot_k", int64_t{-1}).add("train_fraction", config.finetune.train_fraction);
  r.metrics.add("epochs", config.optim.epochs).add("seed", config.run.seed);
  r.chance.add(before + "acc1", 1.0 / static_cast<double>(data.classes));
  r.samples = c.samples;
  r.seconds = seconds;
  return r;
}

/// Validates if a validation is due. Returns whether the model is the best so far.
template <class Trainer>
bool validate(const Config& config, const LabelledData& data, Trainer& trainer, int64_t step, TrainingRun& run,
              LoopState& state, Console& console) {
  if (!run.last(step) && !run.epoch_due(step, config.run.val_frequency)) return false;
  const Stopwatch watch;
  const ClassifierReport found = trainer.evaluate_on(*data.val, console.stages());
  run.paused(Pause::validation, watch.seconds());
  Record line;
  line.add("step", step).add("acc1", found.figures.acc1).add("acc5", found.figures.acc5);
  line.add("mean_per_class_recall", found.figures.mean_per_class_recall).add("loss", found.loss);
  line.add("samples", found.figures.samples);
  run.log_results(step, line);
  console.line(fmt::format("validation at step {}: {}", step, describe(found)));
  state.validated = found.figures;
  if (found.figures.acc1 <= state.best) return false;
  state.best = found.figures.acc1;
  return true;
}

template <class Trainer>
void save(const Config& config, const LabelledData& data, Trainer& trainer, const CheckpointFiles& files,
          const LoopState& state, const FigureMeans& means) {
  const nn::Metadata weights = {{"config", to_toml(config)},
                                {"preprocessing", preprocessing(config)},
                                {"step", std::to_string(trainer.steps())},
                                {"classes", fmt::format("{}", fmt::join(data.class_names, "\n"))}};
  const nn::Metadata progress = {{"loader", state.place.to_json()},
                                 {"data", state.data},
                                 {"isa", std::string(context(trainer.device()).kernels().name)},
                                 {"samples", std::to_string(state.samples)},
                                 {"best", fmt::format("{}", state.best)},
                                 {"means", means.to_json()}};
  trainer.save(files, weights, progress);
}

/// Restores model and optimiser. Returns the state of the loop, with the place in the data.
template <class Trainer>
LoopState restore(const Config& config, const LabelledData& data, Trainer& trainer, const CheckpointFiles& files,
                  Console& console) {
  const nn::Metadata progress = trainer.load(files);
  const auto stored = progress.find("data");
  const std::string digest = digest_of(*data.train);
  check_same_data(stored == progress.end() ? "" : stored->second, digest, config.finetune.data_path, console);
  warn_of_other_kernels(word_of_state(progress, "isa"), trainer.device(), console);
  LoopState state{.best = number_of_state(progress, "best"),
                  .samples = static_cast<int64_t>(number_of_state(progress, "samples")),
                  .epoch = 0,
                  .place = LoaderState::from_json(word_of_state(progress, "loader")),
                  .data = digest,
                  .means = {},
                  .validated = {}};
  const auto means = progress.find("means");
  state.means = FigureMeans::from_json(means == progress.end() ? "" : means->second);
  Config before = config;
  before.optim.epochs = config_of(nn::SafetensorsFile(files.weights)).optim.epochs;
  const EpochPlan& plan = trainer.plan();
  tell_of_epochs(console, before.optim.epochs, config.optim.epochs, trainer.steps(), plan.total_steps(),
                 EpochPlan(before, plan.batches).lr(trainer.steps() - 1), plan.lr(trainer.steps()));
  return state;
}

/// The training loop. Trainer is ClassifierTrainer or LinearProbeTrainer.
template <class Trainer>
int train(const Config& config, const LabelledData& data, const FinetuningOptions& options, Console& console,
          Device device) {
  const auto images = training_images(config, data);
  auto loader = training_loader(config, images, {});
  Trainer trainer(config, data.classes, loader->batches_per_epoch(), device);
  const EpochPlan& plan = trainer.plan();
  const RunStart start = find_start(options.resume, config, console, check_checkpoint);
  LoopState state;
  if (const auto files = start.checkpoint()) {
    state = restore(config, data, trainer, *files, console);
    loader = training_loader(config, images, state.place);
  } else if (!config.finetune.finetune.empty()) {
    trainer.start_from(nn::SafetensorsFile(config.finetune.finetune));
  }
  if (state.data.empty()) state.data = digest_of(*data.train);
  TrainingRun run(config, console, start, {.total = plan.total_steps(), .epoch = plan.steps_per_epoch()},
                  options.command);
  run.continue_means(state.means);
  run.expect_validations({0, {config.run.val_frequency}});
  print_plan(config, data, *loader, trainer, console);
  const StopRequest stop;
  const auto feed = feed_labelled(*loader, config, plan, trainer.steps(), device);
  const Stopwatch whole;

  for (int64_t step = trainer.steps() + 1; step <= plan.total_steps(); ++step) {
    const Stopwatch watch;
    const std::vector<LabelledBatch>& batches = feed->next(console);
    const double data_time = watch.seconds();

    const ClassifierFigures figures = trainer.step(batches);

    const int64_t samples = std::ssize(batches) * config.optim.batch_size;
    const double batch_time = watch.seconds(), rate = static_cast<double>(samples) / batch_time;
    state.samples += samples;
    state.epoch = feed->epoch();
    const LoggedStep logged = run.log_step(step, figures_of(step, state, figures, rate, data_time, batch_time, device));
    const TimeLeft left = run.time_left(step);
    console.progress({.step = step,
                      .total = plan.total_steps(),
                      .loss = figures.loss,
                      .per_second = static_cast<double>(samples) / logged.means.mean("batch_time"),
                      .seconds_left = left.seconds,
                      .detail = "",
                      .unit = "images",
                      .mean_loss = logged.mean_loss(),
                      .at_least = left.at_least},
                     logged.due);

    // At the ends of epochs and after the last step.
    const bool best = validate(config, data, trainer, step, run, state, console);

    const bool interrupted = stop.requested();
    if (best || run.save_due(step) || interrupted) {
      const Stopwatch saving;
      state.place = feed->place();
      save(config, data, trainer, run.checkpoint(step), state, run.means());
      run.saved(step, best);
      run.paused(Pause::save, saving.seconds());
    }
    if (run.last(step)) {
      Result result = result_of(config, data, state.validated, whole.seconds());
      console.line(gather_for(config, std::move(result), run.folder(), options.command));
    }
    if (interrupted) return run.interrupted(step);
  }
  feed->finish(console);
  return run.finished();
}

/// Throws unless the data have the classes of the classifier, in the same order.
void check_classes(const LabelledData& data, const LoadedClassifier& model, const std::string& path) {
  for (size_t i = 0; i < data.class_names.size(); ++i) {
    const std::string own = i < model.classes.size() ? model.classes[i] : "none";
    if (data.class_names[i] != own) {
      throw ConfigError(
          fmt::format("finetune.data_path: expected the classes of the run (number {}: {}), found {} in {}", i + 1, own,
                      data.class_names[i], path));
    }
  }
}

/// --eval: evaluates the weights that --resume names on the validation images. Like a validation, it takes their
/// averages if the run has any.
int evaluate_run(const Config& config, const LabelledData& data, Console& console, const FinetuningOptions& options,
                 Device device) {
  if (options.resume.empty()) {
    throw ConfigError("--eval: expected --resume with the run to evaluate, found none");
  }
  const ResumePoint point = find_resume_point(options.resume, config.run);
  const RunFolder folder = RunFolder::open(point.folder, "--resume");
  const auto step = point.step ? point.step : folder.latest();
  if (!step) throw ConfigError(fmt::format("--resume: expected a checkpoint in {}, found none", point.folder.string()));
  const CheckpointFiles files = folder.checkpoint(*step);
  const bool averages = std::filesystem::exists(files.ema);
  LoadedClassifier model =
      load_classifier(nn::SafetensorsFile(averages ? files.ema : files.weights), config.run.precision, device);
  model.embed.batch_size = config.optim.batch_size;
  model.embed.stages = console.stages();
  check_classes(data, model, config.finetune.data_path);
  console.line(fmt::format("step {}{}: {}", *step, averages ? ", averages" : "",
                           describe(evaluate_classifier(model.logits, *data.val, model.embed))));
  return 0;
}

}  // namespace

int run_finetuning(const Config& config, const FinetuningOptions& options) {
  Console console;
  std::string note;
  const Device device = choose_device(config.run.device, note);
  if (!note.empty()) console.line(note);
  Config resolved = resolve(config, options);
  const LabelledData data = open_labelled(resolved, console.stages());
  for (const std::string& line : data.notes) console.line(line);
  resolved.finetune.nb_classes = data.classes;
  if (options.eval) return evaluate_run(resolved, data, console, options, device);
  if (resolved.model.vision.pool == Pool::cls && resolved.finetune.pool == Pool::mean) {
    console.line(
        "note: the checkpoint's encoder pools by its CLS token, this run by the mean of the patch tokens; use "
        "--cls-token to pool as the encoder does");
  }
  if (regresses(resolved)) return run_probe(resolved, data, console, options.command, device);
  if (resolved.finetune.probe == ProbeKind::lars) {
    return train<LinearProbeTrainer>(resolved, data, options, console, device);
  }
  return train<ClassifierTrainer>(resolved, data, options, console, device);
}

}  // namespace tessera::rils
