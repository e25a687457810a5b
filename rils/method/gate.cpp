#include "rils/method/gate.h"

#include <numeric>

namespace tessera::rils {

ReconstructionWeights reconstruction_weights(std::span<const uint8_t> gate, int64_t hidden, const LossConfig& loss,
                                             double factor) {
  const auto count = static_cast<int64_t>(gate.size());
  const int64_t ranks = simulated_ranks(loss, count);
  const double lambda = loss.reconstruction_weight * factor;
  ReconstructionWeights result;
  if (lambda == 0.0 || hidden == 0) return result;
  const int64_t size = count / ranks;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const auto rows = gate.subspan(static_cast<size_t>(rank * size), static_cast<size_t>(size));
    const auto passed = std::accumulate(rows.begin(), rows.end(), int64_t{0});
    const int64_t counted = loss.reconstruction_normalizer == Normalizer::all ? size : passed;
    const double weight = lambda / (static_cast<double>(ranks) * (static_cast<double>(counted * hidden) + 1e-6));
    for (int64_t i = 0; i < size; ++i) {
      if (rows[static_cast<size_t>(i)] == 0) continue;
      result.samples.push_back(rank * size + i);
      result.per_sample.push_back(weight);
    }
  }
  return result;
}

}  // namespace tessera::rils
