#include "rils/prepare/scene.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "rils/prepare/background.h"

namespace tessera::rils {
namespace {

constexpr int kOpaque = 128;           // pixels with at least this alpha belong to a thing
constexpr double kVisibleShare = 0.6;  // the fraction of a thing's pixels that must stay visible
constexpr double kNoticeable = 0.04;   // the hidden fraction from which one thing is in front of another
constexpr double kContrast = 46;       // the smallest mean difference of colours along a thing's edge, of 255

/// The things without a background: colours multiplied by alpha, the index of the visible thing, and hidden pixels.
struct Layer {
  Image rgba, mask;
  std::vector<int64_t> pixels;               // of each thing, including hidden ones
  std::vector<std::vector<int64_t>> hidden;  // [a][b]: pixels of b that a covers
};

void draw_thing(Layer& layer, const Image& thing, int left, int top, size_t index) {
  for (int y = 0; y < thing.height; ++y) {
    const uint8_t* in = thing.row(y);
    uint8_t* out = layer.rgba.row(top + y) + ptrdiff_t{4} * left;
    uint8_t* seen = layer.mask.row(top + y) + left;
    for (int x = 0; x < thing.width; ++x, in += 4, out += 4, ++seen) {
      const int rest = 255 - in[3];
      for (int c = 0; c < 4; ++c) out[c] = static_cast<uint8_t>(std::min(255, in[c] + (out[c] * rest + 127) / 255));
      if (in[3] < kOpaque) continue;
      ++layer.pixels[index];
      if (*seen != 0) ++layer.hidden[index][static_cast<size_t>(*seen - 1)];
      *seen = static_cast<uint8_t>(index + 1);
    }
  }
}

struct Place {
  int left = 0, top = 0, width = 0, height = 0;
};

/// The fraction of the smaller rectangle that lies in the other.
double overlap(const Place& a, const Place& b) {
  const int w = std::min(a.left + a.width, b.left + b.width) - std::max(a.left, b.left);
  const int h = std::min(a.top + a.height, b.top + b.height) - std::max(a.top, b.top);
  if (w <= 0 || h <= 0) return 0;
  return static_cast<double>(w) * h /
         std::min(static_cast<double>(a.width) * a.height, static_cast<double>(b.width) * b.height);
}

/// Draws sizes and positions. Returns fewer positions than things when the things do not fit.
std::vector<Place> draw_places(const std::vector<const Cutout*>& cutouts, int size, SceneSizes sizes,
                               AugmentStream& random) {
  // In one scene of six, one thing may be in front of another.
  const double allowed = random.uniform() < 0.17f ? 0.3 : 0.04;
  std::vector<Place> best;
  for (int attempt = 0; attempt < 30; ++attempt) {
    std::vector<Place> places;
    const float high = std::max(sizes.low, sizes.high * (1.0f - 0.02f * static_cast<float>(attempt)));
    for (const Cutout* cutout : cutouts) {
      const Image& image = cutout->image;
      const double scale =
          random.uniform(sizes.low, high) * static_cast<double>(size) / std::max(image.width, image.height);
      Place place;
      place.width = std::clamp(static_cast<int>(std::lround(image.width * scale)), 1, size);
      place.height = std::clamp(static_cast<int>(std::lround(image.height * scale)), 1, size);
      bool placed = false;
      for (int i = 0; i < 24 && !placed; ++i) {
        place.left = draw_below(random, size - place.width + 1);
        place.top = draw_below(random, size - place.height + 1);
        placed = std::ranges::all_of(places, [&](const Place& other) { return overlap(place, other) <= allowed; });
      }
      if (!placed) break;
      places.push_back(place);
    }
    if (places.size() > best.size()) best = places;
    if (best.size() == cutouts.size()) break;
  }
  return best;
}

Layer draw_layer(const std::vector<const Cutout*>& cutouts, const std::vector<Place>& places, int size) {
  Layer layer{Image(size, size, 4), Image(size, size, 1), {}, {}};
  layer.pixels.resize(places.size());
  layer.hidden.assign(places.size(), std::vector<int64_t>(places.size()));
  for (size_t i = 0; i < places.size(); ++i)
    draw_thing(layer, resize_rgba(cutouts[i]->image, places[i].height, places[i].width), places[i].left, places[i].top,
               i);
  return layer;
}

bool all_visible(const Layer& layer) {
  std::vector<int64_t> seen(layer.pixels.size());
  for (const uint8_t index : layer.mask.pixels)
    if (index != 0) ++seen[index - 1u];
  for (size_t i = 0; i < seen.size(); ++i)
    if (seen[i] == 0 || static_cast<double>(seen[i]) < kVisibleShare * static_cast<double>(layer.pixels[i]))
      return false;
  return true;
}

Image over(const Layer& layer, const Image& background) {
  Image out = background;
  for (size_t i = 0, n = layer.mask.pixels.size(); i < n; ++i) {
    const int rest = 255 - layer.rgba.pixels[4 * i + 3];
    for (size_t c = 0; c < 3; ++c)
      out.pixels[3 * i + c] = static_cast<uint8_t>(
          std::min(255, layer.rgba.pixels[4 * i + c] + (background.pixels[3 * i + c] * rest + 127) / 255));
  }
  return out;
}

/// The mean difference between picture and background along a thing's edge, for the thing where it is smallest.
double least_contrast(const Layer& layer, const Image& image, const Image& background) {
  const int size = layer.mask.width;
  std::vector<double> difference(layer.pixels.size());
  std::vector<int64_t> edge(layer.pixels.size());
  const auto seen = [&](int x, int y) { return x < 0 || y < 0 || x >= size || y >= size ? 0 : layer.mask.row(y)[x]; };
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const int me = seen(x, y);
      if (me == 0 || (seen(x - 1, y) == me && seen(x + 1, y) == me && seen(x, y - 1) == me && seen(x, y + 1) == me))
        continue;
      const auto at = static_cast<size_t>(me - 1);
      const auto i = static_cast<size_t>(y * size + x) * 3;
      for (size_t c = 0; c < 3; ++c)
        difference[at] += std::abs(int{image.pixels[i + c]} - int{background.pixels[i + c]}) / 3.0;
      ++edge[at];
    }
  double least = 255;
  for (size_t i = 0; i < edge.size(); ++i)
    if (edge[i] > 0) least = std::min(least, difference[i] / static_cast<double>(edge[i]));
  return least;
}

std::vector<Box> visible_boxes(const Image& mask, size_t count) {
  std::vector<Box> boxes(count);
  for (int y = 0; y < mask.height; ++y)
    for (int x = 0; x < mask.width; ++x) {
      const int index = mask.row(y)[x];
      if (index == 0) continue;
      Box& box = boxes[static_cast<size_t>(index - 1)];
      if (box.width == 0) {
        box = {y, x, 1, 1};
        continue;
      }
      const int right = std::max(box.left + box.width, x + 1);
      box.left = std::min(box.left, x);
      box.width = right - box.left;
      box.height = y + 1 - box.top;
    }
  return boxes;
}

}  // namespace

