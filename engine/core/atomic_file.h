#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace tessera {

/// A file that appears whole or not at all. It is written under a temporary name in the same folder, and commit() syncs
/// it and renames it. Without commit the temporary file is removed and a file of this name stays as it was. Throws
/// IoError with the path and the system's reason, for example a full disk.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  /// Syncs the data, renames, and syncs the folder.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view text);
/// Returns the content of a regular file. Throws IoError; a pipe or a device could be read for ever.
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

}  // namespace tessera
