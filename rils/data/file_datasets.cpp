#include "rils/data/file_datasets.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <system_error>

#include "rils/data/byte_source.h"
#include "rils/data/captions.h"
#include "rils/data/decode.h"
#include "rils/data/sources.h"

namespace tessera::rils {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::error_code ignored;
  if (const auto size = fs::file_size(path, ignored); !ignored)
    path.extension() == ".json" ? check_text_sizes(0, size) : check_text_sizes(size, 0);
  const auto bytes = read_sample_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The size of a file; 0 for none.
int64_t size_of_file(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(bytes);
}

/// Collects the image files below a folder; within each folder they are sorted by the bytes of their names.
void collect_images(const fs::path& folder, const fs::path& relative, std::vector<std::string>& found) {
  auto entries = list_folder(folder);
  std::ranges::sort(entries, [](const auto& a, const auto& b) { return a.native() < b.native(); });
  for (const auto& entry : entries) {
    const auto below = relative / entry.filename();
    if (has_image_extension(entry.filename().native())) {
      found.push_back(below.string());
    } else if (is_folder(entry) && !fs::is_symlink(entry)) {
      collect_images(entry, below, found);
    }
  }
}

}  // namespace

std::vector<std::byte> read_sample_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    throw SampleError(skip::kMissingFile, fmt::format("the file {} does not exist", path.string()));
  try {
    return read_bytes(path);
  } catch (const IoError& error) {
    throw SampleError(skip::kUnreadable, error.what());
  }
}

Image read_image(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw IoError(fmt::format("{}: expected an image, found no file", path.string()));
  }
  try {
    return decode_image(read_sample_file(path));
  } catch (const SampleError& error) {
    throw IoError(fmt::format("{}: {}: {}", path.string(), error.reason(), error.what()));
  }
}

FilesDataset::FilesDataset(const fs::path& root, const DatasetOptions& options) : options_(options), root_(root) {
  index_folder(root);
  for (const auto& entry : list_folder(root))
    if (is_folder(entry)) index_folder(entry);
}

void FilesDataset::index_folder(const fs::path& folder) {
  const auto folder_id = static_cast<uint32_t>(folders_.size());
  folders_.push_back(folder.lexically_relative(root_));
  std::map<std::string, Entry> groups;
  for (const auto& path : list_folder(folder)) {
    const std::string extension = path.extension().string(), stem = path.stem().string();
    const bool image = has_image_extension(path.native());
    const bool text = extension == "." + options_.text_key;
    const bool json = extension == ".json" && !stem.ends_with("_stats");
    if (!image && !text && !json) continue;
    Entry& entry = groups.try_emplace(stem, Entry{folder_id, stem, "", false, false}).first->second;
    if (image && entry.image_extension.empty()) entry.image_extension = extension;
    entry.text = entry.text || text;
    entry.json = entry.json || json;
  }
  for (auto& [stem, entry] : groups) {
    const auto path = (folders_[folder_id] / stem).string();
    if (entry.image_extension.empty()) {
      skipped_.add(skip::kNoImage, path);
    } else if (options_.need_caption && !entry.text && !entry.json) {
      skipped_.add(skip::kNoCaption, path);
    } else {
      entries_.push_back(std::move(entry));
    }
  }
}

bool FilesDataset::recognises(const fs::path& root) {
  const auto has_pairs = [](const fs::path& folder, bool& has_images) {
    for (const auto& path : list_folder(folder)) {
      if (!has_image_extension(path.native())) continue;
      has_images = true;
      auto text = path, json = path;
      std::error_code ignored;
      if (fs::exists(text.replace_extension(".txt"), ignored) || fs::exists(json.replace_extension(".json"), ignored))
        return true;
    }
    return false;
  };
  bool has_images = false;
  if (has_pairs(root, has_images)) return true;
  for (const auto& entry : list_folder(root)) {
    if (has_images) break;
    if (is_folder(entry) && has_pairs(entry, has_images)) return true;
  }
  return false;
}

std::string FilesDataset::name(int64_t index) const {
  const Entry& e = entries_.at(static_cast<size_t>(index));
  return (folders_[e.folder] / e.stem).lexically_normal().string();
}

