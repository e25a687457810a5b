#include "rils/train/pretraining.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <optional>

#include "engine/core/error.h"
#include "engine/cpu/peak.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/picture/svg.h"
#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/run_folder.h"
#include "rils/run/signals.h"
#include "rils/run/tensorboard.h"
#include "rils/train/data.h"
#include "rils/train/figures.h"
#include "rils/train/setup.h"
#include "rils/train/validation.h"

namespace tessera::rils {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// A run in its folder: steps, figures, validations and checkpoints, from the first step or from the last checkpoint.
class TrainingLoop {
 public:
  TrainingLoop(TrainingSetup& setup, Console& console, const PretrainingOptions& options)
      : setup_(setup),
        config_(setup.config),
        trainer_(*setup.trainer),
        console_(console),
        validation_(config_, setup.tokenizer, setup.global_batch),
        folder_(open_folder(options)),
        peak_flops_(cpu::fma_peak(cpu_context().kernels().name) * cpu_context().threads().threads()) {
    console_.tee(folder_.log());
    metrics_.emplace(folder_.metrics());
    results_.emplace(folder_.results());
    if (config_.run.report_to == "tensorboard") start_board();
  }

  int run() {
    const StopRequest stop;
    start_ = Clock::now();
    first_step_ = trainer_.steps();
    while (trainer_.steps() < setup_.total_steps) {
      const StepMetrics metrics = train_step();
      const int64_t step = metrics.step;
      report(metrics);
      const bool better = validate(step);
      if (better || save_due(step) || stop.requested()) save(step, better);
      if (stop.requested()) {
        console_.line(fmt::format("interrupted: saved after step {}; --resume latest goes on", step));
        return kInterrupted;
      }
    }
    console_.line(fmt::format("finished {} steps: {}", setup_.total_steps, folder_.path().string()));
    return 0;
  }

 private:
  /// A new folder, or that of the run that goes on, restored.
  RunFolder open_folder(const PretrainingOptions& options) {
    if (options.resume.empty()) {
      RunFolder folder = RunFolder::create(run_path(config_.run));
      folder.write_config(config_, options.command);
      return folder;
    }
    const ResumePoint point = find_resume_point(options.resume, config_.run);
    RunFolder folder = RunFolder::open(point.folder);
    check_resumable(load_config(folder.config()), config_);
    const auto step = point.step ? point.step : folder.latest();
    if (step) {
      restore(folder.checkpoint(*step));
    } else {
      console_.line("no complete checkpoint yet: starting from the beginning");
    }
    folder.drop_lines_beyond(trainer_.steps());
    return folder;
  }

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
    if (state.at("isa") != cpu_context().kernels().name) {
      console_.line(fmt::format("warning: the run was on {}, this is {}: results will agree to rounding only",
                                state.at("isa"), cpu_context().kernels().name));
    }
    best_ = std::stod(state.at("best"));
    setup_.restore_data(LoaderState::from_json(state.at("loader")));
    console_.line(fmt::format("resumed after step {}", trainer_.steps()));
  }

