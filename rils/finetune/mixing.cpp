#include "rils/finetune/mixing.h"

#include <algorithm>
#include <cmath>

namespace tessera::rils {
namespace {

/// Uniform in (0, 1], so that its logarithm is finite.
double above_zero(AugmentStream& random) { return 1.0 - static_cast<double>(random.uniform()); }

/// Draws from Gamma(shape, 1). For a shape below 1 it scales a variate of shape + 1.
double draw_gamma(double shape, AugmentStream& random) {
  if (shape < 1.0) return draw_gamma(shape + 1.0, random) * std::pow(above_zero(random), 1.0 / shape);
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = random.normal();
    const double v = std::pow(1.0 + c * x, 3);
    if (v <= 0.0) continue;
    if (std::log(above_zero(random)) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

int64_t below(int64_t n, AugmentStream& random) {
  return std::min(static_cast<int64_t>(static_cast<double>(random.uniform()) * static_cast<double>(n)), n - 1);
}

}  // namespace

double draw_beta(double alpha, AugmentStream& random) {
  const double a = draw_gamma(alpha, random);
  const double b = draw_gamma(alpha, random);
  return a + b > 0.0 ? a / (a + b) : 0.5;
}

Mix cut_mix(int64_t size, double lambda, int64_t y, int64_t x) {
  const auto side = static_cast<int64_t>(static_cast<double>(size) * std::sqrt(1.0 - lambda));
  const auto range = [&](int64_t centre) {
    const int64_t begin = std::clamp<int64_t>(centre - side / 2, 0, size);
    return std::pair{static_cast<int>(begin),
                     static_cast<int>(std::clamp<int64_t>(centre + (side + 1) / 2, 0, size) - begin)};
  };
  const auto [top, height] = range(y);
  const auto [left, width] = range(x);
  Mix mix;
  mix.cut = true;
  mix.box = {top, left, height, width};
  mix.lambda = 1.0 - static_cast<double>(height * width) / static_cast<double>(size * size);
  return mix;
}

Mix draw_mix(const FinetuneConfig& config, int64_t size, AugmentStream random) {
  if (config.mixup <= 0 && config.cutmix <= 0) return {};
  if (static_cast<double>(random.uniform()) >= config.mixup_prob) return {};
  const bool both = config.mixup > 0 && config.cutmix > 0;
  const bool cut = both ? static_cast<double>(random.uniform()) < config.mixup_switch_prob : config.cutmix > 0;
  const double lambda = draw_beta(cut ? config.cutmix : config.mixup, random);
  if (!cut) return {lambda, false, {}};
  const int64_t y = below(size, random);
  return cut_mix(size, lambda, y, below(size, random));
}

void apply_mix(const Mix& mix, const Tensor& images) {
  const int64_t rows = images.size(0), size = images.size(3);
  const int64_t values = images.numel() / std::max<int64_t>(rows, 1);
  float* all = images.data<float>().data();
  const auto own = static_cast<float>(mix.lambda), other = static_cast<float>(1.0 - mix.lambda);
  if (mix.lambda == 1.0) return;
  for (int64_t b = 0; b < (rows + 1) / 2; ++b) {
    float* first = all + b * values;
    float* last = all + (rows - 1 - b) * values;
    for (int64_t i = 0; i < values; ++i) {
      const float x = first[i], y = last[i];
      if (!mix.cut) {
        first[i] = x * own + y * other;
        last[i] = y * own + x * other;
        continue;
      }
      const int64_t row = i / size % size, column = i % size;
      if (row < mix.box.top || row >= mix.box.top + mix.box.height) continue;
      if (column < mix.box.left || column >= mix.box.left + mix.box.width) continue;
      first[i] = y;
      last[i] = x;
    }
  }
}

double mix_part(const FinetuneConfig& config, uint64_t seed, int64_t step, int64_t part, const Tensor& images) {
  const Philox mixing(seed, "mixup");
  const AugmentStream random(mixing, static_cast<uint64_t>(step), static_cast<uint64_t>(part));
  const Mix mix = draw_mix(config, images.size(3), random);
  apply_mix(mix, images);
  return mix.lambda;
}

Tensor soft_targets(std::span<const int32_t> labels, int64_t classes, double lambda, double smoothing) {
  const auto rows = static_cast<int64_t>(labels.size());
  const auto off = static_cast<float>(smoothing / static_cast<double>(classes));
  const auto on = static_cast<float>(1.0 - smoothing + smoothing / static_cast<double>(classes));
  const auto own = static_cast<float>(lambda), other = static_cast<float>(1.0 - lambda);
  Tensor targets = Tensor::empty({rows, classes});
  float* out = targets.data<float>().data();
  for (int64_t b = 0; b < rows; ++b) {
    const int32_t label = labels[static_cast<size_t>(b)], reversed = labels[static_cast<size_t>(rows - 1 - b)];
    for (int64_t c = 0; c < classes; ++c) *out++ = (c == label ? on : off) * own + (c == reversed ? on : off) * other;
  }
  return targets;
}

}  // namespace tessera::rils
