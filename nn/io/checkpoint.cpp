#include "nn/io/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "engine/core/error.h"
#include "engine/ops/copy.h"

namespace tessera::nn {
namespace {

Tensor part_of(const Tensor& arena, const Entry& entry) {
  return arena.slice(0, entry.offset, entry.count()).reshape(entry.shape);
}

void list_some(std::string& text, const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return;
  const size_t shown = std::min<size_t>(names.size(), 3);
  text += fmt::format("{}{} {}: {}{}", text.empty() ? "" : "; ", names.size(), what,
                      fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", "),
                      shown < names.size() ? ", …" : "");
}

[[noreturn]] void refuse(const SafetensorsFile& file, const LoadReport& report) {
  throw IoError(fmt::format("{}: not a checkpoint of this model: {}", file.path().string(), report.summary()));
}

constexpr const char* kSteps = "optimizer_steps";

}  // namespace

std::string save_weights(const std::filesystem::path& path, const ParameterStore& store, const Tensor& values,
                         const Metadata& metadata) {
  const Tensor host = values.to(Device::cpu());
  std::vector<NamedTensor> tensors;
  for (const Entry& entry : store.entries()) tensors.push_back({entry.name, part_of(host, entry)});
  for (const Buffer& buffer : store.buffers()) tensors.push_back({buffer.name, buffer.tensor.to(Device::cpu())});
  return write_checked_safetensors(path, tensors, metadata);
}

std::string save_weights(const std::filesystem::path& path, const ParameterStore& store, const Metadata& metadata) {
  return save_weights(path, store, store.values(), metadata);
}

std::string LoadReport::summary() const {
  std::string text;
  list_some(text, "missing", missing);
  list_some(text, "missing that changes while training", unrestored);
  list_some(text, "unexpected", unexpected);
  list_some(text, "of another shape", mismatched);
  return text.empty() ? "everything matched" : text;
}

LoadReport load_matching(const SafetensorsFile& file, ParameterStore& store) {
  file.check_content();
  LoadReport report;
  const auto differs = [&](const std::string& name, const Shape& shape) {
    const Shape& found = file.tensors().at(name).shape;
    if (found == shape) return false;
    report.mismatched.push_back(fmt::format("{} {} (expected {})", name, to_string(found), to_string(shape)));
    return true;
  };
  for (const Entry& entry : store.entries()) {
    if (!file.contains(entry.name)) {
      report.missing.push_back(entry.name);
    } else if (!differs(entry.name, entry.shape)) {
      copy_into(file.load(entry.name), entry.value());
      entry.parameter->mark_written();
    }
  }
  for (const Buffer& buffer : store.buffers()) {
    if (buffer.kind != Buffer::Kind::running) continue;
    if (!file.contains(buffer.name)) {
      report.unrestored.push_back(buffer.name);
    } else if (file.tensors().at(buffer.name).shape == buffer.tensor.shape()) {
      copy_into(file.load(buffer.name), buffer.tensor);
    }
  }
  for (const auto& [name, info] : file.tensors()) {
    if (store.find(name) != nullptr) continue;
    const auto buffer = std::ranges::find(store.buffers(), name, &Buffer::name);
    if (buffer == store.buffers().end()) {
      report.unexpected.push_back(name);
    } else {
      differs(name, buffer->tensor.shape());
    }
  }
  return report;
}

void load_weights(const SafetensorsFile& file, ParameterStore& store) {
  const LoadReport report = load_matching(file, store);
  if (!report.complete()) refuse(file, report);
}

void load_parameters(const SafetensorsFile& file, ParameterStore& store) {
  const LoadReport report = load_matching(file, store);
  if (!report.fits()) refuse(file, report);
}

namespace {

/// The arenas of an optimiser and the prefix of their names in a file.
using Moments = std::vector<std::pair<std::string, Tensor>>;
Moments moments_of(const AdamW& o) { return {{"m.", o.first_moments()}, {"v.", o.second_moments()}}; }
Moments moments_of(const Lars& o) { return {{"m.", o.momentum()}}; }

std::string save_moments(const std::filesystem::path& path, const ParameterStore& store, const Moments& moments,
                         int64_t steps, Metadata metadata) {
  Moments host;
  for (const auto& [prefix, arena] : moments) host.emplace_back(prefix, arena.to(Device::cpu()));
  std::vector<NamedTensor> tensors;
  for (const Entry& entry : store.entries()) {
    for (const auto& [prefix, arena] : host) tensors.push_back({prefix + entry.name, part_of(arena, entry)});
  }
  metadata[kSteps] = std::to_string(steps);
  return write_checked_safetensors(path, tensors, std::move(metadata));
}

/// Fills the arenas and returns the number of steps.
int64_t load_moments(const SafetensorsFile& file, const ParameterStore& store, const Moments& moments) {
  const int64_t count = steps_of(file);
  file.check_content();
  for (const Entry& entry : store.entries()) {
    for (const auto& [prefix, arena] : moments) {
      const Tensor found = file.load(prefix + entry.name);
      if (found.shape() != entry.shape) {
        throw IoError(fmt::format("{}: {}{} has shape {}, expected {}", file.path().string(), prefix, entry.name,
                                  to_string(found.shape()), to_string(entry.shape)));
      }
      copy_into(found, part_of(arena, entry));
    }
  }
  return count;
}

}  // namespace

int64_t steps_of(const SafetensorsFile& file) {
  const auto steps = file.metadata().find(kSteps);
  int64_t count = -1;
  if (steps != file.metadata().end()) {
    const std::string& text = steps->second;
    std::from_chars(text.data(), text.data() + text.size(), count);
  }
  if (count < 0) throw IoError(fmt::format("{}: no training state: {} is absent", file.path().string(), kSteps));
  return count;
}

std::string save_training_state(const std::filesystem::path& path, const ParameterStore& store, const AdamW& optimizer,
                                Metadata metadata) {
  return save_moments(path, store, moments_of(optimizer), optimizer.steps(), std::move(metadata));
}

Metadata load_training_state(const SafetensorsFile& file, const ParameterStore& store, AdamW& optimizer) {
  optimizer.set_steps(load_moments(file, store, moments_of(optimizer)));
  return file.metadata();
}

std::string save_training_state(const std::filesystem::path& path, const ParameterStore& store, const Lars& optimizer,
                                Metadata metadata) {
  return save_moments(path, store, moments_of(optimizer), optimizer.steps(), std::move(metadata));
}

Metadata load_training_state(const SafetensorsFile& file, const ParameterStore& store, Lars& optimizer) {
  optimizer.set_steps(load_moments(file, store, moments_of(optimizer)));
  return file.metadata();
}

}  // namespace tessera::nn
