#include "rils/model/model.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "engine/core/error.h"
#include "engine/ops/pointwise.h"
#include "rils/model/cost.h"

namespace tessera::rils {
namespace {

constexpr double kInitialTemperature = 0.07;

}  // namespace

Model::Model(const ModelConfig& config, nn::Seed seed, DType dtype, Device device)
    : config_(config), objective_(terms_of(config.objective)), store_(std::make_unique<ParameterStore>(device)) {
  vision_.emplace(*store_, config.vision, dtype);
  if (objective_.reconstruction != Reconstruction::none) {
    decoder_.emplace(*store_, config.vision, config.decoder, decoder_outputs(config), dtype);
  }
  if (objective_.contrastive) {
    text_.emplace(*store_, config.text);
    const auto projection = [&](const char* name, int64_t width) {
      const double std_dev = 1.0 / std::sqrt(static_cast<double>(width));
      return &store_->add(name, {width, config.embed_dim}, nn::normal(std_dev));
    };
    image_projection_ = projection("image_projection", config.vision.width);
    text_projection_ = projection("text_projection", config.text.width);
    logit_scale_ = &store_->add("logit_scale", {}, nn::constant(std::log(1.0 / kInitialTemperature)));
  }
  if (objective_.simclr) image_mlp_.emplace(*store_, config.vision.width, config.image_mlp, dtype);
  store_->allocate(dtype);
  store_->initialise(seed);
}

void Model::need_language() const {
  if (text_) return;
  throw ConfigError(
      fmt::format("model: expected one with a text encoder, found objective {}", word_of(config_.objective)));
}

Var Model::project(const Var& features) const {
  need_language();
  return autograd::matmul(features, autograd::use(*image_projection_));
}

Var Model::encode_image(const Tensor& images, const PassOptions& options) const {
  return project(vision_->features(images, options));
}

Var Model::encode_text(const Tensor& tokens, const PassOptions& options) const {
  need_language();
  return autograd::matmul((*text_)(tokens, options), autograd::use(*text_projection_));
}

Var Model::predict_hidden(const TokenFeatures& patches, const Masks& masks, std::span<const int64_t> samples,
                          const PassOptions& options) const {
  if (!decoder_) {
    throw ConfigError(
        fmt::format("model: expected one with a decoder, found objective {}", word_of(config_.objective)));
  }
  return (*decoder_)(vision_->encode_visible(patches, masks, samples, options), masks, samples, options);
}

Var Model::logit_scale() const {
  need_language();
  return autograd::unary(Unary::exp, autograd::use(*logit_scale_));
}

void Model::clamp_logit_scale(double maximum) {
  if (logit_scale_ == nullptr) return;
  clamp(logit_scale_->value, 0.0, std::log(maximum));
  logit_scale_->mark_written();
}

}  // namespace tessera::rils
