#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rils/data/decode.h"
#include "rils/data/image.h"
#include "rils/data/skip_counts.h"
#include "rils/data/table.h"

namespace tessera::rils {

/// One image with what belongs to it.
struct Sample {
  std::string key;
  std::vector<std::byte> encoded;  // JPEG, PNG or WebP; empty where `decoded` is set
  std::optional<Image> decoded;
  std::vector<std::string> captions;  // never blank; may be empty where none is needed
  int32_t label = -1;                 // class, or −1
  std::string metadata;               // text of the .json member, where options.need_metadata
};

/// Samples by index. Opening finds out what there is without decoding anything; what is unusable by then is counted in
/// skipped(). All const functions may be called by several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;
  [[nodiscard]] virtual int64_t size() const = 0;
  /// Reads one sample; without the image where `with_image` is false (the image is cached, or captions are wanted).
  /// Throws SampleError when this one cannot be used.
  [[nodiscard]] virtual Sample load(int64_t index, bool with_image = true) const = 0;
  /// What messages call the sample.
  [[nodiscard]] virtual std::string name(int64_t index) const = 0;
  /// How many captions load() will give; reads the sample where that is not known otherwise. At least 1.
  [[nodiscard]] virtual int64_t caption_count(int64_t index) const;

  /// Samples that were found but are not among size(), by reason.
  [[nodiscard]] const SkipCounts& skipped() const { return skipped_; }
  /// size() and skipped() together.
  [[nodiscard]] int64_t total() const { return size() + skipped_.total(); }
  /// Remarks for the user, a line each.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// Names of the classes by label; empty where they are not known.
  [[nodiscard]] const std::vector<std::string>& class_names() const { return class_names_; }

 protected:
  SkipCounts skipped_;
  std::vector<std::string> notes_;
  std::vector<std::string> class_names_;
};

enum class DatasetType { automatic, webdataset, files, table, idx, folder, synthetic };
/// auto, webdataset, files (img2dataset's folders), csv, idx, folder, synthetic. Throws ConfigError that lists them.
[[nodiscard]] DatasetType dataset_type(std::string_view name);
/// What a file or folder is by its names and first bytes: a folder that is nothing else holds class folders. Throws
/// ConfigError for a file that is none of them.
[[nodiscard]] DatasetType detect_dataset_type(const std::filesystem::path& path);

struct DatasetOptions {
  DatasetType type = DatasetType::automatic;
  bool need_caption = true;  // samples without one are skipped
  bool need_label = false;
  bool need_metadata = false;                   // keep the .json of shards and of img2dataset's folders
  std::string image_key = "jpg;jpeg;png;webp";  // extensions of a shard's members, the first found wins
  std::string text_key = "txt";
  bool caption_per_line = false;  // every line of a text member is a caption (CLIP_benchmark's retrieval shards)
  TableOptions table;
  std::string split = "train";  // of an IDX folder: "train", or "test"
  int threads = 2;              // for reading the headers of shards
  int64_t synthetic_samples = 1000;
  int synthetic_size = 224;
  uint64_t seed = 0;
};

/// Opens what `source` names (see expand_sources): tar shards or a folder of them, a folder in img2dataset's layout, a
/// CSV or TSV table, an IDX file or a folder with such, a folder of class folders; parts joined by `::` follow each
/// other. The kind is detected unless options.type says it. Throws IoError or ConfigError in one line when there is
/// nothing to read; single bad shards and samples are counted instead.
[[nodiscard]] std::unique_ptr<Dataset> open_dataset(std::string_view source, const DatasetOptions& options);

/// The image of a sample, decoded. Throws SampleError.
[[nodiscard]] Image decode_sample(const Sample& sample, int64_t max_pixels = kDefaultMaxImagePixels);

/// The indices of the n names whose FNV-1a-64 hashes are smallest (by name where hashes tie), ascending: a hold-out
/// that does not depend on order or on how many there are. All of them when n is larger.
[[nodiscard]] std::vector<int64_t> hold_out(const std::vector<std::string>& names, int64_t n);

/// Some samples of another data set.
class SubsetDataset final : public Dataset {
 public:
  SubsetDataset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices);
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override {
    return whole_->load(at(index), with_image);
  }
  [[nodiscard]] std::string name(int64_t index) const override { return whole_->name(at(index)); }
  [[nodiscard]] int64_t caption_count(int64_t index) const override { return whole_->caption_count(at(index)); }

 private:
  [[nodiscard]] int64_t at(int64_t index) const { return indices_.at(static_cast<size_t>(index)); }
  std::shared_ptr<const Dataset> whole_;
  std::vector<int64_t> indices_;
};

/// Data sets one after the other.
class ConcatDataset final : public Dataset {
 public:
  explicit ConcatDataset(std::vector<std::unique_ptr<Dataset>> parts);
  [[nodiscard]] int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override;
  [[nodiscard]] int64_t caption_count(int64_t index) const override;

 private:
  [[nodiscard]] std::pair<const Dataset*, int64_t> locate(int64_t index) const;
  std::vector<std::unique_ptr<Dataset>> parts_;
  std::vector<int64_t> ends_;
};

}  // namespace tessera::rils
