#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rils/finetune/classifier.h"
#include "rils/model/model.h"

namespace tessera::rils {

/// What a person says of weights of others where their files do not. Empty or 0: nothing.
struct WeightsOptions {
  int64_t heads = 0;          // of the image encoder; else 64 channels a head (80 at width 1280)
  int64_t text_heads = 0;     // else 64 channels a head
  int64_t decoder_heads = 0;  // of MAE's decoder; else 16
  std::string act;            // "gelu" or "quick_gelu"
  std::string pool;           // "mean" or "cls"
  std::string preprocessing;  // "imagenet", "inception" or "clip": mean and deviation of the pixels
  std::string vocabulary;     // merges file that the text encoder knows
};

/// A model with what its files say of it.
struct Weights {
  std::string family;  // for a person
  Config config;
  std::unique_ptr<Model> model;            // or
  std::unique_ptr<Classifier> classifier;  // of a fine-tuning run of ours
  std::string vocabulary;                  // its digest; empty where it is not known
  std::vector<std::string> notes;          // what was assumed or left out

  [[nodiscard]] const ParameterStore& store() const { return model ? model->store() : classifier->store(); }
};

/// Reads a safetensors file, or a folder as the hubs have it: weights of timm, MAE or open_clip, told by their names,
/// or a checkpoint of ours. A configuration beside the weights is read in a folder, and beside a file that has the
/// hubs' name (`model.safetensors`, `open_clip_model.safetensors`). Throws IoError (a pickle: with the line that
/// converts it) and ConfigError, where an option contradicts the files too.
[[nodiscard]] Weights read_weights(const std::filesystem::path& path, const WeightsOptions& options);

}  // namespace tessera::rils
