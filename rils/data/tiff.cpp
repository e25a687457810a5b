// TIFF by libtiff, from memory: the first picture of a file.
#include <fmt/format.h>
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "rils/data/decode.h"
#include "rils/data/pixel_mode.h"

namespace tessera::rils::detail {
namespace {

/// What libtiff reads from, and the last error that it reported.
struct Source {
  std::span<const std::byte> bytes;
  size_t at = 0;
  std::string error;
};

Source& source_of(thandle_t handle) { return *static_cast<Source*>(handle); }

tmsize_t read(thandle_t handle, void* out, tmsize_t count) {
  Source& s = source_of(handle);
  const size_t n = std::min(static_cast<size_t>(count), s.bytes.size() - s.at);
  std::memcpy(out, s.bytes.data() + s.at, n);
  s.at += n;
  return static_cast<tmsize_t>(n);
}
tmsize_t write(thandle_t /*handle*/, void* /*in*/, tmsize_t /*count*/) { return 0; }
toff_t seek(thandle_t handle, toff_t offset, int whence) {
  Source& s = source_of(handle);
  const toff_t size = s.bytes.size();
  const toff_t base = whence == SEEK_CUR ? s.at : whence == SEEK_END ? size : 0;
  s.at = static_cast<size_t>(std::min(base + offset, size));
  return s.at;
}
int close(thandle_t /*handle*/) { return 0; }
toff_t size(thandle_t handle) { return source_of(handle).bytes.size(); }

int on_error(TIFF* /*tiff*/, void* user, const char* /*module*/, const char* format, va_list values) {
  std::array<char, 200> text{};
  (void)std::vsnprintf(text.data(), text.size(), format, values);
  static_cast<Source*>(user)->error = text.data();
  return 1;  // nothing is printed
}
int on_warning(TIFF* /*tiff*/, void* /*user*/, const char* /*module*/, const char* /*format*/, va_list /*values*/) {
  return 1;
}

using Tiff = std::unique_ptr<TIFF, decltype(&TIFFClose)>;

Tiff open(Source& source, int64_t max_pixels) {
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(),
                                                                                 TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), on_warning, nullptr);
  // A strip may claim any size: 8 bytes a sample and four samples are the most that a picture needs.
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(32 * max_pixels + (1 << 20)));
  return {TIFFClientOpenExt("", "rm", &source, read, write, seek, close, size, nullptr, nullptr, options.get()),
          TIFFClose};
}

/// The mode in which Pillow opens the file.
PixelMode mode_of(TIFF* tiff, uint16_t alpha) {
  uint16_t photometric = 0, bits = 1;
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
  if (photometric == PHOTOMETRIC_PALETTE || bits == 1) return PixelMode::nearest;
  return alpha != EXTRASAMPLE_UNSPECIFIED ? PixelMode::alpha : PixelMode::plain;
}

/// What the first sample beyond the colours is.
uint16_t alpha_of(TIFF* tiff) {
  uint16_t count = 0;
  const uint16_t* kinds = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds);
  return count > 0 ? kinds[0] : uint16_t{EXTRASAMPLE_UNSPECIFIED};
}

}  // namespace

Image decode_tiff(std::span<const std::byte> bytes, int64_t max_pixels, bool keep_mode) {
  Source source{bytes, 0, {}};
  const auto broken = [&] {
    const std::string why = source.error.empty() ? "damaged" : source.error;
    throw SampleError(skip::kBrokenImage, fmt::format("TIFF: {}", why));
  };
  const Tiff tiff = open(source, max_pixels);
  if (!tiff) broken();
  uint32_t width = 0, height = 0;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height);
  check_extent(width, height, max_pixels);
  const uint16_t alpha = alpha_of(tiff.get());
  const PixelMode mode = mode_of(tiff.get(), alpha);
  if (alpha == EXTRASAMPLE_UNASSALPHA) {
    // Called multiplied, so that libtiff does not multiply colours by it.
    const std::array<uint16_t, 1> multiplied = {EXTRASAMPLE_ASSOCALPHA};
    TIFFSetField(tiff.get(), TIFFTAG_EXTRASAMPLES, uint16_t{1}, multiplied.data());
  }
  std::vector<uint32_t> raster(size_t{width} * height);
  constexpr int kStopOnError = 1;
  if (TIFFReadRGBAImageOriented(tiff.get(), width, height, raster.data(), ORIENTATION_TOPLEFT, kStopOnError) == 0)
    broken();
  if (!source.error.empty()) broken();
  Image image(static_cast<int>(width), static_cast<int>(height), mode == PixelMode::alpha ? 4 : 3);
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < raster.size(); ++i) {
    const uint32_t pixel = raster[i];
    const std::array<uint32_t, 4> values = {TIFFGetR(pixel), TIFFGetG(pixel), TIFFGetB(pixel), TIFFGetA(pixel)};
    std::copy_n(values.begin(), channels, image.pixels.begin() + static_cast<ptrdiff_t>(channels * i));
  }
  if (mode == PixelMode::alpha && alpha == EXTRASAMPLE_ASSOCALPHA) divide_by_alpha(image);
  if (keep_mode) {
    image.mode = mode;
    return image;
  }
  return mode == PixelMode::alpha ? without_alpha(image, {0, 0, image.height, image.width}) : image;
}

}  // namespace tessera::rils::detail
