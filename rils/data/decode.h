#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "rils/data/image.h"

namespace tessera::rils {

/// The default limit of an image's size. A larger image is refused as a decompression bomb; Pillow warns from the same
/// size on.
inline constexpr int64_t kDefaultMaxImagePixels = 89'478'485;

enum class ImageFormat { unknown, jpeg, png, webp, gif, bmp, tiff, pnm, tga };

/// Recognises the format from the first bytes.
[[nodiscard]] ImageFormat image_format(std::span<const std::byte> bytes);
/// "jpg", "png" and the like; "" for unknown.
[[nodiscard]] std::string_view format_extension(ImageFormat format);
/// Whether a file name has the extension of an image that is read, in any case: those of torchvision's ImageFolder
/// (jpg, jpeg, png, ppm, bmp, pgm, tif, tiff, webp), gif, tga, jpe and jfif; and those of formats that are only counted
/// (avif, heic and the like).
[[nodiscard]] bool has_image_extension(std::string_view name);
/// How many bytes describe_unread looks at.
inline constexpr size_t kDescribedBytes = 512;
/// What a file is that no decoder here reads, from its first bytes, for messages: "AVIF", "an HTML page", "an empty
/// file", "2041 bytes of no known format". `size` is that of the whole file.
[[nodiscard]] std::string describe_unread(std::span<const std::byte> head, uintmax_t size);
[[nodiscard]] inline std::string describe_unread(std::span<const std::byte> file) {
  return describe_unread(file, file.size());
}

/// Decodes an image to RGB with the pixels that Pillow's `open(…).convert("RGB")` gives: alpha is dropped, grey and
/// palettes are expanded, CMYK and YCCK are converted, the EXIF orientation is not applied, of an animation the first
/// frame is taken. Two differences: of 16-bit grey the high byte is kept, where Pillow clips; transparent pixels of a
/// GIF are black. Throws SampleError with one of three reasons: unknown image format, too many pixels (read from the
/// header, before memory is allocated), broken image (data that are cut short or damaged; pixels that a decoder guesses
/// are never returned).
///
/// With `keep_mode` the picture keeps the mode in which Pillow opens it, with four channels where there is alpha or
/// CMYK: for resize_to_rgb. A TIFF in CMYK and a TGA of 16 bits a pixel are plain then, which Pillow resizes otherwise.
[[nodiscard]] Image decode_image(std::span<const std::byte> bytes, int64_t max_pixels = kDefaultMaxImagePixels,
                                 bool keep_mode = false);

/// Decodes a PNG to four channels. Colours are not multiplied by alpha; a file without transparency is opaque.
[[nodiscard]] Image decode_png_rgba(std::span<const std::byte> bytes, int64_t max_pixels = kDefaultMaxImagePixels);

namespace detail {
[[nodiscard]] Image decode_jpeg(std::span<const std::byte> bytes, int64_t max_pixels, bool keep_mode);
enum class PngPixels { rgb, rgba, as_stored };
[[nodiscard]] Image decode_png(std::span<const std::byte> bytes, int64_t max_pixels, PngPixels pixels);
[[nodiscard]] Image decode_webp(std::span<const std::byte> bytes, int64_t max_pixels, bool keep_mode);
[[nodiscard]] Image decode_tiff(std::span<const std::byte> bytes, int64_t max_pixels, bool keep_mode);
/// BMP, GIF, PNM and TGA.
[[nodiscard]] Image decode_by_stb(std::span<const std::byte> bytes, int64_t max_pixels, ImageFormat format,
                                  bool keep_mode);
/// Throws SampleError: "too many pixels" above the limit, "broken image" for a side below 1.
void check_extent(int64_t width, int64_t height, int64_t max_pixels);
}  // namespace detail

}  // namespace tessera::rils
