#pragma once

#include <string>
#include <vector>

#include "rils/data/dataset.h"
#include "rils/eval/embed.h"

namespace tessera::rils {

/// Means of pointing scores (see pointing.h) over all named objects of a set of scenes.
struct PointingSummary {
  double energy = 0;  // energy-based pointing game
  double hit = 0;     // pointing game: the accuracy
  double chance = 0;  // mean area of the boxes
  int64_t objects = 0;
};

/// The name of an object, and its box in fractions of the crop that the model sees.
struct SceneObject {
  std::string name;
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

/// The named objects of every image of a data set that was opened with need_metadata, as seen through a centre crop of
/// the shorter side. The metadata are {"width", "height", "objects": [{"name", "box": [x0, y0, x1, y1] in pixels}]}.
/// Throws IoError with the name of the first sample that has other metadata.
[[nodiscard]] std::vector<std::vector<SceneObject>> scene_objects(const Dataset& data);

/// Plays both pointing games on every object. `objects` holds the named objects of each image. The sentences are the
/// distinct names over all images, each put into `sentence_template` (such as "a {c}"). The map of an object holds the
/// probability of its sentence given each patch (see sentence_probabilities). Throws IoError when an image cannot be
/// read or no object has a name, ConfigError for a template without {c}.
[[nodiscard]] PointingSummary pointing(const Model& model, const Dataset& data,
                                       const std::vector<std::vector<SceneObject>>& objects,
                                       const std::string& sentence_template, double temperature,
                                       const Tokenize& tokenize, const EmbedOptions& options);

}  // namespace tessera::rils
