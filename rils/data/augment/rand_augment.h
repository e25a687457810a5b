#pragma once

#include <string_view>

#include "rils/data/augment/picture_ops.h"
#include "rils/data/transform.h"

namespace tessera::rils {

/// The operations of timm's increasing set, in its order.
enum class RandOp : uint8_t {
  autocontrast,
  equalize,
  invert,
  rotate,
  posterize,
  solarize,
  solarize_add,
  color,
  contrast,
  brightness,
  sharpness,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
};
inline constexpr int kRandOps = 15;

/// Applies one operation at a magnitude in [0, 10], which is scaled as in timm. `negative` is the drawn sign;
/// operations without a sign ignore it. Pixels from outside the image get `fill`.
[[nodiscard]] Image apply(RandOp op, const Image& image, double magnitude, bool negative, Colour fill);

/// RandAugment in timm's form: `layers` operations are drawn with replacement. Each is applied with `probability`, at a
/// magnitude drawn from a normal distribution of mean `magnitude` and std `magnitude_std`, limited to [0, 10].
struct RandAugment {
  double magnitude = 9;
  double magnitude_std = 0.5;
  double probability = 0.5;
  int layers = 0;  // 0: RandAugment is off
  Colour fill = {124, 116, 104};

  /// Reads "none" or timm's notation "rand-mM[-nN][-pP][-mstdS]-inc1"; inc1 selects the increasing set, the only one
  /// here. Throws ConfigError for anything else.
  [[nodiscard]] static RandAugment parse(std::string_view words);
  /// timm's fill colour: the mean of the normalisation.
  [[nodiscard]] static Colour fill_of(const std::array<float, 3>& mean);

  /// The random choices of one layer.
  struct Draw {
    RandOp op = RandOp::autocontrast;
    bool applied = false;
    double magnitude = 0;
    bool negative = false;
  };
  /// Takes five numbers of the stream.
  [[nodiscard]] Draw draw(AugmentStream& random) const;
  [[nodiscard]] Image operator()(Image image, AugmentStream random) const;
};

/// Random erasing in timm's "pixel" mode with count 1: with `probability`, one rectangle of the normalised image
/// becomes standard normal noise. Its area is 2 to 33 % of the image, its aspect ratio 0.3 to 1 / 0.3 (uniform in the
/// logarithm). Up to ten rectangles are drawn until one fits.
struct RandomErasing {
  double probability = 0.25;

  /// Draws the rectangle in an image of height × width. It is empty (height 0) when nothing is erased.
  [[nodiscard]] Box draw_box(int height, int width, AugmentStream& random) const;
  /// `values`: [3, height, width].
  void operator()(int height, int width, AugmentStream random, std::span<float> values) const;
};

/// MAE's training transform: random crop and flip, RandAugment, normalisation, random erasing.
struct ClassifyTransform {
  TrainTransform crop;
  RandAugment augment;
  RandomErasing erasing;
  void operator()(const Image& image, AugmentStream random, std::span<float> out) const;
};

}  // namespace tessera::rils
