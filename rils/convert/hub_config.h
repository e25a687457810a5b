#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rils/config/config.h"

namespace tessera::rils {

/// The contents of the JSON file beside weights, in the terms of our configuration. A missing key is an absent value.
struct HubConfig {
  std::filesystem::path path;               // empty without a file
  std::optional<Pool> pool;                 // of VisionConfig
  std::optional<Activation> act, text_act;  // of VisionConfig and of TextConfig
  std::optional<bool> pooled_norm;          // whether the norm follows pooling, where the names do not tell
  std::optional<int64_t> heads, head_width, text_heads;
  std::optional<std::array<double, 3>> mean, std;
  std::optional<std::string> interpolation;
  std::optional<double> crop_pct;
  std::optional<std::string> vocabulary;  // path of a merges file
  std::vector<std::string> notes;         // settings that are not followed
};

/// Reads the `config.json` of a timm model. Throws IoError for another file, ConfigError for a model that our encoder
/// cannot represent. JSON of more than 16 MiB, of a million values or deeper than 64 is refused before it is parsed.
[[nodiscard]] HubConfig read_timm_config(const std::filesystem::path& path);
/// Reads an `open_clip_config.json`, and the `config.json` beside it for an image encoder from timm's `local-dir:`.
/// Throws as read_timm_config.
[[nodiscard]] HubConfig read_open_clip_config(const std::filesystem::path& path);

/// The text of `config.json` for one of our models. `classes`: number of classes of a fine-tuned classifier, 0 for an
/// encoder. A classifier that pools the mean has its norm after pooling.
[[nodiscard]] std::string timm_config(const Config& config, int64_t classes);
struct OpenClipConfig {
  std::string text;  // text of open_clip_config.json
  std::string timm;  // text of config.json; empty where timm has a name for the encoder
  std::vector<std::string> notes;
};
/// The texts of the JSON files for open_clip. `folder`: where the files will be; open_clip finds a vocabulary, and an
/// image encoder of a size that timm has no name for, only by their paths. `vocabulary`: name of the merges file in the
/// folder, or empty.
[[nodiscard]] OpenClipConfig open_clip_config(const Config& config, const std::filesystem::path& folder,
                                              const std::string& vocabulary);
/// Whether the image encoder is written as open_clip's own rather than as timm's.
[[nodiscard]] bool has_open_clip_encoder(const ModelConfig& model);

}  // namespace tessera::rils