Sample FilesDataset::load(int64_t index, bool with_image) const {
  const Entry& e = entries_.at(static_cast<size_t>(index));
  const auto stem = (root_ / folders_[e.folder] / e.stem).string();
  Sample sample;
  sample.key = e.stem;
  if (with_image) sample.encoded = read_sample_file(stem + e.image_extension);
  std::string json = e.json ? read_text(stem + ".json") : std::string();
  const std::string text = e.text ? read_text(stem + "." + options_.text_key) : std::string();
  sample.captions = captions_for(options_, text, e.text, json);
  if (options_.need_metadata) sample.metadata = std::move(json);
  return sample;
}

int64_t FilesDataset::bytes(int64_t index) const {
  const Entry& e = entries_.at(static_cast<size_t>(index));
  const std::string stem = (root_ / folders_[e.folder] / e.stem).string();
  return size_of_file(stem + e.image_extension) + (e.text ? size_of_file(stem + "." + options_.text_key) : 0) +
         (e.json ? size_of_file(stem + ".json") : 0);
}

FolderDataset::FolderDataset(const fs::path& root) : root_(root) {
  auto folders = list_folder(root);
  std::ranges::sort(folders, [](const auto& a, const auto& b) { return a.native() < b.native(); });
  for (const auto& folder : folders) {
    if (!is_folder(folder)) continue;
    std::vector<std::string> images;
    collect_images(folder, folder.filename(), images);
    const auto label = static_cast<int32_t>(class_names_.size());
    class_names_.push_back(folder.filename().string());
    if (images.empty()) notes_.push_back(fmt::format("{}: this class has no images", folder.string()));
    for (auto& image : images) entries_.push_back({std::move(image), label});
  }
  if (entries_.empty()) throw ConfigError(fmt::format("{}: found no class folder with images", root.string()));
}

Sample FolderDataset::load(int64_t index, bool with_image) const {
  const Entry& e = entries_.at(static_cast<size_t>(index));
  Sample sample;
  sample.key = e.path;
  sample.label = e.label;
  if (with_image) sample.encoded = read_sample_file(root_ / e.path);
  return sample;
}

int64_t FolderDataset::bytes(int64_t index) const { return size_of_file(root_ / name(index)); }

ImageListDataset::ImageListDataset(const std::vector<fs::path>& paths) {
  for (const fs::path& path : paths) {
    if (is_folder(path)) {
      std::vector<std::string> found;
      collect_images(path, "", found);
      for (const std::string& relative : found) paths_.push_back((path / relative).string());
    } else if (fs::exists(path)) {
      paths_.push_back(path.string());
    } else {
      throw IoError(fmt::format("{}: expected an image or a folder of images, found nothing", path.string()));
    }
  }
  if (paths_.empty()) throw IoError(fmt::format("{}: expected images in this folder, found none", paths[0].string()));
}

Sample ImageListDataset::load(int64_t index, bool with_image) const {
  Sample sample;
  sample.key = name(index);
  if (with_image) sample.encoded = read_sample_file(sample.key);
  return sample;
}

TableDataset::TableDataset(const fs::path& path, const DatasetOptions& options)
    : table_(read_caption_table(path, options.table, options.text_encoding)) {
  skipped_ = table_.skipped;
  if (table_.empty_captions > 0)
    notes_.push_back(fmt::format("{}: ignored {} blank captions of images that have other captions", path.string(),
                                 table_.empty_captions));
  if (table_.entries.empty())
    throw IoError(fmt::format("{}: the table has no usable row; {}", path.string(), skipped_.describe()));
}

Sample TableDataset::load(int64_t index, bool with_image) const {
  const auto& e = entry(index);
  Sample sample;
  sample.key = e.image;
  sample.captions = e.captions;
  if (with_image) sample.encoded = read_sample_file(table_.path(e));
  return sample;
}

int64_t TableDataset::bytes(int64_t index) const {
  int64_t bytes = size_of_file(table_.path(entry(index)));
  for (const std::string& caption : entry(index).captions) bytes += std::ssize(caption);
  return bytes;
}

int64_t TableDataset::caption_count(int64_t index) const { return static_cast<int64_t>(entry(index).captions.size()); }

}  // namespace tessera::rils
