#include "rils/picture/run_files.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/nesting.h"
#include "rils/run/lines.h"

namespace tessera::rils {

namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMostResultBytes = 64 << 20;

nlohmann::json parse(const std::string& text) {
  if (is_json_bomb(text)) return nlohmann::json::value_t::discarded;
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

std::vector<std::string> read_json_lines(const fs::path& path) {
  if (!fs::exists(path)) return {};
  std::vector<std::string> lines = read_lines(path);
  std::erase_if(lines, [](const std::string& line) { return !parse(line).is_object(); });
  return lines;
}

std::vector<fs::path> files_in(const fs::path& folder, std::string_view extension) {
  std::vector<fs::path> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == extension) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

std::vector<Evaluation> read_evaluations(const fs::path& run) {
  constexpr std::array<const char*, 4> kWords = {"task", "pretrained", "dataset", "command"};
  std::vector<Evaluation> found;
  for (const fs::path& file : files_in(run / "results", ".json")) {
    std::string text = read_file(file, kMostResultBytes);
    const auto json = parse(text);
    const bool has_words = std::ranges::all_of(
        kWords, [&](const char* key) { return !json.is_object() || !json.contains(key) || json.at(key).is_string(); });
    if (json.is_object() && json.contains("metrics") && has_words) {
      found.push_back({file.stem().string(), std::move(text)});
    }
  }
  return found;
}

}  // namespace tessera::rils
