#pragma once

#include <string>
#include <vector>

#include "rils/data/dataset.h"
#include "rils/eval/embed.h"

namespace tessera::rils {

/// Mean pointing score over every named object of a set of scenes.
struct PointingSummary {
  double share = 0;   // of the named sentence's probability inside the object's box
  double hit = 0;     // fraction of objects whose most probable patch lies inside
  double chance = 0;  // mean share of a flat map: the boxes' area
  int64_t objects = 0;
};

/// Where an object is, in fractions of the crop that the model sees, and what it is called.
struct SceneObject {
  std::string name;
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

/// The named objects of every image of a data set that was opened with need_metadata: {"width", "height", "objects":
/// [{"name", "box": [x0, y0, x1, y1] in pixels}]}, as seen through a centre crop of the shorter side. Throws IoError
/// that names the first sample without them.
[[nodiscard]] std::vector<std::vector<SceneObject>> scene_objects(const Dataset& data);

/// For each image its named objects. The sentences are the distinct names over all images, "a photo of NAME" by
/// `pattern` ("{c}" for the name); the map of an object is the probability of its sentence given each patch at
/// `temperature`, the teacher's distribution of the reconstruction loss.
[[nodiscard]] PointingSummary pointing(const Model& model, const Dataset& data,
                                       const std::vector<std::vector<SceneObject>>& objects, const std::string& pattern,
                                       double temperature, const Tokenize& tokenize, const EmbedOptions& options,
                                       const Progress& progress = {});

}  // namespace tessera::rils
