#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rils/config/config.h"
#include "rils/run/run_lock.h"

namespace tessera::rils {

/// The files of one checkpoint. It is complete when weights and state exist; the weights are written last.
struct CheckpointFiles {
  std::filesystem::path weights, state, ema;
};

/// The folder of a run, logs/NAME: config.toml, vocabulary.txt, metrics.jsonl, results.jsonl, checkpoints.jsonl,
/// out.log, tensorboard/, pictures/, results/ and checkpoints/; `lock` while a process writes into it. Every function
/// throws IoError with the path and the system's reason when it cannot read or write a file.
class RunFolder {
 public:
  /// Creates the folder and locks it. A run that ended before its first step counts as none: its files are removed.
  /// Throws ConfigError when the folder holds a run or anything else, or when another process begins one there.
  [[nodiscard]] static RunFolder create(const std::filesystem::path& folder);
  /// Opens the folder of an existing run. Throws ConfigError, with the runs that are there, when it is not the folder
  /// of one; `option` is what named it, if anything did.
  [[nodiscard]] static RunFolder open(const std::filesystem::path& folder, const std::string& option = "");
  /// Locks the folder for writing while this object or a copy of it exists. Throws what RunLock throws.
  void lock();

  [[nodiscard]] const std::filesystem::path& path() const { return folder_; }
  [[nodiscard]] std::filesystem::path config() const { return folder_ / "config.toml"; }
  /// The merges of the run's vocabulary; absent for an objective without text.
  [[nodiscard]] std::filesystem::path vocabulary() const;
  [[nodiscard]] std::filesystem::path metrics() const { return folder_ / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path results() const { return folder_ / "results.jsonl"; }
  /// A line with the step of each checkpoint that was written. It tells a run that has lost its checkpoints from one
  /// that never had any.
  [[nodiscard]] std::filesystem::path saves() const { return folder_ / "checkpoints.jsonl"; }
  [[nodiscard]] std::filesystem::path log() const { return folder_ / "out.log"; }
  [[nodiscard]] std::filesystem::path tensorboard() const { return folder_ / "tensorboard"; }
  [[nodiscard]] std::filesystem::path pictures() const { return folder_ / "pictures"; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  /// checkpoints/step_%08d.{safetensors, state.safetensors, ema.safetensors}
  [[nodiscard]] CheckpointFiles checkpoint(int64_t step) const;

  /// Writes config.toml: comment lines with the version and the command, then the configuration.
  void write_config(const Config& config, std::string_view command) const;

  /// The steps of the complete checkpoints, ascending.
  [[nodiscard]] std::vector<int64_t> complete() const;
  /// The step that `latest` names, or the newest complete checkpoint when that one does not exist.
  [[nodiscard]] std::optional<int64_t> latest() const;
  /// The step that `best` names, if its checkpoint is complete.
  [[nodiscard]] std::optional<int64_t> best() const;
  /// Writes `latest` (or `best`): one line with the name of the step's weights file.
  void mark_latest(int64_t step) const { mark("latest", step); }
  void mark_best(int64_t step) const { mark("best", step); }
  /// Removes old checkpoints: the newest `keep` up to `latest` stay, and so does `best`; 0 keeps all. Checkpoints after
  /// `latest` (of a run that was resumed from an earlier step) stay until they are overwritten. Calls
  /// remove_unfinished.
  void prune(int64_t keep) const;
  /// Removes the leftovers of a killed run: temporary files, and states and averages without weights up to the latest
  /// checkpoint.
  void remove_unfinished() const;

  /// Whether the run has made steps, or saved, that its logs tell of.
  [[nodiscard]] bool has_history() const;
  /// Drops the lines of the logs after a step, so that a run that resumes there does not write them twice.
  /// An incomplete last line is dropped too.
  void drop_lines_beyond(int64_t step) const;

 private:
  explicit RunFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}
  void mark(const char* pointer, int64_t step) const;
  [[nodiscard]] std::optional<int64_t> marked(const char* pointer) const;
  std::filesystem::path folder_;
  std::shared_ptr<const RunLock> lock_;
};

/// The run folder of a configuration, logs/NAME.
[[nodiscard]] std::filesystem::path run_path(const RunConfig& run);

/// The absolute, normalised path of a folder, equal for "logs/a", "logs/a/" and "./logs/a".
[[nodiscard]] std::filesystem::path one_path(const std::filesystem::path& folder);
/// Short names for several runs: the last part of each path, with as many parts before it as make the names different.
[[nodiscard]] std::vector<std::string> run_labels(const std::vector<std::filesystem::path>& folders);

/// The default name of a run: date, time, objective and the image encoder's size, as in
/// "2026_01_31-17_05_09-rils-768x12p16".
[[nodiscard]] std::string automatic_name(const ModelConfig& model);

/// The folder of the run in whose checkpoints/ a file lies; nothing for any other file.
[[nodiscard]] std::optional<std::filesystem::path> run_of(const std::filesystem::path& weights);

/// Resolves --resume: "latest" (the folder of the configuration), a run's folder or its checkpoints/, or a weights file
/// or `latest` or `best` in there. Without a step the latest is meant. Throws ConfigError, with the checkpoints or runs
/// that are there, for anything else.
struct ResumePoint {
  std::filesystem::path folder;
  std::optional<int64_t> step;
};
[[nodiscard]] ResumePoint find_resume_point(const std::string& resume, const RunConfig& run);

/// The weights file that a user names wherever a program takes a checkpoint: RUN, RUN/checkpoints and
/// RUN/checkpoints/latest mean those of the run's latest checkpoint, RUN/checkpoints/best those of its best; any other
/// file, and a folder without checkpoints of ours, is returned as it is. The run may lack its configuration and its
/// training states. Throws ConfigError for a run without a checkpoint and for a folder of runs, and IoError for a
/// `latest` or `best` without its checkpoint, such as a copy elsewhere, and, with the checkpoints or runs that are
/// there, when nothing has that name.
[[nodiscard]] std::string weights_file(const std::string& path);

}  // namespace tessera::rils
