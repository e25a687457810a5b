#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/device.h"
#include "rils/run/metrics.h"
#include "rils/run/progress.h"
#include "rils/run/run_folder.h"
#include "rils/run/stopwatch.h"
#include "rils/run/tensorboard.h"

namespace tessera::rils {

/// Where a run begins: as a new run (no folder yet), or in the folder of a run that is resumed. `step` is the
/// checkpoint to restore; it is absent if the folder has no complete one.
struct RunStart {
  std::optional<RunFolder> folder;
  std::optional<int64_t> step;
  /// The files to restore; absent if the run begins with its first step.
  [[nodiscard]] std::optional<CheckpointFiles> checkpoint() const;
};
/// Whether a resumed run will be written to.
enum class Access : uint8_t { read, write };
/// Checks that the files of a checkpoint belong together (check_checkpoint of rils/train). Returns remarks; throws
/// IoError if they do not.
using CheckFiles = std::function<std::string(const CheckpointFiles&)>;

/// Finds the start that --resume names (see find_resume_point; "" is a new run), and locks the folder for writing.
/// Where no step is named and the newest checkpoint is damaged, it takes the one before and tells the console. Changes
/// no file. Throws ConfigError if the run cannot be resumed with this configuration, if another process writes it, or
/// if it has lost its checkpoints; IoError if the checkpoint that is named, or every one, is damaged.
[[nodiscard]] RunStart find_start(const std::string& resume, const Config& config, Console& console,
                                  const CheckFiles& check, Access access = Access::write);

/// Steps of a whole run and of an epoch.
struct TrainingLength {
  int64_t total = 0;
  int64_t epoch = 1;
};

/// When something comes between the steps of a run: after the last step, and after every `steps` steps or at the end of
/// every so many epochs. 0 is never.
struct Recurrence {
  int64_t steps = 0;
  std::vector<int64_t> epochs;
};
/// How often it comes after `step`.
[[nodiscard]] int64_t times_left(const Recurrence& recurrence, const TrainingLength& length, int64_t step);

/// The checkpoints of a run, whatever its validations find.
[[nodiscard]] Recurrence saves_of(const RunConfig& run);

/// What comes between steps.
enum class Pause : uint8_t { validation, save };

/// The time that a run will still take.
struct TimeLeft {
  double seconds = 0;
  bool at_least = false;  // a pause is still to come of which none has been timed yet
};

/// Whether a step got a line in the log, and the means since the line before, with this step.
struct LoggedStep {
  bool due = false;
  FigureMeans means;
  /// For the console; none if it is the only step.
  [[nodiscard]] std::optional<double> mean_loss() const;
};

/// What every training loop needs besides its model: the run's folder with its figures, results, events and
/// checkpoints, and when each of them is due.
class TrainingRun {
 public:
  /// Makes the folder of a new run, or opens that of a resumed run and drops log lines after the restored step.
  /// Call it once the model is restored: a run that cannot begin leaves no folder. `command` is recorded in
  /// config.toml.
  TrainingRun(const Config& config, Console& console, const RunStart& start, TrainingLength length,
              const std::string& command);

  [[nodiscard]] const RunFolder& folder() const { return folder_; }
  /// The writer of TensorBoard events; null unless run.report_to asks for them.
  [[nodiscard]] TensorboardWriter* board() { return board_ ? &*board_ : nullptr; }

  /// Writes the figures, and their means since the line before, to metrics.jsonl and as events if the step is due: the
  /// first, the last, and every run.log_every_n_steps.
  LoggedStep log_step(int64_t step, const Record& figures);
  /// The means of the steps that no line tells of yet, for a checkpoint.
  [[nodiscard]] const FigureMeans& means() const { return means_; }
  /// Goes on with those of a checkpoint.
  void continue_means(FigureMeans means) { means_ = std::move(means); }
  /// Writes the figures to results.jsonl and as events.
  void log_results(int64_t step, const Record& figures);

  [[nodiscard]] bool last(int64_t step) const { return step == length_.total; }
  /// Whether a step ends an epoch whose number `every` divides; never where `every` is 0.
  [[nodiscard]] bool epoch_due(int64_t step, int64_t every) const;
  /// Whether a checkpoint is due after a step, whatever its validation found.
  [[nodiscard]] bool save_due(int64_t step) const;
  /// The files of a step's checkpoint. Call saved() once they are written: it makes `latest` (and `best`) name the step
  /// and removes old checkpoints.
  [[nodiscard]] CheckpointFiles checkpoint(int64_t step) const { return folder_.checkpoint(step); }
  void saved(int64_t step, bool best);
  /// Says when validations come; without it the run has none.
  void expect_validations(Recurrence recurrence) { validations_ = std::move(recurrence); }
  /// Counts the seconds of a pause.
  void paused(Pause pause, double seconds);
  /// The steps at the mean pace of this process, and the validations and saves that are still to come.
  [[nodiscard]] TimeLeft time_left(int64_t step) const;

  /// Prints the last line. Returns the exit code.
  int interrupted(int64_t step);
  int finished();

 private:
  void write_configuration();

  const Config& config_;
  Console& console_;
  TrainingLength length_;
  int64_t first_;  // steps made before this process
  RunFolder folder_;
  RecordLog metrics_, results_, saves_;
  std::optional<TensorboardWriter> board_;
  FigureMeans means_;
  std::optional<Recurrence> validations_;
  struct Pauses {
    double seconds = 0;
    int64_t count = 0;
  };
  std::array<Pauses, 2> pauses_;  // by Pause
  Stopwatch watch_;
};

/// Says what another number of epochs does to a resumed run: how the learning rate changes from its last step to the
/// next. `epochs` and `now` are the numbers before and now. Says nothing if they are equal or no step is left.
void tell_of_epochs(Console& console, int64_t epochs, int64_t now, int64_t steps, int64_t total, double last_lr,
                    double next_lr);

/// Says so if the warm-up is longer than the run; both are in `unit`.
void tell_of_warmup(Console& console, const char* unit, double warmup, double total);
/// Throws ConfigError unless a resumed run has the training data that it was begun with, by their digests; tells the
/// console if an earlier version recorded none (`stored` is "").
void check_same_data(const std::string& stored, const std::string& now, const std::string& source, Console& console);

/// "device cpu (avx2, 2 threads), precision fp32".
[[nodiscard]] std::string describe_device(Device device, const std::string& precision);
/// Prints a warning if a resumed run used other kernels than `device` does: those of another instruction set or of
/// another kind of device (`isa`, from the checkpoint's state).
void warn_of_other_kernels(const std::string& isa, Device device, Console& console);

}  // namespace tessera::rils
