#include "rils/method/gate.h"

#include <numeric>

namespace tessera::rils {

Gate Gate::within(const Rows& rows) const {
  Gate part;
  for (size_t i = 0; i < images.size(); ++i) {
    const int64_t image = images[i] - rows.first;
    if (image < 0 || image >= rows.count) continue;
    part.images.push_back(image);
    part.patch_weight.push_back(patch_weight[i]);
  }
  return part;
}

Gate make_gate(std::span<const uint8_t> retrieved, int64_t hidden, const LossConfig& loss, double factor) {
  const auto count = static_cast<int64_t>(retrieved.size());
  const int64_t ranks = simulated_ranks(loss, count);
  const double lambda = loss.reconstruction_weight * factor;
  Gate gate;
  if (lambda == 0.0 || hidden == 0) return gate;
  const int64_t size = count / ranks;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const auto rows = retrieved.subspan(static_cast<size_t>(rank * size), static_cast<size_t>(size));
    const auto passed = std::accumulate(rows.begin(), rows.end(), int64_t{0});
    const int64_t counted = loss.reconstruction_normalizer == Normalizer::all ? size : passed;
    const double weight = lambda / (static_cast<double>(ranks) * (static_cast<double>(counted * hidden) + 1e-6));
    for (int64_t i = 0; i < size; ++i) {
      if (rows[static_cast<size_t>(i)] == 0) continue;
      gate.images.push_back(rank * size + i);
      gate.patch_weight.push_back(weight);
    }
  }
  return gate;
}

}  // namespace tessera::rils
