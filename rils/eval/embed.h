#pragma once

#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rils/data/dataset.h"
#include "rils/data/transform.h"
#include "rils/model/model.h"
#include "rils/run/progress.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// Prints a data set's remarks, a line each, on standard error.
void print_notes(const Dataset& data);

struct EmbedOptions {
  EvalTransform transform;
  PassOptions pass;
  int64_t batch_size = 64;  // results do not depend on it, memory does
  bool keep_captions = true;
  bool normalize = true;  // scale each row to unit length
  Stages stages = {};     // are told how far the reading of images and texts is, and the ranking
};

/// The usable images of a data set, in its order.
struct ImageEmbeddings {
  Tensor values;                                   // f32 [n, width], on the host; normalised if options.normalize
  std::vector<int64_t> indices;                    // each image's place in the data set
  std::vector<int32_t> labels;                     // −1 for an image without a label
  std::vector<std::vector<std::string>> captions;  // empty unless options.keep_captions
  SkipCounts skipped;                              // samples that could not be opened or decoded
};

/// Prints what was skipped, if anything, in a line.
void print_skipped(const std::string& source, const ImageEmbeddings& images, std::FILE* stream = stderr);

/// Maps a batch of normalised images f32 [B, 3, S, S] on the host to a row of features each: f32 [B, width], on the
/// host or the device that computes them.
using ImageFunction = std::function<Tensor(const Tensor& images)>;

/// Runs every image of the data set through `function`, L2-normalises the rows (where options.normalize) and collects
/// them. Unusable images are counted and left out.
[[nodiscard]] ImageEmbeddings embed_images(const Dataset& data, const EmbedOptions& options,
                                           const ImageFunction& function);
/// Embeds every patch of every image in the joint space: [B·P, E], L2-normalised, in raster order within an image. Both
/// are on the host.
[[nodiscard]] Tensor patch_embeddings(const Model& model, const Tensor& images, const PassOptions& pass);
/// Maps images to a model's joint embedding, or to its backbone features.
[[nodiscard]] ImageFunction joint_embedding(const Model& model, const PassOptions& pass);
[[nodiscard]] ImageFunction backbone_features(const Model& model, const PassOptions& pass);
/// Maps images to their own pixels, as a baseline.
[[nodiscard]] ImageFunction raw_pixels();

/// L2-normalised text embeddings [n, E], on the host.
[[nodiscard]] Tensor embed_texts(const Model& model, std::span<const std::string> texts, const Tokenize& tokenize,
                                 const EmbedOptions& options);

/// Puts a name into a template such as "a photo of a {c}.". Throws ConfigError when the template has no {c}.
[[nodiscard]] std::string fill_template(const std::string& sentence_template, const std::string& name);

/// One vector for each class, [classes, E]: the mean embedding of its filled-in templates, L2-normalised again.
/// Synonyms of a class are separated by `;` in its name, as in "cat;kitten".
[[nodiscard]] Tensor embed_classes(const Model& model, std::span<const std::string> class_names,
                                   std::span<const std::string> templates, const Tokenize& tokenize,
                                   const EmbedOptions& options);

}  // namespace tessera::rils
