// WebP by libwebp.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "rils/data/decode.h"

namespace tessera::rils::detail {
namespace {

[[noreturn]] void broken() { throw SampleError(skip::kBrokenImage, "WebP: the data are damaged or cut short"); }

/// The first frame of an animation, on its canvas.
void read_first_frame(std::span<const std::byte> bytes, Image& image) {
  const WebPData data{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)> decoder(WebPAnimDecoderNew(&data, nullptr),
                                                                                   WebPAnimDecoderDelete);
  uint8_t* rgba = nullptr;
  int time = 0;
  if (!decoder || WebPAnimDecoderGetNext(decoder.get(), &rgba, &time) == 0) broken();
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = rgba[i / channels * 4 + i % channels];
}

}  // namespace

Image decode_webp(std::span<const std::byte> bytes, int64_t max_pixels, bool keep_mode) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK)
    throw SampleError(skip::kBrokenImage, "WebP: the header is damaged or cut short");
  check_extent(features.width, features.height, max_pixels);
  const bool alpha = keep_mode && features.has_alpha != 0;
  Image image(features.width, features.height, alpha ? 4 : 3);
  if (alpha) image.mode = PixelMode::alpha;
  if (features.has_animation != 0) {
    read_first_frame(bytes, image);
    return image;
  }
  // Rows of a WebP are at most 16383 pixels, so the stride fits.
  const auto decode = alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto;
  if (decode(data, bytes.size(), image.pixels.data(), image.pixels.size(), static_cast<int>(image.row_bytes())) ==
      nullptr)
    broken();
  return image;
}

}  // namespace tessera::rils::detail
