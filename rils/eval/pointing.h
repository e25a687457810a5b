#pragma once

#include <span>
#include <vector>

#include "engine/tensor/tensor.h"

namespace tessera::rils {

/// An object in an image: the sentence that names it, and its box in fractions of width and height.
struct PointingTarget {
  int64_t sentence = 0;
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

/// The probability of each sentence given a patch: softmax(patch · sentencesᵀ / temperature) over all sentences, which
/// is the teacher's distribution in the reconstruction loss. patches [P, E], sentences [N, E], L2-normalised f32, N ≥
/// 1; result [P, N].
[[nodiscard]] Tensor sentence_probabilities(const Tensor& patches, const Tensor& sentences, double temperature);

/// Both scores of a map for one target. The energy of a map is the probability of the target's sentence, summed over
/// the patches.
struct PointingScore {
  double energy = 0;  // energy-based pointing game (Wang et al. 2020, Score-CAM): share of the energy inside the box
  double hit = 0;     // pointing game (Zhang et al. 2016): 1 when the centre of the largest patch lies in the box
  double chance = 0;  // expected value of both for a map that points nowhere: the area of the box
};
/// Scores one target on a grid × grid map of probabilities [P, N]. Throws ShapeError when they do not fit each other.
[[nodiscard]] PointingScore pointing_score(const Tensor& probabilities, int64_t grid, const PointingTarget& target);

}  // namespace tessera::rils
