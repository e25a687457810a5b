#include "rils/data/augment/rand_augment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "rils/data/colour.h"

namespace tessera::rils {
namespace {

constexpr double kFullScale = 10;  // of magnitudes
constexpr uint64_t kNumbersOfLayer = 5;
constexpr uint64_t kMaxLayers = 100;
constexpr int kErasingTries = 10;

[[noreturn]] void misread(std::string_view words) {
  throw ConfigError(fmt::format("finetune.aa: expected none or rand-mM[-nN][-pP][-mstdS]-inc1, found \"{}\"", words));
}

/// The factor of an enhancement: 1 ± 0.9 · share, and at least 0.1.
double enhancement(double share, bool negative) { return std::max(0.1, 1.0 + (negative ? -0.9 : 0.9) * share); }

}  // namespace

Image apply(RandOp op, const Image& image, double magnitude, bool negative, Colour fill) {
  const double share = magnitude / kFullScale;
  const auto signed_share = [&](double full) { return negative ? -(share * full) : share * full; };
  Image changed = image;
  switch (op) {
    case RandOp::autocontrast:
      autocontrast(changed);
      break;
    case RandOp::equalize:
      equalize(changed);
      break;
    case RandOp::invert:
      invert(changed);
      break;
    case RandOp::rotate:
      return rotate(image, signed_share(30), fill);
    case RandOp::posterize:
      posterize(changed, 4 - static_cast<int>(share * 4));
      break;
    case RandOp::solarize:
      solarize(changed, 256 - std::min(256, static_cast<int>(share * 256)));
      break;
    case RandOp::solarize_add:
      solarize_add(changed, std::min(128, static_cast<int>(share * 110)));
      break;
    case RandOp::color:
      adjust_saturation(changed, enhancement(share, negative));
      break;
    case RandOp::contrast:
      adjust_contrast(changed, enhancement(share, negative));
      break;
    case RandOp::brightness:
      adjust_brightness(changed, enhancement(share, negative));
      break;
    case RandOp::sharpness:
      adjust_sharpness(changed, enhancement(share, negative));
      break;
    case RandOp::shear_x:
      return affine(image, {1, signed_share(0.3), 0, 0, 1, 0}, fill);
    case RandOp::shear_y:
      return affine(image, {1, 0, 0, signed_share(0.3), 1, 0}, fill);
    case RandOp::translate_x:
      return affine(image, {1, 0, signed_share(0.45) * image.width, 0, 1, 0}, fill);
    case RandOp::translate_y:
      return affine(image, {1, 0, 0, 0, 1, signed_share(0.45) * image.height}, fill);
  }
  return changed;
}

RandAugment RandAugment::parse(std::string_view words) {
  RandAugment result;
  if (words == "none") return result;
  result.layers = 2;
  result.magnitude = kFullScale;
  result.magnitude_std = 0;
  bool increasing = false, first = true;
  for (size_t begin = 0; begin <= words.size();) {
    const size_t end = std::min(words.find('-', begin), words.size());
    const std::string_view word = words.substr(begin, end - begin);
    begin = end + 1;
    const size_t digits = std::min(word.find_first_of("0123456789"), word.size());
    const std::string_view key = word.substr(0, digits);
    if (first) {
      if (word != "rand") misread(words);
      first = false;
      continue;
    }
    double value = 0;
    const auto [rest, error] = std::from_chars(word.data() + digits, word.data() + word.size(), value);
    if (error != std::errc() || rest != word.data() + word.size()) misread(words);
    if (key == "m" && value <= kFullScale) {
      result.magnitude = value;
    } else if (key == "n" && value >= 1 && value <= kMaxLayers && value == std::floor(value)) {
      result.layers = static_cast<int>(value);
    } else if (key == "p" && value <= 1) {
      result.probability = value;
    } else if (key == "mstd" && value <= 100) {
      result.magnitude_std = value;
    } else if (key == "inc" && value == 1) {
      increasing = true;
    } else {
      misread(words);
    }
  }
  if (!increasing) misread(words);
  return result;
}

Colour RandAugment::fill_of(const std::array<float, 3>& mean) {
  Colour fill{};
  for (size_t c = 0; c < 3; ++c) {
    fill[c] = static_cast<uint8_t>(std::clamp(std::nearbyint(255.0 * static_cast<double>(mean[c])), 0.0, 255.0));
  }
  return fill;
}

RandAugment::Draw RandAugment::draw(AugmentStream& random) const {
  Draw d;
  d.op = static_cast<RandOp>(std::min(static_cast<int>(random.uniform() * kRandOps), kRandOps - 1));
  d.applied = static_cast<double>(random.uniform()) < probability;
  const double noise = random.normal();
  d.magnitude = std::clamp(magnitude + magnitude_std * noise, 0.0, kFullScale);
  d.negative = random.uniform() >= 0.5f;
  return d;
}

Image RandAugment::operator()(Image image, AugmentStream random) const {
  for (int layer = 0; layer < layers; ++layer) {
    const Draw d = draw(random);
    if (d.applied) image = apply(d.op, image, d.magnitude, d.negative, fill);
  }
  return image;
}

Box RandomErasing::draw_box(int height, int width, AugmentStream& random) const {
  constexpr double kSmallest = 0.02, kLargest = 1.0 / 3.0, kAspect = 0.3;
  const double log_aspect = std::log(kAspect);
  if (static_cast<double>(random.uniform()) >= probability) return {};
  for (int t = 0; t < kErasingTries; ++t) {
    const double area = (kSmallest + (kLargest - kSmallest) * static_cast<double>(random.uniform())) * height * width;
    const double aspect = std::exp(log_aspect * (1.0 - 2.0 * static_cast<double>(random.uniform())));
    const auto h = static_cast<int>(std::nearbyint(std::sqrt(area * aspect)));
    const auto w = static_cast<int>(std::nearbyint(std::sqrt(area / aspect)));
    const float top = random.uniform(), left = random.uniform();
    if (w >= width || h >= height) continue;
    const auto place = [](float share, int cells) {
      return std::min(static_cast<int>(static_cast<double>(share) * cells), cells - 1);
    };
    return {place(top, height - h + 1), place(left, width - w + 1), h, w};
  }
  return {};
}

void RandomErasing::operator()(int height, int width, AugmentStream random, std::span<float> values) const {
  AugmentStream numbers = random;
  const Box box = draw_box(height, width, numbers);
  random.skip(1 + 4 * kErasingTries);
  for (int c = 0; c < 3; ++c) {
    for (int y = box.top; y < box.top + box.height; ++y) {
      float* row = values.data() + (static_cast<ptrdiff_t>(c) * height + y) * width;
      for (int x = box.left; x < box.left + box.width; ++x) row[x] = static_cast<float>(random.normal());
    }
  }
}

void ClassifyTransform::operator()(const Image& image, AugmentStream random, std::span<float> out) const {
  Image picture = crop.crop(image, random);
  if (random.uniform() < crop.flip_probability) flip_horizontally(picture);
  picture = augment(std::move(picture), random);
  random.skip(kNumbersOfLayer * kMaxLayers);
  normalize(picture, crop.mean, crop.std, out);
  erasing(crop.size, crop.size, random, out);
}

}  // namespace tessera::rils
