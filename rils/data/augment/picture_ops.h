#pragma once

#include <array>

#include "rils/data/image.h"

namespace tessera::rils {

// Pillow's image operations; results are equal byte for byte. Input and output are RGB and of the same size. Colour
// operations are in rils/data/colour.h.

/// Stretches each channel so that its darkest value becomes 0 and its lightest 255 (ImageOps.autocontrast).
void autocontrast(Image& image);
/// Equalises the histogram of each channel (ImageOps.equalize).
void equalize(Image& image);
void invert(Image& image);
/// Keeps the highest `bits` (0 to 8) bits of each value.
void posterize(Image& image, int bits);
/// Inverts the values from the threshold on.
void solarize(Image& image, int threshold);
/// Adds `add` (0 to 255) to the values below 128; results are limited to 255.
void solarize_add(Image& image, int add);

/// Moves each pixel towards a smoothed copy (factor below 1) or away from it (ImageEnhance.Sharpness).
void adjust_sharpness(Image& image, double factor);

using Colour = std::array<uint8_t, 3>;
/// Image.transform(AFFINE, BICUBIC): pixel (x, y) of the result is the input at (a x + b y + c, d x + e y + f),
/// computed for pixel centres. Pixels that fall outside the input get `fill`.
[[nodiscard]] Image affine(const Image& image, const std::array<double, 6>& matrix, Colour fill);
/// Image.rotate(degrees, BICUBIC): rotates counter-clockwise around the centre.
[[nodiscard]] Image rotate(const Image& image, double degrees, Colour fill);

}  // namespace tessera::rils
