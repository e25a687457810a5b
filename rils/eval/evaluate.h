#pragma once

#include <memory>
#include <string>

#include "rils/eval/embed.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// A trained model with what using it needs, from a checkpoint's weights and metadata.
struct LoadedModel {
  std::string path;
  Config config;
  std::unique_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  EmbedOptions embed;
};
/// `vocabulary` overrides the file that the checkpoint's configuration names. The vocabulary must be the one that the
/// model was trained with. Throws IoError or ConfigError.
[[nodiscard]] LoadedModel load_model(const std::string& checkpoint, const std::string& vocabulary, int64_t batch_size,
                                     const std::string& precision);
/// A model with its initial values, for comparison; of the same configuration as a checkpoint.
[[nodiscard]] LoadedModel untrained_like(const LoadedModel& loaded);

struct EvaluateOptions {
  std::string checkpoint;
  std::string vocabulary;
  std::string data;        // images with captions or labels
  std::string train_data;  // of knn
  std::string classnames;  // a line per class
  std::string templates;   // a line per prompt, {c} for the class
  std::string output;      // JSON file; empty: none
  std::string dataset_name;
  std::string precision = "fp32";
  std::string dataset_type = "auto";
  std::string features = "model";  // of knn: model, untrained or pixels
  std::string command;
  int64_t batch_size = 256;
  int64_t k = 20;
  double temperature = 0.07;
};

/// Print a table and write CLIP_benchmark's JSON. Return the exit code.
int evaluate_retrieval(const EvaluateOptions& options);
int evaluate_zero_shot(const EvaluateOptions& options);
int evaluate_knn(const EvaluateOptions& options);

}  // namespace tessera::rils
