// The format is PKWARE's APPNOTE.TXT. The directory is at the end of the file and is found by its end record. A
// member's data follow a header that repeats the name.
#include "rils/prepare/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <optional>

#include "engine/core/error.h"

namespace tessera::rils {
namespace {

constexpr size_t kMostBytes = size_t{64} << 20;
constexpr size_t kEndBytes = 22, kEntryBytes = 46, kHeaderBytes = 30;
constexpr uint32_t kEndMark = 0x06054b50, kEntryMark = 0x02014b50, kHeaderMark = 0x04034b50;

/// Reads little-endian numbers; reading beyond the end is an error.
class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  [[nodiscard]] uint32_t number(size_t at, size_t bytes) const {
    const std::string_view field = part(at, bytes);
    uint32_t value = 0;
    for (size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<uint8_t>(field[i]);
    return value;
  }
  [[nodiscard]] std::string_view part(size_t at, size_t length) const {
    if (at > bytes_.size() || length > bytes_.size() - at) fail("it is cut short");
    return bytes_.substr(at, length);
  }
  [[noreturn]] void fail(std::string_view why) const {
    throw IoError(fmt::format("{}: cannot read the ZIP archive: {}", name_, why));
  }
  [[nodiscard]] size_t size() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
  const std::string& name_;
};

struct Entry {
  uint32_t flags, method, check_sum, packed, size, header;
};

/// The offset of the last end record; a comment of up to 65,535 bytes may follow it.
size_t find_end(const Reader& r) {
  for (size_t back = kEndBytes; back <= std::min(r.size(), kEndBytes + 0xffff); ++back) {
    if (r.number(r.size() - back, 4) == kEndMark) return r.size() - back;
  }
  r.fail("it has no directory");
}

std::optional<Entry> find_entry(const Reader& r, std::string_view file) {
  const size_t end = find_end(r);
  const uint32_t entries = r.number(end + 10, 2);
  size_t at = r.number(end + 16, 4);
  for (uint32_t i = 0; i < entries; ++i) {
    if (r.number(at, 4) != kEntryMark) r.fail("the directory is damaged");
    const size_t length = r.number(at + 28, 2);
    const std::string_view path = r.part(at + kEntryBytes, length);
    if (path.substr(path.rfind('/') + 1) == file) {
      return Entry{r.number(at + 8, 2),  r.number(at + 10, 2), r.number(at + 16, 4),
                   r.number(at + 20, 4), r.number(at + 24, 4), r.number(at + 42, 4)};
    }
    at += kEntryBytes + length + r.number(at + 30, 2) + r.number(at + 32, 2);
  }
  return std::nullopt;
}

std::string inflate_raw(std::string_view packed, size_t size, const Reader& r) {
  std::string out(size, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw OutOfMemoryError("ZIP: zlib has no memory");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int code = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  if (code != Z_STREAM_END || stream.avail_out != 0) r.fail("the data are damaged");
  return out;
}

}  // namespace

std::string read_zip_member(std::string_view archive, std::string_view file, const std::string& name) {
  const Reader r(archive, name);
  const std::optional<Entry> entry = find_entry(r, file);
  if (!entry) throw IoError(fmt::format("{}: the archive has no file {}", name, file));
  if ((entry->flags & 1) != 0) r.fail("it is encrypted");
  if (entry->size > kMostBytes || entry->packed > kMostBytes) r.fail("the file is too large");
  if (r.number(entry->header, 4) != kHeaderMark) r.fail("a header is damaged");
  const size_t begin = entry->header + kHeaderBytes + r.number(entry->header + 26, 2) + r.number(entry->header + 28, 2);
  const std::string_view packed = r.part(begin, entry->packed);
  if (entry->method != 0 && entry->method != 8)
    r.fail(fmt::format("compression method {} is not supported", entry->method));
  std::string bytes = entry->method == 0 ? std::string(packed) : inflate_raw(packed, entry->size, r);
  const auto sum = crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()));
  if (sum != entry->check_sum) r.fail("the check sum is wrong");
  return bytes;
}

}  // namespace tessera::rils
