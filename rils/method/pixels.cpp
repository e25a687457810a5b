#include "rils/method/pixels.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "engine/ops/copy.h"
#include "engine/ops/norm.h"
#include "engine/ops/patches.h"
#include "engine/ops/rows.h"

namespace tessera::rils {
namespace {

constexpr double kEps = 1e-6;

/// Rows without mean, over √(unbiased variance + eps): a layer norm, whose variance is the biased one.
Tensor standardise(const Tensor& rows) {
  const auto n = static_cast<double>(rows.size(1));
  const double bias = (n - 1.0) / n;
  const Tensor gamma = filled({rows.size(1)}, std::sqrt(bias), rows.dtype(), rows.device());
  const Tensor beta = filled({rows.size(1)}, 0.0, rows.dtype(), rows.device());
  return layer_norm(rows, gamma, beta, kEps * bias, rows.dtype()).y;
}

}  // namespace

Tensor patch_pixels(const Tensor& images, int64_t patch) {
  const Tensor rows = patchify(images, patch, images.dtype());
  const int64_t pixels = patch * patch;
  return contiguous(rows.reshape({rows.size(0), 3, pixels}).transpose(1, 2)).reshape({rows.size(0), 3 * pixels});
}

Tensor pixel_targets(const Tensor& images, int64_t patch, const Masks& masks, std::span<const int64_t> samples) {
  std::vector<int32_t> hidden;
  for (const int64_t b : samples) {
    for (const int32_t p : masks.masked(b)) hidden.push_back(static_cast<int32_t>(b * masks.patches()) + p);
  }
  const Tensor pixels = patch_pixels(images, patch);
  return standardise(gather_rows(pixels, RowIndex(hidden, pixels.size(0)), {.out_dtype = pixels.dtype()}));
}

PatchMoments patch_moments(std::span<const float> pixels) {
  const auto n = static_cast<double>(pixels.size());
  double sum = 0, squares = 0;
  for (const float x : pixels) sum += static_cast<double>(x);
  for (const float x : pixels) squares += (static_cast<double>(x) - sum / n) * (static_cast<double>(x) - sum / n);
  return {sum / n, std::sqrt(squares / (n - 1.0) + kEps)};
}

Var reconstruct_pixels(const Model& model, const LossConfig& loss, const TokenFeatures& patches, const Tensor& images,
                       const Masks& masks, int64_t total, const PassOptions& options) {
  if (loss.mae_weight == 0) return {};
  std::vector<int64_t> all(static_cast<size_t>(images.size(0)));
  std::iota(all.begin(), all.end(), int64_t{0});
  const Var predicted = model.predict_hidden(patches, masks, all, options);
  const Tensor target = pixel_targets(images.dtype() == predicted.dtype() ? images : cast(images, predicted.dtype()),
                                      model.config().vision.patch_size, masks, all);
  return pixel_loss(predicted, target, loss.mae_weight / static_cast<double>(total * masks.hidden()));
}

autograd::Var pixel_loss(const autograd::Var& predicted, const Tensor& target, double weight) {
  const autograd::Var error = autograd::sub(predicted, target);
  return autograd::sum(autograd::mul(error, error), weight / static_cast<double>(target.size(1)));
}

}  // namespace tessera::rils
