#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rils/config/config.h"

namespace tessera::rils {

/// The files of one checkpoint. It is complete when weights and state are there; the weights are written last.
struct CheckpointFiles {
  std::filesystem::path weights, state, ema;
};

/// A run's folder, logs/NAME: config.toml, metrics.jsonl, results.jsonl, out.log, tensorboard/, pictures/ and
/// checkpoints/. Every function throws IoError with the path and the system's reason (a full disk, say) when a file
/// cannot be handled.
class RunFolder {
 public:
  /// Makes the folder. Throws ConfigError when it exists already and holds a run.
  [[nodiscard]] static RunFolder create(const std::filesystem::path& folder);
  /// An existing run's folder. Throws ConfigError when it is none.
  [[nodiscard]] static RunFolder open(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& path() const { return folder_; }
  [[nodiscard]] std::filesystem::path config() const { return folder_ / "config.toml"; }
  [[nodiscard]] std::filesystem::path metrics() const { return folder_ / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path results() const { return folder_ / "results.jsonl"; }
  [[nodiscard]] std::filesystem::path log() const { return folder_ / "out.log"; }
  [[nodiscard]] std::filesystem::path tensorboard() const { return folder_ / "tensorboard"; }
  [[nodiscard]] std::filesystem::path pictures() const { return folder_ / "pictures"; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  /// checkpoints/step_%08d.{safetensors, state.safetensors, ema.safetensors}
  [[nodiscard]] CheckpointFiles checkpoint(int64_t step) const;

  /// Writes config.toml: the configuration below comment lines with the version and the command.
  void write_config(const Config& config, std::string_view command) const;

  /// Steps of the complete checkpoints, ascending.
  [[nodiscard]] std::vector<int64_t> complete() const;
  /// The step that `latest` names, or the newest complete one where that is gone or was never written.
  [[nodiscard]] std::optional<int64_t> latest() const;
  /// The step that `best` names, if it is complete.
  [[nodiscard]] std::optional<int64_t> best() const;
  /// Lets `latest` (or `best`) name a step: one line, the weights' file name.
  void mark_latest(int64_t step) const { mark("latest", step); }
  void mark_best(int64_t step) const { mark("best", step); }
  /// Removes all but the newest `keep` checkpoints up to the latest, and the best; 0 keeps all. Checkpoints beyond the
  /// latest, of a run that went back, stay until they are written again. Calls remove_unfinished.
  void prune(int64_t keep) const;
  /// Removes what a killed run left: temporary files, and up to the latest checkpoint states and averages without
  /// weights.
  void remove_unfinished() const;

  /// Drops the lines of metrics and results that lie beyond a step, so that a run that goes on from there writes none
  /// twice. A torn last line is dropped too.
  void drop_lines_beyond(int64_t step) const;

 private:
  explicit RunFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}
  void mark(const char* pointer, int64_t step) const;
  [[nodiscard]] std::optional<int64_t> marked(const char* pointer) const;
  std::filesystem::path folder_;
};

/// logs/NAME of a configuration.
[[nodiscard]] std::filesystem::path run_path(const RunConfig& run);

/// A folder's path, absolute and without a blank end: "logs/a", "logs/a/" and "./logs/a" are one run.
[[nodiscard]] std::filesystem::path one_path(const std::filesystem::path& folder);
/// What runs are called beside each other: the last part of a path, with as many before it as tell it from the others.
[[nodiscard]] std::vector<std::string> run_labels(const std::vector<std::filesystem::path>& folders);

/// The name of a run that was given none: date, time, objective and the image encoder's size, as in
/// "2026_01_31-17_05_09-rils-768x12p16".
[[nodiscard]] std::string automatic_name(const ModelConfig& model);

/// What --resume names: "latest" (the folder of the configuration), a run's folder, or a weights file in one. Without a
/// step, the latest. Throws ConfigError when it names none of these.
struct ResumePoint {
  std::filesystem::path folder;
  std::optional<int64_t> step;
};
[[nodiscard]] ResumePoint find_resume_point(const std::string& resume, const RunConfig& run);

}  // namespace tessera::rils
