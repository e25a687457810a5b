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

namespace tessera::rils {

/// Tar shards as webdataset defines them and img2dataset writes them. Neighbouring members whose paths agree up to the
/// first dot of the file name form one sample; the extension after the dot names the part. Opening reads all headers
/// once and keeps about 60 bytes a sample; samples can then be read in any order.
class WebDataset final : public Dataset {
 public:
  WebDataset(const std::vector<std::filesystem::path>& shards, const DatasetOptions& options);
  [[nodiscard]] int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  [[nodiscard]] Sample load(int64_t index, bool with_image) const override;
  [[nodiscard]] std::string name(int64_t index) const override;
  [[nodiscard]] int64_t bytes(int64_t index) const override;

 private:
  /// The data of a tar member begin at a multiple of 512 bytes. Block 0 means that there is no such member.
  struct Part {
    uint32_t block = 0, size = 0;
    [[nodiscard]] bool exists() const { return block != 0; }
  };
  struct Entry {
    Part image, text, json, label;
    uint32_t key_end = 0;  // end of the key in Shard::keys
  };
  struct Shard {
    std::filesystem::path path;
    std::string keys;  // the keys of all entries, concatenated
    std::vector<Entry> entries;
    SkipCounts skipped;
    std::vector<std::string> notes;
    [[nodiscard]] std::string_view key(size_t entry) const;
  };
  struct Group;

  void index_shard(Shard& shard) const;
  void walk_members(Shard& shard, const ByteSource& source, Group& group) const;
  void add_member(Group& group, std::string_view extension, uint64_t offset, uint64_t size) const;
  /// The reason why a group cannot be a sample, or null.
  [[nodiscard]] const char* defect(const Group& group) const;
  void finish_group(Shard& shard, const Group& group) const;
  [[nodiscard]] std::pair<const Shard*, size_t> locate(int64_t index) const;

  DatasetOptions options_;
  std::vector<std::string> image_keys_;
  std::vector<Shard> shards_;
  std::vector<int64_t> ends_;
};

}  // namespace tessera::rils
