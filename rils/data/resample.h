#pragma once

#include "rils/data/image.h"

namespace tessera::rils {

enum class Interpolation { bilinear, bicubic };

/// A rectangle of pixels.
struct Box {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
  bool operator==(const Box&) const = default;
};

/// Crops `crop` out of the image, resizes that to height × width with antialiasing, and returns the part `window` of
/// the result. Equal to the byte to Pillow's 8-bit resize (and so to torchvision's on Pillow images): separable, filter
/// stretched by the scale when shrinking, weights rounded to 22 bits, rounding to 8 bits between the axes, in the order
/// of Pillow 13 (earlier versions always take columns first, which can differ by one level). Only the window is
/// computed, so a huge result of which little is used costs little. Throws ShapeError when the crop is empty or outside
/// of the image, or the window outside of the result.
[[nodiscard]] Image resize(const Image& image, const Box& crop, int height, int width, Interpolation interpolation,
                           const Box& window);
/// The whole result.
[[nodiscard]] Image resize(const Image& image, const Box& crop, int height, int width, Interpolation interpolation);
[[nodiscard]] Image resize(const Image& image, int height, int width, Interpolation interpolation);

}  // namespace tessera::rils
