#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rils/data/image.h"
#include "rils/eval/scenes.h"
#include "rils/eval/tasks.h"
#include "rils/picture/svg.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// A model with its tokenizer, its preprocessing and the settings of its loss.
struct Viewer {
  const Model& model;
  const LossConfig& loss;
  std::shared_ptr<const Tokenizer> tokenizer;
  EmbedOptions embed;
};

/// Draws the image as the model sees it and a map for each sentence: its probability given the patch, the softmax over
/// all sentences at `temperature` (the teacher's distribution in the reconstruction loss). All maps have one scale. For
/// a single sentence the map shows cosines from the smallest to the largest. `boxes` holds the object that each
/// sentence names and is drawn as frames; it may be empty.
[[nodiscard]] Svg heat_map_sheet(const Viewer& viewer, const Image& image, const std::vector<std::string>& sentences,
                                 double temperature, const std::vector<SceneObject>& boxes = {});

/// Draws the decoder's guess for each hidden patch and the teacher's answer, both as the colour of the most probable
/// sentence, and how often they agree in %. `seed` draws the mask. Throws ConfigError for a model whose decoder does
/// not predict language-space features.
[[nodiscard]] Svg reconstruction_sheet(const Viewer& viewer, const Image& image,
                                       const std::vector<std::string>& sentences, uint64_t seed);

/// Draws the image, its visible patches, and the decoder's pixels for the hidden patches, with the loss. The decoder
/// predicts normalised pixels; each patch is drawn with the mean and std of its true pixels. `seed` draws the mask.
/// Throws ConfigError for a model whose decoder does not predict pixels.
[[nodiscard]] Svg pixel_sheet(const Viewer& viewer, const Image& image, uint64_t seed);

/// Draws `count` samples, evenly spread over a data set, as the model sees them, with their first captions or classes.
[[nodiscard]] Svg montage_sheet(const Dataset& data, const EvalTransform& transform, int count);

/// Draws texts with their five nearest images and a frame around the right one: the `count` texts whose image ranks
/// highest (of equal ranks those with the largest margin), then the `count` texts whose image ranks lowest.
[[nodiscard]] Svg retrieval_sheet(const Dataset& data, const EvalTransform& transform, const RetrievalResult& result,
                                  int count);

/// A sentence to find images for.
struct Question {
  std::string sentence;
  Tensor text;         // [1, E], L2-normalised
  int64_t image = -1;  // for a caption of the data the row of its image, else −1
};
/// Draws a row for each sentence: its five nearest images, with a frame around a caption's own image.
[[nodiscard]] Svg answers_sheet(const Dataset& data, const EvalTransform& transform, const ImageEmbeddings& images,
                                const std::vector<Question>& questions);

/// Draws curves of one or several runs (folders logs/NAME) over the steps: the terms of the loss, the gate, and
/// validation results. A point is the mean of its interval where the log has it, else the interval's last value. Throws
/// IoError when a run has no metrics. `main` leaves out the gradient norm.
enum class Curves { all, main };
[[nodiscard]] Svg curves_sheet(const std::vector<std::filesystem::path>& runs, Curves which = Curves::all);

}  // namespace tessera::rils
