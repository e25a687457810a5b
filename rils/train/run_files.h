#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rils/train/trainer.h"

namespace tessera::rils {

/// The files of one run: logs/NAME with config.toml, metrics.jsonl, results.jsonl and checkpoints/. Everything but the
/// two logs appears whole or not at all; the logs lose what lies beyond the step that a run is resumed from.
class RunFiles {
 public:
  /// A new run's folder; an existing one is refused with ConfigError.
  [[nodiscard]] static RunFiles create(const std::filesystem::path& folder);
  /// An existing run's.
  [[nodiscard]] static RunFiles open(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path config() const { return folder_ / "config.toml"; }
  [[nodiscard]] std::filesystem::path metrics() const { return folder_ / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path results() const { return folder_ / "results.jsonl"; }
  [[nodiscard]] Trainer::Files checkpoint(int64_t step) const;

  /// The step of the newest complete checkpoint.
  [[nodiscard]] std::optional<int64_t> latest() const;
  /// Points `latest` (or `best`) at a step.
  void point(const char* pointer, int64_t step) const;
  /// Removes all but the newest `keep` checkpoints and the best; 0 keeps all.
  void prune(int64_t keep) const;

  /// Appends one line of JSON. Throws IoError.
  static void append(const std::filesystem::path& log, const std::string& line);
  /// Drops the lines of a log whose "step" is beyond, or that are torn.
  static void truncate(const std::filesystem::path& log, int64_t step);

 private:
  explicit RunFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}
  [[nodiscard]] std::vector<int64_t> steps() const;
  [[nodiscard]] std::optional<int64_t> pointed(const char* pointer) const;
  std::filesystem::path folder_;
};

}  // namespace tessera::rils
