#pragma once

#include <span>
#include <vector>

#include "engine/tensor/tensor.h"

namespace tessera::rils {

/// A named thing in an image: the sentence that names it, and where it is, in fractions of width and height.
struct PointingTarget {
  int64_t sentence = 0;
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

/// The probability of a sentence given each patch, softmax(patch · sentencesᵀ / temperature) over all sentences: the
/// teacher's distribution of the reconstruction loss. patches [P, E], sentences [N, E], L2-normalised f32; result [P,
/// N].
[[nodiscard]] Tensor sentence_probabilities(const Tensor& patches, const Tensor& sentences, double temperature);

struct PointingScore {
  double share = 0;   // of the sentence's probability over the patches that lies inside the target's box
  double hit = 0;     // 1 when the centre of the most probable patch lies inside the box
  double chance = 0;  // the share that a flat map has: the box's area
};
/// Scores one target on a grid × grid map of probabilities [P, N].
[[nodiscard]] PointingScore pointing_score(const Tensor& probabilities, int64_t grid, const PointingTarget& target);

}  // namespace tessera::rils
