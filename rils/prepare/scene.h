#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/philox.h"
#include "rils/data/image.h"
#include "rils/data/resample.h"
#include "rils/data/transform.h"
#include "rils/prepare/cutout.h"

namespace tessera::rils {

/// One thing in a scene.
struct PlacedCutout {
  const Cutout* cutout = nullptr;
  Box box;  // exactly around the pixels that the mask gives this object
};

struct Scene {
  Image image;                                // three channels
  Image mask;                                 // one channel: 0 for background, k + 1 where object k is visible
  std::vector<PlacedCutout> objects;          // from back to front
  std::vector<std::pair<int, int>> in_front;  // (a, b): a hides at least 4 % of b
  std::string background;                     // Background::phrase
};

/// The range of a thing's longer side, as a fraction of the image's side.
struct SceneSizes {
  float low = 0.33f, high = 0.58f;
};

/// Places the cut-outs on a background, from back to front in this order. At least 60 % of each stays visible, none is
/// cut by the image's edge, and the background contrasts with every thing. Cut-outs that do not fit are dropped from
/// the end; `Scene::objects` lists the others.
[[nodiscard]] Scene compose_scene(const std::vector<const Cutout*>& cutouts, int size, SceneSizes sizes,
                                  AugmentStream& random);

/// Chooses the things of a scene. A hash of two concepts and the seed assigns each pair of concepts to the training
/// scenes or to the test scenes; one pair in five is a test pair.
class SceneCast {
 public:
  /// `usable` holds the indices of the training split. `cutouts` must outlive this object. Throws ConfigError when
  /// there are too few concepts for pairs of both kinds.
  SceneCast(const std::vector<Cutout>& cutouts, const std::vector<int>& usable, int concepts, uint64_t seed);

  [[nodiscard]] bool is_test_pair(int concept_a, int concept_b) const;
  /// Draws two to four cut-outs of at least two concepts. With `test`, all pairs of different concepts among them are
  /// test pairs; otherwise none is. `repeatable` tells for each concept whether it may appear twice ("two dogs").
  [[nodiscard]] std::vector<const Cutout*> draw(bool test, const std::vector<bool>& repeatable,
                                                AugmentStream& random) const;
  /// The concepts that have pictures.
  [[nodiscard]] const std::vector<int>& concepts() const { return concepts_; }

 private:
  [[nodiscard]] const Cutout* draw_picture(int concept_index, AugmentStream& random) const;
  [[nodiscard]] bool fits(int candidate, const std::vector<int>& chosen, bool test) const;

  std::vector<int> concepts_;
  std::vector<std::vector<const Cutout*>> pictures_;  // by concept
  Philox pairs_;
};

}  // namespace tessera::rils
