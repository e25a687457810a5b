#include "rils/data/augment/picture_ops.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rils/data/colour.h"

namespace tessera::rils {
namespace {

using Table = std::array<uint8_t, 256>;
using Histogram = std::array<int64_t, 256>;

/// Replaces every value of every channel by f(value).
template <class F>
void map_values(Image& image, const F& f) {
  Table table{};
  for (int v = 0; v < 256; ++v) table[static_cast<size_t>(v)] = static_cast<uint8_t>(f(v));
  for (uint8_t& p : image.pixels) p = table[p];
}

/// Maps each channel by a table that `table_of` makes from its histogram.
template <class F>
void map_channels(Image& image, const F& table_of) {
  for (size_t c = 0; c < 3; ++c) {
    Histogram histogram{};
    for (size_t i = c; i < image.pixels.size(); i += 3) ++histogram[image.pixels[i]];
    const Table table = table_of(histogram);
    for (size_t i = c; i < image.pixels.size(); i += 3) image.pixels[i] = table[image.pixels[i]];
  }
}

Table identity() {
  Table table{};
  for (size_t v = 0; v < table.size(); ++v) table[v] = static_cast<uint8_t>(v);
  return table;
}

/// ImageFilter.SMOOTH: the centre has weight 5, its eight neighbours weight 1; the border is unchanged.
Image smoothed(const Image& image) {
  Image result = image;
  for (int y = 1; y + 1 < image.height; ++y) {
    for (int x = 1; x + 1 < image.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        int sum = 4 * image.pixel(x, y)[c];
        for (int v = y - 1; v <= y + 1; ++v) {
          for (int u = x - 1; u <= x + 1; ++u) sum += image.pixel(u, v)[c];
        }
        // A multiple of 1/13 is never half-way between integers, so the order of Pillow's float sums does not matter.
        result.pixel(x, y)[c] = static_cast<uint8_t>((2 * sum + 13) / 26);
      }
    }
  }
  return result;
}

/// Cubic interpolation between values at −1, 0, 1, 2; the slope is the difference of the neighbours (a = −1).
double cubic_at(double v1, double v2, double v3, double v4, double d) {
  const double p2 = -v1 + v3;
  const double p3 = 2 * (v1 - v2) + v3 - v4;
  const double p4 = -v1 + v2 - v3 + v4;
  return v2 + d * (p2 + d * (p3 + d * p4));
}

/// The interpolated value at (x, y), which must lie inside. Integer coordinates are the corners of pixels.
void sample(const Image& image, double x, double y, uint8_t* out) {
  x -= 0.5;
  y -= 0.5;
  const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
  const double dx = x - left, dy = y - top;
  std::array<int, 4> columns{}, rows{};
  for (int k = 0; k < 4; ++k) {
    columns[static_cast<size_t>(k)] = std::clamp(left - 1 + k, 0, image.width - 1);
    rows[static_cast<size_t>(k)] = std::clamp(top - 1 + k, 0, image.height - 1);
  }
  for (int c = 0; c < 3; ++c) {
    std::array<double, 4> v{};
    for (size_t k = 0; k < 4; ++k) {
      const auto at = [&](size_t i) { return static_cast<double>(image.pixel(columns[i], rows[k])[c]); };
      v[k] = cubic_at(at(0), at(1), at(2), at(3), dx);
    }
    const double value = cubic_at(v[0], v[1], v[2], v[3], dy);
    out[c] = value <= 0.0 ? uint8_t{0} : value >= 255.0 ? uint8_t{255} : static_cast<uint8_t>(value);
  }
}

double rounded_to_15_digits(double x) { return std::nearbyint(x * 1e15) / 1e15; }

/// Turns by a multiple of 90°, for which Pillow moves pixels without interpolation.
Image quarter_turns(const Image& image, int turns) {
  const bool upright = turns % 2 == 0;
  Image result(upright ? image.width : image.height, upright ? image.height : image.width);
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x) {
      const int u = turns == 0 ? x : turns == 1 ? image.width - 1 - y : turns == 2 ? image.width - 1 - x : y;
      const int v = turns == 0 ? y : turns == 1 ? x : turns == 2 ? image.height - 1 - y : image.height - 1 - x;
      std::copy_n(image.pixel(u, v), 3, result.pixel(x, y));
    }
  }
  return result;
}

}  // namespace

void autocontrast(Image& image) {
  map_channels(image, [](const Histogram& histogram) {
    const auto some = [](int64_t n) { return n > 0; };
    const auto low = std::ranges::find_if(histogram, some) - histogram.begin();
    const auto high = 255 - (std::find_if(histogram.rbegin(), histogram.rend(), some) - histogram.rbegin());
    if (high <= low) return identity();
    const double scale = 255.0 / static_cast<double>(high - low), offset = -static_cast<double>(low) * scale;
    Table table{};
    for (size_t v = 0; v < table.size(); ++v) {
      table[v] = static_cast<uint8_t>(std::clamp(static_cast<int>(static_cast<double>(v) * scale + offset), 0, 255));
    }
    return table;
  });
}

void equalize(Image& image) {
  map_channels(image, [](const Histogram& histogram) {
    int64_t total = 0, last = 0, used = 0;
    for (const int64_t n : histogram) {
      total += n;
      if (n > 0) last = n, ++used;
    }
    const int64_t step = (total - last) / 255;
    if (used <= 1 || step == 0) return identity();
    Table table{};
    int64_t sum = step / 2;
    for (size_t v = 0; v < table.size(); ++v) {
      table[v] = static_cast<uint8_t>(std::min<int64_t>(sum / step, 255));
      sum += histogram[v];
    }
    return table;
  });
}

void invert(Image& image) {
  map_values(image, [](int v) { return 255 - v; });
}

void posterize(Image& image, int bits) {
  const int mask = 0xff & ~((1 << (8 - bits)) - 1);
  map_values(image, [mask](int v) { return v & mask; });
}

void solarize(Image& image, int threshold) {
  map_values(image, [threshold](int v) { return v < threshold ? v : 255 - v; });
}

void solarize_add(Image& image, int add) {
  map_values(image, [add](int v) { return v < 128 ? std::min(255, v + add) : v; });
}

void adjust_sharpness(Image& image, double factor) {
  const Image smooth = smoothed(image);
  const auto f = static_cast<float>(factor);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = blend(smooth.pixels[i], image.pixels[i], f);
}

Image affine(const Image& image, const std::array<double, 6>& m, Colour fill) {
  Image result(image.width, image.height);
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x) {
      const double u = m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2];
      const double v = m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5];
      if (u >= 0.0 && u < image.width && v >= 0.0 && v < image.height) {
        sample(image, u, v, result.pixel(x, y));
      } else {
        std::ranges::copy(fill, result.pixel(x, y));
      }
    }
  }
  return result;
}

Image rotate(const Image& image, double degrees, Colour fill) {
  double angle = std::fmod(degrees, 360.0);
  if (angle < 0) angle += 360.0;
  const bool square = image.width == image.height;
  if (angle == 0.0 || angle == 180.0 || (square && (angle == 90.0 || angle == 270.0))) {
    return quarter_turns(image, static_cast<int>(angle / 90.0));
  }
  const double radians = -angle * (std::numbers::pi / 180.0);
  const double c = rounded_to_15_digits(std::cos(radians)), s = rounded_to_15_digits(std::sin(radians));
  const double x = image.width / 2.0, y = image.height / 2.0;
  return affine(image, {c, s, c * -x + s * -y + x, -s, c, -s * -x + c * -y + y}, fill);
}

}  // namespace tessera::rils
