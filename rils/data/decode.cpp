#include "rils/data/decode.h"

#include <fmt/format.h>
#include <webp/decode.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string>

#include "rils/text/ascii.h"

namespace tessera::rils {
namespace {

bool starts_with(std::span<const std::byte> bytes, size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() && std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0;
}

}  // namespace

ImageFormat image_format(std::span<const std::byte> bytes) {
  if (starts_with(bytes, 0, "\xff\xd8\xff")) return ImageFormat::jpeg;
  if (starts_with(bytes, 0, "\x89PNG\r\n\x1a\n")) return ImageFormat::png;
  if (starts_with(bytes, 0, "RIFF") && starts_with(bytes, 8, "WEBP")) return ImageFormat::webp;
  return ImageFormat::unknown;
}

std::string_view format_extension(ImageFormat format) {
  switch (format) {
    case ImageFormat::jpeg:
      return "jpg";
    case ImageFormat::png:
      return "png";
    case ImageFormat::webp:
      return "webp";
    case ImageFormat::unknown:
      break;
  }
  return "";
}

bool has_image_extension(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  static constexpr std::array<std::string_view, 23> kExtensions = {
      "jpg", "jpeg", "png", "webp", "jpe",  "jfif", "bmp", "dib", "gif", "tif", "tiff", "ppm",
      "pgm", "pbm",  "pnm", "avif", "heic", "heif", "jp2", "jxl", "tga", "ico", "psd"};
  return std::ranges::find(kExtensions, lower_ascii(name.substr(dot + 1))) != kExtensions.end();
}

Image decode_image(std::span<const std::byte> bytes, int64_t max_pixels) {
  switch (image_format(bytes)) {
    case ImageFormat::jpeg:
      return detail::decode_jpeg(bytes, max_pixels);
    case ImageFormat::png:
      return detail::decode_png(bytes, max_pixels, false);
    case ImageFormat::webp:
      return detail::decode_webp(bytes, max_pixels);
    case ImageFormat::unknown:
      break;
  }
  if (bytes.empty()) throw SampleError(skip::kBrokenImage, "the image is an empty file");
  const std::string_view content = describe_content(bytes);
  throw SampleError(skip::kUnknownFormat,
                    content.empty() ? fmt::format("{} bytes that are neither JPEG, PNG nor WebP", bytes.size())
                                    : fmt::format("expected JPEG, PNG or WebP, found {}", content));
}

Image decode_png_rgba(std::span<const std::byte> bytes, int64_t max_pixels) {
  if (image_format(bytes) != ImageFormat::png) throw SampleError(skip::kUnknownFormat, "not a PNG");
  return detail::decode_png(bytes, max_pixels, true);
}

namespace detail {

void check_extent(int64_t width, int64_t height, int64_t max_pixels) {
  constexpr int64_t kMaxExtent = std::numeric_limits<int32_t>::max();
  if (width < 1 || height < 1 || width > kMaxExtent || height > kMaxExtent)
    throw SampleError(skip::kBrokenImage, fmt::format("the header gives {}x{} pixels", width, height));
  if (width > max_pixels / height)
    throw SampleError(skip::kTooManyPixels,
                      fmt::format("{}x{} pixels exceed max_image_pixels {}", width, height, max_pixels));
}

Image decode_webp(std::span<const std::byte> bytes, int64_t max_pixels) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK)
    throw SampleError(skip::kBrokenImage, "WebP: the header is damaged or cut short");
  if (features.has_animation != 0) throw SampleError(skip::kUnknownFormat, "WebP: the file is an animation");
  check_extent(features.width, features.height, max_pixels);
  Image image(features.width, features.height);
  // Rows of a WebP are at most 16383 pixels, so the stride fits.
  if (WebPDecodeRGBInto(data, bytes.size(), image.pixels.data(), image.pixels.size(),
                        static_cast<int>(image.row_bytes())) == nullptr)
    throw SampleError(skip::kBrokenImage, "WebP: the data are damaged or cut short");
  return image;
}

}  // namespace detail
}  // namespace tessera::rils
