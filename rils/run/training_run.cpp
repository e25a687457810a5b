#include "rils/run/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
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

std::optional<double> LoggedStep::mean_loss() const {
  return means.steps() > 1 ? std::optional(means.mean("loss")) : std::nullopt;
}

LoggedStep TrainingRun::log_step(int64_t step, const Record& figures) {
  means_.add(figures);
  LoggedStep logged{step % config_.run.log_every_n_steps == 0 || step == 1 || last(step), means_};
  if (!logged.due) return logged;
  const Record line = Record(figures).append(means_.means());
  metrics_.write(line);
  if (board_) board_->write("train", step, line);
  means_.clear();
  return logged;
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

void TrainingRun::paused(Pause pause, double seconds) {
  Pauses& p = pauses_[static_cast<size_t>(pause)];
  p.seconds += seconds;
  ++p.count;
}

TimeLeft TrainingRun::time_left(int64_t step) const {
  double moving = watch_.seconds();
  for (const Pauses& p : pauses_) moving -= p.seconds;
  TimeLeft left{moving / static_cast<double>(step - first_) * static_cast<double>(length_.total - step)};
  const auto add = [&](Pause pause, int64_t times) {
    const Pauses& p = pauses_[static_cast<size_t>(pause)];
    if (times > 0 && p.count == 0) left.at_least = true;
    if (p.count > 0) left.seconds += p.seconds / static_cast<double>(p.count) * static_cast<double>(times);
  };
  if (validations_) add(Pause::validation, times_left(*validations_, length_, step));
  add(Pause::save, times_left(saves_of(config_.run), length_, step));
  return left;
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

Recurrence saves_of(const RunConfig& run) { return {run.save_every_steps, {run.save_frequency}}; }

int64_t times_left(const Recurrence& recurrence, const TrainingLength& length, int64_t step) {
  if (step >= length.total) return 0;
  std::vector<int64_t> periods;  // in steps, none longer than the run
  if (recurrence.steps > 0 && recurrence.steps <= length.total) periods.push_back(recurrence.steps);
  for (const int64_t epochs : recurrence.epochs) {
    if (epochs > 0 && epochs <= length.total / length.epoch) periods.push_back(epochs * length.epoch);
  }
  const auto multiples = [&](int64_t period) { return length.total / period - step / period; };
  // Steps that are multiples of some of the periods: those of each set of periods, with alternating signs.
  int64_t times = 0;
  for (size_t set = 1; set < size_t{1} << periods.size(); ++set) {
    int64_t common = 1, sign = -1;
    for (size_t i = 0; i < periods.size(); ++i) {
      if ((set >> i & 1U) == 0 || common == 0) continue;
      const int64_t factor = periods[i] / std::gcd(common, periods[i]);
      common = factor <= length.total / common ? common * factor : 0;  // 0: beyond the run
      sign = -sign;
    }
    if (common > 0) times += sign * multiples(common);
  }
  const bool last_counted = std::ranges::any_of(periods, [&](int64_t period) { return length.total % period == 0; });
  return times + (last_counted ? 0 : 1);
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
