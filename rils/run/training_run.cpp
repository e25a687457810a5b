#include "rils/run/training_run.h"

#include <fmt/format.h>

#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/run/signals.h"

namespace tessera::rils {
namespace {

RunFolder open_folder(const Config& config, Console& console, const RunStart& start, const std::string& command) {
  if (!start.folder) {
    RunFolder folder = RunFolder::create(run_path(config.run));
    folder.write_config(config, command);
    return folder;
  }
  console.line(start.step ? fmt::format("resumed after step {}", *start.step)
                          : "no complete checkpoint yet: starting from the beginning");
  start.folder->drop_lines_beyond(start.step.value_or(0));
  start.folder->remove_unfinished();
  return *start.folder;
}

}  // namespace

std::optional<CheckpointFiles> RunStart::checkpoint() const {
  if (!folder || !step) return std::nullopt;
  return folder->checkpoint(*step);
}

RunStart find_start(const std::string& resume, const Config& config) {
  if (resume.empty()) return {};
  const ResumePoint point = find_resume_point(resume, config.run);
  RunFolder folder = RunFolder::open(point.folder);
  check_resumable(load_config(folder.config()), config);
  const auto step = point.step ? point.step : folder.latest();
  return {std::move(folder), step};
}

TrainingRun::TrainingRun(const Config& config, Console& console, const RunStart& start, TrainingLength length,
                         const std::string& command)
    : config_(config),
      console_(console),
      length_(length),
      first_(start.step.value_or(0)),
      folder_(open_folder(config, console, start, command)),
      metrics_(folder_.metrics()),
      results_(folder_.results()) {
  console_.tee(folder_.log());
  if (config_.run.report_to != "tensorboard") return;
  board_.emplace(folder_.tensorboard());
  write_configuration();
}

void TrainingRun::write_configuration() {
  // Markdown: four blanks make it code.
  std::string text = "    ";
  for (const char c : to_toml(config_)) text += c == '\n' ? std::string("\n    ") : std::string(1, c);
  board_->write_text("configuration", first_, text);
}

bool TrainingRun::log_step(int64_t step, const Record& figures) {
  if (step % config_.run.log_every_n_steps != 0 && step != 1 && !last(step)) return false;
  metrics_.write(figures);
  if (board_) board_->write("train", step, figures);
  return true;
}

void TrainingRun::log_results(int64_t step, const Record& figures) {
  results_.write(figures);
  if (board_) board_->write("val", step, figures);
}

bool TrainingRun::epoch_due(int64_t step, int64_t every) const {
  return every > 0 && step % length_.epoch == 0 && step / length_.epoch % every == 0;
}

bool TrainingRun::save_due(int64_t step) const {
  const int64_t every = config_.run.save_every_steps;
  return last(step) || (every > 0 && step % every == 0) || epoch_due(step, config_.run.save_frequency);
}

void TrainingRun::saved(int64_t step, bool best) {
  if (best) folder_.mark_best(step);
  folder_.mark_latest(step);
  folder_.prune(config_.run.keep);
}

double TrainingRun::seconds_left(int64_t step) const {
  return watch_.seconds() / static_cast<double>(step - first_) * static_cast<double>(length_.total - step);
}

int TrainingRun::interrupted(int64_t step) {
  console_.line(fmt::format("interrupted: saved after step {}; --resume latest goes on", step));
  return kInterrupted;
}

int TrainingRun::finished() {
  console_.line(fmt::format("finished {} steps: {}", length_.total, folder_.path().string()));
  return 0;
}

std::string describe_device(Device device, const std::string& precision) {
  return fmt::format("device {} ({}), precision {}", to_string(device), context(device).backend().description(),
                     precision);
}

void warn_of_other_kernels(const std::string& isa, Device device, Console& console) {
  const std::string_view here = context(device).kernels().name;
  if (isa == here) return;
  console.line(fmt::format("warning: the run was on {}, this is {}: results will agree to rounding only", isa, here));
}

}  // namespace tessera::rils
