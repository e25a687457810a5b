#include "rils/prepare/folder_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "rils/data/file_datasets.h"
#include "rils/data/shard_writer.h"
#include "rils/data/sources.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

/// The splits of a folder by name: train, val and test if it holds no other folders, otherwise the folder itself.
std::vector<std::pair<std::string, fs::path>> find_splits(const PrepareFolderOptions& options) {
  constexpr std::array<std::string_view, 3> kSplits = {"train", "val", "test"};
  std::vector<std::pair<std::string, fs::path>> splits;
  size_t others = 0;
  for (const auto& entry : list_folder(options.input)) {
    if (!fs::is_directory(entry)) continue;
    const std::string name = entry.filename().string();
    if (std::ranges::find(kSplits, name) == kSplits.end()) {
      ++others;
    } else {
      splits.emplace_back(name, entry);
    }
  }
  if (splits.empty() || others > 0) return {{options.split, options.input}};
  return splits;
}

void check_classes(const std::vector<std::string>& first, const std::vector<std::string>& other, const fs::path& path) {
  for (size_t i = 0; i < std::max(first.size(), other.size()); ++i) {
    const std::string a = i < first.size() ? first[i] : "nothing", b = i < other.size() ? other[i] : "nothing";
    if (a != b) throw ConfigError(fmt::format("{}: class {} is {}, but {} in the first split", path.string(), i, b, a));
  }
}

PrepareFolderReport::Split write_split(const std::string& name, const FolderDataset& images,
                                       const PrepareFolderOptions& options, SkipCounts& skipped) {
  ShardWriter writer(options.output / name, options.samples_per_shard);
  for (int64_t i = 0; i < images.size(); ++i) {
    try {
      const Sample sample = images.load(i, true);
      (void)decode_image(sample.encoded, options.max_image_pixels);
      writer.add({sample.encoded, {}, sample.label, sample.key});
    } catch (const SampleError& error) {
      skipped.add(error.reason(), fmt::format("{}/{}: {}", name, images.name(i), error.what()));
    }
  }
  if (writer.samples() == 0) throw IoError(fmt::format("{}: no usable image; {}", name, skipped.describe()));
  writer.finish();
  return {name, writer.samples(), writer.shards()};
}

}  // namespace

std::string PrepareFolderReport::describe() const {
  std::string text = fmt::format("{} classes", class_names.size());
  for (const auto& split : splits)
    text += fmt::format("; {}: {} images in {} shards", split.name, split.samples, split.shards);
  return fmt::format("{}; {}", text, skipped.describe());
}

PrepareFolderReport prepare_folder(const PrepareFolderOptions& options) {
  std::vector<std::pair<std::string, std::unique_ptr<FolderDataset>>> splits;
  for (const auto& [name, path] : find_splits(options)) {
    splits.emplace_back(name, std::make_unique<FolderDataset>(path));
    check_classes(splits[0].second->class_names(), splits.back().second->class_names(), path);
  }
  PrepareFolderReport report;
  for (const auto& [name, images] : splits)
    report.splits.push_back(write_split(name, *images, options, report.skipped));
  report.class_names = splits[0].second->class_names();
  for (auto& name : report.class_names) std::ranges::replace(name, '_', ' ');
  write_lines(options.output / "classnames.txt", report.class_names);
  write_lines(options.output / "zeroshot_classification_templates.txt", options.templates);
  return report;
}

}  // namespace tessera::rils
