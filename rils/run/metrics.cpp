#include "rils/run/metrics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace tessera::rils {

Record& Record::add(std::string_view name, int64_t value) {
  figures_.emplace_back(name, value);
  return *this;
}
Record& Record::add(std::string_view name, double value) {
  figures_.emplace_back(name, value);
  return *this;
}
Record& Record::add(std::string_view name, std::string_view value) {
  figures_.emplace_back(name, std::string(value));
  return *this;
}
Record& Record::append(const Record& other) {
  figures_.insert(figures_.end(), other.figures_.begin(), other.figures_.end());
  return *this;
}

std::string Record::json() const {
  nlohmann::ordered_json line = nlohmann::ordered_json::object();
  for (const auto& [name, figure] : figures_) {
    const double* real = std::get_if<double>(&figure);
    if (real != nullptr && !std::isfinite(*real)) {
      line[name] = nullptr;
    } else {
      std::visit([&, &key = name](const auto& value) { line[key] = value; }, figure);
    }
  }
  // Invalid UTF-8 (for example in a path) is replaced, so that it cannot end a run.
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Record to_record(const StepMetrics& m) {
  Record record;
  record.add("step", m.step).add("epoch", m.epoch).add("samples", m.samples);
  record.add("loss", m.loss).append(m.terms);
  if (m.logit_scale) record.add("logit_scale", *m.logit_scale);
  record.add("lr", m.lr).add("grad_norm", m.grad_norm);
  record.add("samples_per_second", m.samples_per_second).add("batch_time", m.batch_time).add("data_time", m.data_time);
  record.add("flops_of_peak", m.flops_of_peak).add("memory_peak_bytes", m.memory_peak_bytes);
  return record;
}

RecordLog::RecordLog(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw IoError(fmt::format("{}: cannot open: {}", path_.string(), std::strerror(errno)));
}

RecordLog::~RecordLog() { ::close(descriptor_); }

void RecordLog::write(const Record& record) {
  const std::string line = record.json() + "\n";
  const ssize_t written = ::write(descriptor_, line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return;
  const char* reason = written < 0 ? std::strerror(errno) : "the disk is full";
  throw IoError(fmt::format("{}: cannot write: {}", path_.string(), reason));
}

}  // namespace tessera::rils
