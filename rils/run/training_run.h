#pragma once

#include <optional>
#include <string>

#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/run_folder.h"
#include "rils/run/stopwatch.h"
#include "rils/run/tensorboard.h"

namespace tessera::rils {

/// Where a run begins: anew (no folder yet), or in the folder of a run that goes on, after `step` where that has a
/// complete checkpoint.
struct RunStart {
  std::optional<RunFolder> folder;
  std::optional<int64_t> step;
  /// What is to be restored; absent where the run begins with its first step.
  [[nodiscard]] std::optional<CheckpointFiles> checkpoint() const;
};
/// From --resume (see find_resume_point; "" is a new run). Changes nothing on the disk. Throws ConfigError where the
/// run cannot go on with this configuration.
[[nodiscard]] RunStart find_start(const std::string& resume, const Config& config);

/// Steps of a whole run and of an epoch.
struct TrainingLength {
  int64_t total = 0;
  int64_t epoch = 1;
};

/// What every training loop needs besides its model: the run's folder with its figures, results, events and
/// checkpoints, and when each of them is due.
class TrainingRun {
 public:
  /// Makes the folder of a new run, or takes that of a run that goes on and drops what lies beyond the restored step.
  /// Call it once the model is restored: a run that cannot begin leaves no folder. `command` is recorded in
  /// config.toml.
  TrainingRun(const Config& config, Console& console, const RunStart& start, TrainingLength length,
              const std::string& command);

  [[nodiscard]] const RunFolder& folder() const { return folder_; }
  /// Where events go, if they are asked for.
  [[nodiscard]] TensorboardWriter* board() { return board_ ? &*board_ : nullptr; }

  /// A line of metrics.jsonl where the step's figures are to be kept, and the same as events; whether they were.
  bool log_step(int64_t step, const Record& figures);
  /// A line of results.jsonl, and the same as events.
  void log_results(int64_t step, const Record& figures);

  [[nodiscard]] bool last(int64_t step) const { return step == length_.total; }
  /// Whether a step ends an epoch whose number `every` divides; never where `every` is 0.
  [[nodiscard]] bool epoch_due(int64_t step, int64_t every) const;
  /// Whether a checkpoint is to be written after a step, whatever was found in it.
  [[nodiscard]] bool save_due(int64_t step) const;
  /// Where a checkpoint goes. Call saved() once it is complete: that lets `latest` (and `best`) name it and removes old
  /// ones.
  [[nodiscard]] CheckpointFiles checkpoint(int64_t step) const { return folder_.checkpoint(step); }
  void saved(int64_t step, bool best);
  /// At the pace since the run began here.
  [[nodiscard]] double seconds_left(int64_t step) const;

  /// The last line that a person sees, and the exit code.
  int interrupted(int64_t step);
  int finished();

 private:
  void write_configuration();

  const Config& config_;
  Console& console_;
  TrainingLength length_;
  int64_t first_;  // steps made before
  RunFolder folder_;
  RecordLog metrics_, results_;
  std::optional<TensorboardWriter> board_;
  Stopwatch watch_;
};

/// "device cpu (avx2, 2 threads), precision fp32".
[[nodiscard]] std::string describe_device(const RunConfig& run);
/// Warns where a run goes on with other kernels than it had. Each checkpoint's state keeps their name under "isa".
void warn_of_other_kernels(const std::string& isa, Console& console);

}  // namespace tessera::rils
