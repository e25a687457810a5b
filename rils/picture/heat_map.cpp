#include "rils/picture/heat_map.h"

#include <algorithm>
#include <cmath>

namespace tessera::rils {
namespace {

constexpr std::array<std::array<double, 3>, 6> kStops = {
    {{0, 0, 4}, {66, 10, 104}, {147, 38, 103}, {221, 81, 58}, {252, 165, 10}, {252, 255, 164}}};

uint8_t to_byte(double v) { return static_cast<uint8_t>(std::clamp(std::lround(v), 0L, 255L)); }

/// Interpolates bilinearly between the centres of the patches; beyond the outermost centres the value is constant.
double interpolate(std::span<const float> values, int64_t grid, double x, double y) {
  const auto last = static_cast<double>(grid - 1);
  const double cx = std::clamp(x, 0.0, last), cy = std::clamp(y, 0.0, last);
  const auto x0 = static_cast<int64_t>(cx), y0 = static_cast<int64_t>(cy);
  const int64_t x1 = std::min(x0 + 1, grid - 1), y1 = std::min(y0 + 1, grid - 1);
  const double fx = cx - static_cast<double>(x0), fy = cy - static_cast<double>(y0);
  const auto at = [&](int64_t col, int64_t row) {
    return static_cast<double>(values[static_cast<size_t>(row * grid + col)]);
  };
  return (1 - fy) * ((1 - fx) * at(x0, y0) + fx * at(x1, y0)) + fy * ((1 - fx) * at(x0, y1) + fx * at(x1, y1));
}

}  // namespace

std::array<uint8_t, 3> heat_colour(double value) {
  const double at = std::clamp(value, 0.0, 1.0) * static_cast<double>(kStops.size() - 1);
  const auto i = std::min(static_cast<size_t>(at), kStops.size() - 2);
  const double f = at - static_cast<double>(i);
  std::array<uint8_t, 3> colour{};
  for (size_t c = 0; c < 3; ++c) colour[c] = to_byte((1 - f) * kStops[i][c] + f * kStops[i + 1][c]);
  return colour;
}

Image heat_overlay(const Image& picture, std::span<const float> values, int64_t grid, double low, double high) {
  Image out(picture.width, picture.height);
  const double range = high > low ? high - low : 1;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const double gx = (x + 0.5) * static_cast<double>(grid) / picture.width - 0.5;
      const double gy = (y + 0.5) * static_cast<double>(grid) / picture.height - 0.5;
      const double v = std::clamp((interpolate(values, grid, gx, gy) - low) / range, 0.0, 1.0);
      const auto colour = heat_colour(v);
      const uint8_t* p = picture.pixel(x, y);
      const double grey = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
      for (size_t c = 0; c < 3; ++c) out.pixel(x, y)[c] = to_byte(0.45 * grey + 0.55 * colour[c]);
    }
  }
  return out;
}

Image painted_patches(const Image& picture, std::span<const int32_t> paint, int64_t grid, double opacity) {
  Image out = picture;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const int64_t patch = y * grid / picture.height * grid + x * grid / picture.width;
      const int32_t colour = paint[static_cast<size_t>(patch)];
      if (colour < 0) continue;
      for (int c = 0; c < 3; ++c) {
        const double value = colour >> (16 - 8 * c) & 255;
        out.pixel(x, y)[c] = to_byte((1 - opacity) * picture.pixel(x, y)[c] + opacity * value);
      }
    }
  }
  return out;
}

}  // namespace tessera::rils
