#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "rils/data/image.h"

namespace tessera::rils {

/// Above this an image is refused as a decompression bomb unless the caller says otherwise; Pillow warns at the same
/// size.
inline constexpr int64_t kDefaultMaxImagePixels = 89'478'485;

enum class ImageFormat { unknown, jpeg, png, webp };

/// By the first bytes, never by the name.
[[nodiscard]] ImageFormat image_format(std::span<const std::byte> bytes);
/// "jpg", "png", "webp"; "" for unknown.
[[nodiscard]] std::string_view format_extension(ImageFormat format);
/// Whether the name ends as an image file does (jpg, jpeg, png, webp; any case).
[[nodiscard]] bool has_image_extension(std::string_view name);

/// Decodes JPEG, PNG or WebP to RGB with the pixels that Pillow's `open(…).convert("RGB")` gives: alpha is dropped,
/// grey and palettes are expanded, CMYK and YCCK are converted, the EXIF orientation is not applied. One difference:
/// 16-bit grey keeps its high byte, where Pillow clips. An animation is refused. Throws SampleError: unknown image
/// format, too many pixels (known from the header, before anything is allocated), broken image (cut or damaged data; a
/// decoder's guess at missing pixels is never returned).
[[nodiscard]] Image decode_image(std::span<const std::byte> bytes, int64_t max_pixels = kDefaultMaxImagePixels);

/// A PNG with its alpha: four channels, straight (not premultiplied), opaque where the file has no transparency.
[[nodiscard]] Image decode_png_rgba(std::span<const std::byte> bytes, int64_t max_pixels = kDefaultMaxImagePixels);

namespace detail {
[[nodiscard]] Image decode_jpeg(std::span<const std::byte> bytes, int64_t max_pixels);
[[nodiscard]] Image decode_png(std::span<const std::byte> bytes, int64_t max_pixels, bool keep_alpha);
[[nodiscard]] Image decode_webp(std::span<const std::byte> bytes, int64_t max_pixels);
/// Throws "too many pixels", or "broken image" for an extent below 1.
void check_extent(int64_t width, int64_t height, int64_t max_pixels);
}  // namespace detail

}  // namespace tessera::rils
