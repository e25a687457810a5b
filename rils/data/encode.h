#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "rils/data/image.h"

namespace tessera::rils {

/// Encodes one (grey), three (RGB) or four (RGBA) channels of 8 bits as PNG. The same image gives the same bytes.
[[nodiscard]] std::vector<std::byte> encode_png(const Image& image);
/// Encodes one or three channels as JPEG, with quality 1 to 100 and chroma at half resolution.
[[nodiscard]] std::vector<std::byte> encode_jpeg(const Image& image, int quality = 90);

namespace detail {
/// Throws ShapeError unless the image has pixels and 1 or 3 channels (4 where alpha is allowed). `what` begins the
/// message.
void check_encodable(const Image& image, std::string_view what, bool alpha_allowed);
}  // namespace detail

}  // namespace tessera::rils
