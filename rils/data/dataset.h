#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rils/data/decode.h"
#include "rils/data/image.h"
#include "rils/data/skip_counts.h"
#include "rils/data/table.h"
#include "rils/text/encoding.h"

namespace tessera::rils {

/// One image with its captions or its label.
struct Sample {
  std::string key;
  std::vector<std::byte> encoded;  // the file; empty where `decoded` is set
  std::optional<Image> decoded;
  std::vector<std::string> captions;  // none is blank; the list may be empty when captions are not needed
  int32_t label = -1;                 // class number, or −1
  std::string metadata;               // text of the .json member, with options.need_metadata
};

/// Samples by index. Opening a data set lists its samples without decoding any image; samples that are already known to
/// be unusable are counted in skipped(). Several threads may call the const functions at once.
class Dataset {
 public:
  virtual ~Dataset() = default;
  [[nodiscard]] virtual int64_t size() const = 0;
  /// Reads one sample. The image is left out when `with_image` is false: it is cached, or only captions are needed.
  /// Throws SampleError when the sample cannot be used.
  [[nodiscard]] virtual Sample load(int64_t index, bool with_image = true) const = 0;
  /// The sample's name in messages.
  [[nodiscard]] virtual std::string name(int64_t index) const = 0;
  /// The number of captions that load() returns, at least 1. Reads the sample when the number is not known otherwise.
  [[nodiscard]] virtual int64_t caption_count(int64_t index) const;

  /// The bytes of a sample's files, where they are known without reading them; else 0.
  [[nodiscard]] virtual int64_t bytes(int64_t index) const;

  /// Samples that were found but cannot be loaded, counted by reason. size() does not include them.
  [[nodiscard]] const SkipCounts& skipped() const { return skipped_; }
  /// size() and skipped() together.
  [[nodiscard]] int64_t total() const { return size() + skipped_.total(); }
  /// Remarks for the user, one line each.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  void add_note(std::string line) { notes_.push_back(std::move(line)); }
  /// Names of the classes by label; empty when they are not known.
  [[nodiscard]] const std::vector<std::string>& class_names() const { return class_names_; }
  /// Whether the class names are those of folders. Labels then have no other meaning than these names.
  [[nodiscard]] bool classes_are_folders() const { return classes_are_folders_; }

 protected:
  SkipCounts skipped_;
  std::vector<std::string> notes_;
  std::vector<std::string> class_names_;
  bool classes_are_folders_ = false;
};

enum class DatasetType { automatic, webdataset, files, table, idx, folder, images, synthetic };
/// The type of this name: auto, webdataset, files (images with texts beside them, as img2dataset writes them), csv,
/// idx, folder (class folders), images (all images below a folder) or synthetic. Throws ConfigError for any other name.
[[nodiscard]] DatasetType dataset_type(std::string_view name);

struct DatasetOptions {
  DatasetType type = DatasetType::automatic;
  bool need_caption = true;  // samples without one are skipped
  bool need_label = false;
  bool need_metadata = false;                   // keep the text of .json members (shards and img2dataset's folders)
  std::string image_key = "jpg;jpeg;png;webp";  // extensions of images in a shard, the preferred one first
  std::string text_key = "txt";
  bool caption_per_line = false;  // each line of a text is a caption; set where dataset_type.txt says "retrieval"
  TextEncoding text_encoding = TextEncoding::utf_8;  // of captions that are not UTF-8
  TableOptions table;
  // The part of a folder with splits (see Splits::choose) and of a folder of IDX files: "train", "val" or "test".
  std::string split = "train";
  int threads = 2;  // that read the headers of shards
  /// Is told, by the thread that opens the data, how many of a source's shards are read: a stage's name, done, total.
  std::function<void(std::string_view stage, int64_t done, int64_t total)> stages = {};
  int64_t synthetic_samples = 1000;
  int synthetic_size = 224;
  uint64_t seed = 0;
};

/// Opens the data that `source` names (see expand_sources): tar shards or a folder of them, a folder of images with
/// texts beside them, a CSV or TSV table, an IDX file or a folder of IDX files, class folders, a folder of images, or a
/// folder that holds one of these for each split. Parts joined by `::` are concatenated. Unless options.type gives the
/// type, it is detected from what is needed (see find_data). Throws IoError or ConfigError when nothing can be read;
/// bad shards and samples are counted in skipped() instead.
[[nodiscard]] std::unique_ptr<Dataset> open_dataset(std::string_view source, const DatasetOptions& options);

/// A digest of the names of all samples, in their order, and of the sizes of up to 10,000 of them, spread evenly. A run
/// that is resumed compares it: other data of the same count would give other batches.
[[nodiscard]] std::string digest_of(const Dataset& data);

/// Decodes the image of a sample as decode_image does. Throws SampleError.
[[nodiscard]] Image decode_sample(const Sample& sample, int64_t max_pixels = kDefaultMaxImagePixels,
                                  bool keep_mode = false);

/// The indices, ascending, of the n names with the smallest FNV-1a-64 hashes (ties are broken by name), or all indices
/// when there are fewer names. Whether a name is held out depends on names alone, not on their order.
[[nodiscard]] std::vector<int64_t> hold_out(const std::vector<std::string>& names, int64_t n);

/// The part that holds sample `index`, and the index within the part. `ends` holds the running sums of the parts'
/// sizes. Throws ConfigError for an index out of range.
[[nodiscard]] std::pair<size_t, int64_t> part_of(const std::vector<int64_t>& ends, int64_t index);

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
  [[nodiscard]] int64_t bytes(int64_t index) const override { return whole_->bytes(at(index)); }

 private:
  [[nodiscard]] int64_t at(int64_t index) const { return indices_.at(static_cast<size_t>(index)); }
  std::shared_ptr<const Dataset> whole_;
  std::vector<int64_t> indices_;
};

/// Concatenated data sets.
class ConcatDataset final : public Dataset {
 public:
  explicit ConcatDataset(std::vector<std::unique_ptr<Dataset>> parts);
  [[nodiscard]] int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override;
  [[nodiscard]] int64_t caption_count(int64_t index) const override;
  [[nodiscard]] int64_t bytes(int64_t index) const override;

 private:
  [[nodiscard]] std::pair<const Dataset*, int64_t> locate(int64_t index) const;
  std::vector<std::unique_ptr<Dataset>> parts_;
  std::vector<int64_t> ends_;
};

}  // namespace tessera::rils
