#include "rils/data/transform.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "rils/data/pixel_mode.h"

namespace tessera::rils {
namespace {

constexpr double kMaxSide = 1 << 24;  // of a resized image
constexpr int kTries = 10;
constexpr uint64_t kNumbersPerTry = 4;

/// Python's round(): halves are rounded to the even neighbour.
int round_half_even(double x) { return static_cast<int>(std::nearbyint(x)); }

int place(double share, int cells) { return std::min(static_cast<int>(share * cells), cells - 1); }

}  // namespace

double AugmentStream::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - static_cast<double>(uniform())));
  return radius * std::cos(2.0 * std::numbers::pi * static_cast<double>(uniform()));
}

std::pair<int, int> shorter_side_size(int height, int width, int size) {
  const auto [shorter, longer] = std::minmax(height, width);
  const double longer_resized = static_cast<double>(int64_t{size} * longer) / shorter;
  if (longer_resized > kMaxSide)
    throw SampleError(skip::kTooThin, fmt::format("{}x{} pixels: the shorter side as {} makes the longer one {:.0f}",
                                                  width, height, size, longer_resized));
  const auto other = static_cast<int>(longer_resized);
  return width <= height ? std::pair{other, size} : std::pair{size, other};
}

Box center_crop_box(int height, int width, int size) {
  // A smaller image is padded first, with an odd pixel at the bottom or right, and then cropped.
  const auto origin = [size](int extent) {
    if (size > extent) return -((size - extent) / 2);
    return round_half_even((extent - size) / 2.0);
  };
  return {origin(height), origin(width), size, size};
}

Box random_resized_crop_box(int height, int width, std::pair<float, float> ratio,
                            const std::function<CropTry()>& next_try) {
  const double area = static_cast<double>(height) * width;
  for (int t = 0; t < kTries; ++t) {
    const CropTry draw = next_try();
    const double target = area * draw.area;
    const double aspect = static_cast<double>(std::exp(static_cast<float>(draw.log_ratio)));
    const int w = round_half_even(std::sqrt(target * aspect));
    const int h = round_half_even(std::sqrt(target / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height)
      return {place(draw.top, height - h + 1), place(draw.left, width - w + 1), h, w};
  }
  const double in_ratio = static_cast<double>(width) / height;
  int w = width, h = height;
  if (in_ratio < static_cast<double>(ratio.first)) {
    h = round_half_even(w / static_cast<double>(ratio.first));
  } else if (in_ratio > static_cast<double>(ratio.second)) {
    w = round_half_even(h * static_cast<double>(ratio.second));
  }
  h = std::clamp(h, 1, height);
  w = std::clamp(w, 1, width);
  return {(height - h) / 2, (width - w) / 2, h, w};
}

Box clipped_crop_box(int height, int width, const CropTry& draw) {
  const double target = static_cast<double>(height) * width * draw.area;
  const double aspect = static_cast<double>(std::exp(static_cast<float>(draw.log_ratio)));
  const int w = std::min(round_half_even(std::sqrt(target * aspect)), width);
  const int h = std::min(round_half_even(std::sqrt(target / aspect)), height);
  return {place(draw.top, height - h + 1), place(draw.left, width - w + 1), std::max(h, 1), std::max(w, 1)};
}

void flip_horizontally(Image& image) {
  for (int y = 0; y < image.height; ++y)
    for (int a = 0, b = image.width - 1; a < b; ++a, --b)
      std::swap_ranges(image.pixel(a, y), image.pixel(a + 1, y), image.pixel(b, y));
}

void normalize(const Image& image, const std::array<float, 3>& mean, const std::array<float, 3>& std,
               std::span<float> out) {
  const size_t plane = image.pixels.size() / 3;
  if (out.size() != 3 * plane)
    throw ShapeError(
        fmt::format("normalize: the output has {} values, expected 3*{}*{}", out.size(), image.height, image.width));
  std::array<std::array<float, 256>, 3> table;
  for (size_t c = 0; c < 3; ++c)
    for (size_t v = 0; v < 256; ++v) table[c][v] = (static_cast<float>(v) / 255.0f - mean[c]) / std[c];
  const uint8_t* in = image.pixels.data();
  for (size_t i = 0; i < plane; ++i, in += 3)
    for (size_t c = 0; c < 3; ++c) out[c * plane + i] = table[c][in[c]];
}

Box TrainTransform::draw_box(int height, int width, AugmentStream& random) const {
  const float low = std::log(ratio.first), high = std::log(ratio.second);
  const auto next_try = [&] {
    CropTry draw;
    draw.area = static_cast<double>(random.uniform(scale.first, scale.second));
    draw.log_ratio = static_cast<double>(random.uniform(low, high));
    draw.top = static_cast<double>(random.uniform());
    draw.left = static_cast<double>(random.uniform());
    return draw;
  };
  if (clipped_crop) return clipped_crop_box(height, width, next_try());
  return random_resized_crop_box(height, width, ratio, next_try);
}

Image TrainTransform::crop(const Image& image, AugmentStream& random) const {
  AugmentStream crop_numbers = random;
  random.skip(kTries * kNumbersPerTry);
  const Box box = draw_box(image.height, image.width, crop_numbers);
  return resize_to_rgb(image, box, size, size, interpolation, {0, 0, size, size});
}

void TrainTransform::operator()(const Image& image, AugmentStream random, std::span<float> out) const {
  Image cropped = crop(image, random);
  if (random.uniform() < flip_probability) flip_horizontally(cropped);
  normalize(cropped, mean, std, out);
}

Image EvalTransform::crop(const Image& image) const {
  const auto [height, width] = shorter_side_size(image.height, image.width, resize);
  const Box wanted = center_crop_box(height, width, size);
  const int top = std::max(wanted.top, 0), left = std::max(wanted.left, 0);
  const Box window = {top, left, std::min(wanted.top + size, height) - top, std::min(wanted.left + size, width) - left};
  Image part = resize_to_rgb(image, {0, 0, image.height, image.width}, height, width, interpolation, window);
  if (window == wanted) return part;
  Image padded(size, size);
  for (int y = 0; y < part.height; ++y)
    std::memcpy(padded.pixel(left - wanted.left, y + top - wanted.top), part.row(y), part.row_bytes());
  return padded;
}

void EvalTransform::operator()(const Image& image, std::span<float> out) const {
  normalize(crop(image), mean, std, out);
}

}  // namespace tessera::rils
