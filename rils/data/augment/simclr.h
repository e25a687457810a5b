#pragma once

#include <array>

#include "rils/data/transform.h"

namespace tessera::rils {

/// A permutation of 0 to 3 from the next three numbers of the stream, each of the 24 equally likely.
[[nodiscard]] std::array<int, 4> draw_order(AugmentStream& random);

/// torchvision's ColorJitter: brightness, contrast and saturation by factors in [1 − x, 1 + x], hue by a turn in [−x,
/// x], in a random order.
struct ColourJitter {
  float brightness = 0.4f, contrast = 0.4f, saturation = 0.4f, hue = 0.1f;

  /// Takes 7 numbers of the stream.
  void operator()(Image& image, AugmentStream& random) const;
};

/// A view of an image as SLIP and SimCLR's recipe there make it: random crop, colour jitter, grey, blur, flip, each
/// with its probability; normalised, [3, size, size].
struct ViewTransform {
  TrainTransform crop{.scale = {0.08f, 1.0f}};  // without its own flip
  ColourJitter jitter;
  float jitter_probability = 0.8f;
  float grey_probability = 0.2f;
  float blur_probability = 0.5f;
  std::pair<float, float> sigma = {0.1f, 2.0f};  // of the blur, pixels
  float flip_probability = 0.5f;

  /// The picture before normalisation. Takes the same number of numbers of the stream whatever happens.
  [[nodiscard]] Image view(const Image& image, AugmentStream& random) const;
  void operator()(const Image& image, AugmentStream random, std::span<float> out) const;
};

}  // namespace tessera::rils
