#pragma once

#include <cstdint>
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
  std::shared_ptr<const Tokenizer> tokenizer;  // null where the model has no text encoder, or none is used
  EmbedOptions embed;
};
/// The configuration that a checkpoint was made with. Throws IoError when the file has none.
[[nodiscard]] Config config_of(const nn::SafetensorsFile& file);

/// Whether captions or names will be encoded: without them no vocabulary is opened.
enum class Texts : uint8_t { encoded, unused };

/// `vocabulary` overrides the file that the checkpoint's configuration names. The vocabulary must be the one that the
/// model was trained with. Throws IoError or ConfigError.
[[nodiscard]] LoadedModel load_model(const std::string& checkpoint, const std::string& vocabulary, int64_t batch_size,
                                     const std::string& precision, Texts texts = Texts::encoded);
/// A model with its initial values, for comparison; of the same configuration as a checkpoint.
[[nodiscard]] LoadedModel untrained_like(const LoadedModel& loaded);

}  // namespace tessera::rils
