// BMP, GIF, PNM and TGA by stb_image.
#include <fmt/format.h>
#include <stb_image.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "rils/data/decode.h"

namespace tessera::rils::detail {
namespace {

/// Gives the library its bytes. It takes zeros for bytes that are missing and does not say so, therefore this notes
/// whether it wanted any beyond the end.
struct Source {
  std::span<const std::byte> left;
  bool short_of_bytes = false;

  static int read(void* user, char* out, int count) {
    constexpr int kBuffer = 128;  // asked for when its buffer is empty; fewer are fine then, but for none
    auto& s = *static_cast<Source*>(user);
    const auto n = std::min(static_cast<size_t>(count), s.left.size());
    if (n == 0 || (count != kBuffer && n < static_cast<size_t>(count))) s.short_of_bytes = true;
    std::memcpy(out, s.left.data(), n);
    s.left = s.left.subspan(n);
    return static_cast<int>(n);
  }
  static void skip(void* user, int count) {
    auto& s = *static_cast<Source*>(user);
    const auto n = static_cast<size_t>(std::max(count, 0));
    if (n > s.left.size()) s.short_of_bytes = true;
    s.left = s.left.subspan(std::min(n, s.left.size()));
  }
  static int at_end(void* user) { return static_cast<Source*>(user)->left.empty() ? 1 : 0; }
};

constexpr stbi_io_callbacks kCallbacks = {Source::read, Source::skip, Source::at_end};

/// Reads little-endian numbers of a file whose header the library has accepted; beyond the end there are zeros.
struct Fields {
  std::span<const std::byte> bytes;
  [[nodiscard]] size_t u8(size_t at) const { return at < bytes.size() ? std::to_integer<size_t>(bytes[at]) : 0; }
  [[nodiscard]] size_t u16(size_t at) const { return u8(at) | u8(at + 1) << 8; }
  [[nodiscard]] size_t u32(size_t at) const { return u16(at) | u16(at + 2) << 16; }
  /// Whether the i-th of `count` colours is the grey value i: Pillow reads such a palette as plain grey.
  [[nodiscard]] bool is_grey_ramp(size_t at, size_t count, size_t stride) const {
    for (size_t i = 0; i < count; ++i)
      for (size_t c = 0; c < 3; ++c)
        if (u8(at + i * stride + c) != i) return false;
    return true;
  }
};

PixelMode mode_of_bmp(const Fields& f, int channels) {
  constexpr size_t kFileHeader = 14, kOldHeader = 12, kMasks = 3;
  const size_t header = f.u32(kFileHeader);
  const bool old = header == kOldHeader;
  const size_t bits = f.u16(old ? 24 : 28), named = old ? 0 : f.u32(46);
  if (bits > 8) return channels == 4 && f.u32(30) == kMasks ? PixelMode::alpha : PixelMode::plain;
  const size_t colours = named != 0 ? std::min<size_t>(named, 256) : size_t{1} << bits;
  const bool grey = colours > 2 && f.is_grey_ramp(kFileHeader + header, colours, old ? 3 : 4);
  return grey ? PixelMode::plain : PixelMode::nearest;
}

/// Of the first frame: its own palette, or that of the file.
PixelMode mode_of_gif(const Fields& f) {
  constexpr size_t kHeader = 13, kFrame = 10;
  const auto colours = [&](size_t flags) { return (flags & 0x80) != 0 ? size_t{2} << (flags & 7) : 0; };
  size_t count = colours(f.u8(10)), palette = kHeader, at = kHeader + 3 * count;
  while (f.u8(at) == '!') {  // an extension: blocks until an empty one
    at += 2;
    while (f.u8(at) != 0) at += f.u8(at) + 1;
    ++at;
  }
  if (const size_t own = colours(f.u8(at + kFrame - 1)); own != 0) count = own, palette = at + kFrame;
  return f.is_grey_ramp(palette, count, 3) ? PixelMode::plain : PixelMode::nearest;
}

/// The mode in which Pillow opens a file that the library reads with this many channels.
PixelMode mode_of(std::span<const std::byte> bytes, ImageFormat format, int channels) {
  const Fields fields{bytes};
  if (format == ImageFormat::bmp) return mode_of_bmp(fields, channels);
  if (format == ImageFormat::gif) return mode_of_gif(fields);
  if (format == ImageFormat::tga && fields.u8(1) != 0) return PixelMode::nearest;
  return channels == 2 || channels == 4 ? PixelMode::alpha : PixelMode::plain;
}

}  // namespace

Image decode_by_stb(std::span<const std::byte> bytes, int64_t max_pixels, ImageFormat format, bool keep_mode) {
  const auto broken = [&](const char* why) {
    throw SampleError(skip::kBrokenImage,
                      fmt::format("{}: {}", format_extension(format), why != nullptr ? why : "damaged"));
  };
  int width = 0, height = 0, channels = 0;
  Source header{bytes}, whole{bytes};
  if (stbi_info_from_callbacks(&kCallbacks, &header, &width, &height, &channels) == 0) broken(stbi_failure_reason());
  check_extent(width, height, max_pixels);
  const PixelMode mode = keep_mode ? mode_of(bytes, format, channels) : PixelMode::plain;
  const int wanted = mode == PixelMode::alpha ? 4 : 3;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_callbacks(&kCallbacks, &whole, &width, &height, &channels, wanted), stbi_image_free);
  if (!pixels) broken(stbi_failure_reason());
  if (whole.short_of_bytes) broken("the file is cut short");
  check_extent(width, height, max_pixels);
  Image image(width, height, wanted);
  image.mode = mode;
  std::copy_n(pixels.get(), image.pixels.size(), image.pixels.begin());
  return image;
}

}  // namespace tessera::rils::detail
