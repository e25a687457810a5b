// TIFF by libtiff, from memory: the first picture of a file.
#include <fmt/format.h>
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "rils/data/decode.h"

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

}  // namespace

Image decode_tiff(std::span<const std::byte> bytes, int64_t max_pixels) {
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
  std::vector<uint32_t> raster(size_t{width} * height);
  constexpr int kStopOnError = 1;
  if (TIFFReadRGBAImageOriented(tiff.get(), width, height, raster.data(), ORIENTATION_TOPLEFT, kStopOnError) == 0)
    broken();
  if (!source.error.empty()) broken();
  Image image(static_cast<int>(width), static_cast<int>(height));
  for (size_t i = 0; i < raster.size(); ++i) {
    image.pixels[3 * i] = static_cast<uint8_t>(TIFFGetR(raster[i]));
    image.pixels[3 * i + 1] = static_cast<uint8_t>(TIFFGetG(raster[i]));
    image.pixels[3 * i + 2] = static_cast<uint8_t>(TIFFGetB(raster[i]));
  }
  return image;
}

}  // namespace tessera::rils::detail
