#pragma once

#include <cstdint>
#include <string>

namespace tessera::rils {

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
  // "untrained": a network with the run's initial values; of knn also "pixels": of the images at 32 × 32 at the most
  std::string features = "model";
  std::string command;
  int64_t batch_size = 256;
  int64_t k = 20;
  int64_t train_samples = 0;      // of knn, evenly spread over the training images; 0: all
  double temperature = 0.07;      // of knn's votes
  std::string pattern = "a {c}";  // of pointing: the sentence of a name
};

/// Print a table and write CLIP_benchmark's JSON. Return the exit code.
int evaluate_retrieval(const EvaluateOptions& options);
int evaluate_zero_shot(const EvaluateOptions& options);
int evaluate_knn(const EvaluateOptions& options);
/// The share of a name's patch-sentence map that lies inside the named thing's box (see scenes.h).
int evaluate_pointing(const EvaluateOptions& options);

}  // namespace tessera::rils
