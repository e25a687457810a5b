// PNG by libpng, whose errors leave it by longjmp.
#include <fmt/format.h>
#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <string_view>
#include <vector>

#include "rils/data/decode.h"

namespace tessera::rils::detail {
namespace {

using Bytes = std::span<const uint8_t>;

[[noreturn]] void broken(std::string_view what) { throw SampleError(skip::kBrokenImage, fmt::format("PNG: {}", what)); }

constexpr size_t kSignature = 8;
constexpr size_t kFrame = 12;  // the length, the name and the check sum of a chunk
constexpr std::array<uint8_t, kFrame> kEnd = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};

/// The signature and the whole chunks before the end marker. Verifies the check sums of the chunks that are used, but
/// for the pixels', which have another from zlib. Pillow too reads files with a wrong sum there or without an end.
Bytes whole_chunks(Bytes bytes) {
  size_t at = kSignature;
  while (bytes.size() - at >= kFrame) {
    const size_t length = png_get_uint_32(&bytes[at]);
    if (length > bytes.size() - at - kFrame) break;
    const std::string_view name(reinterpret_cast<const char*>(&bytes[at + 4]), 4);
    if (name == "IEND") break;
    const bool used = (name[0] & 0x20) == 0 || name == "tRNS";
    if (used && name != "IDAT" &&
        crc32(0, &bytes[at + 4], static_cast<uInt>(length + 4)) != png_get_uint_32(&bytes[at + 8 + length])) {
      broken("a check sum is wrong");
    }
    at += length + kFrame;
  }
  return bytes.first(at);
}

/// Owns everything that must survive a longjmp. The frames that the jump skips hold only trivial objects.
struct PngReader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf jump;
  std::array<char, 128> message{};
  Bytes left, end = kEnd;

  explicit PngReader(Bytes chunks) : left(chunks) {}
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  [[noreturn]] static void on_error(png_structp png, png_const_charp text) {
    auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
    std::strncpy(reader->message.data(), text, reader->message.size() - 1);
    std::longjmp(reader->jump, 1);
  }
  /// A wrong sum over all pixels is only a warning, because it comes after the last of them.
  static void on_warning(png_structp png, png_const_charp text) {
    if (std::strstr(text, "incorrect data check") != nullptr) png_error(png, text);
  }
  /// Gives the chunks, and an end marker after them.
  static void on_read(png_structp png, png_bytep out, size_t count) {
    auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
    while (count > 0) {
      Bytes& from = reader->left.empty() ? reader->end : reader->left;
      if (from.empty()) png_error(png, "the file is cut short");
      const size_t n = std::min(count, from.size());
      std::memcpy(out, from.data(), n);
      from = from.subspan(n);
      out += n;
      count -= n;
    }
  }

  /// False when the library failed; `message` gives the reason.
  bool read_header() {
    if (setjmp(jump) != 0) return false;
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info = png != nullptr ? png_create_info_struct(png) : nullptr;
    if (info == nullptr) throw OutOfMemoryError("PNG: libpng has no memory");
    png_set_read_fn(png, this, on_read);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);             // check_extent has its own
    png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);          // whole_chunks has looked at them
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);  // texts, profiles, times
    png_read_info(png, info);
    return true;
  }

  /// What Pillow opens the file as: transparency in a chunk of its own does not count.
  PixelMode mode() const {
    const int colour = png_get_color_type(png, info);
    if (colour == PNG_COLOR_TYPE_PALETTE) return PixelMode::nearest;
    if (colour == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) == 1) return PixelMode::nearest;
    return (colour & PNG_COLOR_MASK_ALPHA) != 0 ? PixelMode::alpha : PixelMode::plain;
  }

  /// Decodes to 8 bits and 3 channels, or 4 with alpha.
  bool read_pixels(uint8_t** rows, bool keep_alpha) {
    if (setjmp(jump) != 0) return false;
    png_set_strip_16(png);
    png_set_expand(png);
    png_set_gray_to_rgb(png);
    if (keep_alpha) {
      png_set_add_alpha(png, 255, PNG_FILLER_AFTER);
    } else {
      png_set_strip_alpha(png);
    }
    png_set_interlace_handling(png);
    png_read_image(png, rows);
    png_read_end(png, nullptr);
    return true;
  }
};

}  // namespace

Image decode_png(std::span<const std::byte> bytes, int64_t max_pixels, PngPixels pixels) {
  PngReader reader(whole_chunks({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
  if (!reader.read_header()) broken(reader.message.data());
  const int64_t width = png_get_image_width(reader.png, reader.info);
  const int64_t height = png_get_image_height(reader.png, reader.info);
  check_extent(width, height, max_pixels);
  const PixelMode mode = pixels == PngPixels::as_stored ? reader.mode() : PixelMode::plain;
  const bool keep_alpha = pixels == PngPixels::rgba || mode == PixelMode::alpha;
  Image image(static_cast<int>(width), static_cast<int>(height), keep_alpha ? 4 : 3);
  image.mode = mode;
  std::vector<uint8_t*> rows(static_cast<size_t>(height));
  for (int y = 0; y < image.height; ++y) rows[static_cast<size_t>(y)] = image.row(y);
  if (!reader.read_pixels(rows.data(), keep_alpha)) broken(reader.message.data());
  return image;
}

}  // namespace tessera::rils::detail
