#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/atomic_file.h"
#include "rils/data/tar.h"

namespace tessera::rils {

/// Writes a text file with one line for each string, as printable() gives it, atomically. Throws IoError.
void write_lines(const std::filesystem::path& path, const std::vector<std::string>& lines);

/// A folder that gets several parts, for example the shards of each split: all of them appear, or none. A command that
/// was killed at any moment can be repeated.
class PartsWriter {
 public:
  /// Throws ConfigError when a part exists already.
  PartsWriter(const std::filesystem::path& folder, std::vector<std::string> parts);
  /// Where a part is written until finish().
  [[nodiscard]] std::filesystem::path path(const std::string& part) const { return partial_.path() / part; }
  /// Moves the parts to their names. Each must have been written.
  void finish() { partial_.move_out(parts_); }

 private:
  std::vector<std::string> parts_;
  ScratchFolder partial_;
};

/// How shards are named: `00000.tar`, as img2dataset does; or `0.tar`, as CLIP_benchmark expects.
enum class ShardNames { five_digits, plain };

/// Writes a folder of webdataset shards with `samples_per_shard` samples each. The shards are written to `NAME.partial`
/// (see ScratchFolder), which finish() renames to the folder's name. The same samples give the same bytes. Throws
/// ConfigError when the folder exists already.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path folder, int64_t samples_per_shard, ShardNames names = ShardNames::five_digits);
  ~ShardWriter() = default;
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  struct Sample {
    std::span<const std::byte> image;   // JPEG, PNG and WebP are written as they are, others as PNG
    std::vector<std::string> captions;  // the first is written to `.txt`, all are written to `.json`
    std::optional<int32_t> label;       // written to `.cls`
    std::string source;                 // where the image comes from, written to `.json` unless empty
  };
  void add(const Sample& sample);
  /// Also writes `nshards.txt`, the number of shards.
  void finish();

  [[nodiscard]] int64_t samples() const { return samples_; }
  [[nodiscard]] int64_t shards() const { return shards_; }

 private:
  std::filesystem::path folder_;
  std::optional<ScratchFolder> partial_;
  ShardNames names_;
  int64_t samples_per_shard_, samples_ = 0, shards_ = 0;
  std::unique_ptr<TarWriter> shard_;
};

}  // namespace tessera::rils
