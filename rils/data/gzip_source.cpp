#include "rils/data/gzip_source.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/core/error.h"

namespace tessera::rils {
namespace {

constexpr uint64_t kSpan = 2 << 20;     // of the content between two points
constexpr size_t kWindow = 32 << 10;    // deflate looks no further back
constexpr size_t kChunk = 64 << 10;     // that is read from the file at once
constexpr uint64_t kTrailer = 8;        // check sum and size at the end of a member
constexpr uint64_t kMostRatio = 200;    // of content to file; deflate reaches 1032
constexpr uint64_t kFreely = 64 << 20;  // content that may have any ratio
constexpr uint8_t kMagic[] = {0x1f, 0x8b};
constexpr int kGzipBits = 31, kRawBits = -15;

}  // namespace

/// A zlib stream over a file, from any byte on.
struct GzipSource::Inflater {
  Inflater(const ByteSource& source, uint64_t offset, int window_bits) : file(source), read_to(offset), buffer(kChunk) {
    if (inflateInit2(&z, window_bits) != Z_OK) throw IoError("zlib: cannot be started");
  }
  ~Inflater() { inflateEnd(&z); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Reads more of the file when all is used. False at its end.
  bool fill() {
    if (z.avail_in > 0) return true;
    const size_t got = file.read_at(read_to, std::as_writable_bytes(std::span(buffer)));
    read_to += got;
    z.next_in = buffer.data();
    z.avail_in = static_cast<uInt>(got);
    return got > 0;
  }
  /// The offset of the next byte that zlib takes.
  [[nodiscard]] uint64_t position() const { return read_to - z.avail_in; }
  /// Goes to the member that begins at an offset. False when none does.
  bool start_member(uint64_t offset) {
    if (offset < position() || offset + 2 > read_to) {  // not in the buffer
      read_to = offset;
      z.avail_in = 0;
      (void)fill();
    } else {
      z.next_in += offset - position();
      z.avail_in = static_cast<uInt>(read_to - offset);
    }
    if (z.avail_in < sizeof(kMagic) || std::memcmp(z.next_in, kMagic, sizeof(kMagic)) != 0) return false;
    return inflateReset2(&z, kGzipBits) == Z_OK;
  }

  const ByteSource& file;
  uint64_t read_to;
  std::vector<uint8_t> buffer;
  z_stream z{};
};

bool is_gzip(const ByteSource& file) {
  std::array<std::byte, 2> start{};
  return file.read_at(0, start) == start.size() && std::memcmp(start.data(), kMagic, sizeof(kMagic)) == 0;
}

GzipIndex::GzipIndex(const ByteSource& file) {
  GzipSource::Inflater in(file, 0, kGzipBits);
  std::vector<uint8_t> ring(kWindow);  // the end of the content; zlib fills it from the front again and again
  points_.push_back({});
  const auto add_point = [&](bool header) {
    if (size_ - points_.back().out < kSpan) return;
    Point point{size_, in.position(), header ? 0 : in.z.data_type & 7, {}};
    if (!header) {
      const auto oldest = ring.end() - in.z.avail_out;
      point.window.assign(oldest, ring.end());
      point.window.insert(point.window.end(), ring.begin(), oldest);
    }
    points_.push_back(std::move(point));
  };
  while (in.fill()) {
    if (in.z.avail_out == 0) {
      in.z.next_out = ring.data();
      in.z.avail_out = kWindow;
    }
    const uInt room = in.z.avail_out;
    const int code = inflate(&in.z, Z_BLOCK);
    size_ += room - in.z.avail_out;
    if (code == Z_STREAM_END) {
      if (in.position() == file.size()) return;
      if (!in.start_member(in.position())) {
        damage_ = fmt::format("bytes that are not gzip follow at offset {}", in.position());
        return;
      }
      add_point(true);
      continue;
    }
    if (code != Z_OK && code != Z_BUF_ERROR) {
      damage_ = fmt::format("the gzip data are damaged at offset {}{}{}", in.position(),
                            in.z.msg != nullptr ? ": " : "", in.z.msg != nullptr ? in.z.msg : "");
      return;
    }
    if (size_ > kFreely && size_ / kMostRatio > file.size()) {
      damage_ = fmt::format("the gzip data unpack to more than {} times their size", kMostRatio);
      return;
    }
    const bool block_ends = (in.z.data_type & 128) != 0, last_block = (in.z.data_type & 64) != 0;
    if (block_ends && !last_block) add_point(false);
  }
  damage_ = fmt::format("the gzip data are cut short at offset {}", file.size());
}

GzipSource::GzipSource(const ByteSource& file, const GzipIndex& index) : file_(file), index_(index) {}
GzipSource::~GzipSource() = default;

/// Moves to the last point before an offset, unless the stream is already between the two.
void GzipSource::seek(uint64_t offset) const {
  const auto after = std::ranges::upper_bound(index_.points_, offset, {}, &GzipIndex::Point::out);
  const GzipIndex::Point& point = *(after - 1);
  if (stream_ && at_ <= offset && at_ >= point.out) return;
  raw_ = !point.window.empty();
  stream_ = std::make_unique<Inflater>(file_, point.in, raw_ ? kRawBits : kGzipBits);
  at_ = point.out;
  if (!raw_) return;
  if (point.bits > 0) {
    const int byte = static_cast<int>(file_.read(point.in - 1, 1)[0]);
    inflatePrime(&stream_->z, point.bits, byte >> (8 - point.bits));
  }
  inflateSetDictionary(&stream_->z, point.window.data(), static_cast<uInt>(point.window.size()));
}

/// Unpacks the next bytes; fewer only at the end of the content.
size_t GzipSource::unpack(std::span<std::byte> out) const {
  size_t done = 0;
  z_stream& z = stream_->z;
  while (done < out.size() && stream_->fill()) {
    const auto room = static_cast<uInt>(std::min<size_t>(out.size() - done, kFreely));
    z.next_out = reinterpret_cast<Bytef*>(out.data() + done);
    z.avail_out = room;
    const int code = inflate(&z, Z_NO_FLUSH);
    done += room - z.avail_out;
    at_ += room - z.avail_out;
    if (code == Z_STREAM_END) {
      if (!stream_->start_member(stream_->position() + (raw_ ? kTrailer : 0))) break;
      raw_ = false;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      stream_.reset();
      throw IoError(fmt::format("the gzip data are damaged at byte {} of their content", at_));
    }
  }
  return done;
}

size_t GzipSource::read_at(uint64_t offset, std::span<std::byte> out) const {
  if (offset >= index_.size()) return 0;
  const std::lock_guard lock(mutex_);
  seek(offset);
  std::vector<std::byte> passed(std::min<uint64_t>(kChunk, offset - at_));
  while (at_ < offset) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(passed.size(), offset - at_));
    if (unpack(std::span(passed).first(count)) != count) throw IoError("the gzip file has changed");
  }
  return unpack(out.first(static_cast<size_t>(std::min<uint64_t>(out.size(), index_.size() - offset))));
}

}  // namespace tessera::rils
