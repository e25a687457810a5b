#include "rils/data/file_datasets.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <system_error>

#include "rils/data/byte_source.h"
#include "rils/data/captions.h"
#include "rils/data/decode.h"
#include "rils/data/sources.h"
#include "rils/text/ascii.h"

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

/// Adds a file to the images, or counts it: "not an image", or "unknown image format" with the format's name.
void take_image(const fs::path& root, const fs::path& relative, std::vector<std::string>& images, SkipCounts& skipped) {
  const ImageName name = image_name(root / relative);
  if (name.image && name.unreadable.empty()) {
    images.push_back(relative.string());
  } else if (name.image) {
    skipped.add(skip::kUnknownFormat, fmt::format("{}: {}", relative.string(), name.unreadable));
  } else {
    skipped.add(skip::kNotAnImage, relative.string());
  }
}

/// Collects the image files below a folder; within each folder they are sorted by the bytes of their names.
void collect_images(FolderWalk& walk, const fs::path& root, const fs::path& relative, std::vector<std::string>& images,
                    SkipCounts& skipped) {
  const FolderEntries entries = walk.enter(relative);
  std::vector<std::pair<std::string, bool>> names;  // and whether it is a folder
  for (const auto& name : entries.files) names.emplace_back(name, false);
  for (const auto& name : entries.folders) names.emplace_back(name, true);
  std::ranges::sort(names);
  for (const auto& [name, is_folder] : names) {
    if (is_folder) {
      collect_images(walk, root, relative / name, images, skipped);
    } else {
      take_image(root, relative / name, images, skipped);
    }
  }
}

std::string text_extension(const DatasetOptions& options) { return "." + lower_ascii(options.text_key); }

bool is_img2datasets_own(const std::string& stem, const std::string& extension) {
  return extension == ".parquet" || (extension == ".json" && stem.ends_with("_stats"));
}

std::optional<std::string> first_pair_below(FolderWalk& walk, const fs::path& relative, const DatasetOptions& options,
                                            bool thorough, bool& has_images) {
  FolderEntries entries = walk.enter(relative);
  entries.sort_naturally();
  std::map<std::string, std::string> images;  // by stem
  for (const fs::path file : entries.files)
    if (has_image_extension(file.native())) images.emplace(file.stem(), file);
  has_images = has_images || !images.empty();
  for (const fs::path file : entries.files) {
    const std::string extension = lower_extension(file);
    if (extension != text_extension(options) && extension != ".json") continue;
    if (const auto image = images.find(file.stem()); image != images.end()) return (relative / image->second).string();
  }
  for (const auto& name : entries.folders) {
    if (has_images && !thorough) break;
    if (auto found = first_pair_below(walk, relative / name, options, thorough, has_images)) return found;
  }
  return std::nullopt;
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

Image read_image(const fs::path& path, bool keep_mode) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw IoError(fmt::format("{}: expected an image, found no file", path.string()));
  }
  try {
    return decode_image(read_sample_file(path), kDefaultMaxImagePixels, keep_mode);
  } catch (const SampleError& error) {
    throw IoError(fmt::format("{}: {}: {}", path.string(), error.reason(), error.what()));
  }
}

/// The files of one name.
struct FilesDataset::Group {
  Entry entry;
  std::vector<std::string> further_images;
  std::string refused, unreadable;  // an image that cannot be decoded, and its format
};

FilesDataset::FilesDataset(const fs::path& root, const DatasetOptions& options) : options_(options), root_(root) {
  FolderWalk walk(root, skipped_);
  index_folder(walk, {});
}

void FilesDataset::index_folder(FolderWalk& walk, const fs::path& relative) {
  FolderEntries entries = walk.enter(relative);
  entries.sort_naturally();
  const auto folder_id = static_cast<uint32_t>(folders_.size());
  folders_.push_back(relative);
  std::map<std::string, Group> groups;
  for (const fs::path file : entries.files) {
    const std::string extension = file.extension().string(), lower = lower_extension(file), stem = file.stem().string();
    if (is_img2datasets_own(stem, lower)) continue;
    Group& group = groups[stem];
    const ImageName name = image_name(root_ / relative / file);
    if (name.image && !name.unreadable.empty()) {
      group.refused = file.string(), group.unreadable = name.unreadable;
    } else if (name.image && !group.entry.image.empty()) {
      group.further_images.push_back(file.string());
    } else if (name.image) {
      group.entry.image = extension;
    } else if (lower == text_extension(options_)) {
      group.entry.text = extension;
    } else if (lower == ".json") {
      group.entry.json = extension;
    }
  }
  for (const auto& [stem, group] : groups) add_group(group, folder_id, stem);
  for (const auto& name : entries.folders) index_folder(walk, relative / name);
}

