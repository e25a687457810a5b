#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rils/prepare/concepts.h"
#include "rils/prepare/cutout.h"

namespace tessera::rils::testing {

/// A premultiplied RGBA picture: a filled ellipse of one colour.
[[nodiscard]] Image ellipse(int width, int height, uint8_t red, uint8_t green, uint8_t blue);

/// Groups and nouns, "thing aa" … in "group a" …; the first of each group is a mass noun.
[[nodiscard]] std::string synthetic_table(int groups, int nouns_per_group);
/// `pictures` ellipses of different colours and shapes for each concept.
[[nodiscard]] std::vector<Cutout> synthetic_cutouts(const ConceptTable& table, int pictures);

}  // namespace tessera::rils::testing
