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
struct SceneObject {
  const Cutout* cutout = nullptr;
  Box box;  // around its visible pixels, exactly: those that the mask gives it
};

struct Scene {
  Image image;                                // three channels
  Image mask;                                 // one channel: 0 background, k + 1 where object k is what one sees
  std::vector<SceneObject> objects;           // from back to front
  std::vector<std::pair<int, int>> in_front;  // (a, b): a hides a part of b that one notices (4 % of it or more)
  std::string background;                     // the phrase of background.h
};

/// How large things are, as a share of the image's side (of the longer side of a thing).
struct SceneSizes {
  float low = 0.33f, high = 0.58f;
};

/// Places the cut-outs, in this order from back to front, on a background. Each keeps at least 60 % of its pixels
/// visible, none is cut by the image's edge, and the background is chosen so that no thing vanishes in it. Where they
/// do not fit, the last ones are left out (`Scene::objects` says which are there).
[[nodiscard]] Scene compose_scene(const std::vector<const Cutout*>& cutouts, int size, SceneSizes sizes,
                                  AugmentStream& random);

/// Chooses which things stand together. A pair of concepts belongs to the training scenes or to the test scenes, by a
/// hash of the two and the seed: one in five is a test pair.
class SceneCast {
 public:
  /// `usable` are the indices of the training split; `cutouts` must outlive the cast. Throws ConfigError when there are
  /// too few things for pairs of both kinds.
  SceneCast(const std::vector<Cutout>& cutouts, const std::vector<int>& usable, int concepts, uint64_t seed);

  [[nodiscard]] bool is_test_pair(int concept_a, int concept_b) const;
  /// Two to four cut-outs of at least two concepts; every pair of different concepts among them is a test pair when
  /// `test`, and none otherwise. `repeatable`: whether a concept may appear twice ("two dogs").
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
