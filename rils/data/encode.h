#pragma once

#include <cstddef>
#include <vector>

#include "rils/data/image.h"

namespace tessera::rils {

/// PNG of one (grey), three (RGB) or four (RGBA) channels, 8 bits. The same image gives the same bytes.
[[nodiscard]] std::vector<std::byte> encode_png(const Image& image);
/// JPEG of one or three channels; quality 1 to 100, chroma at half resolution.
[[nodiscard]] std::vector<std::byte> encode_jpeg(const Image& image, int quality = 90);

}  // namespace tessera::rils
