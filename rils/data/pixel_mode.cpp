#include "rils/data/pixel_mode.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tessera::rils {
namespace {

/// The input position of each output position. Pillow adds up the steps, and so does this, for equal rounding.
std::vector<int> nearest_positions(int in_size, int out_size, int begin, int count) {
  const double step = static_cast<double>(in_size) / out_size;
  std::vector<int> positions;
  double at = step * 0.5;
  for (int i = 0; i < begin + count; ++i, at += step)
    if (i >= begin) positions.push_back(std::min(static_cast<int>(at), in_size - 1));
  return positions;
}

Image resize_nearest(const Image& image, const Box& crop, int height, int width, const Box& window) {
  const std::vector<int> rows = nearest_positions(crop.height, height, window.top, window.height);
  const std::vector<int> columns = nearest_positions(crop.width, width, window.left, window.width);
  Image out(window.width, window.height);
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x)
      std::memcpy(out.pixel(x, y),
                  image.pixel(crop.left + columns[static_cast<size_t>(x)], crop.top + rows[static_cast<size_t>(y)]), 3);
  return out;
}

Image cropped(const Image& image, const Box& box) {
  Image out(box.width, box.height, image.channels);
  for (int y = 0; y < box.height; ++y) std::memcpy(out.row(y), image.pixel(box.left, box.top + y), out.row_bytes());
  return out;
}

}  // namespace

void premultiply(Image& rgba) {
  for (size_t i = 0; i + 3 < rgba.pixels.size(); i += 4)
    for (size_t c = 0; c < 3; ++c)
      rgba.pixels[i + c] = static_cast<uint8_t>((rgba.pixels[i + c] * rgba.pixels[i + 3] + 127) / 255);
}

void divide_by_alpha(Image& rgba) {
  for (size_t i = 0; i + 3 < rgba.pixels.size(); i += 4) {
    const int alpha = rgba.pixels[i + 3];
    if (alpha == 0) continue;
    for (size_t c = 0; c < 3; ++c)
      rgba.pixels[i + c] = static_cast<uint8_t>(std::min(255, 255 * rgba.pixels[i + c] / alpha));
  }
}

Image without_alpha(const Image& rgba, const Box& box) {
  Image rgb(box.width, box.height);
  for (int y = 0; y < box.height; ++y)
    for (int x = 0; x < box.width; ++x) std::memcpy(rgb.pixel(x, y), rgba.pixel(box.left + x, box.top + y), 3);
  return rgb;
}

Image rgb_of_cmyk(const Image& cmyk) {
  Image rgb(cmyk.width, cmyk.height);
  for (size_t i = 0, n = rgb.pixels.size() / 3; i < n; ++i) {
    const uint8_t* in = cmyk.pixels.data() + 4 * i;
    const int light = 255 - in[3];  // that the black lets through
    for (size_t c = 0; c < 3; ++c)
      rgb.pixels[3 * i + c] = static_cast<uint8_t>(std::max(0, light - (in[c] * light + 127) / 255));
  }
  return rgb;
}

Image resize_to_rgb(const Image& image, const Box& crop, int height, int width, Interpolation interpolation,
                    const Box& window) {
  if (image.mode == PixelMode::plain) return resize(image, crop, height, width, interpolation, window);
  check_boxes(image, crop, height, width, window);
  if (image.mode == PixelMode::nearest) return resize_nearest(image, crop, height, width, window);
  if (image.mode == PixelMode::cmyk) return rgb_of_cmyk(resize(image, crop, height, width, interpolation, window));
  if (height == crop.height && width == crop.width) {
    // Pillow copies an image that keeps its size, without the rounding of multiplied colours.
    return without_alpha(image, {crop.top + window.top, crop.left + window.left, window.height, window.width});
  }
  Image part = cropped(image, crop);
  premultiply(part);
  part = resize(part, {0, 0, crop.height, crop.width}, height, width, interpolation, window);
  divide_by_alpha(part);
  return without_alpha(part, {0, 0, part.height, part.width});
}

}  // namespace tessera::rils
