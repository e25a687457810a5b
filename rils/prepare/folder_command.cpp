#include "rils/prepare/folder_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "rils/data/file_datasets.h"
#include "rils/data/shard_writer.h"
#include "rils/data/splits.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

constexpr const char* kClassNames = "classnames.txt";
constexpr const char* kTemplates = "zeroshot_classification_templates.txt";

/// The folders to read and the names of their splits: those of the input, or the input itself.
std::vector<std::pair<std::string, fs::path>> folders_of(const PrepareFolderOptions& options, PrepareFolderReport& r) {
  const Splits splits = find_splits(options.input);
  if (splits.found.empty()) return {{options.split, options.input}};
  for (const char* kind : {"train", "val", "test"}) (void)splits.choose(kind);  // no split twice
  if (auto others = splits.describe_others(options.input); !others.empty()) r.notes.push_back(std::move(others));
  std::vector<std::pair<std::string, fs::path>> folders;
  for (const Split& split : splits.found) folders.emplace_back(split.name, split.path);
  return folders;
}

void check_classes(const std::vector<std::string>& first, const std::vector<std::string>& other, const fs::path& path) {
  for (size_t i = 0; i < std::max(first.size(), other.size()); ++i) {
    const std::string a = i < first.size() ? first[i] : "nothing", b = i < other.size() ? other[i] : "nothing";
    if (a != b) throw ConfigError(fmt::format("{}: class {} is {}, but {} in the first split", path.string(), i, b, a));
  }
}

PrepareFolderReport::Split write_split(const std::string& name, const FolderDataset& images, const PartsWriter& parts,
                                       const PrepareFolderOptions& options, bool is_first, SkipCounts& skipped,
                                       const PrepareProgress& progress) {
  for (const auto& [reason, entry] : images.skipped().entries())
    skipped.add(reason, fmt::format("{}/{}", name, entry.example), entry.count);
  std::vector<int64_t> sizes(images.class_names().size());
  ShardWriter writer(parts.path(name), options.samples_per_shard, ShardNames::plain);
  for (int64_t i = 0; i < images.size(); ++i) {
    try {
      const Sample sample = images.load(i, true);
      (void)decode_image(sample.encoded, options.max_image_pixels);
      writer.add({sample.encoded, {}, sample.label, sample.key});
      ++sizes.at(static_cast<size_t>(sample.label));
    } catch (const SampleError& error) {
      skipped.add(error.reason(), fmt::format("{}/{}: {}", name, images.name(i), error.what()));
    }
    if (progress) progress(name, i + 1, images.size());
  }
  if (writer.samples() == 0) throw IoError(fmt::format("{}: no usable image; {}", name, skipped.describe()));
  const auto empty = std::ranges::find(sizes, 0);
  if (is_first && empty != sizes.end())
    throw IoError(fmt::format("{}: expected an image of every class, found no usable one of {}; {}", name,
                              images.class_names()[static_cast<size_t>(empty - sizes.begin())], skipped.describe()));
  writer.finish();
  return {name, writer.samples(), writer.shards()};
}

}  // namespace

std::string PrepareFolderReport::describe() const {
  std::string text = fmt::format("{} classes", class_names.size());
  for (const auto& split : splits)
    text += fmt::format("; {}: {} images in {} shards", split.name, split.samples, split.shards);
  text = fmt::format("{}; {}", text, skipped.describe());
  for (const auto& note : notes) text += "\n" + note;
  return text;
}

PrepareFolderReport prepare_folder(const PrepareFolderOptions& options, const PrepareProgress& progress) {
  PrepareFolderReport report;
  std::vector<std::pair<std::string, std::unique_ptr<FolderDataset>>> splits;
  for (const auto& [name, path] : folders_of(options, report)) {
    splits.emplace_back(name, std::make_unique<FolderDataset>(path));
    check_classes(splits[0].second->class_names(), splits.back().second->class_names(), path);
  }
  std::vector<std::string> names = {kClassNames, kTemplates};
  for (const auto& [name, images] : splits) names.push_back(name);
  PartsWriter parts(options.output, std::move(names));
  for (const auto& [name, images] : splits) {
    report.notes.insert(report.notes.end(), images->notes().begin(), images->notes().end());
    report.splits.push_back(
        write_split(name, *images, parts, options, report.splits.empty(), report.skipped, progress));
  }
  report.class_names = splits[0].second->class_names();
  for (auto& name : report.class_names) std::ranges::replace(name, '_', ' ');
  write_lines(parts.path(kClassNames), report.class_names);
  write_lines(parts.path(kTemplates), options.templates);
  parts.finish();
  return report;
}

}  // namespace tessera::rils
