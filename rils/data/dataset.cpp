#include "rils/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "engine/core/philox.h"
#include "rils/data/detect.h"
#include "rils/data/file_datasets.h"
#include "rils/data/idx.h"
#include "rils/data/sources.h"
#include "rils/data/synthetic.h"
#include "rils/data/webdataset.h"
#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::pair<std::string_view, DatasetType>, 8> kTypes = {{{"auto", DatasetType::automatic},
                                                                             {"webdataset", DatasetType::webdataset},
                                                                             {"files", DatasetType::files},
                                                                             {"csv", DatasetType::table},
                                                                             {"idx", DatasetType::idx},
                                                                             {"folder", DatasetType::folder},
                                                                             {"images", DatasetType::images},
                                                                             {"synthetic", DatasetType::synthetic}}};

/// The IDX image file of a split: the one whose name starts with "train" for train, any other for test. A single file
/// serves every split.
fs::path idx_images(const fs::path& folder, const std::string& split) {
  const auto files = idx_files_in(folder);
  if (files.size() == 1) return files[0];
  for (const auto& file : files)
    if (file.filename().string().starts_with("train") == (split == "train")) return file;
  throw ConfigError(fmt::format("{}: the folder has no IDX images of the split '{}'", folder.string(), split));
}

fs::path table_of(const fs::path& folder) {
  const auto tables = tables_in(folder);
  if (tables.size() == 1) return tables[0];
  throw ConfigError(fmt::format("{}: expected one table in the folder, found {}; give the path of the table instead",
                                folder.string(), tables.size()));
}

/// Opens data of any type except tar shards, which are opened together.
std::unique_ptr<Dataset> open_one(const fs::path& path, DatasetType type, const DatasetOptions& options) {
  const bool folder = is_folder(path);
  const bool classes = type == DatasetType::idx || type == DatasetType::folder, images = type == DatasetType::images;
  if ((classes || images) && options.need_caption)
    throw ConfigError(fmt::format("{}: expected captions, but {} have none", path.string(),
                                  images ? "images without texts" : "class folders and IDX files"));
  if (!classes && options.need_label)
    throw ConfigError(
        fmt::format("{}: expected class labels, but the data have {}; class folders are read with "
                    "--dataset-type folder",
                    path.string(), images ? "none" : "captions"));
  switch (type) {
    case DatasetType::table:
      return std::make_unique<TableDataset>(folder ? table_of(path) : path, options);
    case DatasetType::idx:
      return std::make_unique<IdxDataset>(folder ? idx_images(path, options.split) : path);
    case DatasetType::files:
      return std::make_unique<FilesDataset>(path, options);
    case DatasetType::folder:
      return std::make_unique<FolderDataset>(path, options.need_label);
    case DatasetType::images:
      return std::make_unique<ImageListDataset>(std::vector<fs::path>{path});
    default:
      throw ConfigError(fmt::format("{}: this type of data set is not opened by path", path.string()));
  }
}

void append_shards(const fs::path& path, std::vector<fs::path>& shards) {
  if (!is_folder(path)) {
    shards.push_back(path);
    return;
  }
  const auto found = shards_in(path);
  if (found.empty()) throw ConfigError(fmt::format("{}: the folder has no .tar shard", path.string()));
  shards.insert(shards.end(), found.begin(), found.end());
}

}  // namespace

DatasetType dataset_type(std::string_view name) {
  for (const auto& [known, type] : kTypes)
    if (known == name) return type;
  throw ConfigError(
      fmt::format("dataset type '{}': expected auto, webdataset, files, csv, idx, folder, images or synthetic", name));
}

int64_t Dataset::caption_count(int64_t index) const {
  try {
    return std::max<int64_t>(1, static_cast<int64_t>(load(index, false).captions.size()));
  } catch (const SampleError&) {
    return 1;  // load() reports the problem when the sample is used
  }
}

int64_t Dataset::bytes(int64_t) const { return 0; }

std::string digest_of(const Dataset& data) {
  constexpr int64_t kSizes = 10'000;  // sizes of single files take a look at each
  const int64_t every = std::max<int64_t>(1, data.size() / kSizes);
  uint64_t hash = fnv1a64("");
  for (int64_t i = 0; i < data.size(); ++i) {
    hash = hash * 31 + fnv1a64(data.name(i));
    if (i % every == 0) hash = hash * 31 + static_cast<uint64_t>(data.bytes(i));
  }
  return fmt::format("{:016x}", hash);
}

