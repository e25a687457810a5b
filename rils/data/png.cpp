// A PNG decoder (ISO/IEC 15948) over zlib. It verifies check sums, and it never inflates more bytes
// than the header announces.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "rils/data/decode.h"

namespace tessera::rils::detail {
namespace {

[[noreturn]] void broken(std::string_view what) { throw SampleError(skip::kBrokenImage, fmt::format("PNG: {}", what)); }

uint32_t big_endian(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

enum Colour : uint8_t { kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6 };

struct Header {
  uint32_t width, height;
  uint8_t depth, colour, interlace;

  [[nodiscard]] size_t samples() const {
    switch (colour) {
      case kRgb:
        return 3;
      case kGreyAlpha:
        return 2;
      case kRgba:
        return 4;
      default:
        return 1;
    }
  }
  [[nodiscard]] size_t bits_per_pixel() const { return samples() * depth; }
  [[nodiscard]] size_t row_bytes(uint32_t columns) const { return (size_t{columns} * bits_per_pixel() + 7) / 8; }
};

struct File {
  Header header{};
  std::vector<std::span<const uint8_t>> data;         // the IDAT chunks
  std::array<std::array<uint8_t, 4>, 256> palette{};  // RGBA
  size_t palette_size = 0;
  std::span<const uint8_t> transparency;
};

Header parse_header(std::span<const uint8_t> body, int64_t max_pixels) {
  if (body.size() != 13) broken("the header chunk has a wrong length");
  const Header h{big_endian(body.data()), big_endian(body.data() + 4), body[8], body[9], body[12]};
  check_extent(h.width, h.height, max_pixels);
  const bool packed = h.depth == 1 || h.depth == 2 || h.depth == 4;
  const bool wide = h.depth == 16;
  bool valid = h.depth == 8;
  if (h.colour == kGrey) valid = valid || packed || wide;
  if (h.colour == kPalette) valid = valid || packed;
  if (h.colour == kRgb || h.colour == kGreyAlpha || h.colour == kRgba) valid = valid || wide;
  if (h.colour > kRgba || h.colour == 1 || h.colour == 5) valid = false;
  if (!valid) broken(fmt::format("colour type {} with {} bits", h.colour, h.depth));
  if (body[10] != 0 || body[11] != 0 || h.interlace > 1) broken("an unknown compression, filter or interlace method");
  return h;
}

void parse_palette(File& file, std::span<const uint8_t> body) {
  if (body.size() % 3 != 0 || body.size() > 768) broken("the palette has a wrong length");
  file.palette_size = body.size() / 3;
  for (size_t i = 0; i < file.palette_size; ++i) file.palette[i] = {body[3 * i], body[3 * i + 1], body[3 * i + 2], 255};
}

/// Reads the chunks and verifies the check sums of those that are used.
File parse_chunks(std::span<const uint8_t> bytes, int64_t max_pixels) {
  File file;
  size_t at = 8;
  for (bool first = true;; first = false) {
    if (bytes.size() - at < 12) broken("the file is cut short");
    const size_t length = big_endian(&bytes[at]);
    if (length > bytes.size() - at - 12) broken("the file is cut short");
    const std::string_view kind(reinterpret_cast<const char*>(&bytes[at + 4]), 4);
    const auto body = bytes.subspan(at + 8, length);
    const bool needed = (bytes[at + 4] & 0x20) == 0 || kind == "tRNS";
    if (needed && crc32(0, &bytes[at + 4], static_cast<uInt>(length + 4)) != big_endian(&bytes[at + 8 + length]))
      broken("a check sum is wrong");
    if (first != (kind == "IHDR")) broken("the header chunk is not the first");
    if (first) {
      file.header = parse_header(body, max_pixels);
    } else if (kind == "PLTE") {
      parse_palette(file, body);
    } else if (kind == "tRNS") {
      file.transparency = body;
    } else if (kind == "IDAT") {
      file.data.push_back(body);
    } else if (kind == "IEND") {
      break;
    } else if (needed) {
      broken("an unknown critical chunk");
    }
    at += length + 12;
  }
  if (file.data.empty()) broken("there are no image data");
  if (file.header.colour == kPalette && file.palette_size == 0) broken("the palette is missing");
  return file;
}

/// The origin and step of Adam7's passes.
struct Pass {
  uint32_t x, y, dx, dy;
};
constexpr std::array<Pass, 7> kAdam7 = {
    {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}};
constexpr std::array<Pass, 1> kWhole = {{{0, 0, 1, 1}}};

std::span<const Pass> passes(const Header& h) {
  return h.interlace == 1 ? std::span<const Pass>(kAdam7) : std::span<const Pass>(kWhole);
}
uint32_t extent(uint32_t whole, uint32_t origin, uint32_t step) {
  return whole <= origin ? 0 : (whole - origin + step - 1) / step;
}

size_t raw_size(const Header& h) {
  size_t total = 0;
  for (const Pass& p : passes(h)) {
    const uint32_t columns = extent(h.width, p.x, p.dx);
    if (columns > 0) total += size_t{extent(h.height, p.y, p.dy)} * (1 + h.row_bytes(columns));
  }
  return total;
}

/// Inflates exactly as many bytes as the header announces. Further bytes are ignored, as in other readers; fewer are an
/// error.
std::vector<uint8_t> inflate_data(const File& file) {
  std::vector<uint8_t> raw(raw_size(file.header));
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) throw OutOfMemoryError("PNG: zlib has no memory");
  struct End {
    z_stream* stream;
    ~End() { inflateEnd(stream); }
  } end{&stream};
  size_t filled = 0, chunk = 0;
  uint8_t beyond[1];
  for (;;) {
    if (stream.avail_in == 0 && chunk < file.data.size()) {
      stream.next_in = const_cast<Bytef*>(file.data[chunk].data());
      stream.avail_in = static_cast<uInt>(file.data[chunk].size());
      ++chunk;
    }
    const bool full = filled == raw.size();
    const auto room = static_cast<uInt>(full ? 1 : std::min<size_t>(raw.size() - filled, 1u << 30));
    stream.next_out = full ? beyond : raw.data() + filled;
    stream.avail_out = room;
    const int code = inflate(&stream, Z_NO_FLUSH);
    const size_t made = room - stream.avail_out;
    if (!full) filled += made;
    if (code == Z_STREAM_END || (full && made > 0)) break;
    if (code == Z_BUF_ERROR && stream.avail_in == 0 && chunk == file.data.size())
      broken("the image data are cut short");
    if (code != Z_OK && code != Z_BUF_ERROR) broken("the compressed data are damaged");
  }
  if (filled < raw.size()) broken("the image data are cut short");
  return raw;
}

uint8_t paeth(int left, int up, int corner) {
  const int estimate = left + up - corner;
  const int a = std::abs(estimate - left), b = std::abs(estimate - up), c = std::abs(estimate - corner);
  return static_cast<uint8_t>(a <= b && a <= c ? left : b <= c ? up : corner);
}

/// Undoes the filter of one row in place. `previous` is the row above (zeros for the first).
void unfilter(uint8_t filter, std::span<uint8_t> row, const uint8_t* previous, size_t pixel_bytes) {
  const auto add = [](uint8_t a, unsigned b) { return static_cast<uint8_t>(a + b); };
  for (size_t i = 0; i < row.size(); ++i) {
    const uint8_t left = i >= pixel_bytes ? row[i - pixel_bytes] : uint8_t{0};
    const uint8_t corner = i >= pixel_bytes ? previous[i - pixel_bytes] : uint8_t{0};
    switch (filter) {
      case 0:
        return;
      case 1:
        row[i] = add(row[i], left);
        break;
      case 2:
        row[i] = add(row[i], previous[i]);
        break;
      case 3:
        row[i] = add(row[i], (unsigned{left} + previous[i]) / 2);
        break;
      case 4:
        row[i] = add(row[i], paeth(left, previous[i], corner));
        break;
      default:
        broken("an unknown row filter");
    }
  }
}

/// One pixel of an unfiltered row as RGBA.
class Expander {
 public:
  explicit Expander(const File& file) : file_(file), h_(file.header) {
    const auto t = file.transparency;
    if (h_.colour == kGrey && t.size() >= 2) key_ = {static_cast<uint16_t>(t[0] << 8 | t[1]), 0, 0}, keyed_ = true;
    if (h_.colour == kRgb && t.size() >= 6) {
      for (size_t c = 0; c < 3; ++c) key_[c] = static_cast<uint16_t>(t[2 * c] << 8 | t[2 * c + 1]);
      keyed_ = true;
    }
  }

