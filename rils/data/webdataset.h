#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rils/data/byte_source.h"
#include "rils/data/dataset.h"
#include "rils/data/gzip_source.h"
#include "rils/data/tar.h"

namespace tessera::rils {

/// Tar shards, plain or gzipped, as webdataset defines them and img2dataset writes them. Neighbouring members whose
/// paths agree up to the first dot of the file name form one sample; the extension after the dot names the part. An
/// extension that comes again begins a new sample, as in open_clip. Opening reads all headers once (of a gzipped shard
/// everything) and keeps about 60 bytes a sample; samples can then be read in any order.
///
/// Lost samples are counted once each: members that do not follow each other, and images whose names have dots before
/// the extension, get reasons of their own.
class WebDataset final : public Dataset {
 public:
  WebDataset(const std::vector<std::filesystem::path>& shards, const DatasetOptions& options);
  [[nodiscard]] int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override;

 private:
  /// The data of a tar member begin at a multiple of 512 bytes. Block 0 means that there is no such member.
  struct Part {
    uint32_t block = 0, size = 0;
    [[nodiscard]] bool exists() const { return block != 0; }
  };
  /// The block of a part that lies beyond 2 TiB or is larger than 4 GiB.
  static constexpr uint32_t kTooLarge = 0xffffffff;
  struct Entry {
    Part image, text, json, label;
    uint32_t key_end = 0;  // end of the key in Shard::keys
  };
  struct Shard {
    std::filesystem::path path;
    std::unique_ptr<const GzipIndex> gzip;  // of a gzipped shard
    std::string keys;                       // the keys of all entries, concatenated
    std::vector<Entry> entries;
    SkipCounts skipped;
    SkipCounts remarks;  // counts shards, not samples
    [[nodiscard]] std::string_view key(size_t entry) const;
  };
  class OpenShard;
  struct Group;
  struct Indexing;

  void index_shard(Shard& shard) const;
  void walk_members(Indexing& indexing, const ByteSource& source) const;
  void add_member(Group& group, std::string_view extension, const TarMember& member) const;
  /// The reason why these parts are no sample, or null.
  [[nodiscard]] const char* defect(const Entry& entry) const;
  void finish_group(Indexing& indexing, bool repeated) const;
  void count_fragments(Indexing& indexing) const;
  [[nodiscard]] std::pair<const Shard*, size_t> locate(int64_t index) const;

  DatasetOptions options_;
  std::vector<std::string> image_keys_;
  std::string text_key_;
  std::vector<Shard> shards_;
  std::vector<int64_t> ends_;
};

}  // namespace tessera::rils
