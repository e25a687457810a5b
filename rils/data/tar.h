#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "rils/data/byte_source.h"

namespace tessera::rils {

/// A regular file in a tar archive, or a link to one.
struct TarMember {
  std::string name;
  uint64_t offset = 0;  // of the data in the archive
  uint64_t size = 0;
  bool link = false;  // hard or symbolic; it has no data of its own
};

/// The archive ends inside a member or a header.
class TarCutError : public IoError {
 public:
  using IoError::IoError;
};

/// Reads the headers of a tar archive (v7, ustar, GNU with long names, PAX with path and size) without the data.
/// Folders and devices are ignored. Archives that follow the end marker, as of files joined end to end, are read too.
class TarReader {
 public:
  explicit TarReader(const ByteSource& source) : source_(source) {}

  /// The next regular file or link, or nullopt at the end. Throws TarCutError when the archive is cut short and IoError
  /// for an invalid header; after that the reader must not be used again.
  [[nodiscard]] std::optional<TarMember> next();
  /// The name of the member that was being read when an error was thrown; empty when it is not known.
  [[nodiscard]] const std::string& current_name() const { return current_name_; }
  /// The offset of the current header.
  [[nodiscard]] uint64_t position() const { return position_; }
  /// Whether the end marker of the last archive was seen. Without it, members may have been lost at the end.
  [[nodiscard]] bool terminated() const { return terminated_; }
  /// Whether more archives followed the first one.
  [[nodiscard]] bool joined() const { return joined_; }
  /// Bytes that follow the last end marker and are no archive.
  [[nodiscard]] uint64_t trailing_bytes() const { return trailing_bytes_; }

 private:
  struct Header;
  [[nodiscard]] std::optional<Header> read_header();
  [[nodiscard]] bool find_next_archive();
  [[nodiscard]] std::string read_extension(uint64_t size);
  void apply_pax(std::string_view records);
  void skip_data(uint64_t size);

  const ByteSource& source_;
  uint64_t position_ = 0;
  std::string current_name_;
  std::optional<std::string> long_name_;  // of the next member
  std::optional<uint64_t> long_size_;
  uint64_t trailing_bytes_ = 0;
  bool terminated_ = false, joined_ = false;
};

/// Writes an archive that appears complete or not at all. The same members give the same bytes: times and owners are
/// not stored.
class TarWriter {
 public:
  explicit TarWriter(const std::filesystem::path& path) : file_(path) {}
  /// Adds a file. A name that is too long for a header is stored in a PAX record.
  void add(std::string_view name, std::span<const std::byte> data);
  void add(std::string_view name, std::string_view data) {
    add(name, std::as_bytes(std::span(data.data(), data.size())));
  }
  /// Writes the end marker and renames the file into place. Nothing can be added afterwards.
  void commit();

 private:
  void write_member(std::string_view name, char type, std::span<const std::byte> data);
  AtomicFile file_;
};

}  // namespace tessera::rils
