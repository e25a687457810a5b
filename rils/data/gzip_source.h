#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rils/data/byte_source.h"

namespace tessera::rils {

/// Whether a file begins as gzip files do.
[[nodiscard]] bool is_gzip(const ByteSource& file);

/// Places in a gzip file from which unpacking can start, one in two MiB of its content. Each keeps the 32 KiB before
/// it, so the index takes a sixty-fourth of the content. Unpacks the file once, with constant memory. A file
/// of several gzip members is read to its end.
class GzipIndex {
 public:
  /// A file that is cut short or damaged gives the part that can be read, and damage(). The same holds from the byte on
  /// at which the content is more than 200 times as long as the file: no data are so, and no time is spent on it.
  explicit GzipIndex(const ByteSource& file);
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] const std::string& damage() const { return damage_; }

 private:
  friend class GzipSource;
  struct Point {
    uint64_t out = 0, in = 0;     // offsets in the content and in the file
    int bits = 0;                 // bits of the byte before `in` that belong to the content
    std::vector<uint8_t> window;  // the content before the point; empty at the header of a member
  };
  std::vector<Point> points_;
  uint64_t size_ = 0;
  std::string damage_;
};

/// The content of a gzip file, read at any offset. A read that follows the last one goes on from there; any other
/// unpacks up to two MiB more than it returns. Both arguments must outlive this object.
class GzipSource final : public ByteSource {
 public:
  GzipSource(const ByteSource& file, const GzipIndex& index);
  ~GzipSource() override;
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;
  [[nodiscard]] uint64_t size() const override { return index_.size(); }
  [[nodiscard]] size_t read_at(uint64_t offset, std::span<std::byte> out) const override;

 private:
  friend class GzipIndex;
  struct Inflater;
  void seek(uint64_t offset) const;
  size_t unpack(std::span<std::byte> out) const;

  const ByteSource& file_;
  const GzipIndex& index_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<Inflater> stream_;
  mutable uint64_t at_ = 0;   // the offset of the stream in the content
  mutable bool raw_ = false;  // the stream began within a member
};

}  // namespace tessera::rils
