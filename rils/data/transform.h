#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "engine/core/philox.h"
#include "rils/data/image.h"
#include "rils/data/resample.h"

namespace tessera::rils {

inline constexpr std::array<float, 3> kImagenetMean = {0.485f, 0.456f, 0.406f};
inline constexpr std::array<float, 3> kImagenetStd = {0.229f, 0.224f, 0.225f};

/// The random numbers of one augmentation. They depend on a counter, not on a shared state, so they are the same for
/// any thread and any order of computation.
class AugmentStream {
 public:
  AugmentStream(const Philox& philox, uint64_t epoch, uint64_t sample, uint64_t first_element = 0)
      : philox_(&philox), epoch_(epoch), sample_(sample), element_(first_element) {}
  /// The next number, uniform in [0, 1).
  float uniform() { return philox_->uniform(epoch_, sample_, element_++); }
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  /// A standard normal number, made of the next two numbers (Box–Muller).
  double normal();
  void skip(uint64_t numbers) { element_ += numbers; }

 private:
  const Philox* philox_;
  uint64_t epoch_, sample_, element_;
};

/// The size (height, width) after torchvision's Resize(size): the shorter side becomes `size`, the longer side is
/// truncated to an integer. Throws SampleError "too thin" for a longer side above 2^24.
[[nodiscard]] std::pair<int, int> shorter_side_size(int height, int width, int size);

/// The window of torchvision's CenterCrop(size). When the image is smaller than the crop, the box reaches beyond the
/// image, and the pixels there are black. Halves are rounded to even, as Python's round does.
[[nodiscard]] Box center_crop_box(int height, int width, int size);

/// One attempt of RandomResizedCrop: the fraction of the area, the logarithm of the aspect ratio (width / height), and
/// the position (0 is top or left, just below 1 is bottom or right).
struct CropTry {
  double area = 1.0;
  double log_ratio = 0.0;
  double top = 0.0;
  double left = 0.0;
};

/// torchvision's RandomResizedCrop.get_params: the first of ten attempts whose box fits, otherwise a centre crop with
/// the nearest permitted ratio. `next_try` is called once for each attempt.
[[nodiscard]] Box random_resized_crop_box(int height, int width, std::pair<float, float> ratio,
                                          const std::function<CropTry()>& next_try);

/// The crop of a single attempt, with its sides limited to the image's sides, as in MAE's linear probe.
[[nodiscard]] Box clipped_crop_box(int height, int width, const CropTry& draw);

/// Mirrors left and right in place.
void flip_horizontally(Image& image);

/// out[c][y][x] = (pixel / 255 − mean[c]) / std[c] in float, as torchvision's ToTensor and Normalize compute it. `out`
/// holds 3·height·width values.
void normalize(const Image& image, const std::array<float, 3>& mean, const std::array<float, 3>& std,
               std::span<float> out);

/// Random crop, optional flip, normalisation: [3, size, size]. The defaults are those of image-text training in SLIP.
struct TrainTransform {
  int size = 224;
  std::pair<float, float> scale = {0.5f, 1.0f};
  std::pair<float, float> ratio = {3.0f / 4.0f, 4.0f / 3.0f};
  float flip_probability = 0.0f;
  bool clipped_crop = false;  // use clipped_crop_box
  Interpolation interpolation = Interpolation::bilinear;
  std::array<float, 3> mean = kImagenetMean;
  std::array<float, 3> std = kImagenetStd;

  /// Draws the box of the crop.
  [[nodiscard]] Box draw_box(int height, int width, AugmentStream& random) const;
  /// Draws a crop and resizes it. Takes 40 numbers of the stream in any case, so that later numbers do not depend on
  /// the image.
  [[nodiscard]] Image crop(const Image& image, AugmentStream& random) const;
  /// Crops, flips and normalises.
  void operator()(const Image& image, AugmentStream random, std::span<float> out) const;
};

/// Resize (shorter side), centre crop, normalisation: [3, size, size]. Nothing is random.
struct EvalTransform {
  int resize = 224;
  int size = 224;
  Interpolation interpolation = Interpolation::bilinear;
  std::array<float, 3> mean = kImagenetMean;
  std::array<float, 3> std = kImagenetStd;
  bool resize_before_rgb = false;  // images are decoded with their mode

  /// The resized and cropped image before normalisation.
  [[nodiscard]] Image crop(const Image& image) const;
  void operator()(const Image& image, std::span<float> out) const;
  void operator()(const Image& image, AugmentStream, std::span<float> out) const { (*this)(image, out); }
};

/// How a loader transforms a decoded image; fills [3, size, size]. Both transforms above have this form.
using ImageTransform = std::function<void(const Image& image, AugmentStream random, std::span<float> out)>;

}  // namespace tessera::rils
