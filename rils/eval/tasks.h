#pragma once

#include <string>
#include <vector>

#include "rils/eval/embed.h"
#include "rils/eval/metrics.h"

namespace tessera::rils {

/// Images and captions of a data set in the joint space, and the recalls in both directions.
struct RetrievalResult {
  ImageEmbeddings images;
  Tensor texts;                        // [captions, E]
  std::vector<int64_t> image_of_text;  // for each caption the row of its image in images.values
  Retrieval figures;
};
[[nodiscard]] RetrievalResult run_retrieval(const Model& model, const Dataset& data, const Tokenize& tokenize,
                                            const EmbedOptions& options, const Progress& progress = {});

/// CLIP's contrastive loss over pairs of an image and its first caption: the mean over consecutive batches of `batch`
/// pairs. An incomplete last batch counts only when it is the only one. NaN without pairs.
[[nodiscard]] double validation_loss(const RetrievalResult& result, double logit_scale, int64_t batch);

/// The class names and prompt templates of a zero-shot classification.
struct ClassPrompts {
  std::vector<std::string> names;      // synonyms are separated by `;`
  std::vector<std::string> templates;  // {c} stands for the class
  std::vector<int32_t> of_label = {};  // for each label of the data its place in `names`; empty: labels are places
  std::string note = {};               // a line for the user, or ""
};
/// Reads two text files with one entry per line. Where no file is named, it takes CLIP_benchmark's classnames.txt and
/// zeroshot_classification_templates.txt in or above the folder of `source`, else the data set's own names and
/// "a photo of a {c}.". The names are matched with those of the data (match_classes). Throws ConfigError when there are
/// no names or they do not fit, IoError when a file cannot be read.
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

/// 1 + the largest label. Throws IoError with the name of the source when an image has no label.
[[nodiscard]] int64_t class_count(std::span<const int32_t> labels, const std::string& source);

}  // namespace tessera::rils
