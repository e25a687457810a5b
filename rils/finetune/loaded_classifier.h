#pragma once

#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "rils/eval/embed.h"

namespace tessera::rils {

/// What `finetune` trained, a classifier or a probe with LARS, with what using it needs.
struct LoadedClassifier {
  std::vector<std::string> classes;  // names by label
  ImageFunction logits;              // f32 [B, classes] of images [B, 3, S, S]
  EmbedOptions embed;                // as validation prepares images; values are the logits as they are
};

/// Whether a checkpoint is one of `finetune`. Throws IoError when the file has no configuration.
[[nodiscard]] bool is_classifier(const nn::SafetensorsFile& file);
/// `precision`: "fp32" or "amp_bf16". Throws IoError when the file is no checkpoint of `finetune`.
[[nodiscard]] LoadedClassifier load_classifier(const nn::SafetensorsFile& file, const std::string& precision);

}  // namespace tessera::rils
