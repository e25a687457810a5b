#include "rils/eval/result_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "engine/core/nesting.h"
#include "rils/config/bytes.h"
#include "rils/data/splits.h"
#include "rils/run/run_folder.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// A source by which two results of the same data are known: a path does not depend on the folder that one is in.
std::string one_source(const std::string& source) {
  std::error_code ignored;
  return as_utf8(fs::exists(source, ignored) ? one_path(source).string() : source);
}

Json json_of(const Result& r) {
  Json json;
  json["dataset"] = r.dataset;
  json["model"] = r.model;
  json["pretrained"] = r.pretrained;
  json["task"] = r.task;
  json["language"] = "en";
  json["metrics"] = Json::parse(r.metrics.json());
  if (!r.chance.figures().empty()) json["chance"] = Json::parse(r.chance.json());
  json["samples"] = r.samples;
  json["data"] = one_source(r.data);
  if (!r.setting.empty()) json["setting"] = r.setting;
  json["seconds"] = r.seconds;
  json["command"] = r.command;
  return json;
}

/// Whether a file holds an earlier result of the same task, data and setting.
bool is_earlier(const fs::path& file, const Json& json) {
  constexpr uintmax_t kMostBytes = uintmax_t{1} << 20;
  if (!fs::is_regular_file(fs::symlink_status(file)) || fs::file_size(file) > kMostBytes) return false;
  const std::string text = read_file(file);
  if (is_json_bomb(text)) return false;
  const Json other = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!other.is_object()) return false;
  const auto word = [](const Json& from, const char* key) {
    return from.contains(key) && from.at(key).is_string() ? from.at(key).get<std::string>() : std::string();
  };
  return other.contains("data") &&
         std::ranges::all_of(std::array{"task", "dataset", "data", "setting"},
                             [&](const char* key) { return word(json, key) == word(other, key); });
}

/// A word for a file's name that needs no quotes in a shell.
std::string file_word(const std::string& text) {
  constexpr size_t kMostBytes = 120;
  std::string word = text.substr(0, kMostBytes);
  std::ranges::replace_if(
      word,
      [](char c) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        return !plain && std::string_view(".-+_").find(c) == std::string_view::npos;
      },
      '_');
  return word;
}

}  // namespace

std::string dataset_label(const std::string& source) {
  std::string label;
  for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 2) {
    end = source.find("::", begin);
    fs::path path = source.substr(begin, end == std::string::npos ? end : end - begin);
    // Of "coco/{00000..00059}.tar" the folder says more.
    const bool many = path.filename().string().find_first_of("{*?[") != std::string::npos;
    if ((many && path.has_parent_path()) || !path.has_filename()) path = path.parent_path();
    const std::string name = path.filename().string(), above = path.parent_path().filename().string();
    if (begin > 0) label += '+';
    if (names_split(name) && !above.empty() && above != "." && above != "..") label.append(above).append("/");
    label += name;
  }
  return label;
}

std::string model_label(const ModelConfig& model) {
  return fmt::format("{}-{}x{}", word_of(model.objective), model.vision.width, model.vision.layers);
}

std::string probe_setting(int64_t shots, double fraction) {
  if (shots > 0) return fmt::format("{}-shot{}", shots, shots == 1 ? "" : "s");
  return fraction < 1 ? fmt::format("{:g}-percent", 100 * fraction) : "";
}

void write_result(const Result& result, const fs::path& file) {
  // Names and paths may hold bytes that are no UTF-8.
  write_file_atomically(file, json_of(result).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

fs::path gather_result(const Result& result, const fs::path& run) {
  const fs::path folder = run / "results";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw IoError(fmt::format("{}: cannot create the folder: {}", folder.string(), error.message()));
  // As a file has it: what is no UTF-8 is replaced.
  const Json json = Json::parse(json_of(result).dump(-1, ' ', false, Json::error_handler_t::replace));
  std::string stem = result.task + "-" + file_word(result.dataset);
  if (!result.setting.empty()) stem += "-" + file_word(result.setting);
  fs::path file = folder / (stem + ".json");
  for (int i = 2; fs::exists(fs::symlink_status(file)) && !is_earlier(file, json); ++i) {
    file = folder / fmt::format("{}-{}.json", stem, i);
  }
  write_result(result, file);
  return file;
}

}  // namespace tessera::rils
