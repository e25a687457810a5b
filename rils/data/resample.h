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

/// Crops `crop` out of the image, resizes it to height × width with antialiasing, and returns the part `window` of the
/// result. The bytes equal those of Pillow's 8-bit resize, and so of torchvision on Pillow images: the filter is
/// separable and is stretched by the scale when shrinking, weights are rounded to 22 bits, and values are rounded to 8
/// bits between the axes. Channels are resized each by itself. The order of the axes is Pillow 13's; earlier versions
/// always resize columns first, which can differ by one level. Only the window is computed. Throws ShapeError when the
/// crop is empty or not inside the image, or when the window is not inside the result.
[[nodiscard]] Image resize(const Image& image, const Box& crop, int height, int width, Interpolation interpolation,
                           const Box& window);
/// The same with the whole result as the window.
[[nodiscard]] Image resize(const Image& image, const Box& crop, int height, int width, Interpolation interpolation);
[[nodiscard]] Image resize(const Image& image, int height, int width, Interpolation interpolation);

/// Throws ShapeError when the crop is empty or not inside the image, or when the window is not inside the result.
void check_boxes(const Image& image, const Box& crop, int height, int width, const Box& window);

}  // namespace tessera::rils
