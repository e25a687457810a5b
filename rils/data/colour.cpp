#include "rils/data/colour.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tessera::rils {
namespace {

uint8_t grey_of(const uint8_t* p) {
  return static_cast<uint8_t>((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 0x8000u) >> 16);
}

template <class Function>
void for_each_pixel(Image& image, const Function& function) {
  for (size_t i = 0; i < image.pixels.size(); i += 3) function(image.pixels.data() + i);
}

uint8_t to_byte(double x) { return static_cast<uint8_t>(std::clamp(x, 0.0, 255.0)); }

/// Hue, saturation and value in bytes, truncated as in Pillow.
std::array<uint8_t, 3> to_hsv(const uint8_t* p) {
  const uint8_t low = std::min({p[0], p[1], p[2]}), high = std::max({p[0], p[1], p[2]});
  if (low == high) return {0, 0, high};
  const auto range = static_cast<float>(high - low);
  const auto below = [&](int c) { return static_cast<float>(high - p[c]) / range; };
  float sextant = 0;
  if (p[0] == high) {
    sextant = below(2) - below(1);
  } else if (p[1] == high) {
    sextant = static_cast<float>(2.0 + static_cast<double>(below(0)) - static_cast<double>(below(2)));
  } else {
    sextant = static_cast<float>(4.0 + static_cast<double>(below(1)) - static_cast<double>(below(0)));
  }
  const auto hue = static_cast<float>(std::fmod(static_cast<double>(sextant) / 6.0 + 1.0, 1.0));
  const float saturation = range / static_cast<float>(high);
  return {to_byte(static_cast<double>(hue) * 255.0), to_byte(static_cast<double>(saturation) * 255.0), high};
}

void from_hsv(const std::array<uint8_t, 3>& hsv, uint8_t* p) {
  const uint8_t h = hsv[0], s = hsv[1], v = hsv[2];
  if (s == 0) {
    p[0] = p[1] = p[2] = v;
    return;
  }
  const double place = static_cast<double>(h) * 6.0 / 255.0;
  const int sextant = static_cast<int>(place);
  const auto rest = static_cast<double>(static_cast<float>(place - static_cast<double>(static_cast<float>(sextant))));
  const auto fraction = static_cast<double>(static_cast<float>(static_cast<double>(s) / 255.0));
  const auto level = [&](double share) { return to_byte(std::round(static_cast<double>(v) * (1.0 - share))); };
  const uint8_t low = level(fraction), falling = level(fraction * rest), rising = level(fraction * (1.0 - rest));
  const std::array<std::array<uint8_t, 3>, 6> colours = {
      {{v, rising, low}, {falling, v, low}, {low, v, rising}, {low, falling, v}, {rising, low, v}, {v, low, falling}}};
  std::ranges::copy(colours[static_cast<size_t>(sextant % 6)], p);
}

/// Pillow's radius of each of the three box blurs, computed in single precision in Pillow's order.
float box_radius(double sigma) {
  constexpr float kPasses = 3;
  const auto s = static_cast<float>(sigma);
  const float variance = s * s / kPasses;
  const auto length = static_cast<float>(std::sqrt(12.0 * static_cast<double>(variance) + 1.0));
  const auto whole = static_cast<float>(std::floor((static_cast<double>(length) - 1.0) / 2.0));
  float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  part /= 6 * (variance - (whole + 1) * (whole + 1));
  return whole + part;
}

/// A box blur along lines of values, in place.
class BoxBlur {
 public:
  explicit BoxBlur(float radius) : radius_(static_cast<int>(radius)) {
    constexpr uint32_t kOne = uint32_t{1} << 24;
    whole_ = static_cast<uint32_t>(static_cast<float>(kOne) / (radius * 2 + 1));
    edge_ = (kOne - (2 * static_cast<uint32_t>(radius_) + 1) * whole_) / 2;
  }

  /// Blurs n values that are `step` bytes apart.
  void line(uint8_t* pixels, int n, size_t step) {
    line_.resize(static_cast<size_t>(n));
    for (int x = 0; x < n; ++x) line_[static_cast<size_t>(x)] = pixels[static_cast<size_t>(x) * step];
    const auto at = [&](int x) { return uint32_t{line_[static_cast<size_t>(std::clamp(x, 0, n - 1))]}; };
    uint32_t sum = 0;
    for (int x = -radius_ - 1; x < radius_; ++x) sum += at(x);
    for (int x = 0; x < n; ++x) {
      sum += at(x + radius_) - at(x - radius_ - 1);
      const uint32_t ends = at(x - radius_ - 1) + at(x + radius_ + 1);
      pixels[static_cast<size_t>(x) * step] =
          static_cast<uint8_t>((sum * whole_ + ends * edge_ + (uint32_t{1} << 23)) >> 24);
    }
  }

 private:
  int radius_;
  uint32_t whole_, edge_;  // weights of a pixel within the radius and of the two next to it; 2²⁴ is 1
  std::vector<uint8_t> line_;
};

}  // namespace

uint8_t blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

void adjust_brightness(Image& image, double factor) {
  const auto f = static_cast<float>(factor);
  for (uint8_t& value : image.pixels) value = blend(0, value, f);
}

void adjust_contrast(Image& image, double factor) {
  if (image.pixels.empty()) return;
  uint64_t sum = 0;
  for_each_pixel(image, [&](const uint8_t* p) { sum += grey_of(p); });
  const double pixels = static_cast<double>(image.pixels.size()) / 3.0;
  const int mean = static_cast<int>(std::floor(static_cast<double>(sum) / pixels + 0.5));
  const auto f = static_cast<float>(factor);
  for (uint8_t& value : image.pixels) value = blend(mean, value, f);
}

void adjust_saturation(Image& image, double factor) {
  const auto f = static_cast<float>(factor);
  for_each_pixel(image, [&](uint8_t* p) {
    const uint8_t grey = grey_of(p);
    for (int c = 0; c < 3; ++c) p[c] = blend(grey, p[c], f);
  });
}

void adjust_hue(Image& image, double turn) {
  const auto shift = static_cast<int>(turn * 255.0);
  for_each_pixel(image, [&](uint8_t* p) {
    std::array<uint8_t, 3> hsv = to_hsv(p);
    hsv[0] = static_cast<uint8_t>(hsv[0] + shift);
    from_hsv(hsv, p);
  });
}

void make_grey(Image& image) {
  for_each_pixel(image, [](uint8_t* p) { p[0] = p[1] = p[2] = grey_of(p); });
}

void gaussian_blur(Image& image, double sigma) {
  constexpr int kPasses = 3;
  if (image.pixels.empty()) return;
  BoxBlur blur(box_radius(sigma));
  for (int y = 0; y < image.height; ++y) {
    for (int c = 0; c < 3; ++c) {
      for (int pass = 0; pass < kPasses; ++pass) blur.line(image.row(y) + c, image.width, 3);
    }
  }
  for (int x = 0; x < image.width; ++x) {
    for (int c = 0; c < 3; ++c) {
      for (int pass = 0; pass < kPasses; ++pass) blur.line(image.pixel(x, 0) + c, image.height, image.row_bytes());
    }
  }
}

}  // namespace tessera::rils
