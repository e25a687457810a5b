#include "rils/run/training_run.h"

#include <fmt/format.h>

#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/run/signals.h"

namespace tessera::rils {

TrainingRun::TrainingRun(const Config& config, Console& console, const TrainingStart& start)
    : config_(config),
      console_(console),
      folder_(open(config, start)),
      metrics_(folder_.metrics()),
      results_(folder_.results()) {
  console_.tee(folder_.log());
  if (config_.run.report_to == "tensorboard") board_.emplace(folder_.tensorboard());
}

RunFolder TrainingRun::open(const Config& config, const TrainingStart& start) {
  if (start.resume.empty()) {
    start.begin();
    RunFolder folder = RunFolder::create(run_path(config.run));
    folder.write_config(config, start.command);
    return folder;
  }
  const ResumePoint point = find_resume_point(start.resume, config.run);
  RunFolder folder = RunFolder::open(point.folder);
  check_resumable(load_config(folder.config()), config);
  const auto step = point.step ? point.step : folder.latest();
  if (step) {
    start.restore(folder.checkpoint(*step));
    console_.line(fmt::format("resumed after step {}", *step));
  } else {
    console_.line("no complete checkpoint yet: starting from the beginning");
    start.begin();
  }
  folder.drop_lines_beyond(step.value_or(0));
  folder.remove_unfinished();
  return folder;
}

int TrainingRun::work(int64_t first, TrainingLength length, const TrainingWork& work) {
  const StopRequest stop;
  length_ = length;
  first_ = first;
  watch_ = Stopwatch();
  write_configuration(first);
  for (int64_t step = first + 1; step <= length.total; ++step) {
    work.train(step);
    const bool better = work.validate(step);
    if (better || save_due(step) || stop.requested()) {
      work.write(folder_.checkpoint(step));
      if (better) folder_.mark_best(step);
      folder_.mark_latest(step);
      folder_.prune(config_.run.keep);
    }
    if (stop.requested()) {
      console_.line(fmt::format("interrupted: saved after step {}; --resume latest goes on", step));
      return kInterrupted;
    }
  }
  console_.line(fmt::format("finished {} steps: {}", length.total, folder_.path().string()));
  return 0;
}

void TrainingRun::write_configuration(int64_t step) {
  if (!board_) return;
  // Four blanks make it code.
  std::string text = "    ";
  for (const char c : to_toml(config_)) text += c == '\n' ? std::string("\n    ") : std::string(1, c);
  board_->write_text("configuration", step, text);
}

void TrainingRun::log(int64_t step, const Record& figures) {
  metrics_.write(figures);
  if (board_) board_->write("train", step, figures);
}

void TrainingRun::log_results(int64_t step, const Record& figures) {
  results_.write(figures);
  if (board_) board_->write("val", step, figures);
}

bool TrainingRun::log_due(int64_t step) const {
  return step % config_.run.log_every_n_steps == 0 || step == 1 || last(step);
}

bool TrainingRun::epoch_due(int64_t step, int64_t every) const {
  return every > 0 && step % length_.epoch == 0 && step / length_.epoch % every == 0;
}

bool TrainingRun::save_due(int64_t step) const {
  const int64_t every = config_.run.save_every_steps;
  return last(step) || (every > 0 && step % every == 0) || epoch_due(step, config_.run.save_frequency);
}

double TrainingRun::seconds_left(int64_t step) const {
  return watch_.seconds() / static_cast<double>(step - first_) * static_cast<double>(length_.total - step);
}

void warn_of_other_kernels(const std::string& isa, Console& console) {
  const std::string_view here = cpu_context().kernels().name;
  if (isa == here) return;
  console.line(fmt::format("warning: the run was on {}, this is {}: results will agree to rounding only", isa, here));
}

}  // namespace tessera::rils
