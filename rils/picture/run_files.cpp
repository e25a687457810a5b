#include "rils/picture/run_files.h"

#include <algorithm>

#include "engine/core/atomic_file.h"
#include "rils/run/lines.h"

namespace tessera::rils {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::vector<Json> read_json_lines(const fs::path& path) {
  std::vector<Json> objects;
  if (!fs::exists(path)) return objects;
  for (const std::string& line : read_lines(path)) {
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) objects.push_back(std::move(json));
  }
  return objects;
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
  std::vector<Evaluation> found;
  for (const fs::path& file : files_in(run / "results", ".json")) {
    Json json = Json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.contains("metrics")) found.push_back({file.stem().string(), std::move(json)});
  }
  return found;
}

}  // namespace tessera::rils
