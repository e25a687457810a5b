#include "rils/model/masking.h"

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"

namespace tessera::rils {

int64_t kept_patches(int64_t patches, double mask_ratio) {
  return static_cast<int64_t>(static_cast<double>(patches) * (1.0 - mask_ratio));
}

Masks::Masks(const Tensor& noise, double mask_ratio) {
  if (noise.rank() != 2) throw ShapeError("masks: noise has shape " + to_string(noise.shape()) + ", expected rank 2");
  samples_ = noise.size(0);
  patches_ = noise.size(1);
  kept_ = kept_patches(patches_, mask_ratio);
  order_.resize(static_cast<size_t>(samples_ * patches_));
  const auto values = noise.data<float>();
  for (int64_t b = 0; b < samples_; ++b) {
    const auto order = std::span(order_).subspan(static_cast<size_t>(b * patches_), static_cast<size_t>(patches_));
    const float* row = values.data() + b * patches_;
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [row](int32_t p) { return row[p]; });
    std::ranges::sort(order.subspan(static_cast<size_t>(kept_)));
  }
}

std::span<const int32_t> Masks::visible(int64_t sample) const {
  return std::span(order_).subspan(static_cast<size_t>(sample * patches_), static_cast<size_t>(kept_));
}

std::span<const int32_t> Masks::masked(int64_t sample) const {
  return std::span(order_).subspan(static_cast<size_t>(sample * patches_ + kept_), static_cast<size_t>(hidden()));
}

}  // namespace tessera::rils
