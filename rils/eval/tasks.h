#pragma once

#include <string>
#include <vector>

#include "rils/eval/embed.h"
#include "rils/eval/metrics.h"

namespace tessera::rils {

/// Images and captions of a data set in the joint space, and how well they find each other.
struct RetrievalResult {
  ImageEmbeddings images;
  Tensor texts;                        // [captions, E]
  std::vector<int64_t> image_of_text;  // row of images.values
  Retrieval figures;
};
[[nodiscard]] RetrievalResult run_retrieval(const Model& model, const Dataset& data, const Tokenize& tokenize,
                                            const EmbedOptions& options, const Progress& progress = {});

/// CLIP's loss over the image-caption pairs of a result (an image's first caption), as a mean over consecutive batches
/// of `batch` pairs; an incomplete last batch counts only when it is the only one. NaN without pairs.
[[nodiscard]] double validation_loss(const RetrievalResult& result, double logit_scale, int64_t batch);

/// What a zero-shot classification is asked with.
struct ClassPrompts {
  std::vector<std::string> names;      // synonyms separated by `;`
  std::vector<std::string> templates;  // {c} for the class
};
/// From files with a line each; where none is named, from CLIP_benchmark's classnames.txt and
/// zeroshot_classification_templates.txt in or beside `source`, else the data set's own names and "a photo of a {c}.".
/// Throws ConfigError when there are no names, IoError when a file cannot be read.
[[nodiscard]] ClassPrompts class_prompts(const std::string& classnames, const std::string& templates,
                                         const std::string& source, const Dataset& data);

struct ZeroShotResult {
  ImageEmbeddings images;
  int64_t classes = 0;
  Classification figures;
};
/// Throws IoError when an image has no label, ConfigError when there are more labels than names.
[[nodiscard]] ZeroShotResult run_zero_shot(const Model& model, const Dataset& data, const ClassPrompts& prompts,
                                           const Tokenize& tokenize, const EmbedOptions& options,
                                           const Progress& progress = {});

/// 1 + the largest label. Throws IoError, naming the source, when an image has none.
[[nodiscard]] int64_t class_count(std::span<const int32_t> labels, const std::string& source);

}  // namespace tessera::rils