Scene compose_scene(const std::vector<const Cutout*>& cutouts, int size, SceneSizes sizes, AugmentStream& random) {
  std::vector<Place> places;
  Layer layer;
  for (int attempt = 0; attempt < 12; ++attempt) {
    places = draw_places(cutouts, size, sizes, random);
    layer = draw_layer(cutouts, places, size);
    if (places.size() == cutouts.size() && all_visible(layer)) break;
  }
  while (!places.empty() && !all_visible(layer)) {
    places.pop_back();
    layer = draw_layer(cutouts, places, size);
  }
  Scene scene;
  double best = -1;
  for (int attempt = 0; attempt < 12 && best < kContrast; ++attempt) {
    Background background = draw_background(size, random);
    Image image = over(layer, background.image);
    const double contrast = least_contrast(layer, image, background.image);
    if (contrast <= best) continue;
    best = contrast;
    scene.image = std::move(image);
    scene.background = std::move(background.phrase);
  }
  const auto boxes = visible_boxes(layer.mask, places.size());
  for (size_t i = 0; i < places.size(); ++i) scene.objects.push_back({cutouts[i], boxes[i]});
  for (size_t a = 0; a < places.size(); ++a)
    for (size_t b = 0; b < a; ++b)
      if (static_cast<double>(layer.hidden[a][b]) >= kNoticeable * static_cast<double>(layer.pixels[b]))
        scene.in_front.emplace_back(static_cast<int>(a), static_cast<int>(b));
  scene.mask = std::move(layer.mask);
  return scene;
}

