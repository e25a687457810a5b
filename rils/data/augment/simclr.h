#pragma once

#include <array>

#include "rils/data/transform.h"

namespace tessera::rils {

/// A permutation of 0 to 3, drawn with three numbers of the stream. All 24 permutations are equally likely.
[[nodiscard]] std::array<int, 4> draw_order(AugmentStream& random);

/// torchvision's ColorJitter: brightness, contrast and saturation are changed by factors in [1 − x, 1 + x], hue by a
/// turn in [−x, x], in a random order.
struct ColourJitter {
  float brightness = 0.4f, contrast = 0.4f, saturation = 0.4f, hue = 0.1f;

  /// Takes 7 numbers of the stream.
  void operator()(Image& image, AugmentStream& random) const;
};

/// Makes an augmented view as SLIP does for its SimCLR loss: random crop, then colour jitter, grey, blur and flip, each
/// with its probability, then normalisation. The result is [3, size, size].
struct SimclrTransform {
  TrainTransform crop{.scale = {0.08f, 1.0f}};  // its own flip is not used
  ColourJitter jitter;
  float jitter_probability = 0.8f;
  float grey_probability = 0.2f;
  float blur_probability = 0.5f;
  std::pair<float, float> sigma = {0.1f, 2.0f};  // range of the blur's sigma, pixels
  float flip_probability = 0.5f;

  /// The augmented view before normalisation. Takes the same number of random numbers in any case.
  [[nodiscard]] Image augment(const Image& image, AugmentStream& random) const;
  void operator()(const Image& image, AugmentStream random, std::span<float> out) const;
};

}  // namespace tessera::rils
