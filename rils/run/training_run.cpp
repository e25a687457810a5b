#include "rils/run/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "engine/core/error.h"
#include "engine/ops/kernels.h"
#include "engine/runtime/context.h"
#include "rils/config/schema.h"
#include "rils/config/toml.h"
#include "rils/run/signals.h"

namespace tessera::rils {
namespace {

/// The newest checkpoint, up to the latest, whose files belong together. Throws the first error if there is none.
std::optional<int64_t> newest_sound(const RunFolder& folder, Console& console, const CheckFiles& check) {
  const auto latest = folder.latest();
  std::vector<int64_t> steps = folder.complete();
  std::erase_if(steps, [&](int64_t step) { return step > latest; });
  std::ranges::reverse(steps);  // clang 14 does not understand the view of that name
  std::optional<IoError> first;
  for (const int64_t step : steps) {
    try {
      const std::string remark = check(folder.checkpoint(step));
      if (first) console.line(fmt::format("damaged: {}; going back to step {}", first->what(), step));
      if (!remark.empty()) console.line(remark);
      return step;
    } catch (const IoError& error) {
      if (!first) first = error;
    }
  }
  if (first) throw IoError(*first);
  return std::nullopt;
}

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

RunStart find_start(const std::string& resume, const Config& config, Console& console, const CheckFiles& check,
                    Access access) {
  if (resume.empty()) return {};
  const ResumePoint point = find_resume_point(resume, config.run);
  RunFolder folder = RunFolder::open(point.folder, "--resume");
  check_resumable(load_config(folder.config()), config);
  if (access == Access::write) folder.lock();
  if (point.step) {
    const std::string remark = check(folder.checkpoint(*point.step));
    if (!remark.empty()) console.line(remark);
    return {std::move(folder), point.step};
  }
  const auto step = newest_sound(folder, console, check);
  if (!step && folder.has_history()) {
    throw ConfigError(
        fmt::format("--resume: expected a checkpoint in {}, found none, and the run has made steps: it "
                    "cannot go on; use another --name to begin again",
                    folder.checkpoints().string()));
  }
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
      results_(folder_.results()),
      saves_(folder_.saves()) {
  // The list of a run that an earlier version began is empty here.
  if (start.step && !folder_.has_history()) saves_.write(Record().add("step", *start.step));
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
  saves_.write(Record().add("step", step));
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
  if (first_ > length_.total) {
    console_.line(fmt::format("nothing to do: the run has made {} steps, more than the {} that are asked for: {}",
                              first_, length_.total, folder_.path().string()));
    return 0;
  }
  console_.line(fmt::format("finished {} steps: {}", length_.total, folder_.path().string()));
  return 0;
}

void tell_of_epochs(Console& console, int64_t epochs, int64_t now, int64_t steps, int64_t total, double last_lr,
                    double next_lr) {
  if (now == epochs || steps >= total) return;
  console.line(
      fmt::format("{} epochs instead of {}: the schedule of the learning rate is {}; the rate goes from {:.2g} to "
                  "{:.2g} at step {}",
                  now, epochs, now > epochs ? "stretched" : "shortened", last_lr, next_lr, steps + 1));
}

void tell_of_warmup(Console& console, const char* unit, double warmup, double total) {
  if (warmup <= total) return;
  console.line(fmt::format("the warm-up of {} {} is longer than the run of {}: the learning rate rises to its end",
                           warmup, unit, total));
}

void check_same_data(const std::string& stored, const std::string& now, const std::string& source, Console& console) {
  if (stored.empty()) {
    console.line(fmt::format(
        "data {}: not verified: the checkpoint has no digest of them (an earlier version wrote it)", source));
  } else if (stored != now) {
    throw ConfigError(fmt::format(
        "--resume: {}: expected the run's own data ({}), found names or sizes that differ ({})", source, stored, now));
  }
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
