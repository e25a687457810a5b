#include "rils/prepare/cutout.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <string_view>

#include "engine/core/philox.h"
#include "rils/data/resample.h"

namespace tessera::rils {
namespace {

constexpr int kVisible = 24;  // smaller alpha values are ignored, for example at the edge of a shadow
constexpr int kThumbnail = 16;

struct Hsv {
  double hue = 0, saturation = 0, value = 0;  // degrees, [0, 1], [0, 1]
};

Hsv to_hsv(int red, int green, int blue) {
  const int high = std::max({red, green, blue}), low = std::min({red, green, blue});
  Hsv out;
  out.value = high / 255.0;
  if (high == low) return out;
  const double range = high - low;
  out.saturation = range / high;
  if (high == red) {
    out.hue = 60.0 * (green - blue) / range;
  } else if (high == green) {
    out.hue = 60.0 * (blue - red) / range + 120.0;
  } else {
    out.hue = 60.0 * (red - green) / range + 240.0;
  }
  if (out.hue < 0) out.hue += 360.0;
  return out;
}

Image crop_rgba(const Image& in, const Box& box) {
  Image out(box.width, box.height, 4);
  for (int y = 0; y < box.height; ++y)
    std::copy_n(in.row(box.top + y) + ptrdiff_t{4} * box.left, box.width * 4, out.row(y));
  return out;
}

Image to_thumbnail(const Image& image) { return resize_rgba(image, kThumbnail, kThumbnail); }

bool look_alike(const Image& a, const Image& b, double ratio_a, double ratio_b) {
  if (std::max(ratio_a, ratio_b) > 1.15 * std::min(ratio_a, ratio_b)) return false;
  constexpr int64_t kLimit = int64_t{5} * kThumbnail * kThumbnail * 4;
  int64_t difference = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) difference += std::abs(int{a.pixels[i]} - int{b.pixels[i]});
  return difference < kLimit;
}

}  // namespace

std::optional<Image> cut_out(const Image& premultiplied, std::string& reason) {
  int x0 = premultiplied.width, y0 = premultiplied.height, x1 = -1, y1 = -1;
  int64_t area = 0;
  for (int y = 0; y < premultiplied.height; ++y) {
    const uint8_t* row = premultiplied.row(y);
    for (int x = 0; x < premultiplied.width; ++x) {
      if (row[4 * x + 3] < kVisible) continue;
      ++area;
      x0 = std::min(x0, x), x1 = std::max(x1, x);
      y0 = std::min(y0, y), y1 = std::max(y1, y);
    }
  }
  if (x1 < 0) {
    reason = "empty";
    return std::nullopt;
  }
  const Box box{y0, x0, y1 - y0 + 1, x1 - x0 + 1};
  const double share = static_cast<double>(area) / (static_cast<double>(box.width) * box.height);
  if (std::max(box.width, box.height) < 56) {
    reason = "small on its page";
  } else if (std::max(box.width, box.height) > 3 * std::min(box.width, box.height)) {
    reason = "long and thin";
  } else if (share > 0.97) {
    reason = "a full rectangle";
  } else if (share < 0.2) {
    reason = "lines without area";
  } else {
    return crop_rgba(premultiplied, box);
  }
  return std::nullopt;
}

Image resize_rgba(const Image& premultiplied, int height, int width) {
  Image out = resize(premultiplied, std::max(1, height), std::max(1, width), Interpolation::bilinear);
  for (size_t i = 0; i < out.pixels.size(); i += 4)
    for (size_t c = 0; c < 3; ++c) out.pixels[i + c] = std::min(out.pixels[i + c], out.pixels[i + 3]);
  return out;
}

std::string_view basic_colour(int red, int green, int blue) {
  const Hsv c = to_hsv(red, green, blue);
  if (c.value < 0.22) return "black";
  if (c.saturation < 0.14) return c.value > 0.85 ? "white" : "gray";
  if (c.saturation < 0.22 && c.value < 0.6) return "gray";
  const bool pale = c.saturation < 0.55 && c.value > 0.75;
  if (c.hue < 14 || c.hue >= 345) return pale ? "pink" : c.value < 0.4 ? "brown" : "red";
  if (c.hue < 42) return c.value < 0.75 || (c.saturation < 0.5 && c.value < 0.85) ? "brown" : "orange";
  if (c.hue < 68) return c.value < 0.5 ? "brown" : "yellow";
  if (c.hue < 170) return "green";
  if (c.hue < 255) return "blue";
  if (c.hue < 295) return "purple";
  return c.value > 0.6 ? "pink" : "purple";
}

std::string main_colour(const Image& premultiplied) {
  std::map<std::string_view, int64_t> votes;
  int64_t opaque = 0;
  for (size_t i = 0; i + 3 < premultiplied.pixels.size(); i += 4) {
    const int alpha = premultiplied.pixels[i + 3];
    if (alpha < 200) continue;
    const auto straight = [&](size_t c) { return std::min(255, premultiplied.pixels[i + c] * 255 / alpha); };
    ++votes[basic_colour(straight(0), straight(1), straight(2))];
    ++opaque;
  }
  for (const auto& [name, count] : votes)
    if (count * 10 >= opaque * 6) return std::string(name);
  return {};
}

std::vector<bool> near_duplicates(const std::vector<Cutout>& cutouts) {
  std::vector<Image> thumbnails;
  std::vector<double> ratios;
  std::vector<bool> out(cutouts.size());
  for (size_t i = 0; i < cutouts.size(); ++i) {
    const Image& image = cutouts[i].image;
    thumbnails.push_back(to_thumbnail(image));
    ratios.push_back(static_cast<double>(image.width) / image.height);
    for (size_t j = 0; j < i && !out[i]; ++j)
      out[i] = !out[j] && look_alike(thumbnails[i], thumbnails[j], ratios[i], ratios[j]);
  }
  return out;
}

CutoutSplit split_cutouts(const std::vector<Cutout>& cutouts, uint64_t seed) {
  const Philox philox(seed, "cut-outs held out");
  std::map<int, std::vector<std::pair<uint64_t, int>>> by_concept;  // hash, index
  for (size_t i = 0; i < cutouts.size(); ++i) {
    const uint64_t name = fnv1a64(cutouts[i].source + '/' + cutouts[i].source_name);
    const uint64_t hash = philox.bits(0, name >> 16, 0);
    by_concept[cutouts[i].concept_index].emplace_back(hash, static_cast<int>(i));
  }
  CutoutSplit split;
  for (auto& [concept_index, pictures] : by_concept) {
    std::ranges::sort(pictures);
    const size_t count = pictures.size();
    const size_t held = count == 1 ? (pictures.front().first % 8 == 0 ? 1 : 0) : std::max<size_t>(1, count / 4);
    for (size_t i = 0; i < count; ++i) (i < held ? split.held_out : split.train).push_back(pictures[i].second);
  }
  std::ranges::sort(split.train);
  std::ranges::sort(split.held_out);
  return split;
}

}  // namespace tessera::rils
