#include "rils/prepare/background.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string_view>
#include <vector>

#include "rils/text/english.h"

namespace tessera::rils {
namespace {

struct Rgb {
  float red = 0, green = 0, blue = 0;
};

Rgb mix(const Rgb& a, const Rgb& b, float share_of_b) {
  const float t = std::clamp(share_of_b, 0.0f, 1.0f);
  return {a.red + (b.red - a.red) * t, a.green + (b.green - a.green) * t, a.blue + (b.blue - a.blue) * t};
}

struct NamedColour {
  std::string_view name;
  Rgb rgb;
};

constexpr std::array<NamedColour, 11> kColours = {{{"white", {246, 245, 242}},
                                                   {"gray", {172, 174, 178}},
                                                   {"blue", {126, 170, 226}},
                                                   {"green", {138, 196, 138}},
                                                   {"yellow", {246, 226, 128}},
                                                   {"pink", {246, 186, 204}},
                                                   {"purple", {178, 150, 214}},
                                                   {"orange", {246, 182, 112}},
                                                   {"brown", {160, 124, 94}},
                                                   {"red", {206, 92, 88}},
                                                   {"black", {38, 38, 44}}}};

NamedColour draw_colour(AugmentStream& random) {
  NamedColour colour = kColours[static_cast<size_t>(draw_below(random, static_cast<int>(kColours.size())))];
  const auto shift = [&](float& channel) { channel = std::clamp(channel + random.uniform(-8.0f, 8.0f), 0.0f, 255.0f); };
  shift(colour.rgb.red);
  shift(colour.rgb.green);
  shift(colour.rgb.blue);
  return colour;
}

/// Colours every pixel by its position in [0, 1]².
Image paint(int size, const std::function<Rgb(float x, float y)>& colour_at) {
  Image image(size, size);
  const auto to_byte = [](float v) { return static_cast<uint8_t>(std::lround(std::clamp(v, 0.0f, 255.0f))); };
  for (int y = 0; y < size; ++y) {
    uint8_t* out = image.row(y);
    for (int x = 0; x < size; ++x, out += 3) {
      const Rgb c = colour_at((static_cast<float>(x) + 0.5f) / static_cast<float>(size),
                              (static_cast<float>(y) + 0.5f) / static_cast<float>(size));
      out[0] = to_byte(c.red);
      out[1] = to_byte(c.green);
      out[2] = to_byte(c.blue);
    }
  }
  return image;
}

/// Smooth noise in [0, 1]: random values on a grid of cells × cells with cosine interpolation.
class Noise {
 public:
  Noise(int cells, AugmentStream& random)
      : cells_(cells), values_(static_cast<size_t>(cells + 1) * static_cast<size_t>(cells + 1)) {
    for (float& v : values_) v = random.uniform();
  }
  [[nodiscard]] float operator()(float x, float y) const {
    const float gx = x * static_cast<float>(cells_), gy = y * static_cast<float>(cells_);
    const int cx = std::clamp(static_cast<int>(gx), 0, cells_ - 1),
              cy = std::clamp(static_cast<int>(gy), 0, cells_ - 1);
    const float tx = ease(gx - static_cast<float>(cx)), ty = ease(gy - static_cast<float>(cy));
    const float top = at(cx, cy) + (at(cx + 1, cy) - at(cx, cy)) * tx;
    const float bottom = at(cx, cy + 1) + (at(cx + 1, cy + 1) - at(cx, cy + 1)) * tx;
    return top + (bottom - top) * ty;
  }

