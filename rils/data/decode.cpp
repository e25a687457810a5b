#include "rils/data/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string>

#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

using Bytes = std::span<const std::byte>;

bool starts_with(Bytes bytes, size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() && std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0;
}

/// TGA has no mark at its begin. Its second version has one at its end; the first is known by a header of fields that
/// have few values each.
bool is_tga(Bytes bytes) {
  constexpr std::string_view kFooter("TRUEVISION-XFILE.\0", 18);
  if (bytes.size() < 18) return false;
  if (starts_with(bytes, bytes.size() - kFooter.size(), kFooter)) return true;
  const auto at = [&](size_t i) { return std::to_integer<int>(bytes[i]); };
  const bool mapped = at(1) == 1 && (at(2) == 1 || at(2) == 9);
  const bool direct = at(1) == 0 && (at(2) == 2 || at(2) == 3 || at(2) == 10 || at(2) == 11);
  const bool depth = at(16) == 8 || at(16) == 15 || at(16) == 16 || at(16) == 24 || at(16) == 32;
  const bool extent = at(12) + at(13) > 0 && at(14) + at(15) > 0;
  return (mapped || direct) && depth && extent && at(17) <= 0x3f;
}

struct Magic {
  size_t offset;
  std::string_view bytes;
  std::string_view name;
};

using namespace std::string_view_literals;
constexpr auto kUnread = std::to_array<Magic>({{4, "ftypavif", "AVIF"},
                                               {4, "ftypavis", "AVIF"},
                                               {4, "ftyphei", "HEIC"},
                                               {4, "ftyphev", "HEIC"},
                                               {4, "ftypmif1", "HEIC or AVIF"},
                                               {4, "ftyp", "a film (MP4 or QuickTime)"},
                                               {0, "\xff\x0a", "JPEG XL"},
                                               {0, "\0\0\0\x0cJXL "sv, "JPEG XL"},
                                               {0, "\0\0\0\x0cjP  "sv, "JPEG 2000"},
                                               {0, "\xff\x4f\xff\x51", "JPEG 2000"},
                                               {0, "8BPS", "a Photoshop file"},
                                               {0, "\0\0\1\0"sv, "an icon (ICO)"},
                                               {0, "P1", "a plain-text PNM"},
                                               {0, "P2", "a plain-text PNM"},
                                               {0, "P3", "a plain-text PNM"},
                                               {0, "P4", "a PBM"},
                                               {0, "P7", "a PAM"},
                                               {0, "%PDF", "PDF"},
                                               {0, "PK\3\4", "a zip archive"},
                                               {0, "\x1f\x8b", "gzip"},
                                               {0, "version https://git-lfs", "a Git LFS pointer"},
                                               {257, "ustar", "a tar archive"}});

bool is_text(std::string_view head) {
  return std::ranges::all_of(head, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u >= 0x20 || u == '\t' || u == '\n' || u == '\r';
  });
}

}  // namespace

ImageFormat image_format(Bytes bytes) {
  if (starts_with(bytes, 0, "\xff\xd8\xff")) return ImageFormat::jpeg;
  if (starts_with(bytes, 0, "\x89PNG\r\n\x1a\n")) return ImageFormat::png;
  if (starts_with(bytes, 0, "RIFF") && starts_with(bytes, 8, "WEBP")) return ImageFormat::webp;
  if (starts_with(bytes, 0, "GIF87a") || starts_with(bytes, 0, "GIF89a")) return ImageFormat::gif;
  if (starts_with(bytes, 0, "BM") && starts_with(bytes, 6, "\0\0\0\0"sv)) return ImageFormat::bmp;
  if (starts_with(bytes, 0, "II*\0"sv) || starts_with(bytes, 0, "MM\0*"sv)) return ImageFormat::tiff;
  if (starts_with(bytes, 0, "P5") || starts_with(bytes, 0, "P6")) return ImageFormat::pnm;
  return is_tga(bytes) ? ImageFormat::tga : ImageFormat::unknown;
}

