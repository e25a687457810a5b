#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// A file that appears whole or not at all. It is written under a temporary name in the same folder, and commit() syncs
/// it and renames it. Without commit the temporary file is removed and a file of this name stays as it was. A link
/// stays a link: the file it points to is written. What is no file (a device, a pipe, /dev/stdout) is written directly
/// and is never replaced. Throws IoError with the path and the system's reason, for example a full disk.
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
  void open_directly();
  void open_temporary();
  std::filesystem::path path_;
  std::filesystem::path target_, temporary_;  // empty where `path_` is written directly
  int descriptor_ = -1;
};

/// An empty folder for unfinished work, which is removed at the end unless rename_to() has given it its final name. A
/// mark inside shows that it is ours: a marked folder that a killed process left behind is replaced. The constructor
/// throws IoError when something else stands there.
class ScratchFolder {
 public:
  explicit ScratchFolder(std::filesystem::path path);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Throws IoError when the name is taken.
  void rename_to(const std::filesystem::path& folder);
  /// Moves entries of these names into the folder that this one lies in, and removes itself. A list of them is written
  /// first: when the process is killed meanwhile, the next ScratchFolder of this name removes what was moved, so that
  /// the work can be repeated. Throws IoError when a name is taken, and then moves nothing.
  void move_out(const std::vector<std::string>& names);

 private:
  std::filesystem::path path_;
  bool renamed_ = false;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view text);
/// The bytes of the largest file that is read whole unless a reader allows more.
inline constexpr uint64_t kMostFileBytes = uint64_t{1} << 30;
/// Returns the content of a regular file. Throws IoError, also for a pipe or a device, which could be read for ever,
/// and for a larger file, before it takes memory.
[[nodiscard]] std::string read_file(const std::filesystem::path& path, uint64_t most_bytes = kMostFileBytes);

}  // namespace tessera
