#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace tessera::rils {

/// Bytes that can be read at any offset, by several threads at once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  [[nodiscard]] virtual uint64_t size() const = 0;
  /// Reads bytes from `offset` into `out` and returns their number, which is below out.size() only at the end of the
  /// source. Throws IoError.
  [[nodiscard]] virtual size_t read_at(uint64_t offset, std::span<std::byte> out) const = 0;
  /// Reads exactly `count` bytes. Throws IoError when there are fewer.
  [[nodiscard]] std::vector<std::byte> read(uint64_t offset, size_t count) const;
};

/// An open file. Throws IoError with the path and the system's reason.
class FileSource final : public ByteSource {
 public:
  explicit FileSource(const std::filesystem::path& path);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  [[nodiscard]] uint64_t size() const override { return size_; }
  [[nodiscard]] size_t read_at(uint64_t offset, std::span<std::byte> out) const override;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// Bytes in memory. They must outlive this object.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  [[nodiscard]] uint64_t size() const override { return bytes_.size(); }
  [[nodiscard]] size_t read_at(uint64_t offset, std::span<std::byte> out) const override;

 private:
  std::span<const std::byte> bytes_;
};

/// Reads a whole file. Throws IoError.
[[nodiscard]] std::vector<std::byte> read_bytes(const std::filesystem::path& path);

}  // namespace tessera::rils
