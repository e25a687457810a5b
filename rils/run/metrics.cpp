#include "rils/run/metrics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
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

void FigureMeans::add(const Record& record) {
  constexpr std::array<std::string_view, 4> kOthers = {"lr", "logit_scale", "samples_per_second", "flops_of_peak"};
  ++steps_;
  for (const auto& [name, figure] : record.figures()) {
    const double* value = std::get_if<double>(&figure);
    if (value == nullptr || std::ranges::find(kOthers, name) != kOthers.end()) continue;
    const auto sum = std::ranges::find(sums_, name, [](const auto& entry) { return entry.first; });
    if (sum == sums_.end()) {
      sums_.emplace_back(name, *value);
    } else {
      sum->second += *value;
    }
  }
}

Record FigureMeans::means() const {
  Record record;
  for (const auto& [name, sum] : sums_) record.add(name + "_mean", sum / static_cast<double>(steps_));
  return record;
}

double FigureMeans::mean(std::string_view name) const {
  const auto sum = std::ranges::find(sums_, name, [](const auto& entry) { return entry.first; });
  if (sum == sums_.end()) return std::numeric_limits<double>::quiet_NaN();
  return sum->second / static_cast<double>(steps_);
}

void FigureMeans::clear() {
  steps_ = 0;
  sums_.clear();
}

std::string FigureMeans::to_json() const {
  nlohmann::json sums = nlohmann::json::array();
  for (const auto& [name, sum] : sums_) sums.push_back({name, sum});
  return nlohmann::json{{"steps", steps_}, {"sums", std::move(sums)}}.dump();
}

FigureMeans FigureMeans::from_json(std::string_view text) {
  FigureMeans means;
  if (text.empty()) return means;
  try {
    const auto json = nlohmann::json::parse(text);
    json.at("steps").get_to(means.steps_);
    for (const auto& entry : json.at("sums")) {
      means.sums_.emplace_back(entry.at(0).get<std::string>(), entry.at(1).get<double>());
    }
  } catch (const nlohmann::json::exception& error) {
    throw IoError(fmt::format("resume: cannot read the saved sums of the figures: {}", error.what()));
  }
  return means;
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