SceneCast::SceneCast(const std::vector<Cutout>& cutouts, const std::vector<int>& usable, int concepts, uint64_t seed)
    : pictures_(static_cast<size_t>(concepts)), pairs_(seed, "test pairs") {
  for (const int i : usable) {
    const Cutout& cutout = cutouts[static_cast<size_t>(i)];
    pictures_[static_cast<size_t>(cutout.concept_index)].push_back(&cutout);
  }
  for (int c = 0; c < concepts; ++c)
    if (!pictures_[static_cast<size_t>(c)].empty()) concepts_.push_back(c);
  size_t pairs = 0, test_pairs = 0;
  for (size_t a = 0; a < concepts_.size(); ++a)
    for (size_t b = 0; b < a; ++b, ++pairs) test_pairs += is_test_pair(concepts_[a], concepts_[b]) ? 1 : 0;
  if (test_pairs == 0 || test_pairs == pairs)
    throw ConfigError(fmt::format("scenes: {} different things are too few", concepts_.size()));
}

bool SceneCast::is_test_pair(int concept_a, int concept_b) const {
  const auto [low, high] = std::minmax(concept_a, concept_b);
  return pairs_.below(5, static_cast<uint64_t>(low), static_cast<uint64_t>(high), 0) == 0;
}

const Cutout* SceneCast::draw_picture(int concept_index, AugmentStream& random) const {
  const auto& pictures = pictures_[static_cast<size_t>(concept_index)];
  return pictures[static_cast<size_t>(draw_below(random, static_cast<int>(pictures.size())))];
}

bool SceneCast::fits(int candidate, const std::vector<int>& chosen, bool test) const {
  return std::ranges::all_of(chosen, [&](int c) { return c != candidate && is_test_pair(c, candidate) == test; });
}

std::vector<const Cutout*> SceneCast::draw(bool test, const std::vector<bool>& repeatable,
                                           AugmentStream& random) const {
  const float kind = random.uniform();
  const size_t count = kind < 0.4f ? 2 : kind < 0.8f ? 3 : 4;
  std::vector<int> chosen;  // different concepts
  std::vector<const Cutout*> cast;
  while (chosen.size() < 2) {
    chosen.clear();
    cast.clear();
    while (cast.size() < count) {
      std::vector<int> candidates;
      for (const int c : concepts_)
        if (fits(c, chosen, test)) candidates.push_back(c);
      if (candidates.empty()) break;
      const int c = candidates[static_cast<size_t>(draw_below(random, static_cast<int>(candidates.size())))];
      chosen.push_back(c);
      cast.push_back(draw_picture(c, random));
      // A thing that appears twice needs another thing beside the two.
      const bool room = chosen.size() == 1 ? cast.size() + 2 <= count : cast.size() < count;
      if (random.uniform() < 0.15f && room && repeatable[static_cast<size_t>(c)])
        cast.push_back(draw_picture(c, random));
    }
  }
  return cast;
}

}  // namespace tessera::rils
