#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "rils/data/dataset.h"

namespace tessera::rils {

/// img2dataset's folder layout: `00000/000000000.jpg` with `.txt` and `.json` beside it. The root may also be one of
/// the numbered folders.
class FilesDataset final : public Dataset {
 public:
  FilesDataset(const std::filesystem::path& root, const DatasetOptions& options);
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override;
  [[nodiscard]] int64_t bytes(int64_t index) const override;
  /// Whether images lie beside captions in the folder or in the first of its subfolders that holds images.
  [[nodiscard]] static bool recognises(const std::filesystem::path& root);

 private:
  struct Entry {
    uint32_t folder;
    std::string stem, image_extension;
    bool text, json;
  };
  void index_folder(const std::filesystem::path& folder);
  DatasetOptions options_;
  std::filesystem::path root_;
  std::vector<std::filesystem::path> folders_;
  std::vector<Entry> entries_;
};

/// Class folders: `root/CLASS/…/image.jpg`. Labels number the folders sorted by the bytes of their names, as
/// torchvision's ImageFolder does.
class FolderDataset final : public Dataset {
 public:
  explicit FolderDataset(const std::filesystem::path& root);
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override { return entries_.at(static_cast<size_t>(index)).path; }
  [[nodiscard]] int64_t bytes(int64_t index) const override;

 private:
  struct Entry {
    std::string path;  // relative to the root
    int32_t label;
  };
  std::filesystem::path root_;
  std::vector<Entry> entries_;
};

/// Named image files and all images below named folders, without captions or labels.
class ImageListDataset final : public Dataset {
 public:
  /// Throws IoError when a path does not exist or no image is found.
  explicit ImageListDataset(const std::vector<std::filesystem::path>& paths);
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(paths_.size()); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override { return paths_.at(static_cast<size_t>(index)); }

 private:
  std::vector<std::string> paths_;
};

/// A CSV or TSV table of images and captions. Rows with the same image form one sample with several captions.
class TableDataset final : public Dataset {
 public:
  TableDataset(const std::filesystem::path& path, const DatasetOptions& options);
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(table_.entries.size()); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override { return entry(index).image; }
  [[nodiscard]] int64_t caption_count(int64_t index) const override;
  [[nodiscard]] int64_t bytes(int64_t index) const override;

 private:
  [[nodiscard]] const CaptionTable::Entry& entry(int64_t index) const {
    return table_.entries.at(static_cast<size_t>(index));
  }
  CaptionTable table_;
};

/// Reads a file that belongs to a sample. Throws SampleError: missing file, or unreadable file.
[[nodiscard]] std::vector<std::byte> read_sample_file(const std::filesystem::path& path);
/// Reads and decodes an image file. Throws IoError.
[[nodiscard]] Image read_image(const std::filesystem::path& path);

}  // namespace tessera::rils
