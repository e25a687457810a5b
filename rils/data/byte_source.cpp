#include "rils/data/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/core/error.h"

namespace tessera::rils {

std::vector<std::byte> ByteSource::read(uint64_t offset, size_t count) const {
  // The size is compared first, so that a forged count does not allocate memory.
  if (offset > size() || count > size() - offset)
    throw IoError(fmt::format("expected {} bytes from offset {}, but the file ends at {}", count, offset, size()));
  std::vector<std::byte> bytes(count);
  if (read_at(offset, bytes) != count)
    throw IoError(fmt::format("expected {} bytes from offset {}, found fewer", count, offset));
  return bytes;
}

FileSource::FileSource(const std::filesystem::path& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not block
  if (descriptor_ < 0) throw IoError(fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno)));
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    throw IoError(fmt::format("{}: not a regular file", path.string()));
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

FileSource::~FileSource() { ::close(descriptor_); }

size_t FileSource::read_at(uint64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw IoError(fmt::format("{}: cannot read: {}", path_.string(), std::strerror(errno)));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

size_t MemorySource::read_at(uint64_t offset, std::span<std::byte> out) const {
  if (offset >= bytes_.size()) return 0;
  const auto part = bytes_.subspan(offset, std::min<size_t>(out.size(), bytes_.size() - offset));
  std::ranges::copy(part, out.begin());
  return part.size();
}

std::vector<std::byte> read_bytes(const std::filesystem::path& path) {
  const FileSource file(path);
  return file.read(0, file.size());
}

}  // namespace tessera::rils
