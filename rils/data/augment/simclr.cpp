#include "rils/data/augment/simclr.h"

#include <algorithm>

#include "rils/data/colour.h"

namespace tessera::rils {
std::array<int, 4> draw_order(AugmentStream& random) {
  std::array<int, 4> order = {0, 1, 2, 3};
  for (size_t last = order.size() - 1; last > 0; --last) {
    const auto places = static_cast<float>(last + 1);
    std::swap(order[last], order[std::min(last, static_cast<size_t>(random.uniform() * places))]);
  }
  return order;
}

void ColourJitter::operator()(Image& image, AugmentStream& random) const {
  const std::array<int, 4> order = draw_order(random);
  const auto factor = [&](float centre, float spread) {
    return static_cast<double>(random.uniform(centre - spread, centre + spread));
  };
  const double light = factor(1, brightness), distance = factor(1, contrast), depth = factor(1, saturation);
  const double turn = factor(0, hue);
  for (const int what : order) {
    if (what == 0) adjust_brightness(image, light);
    if (what == 1) adjust_contrast(image, distance);
    if (what == 2) adjust_saturation(image, depth);
    if (what == 3) adjust_hue(image, turn);
  }
}

Image SimclrTransform::augment(const Image& image, AugmentStream& random) const {
  Image picture = crop.crop(image, random);
  constexpr uint64_t kJitterNumbers = 7;
  AugmentStream colours = random;
  random.skip(kJitterNumbers);
  if (random.uniform() < jitter_probability) jitter(picture, colours);
  if (random.uniform() < grey_probability) make_grey(picture);
  const float width = random.uniform(sigma.first, sigma.second);
  if (random.uniform() < blur_probability) gaussian_blur(picture, static_cast<double>(width));
  if (random.uniform() < flip_probability) flip_horizontally(picture);
  return picture;
}

void SimclrTransform::operator()(const Image& image, AugmentStream random, std::span<float> out) const {
  normalize(augment(image, random), crop.mean, crop.std, out);
}

}  // namespace tessera::rils
