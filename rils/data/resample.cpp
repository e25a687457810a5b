#include "rils/data/resample.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace tessera::rils {
namespace {

constexpr int kWeightBits = 32 - 8 - 2;  // 8 bits of pixel, 2 bits of headroom for the overshoot of bicubic

double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

/// Keys' cubic with a = −0.5.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

/// For each output position of a window: the first input position and `taps` weights (zero outside the filter).
struct Weights {
  int taps = 0;
  std::vector<int> first;
  std::vector<int> count;
  std::vector<int32_t> values;  // [position][taps]
};

Weights make_weights(int in_size, int out_size, Interpolation interpolation, int window_begin, int window_size) {
  const bool bilinear = interpolation == Interpolation::bilinear;
  const double scale = static_cast<double>(in_size) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (bilinear ? 1.0 : 2.0) * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Weights w;
  w.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  w.first.resize(static_cast<size_t>(window_size));
  w.count.resize(static_cast<size_t>(window_size));
  w.values.assign(static_cast<size_t>(window_size) * static_cast<size_t>(w.taps), 0);
  std::vector<double> row(static_cast<size_t>(w.taps));
  for (int i = 0; i < window_size; ++i) {
    const double center = (window_begin + i + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(std::floor(center - support + 0.5)));
    const int end = std::min(in_size, static_cast<int>(std::floor(center + support + 0.5)));
    double sum = 0.0;
    for (int x = begin; x < end; ++x) {
      const double distance = (x - center + 0.5) * inverse;
      const double weight = bilinear ? triangle(distance) : cubic(distance);
      row[static_cast<size_t>(x - begin)] = weight;
      sum += weight;
    }
    int32_t* out = w.values.data() + static_cast<size_t>(i) * static_cast<size_t>(w.taps);
    for (int x = 0; x < end - begin; ++x) {
      const double weight =
          (sum != 0.0 ? row[static_cast<size_t>(x)] / sum : row[static_cast<size_t>(x)]) * (1 << kWeightBits);
      out[x] = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    w.first[static_cast<size_t>(i)] = begin;
    w.count[static_cast<size_t>(i)] = end - begin;
  }
  return w;
}

uint8_t to_pixel(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

template <size_t channels>
void resample_row(const uint8_t* in, const Weights& w, uint8_t* out) {
  for (size_t i = 0; i < w.first.size(); ++i, out += channels) {
    const uint8_t* p = in + static_cast<size_t>(w.first[i]) * channels;
    const int32_t* k = w.values.data() + i * static_cast<size_t>(w.taps);
    std::array<int32_t, channels> sums;
    sums.fill(kHalf);
    for (int t = 0; t < w.count[i]; ++t, p += channels)
      for (size_t c = 0; c < channels; ++c) sums[c] += p[c] * k[t];
    for (size_t c = 0; c < channels; ++c) out[c] = to_pixel(sums[c]);
  }
}

/// A part of an image: rows of `width` pixels, `stride` bytes apart; the first begins at `pixels`.
struct Part {
  const uint8_t* pixels;
  size_t stride;
  int height, width, channels;
  [[nodiscard]] const uint8_t* row(int y) const { return pixels + stride * static_cast<size_t>(y); }
};

Part part_of(const Image& image, const Box& box) {
  return {image.pixel(box.left, box.top), image.row_bytes(), box.height, box.width, image.channels};
}

/// One axis of a resize: the size of the whole result, and the part of it that is computed.
struct Axis {
  int out_size, window_begin, window_size;
};

/// Resizes every row to the window's columns.
Image resample_columns(const Part& in, const Axis& axis, Interpolation mode) {
  Image out(axis.window_size, in.height, in.channels);
  if (axis.out_size == in.width) {
    for (int y = 0; y < in.height; ++y)
      std::memcpy(out.row(y), in.row(y) + ptrdiff_t{in.channels} * axis.window_begin, out.row_bytes());
    return out;
  }
  const Weights w = make_weights(in.width, axis.out_size, mode, axis.window_begin, axis.window_size);
  const auto resample = in.channels == 3 ? resample_row<3> : resample_row<4>;
  for (int y = 0; y < in.height; ++y) resample(in.row(y), w, out.row(y));
  return out;
}

/// Makes each output row as a weighted sum of input rows. Row 0 of `in` has index `first_row` in the weights.
Image resample_rows(const Part& in, const Weights& w, int first_row) {
  Image out(in.width, static_cast<int>(w.first.size()), in.channels);
  const size_t n = out.row_bytes();
  std::vector<int32_t> sums(n);
  for (size_t i = 0; i < w.first.size(); ++i) {
    std::ranges::fill(sums, kHalf);
    for (int t = 0; t < w.count[i]; ++t) {
      const uint8_t* row = in.row(w.first[i] + t - first_row);
      const int32_t k = w.values[i * static_cast<size_t>(w.taps) + static_cast<size_t>(t)];
      for (size_t x = 0; x < n; ++x) sums[x] += row[x] * k;
    }
    uint8_t* out_row = out.row(static_cast<int>(i));
    for (size_t x = 0; x < n; ++x) out_row[x] = to_pixel(sums[x]);
  }
  return out;
}

/// The order of the axes matters because the intermediate result is rounded. Pillow resizes columns first; since
/// version 13 it resizes rows first when the height loses more than twice as many pixels as the width.
bool rows_come_first(const Box& crop, int height, int width) {
  return height < crop.height && int64_t{crop.height} - height > 2 * (int64_t{crop.width} - width);
}

bool inside(const Box& box, int height, int width) {
  return box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 && box.top <= height - box.height &&
         box.left <= width - box.width;
}

}  // namespace

void check_boxes(const Image& image, const Box& crop, int height, int width, const Box& window) {
  if (!inside(crop, image.height, image.width))
    throw ShapeError(fmt::format("resize: the crop of {}x{} at ({}, {}) is not inside the image of {}x{}", crop.width,
                                 crop.height, crop.left, crop.top, image.width, image.height));
  if (!inside(window, height, width))
    throw ShapeError(fmt::format("resize: the window of {}x{} at ({}, {}) is not inside the result of {}x{}",
                                 window.width, window.height, window.left, window.top, width, height));
}

Image resize(const Image& image, const Box& crop, int height, int width, Interpolation interpolation,
             const Box& window) {
  if (image.channels != 3 && image.channels != 4)
    throw ShapeError(fmt::format("resize: expected an image with 3 or 4 channels, found {}", image.channels));
  check_boxes(image, crop, height, width, window);
  const Axis columns{width, window.left, window.width};
  if (height == crop.height) {
    const Box rows{crop.top + window.top, crop.left, window.height, crop.width};
    return resample_columns(part_of(image, rows), columns, interpolation);
  }
  const Weights w = make_weights(crop.height, height, interpolation, window.top, window.height);
  const int first = w.first.front(), last = w.first.back() + w.count.back();
  const Part rows = part_of(image, {crop.top + first, crop.left, last - first, crop.width});
  const auto whole = [](const Image& i) { return part_of(i, {0, 0, i.height, i.width}); };
  if (rows_come_first(crop, height, width)) {
    const Image shorter = resample_rows(rows, w, first);
    return resample_columns(whole(shorter), columns, interpolation);
  }
  const Image narrower = resample_columns(rows, columns, interpolation);
  return resample_rows(whole(narrower), w, first);
}

Image resize(const Image& image, const Box& crop, int height, int width, Interpolation interpolation) {
  return resize(image, crop, height, width, interpolation, {0, 0, height, width});
}

Image resize(const Image& image, int height, int width, Interpolation interpolation) {
  return resize(image, {0, 0, image.height, image.width}, height, width, interpolation);
}

}  // namespace tessera::rils
