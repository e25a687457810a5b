#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tessera::rils {

/// Named figures in the order in which they were added. A record is one line of metrics.jsonl or results.jsonl.
class Record {
 public:
  using Figure = std::variant<int64_t, double, std::string>;
  Record& add(std::string_view name, int64_t value);
  Record& add(std::string_view name, double value);
  Record& add(std::string_view name, std::string_view value);
  Record& append(const Record& other);
  [[nodiscard]] const std::vector<std::pair<std::string, Figure>>& figures() const { return figures_; }
  /// The record as JSON in one line, without a line break. Doubles have enough digits to read back as the same number;
  /// values that are not finite become null.
  [[nodiscard]] std::string json() const;

 private:
  std::vector<std::pair<std::string, Figure>> figures_;
};

/// The figures of a training step, one line of metrics.jsonl.
struct StepMetrics {
  int64_t step = 0;   // number of optimiser steps so far
  int64_t epoch = 0;  // of the step's batch, from 0
  int64_t samples = 0;
  double loss = 0;
  Record terms;                       // losses and accuracies of the objective's terms
  std::optional<double> logit_scale;  // the factor exp(t), for objectives that have one
  double lr = 0;
  double grad_norm = 0;  // before clipping
  double samples_per_second = 0;
  double batch_time = 0, data_time = 0;  // seconds; data_time is the wait for the batch
  double flops_of_peak = 0;              // fraction of the device's peak; NaN when the peak is not known
  int64_t memory_peak_bytes = 0;
};
[[nodiscard]] Record to_record(const StepMetrics& metrics);

/// Means of figures over steps: of losses, accuracies, gradient norms and times, not of what a schedule sets (lr,
/// logit_scale) nor of rates, which follow from the times.
class FigureMeans {
 public:
  /// Adds the figures of a step.
  void add(const Record& record);
  /// Each mean as NAME_mean, in the order in which the names came.
  [[nodiscard]] Record means() const;
  /// The mean of one figure; NaN when there is none.
  [[nodiscard]] double mean(std::string_view name) const;
  [[nodiscard]] int64_t steps() const { return steps_; }
  void clear();
  /// As JSON, for a checkpoint: a run that is resumed between two lines of its log ends up with the same means.
  [[nodiscard]] std::string to_json() const;
  /// Reads it back; "" is none (a checkpoint of an earlier version). Throws IoError.
  [[nodiscard]] static FigureMeans from_json(std::string_view text);

 private:
  int64_t steps_ = 0;
  std::vector<std::pair<std::string, double>> sums_;
};

/// Appends JSON lines to a file. Each line is passed to the system in one write before write() returns, so a kill loses
/// at most the line that is being written. Throws IoError with path and reason.
class RecordLog {
 public:
  explicit RecordLog(std::filesystem::path path);
  ~RecordLog();
  RecordLog(const RecordLog&) = delete;
  RecordLog& operator=(const RecordLog&) = delete;
  void write(const Record& record);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace tessera::rils
