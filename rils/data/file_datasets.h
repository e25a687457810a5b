#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rils/data/dataset.h"
#include "rils/data/folder_walk.h"

namespace tessera::rils {

/// Images with a `.txt` or `.json` of the same name beside them, in the folder or below it at any depth, as img2dataset
/// writes them (`00000/000000000.jpg`). Extensions may be in any case. Files of one name form a sample. A second image
/// of a name and names without an image are counted as skipped; img2dataset's own `.parquet` and `_stats.json` are not.
class FilesDataset final : public Dataset {
 public:
  FilesDataset(const std::filesystem::path& root, const DatasetOptions& options);
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override;
  [[nodiscard]] int64_t bytes(int64_t index) const override;
  /// The path below the root of the first image with a text or JSON beside it. Unless `thorough`, only the first folder
  /// that holds images is looked at.
  [[nodiscard]] static std::optional<std::string> first_pair(const std::filesystem::path& root,
                                                             const DatasetOptions& options, bool thorough);
  /// An image and the files of its name beside it, for messages: "0.jpg beside 0.caption".
  [[nodiscard]] static std::string beside(const std::filesystem::path& folder, const std::string& image);

 private:
  struct Entry {
    uint32_t folder;
    std::string stem, image, text, json;  // the last three are extensions, "" for none
  };
  struct Group;
  void index_folder(FolderWalk& walk, const std::filesystem::path& relative);
  void add_group(const Group& group, uint32_t folder, const std::string& stem);
  DatasetOptions options_;
  std::filesystem::path root_;
  std::vector<std::filesystem::path> folders_;
  std::vector<Entry> entries_;
};

/// Class folders: `root/CLASS/…/image.jpg`. Labels number the folders sorted by the bytes of their names, and links to
/// folders are followed, as torchvision's ImageFolder does. Images in the root have no label: they are counted as
/// skipped where labels are needed. Files that are no images are counted as skipped.
class FolderDataset final : public Dataset {
 public:
  explicit FolderDataset(const std::filesystem::path& root, bool need_label = true);
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

/// Named image files and all images below named folders, without captions or labels. Other files below the folders are
/// counted as skipped.
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
/// Reads an image file and decodes it as decode_image does. Throws IoError.
[[nodiscard]] Image read_image(const std::filesystem::path& path, bool keep_mode = false);

}  // namespace tessera::rils