std::unique_ptr<Dataset> open_dataset(std::string_view source, const DatasetOptions& options) {
  if (options.type == DatasetType::synthetic)
    return std::make_unique<SyntheticDataset>(options.synthetic_samples, options.synthetic_size, options.seed);
  std::vector<std::unique_ptr<Dataset>> parts;
  std::vector<std::string> notes;
  std::vector<fs::path> shards;
  DatasetOptions of_shards = options;
  const auto open_shards = [&] {
    if (!shards.empty()) parts.push_back(std::make_unique<WebDataset>(shards, of_shards));
    shards.clear();
  };
  for (const auto& named : expand_sources(source)) {
    Found found = find_data(named, options);
    notes.insert(notes.end(), found.notes.begin(), found.notes.end());
    if (found.type == DatasetType::webdataset) {
      const bool by_line = options.caption_per_line || captions_by_line(found.path);
      if (by_line != of_shards.caption_per_line) open_shards();
      of_shards.caption_per_line = by_line;
      append_shards(found.path, shards);
      continue;
    }
    open_shards();
    parts.push_back(open_one(found.path, found.type, options));
  }
  open_shards();
  auto dataset = parts.size() == 1 ? std::move(parts[0]) : std::make_unique<ConcatDataset>(std::move(parts));
  for (std::string& note : notes) dataset->add_note(std::move(note));
  if (dataset->size() == 0)
    throw IoError(fmt::format("{}: no usable sample; {}", source, dataset->skipped().describe()));
  return dataset;
}

Image decode_sample(const Sample& sample, int64_t max_pixels, bool keep_mode) {
  if (sample.decoded) return *sample.decoded;
  return decode_image(sample.encoded, max_pixels, keep_mode);
}

std::vector<int64_t> hold_out(const std::vector<std::string>& names, int64_t n) {
  std::vector<int64_t> order(names.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<uint64_t> hashes(names.size());
  std::ranges::transform(names, hashes.begin(), [](const std::string& name) { return fnv1a64(name); });
  const auto count = static_cast<std::ptrdiff_t>(std::clamp<int64_t>(n, 0, static_cast<int64_t>(names.size())));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int64_t a, int64_t b) {
    const auto i = static_cast<size_t>(a), j = static_cast<size_t>(b);
    return hashes[i] != hashes[j] ? hashes[i] < hashes[j] : names[i] < names[j];
  });
  order.resize(static_cast<size_t>(count));
  std::ranges::sort(order);
  return order;
}

std::pair<size_t, int64_t> part_of(const std::vector<int64_t>& ends, int64_t index) {
  const auto it = std::ranges::upper_bound(ends, index);
  if (index < 0 || it == ends.end())
    throw ConfigError(fmt::format("expected a sample index below {}, found {}", ends.empty() ? 0 : ends.back(), index));
  const auto part = static_cast<size_t>(it - ends.begin());
  return {part, index - (part == 0 ? 0 : ends[part - 1])};
}

SubsetDataset::SubsetDataset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices)
    : whole_(std::move(whole)), indices_(std::move(indices)) {
  for (const int64_t index : indices_)
    if (index < 0 || index >= whole_->size())
      throw ConfigError(fmt::format("subset: expected indices below {1}, found {0}", index, whole_->size()));
  class_names_ = whole_->class_names();
  classes_are_folders_ = whole_->classes_are_folders();
}

ConcatDataset::ConcatDataset(std::vector<std::unique_ptr<Dataset>> parts) : parts_(std::move(parts)) {
  int64_t end = 0;
  for (const auto& part : parts_) {
    ends_.push_back(end += part->size());
    skipped_.merge(part->skipped());
    notes_.insert(notes_.end(), part->notes().begin(), part->notes().end());
  }
  // Labels of different sources agree only if the class names do.
  if (!parts_.empty()) class_names_ = parts_[0]->class_names(), classes_are_folders_ = parts_[0]->classes_are_folders();
  for (const auto& part : parts_)
    if (part->class_names() != class_names_)
      throw ConfigError("joined data sources must have the same classes in the same order");
}

std::pair<const Dataset*, int64_t> ConcatDataset::locate(int64_t index) const {
  const auto [part, local] = part_of(ends_, index);
  return {parts_[part].get(), local};
}

Sample ConcatDataset::load(int64_t index, bool with_image) const {
  const auto [part, local] = locate(index);
  return part->load(local, with_image);
}
std::string ConcatDataset::name(int64_t index) const {
  const auto [part, local] = locate(index);
  return part->name(local);
}
int64_t ConcatDataset::bytes(int64_t index) const {
  const auto [part, local] = locate(index);
  return part->bytes(local);
}
int64_t ConcatDataset::caption_count(int64_t index) const {
  const auto [part, local] = locate(index);
  return part->caption_count(local);
}

}  // namespace tessera::rils
