#include "engine/core/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace tessera {
namespace {

[[noreturn]] void fail(std::string_view doing, const std::filesystem::path& path) {
  throw IoError(fmt::format("{}: cannot {}: {}", path.string(), doing, std::strerror(errno)));
}

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  static std::atomic<int> counter{0};
  auto name = path;
  name += fmt::format(".tmp.{}.{}", getpid(), counter++);
  return name;
}

/// Where the name points in the end: links are followed, also those to a file that does not exist yet. Empty for an
/// open file of a process (/dev/stdout), which cannot be replaced, and for a circle of links.
std::filesystem::path target_of(std::filesystem::path path) {
  namespace fs = std::filesystem;
  constexpr int kLinks = 40;  // as the kernel allows
  for (int i = 0; i < kLinks; ++i) {
    std::error_code error;
    if (!fs::is_symlink(fs::symlink_status(path, error))) return path;
    const fs::path folder = fs::weakly_canonical(path.has_parent_path() ? path.parent_path() : ".", error);
    if (error || folder.native().starts_with("/proc/")) return {};
    const fs::path next = fs::read_symlink(path, error);
    if (error) return {};
    path = next.is_absolute() ? next : folder / next;
  }
  return {};
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  struct stat status {};
  const bool special = ::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
  if (!special) target_ = target_of(path_);
  target_.empty() ? open_directly() : open_temporary();
}

void AtomicFile::open_directly() {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
  if (descriptor_ < 0) fail("open", path_);
}

void AtomicFile::open_temporary() {
  // A name that is taken, by the leftover of a process with this number or by somebody else's link, is passed over.
  do {
    temporary_ = temporary_name(target_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail("create", path_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write", path_);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void AtomicFile::commit() {
  // Pipes and terminals have nothing to sync.
  const bool direct = target_.empty();
  if (::fsync(descriptor_) != 0 && !(direct && (errno == EINVAL || errno == EROFS || errno == ENOTSUP))) {
    fail("sync", path_);
  }
  if (!direct && ::rename(temporary_.c_str(), target_.c_str()) != 0) fail("rename into place", path_);
  ::close(descriptor_);
  descriptor_ = -1;
  if (direct) return;
  const auto parent = target_.has_parent_path() ? target_.parent_path() : std::filesystem::path(".");
  const int folder = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

namespace {

constexpr const char* kMark = ".tessera-unfinished";

bool is_ours(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(fs::symlink_status(folder))) return false;
  // A process may have been killed before it had written the mark.
  return fs::exists(folder / kMark) || std::ranges::all_of(fs::directory_iterator(folder), [](const auto& entry) {
           return entry.path().filename().string().starts_with(kMark);
         });
}

/// Removes a folder, its mark last, so that one that is half removed is still ours.
void remove_scratch(const std::filesystem::path& folder, std::error_code& error) {
  namespace fs = std::filesystem;
  std::vector<fs::path> others;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename() != kMark) others.push_back(entry->path());
  }
  for (const fs::path& path : others) {
    if (!error) fs::remove_all(path, error);
  }
  if (!error) fs::remove_all(folder, error);
}

/// Removes what move_out had moved out of a folder before it was cut off.
void remove_moved(const std::filesystem::path& scratch, std::error_code& error) {
  namespace fs = std::filesystem;
  std::ifstream list(scratch / kMark);
  for (std::string name; !error && std::getline(list, name);) {
    const bool plain = !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
    if (plain && !fs::exists(fs::symlink_status(scratch / name))) fs::remove_all(scratch.parent_path() / name, error);
  }
}

}  // namespace

ScratchFolder::ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {
  namespace fs = std::filesystem;
  std::error_code error, absent;
  if (fs::exists(fs::symlink_status(path_, absent))) {
    if (!is_ours(path_)) {
      throw IoError(fmt::format("{}: expected no such name (unfinished work goes there), found one that is not ours",
                                path_.string()));
    }
    remove_moved(path_, error);
    if (!error) remove_scratch(path_, error);
  }
  if (!error) fs::create_directories(path_, error);
  if (error) throw IoError(fmt::format("{}: cannot create: {}", path_.string(), error.message()));
  write_file_atomically(path_ / kMark, "");
}

ScratchFolder::~ScratchFolder() {
  if (renamed_) return;
  std::error_code ignored;
  remove_moved(path_, ignored);
  remove_scratch(path_, ignored);
}

void ScratchFolder::rename_to(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::rename(path_, folder, error);
  if (error) {
    throw IoError(fmt::format("{}: cannot rename to {}: {}", path_.string(), folder.string(), error.message()));
  }
  renamed_ = true;
  std::filesystem::remove(folder / kMark, error);  // the last thing: without it the folder would not be known as ours
}

void ScratchFolder::move_out(const std::vector<std::string>& names) {
  namespace fs = std::filesystem;
  const fs::path parent = path_.parent_path();
  std::string list;
  for (const std::string& name : names) {
    if (fs::exists(fs::symlink_status(parent / name))) {
      throw IoError(fmt::format("{}: exists already", (parent / name).string()));
    }
    list += name + "\n";
  }
  write_file_atomically(path_ / kMark, list);
  std::error_code error;
  for (const std::string& name : names) {
    fs::rename(path_ / name, parent / name, error);
    if (error) throw IoError(fmt::format("{}: cannot move: {}", (path_ / name).string(), error.message()));
  }
  renamed_ = true;
  remove_scratch(path_, error);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const std::filesystem::path& path, uint64_t most_bytes) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw IoError(fmt::format("{}: expected a regular file, found {}", path.string(),
                              std::filesystem::is_directory(status) ? "a folder" : "a device or a pipe"));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) throw IoError(fmt::format("{}: cannot open the file", path.string()));
  const uint64_t size = std::filesystem::file_size(path);
  if (size > most_bytes) {
    throw IoError(fmt::format("{}: expected at most {} bytes, found {}", path.string(), most_bytes, size));
  }
  std::string text(size, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));  // a file that grows meanwhile is read as far as it was
  if (in.bad()) throw IoError(fmt::format("{}: cannot read the file", path.string()));
  return text;
}

}  // namespace tessera
