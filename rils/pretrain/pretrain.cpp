#include "rils/pretrain/pretrain.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/cpu/peak.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "rils/config/toml.h"
#include "rils/picture/svg.h"
#include "rils/pretrain/setup.h"
#include "rils/pretrain/validation.h"
#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/stopwatch.h"
#include "rils/run/training_run.h"
#include "rils/train/figures.h"
#include "rils/train/inputs.h"

namespace tessera::rils {
namespace {

/// Steps, figures, validations and checkpoints of a pre-training.
class TrainingLoop {
 public:
  TrainingLoop(TrainingSetup& setup, Console& console, const PretrainingOptions& options)
      : setup_(setup),
        config_(setup.config),
        trainer_(*setup.trainer),
        console_(console),
        validation_(config_, setup.tokenizer, setup.global_batch),
        run_(config_, console, {options.resume, options.command, [] {}, [&](const auto& files) { restore(files); }}),
        peak_flops_(cpu::fma_peak(cpu_context().kernels().name) * cpu_context().threads().threads()) {}

  int run() {
    return run_.work(trainer_.steps(), {setup_.total_steps, setup_.steps_per_epoch},
                     {[&](int64_t) { report(train_step()); }, [&](int64_t step) { return validate(step); },
                      [&](const auto& files) { save(files); }});
  }

 private:
  /// Empty where there is no text.
  [[nodiscard]] std::string vocabulary_digest() const {
    return setup_.tokenizer ? setup_.tokenizer->vocabulary().digest() : "";
  }

  void restore(const CheckpointFiles& files) {
    const nn::Metadata state = trainer_.load(files);
    if (state.at("vocabulary") != vocabulary_digest()) {
      throw ConfigError(fmt::format("--resume: data.vocabulary: expected the run's own ({}), found {} ({})",
                                    state.at("vocabulary"), config_.data.vocabulary, vocabulary_digest()));
    }
    warn_of_other_kernels(state.at("isa"), console_);
    best_ = std::stod(state.at("best"));
    setup_.restore_data(LoaderState::from_json(state.at("loader")));
  }

  StepMetrics train_step() {
    const Stopwatch watch;
    const auto micro_batches = setup_.next_micro_batches(console_);
    StepMetrics m;
    m.data_time = watch.seconds();
    loader_state_ = setup_.batch().next;
    const StepFigures f = trainer_.step(micro_batches);
    m.batch_time = watch.seconds();
    m.step = trainer_.steps();
    m.epoch = setup_.batch().epoch;
    m.samples = m.step * setup_.global_batch;
    m.loss = f.losses.loss;
    const Objective& objective = trainer_.model().objective();
    m.terms = term_figures(f.losses, objective);
    terms_ = terms_text(f.losses, objective);
    if (objective.contrastive) {
      m.logit_scale = f.losses.logit_scale;
      warn_when_stuck(f.losses.clip_loss);
    }
    m.lr = f.lr;
    m.grad_norm = f.grad_norm;
    m.samples_per_second = static_cast<double>(setup_.global_batch) / m.batch_time;
    m.flops_of_peak = setup_.step_flops(f.losses.clip_accuracy) / m.batch_time / peak_flops_;
    m.memory_peak_bytes = cpu_context().allocator().statistics().peak;
    return m;
  }

  void report(const StepMetrics& m) {
    const bool due = run_.log_due(m.step);
    if (due) run_.log(m.step, to_record(m));
    console_.progress({m.step, setup_.total_steps, m.loss, m.samples_per_second, run_.seconds_left(m.step), terms_},
                      due);
  }

  void warn_when_stuck(double clip_loss) {
    constexpr int kStuckSteps = 500;
    const double chance = std::log(static_cast<double>(setup_.global_batch));
    stuck_ = std::abs(clip_loss - chance) < 0.02 ? stuck_ + 1 : 0;
    if (stuck_ == kStuckSteps) {
      console_.line(
          fmt::format("warning: the contrastive loss has stayed at ln N = {:.3f} for {} steps; try "
                      "--overfit-batch",
                      chance, kStuckSteps));
    }
  }

  /// Validates where it is time; whether the model is the best so far.
  bool validate(int64_t step) {
    const bool last = run_.last(step);
    const bool pairs = validation_.has_pairs() && (last || run_.epoch_due(step, config_.run.val_frequency));
    const bool classes = validation_.has_classes() && (last || run_.epoch_due(step, config_.run.zeroshot_frequency));
    if (!pairs && !classes) return false;
    trainer_.swap_ema();
    const ValidationReport report = validation_.run(trainer_.model(), trainer_.pass(), pairs, classes);
    if (validation_.has_pairs() && run_.epoch_due(step, config_.run.picture_frequency)) {
      show(validation_.draw(trainer_.model(), config_.loss, trainer_.pass(), run_.folder().pictures(), step), step);
    }
    trainer_.swap_ema();
    Record line;
    line.add("step", step);
    line.append(report.record);
    run_.log_results(step, line);
    for (const std::string& text : report.lines) console_.line(fmt::format("validation at step {}: {}", step, text));
    // One measure decides over a whole run: recall where there are pairs.
    if (validation_.has_pairs() && !pairs) return false;
    if (report.score <= best_) return false;
    best_ = report.score;
    return true;
  }

  /// Drawings also go to TensorBoard, as far as they can be made pixels of.
  void show(const std::vector<std::filesystem::path>& drawings, int64_t step) {
    if (run_.board() == nullptr) return;
    for (const std::filesystem::path& path : drawings) {
      // step_00000124-heat-map-1: the step has a place of its own.
      const std::string name = path.stem().string(), tag = "pictures/" + name.substr(name.find('-') + 1);
      if (const auto png = picture_bytes(path)) {
        run_.board()->write_picture(tag, step, *png);
      } else if (!told_) {
        console_.line("no pictures in TensorBoard: rsvg-convert (Debian's librsvg2-bin) is missing");
        told_ = true;
      }
    }
  }

  void save(const CheckpointFiles& files) {
    const std::string digest = vocabulary_digest();
    const nn::Metadata weights = {{"config", to_toml(config_)},
                                  {"preprocessing", preprocessing(config_)},
                                  {"step", std::to_string(trainer_.steps())},
                                  {"truncation", config_.data.truncation},
                                  {"vocabulary", digest}};
    const nn::Metadata state = {{"loader", loader_state_.to_json()},
                                {"vocabulary", digest},
                                {"isa", std::string(cpu_context().kernels().name)},
                                {"best", fmt::format("{}", best_)}};
    trainer_.save(files, weights, state);
  }

  TrainingSetup& setup_;
  const Config& config_;
  Trainer& trainer_;
  Console& console_;
  Validation validation_;
  double best_ = -1;
  LoaderState loader_state_;
  TrainingRun run_;
  double peak_flops_;
  bool told_ = false;  // why there are no pictures in TensorBoard
  int64_t stuck_ = 0;
  std::string terms_;  // of the last step, for a person
};

}  // namespace

int run_pretraining(const Config& config, const PretrainingOptions& options) {
  Config named = config;
  if (named.run.name.empty()) named.run.name = automatic_name(config.model);
  Console console;
  TrainingSetup setup(named);
  if (!options.pretrained.empty()) setup.start_from(options.pretrained, console);
  setup.print_plan(console);
  if (options.dry_run) return dry_run(setup, console);
  if (options.overfit_batch) return overfit_batch(setup, console);
  return TrainingLoop(setup, console, options).run();
}

}  // namespace tessera::rils
