#include "rils/eval/pointing.h"

#include <algorithm>

#include "engine/core/error.h"
#include "rils/eval/metrics.h"

namespace tessera::rils {

Tensor sentence_probabilities(const Tensor& patches, const Tensor& sentences, double temperature) {
  return softmax(similarity(patches, sentences), 1.0 / temperature);
}

PointingScore pointing_score(const Tensor& probabilities, int64_t grid, const PointingTarget& target) {
  const int64_t sentences = probabilities.size(1);
  if (probabilities.size(0) != grid * grid || target.sentence < 0 || target.sentence >= sentences) {
    throw ShapeError("pointing: a map " + to_string(probabilities.shape()) + " does not fit its grid or sentence");
  }
  const auto map = probabilities.data<float>();
  const double cell = 1.0 / static_cast<double>(grid);
  const auto overlap = [&](double begin, double low, double high) {
    return std::max(0.0, std::min(begin + cell, high) - std::max(begin, low)) / cell;
  };
  PointingScore score;
  double total = 0;
  double best = -1;
  for (int64_t row = 0; row < grid; ++row) {
    for (int64_t column = 0; column < grid; ++column) {
      const double p = map[static_cast<size_t>((row * grid + column) * sentences + target.sentence)];
      const double x = static_cast<double>(column) * cell;
      const double y = static_cast<double>(row) * cell;
      total += p;
      score.energy += p * overlap(x, target.x0, target.x1) * overlap(y, target.y0, target.y1);
      if (p > best) {
        best = p;
        const double cx = x + cell / 2;
        const double cy = y + cell / 2;
        score.hit = cx >= target.x0 && cx < target.x1 && cy >= target.y0 && cy < target.y1 ? 1.0 : 0.0;
      }
    }
  }
  score.energy = total > 0 ? score.energy / total : 0.0;
  score.chance = (target.x1 - target.x0) * (target.y1 - target.y0);
  return score;
}

}  // namespace tessera::rils