std::string_view format_extension(ImageFormat format) {
  switch (format) {
    case ImageFormat::jpeg:
      return "jpg";
    case ImageFormat::png:
      return "png";
    case ImageFormat::webp:
      return "webp";
    case ImageFormat::gif:
      return "gif";
    case ImageFormat::bmp:
      return "bmp";
    case ImageFormat::tiff:
      return "tif";
    case ImageFormat::pnm:
      return "ppm";
    case ImageFormat::tga:
      return "tga";
    case ImageFormat::unknown:
      break;
  }
  return "";
}

bool has_image_extension(std::string_view name) {
  static constexpr std::array kExtensions = {
      "jpg"sv, "jpeg"sv, "jpe"sv,  "jfif"sv, "png"sv, "webp"sv, "bmp"sv, "gif"sv, "tif"sv, "tiff"sv, "ppm"sv, "pgm"sv,
      "tga"sv, "avif"sv, "heic"sv, "heif"sv, "jp2"sv, "jxl"sv,  "pbm"sv, "pnm"sv, "dib"sv, "ico"sv,  "psd"sv};
  const size_t dot = name.rfind('.');
  return dot != std::string_view::npos &&
         std::ranges::find(kExtensions, lower_ascii(name.substr(dot + 1))) != kExtensions.end();
}

std::string describe_unread(Bytes head, uintmax_t size) {
  if (head.empty()) return "an empty file";
  for (const Magic& magic : kUnread)
    if (starts_with(head, magic.offset, magic.bytes)) return std::string(magic.name);
  head = head.first(std::min(head.size(), kDescribedBytes));
  std::string text(reinterpret_cast<const char*>(head.data()), head.size());
  if (!is_text(text)) return fmt::format("{} bytes of no known format", size);
  text = lower_ascii(text);
  if (text.find("<!doctype html") != std::string::npos || text.find("<html") != std::string::npos)
    return "an HTML page";
  if (text.find("<svg") != std::string::npos) return "SVG";
  if (text.find("<?xml") != std::string::npos) return "XML";
  if (text.front() == '{' || text.front() == '[') return "JSON";
  return fmt::format("{} bytes of text", size);
}

Image decode_image(Bytes bytes, int64_t max_pixels, bool keep_mode) {
  switch (const ImageFormat format = image_format(bytes)) {
    case ImageFormat::jpeg:
      return detail::decode_jpeg(bytes, max_pixels, keep_mode);
    case ImageFormat::png:
      return detail::decode_png(bytes, max_pixels, keep_mode ? detail::PngPixels::as_stored : detail::PngPixels::rgb);
    case ImageFormat::webp:
      return detail::decode_webp(bytes, max_pixels, keep_mode);
    case ImageFormat::tiff:
      return detail::decode_tiff(bytes, max_pixels, keep_mode);
    case ImageFormat::gif:
    case ImageFormat::bmp:
    case ImageFormat::pnm:
    case ImageFormat::tga:
      return detail::decode_by_stb(bytes, max_pixels, format, keep_mode);
    case ImageFormat::unknown:
      break;
  }
  throw SampleError(
      bytes.empty() ? skip::kBrokenImage : skip::kUnknownFormat,
      fmt::format("expected an image (JPEG, PNG, WebP, GIF, BMP, TIFF, PNM or TGA), found {}", describe_unread(bytes)));
}

Image decode_png_rgba(Bytes bytes, int64_t max_pixels) {
  if (image_format(bytes) != ImageFormat::png)
    throw SampleError(skip::kUnknownFormat, fmt::format("expected a PNG, found {}", describe_unread(bytes)));
  return detail::decode_png(bytes, max_pixels, detail::PngPixels::rgba);
}

void detail::check_extent(int64_t width, int64_t height, int64_t max_pixels) {
  constexpr int64_t kMaxExtent = std::numeric_limits<int32_t>::max();
  if (width < 1 || height < 1 || width > kMaxExtent || height > kMaxExtent)
    throw SampleError(skip::kBrokenImage, fmt::format("the header gives {}x{} pixels", width, height));
  if (width > max_pixels / height)
    throw SampleError(skip::kTooManyPixels,
                      fmt::format("{}x{} pixels exceed max_image_pixels {}", width, height, max_pixels));
}

}  // namespace tessera::rils
