#pragma once

#include <memory>
#include <string>

#include "nn/io/safetensors.h"
#include "rils/eval/embed.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// A trained model with what using it needs, from a checkpoint's weights and metadata.
struct LoadedModel {
  std::string path;
  Config config;
  std::unique_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;  // null where the model has no text encoder
  EmbedOptions embed;
};
/// The configuration that a checkpoint was made with. Throws IoError when the file has none.
[[nodiscard]] Config config_of(const nn::SafetensorsFile& file);

/// `vocabulary` overrides the file that the checkpoint's configuration names. The vocabulary must be the one that the
/// model was trained with. Throws IoError or ConfigError.
[[nodiscard]] LoadedModel load_model(const std::string& checkpoint, const std::string& vocabulary, int64_t batch_size,
                                     const std::string& precision);
/// A model with its initial values, for comparison; of the same configuration as a checkpoint.
[[nodiscard]] LoadedModel untrained_like(const LoadedModel& loaded);

}  // namespace tessera::rils
