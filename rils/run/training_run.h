#pragma once

#include <functional>
#include <optional>
#include <string>

#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/run_folder.h"
#include "rils/run/stopwatch.h"
#include "rils/run/tensorboard.h"

namespace tessera::rils {

/// Of a whole run, in steps.
struct TrainingLength {
  int64_t total = 0;
  int64_t epoch = 1;
};

/// Where a run begins: at its first step, or (resume not empty) at its last checkpoint.
struct TrainingStart {
  std::string resume;   // see find_resume_point
  std::string command;  // for config.toml
  std::function<void()> begin;
  std::function<void(const CheckpointFiles& files)> restore;
};

/// What a training loop does; TrainingRun says when.
struct TrainingWork {
  std::function<void(int64_t step)> train;            // one step, and what is said about it
  std::function<bool(int64_t step)> validate;         // where it is time; whether the model is the best so far
  std::function<void(const CheckpointFiles&)> write;  // a checkpoint
};

/// The part of training that is the same whatever is trained: a run's folder, opened or resumed, with its figures,
/// results, events and checkpoints; when each is due; the loop to the last step or to Ctrl-C.
class TrainingRun {
 public:
  /// Opens the folder: a new one after start.begin, or that of the run that goes on after start.restore. Throws
  /// ConfigError where the run cannot go on with this configuration.
  TrainingRun(const Config& config, Console& console, const TrainingStart& start);

  [[nodiscard]] const RunFolder& folder() const { return folder_; }
  /// Where events go, if they are asked for.
  [[nodiscard]] TensorboardWriter* board() { return board_ ? &*board_ : nullptr; }

  /// Works from the step after `first`; the exit code, 0 or kInterrupted. A checkpoint is written when it is due, when
  /// the model is the best, and before leaving at Ctrl-C.
  int work(int64_t first, TrainingLength length, const TrainingWork& work);

  /// A line of metrics.jsonl, or of results.jsonl, and the same as events.
  void log(int64_t step, const Record& figures);
  void log_results(int64_t step, const Record& figures);
  /// Whether the figures of a step are to be kept.
  [[nodiscard]] bool log_due(int64_t step) const;
  /// Whether a step ends every so-manieth epoch; never where `every` is 0.
  [[nodiscard]] bool epoch_due(int64_t step, int64_t every) const;
  [[nodiscard]] bool last(int64_t step) const { return step == length_.total; }
  /// At the pace since work() began.
  [[nodiscard]] double seconds_left(int64_t step) const;

 private:
  RunFolder open(const Config& config, const TrainingStart& start);
  [[nodiscard]] bool save_due(int64_t step) const;

  void write_configuration(int64_t step);

  const Config& config_;
  Console& console_;
  RunFolder folder_;
  RecordLog metrics_, results_;
  std::optional<TensorboardWriter> board_;
  TrainingLength length_;
  int64_t first_ = 0;
  Stopwatch watch_;  // since the loop began
};

/// Warns where a run goes on with other kernels than it had. Each checkpoint's state keeps their name under "isa".
void warn_of_other_kernels(const std::string& isa, Console& console);

}  // namespace tessera::rils
