#pragma once

#include <string>

#include "rils/data/image.h"
#include "rils/data/transform.h"

namespace tessera::rils {

struct Background {
  Image image;         // three channels
  std::string phrase;  // "on a blue background", "at the beach": what a caption can truly say of it
};

/// A background of size × size: one colour, a gradient, stripes, checks, dots, mottled paper, or a drawn landscape.
[[nodiscard]] Background draw_background(int size, AugmentStream& random);

/// A whole number in [0, n), n > 0.
[[nodiscard]] int draw_below(AugmentStream& random, int n);

}  // namespace tessera::rils
