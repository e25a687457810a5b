#pragma once

#include <cstdint>

#include "rils/data/image.h"

namespace tessera::rils {

// Colour operations in place. Results equal those of torchvision on Pillow images byte for byte. With a factor of 1 (a
// hue turn of 0) only Pillow's own rounding can change a value.

/// Pillow's blend of two values, truncated to an integer: `from` at factor 0, `to` at factor 1; other factors
/// extrapolate.
[[nodiscard]] uint8_t blend(int from, int to, float factor);

/// Moves each pixel towards black (factor below 1) or away from it.
void adjust_brightness(Image& image, double factor);
/// Moves each pixel towards the mean grey of the image, or away from it.
void adjust_contrast(Image& image, double factor);
/// Moves each pixel towards its own grey, or away from it.
void adjust_saturation(Image& image, double factor);
/// Rotates the hue in Pillow's 8-bit HSV. `turn` is a fraction of the full circle, in [−0.5, 0.5].
void adjust_hue(Image& image, double turn);
/// Sets all three channels to the grey value (19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶.
void make_grey(Image& image);

/// Pillow's GaussianBlur: three box blurs in each direction, whose fractional widths give the variance sigma²
/// (pixels²). The edge pixels are repeated beyond the edges.
void gaussian_blur(Image& image, double sigma);

}  // namespace tessera::rils