  [[nodiscard]] std::array<uint8_t, 4> pixel(const uint8_t* row, size_t x) const {
    if (h_.colour == kPalette) return palette_entry(sample(row, x));
    std::array<uint16_t, 4> s{};
    for (size_t c = 0; c < h_.samples(); ++c) s[c] = sample(row, x * h_.samples() + c);
    switch (h_.colour) {
      case kGrey:
        return {to_8bit(s[0]), to_8bit(s[0]), to_8bit(s[0]), alpha_of_key(s[0] == key_[0])};
      case kGreyAlpha:
        return {to_8bit(s[0]), to_8bit(s[0]), to_8bit(s[0]), to_8bit(s[1])};
      case kRgb:
        return {to_8bit(s[0]), to_8bit(s[1]), to_8bit(s[2]),
                alpha_of_key(s[0] == key_[0] && s[1] == key_[1] && s[2] == key_[2])};
      default:
        return {to_8bit(s[0]), to_8bit(s[1]), to_8bit(s[2]), to_8bit(s[3])};
    }
  }

 private:
  [[nodiscard]] uint16_t sample(const uint8_t* row, size_t i) const {
    if (h_.depth == 8) return row[i];
    if (h_.depth == 16) return static_cast<uint16_t>(row[2 * i] << 8 | row[2 * i + 1]);
    const size_t bit = i * h_.depth;
    return static_cast<uint16_t>((row[bit / 8] >> (8 - h_.depth - bit % 8)) & ((1u << h_.depth) - 1));
  }
  [[nodiscard]] uint8_t to_8bit(uint16_t value) const {
    if (h_.depth == 16) return static_cast<uint8_t>(value >> 8);
    return static_cast<uint8_t>(value * (255u / ((1u << h_.depth) - 1)));
  }
  [[nodiscard]] uint8_t alpha_of_key(bool equal) const { return keyed_ && equal ? 0 : 255; }
  [[nodiscard]] std::array<uint8_t, 4> palette_entry(uint16_t index) const {
    if (index >= file_.palette_size) broken("a pixel is outside of the palette");
    auto entry = file_.palette[index];
    if (index < file_.transparency.size()) entry[3] = file_.transparency[index];
    return entry;
  }

