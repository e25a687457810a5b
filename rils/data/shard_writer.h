#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rils/data/tar.h"

namespace tessera::rils {

/// Writes a folder of webdataset shards, `00000.tar`, `00001.tar`, … of `samples_per_shard` samples. The folder appears
/// when finish() renames it into place; until then it is `NAME.partial` beside it (a stale one is replaced). The same
/// samples give the same bytes. Throws ConfigError when the folder is there already.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path folder, int64_t samples_per_shard);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  struct Sample {
    std::span<const std::byte> image;   // JPEG, PNG or WebP, written as it is
    std::vector<std::string> captions;  // the first into `.txt`, all into `.json`
    std::optional<int32_t> label;       // into `.cls`
    std::string source;                 // where it comes from, into `.json`; "" for nothing
  };
  void add(const Sample& sample);
  /// Also writes `nshards.txt`, the number of shards.
  void finish();

  [[nodiscard]] int64_t samples() const { return samples_; }
  [[nodiscard]] int64_t shards() const { return shards_; }

 private:
  std::filesystem::path folder_, partial_;
  int64_t samples_per_shard_, samples_ = 0, shards_ = 0;
  std::unique_ptr<TarWriter> shard_;
  bool finished_ = false;
};

}  // namespace tessera::rils
