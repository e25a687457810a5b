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

/// Named figures in the order in which they were added: a line of metrics.jsonl or results.jsonl.
class Record {
 public:
  using Figure = std::variant<int64_t, double, std::string>;
  Record& add(std::string_view name, int64_t value);
  Record& add(std::string_view name, double value);
  Record& add(std::string_view name, std::string_view value);
  Record& append(const Record& other);
  [[nodiscard]] const std::vector<std::pair<std::string, Figure>>& figures() const { return figures_; }
  /// One line of JSON without its end. Doubles have the digits that read back as the same number; what is not finite
  /// becomes null.
  [[nodiscard]] std::string json() const;

 private:
  std::vector<std::pair<std::string, Figure>> figures_;
};

/// What a training step leaves behind, one line of metrics.jsonl.
struct StepMetrics {
  int64_t step = 0;   // optimiser steps made
  int64_t epoch = 0;  // of the step's batch, from 0
  int64_t samples = 0;
  double loss = 0;
  Record terms;                       // losses and accuracies of the objective's terms
  std::optional<double> logit_scale;  // the factor itself, where there is one
  double lr = 0;
  double grad_norm = 0;  // before clipping
  double samples_per_second = 0;
  double batch_time = 0, data_time = 0;  // seconds; data_time is the wait for the batch
  double flops_of_peak = 0;              // share of the peak; NaN where it is not known
  int64_t memory_peak_bytes = 0;
};
[[nodiscard]] Record to_record(const StepMetrics& metrics);

/// A file of JSON lines that is appended to. Each line reaches the system in one write before write() returns, so that
/// a kill loses at most the line that is being written. Throws IoError with path and reason.
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
