#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

/// The lines of a .jsonl file, each the text of a JSON object. A line that is not an object (the last one of a killed
/// run, say) is left out, and so is one that nests deeper than 64 or has more than a million values. Empty when the
/// file does not exist.
[[nodiscard]] std::vector<std::string> read_json_lines(const std::filesystem::path& path);

/// A file in the folder results/ of a run, where `evaluate` and `finetune` gather results.
struct Evaluation {
  std::string name;  // of the file, without .json
  std::string json;  // the text of its object
};
/// All of them, ordered by name; other JSON files (without metrics, or with something else where a word belongs) are
/// left out, with the limits of read_json_lines.
[[nodiscard]] std::vector<Evaluation> read_evaluations(const std::filesystem::path& run);

/// The files in a folder with this extension (".svg"), ordered by name. Empty when the folder does not exist.
[[nodiscard]] std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder,
                                                          std::string_view extension);

}  // namespace tessera::rils
