#include "rils/train/inputs.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "rils/train/trainer.h"

namespace tessera::rils {
namespace {

Interpolation interpolation_of(const Config& config) {
  return config.augment.image_interpolation == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
}

std::array<float, 3> narrow(const std::array<double, 3>& v) {
  return {static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<float>(v[2])};
}

std::shared_ptr<const Vocabulary> open_vocabulary(const Config& config) {
  if (config.data.vocabulary.empty()) {
    throw ConfigError("data.vocabulary: expected a merges file (prepare vocabulary makes one), found none");
  }
  return std::make_shared<const Vocabulary>(Vocabulary::load(config.data.vocabulary));
}

/// The pictures that a sample becomes: one crop, SimCLR's two augmented views, or both.
void set_transforms(const Config& config, LoaderOptions& o) {
  o.transform = train_transform(config);
  const Objective objective = terms_of(config.model.objective);
  o.augmented_views = static_cast<int>(views_of(config));
  if (!objective.simclr) return;
  o.further_transform = simclr_transform(config);
  if (!objective.contrastive) o.transform = o.further_transform;
}

}  // namespace

Config with_vocabulary_size(Config config, const Vocabulary* stored) {
  if (!terms_of(config.model.objective).contrastive || config.model.text.vocab_size != 0) return config;
  config.model.text.vocab_size = stored != nullptr ? stored->size() : open_vocabulary(config)->size();
  return config;
}

std::shared_ptr<const Tokenizer> open_tokenizer(const Config& config, std::shared_ptr<const Vocabulary> stored) {
  if (!terms_of(config.model.objective).contrastive) return nullptr;
  const std::string name = stored ? "the stored vocabulary" : config.data.vocabulary;
  auto vocabulary = stored ? std::move(stored) : open_vocabulary(config);
  if (vocabulary->size() != config.model.text.vocab_size) {
    throw ConfigError(fmt::format("model.text.vocab_size: expected {} (the size of {}), found {}", vocabulary->size(),
                                  name, config.model.text.vocab_size));
  }
  return std::make_shared<const Tokenizer>(std::move(vocabulary), config.model.text.context_length,
                                           parse_truncation(config.data.truncation));
}

Tokenize tokenize_with(std::shared_ptr<const Tokenizer> tokenizer) {
  if (!tokenizer) throw ConfigError("model: expected one with a text encoder, found one without");
  return [tokenizer = std::move(tokenizer)](std::string_view text, std::span<int32_t> ids) {
    return tokenizer->encode_padded(text, ids);
  };
}

DatasetOptions dataset_options(const Config& config) {
  DatasetOptions o;
  o.need_caption = terms_of(config.model.objective).contrastive;
  o.type = dataset_type(config.data.dataset_type);
  o.image_key = config.data.image_key;
  o.text_key = config.data.text_key;
  o.text_encoding = parse_text_encoding(config.data.text_encoding);
  o.table.image_column = config.data.csv_img_key;
  o.table.caption_column = config.data.csv_caption_key;
  o.table.separator = config.data.csv_separator;
  o.table.image_root = config.data.image_root;
  o.synthetic_size = static_cast<int>(config.model.vision.image_size);
  o.seed = static_cast<uint64_t>(config.run.seed);
  return o;
}

TrainTransform train_transform(const Config& config) {
  TrainTransform t;
  t.size = static_cast<int>(config.model.vision.image_size);
  t.scale = {static_cast<float>(config.augment.crop_scale[0]), static_cast<float>(config.augment.crop_scale[1])};
  t.ratio = {static_cast<float>(config.augment.crop_ratio[0]), static_cast<float>(config.augment.crop_ratio[1])};
  t.flip_probability = static_cast<float>(config.augment.flip);
  t.interpolation = interpolation_of(config);
  t.mean = narrow(config.augment.image_mean);
  t.std = narrow(config.augment.image_std);
  return t;
}

SimclrTransform simclr_transform(const Config& config) {
  SimclrTransform t;
  t.crop = train_transform(config);
  const auto& [low, high] = config.augment.view_crop_scale;
  t.crop.scale = {static_cast<float>(low), static_cast<float>(high)};
  return t;
}

std::string preprocessing(const Config& config) {
  nlohmann::json json{{"size", config.model.vision.image_size},
                      {"mean", config.augment.image_mean},
                      {"std", config.augment.image_std},
                      {"interpolation", config.augment.image_interpolation}};
  if (config.augment.crop_pct != 1.0) json["crop_pct"] = config.augment.crop_pct;
  if (config.augment.resize_before_rgb) json["resize_before_rgb"] = true;
  return json.dump();
}

EvalTransform eval_transform(const Config& config) {
  EvalTransform t;
  t.size = static_cast<int>(config.model.vision.image_size);
  t.resize = static_cast<int>(std::floor(t.size / config.augment.crop_pct));  // as timm rounds it
  t.interpolation = interpolation_of(config);
  t.mean = narrow(config.augment.image_mean);
  t.std = narrow(config.augment.image_std);
  t.resize_before_rgb = config.augment.resize_before_rgb;
  return t;
}

std::unique_ptr<Loader> open_loader(const Config& config, std::shared_ptr<const Dataset> data,
                                    std::shared_ptr<const Tokenizer> tokenizer, int64_t global_batch,
                                    const LoaderState& state) {
  LoaderOptions o;
  o.batch_size = global_batch;
  o.image_size = static_cast<int>(config.model.vision.image_size);
  set_transforms(config, o);
  if (tokenizer) o.tokenize = tokenize_with(std::move(tokenizer));
  o.context_length = config.model.text.context_length;
  o.captions = tokenizer && config.data.captions == "all" ? CaptionMode::all : CaptionMode::random;
  o.epoch_samples = config.data.train_num_samples;
  o.workers = static_cast<int>(config.data.workers);
  o.seed = static_cast<uint64_t>(config.run.seed);
  o.max_image_pixels = config.data.max_image_pixels;
  o.resize_before_rgb = config.augment.resize_before_rgb;
  o.cache_bytes = static_cast<size_t>(config.data.cache_mib) << 20;
  return std::make_unique<Loader>(std::move(data), std::move(o), state);
}

int64_t views_of(const Config& config) {
  const Objective objective = terms_of(config.model.objective);
  return !objective.simclr ? 1 : objective.contrastive ? 3 : 2;
}

std::vector<MicroBatch> to_micro_batches(const Batch& batch, const Tensor& images, const Config& config, int64_t parts,
                                         int64_t step) {
  const Objective objective = terms_of(config.model.objective);
  const int64_t rows = batch.size / parts;
  const int64_t context = config.model.text.context_length;
  const int64_t patches = grid_of(config.model.vision).patches();
  const std::span<const int32_t> tokens(batch.tokens);
  const auto pictures = [&](int64_t view, int64_t i) { return images.slice(0, (view * parts + i) * rows, rows); };
  std::vector<MicroBatch> result(static_cast<size_t>(parts));
  for (int64_t i = 0; i < parts; ++i) {
    MicroBatch& b = result[static_cast<size_t>(i)];
    int64_t view = 0;
    if (objective.contrastive || objective.reconstruction != Reconstruction::none) b.images = pictures(view++, i);
    if (objective.contrastive) {
      const auto values = static_cast<size_t>(rows * context);
      b.tokens = Tensor::from(tokens.subspan(static_cast<size_t>(i) * values, values), {rows, context});
    }
    if (objective.reconstruction != Reconstruction::none) {
      b.noise = mask_noise(static_cast<uint64_t>(config.run.seed), step, i * rows, rows, patches);
    }
    if (objective.simclr) {
      b.view1 = pictures(view++, i);
      b.view2 = pictures(view, i);
    }
  }
  return result;
}

}  // namespace tessera::rils
