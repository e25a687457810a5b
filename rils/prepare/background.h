#pragma once

#include <string>

#include "rils/data/image.h"
#include "rils/data/transform.h"

namespace tessera::rils {

struct Background {
  Image image;         // three channels
  std::string phrase;  // for captions: "on a blue background", "at the beach"
};

/// Draws a background of size × size pixels: one colour, a gradient, stripes, checks, dots, mottled paper, or a
/// landscape.
[[nodiscard]] Background draw_background(int size, AugmentStream& random);

/// Draws a whole number in [0, n), n > 0.
[[nodiscard]] int draw_below(AugmentStream& random, int n);

}  // namespace tessera::rils
