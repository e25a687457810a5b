#include "rils/train/run_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"

namespace tessera::rils {
namespace fs = std::filesystem;
namespace {

constexpr const char* kWeights = ".safetensors";
constexpr const char* kState = ".state.safetensors";
constexpr const char* kEma = ".ema.safetensors";

std::string stem(int64_t step) { return fmt::format("step_{:08}", step); }

std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with("step_")) return std::nullopt;
  int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
  return error == std::errc() && end != name.data() + 5 ? std::optional(step) : std::nullopt;
}

}  // namespace

RunFiles RunFiles::create(const fs::path& folder) {
  if (fs::exists(folder)) {
    throw ConfigError(fmt::format("run.name: {} exists; expected a new name, or --resume latest", folder.string()));
  }
  std::error_code error;
  fs::create_directories(folder / "checkpoints", error);
  if (error) throw IoError(fmt::format("{}: cannot create: {}", folder.string(), error.message()));
  return RunFiles(folder);
}

RunFiles RunFiles::open(const fs::path& folder) {
  if (!fs::is_directory(folder / "checkpoints")) {
    throw ConfigError(fmt::format("--resume: {} is no run's folder", folder.string()));
  }
  return RunFiles(folder);
}

Trainer::Files RunFiles::checkpoint(int64_t step) const {
  const fs::path base = folder_ / "checkpoints" / stem(step);
  return {base.string() + kWeights, base.string() + kState, base.string() + kEma};
}

std::vector<int64_t> RunFiles::steps() const {
  std::vector<int64_t> found;
  for (const auto& entry : fs::directory_iterator(folder_ / "checkpoints")) {
    const std::string name = entry.path().filename().string();
    const auto step = step_of(name);
    // Weights are written last, so a checkpoint with weights and state is complete.
    if (step && name == stem(*step) + kWeights && fs::exists(checkpoint(*step).state)) found.push_back(*step);
  }
  std::ranges::sort(found);
  return found;
}

std::optional<int64_t> RunFiles::latest() const {
  const auto all = steps();
  return all.empty() ? std::nullopt : std::optional(all.back());
}

void RunFiles::point(const char* pointer, int64_t step) const {
  write_file_atomically(folder_ / "checkpoints" / pointer, stem(step) + kWeights + "\n");
}

std::optional<int64_t> RunFiles::pointed(const char* pointer) const {
  const fs::path path = folder_ / "checkpoints" / pointer;
  return fs::exists(path) ? step_of(read_file(path)) : std::nullopt;
}

void RunFiles::prune(int64_t keep) const {
  if (keep <= 0) return;
  auto all = steps();
  const auto best = pointed("best");
  for (int64_t i = 0; i < static_cast<int64_t>(all.size()) - keep; ++i) {
    const int64_t step = all[static_cast<size_t>(i)];
    if (best == step) continue;
    const Trainer::Files files = checkpoint(step);
    std::error_code ignored;
    for (const fs::path& path : {files.weights, files.state, files.ema}) fs::remove(path, ignored);
  }
}

void RunFiles::append(const fs::path& log, const std::string& line) {
  const int descriptor = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const std::string text = line + "\n";
  const bool written =
      descriptor >= 0 && ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int reason = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!written) throw IoError(fmt::format("{}: cannot write: {}", log.string(), std::strerror(reason)));
}

void RunFiles::truncate(const fs::path& log, int64_t step) {
  if (!fs::exists(log)) return;
  const std::string text = read_file(log);
  std::string kept;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // torn by a kill
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("step") && json["step"].is_number_integer() &&
        json["step"].get<int64_t>() <= step) {
      kept += line + "\n";
    }
  }
  if (kept != text) write_file_atomically(log, kept);
}

}  // namespace tessera::rils