 private:
  static float ease(float t) { return t * t * (3.0f - 2.0f * t); }
  [[nodiscard]] float at(int x, int y) const {
    return values_[static_cast<size_t>(y) * (static_cast<size_t>(cells_) + 1) + static_cast<size_t>(x)];
  }
  int cells_;
  std::vector<float> values_;
};

/// A height profile over x that is the sum of two waves.
struct Hills {
  float base, tall, wide, phase, second;
  Hills(float level, float height, AugmentStream& random)
      : base(level),
        tall(height),
        wide(random.uniform(3.0f, 6.0f)),
        phase(random.uniform(0.0f, 6.28f)),
        second(random.uniform(0.0f, 6.28f)) {}
  [[nodiscard]] float operator()(float x) const {
    return base - tall * (0.6f * std::sin(wide * x + phase) + 0.4f * std::sin(2.3f * wide * x + second));
  }
};

/// 0 above the line, 1 below it, over the width of one pixel.
float below_line(float y, float line, int size) {
  return std::clamp((y - line) * static_cast<float>(size) + 0.5f, 0.0f, 1.0f);
}

Background plain(int size, AugmentStream& random) {
  const NamedColour c = draw_colour(random);
  return {paint(size, [&](float, float) { return c.rgb; }), fmt::format("on {} background", with_article(c.name))};
}

Background gradient(int size, AugmentStream& random) {
  const NamedColour from = draw_colour(random), to = draw_colour(random);
  const float angle = random.uniform(0.0f, 6.28f), dx = std::cos(angle), dy = std::sin(angle);
  Background out{
      paint(size, [&](float x, float y) { return mix(from.rgb, to.rgb, 0.5f + (x - 0.5f) * dx + (y - 0.5f) * dy); }),
      {}};
  if (from.name != to.name) out.phrase = fmt::format("on {} and {} background", with_article(from.name), to.name);
  return out;
}

Background pattern(int size, AugmentStream& random) {
  const NamedColour c = draw_colour(random);
  const Rgb other =
      mix(c.rgb, random.uniform() < 0.5f ? Rgb{255, 255, 255} : Rgb{70, 70, 80}, random.uniform(0.2f, 0.4f));
  const float cells = random.uniform(5.0f, 11.0f), angle = random.uniform(0.0f, 3.14f);
  const float dx = std::cos(angle), dy = std::sin(angle);
  const auto half = [](float t) { return t - std::floor(t) < 0.5f; };
  switch (draw_below(random, 3)) {
    case 0:
      return {paint(size, [&](float x, float y) { return half((x * dx + y * dy) * cells) ? c.rgb : other; }),
              "on a striped background"};
    case 1:
      return {paint(size, [&](float x, float y) { return half(x * cells / 2) == half(y * cells / 2) ? c.rgb : other; }),
              "on a checked background"};
    default:
      return {paint(size,
                    [&](float x, float y) {
                      const float fx = x * cells - std::floor(x * cells) - 0.5f,
                                  fy = y * cells - std::floor(y * cells) - 0.5f;
                      return fx * fx + fy * fy < 0.08f ? other : c.rgb;
                    }),
              "on a dotted background"};
  }
}

Background mottled(int size, AugmentStream& random) {
  const NamedColour c = draw_colour(random);
  const Noise coarse(5, random), fine(24, random);
  const Rgb dark = mix(c.rgb, {60, 60, 70}, 0.35f), light = mix(c.rgb, {255, 255, 255}, 0.3f);
  return {paint(size, [&](float x, float y) { return mix(dark, light, 0.65f * coarse(x, y) + 0.35f * fine(x, y)); }),
          "on a mottled background"};
}

struct Landscape {
  std::string_view phrase;
  Rgb sky_top, sky_low, far, near_ground;
  float horizon, far_height, near_height;  // heights of the hills' waves
};

constexpr std::array<Landscape, 8> kLandscapes = {{
    {"on a meadow", {120, 180, 235}, {205, 228, 246}, {120, 178, 96}, {148, 204, 108}, 0.52f, 0.05f, 0.03f},
    {"at the beach", {120, 190, 240}, {210, 235, 250}, {70, 150, 200}, {238, 220, 170}, 0.45f, 0.0f, 0.02f},
    {"in the desert", {150, 195, 230}, {250, 226, 190}, {222, 166, 100}, {240, 194, 124}, 0.5f, 0.05f, 0.05f},
    {"in the snow", {150, 180, 210}, {215, 226, 238}, {220, 230, 240}, {245, 248, 252}, 0.5f, 0.06f, 0.04f},
    {"at sea", {140, 195, 240}, {225, 238, 250}, {60, 120, 185}, {44, 98, 160}, 0.5f, 0.0f, 0.006f},
    {"at night", {14, 18, 48}, {50, 56, 104}, {28, 36, 60}, {20, 26, 44}, 0.62f, 0.06f, 0.04f},
    {"at sunset", {110, 80, 150}, {252, 178, 110}, {120, 70, 90}, {90, 54, 76}, 0.6f, 0.04f, 0.03f},
    {"in the mountains", {140, 185, 228}, {222, 234, 244}, {138, 146, 164}, {116, 162, 104}, 0.48f, 0.0f, 0.03f},
}};

Background landscape(int size, AugmentStream& random) {
  const Landscape& l = kLandscapes[static_cast<size_t>(draw_below(random, static_cast<int>(kLandscapes.size())))];
  const float horizon = l.horizon + random.uniform(-0.08f, 0.08f);
  const Hills far(horizon, l.far_height, random),
      near_hills(horizon + random.uniform(0.14f, 0.24f), l.near_height, random);
  const Noise stars(40, random);
  const float peak = random.uniform(0.2f, 0.8f), slope = random.uniform(0.7f, 1.1f);
  const float second_peak = peak + (peak < 0.5f ? 0.35f : -0.35f);
  return {paint(size,
                [&](float x, float y) {
                  Rgb c = mix(l.sky_top, l.sky_low, y / horizon);
                  if (l.phrase == "at night" && stars(x, y) > 0.96f) c = {235, 235, 210};
                  float far_line = far(x);
                  if (l.phrase == "in the mountains")
                    far_line = horizon - std::max({0.0f, 0.32f - slope * std::abs(x - peak),
                                                   0.24f - slope * std::abs(x - second_peak)});
                  c = mix(c, mix(l.far, {255, 255, 255}, 0.1f * (horizon - far_line)), below_line(y, far_line, size));
                  const Rgb ground = mix(l.near_ground, {0, 0, 0}, 0.25f * (y - horizon));
                  return mix(c, ground, below_line(y, near_hills(x), size));
                }),
          std::string(l.phrase)};
}

}  // namespace

int draw_below(AugmentStream& random, int n) {
  return std::min(n - 1, static_cast<int>(random.uniform() * static_cast<float>(n)));
}

Background draw_background(int size, AugmentStream& random) {
  const float kind = random.uniform();
  if (kind < 0.3f) return plain(size, random);
  if (kind < 0.45f) return gradient(size, random);
  if (kind < 0.65f) return pattern(size, random);
  if (kind < 0.75f) return mottled(size, random);
  return landscape(size, random);
}

}  // namespace tessera::rils