  StepMetrics train_step() {
    const Clock::time_point start = Clock::now();
    const auto micro_batches = setup_.next_micro_batches(console_);
    StepMetrics m;
    m.data_time = seconds_since(start);
    loader_state_ = setup_.batch().next;
    const StepFigures f = trainer_.step(micro_batches);
    m.batch_time = seconds_since(start);
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
    const bool last = m.step == setup_.total_steps;
    const bool due = m.step % config_.run.log_every_n_steps == 0 || m.step == 1 || last;
    if (due) {
      const Record record = to_record(m);
      metrics_->write(record);
      if (board_) board_->write("train", m.step, record);
    }
    const double per_step = seconds_since(start_) / static_cast<double>(m.step - first_step_);
    console_.progress({m.step, setup_.total_steps, m.loss, m.samples_per_second,
                       per_step * static_cast<double>(setup_.total_steps - m.step), terms_},
                      due || m.step == first_step_ + 1);
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

  [[nodiscard]] bool epoch_due(int64_t step, int64_t every) const {
    return every > 0 && step % setup_.steps_per_epoch == 0 && step / setup_.steps_per_epoch % every == 0;
  }

  [[nodiscard]] bool save_due(int64_t step) const {
    const int64_t every = config_.run.save_every_steps;
    return step == setup_.total_steps || (every > 0 && step % every == 0) ||
           epoch_due(step, config_.run.save_frequency);
  }

  /// Validates where it is time; whether the model is the best so far.
  bool validate(int64_t step) {
    const bool last = step == setup_.total_steps;
    const bool pairs = validation_.has_pairs() && (last || epoch_due(step, config_.run.val_frequency));
    const bool classes = validation_.has_classes() && (last || epoch_due(step, config_.run.zeroshot_frequency));
    if (!pairs && !classes) return false;
    trainer_.swap_ema();
    const ValidationReport report = validation_.run(trainer_.model(), trainer_.pass(), pairs, classes);
    if (validation_.has_pairs() && epoch_due(step, config_.run.picture_frequency)) {
      show(validation_.draw(trainer_.model(), config_.loss, trainer_.pass(), folder_.pictures(), step), step);
    }
    trainer_.swap_ema();
    Record line;
    line.add("step", step);
    line.append(report.record);
    results_->write(line);
    if (board_) board_->write("val", step, line);
    for (const std::string& text : report.lines) console_.line(fmt::format("validation at step {}: {}", step, text));
    // One measure decides over a whole run: recall where there are pairs.
    if (validation_.has_pairs() && !pairs) return false;
    if (report.score <= best_) return false;
    best_ = report.score;
    return true;
  }

  void start_board() {
    board_.emplace(folder_.tensorboard());
    // Four blanks make it code.
    std::string text = "    ";
    for (const char c : to_toml(config_)) text += c == '\n' ? std::string("\n    ") : std::string(1, c);
    board_->write_text("configuration", trainer_.steps(), text);
  }

  /// Drawings also go to TensorBoard, as far as they can be made pixels of.
  void show(const std::vector<std::filesystem::path>& drawings, int64_t step) {
    if (!board_) return;
    for (const std::filesystem::path& path : drawings) {
      // step_00000124-heat-map-1: the step has a place of its own.
      const std::string name = path.stem().string(), tag = "pictures/" + name.substr(name.find('-') + 1);
      if (const auto png = picture_bytes(path)) {
        board_->write_picture(tag, step, *png);
      } else if (!told_) {
        console_.line("no pictures in TensorBoard: rsvg-convert (Debian's librsvg2-bin) is missing");
        told_ = true;
      }
    }
  }

  void save(int64_t step, bool best) {
    const std::string digest = vocabulary_digest();
    const nn::Metadata weights = {{"config", to_toml(config_)},
                                  {"preprocessing", preprocessing(config_)},
                                  {"step", std::to_string(step)},
                                  {"truncation", config_.data.truncation},
                                  {"vocabulary", digest}};
    const nn::Metadata state = {{"loader", loader_state_.to_json()},
                                {"vocabulary", digest},
                                {"isa", std::string(cpu_context().kernels().name)},
                                {"best", fmt::format("{}", best_)}};
    trainer_.save(folder_.checkpoint(step), weights, state);
    if (best) folder_.mark_best(step);
    folder_.mark_latest(step);
    folder_.prune(config_.run.keep);
  }

  TrainingSetup& setup_;
  const Config& config_;
  Trainer& trainer_;
  Console& console_;
  Validation validation_;
  double best_ = -1;
  LoaderState loader_state_;
  RunFolder folder_;
  double peak_flops_;
  std::optional<RecordLog> metrics_, results_;
  std::optional<TensorboardWriter> board_;
  bool told_ = false;  // why there are no pictures in it
  Clock::time_point start_;
  int64_t first_step_ = 0;
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
