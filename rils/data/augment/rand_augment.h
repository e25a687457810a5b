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

/// One operation at a magnitude in [0, 10], as timm scales it; `negative` is what its draw of a sign says, where the
/// operation has one. `fill` comes in from outside the picture.
[[nodiscard]] Image apply(RandOp op, const Image& image, double magnitude, bool negative, Colour fill);

/// RandAugment in timm's form: `layers` operations drawn with replacement, each made with `probability` at a magnitude
/// drawn from N(magnitude, deviation), limited to [0, 10].
struct RandAugment {
  double magnitude = 9;
  double deviation = 0.5;
  double probability = 0.5;
  int layers = 0;  // 0: nothing is done
  Colour fill = {124, 116, 104};

  /// "none", or timm's words "rand-mM[-nN][-pP][-mstdS]-inc1" (inc1: the increasing set, the only one here). Throws
  /// ConfigError.
  [[nodiscard]] static RandAugment parse(std::string_view words);
  /// The colour that timm fills with: the mean of normalisation.
  [[nodiscard]] static Colour fill_of(const std::array<float, 3>& mean);

  /// What one layer does.
  struct Draw {
    RandOp op = RandOp::autocontrast;
    bool made = false;
    double magnitude = 0;
    bool negative = false;
  };
  /// Takes five numbers.
  [[nodiscard]] Draw draw(AugmentStream& random) const;
  [[nodiscard]] Image operator()(Image image, AugmentStream random) const;
};

/// Random erasing in timm's "pixel" mode, count 1: with `probability` a rectangle of 2 to 33 % of the area, aspect
/// ratio 0.3 to 1 / 0.3 (by its logarithm), becomes normal noise in the normalised picture. Up to ten tries to fit.
struct RandomErasing {
  double probability = 0.25;

  /// The rectangle of a picture of height × width; empty (height 0) where nothing is erased.
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