  const File& file_;
  const Header& h_;
  std::array<uint16_t, 3> key_{};
  bool keyed_ = false;
};

}  // namespace

Image decode_png(std::span<const std::byte> bytes, int64_t max_pixels, bool keep_alpha) {
  const File file = parse_chunks({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, max_pixels);
  const Header& h = file.header;
  std::vector<uint8_t> raw = inflate_data(file);
  Image image(static_cast<int>(h.width), static_cast<int>(h.height), keep_alpha ? 4 : 3);
  const auto channels = static_cast<size_t>(image.channels);
  const size_t pixel_bytes = std::max<size_t>(1, h.bits_per_pixel() / 8);
  // Rows of the most common kind of file can be copied directly.
  const bool plain = h.depth == 8 && h.interlace == 0 && h.colour == kRgb && !keep_alpha;
  const Expander expander(file);
  size_t at = 0;
  for (const Pass& p : passes(h)) {
    const uint32_t columns = extent(h.width, p.x, p.dx), rows = extent(h.height, p.y, p.dy);
    if (columns == 0) continue;
    const size_t row_bytes = h.row_bytes(columns);
    const std::vector<uint8_t> zeros(row_bytes);
    const uint8_t* previous = zeros.data();
    for (uint32_t r = 0; r < rows; ++r, at += row_bytes + 1) {
      const std::span<uint8_t> row(raw.data() + at + 1, row_bytes);
      unfilter(raw[at], row, previous, pixel_bytes);
      previous = row.data();
      uint8_t* out = image.row(static_cast<int>(p.y + r * p.dy));
      if (plain) {
        std::memcpy(out, row.data(), row_bytes);
        continue;
      }
      for (uint32_t c = 0; c < columns; ++c)
        std::memcpy(out + (p.x + size_t{c} * p.dx) * channels, expander.pixel(row.data(), c).data(), channels);
    }
  }
  return image;
}

}  // namespace tessera::rils::detail
