#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rils/data/resample.h"
#include "rils/data/transform.h"

namespace tessera::rils {

/// What a caption can say of one thing.
struct CaptionThing {
  std::string noun;    // "dog"
  bool mass = false;   // "some grapes"
  std::string group;   // "animal"; may equal the noun
  std::string colour;  // empty when it has no colour worth a word
  Box box;
};

/// What is true of a scene.
struct SceneFacts {
  std::vector<CaptionThing> things;
  std::vector<std::pair<int, int>> in_front;  // (a, b): a hides a part of b
  std::string background;                     // "on a blue background", or empty
  int size = 0;                               // of the image's side
};

enum class Relation { left_of, right_of, above, below, next_to, in_front_of, behind };
inline constexpr int kRelations = 7;

/// Whether the boxes bear the relation out. left_of: a's right edge is at most 15 % of the narrower box beyond b's left
/// edge, and the centres differ more sideways than in height; the other directions accordingly. next_to: side by side,
/// with a gap below 15 % of the image, and at least half of the lower box's height in common.
[[nodiscard]] bool holds(Relation relation, const SceneFacts& facts, int a, int b);
/// The relation that is false whenever this one holds, with the same two things; next_to has none and gives itself.
[[nodiscard]] Relation opposite(Relation relation);

/// A relation that a caption states, between things of one noun each.
struct Statement {
  Relation relation = Relation::next_to;
  std::vector<int> a, b;
};

struct Caption {
  std::string text;
  std::string swapped;                // the same with one relation turned round, so that it is false; else empty
  std::vector<Statement> statements;  // what the text says about places
};

/// A caption that names every thing of the scene, by its noun or (about one in five) by the word for its group; things
/// of the same noun are counted ("two dogs"). Which true things it says, and in which words, the random numbers choose.
[[nodiscard]] Caption write_caption(const SceneFacts& facts, AugmentStream& random);

}  // namespace tessera::rils
