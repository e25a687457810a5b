#include "tests/lint/sources.h"

#include <algorithm>

#include "engine/core/atomic_file.h"

namespace tessera::test {

namespace fs = std::filesystem;

fs::path source_root() { return TESSERA_SOURCE_DIR; }

std::vector<fs::path> sources(std::initializer_list<const char*> folders,
                              std::initializer_list<const char*> extensions) {
  std::vector<fs::path> result;
  for (const char* folder : folders) {
    if (!fs::exists(source_root() / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(source_root() / folder)) {
      const bool wanted = std::ranges::find(extensions, entry.path().extension().string()) != extensions.end();
      if (wanted && entry.is_regular_file()) result.push_back(entry.path());
    }
  }
  std::ranges::sort(result);
  return result;
}

std::string read(const fs::path& path) { return read_file(path); }

std::string name_in_tree(const fs::path& path) { return fs::relative(path, source_root()); }

std::vector<std::vector<std::string>> matches(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  std::vector<std::vector<std::string>> result;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it) {
    std::vector<std::string> groups;
    for (const auto& group : *it) groups.push_back(group.str());
    result.push_back(std::move(groups));
  }
  return result;
}

std::vector<std::string> includes(const std::string& text) {
  std::vector<std::string> result;
  for (const auto& m : matches("\n" + text, "\n[ \t]*#[ \t]*include[ \t]*[<\"]([^>\"]+)[>\"]")) result.push_back(m[1]);
  return result;
}
std::vector<std::string> includes_of_ours(const std::string& text) {
  std::vector<std::string> result;
  for (const auto& m : matches("\n" + text, "\n[ \t]*#[ \t]*include[ \t]*\"([^\"]+)\"")) result.push_back(m[1]);
  return result;
}
bool is_standard(const std::string& header) { return header.find_first_of("./") == std::string::npos; }
bool is_for_device(const std::string& header) {
  return header == "cuda_runtime.h" || header == "cuda_bf16.h" || header == "gpu_mma_emulated.h";
}

}  // namespace tessera::test
