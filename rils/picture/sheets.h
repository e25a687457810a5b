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

/// A model with what looking through it needs.
struct Viewer {
  const Model& model;
  const LossConfig& loss;
  std::shared_ptr<const Tokenizer> tokenizer;
  EmbedOptions embed;
};

/// The image as the model sees it, and for each sentence where it is: the probability of the sentence given the patch,
/// softmax over all the sentences at `temperature` (the teacher's distribution of the reconstruction loss), beside each
/// other on one scale. For a single sentence the map shows cosines between their smallest and largest. `boxes`: where
/// the thing that each sentence names is, drawn as frames; none where they are not known.
[[nodiscard]] Svg heat_map_sheet(const Viewer& viewer, const Image& image, const std::vector<std::string>& sentences,
                                 double temperature, const std::vector<SceneObject>& boxes = {});

/// What the model expects behind each hidden patch, beside the teacher's answer: the most probable of the sentences by
/// colour, with their agreement in per cent. `seed` draws the mask. Throws ConfigError for a model whose decoder does
/// not predict language-space features.
[[nodiscard]] Svg reconstruction_sheet(const Viewer& viewer, const Image& image,
                                       const std::vector<std::string>& sentences, uint64_t seed);

/// The image, what is shown of it, and the decoder's pixels behind the hidden patches, each patch with the mean and the
/// deviation of its own true pixels; with the loss. `seed` draws the mask. Throws ConfigError for a model whose decoder
/// does not predict pixels.
[[nodiscard]] Svg pixel_sheet(const Viewer& viewer, const Image& image, uint64_t seed);

/// `count` samples spread evenly over a data set, as the model sees them, with their first captions or classes.
[[nodiscard]] Svg montage_sheet(const Dataset& data, const EvalTransform& transform, int count);

/// Texts with their five nearest images, the right one framed: those found with the largest lead, then those whose
/// image ranks last. `count` of each.
[[nodiscard]] Svg retrieval_sheet(const Dataset& data, const EvalTransform& transform, const RetrievalResult& result,
                                  int count);

/// Sentences, each with its five nearest images of a data set, one row under the other. Of a caption of the data its
/// own image is framed.
struct Question {
  std::string sentence;
  Tensor text;         // [1, E], of unit length
  int64_t image = -1;  // row of the images; −1: the sentence is not of the data
};
[[nodiscard]] Svg answers_sheet(const Dataset& data, const EvalTransform& transform, const ImageEmbeddings& images,
                                const std::vector<Question>& questions);

/// Losses of the objectives' terms, gate, and held-out recall over the steps, of one run or of several: the
/// folders logs/NAME. Throws IoError when one has no metrics. `main` leaves out what only a developer asks for.
enum class Curves { all, main };
[[nodiscard]] Svg curves_sheet(const std::vector<std::filesystem::path>& runs, Curves which = Curves::all);

}  // namespace tessera::rils
