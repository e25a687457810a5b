#pragma once

#include <cstdint>
#include <string>

#include "engine/core/device.h"

namespace tessera::rils {

struct EvaluateOptions {
  std::string checkpoint;
  std::string vocabulary;
  std::string data;          // images with captions or labels
  std::string train_data;    // knn: the labelled neighbours
  std::string classnames;    // file with one class per line
  std::string templates;     // file with one prompt per line, {c} for the class
  std::string output;        // JSON file; empty: in the folder results/ of the run whose weights they are
  std::string dataset_name;  // in the result; empty: from `data` (dataset_label)
  std::string precision = "fp32";
  std::string dataset_type = "auto";
  std::string text_encoding = "utf-8";  // retrieval: of captions that are not UTF-8 (parse_text_encoding)
  // "model", "untrained" (the same model at its initial values) or, for knn, "pixels" (at most 32 × 32 of an image)
  std::string features = "model";
  std::string command;
  Device device = Device::cpu();  // where the model computes
  int64_t batch_size = 64;
  int64_t k = 20;
  int64_t train_samples = 0;                // knn: number of training images used, evenly spread; 0: all
  double temperature = 0.07;                // knn: temperature of the votes
  std::string sentence_template = "a {c}";  // pointing: {c} stands for an object's name
};

/// Each prints a table, writes CLIP_benchmark's JSON (gather_result; for weights that lie in no run's folder only where
/// an output is named), says which file that is, and returns the exit code. Throws IoError and ConfigError.
int evaluate_retrieval(const EvaluateOptions& options);
int evaluate_zero_shot(const EvaluateOptions& options);
int evaluate_knn(const EvaluateOptions& options);
/// The pointing game and the energy-based pointing game (see pointing.h).
int evaluate_pointing(const EvaluateOptions& options);

}  // namespace tessera::rils
