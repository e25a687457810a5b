#pragma once

#include <cstddef>
#include <vector>

#include "rils/data/image.h"

namespace tessera::rils {

/// Encodes one (grey), three (RGB) or four (RGBA) channels of 8 bits as PNG. The same image gives the same bytes.
[[nodiscard]] std::vector<std::byte> encode_png(const Image& image);
/// Encodes one or three channels as JPEG, with quality 1 to 100 and chroma at half resolution.
[[nodiscard]] std::vector<std::byte> encode_jpeg(const Image& image, int quality = 90);

}  // namespace tessera::rils
