#include "rils/pretrain/pretrain.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "rils/config/toml.h"
#include "rils/eval/loaded_model.h"
#include "rils/picture/svg.h"
#include "rils/pretrain/setup.h"
#include "rils/pretrain/validation.h"
#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/signals.h"
#include "rils/run/stopwatch.h"
#include "rils/run/training_run.h"
#include "rils/train/checkpoint_files.h"
#include "rils/train/figures.h"
#include "rils/train/inputs.h"
#include "rils/train/stored_vocabulary.h"

namespace tessera::rils {
namespace {

/// What the loop remembers from step to step.
struct LoopState {
  double best = -1;         // the best score of a validation
  int64_t stuck_steps = 0;  // in a row with the contrastive loss at chance
  bool told_no_pixels = false;
  FigureMeans means;  // of the steps that no line of the log tells of yet
};

/// The digest of the vocabulary; empty for an objective without text.
std::string vocabulary_digest(const TrainingSetup& setup) {
  return setup.tokenizer ? setup.tokenizer->vocabulary().digest() : "";
}

void save(const TrainingSetup& setup, const CheckpointFiles& files, double best, const FigureMeans& means) {
  nn::Metadata weights = {{"config", to_toml(setup.config)},
                          {"preprocessing", preprocessing(setup.config)},
                          {"step", std::to_string(setup.trainer->steps())},
                          {"truncation", setup.config.data.truncation}};
  store_vocabulary(weights, setup.tokenizer ? &setup.tokenizer->vocabulary() : nullptr);
  const nn::Metadata state = {
      {"loader", setup.place().to_json()}, {"vocabulary", vocabulary_digest(setup)},
      {"data", setup.data_digest},         {"isa", std::string(context(setup.device).kernels().name)},
      {"best", fmt::format("{}", best)},   {"means", means.to_json()}};
  setup.trainer->save(files, weights, state);
}

/// The vocabulary of a resumed run whose file is gone, from the run's folder, or that of `pretrained` if none is named.
/// Null: the configuration's file is to be read.
std::shared_ptr<const Vocabulary> stored_instead(const Config& config, const PretrainingOptions& options,
                                                 Console& console) {
  const std::string& named = config.data.vocabulary;
  if (!terms_of(config.model.objective).contrastive) return nullptr;
  if (!named.empty() && std::filesystem::exists(named)) return nullptr;
  if (!options.resume.empty()) {
    const std::filesystem::path own = RunFolder::open(run_path(config.run), "--resume").vocabulary();
    if (!std::filesystem::exists(own)) return nullptr;
    console.line(fmt::format("vocabulary: {}{}", own.string(),
                             named.empty() ? "" : fmt::format(", since {} does not exist", named)));
    return std::make_shared<const Vocabulary>(Vocabulary::load(own));
  }
  if (!named.empty() || options.pretrained.empty()) return nullptr;
  auto stored = stored_vocabulary(nn::SafetensorsFile(weights_file(options.pretrained)));
  if (stored) console.line(fmt::format("vocabulary: that of {}", options.pretrained));
  return stored;
}

/// Restores model, optimiser and position in the data. Returns what the loop remembers.
LoopState restore(TrainingSetup& setup, const CheckpointFiles& files, Console& console) {
  const nn::Metadata state = setup.trainer->load(files);
  const std::string& vocabulary = word_of_state(state, "vocabulary");
  if (vocabulary != vocabulary_digest(setup)) {
    throw ConfigError(fmt::format("--resume: data.vocabulary: expected the run's own ({}), found {} ({})", vocabulary,
                                  setup.config.data.vocabulary, vocabulary_digest(setup)));
  }
  const auto data = state.find("data");
  check_same_data(data == state.end() ? "" : data->second, setup.data_digest, setup.config.data.train_data, console);
  warn_of_other_kernels(word_of_state(state, "isa"), setup.device, console);
  setup.restore_data(LoaderState::from_json(word_of_state(state, "loader")));
  const int64_t epochs = config_of(nn::SafetensorsFile(files.weights)).optim.epochs;
  const int64_t steps = setup.trainer->steps();
  const nn::CosineSchedule before =
      learning_rates(setup.config.optim, epochs * setup.steps_per_epoch, setup.steps_per_epoch);
  tell_of_epochs(console, epochs, setup.config.optim.epochs, steps, setup.total_steps, before(steps - 1),
                 setup.trainer->lr(steps));
  const auto means = state.find("means");
  return {.best = number_of_state(state, "best"),
          .means = FigureMeans::from_json(means == state.end() ? "" : means->second)};
}

StepMetrics metrics_of(const TrainingSetup& setup, const StepFigures& f, double data_time, double batch_time) {
  const Objective& objective = setup.trainer->model().objective();
  StepMetrics m;
  m.step = setup.trainer->steps();
  m.epoch = setup.epoch();
  m.samples = m.step * setup.global_batch;
  m.loss = f.losses.loss;
  m.terms = term_figures(f.losses, objective);
  if (objective.contrastive) m.logit_scale = f.losses.logit_scale;
  m.lr = f.lr;
  m.grad_norm = f.grad_norm;
  m.samples_per_second = static_cast<double>(setup.global_batch) / batch_time;
  m.batch_time = batch_time;
  m.data_time = data_time;
  m.flops_of_peak = setup.step_flops(f.losses.clip_accuracy) / batch_time / setup.peak_flops;
  m.memory_peak_bytes = context(setup.device).allocator().statistics().peak;
  return m;
}

void warn_when_stuck(const TrainingSetup& setup, double clip_loss, LoopState& state, Console& console) {
  constexpr int kStuckSteps = 500;
  const double chance = std::log(static_cast<double>(setup.global_batch));
  state.stuck_steps = std::abs(clip_loss - chance) < 0.02 ? state.stuck_steps + 1 : 0;
  if (state.stuck_steps != kStuckSteps) return;
  console.line(
      fmt::format("warning: the contrastive loss has stayed at chance, ln N = {:.3f}, for {} steps; try "
                  "--overfit-batch",
                  chance, kStuckSteps));
}

/// Adds drawings to TensorBoard as pictures, if it is asked for and rsvg-convert is installed.
void show(const std::vector<std::filesystem::path>& drawings, int64_t step, TrainingRun& run, LoopState& state,
          Console& console) {
  if (run.board() == nullptr) return;
  for (const std::filesystem::path& path : drawings) {
    // In step_00000124-heat-map-1 the tag is what follows the step, which TensorBoard keeps apart.
    const std::string name = path.stem().string(), tag = "pictures/" + name.substr(name.find('-') + 1);
    if (const auto png = picture_bytes(path)) {
      run.board()->write_picture(tag, step, *png);
    } else if (!state.told_no_pixels) {
      console.line("no pictures in TensorBoard: rsvg-convert (Debian's librsvg2-bin) is missing");
      state.told_no_pixels = true;
    }
  }
}

/// Validates if the step is due, with the averaged weights if there are any. Returns whether the score is the best so
/// far.
bool validate(TrainingSetup& setup, const Validation& validation, int64_t step, TrainingRun& run, LoopState& state,
              Console& console) {
  const RunConfig& c = setup.config.run;
  const bool pairs = validation.has_pairs() && (run.last(step) || run.epoch_due(step, c.val_frequency));
  const bool classes = validation.has_classes() && (run.last(step) || run.epoch_due(step, c.zeroshot_frequency));
  if (!pairs && !classes) return false;
  const Stopwatch watch;
  Trainer& trainer = *setup.trainer;
  trainer.swap_ema();
  const ValidationReport report = validation.run(trainer.model(), trainer.pass(), pairs, classes, console.stages());
  if (validation.has_pairs() && run.epoch_due(step, c.picture_frequency)) {
    const auto& folder = run.folder().pictures();
    show(validation.draw(trainer.model(), setup.config.loss, trainer.pass(), folder, step), step, run, state, console);
  }
  trainer.swap_ema();
  run.paused(Pause::validation, watch.seconds());
  run.log_results(step, Record().add("step", step).append(report.record));
  for (const std::string& text : report.lines) console.line(fmt::format("validation at step {}: {}", step, text));
  // One score decides over a whole run: recall if there are pairs, else zero-shot accuracy.
  if (validation.has_pairs() && !pairs) return false;
  if (report.score <= state.best) return false;
  state.best = report.score;
  return true;
}

int train(TrainingSetup& setup, const PretrainingOptions& options, Console& console) {
  const Validation validation(setup.config, setup.tokenizer, setup.global_batch);
  for (const std::string& line : validation.notes()) console.line(line);
  const RunStart start = find_start(options.resume, setup.config, console, check_checkpoint);
  LoopState state;
  if (const auto files = start.checkpoint()) state = restore(setup, *files, console);
  TrainingRun run(setup.config, console, start, setup.length(), options.command);
  run.continue_means(state.means);
  if (const auto validations = validations_of(setup.config)) run.expect_validations(*validations);
  if (setup.tokenizer && !std::filesystem::exists(run.folder().vocabulary())) {
    setup.tokenizer->vocabulary().save(run.folder().vocabulary());
  }
  Trainer& trainer = *setup.trainer;
  const Objective& objective = trainer.model().objective();
  const StopRequest stop;

  for (int64_t step = trainer.steps() + 1; step <= setup.total_steps; ++step) {
    const Stopwatch watch;
    const std::vector<MicroBatch> batch = setup.next_micro_batches(console);
    const double data_time = watch.seconds();

    const StepFigures figures = trainer.step(batch);

    const StepMetrics m = metrics_of(setup, figures, data_time, watch.seconds());
    const LoggedStep logged = run.log_step(step, to_record(m));
    const TimeLeft left = run.time_left(step);
    console.progress({.step = step,
                      .total = setup.total_steps,
                      .loss = m.loss,
                      .per_second = static_cast<double>(setup.global_batch) / logged.means.mean("batch_time"),
                      .seconds_left = left.seconds,
                      .detail = terms_text(figures.losses, objective),
                      .mean_loss = logged.mean_loss(),
                      .at_least = left.at_least},
                     logged.due);
    if (objective.contrastive) warn_when_stuck(setup, figures.losses.clip_loss, state, console);

    // At the ends of epochs and after the last step.
    const bool best = validate(setup, validation, step, run, state, console);

    const bool interrupted = stop.requested();
    if (best || run.save_due(step) || interrupted) {
      const Stopwatch saving;
      save(setup, run.checkpoint(step), state.best, run.means());
      run.saved(step, best);
      run.paused(Pause::save, saving.seconds());
    }
    if (interrupted) return run.interrupted(step);
  }
  setup.finish_data(console);
  return run.finished();
}

}  // namespace

int run_pretraining(const Config& config, const PretrainingOptions& options) {
  Config named = config;
  if (named.run.name.empty()) named.run.name = automatic_name(config.model);
  Console console;
  TrainingSetup setup(named, stored_instead(named, options, console), console.stages());
  if (!options.pretrained.empty()) setup.start_from(options.pretrained, console);
  setup.print_plan(console);
  if (options.dry_run) {
    const RunStart start = find_start(options.resume, setup.config, console, check_checkpoint, Access::read);
    if (const auto files = start.checkpoint()) (void)restore(setup, *files, console);
    return dry_run(setup, console);
  }
  if (options.overfit_batch) return overfit_batch(setup, console);
  return train(setup, options, console);
}

}  // namespace tessera::rils
