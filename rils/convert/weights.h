#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rils/finetune/classifier.h"
#include "rils/model/model.h"
#include "rils/text/vocabulary.h"

namespace tessera::rils {

/// Settings of foreign weights that their files may not tell. Empty or 0: not given.
struct WeightsOptions {
  int64_t heads = 0;          // of the image encoder; default: 64 channels a head (80 at width 1280)
  int64_t text_heads = 0;     // of the text encoder; default: 64 channels a head
  int64_t decoder_heads = 0;  // of MAE's decoder; default: 16
  std::string act;            // "gelu" or "quick_gelu"
  std::string pool;           // "mean" or "cls"
  std::string preprocessing;  // "imagenet", "inception" or "clip": mean and std of the pixels
  std::string vocabulary;     // merges file of the text encoder
};

/// A model or a classifier with its configuration.
struct Weights {
  std::string family;  // printed
  Config config;
  std::unique_ptr<Model> model;             // null for a classifier
  std::unique_ptr<Classifier> classifier;   // of a fine-tuning run of Tessera
  std::string vocabulary;                   // digest; empty when not known
  std::shared_ptr<const Vocabulary> words;  // the vocabulary itself; null when it was not found
  std::vector<std::string> notes;           // what was assumed or left out

  [[nodiscard]] const ParameterStore& store() const { return model ? model->store() : classifier->store(); }
};

/// Reads a safetensors file, or a folder with the layout of a model hub. It holds weights of timm, MAE or open_clip,
/// recognised by their names, or a checkpoint of Tessera. The JSON beside the weights is read in a folder, and for a
/// file with the hubs' name (`model.safetensors`, `open_clip_model.safetensors`). Throws IoError (for a pickle with a
/// command that converts it) and ConfigError, also when an option contradicts the files.
[[nodiscard]] Weights read_weights(const std::filesystem::path& path, const WeightsOptions& options);

}  // namespace tessera::rils
