#pragma once

#include <string>
#include <vector>

#include "nn/io/safetensors.h"
#include "rils/eval/embed.h"

namespace tessera::rils {

/// A classifier or a linear probe that `finetune` trained, with its classes and its preprocessing.
struct LoadedClassifier {
  std::vector<std::string> classes;  // names by label
  ImageFunction logits;              // maps images [B, 3, S, S] of the host to f32 [B, classes]
  EmbedOptions embed;                // prepares images as validation does; rows are not normalised
};

/// The number of classes of a head `head.weight` [classes, width]. Throws IoError when the file has no such tensor.
[[nodiscard]] int64_t classes_of(const nn::SafetensorsFile& file, int64_t width);

/// Whether a checkpoint comes from `finetune`. Throws IoError when the file has no configuration.
[[nodiscard]] bool is_classifier(const nn::SafetensorsFile& file);
/// `precision`: "fp32" or "amp_bf16". The logits are computed on `device`. Throws IoError when the file is not a
/// checkpoint of `finetune`.
[[nodiscard]] LoadedClassifier load_classifier(const nn::SafetensorsFile& file, const std::string& precision,
                                               Device device = Device::cpu());

}  // namespace tessera::rils
