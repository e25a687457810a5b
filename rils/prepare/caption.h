#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rils/data/resample.h"
#include "rils/data/transform.h"

namespace tessera::rils {

/// The facts about one thing that a caption can state.
struct CaptionThing {
  std::string noun;    // "dog"
  bool mass = false;   // takes "some": "some grapes"
  std::string group;   // "animal"; may equal the noun
  std::string colour;  // empty when no colour is named
  Box box;
};

/// The facts about a scene.
struct SceneFacts {
  std::vector<CaptionThing> things;
  std::vector<std::pair<int, int>> in_front;  // (a, b): a hides a part of b
  std::string background;                     // "on a blue background", or empty
  int size = 0;                               // of the image's side, pixels
};

enum class Relation { left_of, right_of, above, below, next_to, in_front_of, behind };
inline constexpr int kRelations = 7;

/// Whether the boxes of things a and b satisfy the relation. left_of: a's right edge is at most 15 % of the narrower
/// box's width beyond b's left edge, and the centres differ more in x than in y; the other directions are defined
/// alike. next_to: side by side with a gap below 15 % of the image, sharing at least half of the lower box's height.
[[nodiscard]] bool holds(Relation relation, const SceneFacts& facts, int a, int b);
/// The opposite relation: it is false for the same two things whenever this one holds. next_to has none and returns
/// itself.
[[nodiscard]] Relation opposite(Relation relation);

/// A relation that a caption states. The things of each side have one noun.
struct Statement {
  Relation relation = Relation::next_to;
  std::vector<int> a, b;
};

struct Caption {
  std::string text;
  std::string swapped;                // the text with one relation reversed, which makes it false; may be empty
  std::vector<Statement> statements;  // the relations that the text states
};

/// Writes a caption that names every thing of the scene by its noun or (about one in five) by the word for its group.
/// Things of the same noun are counted ("two dogs"). The random numbers choose the facts that are stated and the words.
[[nodiscard]] Caption write_caption(const SceneFacts& facts, AugmentStream& random);

}  // namespace tessera::rils
