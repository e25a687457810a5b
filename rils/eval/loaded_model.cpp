#include "rils/eval/loaded_model.h"

#include <fmt/format.h>

#include <filesystem>

#include "engine/core/error.h"
#include "nn/io/checkpoint.h"
#include "rils/config/toml.h"
#include "rils/model/cost.h"
#include "rils/run/run_folder.h"
#include "rils/train/inputs.h"
#include "rils/train/stored_vocabulary.h"

namespace tessera::rils {
namespace {

std::string metadata_of(const nn::SafetensorsFile& file, const std::string& key) {
  const auto it = file.metadata().find(key);
  if (it == file.metadata().end()) {
    throw IoError(
        fmt::format("{}: expected a checkpoint of Tessera, found no metadata \"{}\"; inspect checkpoint --convert "
                    "reads weights of timm, MAE and open_clip",
                    file.path().string(), key));
  }
  return it->second;
}

}  // namespace

void check_parameters(int64_t claimed, const nn::SafetensorsFile& file) {
  const int64_t held = file.elements();
  if (claimed > held) {
    throw IoError(fmt::format("{}: expected the {} parameters of its configuration, found {}", file.path().string(),
                              claimed, held));
  }
}

Config config_of(const nn::SafetensorsFile& file) {
  Config config;
  merge_toml(config, metadata_of(file, "config"), file.path().string());
  check_parameters(parameter_counts(config.model).encoder, file);
  return config;
}

LoadedModel load_model(const std::string& checkpoint, const std::string& vocabulary, int64_t batch_size,
                       const std::string& precision, Texts texts, Device device) {
  if (batch_size < 1) throw ConfigError(fmt::format("--batch-size: expected at least 1, found {}", batch_size));
  LoadedModel m;
  m.path = weights_file(checkpoint);
  const nn::SafetensorsFile file(m.path);
  m.config = config_of(file);
  if (!m.config.finetune.data_path.empty()) {
    throw ConfigError(
        fmt::format("{}: expected a model of pretrain, found a classifier of finetune (use query classify or "
                    "finetune --eval)",
                    checkpoint));
  }
  check_parameters(parameter_counts(m.config.model).total(), file);
  m.model = std::make_unique<Model>(m.config.model, std::nullopt, DType::f32, device);
  load_weights(file, m.model->store());
  if (!vocabulary.empty()) m.config.data.vocabulary = vocabulary;
  if (texts == Texts::encoded && m.model->objective().contrastive) {
    auto stored = vocabulary.empty() ? stored_vocabulary(file) : nullptr;
    const std::string& words = m.config.data.vocabulary;
    if (!stored && vocabulary.empty() && !words.empty() && !std::filesystem::exists(words)) {
      throw ConfigError(fmt::format(
          "--vocabulary: expected the model's vocabulary, since {} (named in {}) does not exist", words, checkpoint));
    }
    m.tokenizer = open_tokenizer(m.config, std::move(stored));
  }
  // Converted weights may not name their vocabulary; then only its size has been compared.
  const std::string known = m.tokenizer ? metadata_of(file, kDigestEntry) : "";
  if (!known.empty() && m.tokenizer->vocabulary().digest() != known) {
    throw ConfigError(fmt::format("--vocabulary: expected the vocabulary {} of {}, found {} in {}", known, checkpoint,
                                  m.tokenizer->vocabulary().digest(), m.config.data.vocabulary));
  }
  m.embed.transform = eval_transform(m.config);
  m.embed.pass.precision = nn::parse_precision(precision);
  m.embed.batch_size = batch_size;
  return m;
}

LoadedModel untrained_like(const LoadedModel& loaded) {
  LoadedModel m;
  m.path = "untrained";
  m.config = loaded.config;
  m.model = std::make_unique<Model>(m.config.model, static_cast<uint64_t>(m.config.run.seed), DType::f32,
                                    loaded.model->device());
  m.tokenizer = loaded.tokenizer;
  m.embed = loaded.embed;
  return m;
}

}  // namespace tessera::rils