void FilesDataset::add_group(const Group& group, uint32_t folder, const std::string& stem) {
  const fs::path& relative = folders_[folder];
  for (const auto& image : group.further_images) skipped_.add(skip::kSameName, (relative / image).string());
  const Entry& e = group.entry;
  const auto path = (relative / stem).string();
  if (!group.refused.empty())
    skipped_.add(skip::kUnknownFormat, fmt::format("{}: {}", (relative / group.refused).string(), group.unreadable));
  if (e.image.empty()) {
    if (group.refused.empty()) skipped_.add(skip::kNoImage, path);
  } else if (options_.need_caption && e.text.empty() && e.json.empty()) {
    skipped_.add(skip::kNoCaption, path);
  } else {
    entries_.push_back({folder, stem, e.image, e.text, e.json});
  }
}

std::optional<std::string> FilesDataset::first_pair(const fs::path& root, const DatasetOptions& options,
                                                    bool thorough) {
  SkipCounts uncounted;
  FolderWalk walk(root, uncounted);
  bool has_images = false;
  return first_pair_below(walk, {}, options, thorough, has_images);
}

std::string FilesDataset::beside(const fs::path& folder, const std::string& image) {
  std::string others;
  for (const fs::path name : entries_of(folder).files)
    if (name.stem() == fs::path(image).stem() && name != image) others += " beside " + name.string();
  return image + others;
}

std::string FilesDataset::name(int64_t index) const {
  const Entry& e = entries_.at(static_cast<size_t>(index));
  return (folders_[e.folder] / e.stem).string();
}

Sample FilesDataset::load(int64_t index, bool with_image) const {
  const Entry& e = entries_.at(static_cast<size_t>(index));
  const auto stem = (root_ / folders_[e.folder] / e.stem).string();
  Sample sample;
  sample.key = e.stem;
  if (with_image) sample.encoded = read_sample_file(stem + e.image);
  std::string json = e.json.empty() ? std::string() : read_text(stem + e.json);
  const std::string text = e.text.empty() ? std::string() : read_text(stem + e.text);
  sample.captions = captions_for(options_, text, !e.text.empty(), json);
  if (options_.need_metadata) sample.metadata = std::move(json);
  return sample;
}

int64_t FilesDataset::bytes(int64_t index) const {
  const Entry& e = entries_.at(static_cast<size_t>(index));
  const std::string stem = (root_ / folders_[e.folder] / e.stem).string();
  return size_of_file(stem + e.image) + (e.text.empty() ? 0 : size_of_file(stem + e.text)) +
         (e.json.empty() ? 0 : size_of_file(stem + e.json));
}

FolderDataset::FolderDataset(const fs::path& root, bool need_label) : root_(root) {
  classes_are_folders_ = true;
  FolderEntries entries = FolderWalk(root, skipped_).enter({});
  std::ranges::sort(entries.folders);
  std::ranges::sort(entries.files);
  for (const auto& folder : entries.folders) {
    std::vector<std::string> images;
    FolderWalk walk(root, skipped_, folder);  // one for each class: two classes may link to one folder
    collect_images(walk, root, folder, images, skipped_);
    const auto label = static_cast<int32_t>(class_names_.size());
    class_names_.push_back(folder);
    if (images.empty()) notes_.push_back(fmt::format("{}: this class has no images", (root / folder).string()));
    for (auto& image : images) entries_.push_back({std::move(image), label});
  }
  if (entries_.empty())
    throw ConfigError(
        fmt::format("{}: expected class folders with images, found none; {}", root.string(), skipped_.describe()));
  std::vector<std::string> loose;
  for (const auto& file : entries.files) take_image(root, file, loose, skipped_);
  for (auto& image : loose) {
    if (need_label) {
      skipped_.add(skip::kNoLabel, image);
    } else {
      entries_.push_back({std::move(image), -1});
    }
  }
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
      FolderWalk walk(path, skipped_);
      collect_images(walk, path, {}, found, skipped_);
      for (const std::string& relative : found) paths_.push_back((path / relative).string());
    } else if (fs::exists(path)) {
      paths_.push_back(path.string());
    } else {
      throw IoError(fmt::format("{}: expected an image or a folder of images, found nothing", path.string()));
    }
  }
  if (paths_.empty())
    throw IoError(
        fmt::format("{}: expected images in this folder, found none; {}", paths[0].string(), skipped_.describe()));
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
