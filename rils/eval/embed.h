#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rils/data/dataset.h"
#include "rils/data/transform.h"
#include "rils/model/model.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// Told how many of all are done.
using Progress = std::function<void(int64_t done, int64_t total)>;

struct EmbedOptions {
  EvalTransform transform;
  PassOptions pass;
  int64_t batch_size = 256;  // results do not depend on it
  bool keep_captions = true;
  bool normalize = true;  // rows to unit length
};

/// The usable images of a data set, in its order.
struct ImageEmbeddings {
  Tensor values;                                   // [n, width of the features] f32, L2-normalised unless told not to
  std::vector<int64_t> indices;                    // place in the data set
  std::vector<int32_t> labels;                     // −1 where there is none
  std::vector<std::vector<std::string>> captions;  // where kept
  SkipCounts skipped;                              // found when opening or when decoding
};

/// What becomes of a batch of normalised images f32 [B, 3, S, S]: rows of features.
using ImageFunction = std::function<Tensor(const Tensor& images)>;

/// Runs every image of the data set through `function`, L2-normalises the rows (where options.normalize) and collects
/// them. Unusable images are counted and left out.
[[nodiscard]] ImageEmbeddings embed_images(const Dataset& data, const EmbedOptions& options,
                                           const ImageFunction& function, const Progress& progress = {});
/// The patches of images in language space, L2-normalised: [B·P, E], raster order within an image.
[[nodiscard]] Tensor patch_embeddings(const Model& model, const Tensor& images, const PassOptions& pass);
/// The joint embedding of a model, and its backbone features, as such functions.
[[nodiscard]] ImageFunction joint_embedding(const Model& model, const PassOptions& pass);
[[nodiscard]] ImageFunction backbone_features(const Model& model, const PassOptions& pass);
/// The pixels themselves, as a baseline.
[[nodiscard]] ImageFunction raw_pixels();

/// Normalised text embeddings [n, E].
[[nodiscard]] Tensor embed_texts(const Model& model, std::span<const std::string> texts, const Tokenize& tokenize,
                                 const EmbedOptions& options, const Progress& progress = {});

/// A class vector for each name: the templates ("a photo of a {c}.") filled in, embedded, averaged and normalised
/// again: [classes, E]. Synonyms of a class are separated by `;` in its name, as in "cat;kitten".
[[nodiscard]] Tensor embed_classes(const Model& model, std::span<const std::string> class_names,
                                   std::span<const std::string> templates, const Tokenize& tokenize,
                                   const EmbedOptions& options);

}  // namespace tessera::rils
