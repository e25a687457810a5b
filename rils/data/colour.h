#pragma once

#include <cstdint>

#include "rils/data/image.h"

namespace tessera::rils {

// Colour operations in place, equal to the byte to torchvision's on Pillow images. Factor 1 (of hue: 0) changes nothing
// but what Pillow's own rounding does.

/// Pillow's blend of two values, cut to whole numbers: `from` at factor 0, `to` at factor 1, and beyond.
[[nodiscard]] uint8_t blend(int from, int to, float factor);

/// Towards black (below 1) or away from it.
void adjust_brightness(Image& image, double factor);
/// Towards the mean grey of the image, or away from it.
void adjust_contrast(Image& image, double factor);
/// Each pixel towards its own grey, or away from it.
void adjust_saturation(Image& image, double factor);
/// Turns the hue by `turn` of the whole circle, in [−0.5, 0.5], through Pillow's 8-bit HSV.
void adjust_hue(Image& image, double turn);
/// Grey in all three channels: (19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶.
void make_grey(Image& image);

/// Pillow's GaussianBlur: three box blurs a direction whose widths, in fractions of a pixel, give the variance sigma².
/// Beyond the edges the image goes on with its last pixels.
void gaussian_blur(Image& image, double sigma);

}  // namespace tessera::rils
