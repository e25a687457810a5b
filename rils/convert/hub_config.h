#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rils/config/config.h"

namespace tessera::rils {

/// What the JSON beside weights says of them, in our words; what it does not say is absent.
struct HubConfig {
  std::filesystem::path path;  // empty where there is none
  std::optional<Pool> pool;
  std::optional<Activation> act, text_act;
  std::optional<bool> pooled_norm;  // where the names do not say it
  std::optional<int64_t> heads, head_width, text_heads;
  std::optional<std::array<double, 3>> mean, std;
  std::optional<std::string> interpolation;
  std::optional<double> crop_pct;
  std::optional<std::string> vocabulary;  // a merges file of their own
  std::vector<std::string> notes;         // what cannot be followed
};

/// `config.json` of a timm model, as the hubs have it. Throws IoError for what is not that, ConfigError for a model
/// that is none of ours.
[[nodiscard]] HubConfig read_timm_config(const std::filesystem::path& path);
/// `open_clip_config.json`, and for an image encoder that it takes from timm's `local-dir:`, the `config.json` beside.
[[nodiscard]] HubConfig read_open_clip_config(const std::filesystem::path& path);

/// What those files hold for a model of ours.
/// `classes`: of a fine-tuned classifier, whose own norm stands after pooling where it pools the mean; 0: an encoder.
[[nodiscard]] std::string timm_config(const Config& config, int64_t classes);
/// `folder`: where the files will lie, for what open_clip finds by its path alone: a vocabulary, and an image encoder
/// of a size that timm has no name for. `vocabulary`: the name of the merges file in it, or empty.
struct OpenClipConfig {
  std::string text;  // of open_clip_config.json
  std::string timm;  // of config.json; empty where timm has a name for the encoder
  std::vector<std::string> notes;
};
[[nodiscard]] OpenClipConfig open_clip_config(const Config& config, const std::filesystem::path& folder,
                                              const std::string& vocabulary);
/// Whether open_clip's own image encoder is written rather than timm's.
[[nodiscard]] bool has_open_clip_encoder(const ModelConfig& model);

}  // namespace tessera::rils
