#pragma once

#include <array>

#include "rils/data/image.h"

namespace tessera::rils {

// Pictures changed as Pillow changes them, to the byte: RGB in, RGB out, the same size. Colours: rils/data/colour.h.

/// Each channel stretched so that its darkest value becomes 0 and its lightest 255 (ImageOps.autocontrast).
void autocontrast(Image& image);
/// Each channel's histogram flattened (ImageOps.equalize).
void equalize(Image& image);
void invert(Image& image);
/// The highest `bits` (0 to 8) of each value.
void posterize(Image& image, int bits);
/// Values from the threshold on are inverted.
void solarize(Image& image, int threshold);
/// `add` (0 to 255) is added to the values below 128, up to 255.
void solarize_add(Image& image, int add);

/// Towards a smoothed copy (below 1) or away from it (ImageEnhance.Sharpness).
void adjust_sharpness(Image& image, double factor);

using Colour = std::array<uint8_t, 3>;
/// Image.transform(AFFINE, BICUBIC): the result's pixel (x, y) is the picture at (a x + b y + c, d x + e y + f), taken
/// at the pixels' centres; `fill` where that lies outside.
[[nodiscard]] Image affine(const Image& image, const std::array<double, 6>& matrix, Colour fill);
/// Image.rotate(degrees, BICUBIC): counter-clockwise around the centre.
[[nodiscard]] Image rotate(const Image& image, double degrees, Colour fill);

}  // namespace tessera::rils
