#pragma once

#include "rils/data/resample.h"

namespace tessera::rils {

/// Multiplies the colours of a picture of four channels by its alpha.
void premultiply(Image& rgba);
/// The reverse, rounded down as Pillow does. Colours of transparent pixels stay as they are.
void divide_by_alpha(Image& rgba);

/// The colours of a part of a picture of four channels.
[[nodiscard]] Image without_alpha(const Image& rgba, const Box& box);

/// Converts four channels of ink (cyan, magenta, yellow, black) to RGB with Pillow's rounding.
[[nodiscard]] Image rgb_of_cmyk(const Image& cmyk);

/// Crops and resizes as resize() does, in the mode of the image, and converts the result to RGB: the bytes of
/// torchvision's Resize or RandomResizedCrop followed by Pillow's convert("RGB"), which is open_clip's order. A plain
/// image is only resized. Throws what resize() throws.
[[nodiscard]] Image resize_to_rgb(const Image& image, const Box& crop, int height, int width,
                                  Interpolation interpolation, const Box& window);

}  // namespace tessera::rils
