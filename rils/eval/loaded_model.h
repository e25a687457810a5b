#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "nn/io/safetensors.h"
#include "rils/eval/embed.h"
#include "rils/text/tokenizer.h"

namespace tessera::rils {

/// A trained model with its configuration, tokenizer and preprocessing, as a checkpoint describes them.
struct LoadedModel {
  std::string path;
  Config config;
  std::unique_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;  // null for a model without a text encoder, or with Texts::unused
  EmbedOptions embed;
};
/// The configuration with which a checkpoint was made. Throws IoError when the file has none.
[[nodiscard]] Config config_of(const nn::SafetensorsFile& file);

/// Compares the parameters that a configuration claims with what a file holds, before a model takes memory. Throws
/// IoError when the file holds fewer.
void check_parameters(int64_t claimed, const nn::SafetensorsFile& file);

/// Whether the caller encodes texts. If it does not, no vocabulary is opened.
enum class Texts : uint8_t { encoded, unused };

/// Loads a checkpoint of `pretrain` (see weights_file). `vocabulary` replaces the one that the checkpoint holds or, of
/// an earlier version, names; it must be the vocabulary with which the model was trained. The model computes on
/// `device`. Throws IoError or ConfigError.
[[nodiscard]] LoadedModel load_model(const std::string& checkpoint, const std::string& vocabulary, int64_t batch_size,
                                     const std::string& precision, Texts texts = Texts::encoded,
                                     Device device = Device::cpu());
/// A model of the same configuration and on the same device with its initial values, for comparison.
[[nodiscard]] LoadedModel untrained_like(const LoadedModel& loaded);

}  // namespace tessera::rils
